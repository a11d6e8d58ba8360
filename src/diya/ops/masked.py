"""Reductions that leave masked elements out (``torch.masked``): they count as the reduction's identity."""

from __future__ import annotations

import math

import numpy as np

from .. import dtypes, engine
from ..dtypes import bool_, int64
from ..tensor import Tensor, from_node
from .activation import log_softmax, softmax
from .arithmetic import logaddexp
from .elementwise import maximum, where
from .norm import vector_norm
from .record import only, operator
from .reduce import amax, amin, argmax, argmin, logsumexp, prod
from .reduce import sum as total
from .scan import cumprod, cumsum
from .sort import nanmedian


def _lowest(d) -> float:
    if d.kind in "fc":
        return -math.inf
    return 0 if d.kind == "b" else int(np.iinfo(d.numpy).min)


def _highest(d) -> float:
    if d.kind == "c":
        raise NotImplementedError(f"the smallest of complex numbers is not defined: got {d}")
    if d.kind == "f":
        return math.inf
    return 1 if d.kind == "b" else int(np.iinfo(d.numpy).max)


def _filled(input: Tensor, mask: Tensor | None, value) -> Tensor:
    """``input`` with ``value`` where the mask is False."""
    if mask is None:
        return input
    if mask.dim() > input.dim():
        raise IndexError(f"mask expected dimension <= {input.dim()}, got {mask.dim()}")
    number = from_node(engine.scalar(value, input.dtype))
    return where(mask.to(bool_).expand(input.shape), input, number)


def _cast(input: Tensor, dtype) -> Tensor:
    return input if dtype is None else input.to(dtype)


def _accumulated(input: Tensor, dtype) -> Tensor:
    """Integers add up in int64."""
    return input.to(int64) if dtype is None and input.dtype.kind in "bui" else _cast(input, dtype)


def _count(input: Tensor, mask: Tensor | None, dim, keepdim: bool) -> Tensor:
    ones = input.new_ones(input.shape, dtype=int64)
    return total(_filled(ones, mask, 0), dim, keepdim)


def _reduction(name: str, reduce, identity, prepare=_cast):
    def masked(input, dim=None, *, keepdim=False, dtype=None, mask=None):
        x = prepare(input, dtype)
        if mask is not None and (identity is _lowest or identity is _highest):
            if x.dtype.kind == "b":
                raise NotImplementedError(f"identity of {name} on {x.dtype} input")
        return reduce(_filled(x, mask, identity(x.dtype)), () if dim is None else dim, keepdim)
    masked.__name__ = masked.__qualname__ = name
    return operator("masked." + name, method=False, out=False)(masked)


sum = _reduction("sum", lambda x, dim, keepdim: total(x, dim, keepdim), lambda d: 0, _accumulated)


def _product(x: Tensor, dim, keepdim: bool) -> Tensor:
    return prod(x, dim if dim != () else tuple(range(x.dim())), keepdim)


prod_ = _reduction("prod", _product, lambda d: 1, _accumulated)
amax_ = _reduction("amax", amax, _lowest)
amin_ = _reduction("amin", amin, _highest)
logsumexp_ = _reduction("logsumexp", lambda x, dim, keepdim: logsumexp(
    x, dim if dim != () else tuple(range(x.dim())), keepdim).to(x.dtype), _lowest)


def _position(name: str, find, identity):
    def masked(input, dim=None, *, keepdim=False, dtype=None, mask=None):
        x = _cast(input, dtype)
        if x.dtype.kind == "c":
            raise TypeError(f"masked.{name} expects a real tensor, got {x.dtype}")
        return find(_filled(x, mask, identity(x.dtype)), dim, keepdim).to(x.dtype)  # PyTorch's type: not int64
    masked.__name__ = masked.__qualname__ = name
    return operator("masked." + name, method=False, out=False, differentiable=False)(masked)


argmax_, argmin_ = _position("argmax", argmax, _lowest), _position("argmin", argmin, _highest)


