"""Scaled dot-product attention."""

from __future__ import annotations

import math

from ..dtypes import bool_
from ..graph import broadcast_shapes
from ..tensor import Tensor
from .activation import softmax_core
from .compose import number, require_float, shown_as, widened, with_rule
from .creation import arange
from .dropout import _drop
from .elementwise import exp, where
from .matmul import matmul
from .record import _long_name, operator
from .reduce import amax


def _safe_softmax(input, dim):
    """`softmax` that gives zeros where everything is −∞ (a query that may attend to nothing)."""
    top = amax(input, dim, True)
    top = where(top == -math.inf, number(0, top), top)
    e = exp(input - top)
    total = e.sum(dim, True)
    return e / where(total == 0, number(1, total), total)


def _safe_grad(g, out, dim):
    weighted = g * out
    return weighted - out * weighted.sum(dim, True)


safe_softmax = with_rule("SafeSoftmax", dict(input=_safe_grad), ("input",))(_safe_softmax)


def _check(query: Tensor, key: Tensor, value: Tensor, attn_mask, dropout_p: float, is_causal: bool) -> None:
    for name, x in (("query", query), ("key", key), ("value", value)):
        if not isinstance(x, Tensor):
            raise TypeError(f"scaled_dot_product_attention(): argument '{name}' must be Tensor, not {type(x).__name__}")
        require_float("scaled_dot_product_attention", x)
    if not query.dtype is key.dtype is value.dtype:
        raise RuntimeError(f"Expected query, key, and value to have the same dtype, but got query.dtype: "
                           f"{_long_name(query.dtype)} key.dtype: {_long_name(key.dtype)} and value.dtype: "
                           f"{_long_name(value.dtype)} instead.")
    if min(query.dim(), key.dim(), value.dim()) < 2:
        raise RuntimeError(f"Expected query, key, and value to all be at least 2 dimensional, but got query.dim: {query.dim()}, "
                           f"key.dim: {key.dim()} and value.dim: {value.dim()} instead.")
    if attn_mask is not None:
        if attn_mask.dtype is not bool_ and attn_mask.dtype is not query.dtype:
            raise RuntimeError(f"Expected attn_mask dtype to be bool or to match query dtype, but got attn_mask.dtype: "
                               f"{_long_name(attn_mask.dtype)} and query.dtype: {_long_name(query.dtype)} instead.")
        if is_causal:
            raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if not 0.0 <= dropout_p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")


def _repeated(x: Tensor, heads: int, name: str) -> Tensor:
    """Each head as often as it takes to match ``heads`` query heads."""
    own = x.shape[-3]
    if own == heads:
        return x
    if not own or heads % own:
        raise RuntimeError(f"Number of heads in {name} must divide the number of heads in query: got {own} and {heads}")
    lead, tail = tuple(x.shape[:-3]), tuple(x.shape[-2:])
    return x.unsqueeze(-3).expand(*lead, own, heads // own, *tail).reshape(*lead, heads, *tail)


@operator("nn.functional.scaled_dot_product_attention", method=False, out=False)
@shown_as("ScaledDotProductFlashAttentionForCpu")
def scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, *, scale=None,
                                 enable_gqa=False):
    """softmax(query·keyᵀ·scale + mask)·value, for query (…, L, E), key (…, S, E) and value (…, S, V).

    A bool mask says where attention may go; a float mask is added. ``is_causal`` lets query i see keys 0…i.
    ``enable_gqa``: heads (dimension −3) of key and value serve several query heads each. ``scale`` is 1/√E by default.
    Half precisions are computed in float32 and rounded once.
    """
    _check(query, key, value, attn_mask, dropout_p, is_causal)
    if enable_gqa:
        if query.dim() < 3 or key.dim() < 3 or value.dim() < 3:
            raise RuntimeError("enable_gqa needs query, key and value of at least 3 dimensions (…, heads, length, size)")
        key, value = _repeated(key, query.shape[-3], "key"), _repeated(value, query.shape[-3], "value")
    broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    q, k, v = (widened(x) for x in (query, key, value))
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1]) if query.shape[-1] else 1.0
    scores = matmul(q * scale, k.transpose(-2, -1))
    if is_causal:
        rows, columns = scores.shape[-2:]
        seen = arange(rows).unsqueeze(1) >= arange(columns)
        scores = where(seen, scores, number(-math.inf, scores))
    elif attn_mask is not None:
        if attn_mask.dtype is bool_:
            scores = where(attn_mask, scores, number(-math.inf, scores))
        else:
            scores = scores + widened(attn_mask)
    if not scores.numel():
        weights = scores
    else:
        weights = (softmax_core if attn_mask is None else safe_softmax)(scores, scores.dim() - 1)
    if dropout_p > 0:
        weights = _drop(weights, dropout_p, tuple(weights.shape))
    return matmul(weights, v).to(query.dtype)
