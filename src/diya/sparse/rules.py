"""What operators do with sparse tensors, by name. An operator without a rule raises NotImplementedError."""

from __future__ import annotations

import builtins
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

import diya

from ..tensor import Tensor, _from_array, wrap_dim
from .compressed import SparseCompressedTensor, compress
from .tensor import SparseCooTensor, SparseTensor, coo

_RULES: dict[str, Callable] = {}

# Functions that are 0 at 0, elementwise: they are the same function of the values.
_ELEMENTWISE = ("abs asin asinh atan atanh ceil deg2rad erf erfinv expm1 floor frac isinf isnan log1p neg nan_to_num positive "
                "rad2deg relu round sgn sign signbit sin sinh sqrt square tan tanh trunc").split()


def call(function: Callable, args: tuple, kwargs: dict) -> Any:
    """Runs an operator of which some argument is sparse."""
    name = function.__name__.rpartition(".")[2]
    rule = _RULES.get(name)
    if rule is None:
        raise NotImplementedError(f"{name} is not supported for sparse tensors: call to_dense() first")
    if kwargs.pop("out", None) is not None:
        raise NotImplementedError(f"{name} of sparse tensors with out= is not supported")
    return rule(*args, **kwargs)


def rule(*names: str) -> Callable:
    def decorate(function: Callable) -> Callable:
        _RULES.update(dict.fromkeys(names, function))
        return function
    return decorate


def _coalesced(x: SparseTensor) -> Any:
    return x.coalesce() if isinstance(x, SparseCooTensor) else x


def _as_coo(x: Any) -> SparseCooTensor:
    return x.to_sparse()


def _in_layout_of(x: Any, result: SparseCooTensor) -> Any:
    """A COO result in the layout of an operand, whose leading dimensions may be a batch."""
    if not isinstance(x, SparseCompressedTensor):
        return result
    result = result.coalesce()
    return compress(type(x), result._at._to_array(), result._data, result.shape, x._block())


def _pointwise(name: str) -> Callable:
    def apply(input, *args, **kwargs):
        x = input if name in ("neg", "positive") else _coalesced(input)
        return x._like(getattr(diya, name)(x._data, *args, **kwargs))
    return apply


_RULES.update({name: _pointwise(name) for name in _ELEMENTWISE})


@rule("pow")
def pow(input, exponent):
    if not isinstance(exponent, numbers.Number) or not exponent > 0:  # type: ignore[operator]
        raise NotImplementedError(f"pow of a sparse tensor needs a positive number as its exponent, got {exponent}")
    return _pointwise("pow")(input, exponent)


for _name in ("conj", "conj_physical", "resolve_conj", "resolve_neg", "real", "imag"):
    _RULES[_name] = lambda input, name=_name: input._like(getattr(diya, name)(input._data))


@rule("clone")
def clone(input, *, memory_format=None):
    return input._like(input._data.clone())


@rule("to", "type", "double", "float", "half", "bfloat16", "int", "long", "bool", "cpu")
def to(input, *args, **kwargs):
    values = input._data.to(*args, **kwargs)
    return input if values is input._data else input._like(values)


@rule("zeros_like", "empty_like")
def zeros_like(input, *, dtype=None, layout=None, requires_grad=False, **_):
    """A tensor without entries."""
    if layout not in (None, input.layout):
        return diya.zeros(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad).to_sparse(layout=layout)
    x = input.to_sparse() if isinstance(input, SparseCompressedTensor) else input
    empty = _empty(x.shape, x.sparse_dim(), dtype or input.dtype)
    return _in_layout_of(input, empty).requires_grad_(requires_grad)


@rule("ones_like")
def ones_like(input, *, dtype=None, layout=None, requires_grad=False, **_):
    """1 at the elements of a compressed tensor that have entries; of a COO tensor, as PyTorch has it, nothing is known."""
    if isinstance(input, SparseCooTensor) or layout not in (None, input.layout):
        raise NotImplementedError("ones_like of a COO tensor is not supported: the result is dense, use to_dense()")
    return input._like(diya.ones_like(input._data, dtype=dtype, requires_grad=requires_grad))


