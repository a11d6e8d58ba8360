"""Distances and similarities between vectors."""

from __future__ import annotations

import math

from ..graph import broadcast_shapes
from ..tensor import Tensor, wrap_dim
from .compose import also, widened
from .elementwise import where
from .norm import norm
from .record import _long_name, operator, result_type


@operator("nn.functional.pairwise_distance", method=False, out=False)
def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """The p-norm of x1 − x2 + eps over the last dimension."""
    for name, x in (("x1", x1), ("x2", x2)):
        if not isinstance(x, Tensor):
            raise TypeError(f"pairwise_distance(): argument '{name}' must be Tensor, not {type(x).__name__}")
    return norm(x1 - x2 + eps, p, -1, keepdim)


@operator("nn.functional.cosine_similarity", method=False, out=False, takes="buif")
def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """The cosine of the angle between vectors along ``dim``, with norms no smaller than ``eps``."""
    d = result_type(x1, x2)
    if d.kind != "f":
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {d}")
    if not eps >= 0:
        raise RuntimeError(f"eps must be non-negative, got: {eps}")
    broadcast_shapes(x1.shape, x2.shape)
    a, b = (x if x.dtype.kind == "f" else x.to(d) for x in (x1, x2))
    if a.dtype is b.dtype:  # else each is divided in its own type
        a, b = widened(a), widened(b)
    rank = max(a.dim(), b.dim())
    dim = wrap_dim(dim, rank)
    a, b = (x.reshape((1,) * (rank - x.dim()) + tuple(x.shape)) for x in (a, b))
    a, b = (x.expand(broadcast_shapes(a.shape, b.shape)) for x in (a, b))
    a, b = (x / _at_least(norm(x, 2, dim, True), eps) for x in (a, b))
    return (a * b).sum(dim).to(d)


def _at_least(x: Tensor, low: float) -> Tensor:
    """max(x, low), with the gradient of ``x`` everywhere, as PyTorch has it."""
    return where(x < low, (x - x.detach()) + low, x)


@operator("nn.functional.pdist", method=False, out=False, takes="w")
def pdist(input, p=2):
    """The p-norm distances between the rows of ``input`` (N, M): those of i < j, in order."""
    from .creation import triu_indices
    if input.dim() != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.dim()}D")
    if input.dtype.kind != "f":
        raise RuntimeError(f"pdist only supports floating-point dtypes, got {input.dtype}")
    if not p >= 0:
        raise RuntimeError(f"pdist only supports non-negative p values, got {p}")
    n = input.shape[0]
    if n < 2:
        return input.sum(1).narrow(0, 0, 0)
    if not input.shape[1]:
        return input.sum().expand(n * (n - 1) // 2)
    pairs = triu_indices(n, n, 1)
    return norm(input.index_select(0, pairs[0]) - input.index_select(0, pairs[1]), p, -1)


@operator("cdist", method=False, out=False, takes="w")
def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """The p-norm distances (…, P, R) between the rows of x1 (…, P, M) and those of x2 (…, R, M)."""
    if x1.dim() < 2 or x2.dim() < 2:
        raise RuntimeError(f"cdist only supports at least 2D tensors, X1 got: {x1.dim()}D, X2 got: {x2.dim()}D")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    if not p >= 0:
        raise RuntimeError(f"cdist only supports non-negative p values, got {p}")
    if x1.dtype.kind != "f" or x2.dtype.kind != "f":
        raise RuntimeError(f"cdist only supports floating-point dtypes, got {x1.dtype} and {x2.dtype}")
    if x1.dtype is not x2.dtype:
        raise RuntimeError(f"expected scalar type {_long_name(x1.dtype)} but found {_long_name(x2.dtype)}: cdist's x1 and x2 have "
                           f"one dtype")
    batch = broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    shape = (*batch, x1.shape[-2], x2.shape[-2])
    if not math.prod(shape) or not x1.shape[-1]:
        return (x1.sum() * 0 + x2.sum() * 0).expand(shape).contiguous()
    return norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)


for _name, _f in (("pairwise_distance", pairwise_distance), ("cosine_similarity", cosine_similarity), ("pdist", pdist)):
    also(_name, _f)
