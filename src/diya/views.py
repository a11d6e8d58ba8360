"""Strided views as pure arithmetic on (shape, strides, offset), in elements of a dense row-major buffer."""

from __future__ import annotations

from functools import lru_cache

from .graph import contiguous_strides


def is_contiguous(shape, strides) -> bool:
    """Row-major without gaps; strides of dimensions of size 1 do not matter, and an empty tensor is contiguous."""
    n = 1
    for s, st in zip(reversed(shape), reversed(strides), strict=True):
        if s == 0:
            return True
        if s != 1:
            if st != n:
                return False
            n *= s
    return True


def extent(shape, strides, offset) -> tuple[int, int]:
    """The lowest and highest element that a view touches; (offset, offset - 1) for an empty one."""
    low = high = offset
    for s, st in zip(shape, strides, strict=True):
        if s == 0:
            return offset, offset - 1
        if st > 0:
            high += (s - 1) * st
        else:
            low += (s - 1) * st
    return low, high


def overlaps_itself(shape, strides) -> bool:
    """Whether two indices may name one element (conservatively, as PyTorch decides it: sorted strides must nest)."""
    if 0 in shape:
        return False
    dims = sorted((abs(st), s) for s, st in zip(shape, strides, strict=True) if s > 1)
    reach = 0
    for st, s in dims:
        if st <= reach:
            return True
        reach += (s - 1) * st
    return False


def memory_order(shape, strides) -> tuple[int, ...]:
    """Dimensions from the slowest to the fastest in memory (stable for equal strides)."""
    return tuple(sorted(range(len(shape)), key=lambda d: (-abs(strides[d]), shape[d] == 1)))


def is_dense(shape, strides) -> bool:
    """Whether the elements fill a block of memory exactly once, in some order of the dimensions."""
    expected = 1
    for d in sorted((d for d in range(len(shape)) if shape[d] != 1), key=lambda d: strides[d]):
        if shape[d] == 0:
            return True
        if strides[d] != expected:
            return False
        expected *= shape[d]
    return True


def dense_strides(shape, order) -> tuple[int, ...]:
    """Strides of a gapless layout whose dimensions stand in memory from slowest to fastest in ``order``."""
    strides, n = [0] * len(shape), 1
    for d in reversed(order):
        strides[d] = n
        n *= max(shape[d], 1)
    return tuple(strides)


@lru_cache(1 << 14)
def reshape_strides(shape, strides, new) -> tuple[int, ...] | None:
    """Strides that show the same elements in shape ``new`` without a copy, or None if there are none."""
    if 0 in shape:
        return tuple(strides) if tuple(shape) == tuple(new) else contiguous_strides(new)
    if not shape:
        return (1,) * len(new)
    out, d = [0] * len(new), len(new) - 1
    size, step = 1, strides[-1]  # of a run of dimensions that are one dimension in memory
    for k in range(len(shape) - 1, -1, -1):
        size *= shape[k]
        if k and (shape[k - 1] == 1 or strides[k - 1] == size * step):
            continue
        n = 1
        while d >= 0 and (n < size or new[d] == 1):  # those of size 1 have the stride that the run goes on with, as in PyTorch
            out[d] = n * step
            n *= new[d]
            d -= 1
        if n != size:
            return None
        if k:
            size, step = 1, strides[k - 1]
    return tuple(out) if d < 0 else None


@lru_cache(1 << 14)
def compose(inner_shape, inner_strides, inner_offset, shape, strides, offset):
    """The view (shape, strides, offset) of the dense result of an inner view, as one view of what that view reads.

    Returns (strides, offset), or None where an index would cross a dimension of the inner view's result.
    """
    if 0 in shape:
        return tuple(strides), inner_offset
    dense = contiguous_strides(inner_shape)
    start, rest = [], offset
    for n, st in zip(inner_shape, dense, strict=True):
        at = rest // st if n > 1 else 0
        start.append(at)
        rest -= at * st
    low, high = list(start), list(start)
    out = []
    for n, st in zip(shape, strides, strict=True):
        if n == 1 or st == 0:
            out.append(0)
            continue
        for d, (size, unit) in enumerate(zip(inner_shape, dense, strict=True)):
            if size > 1 and st % unit == 0 and abs(st // unit) * (n - 1) < size:
                step = st // unit
                low[d] += min(0, step * (n - 1))
                high[d] += max(0, step * (n - 1))
                out.append(step * inner_strides[d])
                break
        else:
            return None
    if rest or any(a < 0 or b >= max(n, 1) for a, b, n in zip(low, high, inner_shape, strict=True)):
        return None
    return tuple(out), inner_offset + sum(a * st for a, st in zip(start, inner_strides, strict=True))
