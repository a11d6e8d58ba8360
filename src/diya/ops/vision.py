"""Padding, resampling and rearranging of images and other grids."""

from __future__ import annotations

from ..graph import contiguous_strides
from ..tensor import Tensor, from_node
from .movement import constant, write

# -- padding -----------------------------------------------------------------------------------------------------------


def constant_pad(x: Tensor, pad, value=0) -> Tensor:
    """``x`` with ``pad`` (before, after; last dimension first) elements of ``value``; negative ones cut off."""
    rank = x.dim()
    for i in range(len(pad) // 2):
        d = rank - 1 - i
        low, high = min(pad[2 * i], 0), min(pad[2 * i + 1], 0)
        if low or high:
            x = x.narrow(d, -low, x.shape[d] + low + high)
    grow = [(0, 0)] * rank
    for i in range(len(pad) // 2):
        grow[rank - 1 - i] = max(pad[2 * i], 0), max(pad[2 * i + 1], 0)
    if all(g == (0, 0) for g in grow):
        return x.clone()
    shape = tuple(s + lo + hi for s, (lo, hi) in zip(x.shape, grow, strict=True))
    dense = contiguous_strides(shape)
    base = from_node(constant(shape, value, x.dtype))
    return write(base, x, (tuple(x.shape), dense, sum(lo * st for (lo, _), st in zip(grow, dense, strict=True))))