def _running(name: str, run, identity):
    def masked(input, dim, *, dtype=None, mask=None):
        x = _cast(input, dtype)
        only(f"{name}_out_cpu", "uifc", x)
        return run(_filled(x, mask, identity), dim, dtype=x.dtype)
    masked.__name__ = masked.__qualname__ = name
    return operator("masked." + name, method=False, out=False)(masked)


cumsum_, cumprod_ = _running("cumsum", cumsum, 0), _running("cumprod", cumprod, 1)


@operator("masked.mean", method=False, out=False)
def mean(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    if dtype is None and input.dtype.kind in "bui":
        raise ValueError(f"masked.mean: expected a floating or complex dtype, got {input.dtype}: pass dtype=")
    x = _cast(input, dtype)
    return total(_filled(x, mask, 0), dim, keepdim) / _count(x, mask, dim, keepdim)


@operator("masked.median", method=False, out=False)
def median(input, dim=-1, *, keepdim=False, dtype=None, mask=None):
    x = _cast(input, dtype)
    if x.dtype.kind != "f":
        raise ValueError(f"masked.median expects a floating dtype, got {x.dtype}")
    out = nanmedian(_filled(x, mask, math.nan), dim, keepdim)
    return out[0]


@operator("masked.norm", method=False, out=False)
def norm(input, ord=2.0, dim=None, *, keepdim=False, dtype=None, mask=None):
    x = _cast(input, dtype)
    identity = math.inf if ord == -math.inf else 0  # of other negative orders too, as PyTorch has it
    return vector_norm(_filled(x, mask, identity), ord, tuple(range(x.dim())) if dim is None else dim, keepdim)


def _variance(input, dim, unbiased, correction, keepdim, dtype, mask) -> Tensor:
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    x = _cast(input, dtype)
    if x.dtype.kind == "b":
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported: a masked variance is of numbers")
    if x.dtype.kind in "ui":
        x = x.to(dtypes.float32)
    count = _count(x, mask, dim, True)
    centred = x - total(_filled(x, mask, 0), dim, True) / count
    squares = total(_filled(centred * centred.conj(), mask, 0), dim, keepdim)
    count = count if keepdim else count.reshape(squares.shape)
    if correction:
        count = maximum(count - correction, count.new_zeros(()))
    return (squares / count).to(x.dtype)


@operator("masked.var", method=False, out=False)
def var(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    return _variance(input, dim, unbiased, correction, keepdim, dtype, mask)


@operator("masked.std", method=False, out=False)
def std(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    return _variance(input, dim, unbiased, correction, keepdim, dtype, mask).sqrt()


@operator("masked.softmax", method=False, out=False)
def softmax_(input, dim, *, dtype=None, mask=None):
    x = _cast(input, dtype)
    return softmax(_filled(x, mask, -math.inf), dim)


@operator("masked.log_softmax", method=False, out=False)
def log_softmax_(input, dim, *, dtype=None, mask=None):
    x = _cast(input, dtype)
    return log_softmax(_filled(x, mask, -math.inf), dim)


@operator("masked.softmin", method=False, out=False)
def softmin_(input, dim, *, dtype=None, mask=None):
    x = _cast(input, dtype)
    return softmax(-_filled(x, mask, math.inf), dim)


@operator("masked.normalize", method=False, out=False)
def normalize(input, ord, dim, *, eps=1e-12, dtype=None, mask=None):
    x = _cast(input, dtype)
    size = norm(x, ord, dim, keepdim=True, mask=mask)
    return _filled(x, mask, 0) / maximum(size, size.new_full((), eps))


@operator("masked.logaddexp", method=False, out=False)
def logaddexp_(input, other, *, dtype=None, input_mask=None, other_mask=None):
    a, b = _cast(input, dtype), _cast(other, dtype)
    return logaddexp(_filled(a, input_mask, -math.inf), _filled(b, other_mask, -math.inf)).to(a.dtype)
