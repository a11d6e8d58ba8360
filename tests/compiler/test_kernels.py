"""Every primitive that the compiler writes, for every dtype, against the interpreter; and random graphs of them."""

import random

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from compiler.graphs import DTYPES, FLOATS, Maker, check, random_graph
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diya import dtypes
from diya.compiler import optimise, pipeline
from diya.compiler.support import elementwise
from diya.graph import PRIMITIVES
from diya.runtime.cpu import features

TARGETS = [features.host().narrowed(w) for w in (16, 32, 64) if features.host().vector_bytes >= w]
UNARY = ("neg abs sign sqrt rsqrt reciprocal floor ceil trunc round isnan isinf isfinite signbit logical_not bitwise_not "
         "square exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc "
         "sigmoid").split()
BINARY = ("add sub mul div maximum minimum fmax fmin eq ne lt le gt ge bitwise_and bitwise_or bitwise_xor shift_left "
          "shift_right copysign nextafter pow atan2 hypot").split()
LOGIC = ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "shift_left", "shift_right")


@pytest.fixture(autouse=True)
def verified(monkeypatch):
    monkeypatch.setattr(pipeline, "VERIFY", True)
    monkeypatch.setattr(optimise, "VERIFY", True)


def tolerance(d):
    return 1e-2 if d in FLOATS[2:] else 2e-6 if d is dtypes.float32 else 1e-12


def special(d):
    """Numbers with all that is awkward among them."""
    x = np.linspace(-3, 3, 5 * 19).reshape(5, 19)
    x[0, :6] = np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0
    x[1, :6] = 0.5, -0.5, 1.5, 2.5, 1e-30, 1e30
    from diya import interpret
    return interpret.store_array(x.astype(d.compute), d)


def sensible(name, d):
    op = PRIMITIVES[name]
    if name in LOGIC and (d.kind == "f" or name.startswith("shift") and d.kind == "b"):
        return False
    if d.kind == "b" and name in ("sub", "neg", "abs", "sign", "floor", "ceil", "trunc", "round", "square"):
        return False
    return elementwise(op, d)


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    m, outputs = Maker(), []
    for d in DTYPES:
        if sensible(name, d):
            outputs.append(m(name, m.leaf(special(d), d) if d.kind == "f" else m.data((5, 19), d)))
    assert outputs
    check(m.graph(*outputs), m.arguments, rtol=1e-2, atol=1e-6)
    for d in FLOATS[:2]:
        if sensible(name, d):
            m = Maker()
            check(m.graph(m(name, m.leaf(special(d), d))), m.arguments, rtol=tolerance(d), atol=1e-45)


