"""What operators do with sparse tensors, by name. An operator without a rule raises NotImplementedError."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

import diya

from ..tensor import Tensor, _from_array, wrap_dim
from .tensor import SparseCooTensor, SparseCsrTensor, SparseTensor, coo

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
    return result.to_sparse_csr() if isinstance(x, SparseCsrTensor) else result


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


@rule("clone")
def clone(input, *, memory_format=None):
    return input._like(input._data.clone())


@rule("to", "type", "double", "float", "half", "bfloat16", "int", "long", "bool", "cpu")
def to(input, *args, **kwargs):
    values = input._data.to(*args, **kwargs)
    return input if values is input._data else input._like(values)


@rule("zeros_like")
def zeros_like(input, *, dtype=None, **_):
    x = _as_coo(input)
    empty = coo(diya.zeros((x.sparse_dim(), 0), dtype=diya.int64),
                diya.zeros((0, *x._data.shape[1:]), dtype=dtype or input.dtype), input.shape, True)
    return _in_layout_of(input, empty)


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
    if a._at is b._at:
        return _in_layout_of(input, a._like(a._data + values))
    if a.sparse_dim() != b.sparse_dim():
        raise RuntimeError(f"cannot add sparse tensors of {a.sparse_dim()} and {b.sparse_dim()} sparse dimensions")
    dtype = diya.promote_types(a.dtype, b.dtype)
    total = coo(diya.cat([a._at, b._at], 1), diya.cat([a._data.to(dtype), values.to(dtype)]), input.shape)
    return _in_layout_of(input, total.coalesce() if a._coalesced and b._coalesced else total)


@rule("sub", "subtract")
def sub(input, other, *, alpha=1):
    return add(input, other, alpha=-alpha)


@rule("mul", "multiply")
def mul(input, other):
    """By a number, or elementwise by a dense or sparse tensor of the same shape; the result has entries of the sparse one."""
    if not isinstance(input, SparseTensor):
        input, other = other, input
    if isinstance(other, numbers.Number) or isinstance(other, Tensor) and not other.dim() and not isinstance(other, SparseTensor):
        return input._like(input._data * other)
    if tuple(input.shape) != tuple(other.shape):
        raise NotImplementedError(f"mul of a sparse tensor broadcasts only numbers: got {list(input.shape)} and "
                                  f"{list(other.shape)}")
    a = _as_coo(input)
    if not isinstance(other, SparseTensor):
        return _in_layout_of(input, a._like(a._data * other[tuple(a._at.unbind(0))]))
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
    return input._like(diya.div(input._data, other, rounding_mode=rounding_mode))


# -- products ------------------------------------------------------------------------------------------------------------

@rule("mm", "matmul", "spmm", "smm", "mv", "dot")
def mm(input, mat2):
    """Matrix products: with dense the result is dense, of two sparse matrices sparse."""
    if mat2.dim() == 1 and not isinstance(mat2, SparseTensor):
        return mm(input, mat2.unsqueeze(1)).squeeze(1)
    if input.dim() == 1 and not isinstance(input, SparseTensor):
        return mm(input.unsqueeze(0), mat2).squeeze(0)
    for x in (input, mat2):
        if x.dim() != 2 or isinstance(x, SparseCooTensor) and x.dense_dim():
            raise NotImplementedError(f"products of sparse tensors are supported for matrices, got {list(x.shape)}")
    if input.shape[1] != mat2.shape[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({input.shape[0]}x{input.shape[1]} and "
                           f"{mat2.shape[0]}x{mat2.shape[1]})")
    if input.dtype is not mat2.dtype:
        raise RuntimeError(f"expected mat1 and mat2 to have the same dtype, but got: {input.dtype} != {mat2.dtype}")
    if not isinstance(input, SparseTensor):
        return mm(t(_as_coo(mat2)), input.t()).t()
    if isinstance(mat2, SparseTensor):
        return _in_layout_of(input, _sparse_product(_as_coo(input).coalesce(), _as_coo(mat2).coalesce()))
    a = _as_coo(input)
    out = diya.zeros((input.shape[0], mat2.shape[1]), dtype=input.dtype)
    return out.index_add(0, a._at[0], a._data.unsqueeze(1) * mat2.index_select(0, a._at[1])) if a._nnz() else out


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


@rule("addmm", "sspaddmm")
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
    if keepdim:
        raise NotImplementedError("sum of a sparse tensor with keepdim is not supported")
    dims = {wrap_dim(d, x.dim()) for d in ((dim,) if isinstance(dim, int) else dim)}
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
    x = _as_coo(input)
    order = [wrap_dim(d, x.dim()) for d in (dims[0] if isinstance(dims[0], (tuple, list)) else dims)]
    sparse = x.sparse_dim()
    if sorted(order[:sparse]) != list(range(sparse)):
        raise NotImplementedError("permuting sparse with dense dimensions of a sparse tensor is not supported")
    if order == list(range(x.dim())):
        return input
    values = x._data.permute(0, *[d - sparse + 1 for d in order[sparse:]])
    return _in_layout_of(input, coo(x._at[diya.tensor(order[:sparse])], values, [x.shape[d] for d in order]))


@rule("t", "adjoint")
def t(input):
    if input.dim() > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.dim()}D")
    return transpose(input, 0, 1) if input.dim() == 2 else input


@rule("cat", "concat", "concatenate")
def cat(tensors, dim=0):
    parts = [x for x in tensors if isinstance(x, SparseCooTensor)]
    if len(parts) != len(tensors):
        raise NotImplementedError("cat of sparse with dense tensors is not supported")
    dim, first = wrap_dim(dim, parts[0].dim()), parts[0]
    sparse = first.sparse_dim()
    if any(x.sparse_dim() != sparse or np.delete(x.shape, dim).tolist() != np.delete(first.shape, dim).tolist() for x in parts):
        raise RuntimeError(f"cat: sizes must match except in dimension {dim}, got {[list(x.shape) for x in parts]}")
    if dim >= sparse:
        raise NotImplementedError("cat of sparse tensors along a dense dimension is not supported")
    indices, offset = [], 0
    for x in parts:
        shift = np.zeros((sparse, 1), np.int64)
        shift[dim] = offset
        indices.append(x._at + _from_array(shift))
        offset += x.shape[dim]
    shape = [offset if d == dim else n for d, n in enumerate(first.shape)]
    return coo(diya.cat(indices, 1), diya.cat([x._data for x in parts]), shape)


@rule("select")
def select(input, dim, index=None):
    """``x[i]``, or ``x.select(dim, i)`` of a sparse dimension."""
    if index is None:
        dim, index = 0, dim
    if not isinstance(index, int) or isinstance(index, bool):
        raise NotImplementedError(f"indexing a sparse tensor is supported with one integer, got {type(index).__name__}")
    x = _as_coo(input)
    dim = wrap_dim(dim, x.dim())
    if not -x.shape[dim] <= index < x.shape[dim]:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(x.shape)} at dimension {dim}")
    if dim >= x.sparse_dim():
        raise NotImplementedError("indexing a dense dimension of a sparse tensor is not supported")
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
        self.__dict__.clear()
        self.__dict__.update(result.__dict__)
        return self
    change.__name__ = name + "_"
    change.__doc__ = f"In-place version of `{name}`."
    return change


def _operator(name: str, swapped: bool = False) -> Callable:
    def apply(self, other):
        return _RULES[name](other, self) if swapped else _RULES[name](self, other)
    return apply


# Python asks the class that is derived from the other's first, so these take dense operands on either side too.
for _name in ("add", "sub", "mul"):
    setattr(SparseTensor, f"__{_name}__", _operator(_name))
    setattr(SparseTensor, f"__r{_name}__", _operator(_name, swapped=True))
SparseTensor.__truediv__, SparseTensor.__rtruediv__ = _operator("div"), _operator("div", swapped=True)  # type: ignore
SparseTensor.__matmul__, SparseTensor.__rmatmul__ = _operator("mm"), _operator("mm", swapped=True)  # type: ignore
SparseTensor.__neg__ = lambda self: _RULES["neg"](self)  # type: ignore
SparseTensor.__abs__ = lambda self: _RULES["abs"](self)  # type: ignore
SparseTensor.__pow__ = _operator("pow")  # type: ignore
SparseTensor.__getitem__ = _operator("select")  # type: ignore

_RULES["zero"] = zeros_like
for _name in ("add", "sub", "mul", "div", "neg", "abs", "zero", "relu", "sqrt", "t", "transpose"):
    setattr(SparseTensor, _name + "_", _in_place(_name))
for _name, _dims in (("T", (0, 1)), ("mT", (-2, -1)), ("H", (0, 1)), ("mH", (-2, -1))):
    setattr(SparseTensor, _name, property(lambda self, dims=_dims: transpose(self, *dims)))
for _name in ("float", "double", "half", "bfloat16", "int", "long", "bool"):
    setattr(SparseTensor, _name, lambda self, name=_name: to(self, getattr(diya, name)))
