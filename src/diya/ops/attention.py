"""Scaled dot-product attention."""

from __future__ import annotations

import math

from ..autograd.modes import modes, no_grad
from ..autograd.tape import Rule, track
from ..dtypes import bool_
from ..graph import broadcast_shapes
from ..tensor import Tensor, from_node
from .activation import softmax_core
from .compose import number, require_float, shown_as, widened, with_rule
from .creation import arange
from .dropout import _drop
from .elementwise import exp, where
from .matmul import matmul
from .movement import cat
from .record import _long_name, operator, snapshot
from .reduce import amax
from .vision import constant_pad


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


BLOCK = 128       # queries that share what keys are looked at, where the later ones are hidden
MAX_BLOCKS = 8


def _blocks(rows: int, columns: int, is_causal: bool) -> list[tuple[int, int, int]]:
    """Queries in blocks (first, end), and how many keys, from the first on, a block looks at."""
    count = max(1, min(MAX_BLOCKS, rows // BLOCK)) if is_causal else 1
    edges = [rows * k // count for k in range(count + 1)]
    return [(a, b, min(b, columns) if is_causal else columns) for a, b in zip(edges, edges[1:], strict=False)]


def _weights(scores: Tensor, first: int, is_causal: bool) -> Tensor:
    """The softmax of scores whose rows are queries from the ``first`` on."""
    if is_causal:
        rows, columns = scores.shape[-2:]
        seen = arange(rows).unsqueeze(1) >= arange(columns) - first
        scores = where(seen, scores, number(-math.inf, scores))
    return softmax_core(scores, scores.dim() - 1)


def _attention_grad(g, out, query, key, value, scale, is_causal):
    """With p the weights and dp = g·valueᵀ, the scores' gradient is p·(dp − Σ dp·p)."""
    g, q = g[0], query * scale
    if modes.grad:  # a second derivative goes through the weights, too
        blocks = [(0, q.shape[-2], key.shape[-2])]
        weights = [_weights(matmul(q, key.transpose(-2, -1)), 0, is_causal)]
    else:
        blocks, weights = _blocks(q.shape[-2], key.shape[-2], is_causal), out[1:]
    dq: list[Tensor] = []
    dk = dv = None
    for (a, b, n), p in zip(reversed(blocks), reversed(weights), strict=True):
        here, keys = g.narrow(-2, a, b - a), key.narrow(-2, 0, n)
        dp = matmul(here, value.narrow(-2, 0, n).transpose(-2, -1))
        ds = p * dp
        ds = ds - p * ds.sum(-1, True)
        dq.insert(0, matmul(ds, keys) * scale)
        more_k, more_v = matmul(ds.transpose(-2, -1), q.narrow(-2, a, b - a)), matmul(p.transpose(-2, -1), here)
        if dk is None or dv is None:  # the last block sees most keys
            dk, dv = (x if n == key.shape[-2] else constant_pad(x, [0, 0, 0, key.shape[-2] - n]) for x in (more_k, more_v))
        else:
            dk.narrow(-2, 0, n).add_(more_k)
            dv.narrow(-2, 0, n).add_(more_v)
    return dq[0] if len(dq) == 1 else cat(dq, -2), dk, dv


_ATTENTION = Rule("ScaledDotProductFlashAttentionForCpu", ("query", "key", "value"), _attention_grad)


def _attention(query: Tensor, key: Tensor, value: Tensor, scale: float, is_causal: bool) -> Tensor:
    """Attention without a mask of its own. With ``is_causal``, a block of queries never looks at the keys after it."""
    tensors = (query, key, value)
    nodes = tuple([x._value() for x in tensors])
    with no_grad():
        q, k, v = (from_node(n) for n in nodes)
        q = q * scale
        parts, weights = [], []
        for a, b, n in _blocks(q.shape[-2], k.shape[-2], is_causal):
            scores = matmul(q.narrow(-2, a, b - a), k.narrow(-2, 0, n).transpose(-2, -1))
            weights.append(_weights(scores, a, is_causal))
            parts.append(matmul(weights[-1], v.narrow(-2, 0, n)))
        out = parts[0] if len(parts) == 1 else cat(parts, -2)
    if modes.grad and any(x.requires_grad for x in tensors):
        track(_ATTENTION, (out, *weights), tensors, nodes, {"scale": scale, "is_causal": is_causal})
        out = snapshot(out)  # the tape keeps the weights: writing to the result in place is allowed
    return out


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
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise RuntimeError(f"scaled_dot_product_attention(): Expected key of size (…, S, {query.shape[-1]}) and value of size (…, "
                           f"S, V), but got query {list(query.shape)}, key {list(key.shape)} and value {list(value.shape)}")
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
    if attn_mask is None and not dropout_p and q.numel() and k.numel() and v.numel() and \
            q.shape[:-2] == k.shape[:-2] == v.shape[:-2]:
        return _attention(q, k, v, scale, is_causal).to(query.dtype)
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
