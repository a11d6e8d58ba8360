"""numpy arrays in memory from the pool: its pages have been touched before, which saves most of the time of a copy."""

from __future__ import annotations

from math import prod

import numpy as np

from .buffer import Buffer, allocate

SMALL = 1 << 16  # bytes below which the C library's memory is as warm


class _Memory:
    """What an array over a buffer has as its base. (Were it an array, views would have that as theirs.)"""

    __slots__ = ("buffer", "__array_interface__")

    def __init__(self, buffer: Buffer, shape: tuple[int, ...], dtype: np.dtype):
        self.buffer = buffer
        self.__array_interface__ = {"shape": shape, "typestr": dtype.str, "data": (buffer.address, False), "version": 3}


def empty(shape, dtype) -> np.ndarray:
    """An uninitialised array. Views of it have it as their base, as views of an array with memory of its own do."""
    shape, dtype = tuple(shape), np.dtype(dtype)
    nbytes = prod(shape) * dtype.itemsize
    if nbytes < SMALL:
        return np.empty(shape, dtype)
    return np.asarray(_Memory(allocate(nbytes), shape, dtype))


BLOCK = 128          # elements of a row of a transposed copy at a time: what they lie in fits the innermost cache
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
