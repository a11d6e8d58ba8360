"""Products of sparse with dense and with sparse matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

import diya

from ..tensor import Tensor, _from_array
from .compressed import SparseCompressedTensor
from .rules import add, as_coo, mul, rule
from .shapes import t, transpose
from .tensor import SparseCooTensor, SparseTensor, coo


@rule("mm", "matmul", "mv", "dot")
def mm(input, mat2):
    """Matrix products: with dense the result is dense, of two sparse matrices sparse."""
    if input.dim() == mat2.dim() == 1:
        return mul(input, mat2).sum()
    if mat2.dim() == 1 and not isinstance(mat2, SparseTensor):
        return mm(input, mat2.unsqueeze(1)).squeeze(1)
    if input.dim() == 1 and not isinstance(input, SparseTensor):
        return mm(input.unsqueeze(0), mat2).squeeze(0)
    if input.dim() == mat2.dim() == 3:
        return bmm(input, mat2)
    for x in (input, mat2):
        if x.dim() != 2 or isinstance(x, SparseTensor) and x.dense_dim():
            raise NotImplementedError(f"products of sparse tensors are supported for matrices, got {list(x.shape)}")
    if input.shape[1] != mat2.shape[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({input.shape[0]}x{input.shape[1]} and "
                           f"{mat2.shape[0]}x{mat2.shape[1]})")
    _same_dtype(input, mat2)
    if not isinstance(input, SparseTensor):
        return mm(t(as_coo(mat2)), input.t()).t()
    if isinstance(mat2, SparseTensor):
        product = _sparse_product(as_coo(input).coalesce(), as_coo(mat2).coalesce())
        return product.to_sparse_csr() if isinstance(input, SparseCompressedTensor) else product
    a = as_coo(input)
    out = diya.zeros((input.shape[0], mat2.shape[1]), dtype=input.dtype)
    return out.index_add(0, a._at[0], a._data.unsqueeze(1) * mat2.index_select(0, a._at[1])) if a._nnz() else out


def _same_dtype(a: Tensor, b: Tensor) -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected mat1 and mat2 to have the same dtype, but got: {a.dtype} != {b.dtype}")


@rule("bmm")
def bmm(input, mat2):
    """Products of a batch of matrices, of which one is sparse in all of its dimensions: one product of the rows of all."""
    if isinstance(mat2, SparseTensor):
        if isinstance(input, SparseTensor):
            raise NotImplementedError("bmm of two sparse tensors is not supported")
        return bmm(transpose(as_coo(mat2), 1, 2), input.transpose(1, 2)).transpose(1, 2)
    a = as_coo(input)
    if a.dim() != 3 or mat2.dim() != 3 or a.dense_dim():
        raise RuntimeError(f"batch1 and batch2 must be 3D tensors, got {list(a.shape)} and {list(mat2.shape)}")
    batch, n, m = a.shape
    if (batch, m) != tuple(mat2.shape[:2]):
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: [{batch}, {m}] but got: "
                           f"{list(mat2.shape[:2])}")
    _same_dtype(a, mat2)
    at = diya.stack([a._at[0] * n + a._at[1], a._at[0] * m + a._at[2]])
    return mm(coo(at, a._data, (batch * n, batch * m)), mat2.flatten(0, 1)).unflatten(0, (batch, n))


def reduced_product(input: Any, mat2: Tensor, reduce: str) -> Tensor:
    """The product of a CSR matrix whose sums are means, largest or smallest of the products of a row's entries."""
    if reduce not in ("sum", "mean", "amax", "amin"):
        raise RuntimeError(f"torch.sparse.mm: reduce must be sum, mean, amax or amin, got {reduce!r}")
    if not isinstance(input, SparseCompressedTensor) or isinstance(mat2, SparseTensor):
        raise NotImplementedError("torch.sparse.mm with a reduction is supported for a CSR matrix and a dense one")
    if reduce == "sum":
        return mm(input, mat2)
    a = as_coo(input)
    _same_dtype(a, mat2)
    terms = a._data.unsqueeze(1) * mat2.index_select(0, a._at[1])
    out = diya.zeros((a.shape[0], mat2.shape[1]), dtype=a.dtype)
    return out.scatter_reduce(0, a._at[0].unsqueeze(1).expand(terms.shape), terms, reduce, include_self=False) if a._nnz() else out


