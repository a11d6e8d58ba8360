"""Scans: results that run along a dimension."""

from __future__ import annotations

import numpy as np

from .. import engine
from ..autograd.modes import modes
from ..autograd.tape import Rule, track
from ..graph import primitive
from ..runtime.arrays import empty
from ..tensor import from_node, wrap_dim
from .movement import flip
from .record import operator
from .reduce import _accumulate_type


def _scan(f):
    """Floats accumulate in float64, as PyTorch has it."""
    def interpret(dim, x):
        if not x.ndim:
            return x
        if x.dtype != np.float32:
            return f(x, axis=dim, dtype=x.dtype)
        wide = empty(x.shape, np.float64)
        np.copyto(wide, x)
        return f(wide, axis=dim, out=wide).astype(np.float32)
    return interpret


CUMSUM = primitive("cumsum", "scan", lambda attrs, x: x, interpret=_scan(np.cumsum))
CUMPROD = primitive("cumprod", "scan", lambda attrs, x: x, interpret=_scan(np.cumprod))


def _apply(op, rule: Rule, input, dim: int):
    tracked = input._rg and modes.grad and input.dtype.kind in "fc"
    node = input._value() if tracked else input._borrow()
    out = from_node(engine.record(op, (node,), dim))
    if tracked:
        track(rule, (out,), (input,), (node,), {"dim": dim})
    return out


_CUMSUM = Rule("Cumsum", ("input",), dict(input=lambda g, dim: flip(cumsum(flip(g, dim), dim), dim) if g.dim() else g))


def _cumprod_grad(g, input, out, dim):
    """Σ over j ≥ i of g_j · (product of the factors up to j other than i), exact where factors are zero."""
    if not input.dim() or not input.numel():
        return g
    from .elementwise import where
    if modes.grad:
        return _cumprod_grad_exact(g, input, dim)
    zeros = input == 0
    simple = flip(cumsum(flip((g * out.conj()), dim), dim), dim) / where(zeros, input.new_ones(()), input).conj()
    # before the first zero, `simple` is right; at it, the sum over the products that skip it; after it, zero
    seen = cumsum(zeros, dim)
    first = zeros & (seen == 1)
    skipped = where(first, input.new_ones(()), input)
    others = cumprod(skipped, dim)
    at_first = flip(cumsum(flip(where(seen == 1, g * others.conj(), g.new_zeros(())), dim), dim), dim)
    return where(seen == 0, simple, where(first, at_first, g.new_zeros(())))


def _cumprod_grad_exact(g, input, dim):
    """As above by its definition, in quadratic space, for a gradient that is differentiated again."""
    from .creation import arange
    from .elementwise import where
    x, g = input.movedim(dim, -1), g.movedim(dim, -1)
    i = arange(x.shape[-1])
    own = i.unsqueeze(-1) == i
    factors = where(own, x.new_ones(()), x.unsqueeze(-2))  # row i has 1 in place of x_i
    products = where(i >= i.unsqueeze(-1), cumprod(factors, -1).conj(), x.new_zeros(()))
    return (products * g.unsqueeze(-2)).sum(-1).movedim(-1, dim)


_CUMPROD = Rule("Cumprod", ("input",), dict(input=_cumprod_grad))


@operator(inplace=True, again=False)
def cumsum(input, dim, *, dtype=None):
    x = _accumulate_type(input, dtype)
    return _apply(CUMSUM, _CUMSUM, x, wrap_dim(dim, x.dim()))


@operator(inplace=True)
def cumprod(input, dim, *, dtype=None):
    x = _accumulate_type(input, dtype)
    return _apply(CUMPROD, _CUMPROD, x, wrap_dim(dim, x.dim()))