@rule("new_zeros", "new_empty")
def new_zeros(input, *size, dtype=None, **_):
    size = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
    if not isinstance(input, SparseCooTensor):
        raise NotImplementedError(f"new_zeros of a tensor of layout {input.layout} is not supported: use torch.zeros")
    return _empty(size, len(size), dtype or input.dtype)


def _empty(size: Any, sparse_dim: int, dtype: Any) -> SparseCooTensor:
    return coo(diya.zeros((sparse_dim, 0), dtype=diya.int64), diya.zeros((0, *size[sparse_dim:]), dtype=dtype), size, True)


@rule("is_same_size")
def is_same_size(input, other):
    return tuple(input.shape) == tuple(other.shape)


@rule("item", "is_nonzero")
def item(input):
    if input.numel() != 1:
        raise RuntimeError(f"a Tensor with {input.numel()} elements cannot be converted to Scalar")
    return input.to_dense().item()


# -- arithmetic ----------------------------------------------------------------------------------------------------------

@rule("add")
def add(input, other, *, alpha=1):
    """Sparse with sparse is sparse; with dense, dense."""
    if not isinstance(other, Tensor):
        raise NotImplementedError("adding a number to a sparse tensor is not supported: the result is dense, use to_dense()")
    if not isinstance(other, SparseTensor):
        return input.to_dense() + alpha * other
    if not isinstance(input, SparseTensor):
        if tuple(input.shape) != tuple(other.shape):
            raise RuntimeError(f"add: expected 'self' and 'other' to have same size, but self has size {list(input.shape)} while "
                               f"other has size {list(other.shape)} (FYI: dense-sparse addition does not currently support "
                               f"broadcasting)")
        x = _as_coo(other)
        return input.index_put(tuple(x._at.unbind(0)), (alpha * x._data).to(input.dtype), accumulate=True)
    if tuple(input.shape) != tuple(other.shape):
        raise RuntimeError(f"add: expected sizes of 'self' and 'other' to match, but {list(input.shape)} != {list(other.shape)}")
    a, b = _as_coo(input), _as_coo(other)
    values = b._data if alpha == 1 else alpha * b._data
    if _shared(a._at, b._at):
        return _in_layout_of(input, a._like(a._data + values))
    if a.sparse_dim() != b.sparse_dim():
        raise RuntimeError(f"cannot add sparse tensors of {a.sparse_dim()} and {b.sparse_dim()} sparse dimensions")
    dtype = diya.promote_types(a.dtype, b.dtype)
    total = coo(diya.cat([a._at, b._at], 1), diya.cat([a._data.to(dtype), values.to(dtype)]), input.shape)
    return _in_layout_of(input, total.coalesce() if a._coalesced and b._coalesced else total)


def _shared(a: Tensor, b: Tensor) -> bool:
    """Whether two handles show the same memory in the same way."""
    return a._storage is b._storage and (a.shape, a.stride(), a.storage_offset()) == (b.shape, b.stride(), b.storage_offset())


@rule("sub", "subtract")
def sub(input, other, *, alpha=1):
    return add(input, other, alpha=-alpha)


@rule("mul", "multiply")
def mul(input, other):
    """By a number, or elementwise by a dense or sparse tensor; the result has entries of the sparse one. A dense tensor is
    expanded to the sparse one's shape."""
    if not isinstance(input, SparseTensor):
        input, other = other, input
    if isinstance(other, numbers.Number) or isinstance(other, Tensor) and not other.dim() and not isinstance(other, SparseTensor):
        return input._like(input._data * other)
    if diya.broadcast_shapes(input.shape, other.shape) != input.shape or isinstance(other, SparseTensor) \
            and input.shape != other.shape:
        raise NotImplementedError(f"mul of a sparse tensor is not supported for shapes {list(input.shape)} and "
                                  f"{list(other.shape)}: only dense tensors are expanded, to the sparse one's shape")
    a = _as_coo(input)
    if not isinstance(other, SparseTensor):
        return _in_layout_of(input, a._like(a._data * other.expand(input.shape)[tuple(a._at.unbind(0))]))
    a, b = a.coalesce(), _as_coo(other).coalesce()
    if a.sparse_dim() != b.sparse_dim():
        raise NotImplementedError("mul of sparse tensors of different sparse dimensions is not supported")
    _, in_a, in_b = np.intersect1d(a._flat(), b._flat(), assume_unique=True, return_indices=True)
    at_a, at_b = _from_array(in_a.astype(np.int64)), _from_array(in_b.astype(np.int64))
    return _in_layout_of(input, a._like(a._data[at_a] * b._data[at_b], _at=a._at[:, at_a]))


