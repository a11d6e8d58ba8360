"""``torch.sparse``: COO and CSR tensors, their products, sums and softmax.

`sparse_coo_tensor`, `sparse_csr_tensor` and ``x.to_sparse()`` make them. Operators that have a rule in `diya.sparse.rules`
take them; others raise NotImplementedError, as do the functions of ``torch.sparse`` that are not here.
"""

from __future__ import annotations

from typing import Any

from .. import dtypes
from ..tensor import Tensor
from . import rules as _rules
from .tensor import SparseCooTensor as SparseCooTensor
from .tensor import SparseCsrTensor as SparseCsrTensor
from .tensor import SparseTensor as _SparseTensor
from .tensor import sparse_coo_tensor as sparse_coo_tensor
from .tensor import sparse_csr_tensor as sparse_csr_tensor

addmm = _rules.addmm


def _sparse(name: str, x: Any) -> Any:
    if not isinstance(x, _SparseTensor):
        raise RuntimeError(f"torch.sparse.{name} expects a sparse tensor, got a {type(x).__name__} of layout "
                           f"{getattr(x, 'layout', None)}: use to_sparse()")
    return x


def mm(mat1: Tensor, mat2: Tensor) -> Tensor:
    """The product of matrices, of which one at least is sparse; with gradients to both."""
    if not isinstance(mat1, _SparseTensor):
        _sparse("mm", mat2)
    return _rules.mm(mat1, mat2)


def sum(input: Tensor, dim: Any = None, dtype: Any = None) -> Tensor:
    """The sum over all dimensions (dense), or over ``dim`` (sparse, if sparse dimensions are left)."""
    return _rules.sum(_sparse("sum", input), dim, dtype=dtype)


def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The softmax over the elements that have entries."""
    return _rules.softmax(_sparse("softmax", input), dim, dtype)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The logarithm of `softmax`."""
    return _rules.log_softmax(_sparse("log_softmax", input), dim, dtype)


class _Typed(type):
    dtype: Any

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, SparseCooTensor) and instance.dtype is cls.dtype

    def __call__(cls, *args: Any) -> SparseCooTensor:
        return sparse_coo_tensor(*args, dtype=cls.dtype)


def _typed(name: str, dtype: Any) -> Any:
    return _Typed(name, (), {"dtype": dtype, "__doc__": f"Old name: a COO tensor of {dtype}.", "__module__": "torch.sparse"})


FloatTensor, DoubleTensor = _typed("FloatTensor", dtypes.float32), _typed("DoubleTensor", dtypes.float64)
LongTensor, IntTensor = _typed("LongTensor", dtypes.int64), _typed("IntTensor", dtypes.int32)


class check_sparse_tensor_invariants:
    """Indices are always checked here: a context manager and switch without effect."""

    def __init__(self, enable: bool = True):
        pass

    @staticmethod
    def is_enabled() -> bool:
        return True

    @staticmethod
    def enable() -> None:
        pass

    @staticmethod
    def disable() -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)

    def refuse(*args, **kwargs):
        raise NotImplementedError(f"torch.sparse.{name} is not supported: use a dense tensor")
    return refuse
