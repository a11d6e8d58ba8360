"""log, sin and cos in float32 as the Cephes library computes them (Moshier, https://www.netlib.org/cephes, logf.c and
sinf.c), with every polynomial step fused, which is what PyTorch's vector code (Pommier's avx_mathfun) compiles to. numpy's own
differ from it by up to 3 units in the last place; PyTorch's random numbers are made of these.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
        2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)
SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
PI_4 = (0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8)


def _fused(a: np.ndarray, b: np.ndarray | float, c: np.ndarray | float) -> np.ndarray:
    """Float32 ``a * b + c`` rounded once; ``b`` and ``c`` hold float32 values, as float64 where they are arrays."""
    return (a.astype(np.float64) * b + c).astype(np.float32)


def _horner(x: np.ndarray, coefficients: Sequence[float]) -> np.ndarray:
    wide = x.astype(np.float64)
    y = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        y = _fused(y, wide, float(np.float32(c)))
    return y


def log(x: np.ndarray) -> np.ndarray:
    """log of positive normal numbers."""
    bits = x.view(np.int32)
    exponent = (bits >> 23) - 126
    m = (bits & 0x007FFFFF | 0x3F000000).view(np.float32)  # x = m * 2**exponent, 0.5 <= m < 1
    small = m < np.float32(0.707106781186547524)
    exponent = (exponent - small).astype(np.float32)
    m = m - np.float32(1) + np.where(small, m, np.float32(0))
    square = m * m
    tail = _horner(m, LOG) * m
    low = (exponent * np.float32(LN2_LOW)).astype(np.float64)
    tail = _fused(tail, square.astype(np.float64), low)
    tail = _fused(square, -0.5, tail)
    return _fused(exponent, LN2_HIGH, m + tail)


def sine_cosine(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sin and cos of numbers in [0, 8192)."""
    octant = ((x * np.float32(4 / np.pi)).astype(np.int32) + 1) & ~1
    y = octant.astype(np.float32)
    for part in PI_4:
        x = _fused(y, -float(np.float32(part)), x)
    square = x * x
    wide = square.astype(np.float64)
    cosine = _horner(square, COS) * square
    cosine = _fused(cosine, wide, -0.5 * wide) + np.float32(1)
    sine = _horner(square, SIN) * square
    sine = _fused(sine, x.astype(np.float64), x)
    swap = (octant & 2) != 0
    sine, cosine = np.where(swap, cosine, sine), np.where(swap, sine, cosine)
    sine[(octant & 4) != 0] *= -1
    cosine[((octant + 2) & 4) != 0] *= -1
    return sine, cosine