@rule("div", "divide", "true_divide")
def div(input, other, *, rounding_mode=None):
    if not isinstance(input, SparseTensor) or not isinstance(other, (numbers.Number, Tensor)) or \
            isinstance(other, Tensor) and (other.dim() or isinstance(other, SparseTensor)):
        raise NotImplementedError("div of sparse tensors is supported by a number only")
    x = input if rounding_mode is None else _coalesced(input)
    return x._like(diya.div(x._data, other, rounding_mode=rounding_mode))


@rule("floor_divide")
def floor_divide(input, other):
    return div(input, other, rounding_mode="floor")


# -- products ------------------------------------------------------------------------------------------------------------

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
        return mm(t(_as_coo(mat2)), input.t()).t()
    if isinstance(mat2, SparseTensor):
        product = _sparse_product(_as_coo(input).coalesce(), _as_coo(mat2).coalesce())
        return product.to_sparse_csr() if isinstance(input, SparseCompressedTensor) else product
    a = _as_coo(input)
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
        return bmm(transpose(_as_coo(mat2), 1, 2), input.transpose(1, 2)).transpose(1, 2)
    a = _as_coo(input)
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
    a = _as_coo(input)
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
    rows, columns = _as_coo(input)._at.unbind(0)
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


@rule("addmm")
def addmm(input, mat1, mat2, *, beta=1, alpha=1):
    return add(beta * input, mm(mat1, mat2), alpha=alpha) if isinstance(mat2, SparseTensor) and isinstance(mat1, SparseTensor) \
        else beta * input + alpha * mm(mat1, mat2)


# -- reductions ------------------------------------------------------------------------------------------------------------

@rule("sum")
def sum(input, dim=None, keepdim=False, *, dtype=None):
    """Over all dimensions a dense number; over some a sparse tensor, unless no sparse dimension is left."""
    x = _as_coo(input)
    if dtype is not None:
        x = x._like(x._data.to(dtype))
    if dim is None or dim == ():
        return x._data.sum()
    dims = {wrap_dim(d, x.dim()) for d in ((dim,) if isinstance(dim, int) else dim)}
    if keepdim:
        kept = sum(x, tuple(dims))
        for d in sorted(dims):
            kept = unsqueeze(kept, d) if isinstance(kept, SparseTensor) else kept.unsqueeze(d)
        kept = kept if isinstance(kept, SparseTensor) else kept.to_sparse(x.sparse_dim())
        return _in_layout_of(input, kept)
    sparse = x.sparse_dim()
    kept = [d for d in range(sparse) if d not in dims]
    dense = [d - sparse + 1 for d in sorted(dims) if d >= sparse]
    values = x._data.sum(dense) if dense else x._data
    if not kept:
        return values.sum(0)
    shape = [n for d, n in enumerate(x.shape) if d not in dims]
    if len(kept) == sparse:
        return coo(x._at, values, shape, x._coalesced)
    return coo(x._at[diya.tensor(kept)], values, shape).coalesce()


@rule("any")
def any_(input, dim=None, keepdim=False):
    if dim is not None or keepdim:
        raise NotImplementedError("any of a sparse tensor is supported over all elements only")
    return _coalesced(input)._data.any()


