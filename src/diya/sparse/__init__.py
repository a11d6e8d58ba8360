"""``torch.sparse``: COO and compressed (CSR, CSC, BSR, BSC) tensors, their products, sums and softmax.

`sparse_coo_tensor`, `sparse_csr_tensor` and its like and ``x.to_sparse()`` make them. Operators that have a rule in
`diya.sparse.rules` take them; others raise NotImplementedError, as do the functions of ``torch.sparse`` that are not here.
"""

from __future__ import annotations

from typing import Any

import diya

from .. import dtypes
from ..tensor import Tensor
from . import products as _products
from . import rules as _rules
from . import shapes as _shapes  # noqa: F401 - registers its rules
from .compressed import SparseBscTensor as SparseBscTensor
from .compressed import SparseBsrTensor as SparseBsrTensor
from .compressed import SparseCscTensor as SparseCscTensor
from .compressed import SparseCsrTensor as SparseCsrTensor
from .compressed import sparse_bsc_tensor as sparse_bsc_tensor
from .compressed import sparse_bsr_tensor as sparse_bsr_tensor
from .compressed import sparse_compressed_tensor as sparse_compressed_tensor
from .compressed import sparse_csc_tensor as sparse_csc_tensor
from .compressed import sparse_csr_tensor as sparse_csr_tensor
from .tensor import SparseCooTensor as SparseCooTensor
from .tensor import SparseTensor as _SparseTensor
from .tensor import sparse_coo_tensor as sparse_coo_tensor

addmm = _products.addmm


def _sparse(name: str, x: Any) -> Any:
    if not isinstance(x, _SparseTensor):
        raise RuntimeError(f"torch.sparse.{name} expects a sparse tensor, got a {type(x).__name__} of layout "
                           f"{getattr(x, 'layout', None)}: use to_sparse()")
    return x


def mm(mat1: Tensor, mat2: Tensor, reduce: str | None = None) -> Tensor:
    """The product of matrices, of which one at least is sparse; with gradients to both. For a CSR matrix, ``reduce`` ("mean",
    "amax", "amin") takes the place of the sum."""
    if not isinstance(mat1, _SparseTensor):
        _sparse("mm", mat2)
    return _products.mm(mat1, mat2) if reduce is None else _products.reduced_product(mat1, mat2, reduce)


def sampled_addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """``beta input + alpha mat1 @ mat2`` at the entries of a CSR matrix."""
    return _products.sampled_addmm(_sparse("sampled_addmm", input), mat1, mat2, beta, alpha)


def spdiags(diagonals: Tensor, offsets: Tensor, shape: tuple[int, int], layout: Any = None) -> Any:
    """A matrix whose diagonal ``offsets[i]`` is row i of ``diagonals``: its element in column j is ``diagonals[i, j]``."""
    rows = diagonals.reshape(1, -1) if diagonals.dim() < 2 else diagonals
    at = offsets.reshape(-1)
    if rows.dim() != 2 or rows.shape[0] != at.shape[0] or offsets.dim() > 1:
        raise RuntimeError(f"spdiags: number of diagonals ({list(diagonals.shape)}) does not match the number of offsets "
                           f"({list(offsets.shape)})")
    if at.dtype is not dtypes.int64:
        raise RuntimeError(f"Offset Tensor must have dtype Long but got {at.dtype}")
    if len(set(at.tolist())) != at.shape[0]:
        raise RuntimeError("Offset tensor contains duplicate values")
    if len(shape) != 2:
        raise RuntimeError(f"Output shape must be 2d, got {list(shape)}")
    columns = diya.arange(min(rows.shape[1], shape[1])).expand(rows.shape[0], -1)
    lines = columns - at.unsqueeze(1)
    inside = (lines >= 0) & (lines < shape[0])
    place = diya.stack([lines[inside], columns[inside]])
    out = sparse_coo_tensor(place, rows[:, :columns.shape[1]][inside], shape)
    return out if layout in (None, diya.sparse_coo) else out.to_sparse(layout=layout)


def as_sparse_gradcheck(gradcheck: Any) -> Any:
    """A ``gradcheck`` that takes sparse inputs and outputs: what is checked are their values."""
    def check(function: Any, inputs: Any, **options: Any) -> bool:
        options.pop("masked", None)
        inputs = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
        parts = [x._data if isinstance(x, _SparseTensor) else x for x in inputs]

        def dense(*values: Any) -> Any:
            given = [x._like(v) if isinstance(x, _SparseTensor) else v for x, v in zip(inputs, values, strict=True)]
            out = function(*given)
            return out.to_dense() if isinstance(out, _SparseTensor) else out
        return gradcheck(dense, tuple(parts), **options)
    return check


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
