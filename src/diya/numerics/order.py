"""Sorting and ranking over the last axis, by numpy's vectorised sort of integers.

``np.sort`` of 64-bit integers takes a few nanoseconds an element; a stable ``np.argsort`` takes twenty times as long. So a
key and its position are packed into one integer wherever they fit: positions break ties, which makes the order stable.
NaN counts as larger than all numbers, and -0.0 equals 0.0, as PyTorch has it.
"""

from __future__ import annotations

import numpy as np

from ..runtime.arrays import empty

LONG_ROW = 4096  # elements from which on a row is worth a pass of Python of its own


def keys(x: np.ndarray, descending: bool = False) -> np.ndarray:
    """Integers that are ordered as the elements of ``x`` are, equal where those are."""
    if x.dtype.kind == "f":
        width = np.dtype(f"i{x.dtype.itemsize}")
        k = (x + x.dtype.type(0)).view(width)  # -0.0 becomes 0.0
        k ^= (k >> (8 * width.itemsize - 1)) & np.iinfo(width).max
        nan = np.isnan(x)
        if nan.any():
            k[nan] = np.iinfo(width).max
    else:
        k = x.view(np.uint8) if x.dtype.kind == "b" else x
    return ~k if descending else k


def _packed(k: np.ndarray, bits: int) -> np.ndarray | None:
    """Keys above ``bits`` bits of position; None where they do not fit 64 bits."""
    if k.dtype.itemsize > 4:
        low = int(k.min())
        if (int(k.max()) - low).bit_length() + bits > 63:
            return None
        p = np.subtract(k, k.dtype.type(low), out=empty(k.shape, k.dtype)).view(np.int64)
    else:
        if bits > 31:
            return None
        p = empty(k.shape, np.int64)
        np.copyto(p, k)
        if k.dtype == np.uint32:
            p -= 1 << 31
    p <<= bits
    p |= np.arange(k.shape[-1])
    return p


def _positions(packed: np.ndarray, bits: int) -> np.ndarray:
    packed.sort(axis=-1)
    packed &= (1 << bits) - 1
    return packed


def stable_order(x: np.ndarray, descending: bool = False) -> np.ndarray:
    """The permutation (int64) that sorts each row, equal elements in the order in which they stand."""
    if not x.size:
        return np.zeros(x.shape, np.int64)
    bits = (x.shape[-1] - 1).bit_length()
    k = keys(x, descending)
    packed = _packed(k, bits)
    if packed is not None:
        return _positions(packed, bits)
    order = np.argsort(k, axis=-1)
    ordered = np.take_along_axis(k, order, -1)
    new = ordered[..., 1:] != ordered[..., :-1]
    if new.all():
        return order
    rank = np.zeros(k.shape, np.int64)  # equal elements have the same one
    np.cumsum(new, axis=-1, out=rank[..., 1:])
    rank <<= bits
    rank |= order
    return _positions(rank, bits)


def stable_top(x: np.ndarray, k: int, largest: bool) -> np.ndarray:
    """The positions of the ``k`` first elements of each row in (stable) order."""
    n = x.shape[-1]
    if n < LONG_ROW or not 0 < k < n // 4:
        return stable_order(x, largest)[..., :k]
    out = np.empty((*x.shape[:-1], k), np.int64)
    for at in np.ndindex(*x.shape[:-1]):
        row = x[at]
        last = np.partition(row, n - k)[n - k] if largest else np.partition(row, k - 1)[k - 1]
        among = np.flatnonzero(~(row < last) if largest else ~(row > last))  # NaN among them
        out[at] = among[stable_order(row[among], largest)[:k]]
    return out


def runs(ordered: np.ndarray) -> np.ndarray:
    """Of each element of sorted rows, how often it has come up to there: 1, 2, … along a run of equals."""
    place = np.arange(ordered.shape[-1])
    starts = np.zeros(ordered.shape, np.int64)
    np.multiply(ordered[..., 1:] != ordered[..., :-1], place[1:], out=starts[..., 1:])
    np.maximum.accumulate(starts, axis=-1, out=starts)
    return place - starts + 1


def distinct(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct elements of a flat array in order, of each element which one it is, and how often each occurs. NaN
    equals nothing."""
    order = stable_order(x)
    ordered = x[order]
    new = _first_of_runs(ordered)
    starts = np.flatnonzero(new)
    inverse = np.empty(x.shape, np.int64)
    inverse[order] = np.cumsum(new) - 1
    return ordered[starts], inverse, np.diff(starts, append=x.size)


def distinct_values(x: np.ndarray) -> np.ndarray:
    """The distinct elements of a flat array in order."""
    ordered = np.sort(x)
    return np.compress(_first_of_runs(ordered), ordered)


def _first_of_runs(ordered: np.ndarray) -> np.ndarray:
    new = np.ones(ordered.shape, bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return new