@pytest.mark.parametrize("name", BINARY)
def test_binary(name):
    m, outputs = Maker(), []
    for d in DTYPES:
        if sensible(name, d):
            a = m.leaf(special(d), d) if d.kind == "f" else m.data((5, 19), d)
            outputs.append(m(name, a, m.data((19,), d)))
            outputs.append(m(name, m.data((5, 1), d), a))
    assert outputs
    check(m.graph(*outputs), m.arguments, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("name", ["floor_divide", "trunc_divide", "remainder", "fmod"])
def test_integer_division(name):
    for d in DTYPES[5:]:
        m = Maker()
        low, high = np.iinfo(d.numpy).min, np.iinfo(d.numpy).max
        a = np.resize(np.array([low, high, 7, -7 if low else 7, 0, 1, 5], d.numpy), (3, 23))
        b = np.resize(np.array([-1 if low else 3, 2, 3, 3, -2 if low else 2], d.numpy), (3, 23))
        b[0, 0] = 1  # numpy and C part over low / -1
        x = m.leaf(a)
        program = check(m.graph(m(name, x, m.leaf(b)), m(name, x, m.scalar(3, d))), m.arguments)
        assert program.counts["host steps"] == 0
        m = Maker()
        b[2, 22] = 0
        out, = pipeline.compile_graph(m.graph(m(name, m.leaf(a), m.leaf(b)))).run(m.arguments)
        assert isinstance(out, RuntimeError) and "ZeroDivisionError" in str(out)


def test_stages_are_shown():
    m = Maker()
    program = check(m.graph(m.softmax(m.data((4, 5), dtypes.float32))), m.arguments)
    assert list(program.stages) == ["graph", "schedule", "loops", "kernels", "memory", "llvm", "assembly"]
    assert all(program.stages.values())


def test_cast():
    m, outputs = Maker(), []
    for d in DTYPES:
        x = m.leaf(special(d), d) if d.kind == "f" else m.data((5, 19), d)
        outputs += [m("cast", x, attrs=to) for to in DTYPES]
    check(m.graph(*outputs), m.arguments, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["sum", "prod", "amax", "amin", "any", "all", "argmax", "argmin"])
@pytest.mark.parametrize("shape, dims", [((7, 33), (1,)), ((7, 33), (0,)), ((3, 4, 5, 6), (0, 2, 3)), ((3, 4, 5, 6), (1,)),
                                         ((300,), (0,)), ((40, 3, 70), (0, 2)), ((4, 9, 8, 3, 2), (3, 4))])
def test_reduce(name, shape, dims):
    m, outputs = Maker(), []
    if name.startswith("arg"):
        dims = dims[0]
    for d in DTYPES:
        if not (name in ("sum", "prod") and d.kind in "ub"):
            x = m.data(shape, d, 0.95, 1.05) if name == "prod" else m.data(shape, d)
            outputs.append(m(name, x, attrs=dims))
    check(m.graph(*outputs), m.arguments, rtol=2e-2, atol=1e-2)


@pytest.mark.parametrize("shape, dims", [((200_000,), (0,)), ((70_000, 3), (0,)), ((5, 60_001), (1,)), ((3, 70_000), (0, 1))])
def test_reductions_in_pieces(shape, dims):
    """Long reductions of few rows run as pieces; the pieces are the same for any number of threads."""
    from diya.runtime.cpu import threads
    m = Maker()
    x = m.data(shape, dtypes.float32)
    outputs = [m("sum", x, attrs=dims), m("amax", x, attrs=dims)]
    if len(dims) == 1:
        outputs.append(m("argmin", x, attrs=dims[0]))
    graph = m.graph(*outputs)
    program = check(graph, m.arguments, rtol=1e-4, atol=1e-2)
    assert program.counts["kernels"] > 1
    runs = []
    before = threads.get_num_threads()
    for n in (1, 2, 3):
        threads.set_num_threads(n)
        runs.append([b.array.tobytes() for b in program.run(m.arguments)])
    threads.set_num_threads(before)
    assert runs[0] == runs[1] == runs[2]


def test_nan_is_the_extreme():
    m = Maker()
    x = np.array([[1, np.nan, 3], [4, 5, 6]], "f")
    leaf = m.leaf(np.repeat(x, 40, 0))
    check(m.graph(*[m(n, leaf, attrs=1 if n.startswith("arg") else (1,)) for n in ("amax", "amin", "argmax", "argmin")]),
          m.arguments)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.vector_bytes * 8} bits")
def test_fused_on_every_vector_width(target):
    m = Maker()
    x, scale = m.data((9, 37), dtypes.float32), m.data((37,), dtypes.float32)
    h = m("maximum", m("add", m("mul", x, scale), m.scalar(0.5)), m.scalar(0.0))
    soft = m.softmax(h)
    flipped = m.view(h, (37, 9), (-1, 37), 36)
    outputs = (soft, m("sum", h, attrs=(0,)), m("cast", flipped, attrs=dtypes.float16), m("argmax", h, attrs=1))
    check(m.graph(*outputs), m.arguments, target)


def test_fusion():
    """A softmax is one kernel, as is a chain with its sum; sums of one array over the same dimensions are one kernel."""
    m = Maker()
    x = m.data((9, 37), dtypes.float32)
    assert check(m.graph(m.softmax(x)), m.arguments).counts["kernels"] == 1
    m = Maker()
    x = m.data((4, 6, 5, 5), dtypes.float32)
    s, q = m("sum", x, attrs=(0, 2, 3)), m("sum", m("square", x), attrs=(0, 2, 3))
    n = m.scalar(0.01)
    variance = m("sub", m("mul", q, n), m("square", m("mul", s, n)))
    assert check(m.graph(s, variance), m.arguments).counts["kernels"] == 1


