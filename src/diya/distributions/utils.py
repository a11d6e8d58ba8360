"""What distributions share: broadcasting of parameters, probabilities and logits, properties computed once."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import diya

from ..tensor import Tensor

__all__ = ["broadcast_all", "clamp_probs", "lazy_property", "logits_to_probs", "probs_to_logits", "tril_matrix_to_vec",
           "vec_to_tril_matrix"]

euler_constant = 0.57721566490153286060
Real = float | Tensor


def _standard_normal(shape, dtype, device) -> Tensor:
    """Standard normal numbers of a shape."""
    return diya.randn(shape, dtype=dtype, device=device)


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Numbers and tensors as tensors of one shape. Numbers take the dtype of the first tensor."""
    for v in values:
        if not isinstance(v, (Tensor, numbers.Number)):
            raise ValueError("Input arguments must all be instances of Number, torch.Tensor or objects implementing "
                             f"__torch_function__, got {type(v).__name__}.")
    dtype = next((v.dtype for v in values if isinstance(v, Tensor)), diya.get_default_dtype())
    return tuple(diya.broadcast_tensors(*[v if isinstance(v, Tensor) else diya.tensor(v, dtype=dtype) for v in values]))


def eps_of(x: Tensor) -> float:
    return diya.finfo(x.dtype).eps


def tiny_of(x: Tensor) -> float:
    return diya.finfo(x.dtype).tiny


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities away from 0 and 1 by the precision of their dtype."""
    return probs.clamp(min=eps_of(probs), max=1 - eps_of(probs))


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities from log-odds (``is_binary``) or from logarithms up to a constant over the last dimension."""
    return logits.sigmoid() if is_binary else logits.softmax(-1)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """The inverse of `logits_to_probs`, of clamped probabilities."""
    p = clamp_probs(probs)
    return p.log() - (-p).log1p() if is_binary else p.log()


def sum_rightmost(x: Tensor, dims: int) -> Tensor:
    """The sum over the last ``dims`` dimensions."""
    return x.reshape(x.shape[:-dims] + (-1,)).sum(-1) if dims else x


def replaced(x: Tensor, where: Tensor, value: float) -> Tensor:
    """``x`` (broadcast as needed) with ``value`` where a mask says so."""
    return diya.where(where, diya.full((), value, dtype=x.dtype), x)


class Required:
    """An attribute that a subclass has to give."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        raise NotImplementedError(f"{owner.__name__}.{self.name} is not implemented")


class _LazyProperty:
    """A property that is computed when first asked for, and then stays an attribute of the instance."""

    def __init__(self, wrapped: Callable):
        self.wrapped = wrapped
        update_wrapper(self, wrapped)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with diya.enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


lazy_property: Any = _LazyProperty


def _below(n: int, diag: int) -> Tensor:
    row = diya.arange(n)
    return row < row.view(-1, 1) + (diag + 1)


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The lower triangle of (..., n, n) matrices, up to the diagonal ``diag``, as vectors."""
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    return mat[..., _below(n, diag)]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """Matrices with the elements of vectors in their lower triangle, up to the diagonal ``diag``, and 0 elsewhere."""
    length = vec.shape[-1]
    n = round((-(1 + 2 * diag) + ((1 + 2 * diag) ** 2 + 8 * length + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2)
    mask = _below(n, diag)
    if int(mask.sum()) != length:
        raise ValueError(f"The size of last dimension is {length} which cannot be expressed as the lower triangular part of "
                         "a square D x D matrix.")
    position = (mask.flatten().cumsum(0) - 1).clamp(min=0)
    return (vec.index_select(-1, position) * mask.flatten()).reshape(vec.shape[:-1] + (n, n))


_sum_rightmost = sum_rightmost  # the name that libraries import