@rule("norm")
def norm(input, p="fro", dim=None, keepdim=False, dtype=None):
    if dim is not None or keepdim:
        raise NotImplementedError("norm of a sparse tensor is supported over all elements only")
    return _coalesced(input)._data.norm(2 if p == "fro" else p, dtype=dtype)


def _normalised(input: SparseCooTensor, dim: int, log: bool) -> SparseCooTensor:
    x = input.coalesce()
    dim, sparse = wrap_dim(dim, x.dim()), x.sparse_dim()
    if dim >= sparse:
        d = dim - sparse + 1
        return x._like(x._data.log_softmax(d) if log else x._data.softmax(d))
    rest = np.delete(x._at._to_array(), dim, 0)
    sizes = [n for d, n in enumerate(x.shape[:sparse]) if d != dim]
    flat = np.ravel_multi_index(tuple(rest), sizes) if sizes and rest.size else np.zeros(x._nnz(), np.int64)
    groups, group = np.unique(flat, return_inverse=True)
    at = _from_array(group.reshape(-1).astype(np.int64))
    index = at.reshape(-1, *[1] * x.dense_dim()).expand(x._data.shape)
    shape = (len(groups), *x._data.shape[1:])
    largest = diya.full(shape, -float("inf"), dtype=x.dtype).scatter_reduce(0, index, x._data.detach(), "amax")
    shifted = x._data - largest[at]
    total = diya.zeros(shape, dtype=x.dtype).index_add(0, at, shifted.exp())[at]
    return x._like(shifted - total.log() if log else shifted.exp() / total)


@rule("softmax")
def softmax(input, dim, dtype=None, **_):
    """Over the elements that have entries: those without count as minus infinity."""
    return _normalised(input if dtype is None else to(input, dtype), dim, False)


@rule("log_softmax")
def log_softmax(input, dim, dtype=None, **_):
    return _normalised(input if dtype is None else to(input, dtype), dim, True)


# -- shape -----------------------------------------------------------------------------------------------------------------

@rule("transpose", "swapaxes", "swapdims")
def transpose(input, dim0, dim1):
    dims = list(range(input.dim()))
    dim0, dim1 = wrap_dim(dim0, input.dim()), wrap_dim(dim1, input.dim())
    dims[dim0], dims[dim1] = dims[dim1], dims[dim0]
    return permute(input, dims)


@rule("permute")
def permute(input, *dims):
    order = [wrap_dim(d, input.dim()) for d in (dims[0] if isinstance(dims[0], (tuple, list)) else dims)]
    if sorted(order) != list(range(input.dim())):
        raise RuntimeError(f"permute(dims): expected each of {input.dim()} dimensions once, got {list(dims)}")
    if order == list(range(input.dim())):
        return input
    if isinstance(input, SparseCompressedTensor):
        n = input._batch()
        if order != [*range(n), n + 1, n, *range(n + 2, input.dim())]:
            raise NotImplementedError(f"of a tensor of layout {input.layout} only the sparse dimensions can be transposed")
        return input._transposed()
    sparse = input.sparse_dim()
    if sorted(order[:sparse]) != list(range(sparse)):
        raise RuntimeError(f"sparse transpose: transposed dimensions must be sparse or dense alike, got {order} of {sparse} sparse "
                           "dimensions")
    values = input._data.permute(0, *[d - sparse + 1 for d in order[sparse:]])
    return coo(input._at[diya.tensor(order[:sparse])], values, [input.shape[d] for d in order])


@rule("t", "adjoint")
def t(input):
    if input.dim() > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.dim()}D")
    return transpose(input, 0, 1) if input.dim() == 2 else input


def _only_coo(name: str, x: Any) -> SparseCooTensor:
    if not isinstance(x, SparseCooTensor):
        raise NotImplementedError(f"{name} of a tensor of layout {x.layout} is not supported: use to_sparse()")
    return x