def test_another_size_compiles_nothing():
    from diya.runtime.cpu import load

    def step(n):
        m = Maker()
        x, w = m.data((n, 3, 8, 8), dtypes.float32), m.data((3,), dtypes.float32)
        h = m("maximum", m("mul", x, m.view(w, (1, 3, 1, 1), (3, 1, 1, 1))), m.scalar(0.0))
        pooled = m("amax", m.view(h, (n, 3, 4, 4, 2, 2), (192, 64, 16, 2, 8, 1)), attrs=(4, 5))
        soft = m.softmax(m.view(pooled, (n, 48), (48, 1)))
        total = m("sum", soft, attrs=(0, 1))
        return check(m.graph(m("sum", h, attrs=(0, 2, 3)), soft, m("mul", total, m.scalar(1 / n))), m.arguments)
    step(16)
    before = load.counters.compiled + load.counters.disk_hits
    for n in (32, 7, 400, 5000):
        step(n)
    assert load.counters.compiled + load.counters.disk_hits == before


def test_writes_are_in_place():
    """cat and pad are chains of writes: nothing is copied that nobody else reads."""
    m = Maker()
    a, b = m.data((3, 4), dtypes.float32), m.data((3, 5), dtypes.float32)
    empty = m("empty", attrs=((3, 9), dtypes.float32))
    first = m("write", empty, m("neg", a), attrs=((3, 4), (9, 1), 0))
    both = m("write", first, b, attrs=((3, 5), (9, 1), 4))
    program = check(m.graph(both), m.arguments)
    assert program.counts["kernels"] == 2 and program.plan.arena == 0
    m = Maker()
    zeros = m.view(m.scalar(0.0), (6, 8), (0, 0))
    padded = m("write", zeros, m.data((4, 6), dtypes.float32), attrs=((4, 6), (8, 1), 9))
    assert check(m.graph(padded), m.arguments).counts["kernels"] == 2


def test_fold_of_repeated_elements():
    m = Maker()
    x = m.data((4,), dtypes.float32)
    repeated = m("mul", m.view(x, (2, 4), (0, 1)), m.scalar(2.0))
    check(m.graph(m("fold", repeated, attrs=((4,), ((2, 4), (0, 1), 0)))), m.arguments)


def test_long_chains():
    """Expressions are cut before they grow too deep to recurse along, or too long for one kernel."""
    m = Maker()
    x, one, stored = m.data((7,), dtypes.float32), m.scalar(1.0), []
    for i in range(4000):
        x = m("add", x, one)
        if i > 3500:
            stored.append(x)
    check(m.graph(*stored), m.arguments)


def test_scalars_of_every_type():
    m = Maker()
    values = [(True, dtypes.bool_), (1 << 40, dtypes.int32), (-3, dtypes.uint8), (1e300, dtypes.float32), (2, dtypes.float16),
              (1.5, dtypes.bfloat16), (2**63, dtypes.uint64), (1 + 2j, dtypes.complex64), (3 - 1j, dtypes.complex128),
              (7, dtypes.int64)]
    check(m.graph(*[m("eq", m.scalar(v, d), m.scalar(v, d)) for v, d in values]), m.arguments)
    outputs = [m.view(m.scalar(v, d), (3,), (0,)) for v, d in values if d.kind != "c"]
    check(m.graph(*outputs), m.arguments)


def test_several_outputs():
    """A node of several outputs is a host step, and so is the choice of one of them."""
    m = Maker()
    x = m.data((5, 6), dtypes.float32)
    both = m("cummax", x, attrs=1)
    values, order = m("pick", both, attrs=0), m("pick", both, attrs=1)
    check(m.graph(m("mul", values, m.scalar(2.0)), m("sum", order, attrs=(1,)), values), m.arguments)


def test_donated_leaves_become_outputs():
    m = Maker()
    p, g = m.data((50,), dtypes.float32), m.data((50,), dtypes.float32)
    new = m("sub", p, m("mul", g, m.scalar(0.1)))
    program = pipeline.compile_graph(m.graph(new, donated=(p,)))
    assert program.run(m.arguments)[0] is m.arguments[0]


def test_update_of_a_part_is_in_place():
    """x[1:] += 1 reads what it replaces where it writes; x[1:] = x[:-1] must not."""
    def program(read_at):
        m = Maker()
        x = m("neg", m.data((9,), dtypes.float32))
        new = m("add", m.view(x, (8,), (1,), read_at), m.scalar(1.0))
        return check(m.graph(m("write", x, new, attrs=((8,), (1,), 1))), m.arguments)
    assert len(program(1).plan.dropped) == 1
    assert len(program(0).plan.dropped) == 0


