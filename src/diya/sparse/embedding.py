"""Rows of a table whose gradient is sparse: entries for the rows that were looked up."""

from __future__ import annotations

import diya

from ..autograd import Function
from ..tensor import Tensor
from .tensor import coo


class _Rows(Function):
    @staticmethod
    def forward(ctx, weight, at, padding):  # type: ignore[override]
        ctx.save_for_backward(at)
        ctx.padding, ctx.shape = padding, weight.shape
        return diya.nn.functional.embedding(at, weight)

    @staticmethod
    def backward(ctx, g):  # type: ignore[override]
        at, = ctx.saved_tensors
        at, g = at.reshape(-1).to(diya.int64), g.reshape(-1, g.shape[-1])
        if ctx.padding is not None:
            kept = at != ctx.padding
            at, g = at[kept], g[kept]
        return coo(at.unsqueeze(0), g, ctx.shape), None, None


def rows_with_sparse_gradient(weight: Tensor, at: Tensor, padding: int | None, scale_grad_by_freq: bool) -> Tensor:
    """``weight[at]``; row ``padding`` gets no gradient."""
    if scale_grad_by_freq:
        raise RuntimeError("embedding_backward: scale_grad_by_freq not supported with sparse gradients")
    return _Rows.apply(weight, at, padding)
