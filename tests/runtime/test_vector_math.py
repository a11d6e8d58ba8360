"""Vector maths: accuracy in ulp, special values, and the compiled form against the same code on numpy arrays."""

from __future__ import annotations

import ctypes
import math

import numpy as np
import pytest

from diya import dtypes
from diya.compiler.emit import vector_math
from runtime.numpy_builder import evaluate

INF, NAN = math.inf, math.nan
LIMIT = {"sigmoid": 2.5, "acosh": 2.1}  # ulp; the others 2
UNARY = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10,
    "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "sigmoid": lambda x: np.where(x < 0, np.exp(x), 1) / (1 + np.exp(-abs(x)))}
BINARY = {"atan2": np.arctan2, "hypot": np.hypot, "pow": np.power}
WIDE = {np.float32: np.float64, np.float64: np.longdouble}
needs_longdouble = np.finfo(np.longdouble).nmant >= 63
TYPES = [np.float32, pytest.param(np.float64, marks=pytest.mark.skipif(
    not needs_longdouble, reason="the reference needs a longdouble wider than float64"))]


def samples(t, n=4000, seed=0):
    """Numbers of every magnitude, and many where the functions are interesting."""
    rng = np.random.default_rng(seed)
    bits = np.int32 if t is np.float32 else np.int64
    anything = rng.integers(np.iinfo(bits).min, np.iinfo(bits).max, n, bits).view(t)
    parts = [anything[np.isfinite(anything)], rng.uniform(-1, 1, n), rng.uniform(-10, 10, n), rng.uniform(-100, 100, n),
             rng.uniform(0.5, 2, n), 1 + rng.normal(size=n) * 1e-3]
    return rng.permutation(np.concatenate([p.astype(t) for p in parts]))


def ulps(got, exact):
    """Errors in units of the last place of the correctly rounded result."""
    t = got.dtype.type
    with np.errstate(all="ignore"):
        rounded = exact.astype(t)
        error = np.abs(got.astype(exact.dtype) - exact) / np.abs(np.spacing(rounded)).astype(exact.dtype)
    error = np.where((got == rounded) & ~np.isfinite(rounded) | np.isnan(got) & np.isnan(rounded), 0, error)
    return np.where(np.isnan(error), INF, error).astype(float)


@pytest.mark.parametrize("t", TYPES)
@pytest.mark.parametrize("name", UNARY)
def test_accuracy(name, t):
    x = samples(t)
    with np.errstate(all="ignore"):
        exact = UNARY[name](x.astype(WIDE[t]))
    errors = ulps(evaluate(getattr(vector_math, name), x), exact)
    worst = int(errors.argmax())
    assert errors[worst] <= LIMIT.get(name, 2), f"{name}({x[worst]!r}): {errors[worst]:.2f} ulp"


@pytest.mark.parametrize("t", TYPES)
@pytest.mark.parametrize("name", BINARY)
def test_accuracy_of_two(name, t):
    x, y = samples(t), samples(t, seed=1)
    n = min(len(x), len(y))
    x, y = x[:n], y[:n]
    if name == "pow":
        rng = np.random.default_rng(2)
        x = np.concatenate([np.abs(x), rng.uniform(0, 5, 8000).astype(t), rng.uniform(0.9, 1.1, 8000).astype(t)])
        y = np.concatenate([y, rng.uniform(-100, 100, 8000).astype(t), rng.uniform(-700, 700, 8000).astype(t)])
    with np.errstate(all="ignore"):
        exact = BINARY[name](x.astype(WIDE[t]), y.astype(WIDE[t]))
    errors = ulps(evaluate(getattr(vector_math, name), x, y), exact)
    worst = int(errors.argmax())
    assert errors[worst] <= 2, f"{name}({x[worst]!r}, {y[worst]!r}): {errors[worst]:.2f} ulp"


