"""numpy arrays in memory from the pool: its pages have been touched before, which saves most of the time of a copy."""

from __future__ import annotations

from math import prod

import numpy as np

from .buffer import allocate


def empty(shape, dtype) -> np.ndarray:
    """An uninitialised array."""
    dtype = np.dtype(dtype)
    return allocate(prod(shape) * dtype.itemsize).typed(tuple(shape), dtype)


BLOCK = 256          # elements of a row of a transposed copy at a time: what they lie in fits the innermost cache
LARGE = 1 << 12      # elements from which on blocks pay


def copy(x: np.ndarray) -> np.ndarray:
    """A C-contiguous copy."""
    out = empty(x.shape, x.dtype)
    assign(out, x)
    return out


def assign(out: np.ndarray, x: np.ndarray) -> None:
    """``out[...] = x``. Where memory lies the other way round in ``x``, rows are cut into blocks: numpy goes along rows of
    ``out``, and would fetch a line of memory for each element."""
    n = x.shape[-1] if x.ndim > 1 else 0
    if n >= 2 * BLOCK and x.size >= LARGE and abs(x.strides[-1]) > x.itemsize \
            and any(0 < abs(s) < abs(x.strides[-1]) and m > 1 for s, m in zip(x.strides, x.shape, strict=True)):
        for start in range(0, n, BLOCK):
            out[..., start:start + BLOCK] = x[..., start:start + BLOCK]
    else:
        np.copyto(out, x)