@rule("unsqueeze")
def unsqueeze(input, dim):
    """A dimension of size 1: a sparse one up to the last sparse dimension, else a dense one."""
    x = _only_coo("unsqueeze", input)
    dim, sparse = wrap_dim(dim, x.dim() + 1), x.sparse_dim()
    shape = (*x.shape[:dim], 1, *x.shape[dim:])
    if dim > sparse:
        return x._like(x._data.unsqueeze(dim - sparse + 1), _shape=shape)
    zeros = diya.zeros((1, x._nnz()), dtype=diya.int64)
    return x._like(x._data, _shape=shape, _at=diya.cat([x._at[:dim], zeros, x._at[dim:]]))


@rule("squeeze")
def squeeze(input, dim=None):
    x = _only_coo("squeeze", input)
    dims = range(x.dim()) if dim is None else [wrap_dim(d, x.dim()) for d in ((dim,) if isinstance(dim, int) else dim)]
    for d in sorted((d for d in dims if x.shape[d] == 1), reverse=True):
        shape, sparse = (*x.shape[:d], *x.shape[d + 1:]), x.sparse_dim()
        x = x._like(x._data.squeeze(d - sparse + 1), _shape=shape) if d >= sparse else \
            x._like(x._data, _shape=shape, _at=diya.cat([x._at[:d], x._at[d + 1:]]))
    return x


@rule("stack")
def stack(tensors, dim=0):
    parts = [unsqueeze(_only_coo("stack", x), dim) for x in tensors]
    if any(tuple(x.shape) != tuple(parts[0].shape) for x in parts):
        raise RuntimeError(f"stack expects each tensor to be equal size, but got {[list(x.shape) for x in tensors]}")
    return cat(parts, wrap_dim(dim, parts[0].dim()))


for _name, _dim in (("vstack", 0), ("hstack", 1)):
    _RULES[_name] = lambda tensors, dim=_dim: cat(tensors, dim if tensors[0].dim() > 1 else 0)


@rule("narrow_copy", "narrow")
def narrow_copy(input, dim, start, length):
    """A part of a dimension, whose entries are moved to its beginning."""
    x = _only_coo("narrow_copy", input)
    dim, sparse = wrap_dim(dim, x.dim()), x.sparse_dim()
    start = int(start) + x.shape[dim] if start < 0 else int(start)
    if not 0 <= start <= start + length <= x.shape[dim]:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({x.shape[dim]}).")
    shape = (*x.shape[:dim], length, *x.shape[dim + 1:])
    if dim >= sparse:
        return x._like(x._data.narrow(dim - sparse + 1, start, length), _shape=shape)
    at = x._at._to_array()
    here = np.flatnonzero((at[dim] >= start) & (at[dim] < start + length))
    at = at[:, here]
    at[dim] -= start
    return x._like(x._data[_from_array(here)], _shape=shape, _at=_from_array(at))


@rule("index_select")
def index_select(input, dim, index):
    """Slices of a dimension, in the order of ``index``, as often as they are in it."""
    x = _only_coo("index_select", input)
    dim, sparse = wrap_dim(dim, x.dim()), x.sparse_dim()
    wanted = index.reshape(-1)._to_array().astype(np.int64)
    if wanted.size and not -x.shape[dim] <= wanted.min() <= wanted.max() < x.shape[dim]:
        raise IndexError(f"index_select(): index out of range for dimension {dim} of size {x.shape[dim]}")
    wanted = np.where(wanted < 0, wanted + x.shape[dim], wanted)
    shape = (*x.shape[:dim], len(wanted), *x.shape[dim + 1:])
    if dim >= sparse:
        return x._like(x._data.index_select(dim - sparse + 1, _from_array(wanted)), _shape=shape)
    at = x._at._to_array()
    order = np.argsort(at[dim], kind="stable")
    starts = np.searchsorted(at[dim][order], range(x.shape[dim] + 1))
    counts = np.diff(starts)[wanted]
    to = np.repeat(np.arange(len(wanted)), counts)
    entry = order[np.arange(len(to)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts[wanted], counts)]
    at = at[:, entry]
    at[dim] = to
    return x._like(x._data[_from_array(entry)], _shape=shape, _at=_from_array(at), _coalesced=False)


