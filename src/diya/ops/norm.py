"""Norms of vectors and of tensors seen as vectors."""

from __future__ import annotations

import math

from .. import dtypes
from ..tensor import Tensor
from .elementwise import where
from .record import _long_name, operator
from .reduce import amax, amin, dims_of, kept


def _vector_norm(x, ord=2, dim=None, keepdim=False, dtype=None):
    dims = dims_of(dim, x.dim()) if dim is not None else tuple(range(x.dim()))
    if dim is not None and not isinstance(dim, int) and len(dim) == 0:
        dims = tuple(range(x.dim()))
    a = x.abs()
    if dtype is not None:
        a = a.to(dtype.to_real())
    half = a.dtype if a.dtype.itemsize == 2 else None
    if half is not None:
        a = a.to(dtypes.float32)
    pick = dims if x.dim() else None
    empty = math.prod(x.shape[d] for d in dims) == 0
    if ord == math.inf or ord == -math.inf:
        if empty:
            raise RuntimeError(f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the operation does "
                               f"not have an identity")
        out = (amax if ord > 0 else amin)(a, pick if pick is not None else (), keepdim)
    elif ord == 0:
        out = (a != 0).to(a.dtype).sum(pick, keepdim)
    elif ord == 1:
        out = a.sum(pick, keepdim)
    elif ord == 2:
        out = (a * a).sum(pick, keepdim).sqrt()
    else:
        if empty and ord < 0:
            raise RuntimeError(f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the operation does "
                               f"not have an identity")
        out = (a ** ord).sum(pick, keepdim) ** (1.0 / ord)
    return out.to(half) if half is not None else out


def _vector_norm_grad(g, x, out, shape, ord, dim, keepdim):
    dims = dims_of(dim, len(shape)) if dim is not None and (isinstance(dim, int) or len(dim)) else tuple(range(len(shape)))
    if not keepdim:
        g, out = (t.reshape(kept(shape, dims)) for t in (g, out))
    g, out = g.to(x.dtype.to_real()), out.to(x.dtype.to_real())
    zero = g.new_zeros(())
    safe = where(out == 0, out.new_ones(()), out)
    if ord == 0:
        return x * 0
    if ord == 1:
        return x.sgn() * g
    if ord == 2:
        return x * where(out == 0, zero, g / safe)
    a = x.abs()
    if ord in (math.inf, -math.inf):
        hit = (a == out) | (a.isnan() & out.isnan())
        return x.sgn() * where(hit, g / hit.sum(dims, keepdim=True), zero)
    if ord < 1:
        return where(a == 0, zero, a ** (ord - 1)) * x.sgn() * where(out == 0, zero, g * out ** (1 - ord))
    return x.sgn() * where(out == 0, zero, (a / safe) ** (ord - 1) * g)


vector_norm = operator("linalg.vector_norm", method=False, grad=dict(x=_vector_norm_grad), inputs=("x",))(
    lambda x, ord=2, dim=None, keepdim=False, *, dtype=None: _vector_norm(_check(x, dtype), ord, dim, keepdim, dtype))


def _check(x: Tensor, dtype) -> Tensor:
    if x.dtype.kind not in "fc":
        raise RuntimeError(f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {_long_name(x.dtype)}")
    return x


@operator("norm")
def norm(input, p="fro", dim=None, keepdim=False, dtype=None):
    if p in ("nuc",):
        from .linalg import matrix_norm
        if dim is None and input.dim() != 2:
            raise RuntimeError(f"norm(): the nuclear norm expects a matrix, got {input.dim()} dimensions: pass dim=")
        return matrix_norm(input, "nuc", dim if dim is not None else (-2, -1), keepdim, dtype=dtype)
    if p == "fro" or p is None:
        p = 2
    if isinstance(p, str):
        raise RuntimeError(f"norm(): p must be a number, 'fro' or 'nuc', got {p!r}")
    dim = [dim] if isinstance(dim, int) else dim
    return vector_norm(input, float(p), dim, keepdim, dtype=dtype)
