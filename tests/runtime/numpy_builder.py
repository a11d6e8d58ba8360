"""The abstract builder on numpy arrays: emit rules and vector maths run as they are, one numpy call an instruction."""

from __future__ import annotations

import numpy as np

from diya import dtypes


class Value:
    def __init__(self, array, dtype):
        self.array, self.dtype = np.asarray(array), dtype
        assert self.array.dtype == dtype.numpy, (self.array.dtype, dtype)


class NumpyBuilder:
    """Only what `vector_math` asks of a builder."""

    def const(self, value, dtype):
        with np.errstate(over="ignore"):
            return Value(np.array(value).astype(dtype.numpy), dtype)

    def fma(self, x, y, z):
        """One rounding: exact in float64 for float32 (up to double rounding), by error-free transforms for float64."""
        a, b, c = x.array, y.array, z.array
        if x.dtype is dtypes.float32:
            return Value((a.astype(np.float64) * b + c).astype(np.float32), x.dtype)
        product, error = _two_product(a, b)
        total, rest = _two_sum(product, c)
        exact = total + (rest + error)
        return Value(np.where(np.isfinite(exact), exact, a * b + c), x.dtype)

    def where(self, c, x, y):
        assert x.dtype is y.dtype
        return Value(np.where(c.array, x.array, y.array), x.dtype)

    def rarely(self, condition, rare, common):
        return tuple(self.where(condition, r, c) for r, c in zip(rare(), common, strict=True))

    def cast(self, x, dtype):
        return Value(x.array.astype(dtype.numpy), dtype)

    def bits(self, x):
        return self.from_bits(x, {4: dtypes.int32, 8: dtypes.int64}[x.dtype.itemsize])

    def from_bits(self, x, dtype):
        return Value(np.ascontiguousarray(x.array).view(dtype.numpy).reshape(x.array.shape), dtype)

    def shl(self, x, n):
        unsigned = x.array.astype(f"u{x.dtype.itemsize}") << n.array.astype(f"u{x.dtype.itemsize}")
        return Value(unsigned.astype(x.dtype.numpy), x.dtype)

    def __getattr__(self, name):
        function = {"div": np.divide, "neg": np.negative, "abs": np.abs, "mul": np.multiply, "sub": np.subtract,
                    "round": np.rint, "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
                    "gt": np.greater, "ge": np.greater_equal, "and_": np.bitwise_and, "or_": np.bitwise_or,
                    "xor": np.bitwise_xor, "not_": np.bitwise_not, "sar": np.right_shift,
                    }.get(name) or getattr(np, name)

        def instruction(*values):
            assert len({v.dtype for v in values}) == 1, (name, [v.dtype for v in values])
            result = function(*(v.array for v in values))
            return Value(result, dtypes.bool_ if result.dtype == bool else values[0].dtype)
        return instruction


def _two_sum(a, b):
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _two_product(a, b):
    def split(x):
        t = x * 134217729.0
        high = t - (t - x)
        return high, x - high
    (ah, al), (bh, bl) = split(a), split(b)
    p = a * b
    return p, ((ah * bh - p) + ah * bl + al * bh) + al * bl


def evaluate(function, *arrays):
    """A function of `vector_math` on numpy arrays of float32 or float64."""
    dtype = dtypes.FROM_NUMPY[arrays[0].dtype]
    with np.errstate(all="ignore"):
        result = function(NumpyBuilder(), *(Value(a, dtype) for a in arrays)).array
    return np.broadcast_to(result, np.broadcast_shapes(*(a.shape for a in arrays)))