def sampled_addmm(input: Any, mat1: Tensor, mat2: Tensor, beta: Any, alpha: Any) -> Any:
    """``beta input + alpha mat1 @ mat2`` where a CSR matrix has entries."""
    if not isinstance(input, SparseCompressedTensor) or not input._by_rows or input._blocked:
        raise RuntimeError(f"sampled_addmm: Expected self to have layout SparseCsr, got {input.layout}")
    if input.dim() != 2 or mat1.dim() != 2 or mat2.dim() != 2:
        raise NotImplementedError("sampled_addmm is supported for matrices without a batch")
    if mat1.shape[1] != mat2.shape[0] or (mat1.shape[0], mat2.shape[1]) != tuple(input.shape):
        raise RuntimeError(f"sampled_addmm: mat1 {list(mat1.shape)} and mat2 {list(mat2.shape)} make no product of shape "
                           f"{list(input.shape)}")
    rows, columns = as_coo(input)._at.unbind(0)
    product = (mat1.index_select(0, rows) * mat2.t().index_select(0, columns)).sum(1)
    return input._like(beta * input._data + alpha * product)


@rule("linear")
def linear(input, weight, bias=None):
    """``input @ weight.T + bias`` for a sparse weight or a sparse input."""
    if isinstance(input, SparseTensor) and input.dim() != 2:
        raise NotImplementedError(f"linear is supported for sparse inputs of two dimensions, got {input.dim()}")
    if isinstance(input, SparseTensor):
        out = mm(input, t(weight) if isinstance(weight, SparseTensor) else weight.t())
    else:
        out = mm(input.reshape(-1, input.shape[-1]), t(weight)).reshape(*input.shape[:-1], weight.shape[0])
    return out if bias is None else add(bias, out) if isinstance(out, SparseTensor) else out + bias


def _sparse_product(a: SparseCooTensor, b: SparseCooTensor) -> SparseCooTensor:
    """Every entry (i, k) of ``a`` meets every entry (k, j) of ``b``."""
    (rows, inner), b_at = a._at._to_array(), b._at._to_array()
    starts = np.searchsorted(b_at[0], range(b.shape[0] + 1))
    counts = np.diff(starts)[inner]
    left = np.repeat(np.arange(len(inner)), counts)
    right = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts[inner], counts)
    at = np.stack([rows[left], b_at[1][right]]).astype(np.int64)
    values = a._data[_from_array(left)] * b._data[_from_array(right.astype(np.int64))]
    return coo(_from_array(at), values, (a.shape[0], b.shape[1])).coalesce()


def _rows_of(a: SparseCooTensor, product: Tensor) -> Any:
    """The rows of a dense product in which ``a`` has entries: a tensor of one sparse and one dense dimension."""
    rows = diya.unique(a._at[0]) if a._nnz() else a._at[0]
    return coo(rows.unsqueeze(0), product.index_select(0, rows), tuple(product.shape), True)


@rule("hspmm")
def hspmm(mat1, mat2):
    """A product of a sparse and a dense matrix, whose rows are its entries."""
    if not isinstance(mat1, SparseCooTensor) or isinstance(mat2, SparseTensor):
        raise RuntimeError(f"hspmm: expected a COO and a dense matrix, got layouts {mat1.layout} and {mat2.layout}")
    return _rows_of(mat1, mm(mat1, mat2))


@rule("sspaddmm")
def sspaddmm(input, mat1, mat2, *, beta=1, alpha=1):
    """``beta input + alpha mat1 @ mat2`` of two COO matrices and a dense one, as a COO matrix."""
    for name, x, sparse in (("self", input, True), ("mat1", mat1, True), ("mat2", mat2, False)):
        if isinstance(x, SparseCooTensor) is not sparse or isinstance(x, SparseTensor) and not sparse:
            raise RuntimeError(f"sspaddmm: expected '{name}' to have {'sparse' if sparse else 'strided'} layout, got layout "
                               f"{x.layout}")
    rows = hspmm(mat1, mat2)
    n, m = rows._data.shape
    at = diya.stack([rows._at[0].unsqueeze(1).expand(n, m).reshape(-1), diya.arange(m).repeat(n)])
    return add(beta * input, coo(at, rows._data.reshape(-1), tuple(rows.shape), True), alpha=alpha)


@rule("smm")
def smm(input, mat):
    """A product of a COO and a dense matrix as a COO matrix."""
    shape = (input.shape[0], mat.shape[1])
    return sspaddmm(diya.sparse_coo_tensor(size=shape, dtype=input.dtype), input, mat, beta=0)


@rule("triangular_solve")
def triangular_solve(input, A, upper=True, transpose=False, unitriangular=False):
    """X with A X = B for a compressed triangular A; the second output is empty."""
    if not isinstance(A, SparseCompressedTensor) or isinstance(input, SparseTensor):
        raise NotImplementedError(f"triangular_solve is supported for a dense B and a dense or CSR A, got layouts {input.layout} "
                                  f"and {A.layout}")
    out = diya.triangular_solve(input, A.to_dense(), upper, transpose, unitriangular)
    return type(out)(out[0], A.detach())


@rule("addmm")
def addmm(input, mat1, mat2, *, beta=1, alpha=1):
    return add(beta * input, mm(mat1, mat2), alpha=alpha) if isinstance(mat2, SparseTensor) and isinstance(mat1, SparseTensor) \
        else beta * input + alpha * mm(mat1, mat2)