def test_arguments_stay_whole_until_nothing_can_fail():
    m = Maker()
    p, i = m.data((5, 4), dtypes.float32), m.leaf(np.array([1, 7]))
    picked = m("sum", m("index", m("exp", p), i), attrs=(0, 1))
    early, late = m("neg", p), m("mul", p, picked)
    before = m.arguments[0].array.copy()
    program = pipeline.compile_graph(m.graph(early, late, donated=(p,)))
    first, second = program.run(m.arguments)
    assert (m.arguments[0].array == before).all() and isinstance(second, IndexError)
    np.testing.assert_array_equal(first.array.view("f"), -before.view("f"))


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: str(t.vector_bytes))
@pytest.mark.parametrize("width", (1, 3, 16, 64, 77, 600))
def test_rows_at_positions(width, target):
    """Rows taken, set and added at positions that repeat and wrap; of those that are set in one place, the last one stays."""
    m, f32 = Maker(), dtypes.float32
    x, i = m.data((11, width), f32), m.leaf(m.random.integers(-11, 11, 40))
    v, both = m.data((40, width), f32), m.leaf(m.random.integers(-11, 11, (3, 40)))
    deep, rows = m.data((3, 11, width), f32), m.leaf(m.random.integers(0, 11, (3, 40, width)))
    outputs = [m("index", x, i), m("index_put", x, v, i, attrs=False), m("index_put", x, v, i, attrs=True),
               m("index_put", x, m.data((3, 40, width), f32), both, attrs=False),
               *[m("scatter", deep, rows, m.data((3, 40, width), f32), attrs=(1, how)) for how in ("set", "sum", "amax")],
               m("scatter", x, m.leaf(m.random.integers(0, width, (11, 9))), m.data((11, 9), f32), attrs=(1, "sum"))]
    check(m.graph(*outputs), m.arguments, target)


@pytest.mark.parametrize("bad", (-12, -1, 11, 1 << 62, -(1 << 63), (1 << 63) - 1))
@pytest.mark.parametrize("at", (0, 17, 39))
def test_a_row_out_of_range(bad, at):
    for name in ("index", "put", "add", "scatter")[3 * (bad == -1):]:   # which alone takes no negative ones
        m, f32 = Maker(), dtypes.float32
        positions = m.random.integers(0 if name == "scatter" else -11, 11, 40)
        positions[at] = bad
        x, i = m.data((11, 20), f32), m.leaf(positions)
        if name == "index":
            out = m("index", x, i)
        elif name == "scatter":
            out = m("scatter", m.data((11,), f32), i, m.data((40,), f32), attrs=(0, "sum"))
        else:
            out = m("index_put", x, m.data((40, 20), f32), i, attrs=name == "add")
        program = check(m.graph(out), m.arguments)
        assert isinstance(program.run(m.arguments)[0], IndexError)


def test_out_of_range_index():
    m = Maker()
    x, i = m.data((5, 4), dtypes.float32), m.leaf(np.array([1, -5, 5]))
    good = m("neg", x)
    graph = m.graph(m("index", x, i), good)
    index, neg = pipeline.compile_graph(graph).run(m.arguments)
    assert isinstance(index, IndexError) and "index 5 is out of bounds for dimension 0 with size 5" in str(index)
    assert not isinstance(neg, Exception)


def test_programs_run_in_several_threads_at_once():
    from threading import Thread
    m = Maker()
    x = m.data((200, 300), dtypes.float32)
    program = pipeline.compile_graph(m.graph(m("sum", m("mul", m.softmax(x), x), attrs=(0,))))
    want, got = program.run(m.arguments)[0].array.tobytes(), []
    threads = [Thread(target=lambda: got.extend(program.run(m.arguments)[0].array.tobytes() for _ in range(20)))
               for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(got) == 80 and set(got) == {want}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 30))
def test_random_graphs(seed):
    """All kinds of primitives mixed: what the compiler computes is what the interpreter computes."""
    m, outputs, donated = random_graph(random.Random(seed))
    if outputs:
        half = any(n.type.dtype in FLOATS[2:] for n in m.code)
        check(m.graph(*outputs, donated=donated), m.arguments, rtol=3e-2 if half else 1e-4, atol=3e-2 if half else 1e-4)


@pytest.mark.parametrize("seed", [1958493, 2156, 3253, 9049])
def test_a_failure_is_no_less_one_for_being_overwritten(seed):
    m, outputs, donated = random_graph(random.Random(seed))
    half = any(n.type.dtype in FLOATS[2:] for n in m.code)
    check(m.graph(*outputs, donated=donated), m.arguments, rtol=3e-2 if half else 1e-4, atol=3e-2 if half else 1e-4)
