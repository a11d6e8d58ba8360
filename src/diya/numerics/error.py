"""The error function and its complement over float32 and float64 arrays.

Polynomials are those of the compiler's vector maths, so both tiers round nearly alike. Arrays are worked through a piece
at a time, all steps in place, so that they stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..compiler.emit.coefficients import ERF, ERF_LOG, ERFCX
from ..runtime.arrays import empty

PIECE = 1 << 14


def _by_pieces(function: Callable) -> Callable:
    """``function(x)`` of small flat arrays over a float array of any shape; ``out`` may be ``x`` itself."""
    def over(x, out: np.ndarray | None = None):
        x = np.asarray(x)
        if x.dtype not in (np.float32, np.float64):
            return over(x.astype(np.float64))
        flat = np.ascontiguousarray(x).reshape(-1)
        made = empty(x.shape, x.dtype) if out is None or not out.flags.c_contiguous else out
        pieces = made.reshape(-1)
        with np.errstate(all="ignore"):
            for start in range(0, flat.size, PIECE):
                pieces[start:start + PIECE] = function(flat[start:start + PIECE])
        if out is not None and made is not out:
            out[...] = made
            return out
        return made
    over.__name__, over.__doc__ = function.__name__, function.__doc__
    return over


def _horner(coefficients: tuple[float, ...], z: np.ndarray) -> np.ndarray:
    out = z * coefficients[-1]
    for c in coefficients[-2:0:-1]:
        out += c
        out *= z
    out += coefficients[0]
    return out


def _near_zero(x: np.ndarray, name: str) -> np.ndarray:
    """erf(x) as x + x·P(x²), which holds for |x| ≤ 1."""
    out = _horner(ERF[name], x * x)
    out *= x
    out += x
    return out


@_by_pieces
def erf(x):
    """x·P(x²) up to 1, then 1 − exp(−g(|x|)) with a polynomial for g = −log(erfc)."""
    name = x.dtype.name
    size = np.abs(x)
    out = _horner(ERF_LOG[name], np.minimum(size, 4.0 if name == "float32" else 6.0))  # from there on erf is 1
    np.exp(np.negative(out, out=out), out=out)
    np.subtract(1, out, out=out)
    out = np.where(size < 1, _near_zero(size, name), out)
    return np.copysign(out, x, out=out)


@_by_pieces
def erfc(x):
    """1 − erf(x), accurate where that is small: exp(−x²)·erfcx(|x|), where (1+2x)·erfcx(x) is a polynomial in
    (x−4)/(x+4) (Shepherd and Laframboise, Mathematics of Computation 36, 1981)."""
    name = x.dtype.name
    x = x.astype(np.float64)
    size = np.minimum(np.abs(x), 27.25)  # from there on erfc is 0
    out = _horner(ERFCX[name], (size - 4) / (size + 4))
    out += 1.1875
    out /= 2 * size + 1
    square = size * size
    out *= np.exp(-square)
    if name == "float64":
        out *= 1 - square_error(size, square)
    np.subtract(2, out, out=out, where=x < 0)
    return np.where(np.abs(x) < 0.5, 1 - _near_zero(x, name), out)


def square_error(x, square):
    """x² − fl(x²), exactly (Dekker)."""
    c = 134217729.0 * x
    top = c - (c - x)
    rest = x - top
    return ((top * top - square) + 2 * top * rest) + rest * rest
