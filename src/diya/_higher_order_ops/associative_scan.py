"""Inclusive scans with an associative function (``torch._higher_order_ops.associative_scan``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diya

from ..tensor import Tensor
from ..utils._pytree import tree_flatten, tree_unflatten

Leaves = list[Tensor]


def associative_scan(combine_fn: Callable, xs: Any, dim: int, reverse: bool = False, combine_mode: str = "pointwise") -> Any:
    """``combine_fn`` over all prefixes of ``xs`` along ``dim`` (suffixes, with ``reverse``), in a logarithmic number of steps.

    ``combine_fn(a, b)`` takes and gives trees like ``xs``; with ``combine_mode="pointwise"`` it sees slices of many elements, with
    ``"generic"`` one element along ``dim``.
    """
    if not callable(combine_fn):
        raise ValueError(f"Combine_fn must be a callable, but got {combine_fn}")
    if combine_mode not in ("pointwise", "generic"):
        raise ValueError(f"Combine_mode must either 'pointwise' or 'generic', but got {combine_mode}")
    leaves, spec = tree_flatten(xs)
    if not leaves or not all(isinstance(x, Tensor) for x in leaves):
        raise ValueError("xs leaves must be at least one Tensor")
    dim = dim % max(leaves[0].dim(), 1)
    if any(x.dim() <= dim or x.shape[dim] != leaves[0].shape[dim] for x in leaves):
        raise ValueError(f"All xs leaves must have the same size along dim {dim}")

    def trees(*flat: Tensor) -> tuple[Tensor, ...]:
        half = len(flat) // 2
        made, _ = tree_flatten(combine_fn(tree_unflatten(list(flat[:half]), spec), tree_unflatten(list(flat[half:]), spec)))
        if len(made) != half:
            raise RuntimeError(f"combine_fn gives {len(made)} tensors for xs of {half}")
        return tuple(made)
    combine = diya.vmap(trees, in_dims=dim, out_dims=dim) if combine_mode == "generic" else trees
    if reverse:
        leaves = [x.flip(dim) for x in leaves]
    made = _scan(lambda a, b: list(combine(*a, *b)), leaves, dim)
    return tree_unflatten([x.flip(dim) for x in made] if reverse else made, spec)


def _scan(combine: Callable[[Leaves, Leaves], Leaves], xs: Leaves, dim: int) -> Leaves:
    """Pairs are combined and scanned, which gives every second result; the others are one step from those (Blelloch, 1990)."""
    count = xs[0].shape[dim]
    if count < 2:
        return xs

    def part(values: Leaves, start: int, stop: int | None, step: int = 1) -> Leaves:
        where = (slice(None),) * dim + (slice(start, stop, step),)
        return [x[where] for x in values]
    odd = _scan(combine, combine(part(xs, 0, count - 1, 2), part(xs, 1, None, 2)), dim)
    even = part(xs, 0, 1)
    if count > 2:
        before = part(odd, 0, odd[0].shape[dim] - 1) if count % 2 == 0 else odd
        even = [diya.cat(pair, dim) for pair in zip(even, combine(before, part(xs, 2, None, 2)), strict=True)]
    return [_interleaved(*pair, dim) for pair in zip(even, odd, strict=True)]


def _interleaved(even: Tensor, odd: Tensor, dim: int) -> Tensor:
    """even[0], odd[0], even[1], ...; there may be one more of the even ones."""
    pairs = odd.shape[dim]
    both = diya.stack((even.narrow(dim, 0, pairs), odd), dim + 1).flatten(dim, dim + 1)
    return both if even.shape[dim] == pairs else diya.cat((both, even.narrow(dim, pairs, 1)), dim)
