"""Graphs by hand and at random, and the comparison of the compiler with the interpreter on them."""

from __future__ import annotations

import numpy as np

import diya  # noqa: F401  (fills the table of primitives)
from diya import dtypes, interpret
from diya.graph import LEAF, PRIMITIVES, SCALAR, Graph, Instruction, contiguous_strides, type_of
from diya.runtime.buffer import Buffer

FLOATS = (dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16)
DTYPES = (*FLOATS, dtypes.bool_, dtypes.uint8, dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64)


class Maker:
    """Builds a graph with its arguments. Methods return positions."""

    def __init__(self, seed: int = 0):
        self.code: list[Instruction] = []
        self.arguments: list = []
        self.random = np.random.default_rng(seed)

    def leaf(self, array: np.ndarray, d=None) -> int:
        array = np.asarray(array)
        d = d or dtypes.FROM_NUMPY[array.dtype]
        self.code.append(Instruction(LEAF, (), None, type_of(array.shape, d)))
        self.arguments.append(Buffer.of(array.copy()))
        return len(self.code) - 1

    def data(self, shape, d, low: float = -2, high: float = 2) -> int:
        """A leaf of random numbers."""
        if d.kind == "b":
            array = self.random.random(shape) < 0.5
        elif d.kind in "ui":
            array = self.random.integers(0 if d.kind == "u" else -4, 7, shape).astype(d.numpy)
        else:
            array = interpret.store_array(np.asarray(self.random.uniform(low, high, shape), d.compute), d)
        return self.leaf(np.asarray(array), d)

    def scalar(self, value, d=dtypes.float32) -> int:
        self.code.append(Instruction(SCALAR, (), None, type_of((), d)))
        self.arguments.append(value)
        return len(self.code) - 1

    def __call__(self, name: str, *inputs: int, attrs=None) -> int:
        op = PRIMITIVES[name]
        self.code.append(Instruction(op, inputs, attrs, op.infer(attrs, *[self.code[j].type for j in inputs])))
        return len(self.code) - 1

    def view(self, x: int, shape, strides, offset: int = 0) -> int:
        return self("view", x, attrs=(tuple(shape), tuple(strides), offset))

    def expand(self, x: int, shape, dims) -> int:
        """A reduced value over the dimensions that were reduced."""
        kept = contiguous_strides([s for d, s in enumerate(shape) if d not in dims])
        strides = iter(kept)
        return self.view(x, shape, [0 if d in dims else next(strides) for d in range(len(shape))])

    def softmax(self, x: int) -> int:
        shape = self.code[x].type.shape
        last = (len(shape) - 1,)
        e = self("exp", self("sub", x, self.expand(self("amax", x, attrs=last), shape, last)))
        return self("div", e, self.expand(self("sum", e, attrs=last), shape, last))

    def type(self, i: int):
        return self.code[i].type

    def graph(self, *outputs: int, donated=()) -> Graph:
        return Graph(tuple(self.code), outputs, tuple(donated)).verify()


def numbers(buffer: Buffer, type) -> np.ndarray:
    return interpret.load_array(buffer.typed(type.shape, type.dtype.numpy), type.dtype)


def check(graph: Graph, arguments: list, target=None, rtol: float = 1e-5, atol: float = 1e-5):
    """Runs a graph on both tiers, compares, and returns the program."""
    from diya.compiler import pipeline
    want = interpret.run(graph, arguments)
    program = pipeline.compile_graph(graph, target)
    given = [Buffer.of(a.array.copy()) if isinstance(a, Buffer) else a for a in arguments]
    got = program.run(given)
    for j, w, x in zip(graph.outputs, want, got, strict=True):
        if isinstance(w, Exception) or isinstance(x, Exception):
            assert type(w) is type(x), (w, x)
            continue
        t = graph.code[j].type
        exact = t.dtype.kind != "f"
        np.testing.assert_allclose(numbers(x, t), numbers(w, t), rtol=0 if exact else rtol, atol=0 if exact else atol,
                                   err_msg=f"%{j}: {t}")
    return program


# -- at random ---------------------------------------------------------------------------------------------------------

DRAWN = (dtypes.float32, dtypes.float64, dtypes.int64, dtypes.int32, dtypes.bool_, dtypes.float16, dtypes.bfloat16,
         dtypes.uint8)