@pytest.mark.parametrize("t, limit", [(np.float32, {"erf": 1, "erfc": 2.7}), (np.float64, {"erf": 3, "erfc": 6})])
def test_error_function(t, limit):
    """Against the C library's, which in float64 errs by an ulp or so itself (erfc by more)."""
    x = np.concatenate([np.linspace(-6, 6, 2001), np.linspace(-1, 1, 501), np.linspace(0, 28, 2001),
                        [5e-324, 1e-300, 1e-30, 1e-5]]).astype(t)
    for name, reference in (("erf", math.erf), ("erfc", math.erfc)):
        exact = np.array([reference(v) for v in x.tolist()])
        errors = ulps(evaluate(getattr(vector_math, name), x), exact.astype(WIDE[t]))
        worst = int(errors.argmax())
        assert errors[worst] <= limit[name], f"{name}({x[worst]!r}): {errors[worst]:.2f} ulp"


def test_double_precision_against_mpmath():
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.prec = 200
    x = np.random.default_rng(3).uniform(-1, 1, 40)
    for name in (*UNARY, "erf", "erfc"):
        if name == "sigmoid":
            continue
        v = x * {"acosh": 0.2, "exp": 700, "cosh": 700, "sinh": 700, "erf": 3, "erfc": 25, "sin": 1e300, "cos": 1e300,
                 "tan": 1e300}.get(name, 1) + {"acosh": 1.3, "log": 1.5, "log2": 1.5, "log10": 1.5}.get(name, 0)
        function = {"log2": lambda a: mpmath.log(a, 2), "exp2": lambda a: mpmath.mpf(2) ** a}.get(
            name, getattr(mpmath, name, None))
        got = evaluate(getattr(vector_math, name), v)
        for a, g in zip(v.tolist(), got.tolist(), strict=True):
            exact = function(mpmath.mpf(a))
            assert abs(mpmath.mpf(g) - exact) <= 2.7 * math.ulp(float(exact)), (name, a)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 1e10, -1e10, INF, -INF, NAN]


def same(got, expected, name, x):
    rounded = np.isclose(got, expected, rtol=1e-6, atol=1e-45, equal_nan=True)
    zero = (expected == 0) & ((got != 0) | (np.signbit(got) != np.signbit(expected)))
    wrong = ~rounded | zero
    assert not wrong.any(), [(name, a, g, e) for a, g, e in zip(x[wrong], got[wrong], expected[wrong], strict=True)]


@pytest.mark.parametrize("t", [np.float32, np.float64])
@pytest.mark.parametrize("name", [*UNARY, "erf", "erfc"])
def test_special_values(name, t):
    """Zeros with their signs, infinities, NaN, the edges of the type."""
    info = np.finfo(t)
    x = np.array([*SPECIAL, info.max, -info.max, info.tiny, -info.tiny, info.smallest_subnormal,
                  -info.smallest_subnormal], t)
    if name in UNARY:
        with np.errstate(all="ignore"):
            expected = UNARY[name](x)
    else:
        expected = np.array([getattr(math, name)(v) for v in x.tolist()]).astype(t)
    same(evaluate(getattr(vector_math, name), x), expected, name, x)


