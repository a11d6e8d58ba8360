"""What operators do with sparse tensors, by name: here arithmetic, reductions and writing in place; `products`, `shapes`. An
operator without a rule raises NotImplementedError."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

import diya

from ..tensor import Tensor, _from_array, wrap_dim
from .compressed import SparseCompressedTensor, compress
from .tensor import SparseCooTensor, SparseTensor, coo

RULES: dict[str, Callable] = {}

# Functions that are 0 at 0, elementwise: they are the same function of the values.
_ELEMENTWISE = ("abs asin asinh atan atanh ceil deg2rad erf erfinv expm1 floor frac isinf isnan log1p neg nan_to_num positive "
                "rad2deg relu round sgn sign signbit sin sinh sqrt square tan tanh trunc").split()


def call(function: Callable, args: tuple, kwargs: dict) -> Any:
    """Runs an operator of which some argument is sparse."""
    name = function.__name__.rpartition(".")[2]
    rule = RULES.get(name)
    if rule is None:
        raise NotImplementedError(f"{name} is not supported for sparse tensors: call to_dense() first")
    if kwargs.pop("out", None) is not None:
        raise NotImplementedError(f"{name} of sparse tensors with out= is not supported")
    return rule(*args, **kwargs)


def rule(*names: str) -> Callable:
    def decorate(function: Callable) -> Callable:
        RULES.update(dict.fromkeys(names, function))
        return function
    return decorate


def _coalesced(x: SparseTensor) -> Any:
    return x.coalesce() if isinstance(x, SparseCooTensor) else x


def as_coo(x: Any) -> SparseCooTensor:
    return x.to_sparse()


def only_coo(name: str, x: Any) -> SparseCooTensor:
    if not isinstance(x, SparseCooTensor):
        raise NotImplementedError(f"{name} of a tensor of layout {x.layout} is not supported: use to_sparse()")
    return x


def in_layout_of(x: Any, result: SparseCooTensor) -> Any:
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


RULES.update({name: _pointwise(name) for name in _ELEMENTWISE})


@rule("pow")
def pow(input, exponent):
    if not isinstance(exponent, numbers.Number) or not exponent > 0:  # type: ignore[operator]
        raise NotImplementedError(f"pow of a sparse tensor needs a positive number as its exponent, got {exponent}")
    return _pointwise("pow")(input, exponent)


for _name in ("conj", "conj_physical", "resolve_conj", "resolve_neg", "real", "imag"):
    RULES[_name] = lambda input, name=_name: input._like(getattr(diya, name)(input._data))


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
    return in_layout_of(input, empty).requires_grad_(requires_grad)


@rule("ones_like")
def ones_like(input, *, dtype=None, layout=None, requires_grad=False, **_):
    """1 at the elements of a compressed tensor that have entries; of a COO tensor, as PyTorch has it, nothing is known."""
    if isinstance(input, SparseCooTensor) or layout not in (None, input.layout):
        raise NotImplementedError("ones_like of a COO tensor is not supported: the result is dense, use to_dense()")
    return input._like(diya.ones_like(input._data, dtype=dtype, requires_grad=requires_grad))


def _drawn_like(name: str) -> None:
    def draw(input, **options):
        if isinstance(input, SparseCooTensor):
            raise NotImplementedError(f"{name} of a COO tensor is not supported: use {name}(x.values())")
        return input._like(getattr(diya, name)(input._data, **options))
    RULES[name] = draw


for _name in ("rand_like", "randn_like"):
    _drawn_like(_name)


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
        x = as_coo(other)
        return input.index_put(tuple(x._at.unbind(0)), (alpha * x._data).to(input.dtype), accumulate=True)
    if tuple(input.shape) != tuple(other.shape):
        raise RuntimeError(f"add: expected sizes of 'self' and 'other' to match, but {list(input.shape)} != {list(other.shape)}")
    a, b = as_coo(input), as_coo(other)
    values = b._data if alpha == 1 else alpha * b._data
    if _shared(a._at, b._at):
        return in_layout_of(input, a._like(a._data + values))
    if a.sparse_dim() != b.sparse_dim():
        raise RuntimeError(f"cannot add sparse tensors of {a.sparse_dim()} and {b.sparse_dim()} sparse dimensions")
    dtype = diya.promote_types(a.dtype, b.dtype)
    total = coo(diya.cat([a._at, b._at], 1), diya.cat([a._data.to(dtype), values.to(dtype)]), input.shape)
    return in_layout_of(input, total.coalesce() if a._coalesced and b._coalesced else total)


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
    a = as_coo(input)
    if not isinstance(other, SparseTensor):
        return in_layout_of(input, a._like(a._data * other.expand(input.shape)[tuple(a._at.unbind(0))]))
    a, b = a.coalesce(), as_coo(other).coalesce()
    if a.sparse_dim() != b.sparse_dim():
        raise NotImplementedError("mul of sparse tensors of different sparse dimensions is not supported")
    _, in_a, in_b = np.intersect1d(a._flat(), b._flat(), assume_unique=True, return_indices=True)
    at_a, at_b = _from_array(in_a.astype(np.int64)), _from_array(in_b.astype(np.int64))
    return in_layout_of(input, a._like(a._data[at_a] * b._data[at_b], _at=a._at[:, at_a]))


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


# -- reductions ------------------------------------------------------------------------------------------------------------

@rule("sum")
def sum(input, dim=None, keepdim=False, *, dtype=None):
    """Over all dimensions a dense number; over some a sparse tensor, unless no sparse dimension is left."""
    x = as_coo(input)
    if dtype is not None:
        x = x._like(x._data.to(dtype))
    if dim is None or dim == ():
        return x._data.sum()
    dims = {wrap_dim(d, x.dim()) for d in ((dim,) if isinstance(dim, int) else dim)}
    if keepdim:
        kept = sum(x, tuple(dims))
        for d in sorted(dims):
            kept = kept.unsqueeze(d)
        kept = kept if isinstance(kept, SparseTensor) else kept.to_sparse(x.sparse_dim())
        return in_layout_of(input, kept)
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


# -- in place --------------------------------------------------------------------------------------------------------------

def _in_place(name: str) -> Callable:
    def change(self, *args, **kwargs):
        if self.requires_grad and self.is_leaf and diya.is_grad_enabled():
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
        result = RULES[name](self, *args, **kwargs)
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
    x = only_coo("sparse_resize_", self)
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
        return RULES[name](other, self) if swapped else RULES[name](self, other)
    return apply


# Python asks the class that is derived from the other's first, so these take dense operands on either side too.
for _name in ("add", "sub", "mul"):
    setattr(SparseTensor, f"__{_name}__", _operator(_name))
    setattr(SparseTensor, f"__r{_name}__", _operator(_name, swapped=True))
SparseTensor.__truediv__, SparseTensor.__rtruediv__ = _operator("div"), _operator("div", swapped=True)  # type: ignore
SparseTensor.__floordiv__ = _operator("floor_divide")  # type: ignore
SparseTensor.__matmul__, SparseTensor.__rmatmul__ = _operator("mm"), _operator("mm", swapped=True)  # type: ignore
SparseTensor.__neg__ = lambda self: RULES["neg"](self)  # type: ignore
SparseTensor.__abs__ = lambda self: RULES["abs"](self)  # type: ignore
SparseTensor.__pow__ = _operator("pow")  # type: ignore

RULES["zero"] = zeros_like
SparseTensor.new_zeros = new_zeros  # type: ignore
SparseTensor.item = item  # type: ignore
SparseTensor.real = property(lambda self: RULES["real"](self))  # type: ignore
SparseTensor.imag = property(lambda self: RULES["imag"](self))  # type: ignore
for _name in ("add", "sub", "mul", "div", "neg", "abs", "zero", "relu", "sqrt", "t", "transpose"):
    setattr(SparseTensor, _name + "_", _in_place(_name))
for _name in ("float", "double", "half", "bfloat16", "int", "long", "bool"):
    setattr(SparseTensor, _name, lambda self, name=_name: to(self, getattr(diya, name)))