KINDS = ("unary", "binary", "binary", "binary", "compare", "where", "cast", "reduce", "view", "view", "write", "write",
         "fold", "reshape", "gather", "put", "iota", "philox", "constant")


def random_graph(R, steps: int = 14):
    """A graph of all kinds of primitives, with views of every sort, sizes 0 and 1, shared values and donated leaves.
    ``R`` is a `random.Random`. Returns (maker, outputs, donated)."""
    m = Maker(R.randrange(1 << 30))
    sizes = (1, 2, 3, 5, 8, 17) if R.random() < 0.8 else (0, 1, 2, 33, 64)
    shape = tuple([R.choice(sizes) for _ in range(R.randint(0, 4))])
    values = [m.data(shape, R.choice(DRAWN)) for _ in range(2)]
    for _ in range(steps):
        kind, x = R.choice(KINDS), R.choice(values)
        made = globals()["_" + kind](m, R, values, x, m.type(x))
        if made is not None:
            values.append(made)
    computed = [v for v in values if m.code[v].op not in (LEAF, SCALAR)]
    outputs = R.sample(computed, min(len(computed), R.randint(1, 4)))
    if computed and R.random() < 0.7 and computed[-1] not in outputs:
        outputs.append(computed[-1])
    donated = [i for i, n in enumerate(m.code) if n.op is LEAF and R.random() < 0.3]
    return m, outputs, donated


def _partner(m, R, values, t, shape=None):
    """A second operand: one of the same shape, a scalar, or a leaf that broadcasts."""
    same = [j for j in values if m.type(j) is t]
    if same and R.random() < 0.6:
        return R.choice(same)
    if R.random() < 0.3:
        return m.scalar(True if t.dtype.kind == "b" else R.choice((0, 1, 2, 3)), t.dtype)
    cut = R.randint(0, len(t.shape)) if R.random() < 0.2 else 0
    return m.data(tuple([1 if R.random() < 0.25 else s for s in t.shape[cut:]]), t.dtype)


def _unary(m, R, values, x, t):
    names = {"f": ("neg", "abs", "sqrt", "floor", "sign", "sin", "exp", "tanh"), "b": ("bitwise_not",)}
    return m(R.choice(names.get(t.dtype.kind, ("abs", "bitwise_not", "sign"))), x)


def _binary(m, R, values, x, t):
    names = ("bitwise_and", "bitwise_or", "bitwise_xor") if t.dtype.kind == "b" else \
        ("add", "mul", "sub", "maximum", "minimum", *(("floor_divide", "remainder") if t.dtype.kind in "iu" else ()))
    y = _partner(m, R, values, t)
    return m(R.choice(names), *R.choice(((x, y), (y, x))))


def _compare(m, R, values, x, t):
    return m(R.choice(("eq", "lt", "ge", "ne")), x, _partner(m, R, values, t))


def _where(m, R, values, x, t):
    masks = [j for j in values if m.type(j) is type_of(t.shape, dtypes.bool_)]
    mask = R.choice(masks) if masks else m.data(t.shape, dtypes.bool_)
    return m("where", mask, x, _partner(m, R, values, t))


def _cast(m, R, values, x, t):
    return m("cast", x, attrs=R.choice(DRAWN))


def _reduce(m, R, values, x, t):
    if not t.shape:
        return None
    dims = tuple(sorted(R.sample(range(len(t.shape)), R.randint(1, len(t.shape)))))
    name = R.choice(("sum", "sum", "amax", "amin", "any", "all", "prod", "argmax", "argmin"))
    if name in ("sum", "prod") and t.dtype.kind in "bu":
        name = "amax"
    if name in ("amax", "amin", "argmax", "argmin") and not t.numel:
        return None
    return m(name, x, attrs=dims[0] if name.startswith("arg") else dims)


