"""Contraction kernels against a plain sum over all indices. Operands hold small integers, so every order of summing
gives the same bits and results are compared exactly."""

import ctypes
from math import prod

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from compiler.graphs import Maker, check
from hypothesis import given, settings
from hypothesis import strategies as st

from diya import dtypes
from diya.compiler.contraction import lower_contraction
from diya.compiler.operands import Epilogue, Operand, classify
from diya.graph import Affine, Contraction
from diya.runtime.cpu import features, load

DTYPES = {"f": dtypes.float32, "d": dtypes.float64, "e": dtypes.float16, "H": dtypes.bfloat16}
TARGETS = {width: features.host().narrowed(width) for width in (16, 32, 64)
           if features.host().vector_bytes >= width}


def operand(x):
    return Operand(DTYPES[x.dtype.char], x.shape, tuple(s // x.itemsize for s in x.strides))


def bfloat(x):
    """Integers of few bits as bfloat16's bits: exact."""
    return (np.asarray(x, "f").view(np.uint32) >> 16).astype(np.uint16)


def run(c, a, b, out=None, epilogue=None, inputs=(), target=None, cuts=(), a_operand=None):
    """Runs the launches with their tasks cut into ranges, as threads would share them, each with a dirty workspace."""
    target = target or features.host()
    out = np.full(c.sizes[:c.n_out], np.nan, np.result_type(a, b)) if out is None else out
    arrays = [a, b, out, *inputs]
    values = tuple(range(len(arrays)))
    for launch in lower_contraction(c, a_operand or operand(a), operand(b), operand(out), epilogue, target, values):
        symbol = "contraction_under_test"
        entry = load.load([(symbol, launch.text(symbol))], target)[0]
        kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
                                  ctypes.c_void_p)(int(entry))
        buffers = (ctypes.c_void_p * len(launch.values))(*(arrays[v].ctypes.data for v in launch.values))
        args = (ctypes.c_int64 * len(launch.args))(*launch.args)
        ends = [0, *sorted(x for x in cuts if 0 < x < launch.tasks), launch.tasks]
        for begin, end in zip(ends, ends[1:], strict=False):
            scratch = np.full(launch.scratch + 64, 0x7F, np.uint8)
            kernel(ctypes.addressof(buffers), ctypes.addressof(args), begin, end, (scratch.ctypes.data + 63) // 64 * 64)
    return out


def reference(c, a, b):
    index = np.indices(c.sizes).reshape(len(c.sizes), prod(c.sizes))

    def read(x, coordinates):
        inside, at = np.ones(index.shape[1], bool), []
        for affine, size in zip(coordinates, x.shape, strict=True):
            q = sum((coefficient * index[var] for var, coefficient in affine.terms),
                    np.full(index.shape[1], affine.const))
            inside &= (q >= 0) & (q < size)
            at.append(np.clip(q, 0, max(size - 1, 0)))
        return np.where(inside, x[tuple(at)], 0.0) if x.size else np.zeros(index.shape[1])

    products = (read(a, c.a) * read(b, c.b)).reshape(c.sizes)
    return products.sum(tuple(range(c.n_out, len(c.sizes))))


@st.composite
def contractions(draw):
    """A contraction of up to six variables, and shapes of its operands: some coordinates leave them."""
    count = draw(st.integers(1, 6))
    sizes, room = [], 40_000
    for _ in range(count):
        sizes.append(min(draw(st.sampled_from([1, 2, 3, 4, 5, 7, 8, 16, 17, 33, 40, 0])), max(room, 1)))
        room //= max(sizes[-1], 1)
    shapes, reads = [], []
    for _ in "ab":
        variables = draw(st.permutations(range(count)))[:draw(st.integers(0, count))]
        coordinates, shape = [], []
        while variables and len(shape) < 4:
            n = draw(st.sampled_from([1, 1, 1, 2, 0]))
            terms, variables = variables[:n], variables[n:]
            terms = tuple(sorted((v, draw(st.sampled_from([1, 1, 1, 2, -1, 3]))) for v in terms))
            const = draw(st.sampled_from([0, 0, 0, -1, 1, -2]))
            reach = [k * (sizes[v] - 1) for v, k in terms]
            low, high = const + sum(min(0, r) for r in reach), const + sum(max(0, r) for r in reach)
            if draw(st.booleans()):
                const, high, low = const - min(low, 0), high - min(low, 0), 0
            coordinates.append(Affine(terms, const))
            shape.append(min(max(high + draw(st.sampled_from([1, 1, 0, -1])), 1), 150))
        reads.append(tuple(coordinates))
        shapes.append(tuple(shape))
    while prod(shapes[0]) > 10**6 or prod(shapes[1]) > 10**6:
        shapes = [tuple(max(1, s // 2) for s in shape) for shape in shapes]
    return Contraction(tuple(sizes), draw(st.integers(0, count)), *reads), shapes


@settings(max_examples=30, deadline=None)
@given(contractions(), st.sampled_from("ffd"), st.integers(0, 2**32 - 1), st.lists(st.integers(1, 9), max_size=3),
       st.sampled_from(list(TARGETS.values())))
def test_random_contractions(problem, kind, seed, cuts, target):
    c, shapes = problem
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(-3, 4, shape).astype(kind) for shape in shapes)
    want = reference(c, a, b)
    np.testing.assert_array_equal(run(c, a, b, target=target), want)
    np.testing.assert_array_equal(run(c, a, b, target=target, cuts=cuts), want)


def v(*terms, const=0):
    return Affine(tuple((t, 1) if isinstance(t, int) else t for t in terms), const)


def product(m, k, n):
    return Contraction((m, n, k), 2, (v(0), v(2)), (v(2), v(1)))


def integers(*shape, kind="f", seed=0):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(kind)


@pytest.mark.parametrize("width", TARGETS)
@pytest.mark.parametrize("m,k,n", [(1, 1, 1), (1, 50, 70), (3, 40, 129), (16, 33, 100), (29, 5, 1), (30, 700, 47),
                                   (64, 64, 64), (150, 1100, 70)])
def test_matrix_products_of_all_layouts(width, m, k, n):
    for kind in "fd":
        for ta in (False, True):
            for tb in (False, True):
                a = integers(k, m, kind=kind).T if ta else integers(m, k, kind=kind)
                b = integers(n, k, kind=kind, seed=1).T if tb else integers(k, n, kind=kind, seed=1)
                np.testing.assert_array_equal(run(product(m, k, n), a, b, target=TARGETS[width]), a @ b)


@pytest.mark.parametrize("stride,padding,dilation", [(1, 1, 1), (2, 1, 1), (1, 0, 1), (2, 3, 2)])
def test_convolutions(stride, padding, dilation):
    n, ci, h, w, co, kh, kw = 3, 5, 11, 20, 18, 3, 3
    oh, ow = ((s + 2 * padding - dilation * 2 - 1) // stride + 1 for s in (h, w))
    x, f, g = integers(n, ci, h, w), integers(co, ci, kh, kw, seed=1), integers(n, co, oh, ow, seed=2)
    rows, columns = ((v((2, stride), (5, dilation), const=-padding)), v((3, stride), (6, dilation), const=-padding))
    forward = Contraction((n, co, oh, ow, ci, kh, kw), 4, (v(0), v(4), rows, columns), (v(1), v(4), v(5), v(6)))
    np.testing.assert_array_equal(run(forward, x, f), reference(forward, x, f))
    rows, columns = ((v((2, dilation), (5, stride), const=-padding)), v((3, dilation), (6, stride), const=-padding))
    weight = Contraction((co, ci, kh, kw, n, oh, ow), 4, (v(4), v(0), v(5), v(6)), (v(4), v(1), rows, columns))
    np.testing.assert_array_equal(run(weight, g, x), reference(weight, g, x))
    # the input's gradient: a correlation of the gradient, spread out by zeros, with negative coefficients
    spread = np.zeros((n, co, (oh - 1) * stride + 1, (ow - 1) * stride + 1), "f")
    spread[:, :, ::stride, ::stride] = g
    rows, columns = ((v(2, (5, -dilation), const=padding)), v(3, (6, -dilation), const=padding))
    back = Contraction((n, ci, h, w, co, kh, kw), 4, (v(0), v(4), rows, columns), (v(4), v(1), v(5), v(6)))
    np.testing.assert_array_equal(run(back, spread, f), reference(back, spread, f))


@pytest.mark.parametrize("stride,dilation,kernel", [(2, 1, 3), (2, 1, 1), (3, 1, 2), (2, 2, 3), (4, 2, 3)])
def test_spread_operands(stride, dilation, kernel):
    """A strided convolution's input gradient without the zeros between the gradient's elements."""
    n, ci, co, oh, ow, padding = 2, 5, 4, 6, 9, 1
    h, w = ((s - 1) * stride + dilation * (kernel - 1) + 1 - 2 * padding + 1 for s in (oh, ow))
    f, g = integers(co, ci, kernel, kernel), integers(n, co, oh, ow, seed=2)
    dense = np.zeros((n, co, (oh - 1) * stride + 1, (ow - 1) * stride + 1), "f")
    dense[:, :, ::stride, ::stride] = g
    rows, columns = v(2, (5, -dilation), const=padding), v(3, (6, -dilation), const=padding)
    back = Contraction((n, ci, h, w, co, kernel, kernel), 4, (v(0), v(4), rows, columns), (v(4), v(1), v(5), v(6)))
    bias = integers(h, w, seed=3)
    add = Epilogue("add", lambda b, total, x: b.add(total, x), (Operand(dtypes.float32, (n, ci, h, w), (0, 0, w, 1)),))
    out = np.full((n, ci, h, w), np.nan, "f")
    spread = operand(g)._replace(spread=(1, 1, stride, stride))
    run(back, g, f, out, add, (bias,), a_operand=spread)
    np.testing.assert_array_equal(out, reference(back, dense, f) + bias)


@pytest.mark.parametrize("co,w", [(3, 28), (16, 20), (1, 9), (40, 30)])
def test_narrow_convolutions(co, w):
    """Few output channels: windows read where they lie, weights' gradients as dot products of runs."""
    n, ci, h, kernel, padding = 3, 2, 9, 5, 2
    x, f, g = integers(n, ci, h, w), integers(co, ci, kernel, kernel, seed=1), integers(n, co, h, w, seed=2)
    rows, columns = v(2, 5, const=-padding), v(3, 6, const=-padding)
    forward = Contraction((n, co, h, w, ci, kernel, kernel), 4, (v(0), v(4), rows, columns), (v(1), v(4), v(5), v(6)))
    np.testing.assert_array_equal(run(forward, x, f), reference(forward, x, f))
    weight = Contraction((co, ci, kernel, kernel, n, h, w), 4, (v(4), v(0), v(5), v(6)), (v(4), v(1), rows, columns))
    np.testing.assert_array_equal(run(weight, g, x), reference(weight, g, x))
    depthwise = Contraction((ci, kernel, kernel, n, h, w), 3, (v(3), v(0), v(4), v(5)),
                            (v(3), v(0), v(1, 4, const=-padding), v(2, 5, const=-padding)))
    y = integers(n, ci, h, w, seed=5)
    np.testing.assert_array_equal(run(depthwise, y, x), reference(depthwise, y, x))
    x[0, 0, 0, 0] = np.nan  # it must not leak into windows that leave it out
    np.testing.assert_array_equal(run(weight, g, x), reference(weight, g, x))


def test_depthwise_and_batched():
    x, f = integers(2, 9, 8, 20), integers(9, 3, 3, seed=1)
    depthwise = Contraction((2, 9, 8, 20, 3, 3), 4, (v(0), v(1), v(2, 4, const=-1), v(3, 5, const=-1)),
                            (v(1), v(4), v(5)))
    np.testing.assert_array_equal(run(depthwise, x, f), reference(depthwise, x, f))
    a, b = integers(2, 3, 40, 16), integers(2, 3, 40, 16, seed=1)
    scores = Contraction((2, 3, 40, 40, 16), 4, (v(0), v(1), v(2), v(4)), (v(0), v(1), v(3), v(4)))
    np.testing.assert_array_equal(run(scores, a, b), a @ b.swapaxes(2, 3))


@pytest.mark.parametrize("width", TARGETS)
@pytest.mark.parametrize("kind", "fd")
@pytest.mark.parametrize("stride,padding,size", [(1, 1, 40), (2, 1, 37), (3, 0, 30), (1, 3, 7)])
def test_depthwise(width, kind, stride, padding, size):
    """A filter to a plane, and the filter's gradient, on vectors of every width."""
    n, groups, taps = 2, 3, 3
    side = (size + 2 * padding - taps) // stride + 1

    def image(at, tap):
        return (v(0), v(1), v((at, stride), (tap, 1), const=-padding), v((at + 1, stride), (tap + 1, 1), const=-padding))
    x, w = integers(n, groups, size, size, kind=kind), integers(groups, taps, taps, kind=kind, seed=1)
    c = Contraction((n, groups, side, side, taps, taps), 4, image(2, 4), (v(1), v(4), v(5)))
    np.testing.assert_array_equal(run(c, x, w, target=TARGETS[width], cuts=(1, 2)), reference(c, x, w))
    g = integers(n, groups, side, side, kind=kind, seed=2)
    at = [v(3), v(0), v((4, stride), (1, 1), const=-padding), v((5, stride), (2, 1), const=-padding)]
    c = Contraction((groups, taps, taps, n, side, side), 3, (v(3), v(0), v(4), v(5)), tuple(at))
    np.testing.assert_array_equal(run(c, g, x, target=TARGETS[width], cuts=(1, 2)), reference(c, g, x))


@pytest.mark.parametrize("width", TARGETS)
@pytest.mark.parametrize("m", [1, 2, 4, 5])
@pytest.mark.parametrize("k,n", [(1, 500), (37, 1000), (300, 203), (9, 8300)])
def test_few_rows(width, m, k, n):
    """b's rows from end to end; one row along the depth."""
    a, b = integers(m, k), integers(k, n, seed=1)
    np.testing.assert_array_equal(run(product(m, k, n), a, b, target=TARGETS[width], cuts=(1,)), a @ b)
    np.testing.assert_array_equal(run(product(m, k, n), a, np.asfortranarray(b), target=TARGETS[width], cuts=(1,)), a @ b)


@pytest.mark.parametrize("width", TARGETS)
@pytest.mark.parametrize("m,k,n", [(256, 256, 8), (300, 1111, 3), (261, 257, 1), (1030, 300, 7)])
def test_few_columns(width, m, k, n):
    """A large matrix times few columns, which are copied where they do not lie along the depth."""
    for kind in "fd":
        made = Maker()
        a, b = (made.leaf(integers(*shape, kind=kind, seed=1)) for shape in ((m, k), (k, n)))
        turned, part = made.leaf(integers(n, k, kind=kind)), made.leaf(integers(k, n + 5, kind=kind))
        outputs = [made("contract", a, x, attrs=product(m, k, n)) for x in (
            b, made.view(turned, (k, n), (1, k)), made.view(part, (k, n), (n + 5, 1), 3))]
        row = made.leaf(integers(n, kind=kind))
        outputs[0] = made("maximum", made("add", outputs[0], made.expand(row, (m, n), (0,))), outputs[1])
        check(made.graph(*outputs), made.arguments, TARGETS[width], rtol=0, atol=0)
        x, y = integers(m, k, kind=kind), integers(k, n, kind=kind)
        np.testing.assert_array_equal(run(product(m, k, n), x, np.asfortranarray(y), target=TARGETS[width], cuts=(1, 2)), x @ y)


@pytest.mark.parametrize("kinds", ["ee", "HH", "He", "fe"])
def test_half_operands_accumulate_in_float32(kinds):
    for m, k, n in ((30, 700, 40), (2, 50, 40)):
        x, y = integers(m, k), integers(k, n, seed=1)
        a, b = (bfloat(t) if kind == "H" else t.astype(kind) for t, kind in zip((x, y), kinds, strict=True))
        np.testing.assert_array_equal(run(product(m, k, n), a, b, out=np.zeros((m, n), "f")), x @ y)
    out = run(product(m, k, n), *(t.astype("e") for t in (x, y)), out=np.zeros((m, n), "e"))
    np.testing.assert_array_equal(out, (x @ y).astype("e"))


@pytest.mark.parametrize("kind", "fe")
@pytest.mark.parametrize("m,k,n", [(40, 1300, 70), (5, 64, 33)])
def test_epilogue_sees_each_sum_once(m, k, n, kind):
    """Bias over columns, a factor for each row, a residual, then relu; the sum comes in several blocks of the depth."""
    a, b = integers(m, k, kind=kind), integers(k, n, seed=1, kind=kind)
    bias, factor, rest = integers(n, seed=2), integers(m, seed=3), integers(m, n, seed=4)

    def emit(b, total, bias, factor, rest):
        return b.maximum(b.add(b.mul(b.add(total, bias), factor), rest), b.const(0, dtypes.float32))

    inputs = (Operand(dtypes.float32, (m, n), (0, 1)), Operand(dtypes.float32, (m, n), (1, 0)), operand(rest))
    got = run(product(m, k, n), a, b, np.zeros((m, n), kind), Epilogue("test", emit, inputs), (bias, factor, rest))
    want = np.maximum((a.astype("f") @ b.astype("f") + bias) * factor[:, None] + rest, 0)
    np.testing.assert_array_equal(got, want.astype(kind))


def test_output_in_any_strides():
    a, b = integers(37, 50), integers(50, 41, seed=1)
    for out in (np.zeros((41, 37), "f").T, np.zeros((37, 90), "f")[:, 3:85:2], np.zeros((37, 41), "f")[::-1, ::-1]):
        run(product(37, 50, 41), a, b, out)
        np.testing.assert_array_equal(out, a @ b)


def test_no_rounding_differs_between_thread_counts():
    rng = np.random.default_rng(0)
    for m, k, n in ((300, 700, 90), (4, 100, 900), (200, 40, 64)):
        a, b = rng.standard_normal((m, k), dtype="f"), rng.standard_normal((k, n), dtype="f")
        whole = run(product(m, k, n), a, b)
        for cuts in ((1,), (2, 3), range(1, 50)):
            np.testing.assert_array_equal(run(product(m, k, n), a, b, cuts=cuts), whole)
        np.testing.assert_allclose(whole, a.astype("d") @ b, rtol=0, atol=1e-5 * k ** 0.5)


def test_infinities_and_nans_pass():
    a, b = np.ones((20, 30), "f"), np.ones((30, 40), "f")
    a[3, 5], b[7, 9], a[4, 4] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(run(product(20, 30, 40), a, b), a @ b)


def test_sizes_are_arguments():
    """Other sizes, the same code."""
    def key(m, k, n):
        a, b, out = np.empty((m, k), "f"), np.empty((k, n), "f"), np.empty((m, n), "f")
        return lower_contraction(product(m, k, n), operand(a), operand(b), operand(out), None, features.host(),
                                 (0, 1, 2))[0].key
    assert key(64, 100, 200) == key(128, 50, 1000) == key(1000, 2000, 30)


def test_empty():
    assert run(product(0, 5, 4), integers(0, 5), integers(5, 4)).shape == (0, 4)
    np.testing.assert_array_equal(run(product(3, 0, 4), integers(3, 0), integers(0, 4)), np.zeros((3, 4)))


def test_other_types_are_refused():
    a = Operand(dtypes.int32, (4, 4), (4, 1))
    with pytest.raises(NotImplementedError, match="int32"):
        lower_contraction(product(4, 4, 4), a, a, a, None, features.host(), (0, 1, 2))


def test_classification():
    c = Contraction((2, 3, 4, 5), 3, (v(0), v(1), v(3)), (v(0), v(2), v(3)))
    assert classify(c) == ([0], [1], [2], [3])


def test_aarch64_assembly():
    launch = lower_contraction(product(40, 50, 60), *(operand(integers(*s)) for s in ((40, 50), (50, 60), (40, 60))),
                               None, features.AARCH64, (0, 1, 2))[0]
    text = load.assembly(launch.text("kernel"), features.AARCH64)
    assert "fmla" in text and "kernel:" in text


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("n", [5, 16, 17, 33, 40, 48, 49, 65, 96, 200])
def test_tiles_of_halves(dtype, n):
    import diya
    d = getattr(diya, dtype)
    diya.manual_seed(n)
    x, w, b = (diya.randint(-8, 9, s).to(d) for s in ((45, 27), (27, n), (45, n)))
    images, filters = (diya.randint(-4, 5, s).to(d) for s in ((4, 5, 5, 5), (4, 8, 3, 3, 3)))
    for call in (lambda *t: t[0] @ t[1] * 2 + t[2], lambda *t: diya.nn.functional.conv_transpose3d(t[3], t[4])):
        with diya.engine.Tier(1):
            got = call(x, w, b, images, filters).float()
        with diya.engine.Tier(0):
            want = call(*(t.double() for t in (x, w, b, images, filters)))
        assert (got - want).abs().max() <= 2.0 ** (-7 if dtype == "bfloat16" else -10) * want.abs().max()