@rule("cat", "concat", "concatenate")
def cat(tensors, dim=0):
    parts = [x for x in tensors if isinstance(x, SparseCooTensor)]
    if len(parts) != len(tensors):
        raise NotImplementedError("cat of sparse with dense tensors is not supported")
    dim, first = wrap_dim(dim, parts[0].dim()), parts[0]
    sparse = first.sparse_dim()
    if any(x.sparse_dim() != sparse or np.delete(x.shape, dim).tolist() != np.delete(first.shape, dim).tolist() for x in parts):
        raise RuntimeError(f"cat: sizes must match except in dimension {dim}, got {[list(x.shape) for x in parts]}")
    indices, values, offset = [], [], 0
    total = builtins.sum(x.shape[dim] for x in parts)
    for x in parts:
        if dim < sparse:
            shift = np.zeros((sparse, 1), np.int64)
            shift[dim] = offset
            indices.append(x._at + _from_array(shift))
            values.append(x._data)
        else:  # each entry has values of its own part, and zeros
            indices.append(x._at)
            around = [x._data.new_zeros([n if d != dim - sparse + 1 else size for d, n in enumerate(x._data.shape)])
                      for size in (offset, total - offset - x.shape[dim])]
            values.append(diya.cat([around[0], x._data, around[1]], dim - sparse + 1))
        offset += x.shape[dim]
    shape = [total if d == dim else n for d, n in enumerate(first.shape)]
    return coo(diya.cat(indices, 1), diya.cat(values), shape)


@rule("select")
def select(input, dim, index=None):
    """``x[i]``, or ``x.select(dim, i)`` of a sparse dimension."""
    if index is None:
        dim, index = 0, dim
    if isinstance(index, tuple) and all(isinstance(i, int) or i == slice(None) for i in index) and dim == 0:
        out, at = input, 0
        for i in index:
            if isinstance(i, slice):
                at += 1
            else:
                out = select(out, at, i) if isinstance(out, SparseTensor) else out.select(at, i)
        return out
    if not isinstance(index, int) or isinstance(index, bool):
        raise NotImplementedError(f"indexing a sparse tensor is supported with integers and whole slices, got {index!r}")
    x = _as_coo(input)
    dim = wrap_dim(dim, x.dim())
    if not -x.shape[dim] <= index < x.shape[dim]:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(x.shape)} at dimension {dim}")
    if dim >= x.sparse_dim():
        return x._like(x._data.select(dim - x.sparse_dim() + 1, index), _shape=x.shape[:dim] + x.shape[dim + 1:])
    at = x._at._to_array()
    here = _from_array(np.flatnonzero(at[dim] == index % x.shape[dim]))
    values = x._data[here]
    if x.sparse_dim() == 1:
        return values.sum(0)
    return coo(_from_array(np.delete(at, dim, 0))[:, here], values, x.shape[:dim] + x.shape[dim + 1:], x._coalesced)


# -- in place --------------------------------------------------------------------------------------------------------------

def _in_place(name: str) -> Callable:
    def change(self, *args, **kwargs):
        if self.requires_grad and self.is_leaf and diya.is_grad_enabled():
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
        result = _RULES[name](self, *args, **kwargs)
        if not isinstance(result, SparseTensor):
            raise RuntimeError(f"{name}_: the result is dense, which a sparse tensor cannot hold")
        if result.dtype is not self.dtype:
            raise RuntimeError(f"result type {result.dtype} can't be cast to the desired output type {self.dtype}")
        self.__dict__.clear()
        self.__dict__.update(result.__dict__)
        return self
    change.__name__ = name + "_"
    change.__doc__ = f"In-place version of `{name}`."
    return change


def _written(self, value: SparseTensor):
    """Makes a tensor another one, in place."""
    if self.requires_grad and self.is_leaf and diya.is_grad_enabled():
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    self.__dict__.clear()
    self.__dict__.update(value.__dict__)
    return self


def _copy_(self, src, non_blocking=False):
    """Takes over shape, entries and values of a tensor of the same layout."""
    if type(src) is not type(self):
        raise RuntimeError(f"copy_() from layout {getattr(src, 'layout', type(src))} to {self.layout} is not supported: both must "
                           "be the same")
    return _written(self, src._like(src._data.to(self.dtype).clone()))