def _strided(R, t, overlaps: bool):
    """A random view: permuted, sliced, stepped, flipped, selected, and (where allowed) repeated or windowed."""
    shape, strides, offset = [], [], 0
    dims = list(range(len(t.shape)))
    if R.random() < 0.5:
        R.shuffle(dims)
    for d in dims:
        n, step, how = t.shape[d], t.strides[d], R.random()
        if how < 0.15 and n:
            offset += R.randrange(n) * step
            continue
        if how < 0.3 and n > 1:
            first = R.randrange(n)
            offset += first * step
            n = R.randint(1, n - first)
        elif how < 0.45 and n > 1:
            offset += (n - 1) * step
            step = -step
        elif how < 0.55 and n > 2:
            n, step = (n + 1) // 2, 2 * step
        shape.append(n)
        strides.append(step)
    if overlaps and R.random() < 0.3:
        at = R.randint(0, len(shape))
        shape.insert(at, R.choice((1, 2, 4)))
        strides.insert(at, 0)
    if overlaps and R.random() < 0.2 and shape:
        d = R.randrange(len(shape))
        if strides[d] > 0 and shape[d] >= 3:
            shape[d] -= 1
            shape.append(2)
            strides.append(strides[d])
    return tuple(shape), tuple(strides), offset


def _view(m, R, values, x, t):
    return m("view", x, attrs=_strided(R, t, True))


def _write(m, R, values, x, t):
    if not t.numel:
        return None
    at = _strided(R, t, False)
    fitting = [j for j in values if m.type(j) is type_of(at[0], t.dtype)]
    if fitting and R.random() < 0.5:
        v = R.choice(fitting)
    elif t.dtype.kind not in "bu" and R.random() < 0.5:
        v = m("neg", m("view", x, attrs=at))
    else:
        v = m.data(at[0], t.dtype)
    return m("write", x, v, attrs=at)


def _fold(m, R, values, x, t):
    if not t.numel or t.dtype.kind == "b":
        return None
    at = _strided(R, t, True)
    return m("fold", m.data(at[0], t.dtype), attrs=(tuple(t.shape), at))


def _reshape(m, R, values, x, t):
    n, shape = t.numel, []
    while n > 1 and len(shape) < 3:
        shape.append(R.choice([f for f in range(1, n + 1) if n % f == 0]))
        n //= shape[-1]
    shape.append(n)
    return m.view(x, shape, contiguous_strides(shape))


def _indices(m, R, t, dim: int, shape, wraps: bool = True):
    """Positions along a dimension, negative ones among them (where they wrap) and, rarely, one out of range."""
    high, low = t.shape[dim] + (R.random() < 0.05), -t.shape[dim] if wraps else -(R.random() < 0.05)
    return m.leaf(np.asarray(m.random.integers(low, high, shape)))


def _gather(m, R, values, x, t):
    if not t.shape or not t.numel:
        return None
    if R.random() < 0.5:
        dim, shape = R.randrange(len(t.shape)), [R.randint(1, s) for s in t.shape]
        shape[dim] = R.randint(1, 6)
        return m("gather", x, _indices(m, R, t, dim, tuple(shape), False), attrs=dim)
    shape = tuple([R.choice((1, 3, 4)) for _ in range(R.randint(0, 2))])
    return m("index", x, *[_indices(m, R, t, d, shape) for d in range(R.randint(1, len(t.shape)))])


def _put(m, R, values, x, t):
    if not t.shape or not t.numel:
        return None
    half = t.dtype in (dtypes.float16, dtypes.bfloat16)
    if R.random() < 0.5:
        dim, shape = R.randrange(len(t.shape)), [R.randint(1, s) for s in t.shape]
        shape[dim] = R.randint(1, 6)
        how = "set" if half or t.dtype.kind == "b" else R.choice(("set", "sum", "amax", "amin"))
        at = _indices(m, R, t, dim, tuple(shape), False)
        return m("scatter", x, at, m.data(tuple(shape), t.dtype), attrs=(dim, how))
    shape, k = tuple([R.choice((1, 3, 4)) for _ in range(R.randint(0, 2))]), R.randint(1, len(t.shape))
    v = m.data(shape + tuple(t.shape[k:]), t.dtype)
    return m("index_put", x, v, *[_indices(m, R, t, d, shape) for d in range(k)], attrs=R.random() < 0.5 and not half)


def _iota(m, R, values, x, t):
    return m("iota", attrs=(R.choice((1, 3, 20)), R.choice((dtypes.int64, dtypes.float32, dtypes.int32))))


def _philox(m, R, values, x, t):
    seed, block = R.choice((7, -1, 1 << 40)), R.choice((0, 5, (1 << 33) + 1, -2))
    return m("philox", m.scalar(seed, dtypes.int64), m.scalar(block, dtypes.int64), attrs=tuple(t.shape))


def _constant(m, R, values, x, t):
    return m.view(m.scalar(1, t.dtype), t.shape, [0] * len(t.shape))
