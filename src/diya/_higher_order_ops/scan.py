"""Scans with a carry (``torch._higher_order_ops.scan``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diya

from ..utils._pytree import tree_flatten, tree_map, tree_unflatten


def scan(combine_fn: Callable, init: Any, xs: Any, *, dim: int = 0, reverse: bool = False) -> tuple[Any, Any]:
    """``carry, y = combine_fn(carry, x)`` for the elements of ``xs`` along ``dim``: (the last carry, the ``y`` stacked along
    dimension 0)."""
    leaves, _ = tree_flatten(xs)
    if not leaves:
        raise RuntimeError("scan() expects xs with at least one tensor")
    count = leaves[0].shape[dim]
    if any(x.shape[dim] != count for x in leaves):
        raise RuntimeError(f"All xs leaves must have the same size along dim {dim}, got {[x.shape[dim] for x in leaves]}")
    carry, made, spec = init, [], None
    for i in range(count - 1, -1, -1) if reverse else range(count):
        carry, y = combine_fn(carry, tree_map(lambda x, i=i: x.select(dim, i), xs))
        flat, spec = tree_flatten(y)
        made.append(flat)
    if spec is None:
        raise RuntimeError(f"scan() expects xs with elements along dim {dim}, got none")
    if reverse:
        made.reverse()
    return carry, tree_unflatten([diya.stack(ys) for ys in zip(*made, strict=True)], spec)