def _sparse_resize_and_clear_(self, size, sparse_dim, dense_dim):
    """A tensor of another size without entries, in place."""
    if len(size) != sparse_dim + dense_dim:
        raise RuntimeError(f"number of dimensions must be sparse_dim ({sparse_dim}) + dense_dim ({dense_dim}), but got {len(size)}")
    return _written(self, _empty(tuple(size), sparse_dim, self.dtype))


def _sparse_resize_(self, size, sparse_dim, dense_dim):
    """Another size, in which all entries still have their place, in place."""
    x = _only_coo("sparse_resize_", self)
    if len(size) != sparse_dim + dense_dim:
        raise RuntimeError(f"number of dimensions must be sparse_dim ({sparse_dim}) + dense_dim ({dense_dim}), but got {len(size)}")
    if x._nnz() and (sparse_dim != x.sparse_dim() or tuple(size[sparse_dim:]) != tuple(x.shape[x.sparse_dim():])
                     or any(n < m for n, m in zip(size, x.shape, strict=True))):
        raise RuntimeError(f"changing the number of dimensions or shrinking the size of a tensor with entries is not supported: "
                           f"{list(x.shape)} to {list(size)}; call sparse_resize_and_clear_")
    if not x._nnz():
        return _sparse_resize_and_clear_(self, size, sparse_dim, dense_dim)
    return _written(self, x._like(x._data, _shape=tuple(size)))


SparseTensor.copy_ = _copy_  # type: ignore[attr-defined]
SparseCooTensor.sparse_resize_ = _sparse_resize_  # type: ignore[attr-defined]
SparseCooTensor.sparse_resize_and_clear_ = _sparse_resize_and_clear_  # type: ignore[attr-defined]


def _operator(name: str, swapped: bool = False) -> Callable:
    def apply(self, other):
        return _RULES[name](other, self) if swapped else _RULES[name](self, other)
    return apply


# Python asks the class that is derived from the other's first, so these take dense operands on either side too.
for _name in ("add", "sub", "mul"):
    setattr(SparseTensor, f"__{_name}__", _operator(_name))
    setattr(SparseTensor, f"__r{_name}__", _operator(_name, swapped=True))
SparseTensor.__truediv__, SparseTensor.__rtruediv__ = _operator("div"), _operator("div", swapped=True)  # type: ignore
SparseTensor.__floordiv__ = _operator("floor_divide")  # type: ignore
SparseTensor.__matmul__, SparseTensor.__rmatmul__ = _operator("mm"), _operator("mm", swapped=True)  # type: ignore
SparseTensor.__neg__ = lambda self: _RULES["neg"](self)  # type: ignore
SparseTensor.__abs__ = lambda self: _RULES["abs"](self)  # type: ignore
SparseTensor.__pow__ = _operator("pow")  # type: ignore
SparseTensor.__getitem__ = _operator("select")  # type: ignore

_RULES["zero"] = zeros_like
SparseTensor.new_zeros = new_zeros  # type: ignore
SparseTensor.item = item  # type: ignore
SparseTensor.real = property(lambda self: _RULES["real"](self))  # type: ignore
SparseTensor.imag = property(lambda self: _RULES["imag"](self))  # type: ignore
SparseTensor.narrow_copy = narrow_copy  # type: ignore
for _name in ("add", "sub", "mul", "div", "neg", "abs", "zero", "relu", "sqrt", "t", "transpose"):
    setattr(SparseTensor, _name + "_", _in_place(_name))
for _name, _dims in (("T", (0, 1)), ("mT", (-2, -1)), ("H", (0, 1)), ("mH", (-2, -1))):
    setattr(SparseTensor, _name, property(lambda self, dims=_dims: transpose(self, *dims)))
for _name in ("float", "double", "half", "bfloat16", "int", "long", "bool"):
    setattr(SparseTensor, _name, lambda self, name=_name: to(self, getattr(diya, name)))