@pytest.mark.parametrize("t", [np.float32, np.float64])
@pytest.mark.parametrize("name", BINARY)
def test_special_values_of_two(name, t):
    info = np.finfo(t)
    values = np.array([*SPECIAL, info.max, info.tiny, info.smallest_subnormal, -info.smallest_subnormal, 4.0, 5.0], t)
    x, y = (a.ravel() for a in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        expected = BINARY[name](x, y)
    got = evaluate(getattr(vector_math, name), x, y)
    subnormal = (np.abs(expected) < info.tiny) & (expected != 0)  # a quotient of subnormals has few bits
    same(got[~subnormal], expected[~subnormal], name, np.stack([x, y], 1)[~subnormal])
    assert (np.signbit(got) == np.signbit(expected))[subnormal].all()


def test_exact_results():
    for t in (np.float32, np.float64):
        powers = np.arange(-1022 if t is np.float64 else -126, 1023 if t is np.float64 else 127).astype(t)
        assert (evaluate(vector_math.exp2, powers) == np.exp2(powers)).all()
        assert (evaluate(vector_math.log2, np.exp2(powers)) == powers).all()
        whole = np.arange(23 if t is np.float64 else 11).astype(t)
        tens = np.array([10.0**int(k) for k in whole]).astype(t)
        assert (evaluate(vector_math.log10, tens) == whole).all()
        assert (evaluate(vector_math.pow, np.full_like(whole, 10), whole) == tens).all()
        assert (evaluate(vector_math.pow, np.arange(-50, 50).astype(t), np.full(100, 2, t)) == np.arange(-50, 50.) ** 2
                ).all()


# The compiled form

def compiled(name: str, dtype, operands: int, lanes: int):
    """A native function of arrays, through the emitter's builder."""
    load = pytest.importorskip("diya.runtime.cpu.load")
    from diya.compiler.emit.llvm import Builder
    from diya.compiler.emit.text import Function

    f = Function("kernel", [("ptr", "buffers"), ("ptr", "args"), ("i64", "begin"), ("i64", "end"), ("ptr", "scratch")])
    b = Builder(f, lanes)
    pointers = [f.load("ptr", f.at("ptr", "%buffers", i)) for i in range(operands + 1)]
    element = {4: "float", 8: "double", 2: "half"}[dtype.itemsize]
    with f.loop("%begin", "%end", lanes) as turn:
        x = [b.load(f.at(element, p, turn.i), dtype, lanes) for p in pointers[:-1]]
        b.store(getattr(b, name)(*x), f.at(element, pointers[-1], turn.i), lanes)
    f.do("ret void")
    text = "\n".join([str(f), *sorted(f.declared)])
    (entry,) = load.load([("kernel", text)])
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)

    def run(*arrays):
        out = np.empty_like(arrays[0])
        table = (ctypes.c_void_p * (operands + 1))(*(a.ctypes.data for a in (*arrays, out)))
        call(entry)(ctypes.addressof(table), None, 0, len(out), None)
        return out
    run.entry = entry
    return run


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", [*UNARY, *BINARY, "erf", "erfc"])
def test_compiled_is_the_same(name, dtype):
    pytest.importorskip("llvmlite")
    operands = 2 if name in BINARY else 1
    lanes = 64 // dtype.itemsize
    arrays = [samples(dtype.numpy.type, 500, seed)[:2560].copy() for seed in range(operands)]
    for a in arrays:
        a[:len(SPECIAL)] = SPECIAL
    got = compiled(name, dtype, operands, lanes)(*arrays)
    expected = evaluate(getattr(vector_math, name), *arrays)
    ulp = np.where(np.isfinite(expected), np.abs(np.spacing(expected)), 1)
    with np.errstate(all="ignore"):
        close = (np.abs(got - expected) <= ulp) | (got == expected) | np.isnan(got) & np.isnan(expected)
    assert close.all(), [(a[~close][:3], got[~close][:3], expected[~close][:3]) for a in arrays]
    assert (got == expected).mean() + np.isnan(expected).mean() > 0.999  # numpy's stand-in for fma may round twice


def test_half_precision_goes_through_float32():
    pytest.importorskip("llvmlite")
    x = np.linspace(-8, 8, 4096).astype(np.float16)
    got = compiled("tanh", dtypes.float16, 1, 16)(x)
    assert (got == np.tanh(x.astype(np.float64)).astype(np.float16)).all()


def test_integers_are_refused():
    from runtime.numpy_builder import NumpyBuilder, Value

    with pytest.raises(TypeError, match="exp is a function of floating-point values, got torch.int32"):
        vector_math.exp(NumpyBuilder(), Value(np.int32(1), dtypes.int32))
