"""A buffer: bytes in memory at a known address, owned or borrowed."""

from __future__ import annotations

import numpy as np

ALIGNMENT = 64


class Buffer:
    """``nbytes`` bytes at ``address``. ``array`` is a uint8 numpy array over exactly them, and keeps them alive."""

    __slots__ = ("array", "address", "nbytes", "__weakref__")

    def __init__(self, array: np.ndarray):
        self.array = array
        self.nbytes = array.nbytes
        self.address = array.__array_interface__["data"][0]

    @staticmethod
    def of(array: np.ndarray) -> Buffer:
        """The buffer of an array's own memory (a copy only if it is not C-contiguous)."""
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
        return Buffer(array.reshape(-1).view(np.uint8))

    def typed(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return self.array.view(dtype).reshape(shape)


def allocate(nbytes: int) -> Buffer:
    """An uninitialised buffer, aligned for vector loads. Raises MemoryError, naming the size, if there is none."""
    try:
        raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    except MemoryError:
        raise MemoryError(f"out of memory: could not allocate {nbytes:,} bytes on the CPU") from None
    start = -raw.__array_interface__["data"][0] % ALIGNMENT
    return Buffer(raw[start:start + nbytes])
