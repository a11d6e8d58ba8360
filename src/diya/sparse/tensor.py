"""Sparse tensors: ordinary tensors of indices and values under one handle. Gradients flow through the values.

A COO tensor (coordinates) has ``indices`` [sparse_dim, nnz] and ``values`` [nnz, *dense sizes]; entries with the same indices
add up, and a *coalesced* tensor has none of them, in the order of rows. The other layouts are in `diya.sparse.compressed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import diya

from .. import dtypes
from ..graph import Size, type_of
from ..tensor import Tensor, _from_array


class SparseTensor(Tensor, asks=False):
    """What all layouts share. Operators go to `diya.sparse.rules`; what has no rule there raises NotImplementedError."""

    _data: Tensor  # the values
    _kind: str     # the layout's name in messages
    _results_keep_class = False

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        from .rules import call
        return call(func, args, kwargs or {})

    def _like(self, values: Tensor, **changes: Any) -> Any:
        """The same pattern with other values; ``changes`` replace further attributes."""
        new = object.__new__(type(self))
        new.__dict__.update({k: v for k, v in self.__dict__.items() if k not in ("_type", "_data", "_is_param")}, **changes)
        new._type, new._data = type_of(changes.get("_shape", self.shape), values.dtype), values
        new.__dict__.pop("_shape", None)
        return new

    @property
    def _storage(self) -> Any:  # type: ignore[override]
        raise NotImplementedError(f"sparse tensors (layout {self.layout}) have no storage: use to_dense() for this operation")

    def _value(self) -> Any:
        return self._storage

    @property
    def device(self) -> Any:
        return self._data.device

    def values(self) -> Tensor:
        """The values of the entries."""
        return self._data

    def _nnz(self) -> int:
        return self._data.shape[0]

    def to_dense(self, dtype=None, *, masked_grad=None) -> Tensor:
        raise NotImplementedError

    # -- autograd: the values' ---------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:  # type: ignore[override]
        return self._data.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._data.requires_grad = value

    def requires_grad_(self, requires_grad: bool = True):
        self._data.requires_grad_(requires_grad)
        return self

    @property
    def _rg(self) -> bool:  # type: ignore[override]
        return self._data._rg

    @property
    def is_leaf(self) -> bool:  # type: ignore[override]
        return self._data.is_leaf

    @property
    def grad_fn(self):  # type: ignore[override]
        return self._data.grad_fn

    @property
    def grad(self) -> Any:  # type: ignore[override]
        """The gradient with respect to the elements that have entries."""
        return None if self._data.grad is None else self._gradient(self._data.grad)

    def _gradient(self, g: Tensor) -> Any:
        """The gradient of the tensor, from that of its values."""
        return self._like(g)

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            raise NotImplementedError("assigning the gradient of a sparse tensor is not supported")
        self._data.grad = None

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None) -> None:
        """Backward from the entries; ``gradient`` is a tensor like this one, sparse or dense."""
        if gradient is None:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if tuple(gradient.shape) != tuple(self.shape):
            raise RuntimeError(f"Mismatch in shape: grad_output[0] has a shape of {list(gradient.shape)} and output[0] has a shape "
                               f"of {list(self.shape)}.")
        at = self.to_sparse()._at if not isinstance(self, SparseCooTensor) else self._at
        taken = gradient.to_dense()[tuple(at.unbind(0))]
        self._data.backward(taken.reshape(self._data.shape), retain_graph, create_graph, inputs)

    def detach(self):
        return self._like(self._data.detach())

    @property
    def data(self):  # type: ignore[override]
        return self.detach()

    # -- what has no rule as an operator -------------------------------------------------------------------------------------

    def stride(self, dim=None):
        raise RuntimeError("sparse tensors do not have strides")

    def is_contiguous(self, memory_format=None) -> bool:
        return False

    def numpy(self, *, force: bool = False):
        raise TypeError("can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first.")

    def tolist(self):
        raise RuntimeError("sparse tensors have no nested lists: use to_dense().tolist()")

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __deepcopy__(self, memo):
        return self._like(self._data.detach().clone().requires_grad_(self._data.requires_grad))

    def _parts(self) -> tuple:
        """What `rebuilt` makes the tensor of, as PyTorch's files have it."""
        raise NotImplementedError

    def __reduce_ex__(self, protocol):
        return rebuilt, (self.layout.name, self._parts())

    def _lines(self, parts: dict[str, Tensor]) -> str:
        from ..printing import contents_str
        text = ""
        for name, part in parts.items():
            lead = ("tensor(" if not text else "       ") + name + "="
            shown = contents_str(part.detach(), len(lead) + 7) if part.numel() else f"[], size={tuple(part.shape)}"
            text += f"{lead}tensor({shown}),\n"
        return text

    def _tail(self) -> list[str]:
        tail = [f"size={tuple(self.shape)}", f"nnz={self._nnz()}"]
        plain = self.dtype.to_real() if self.dtype.is_complex else self.dtype
        if plain not in (dtypes.default_dtype, dtypes.int64, dtypes.bool_):
            tail.append(f"dtype={self.dtype!r}")
        tail.append(f"layout={self.layout!r}")
        if self.grad_fn is not None:
            tail.append(f"grad_fn=<{self.grad_fn.name()}>")
        elif self.requires_grad:
            tail.append("requires_grad=True")
        return tail


class SparseCooTensor(SparseTensor):
    is_sparse = True
    layout, _kind = diya.sparse_coo, "Sparse"  # type: ignore[assignment]
    _at: Tensor
    _coalesced: bool

    def _indices(self) -> Tensor:
        return self._at

    def _values(self) -> Tensor:
        return self._data

    def indices(self) -> Tensor:
        self._needs_coalesced("indices")
        return self._at

    def values(self) -> Tensor:
        self._needs_coalesced("values")
        return self._data

    def _needs_coalesced(self, what: str) -> None:
        if not self._coalesced:
            raise RuntimeError(f"Cannot get {what} on an uncoalesced tensor, please call .coalesce() first")

    def is_coalesced(self) -> bool:
        return self._coalesced

    def _coalesced_(self, value: bool):
        self._coalesced = value
        return self

    def sparse_dim(self) -> int:
        return self._at.shape[0]

    def dense_dim(self) -> int:
        return self._data.dim() - 1

    def _gradient(self, g: Tensor) -> SparseCooTensor:
        if self._coalesced:
            return self._like(g)
        flat, order, _ = self._order()  # entries of one element share its gradient
        first = order[np.concatenate([[True], flat[1:] != flat[:-1]])] if flat.size else order
        at = _from_array(first)
        return self._like(g[at], _at=self._at[:, at], _coalesced=True)

    def _flat(self) -> np.ndarray:
        """The place of each entry's element among all, in the order of rows."""
        at = self._at._to_array()
        sizes = tuple(self.shape[:self.sparse_dim()])
        return np.ravel_multi_index(tuple(at), sizes) if at.size else np.zeros(at.shape[1], np.int64)

    def _order(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sorted places of elements, the entries in that order, and to which element (by rank) each entry belongs."""
        flat = self._flat()
        order = np.argsort(flat, kind="stable")
        flat = flat[order]
        rank = np.empty(len(flat), np.int64)
        rank[order] = np.cumsum(np.concatenate([[False], flat[1:] != flat[:-1]])) if len(flat) else rank[order]
        return flat, order, rank

    def coalesce(self) -> SparseCooTensor:
        """The same tensor with one entry for each element, in the order of rows."""
        if self._coalesced:
            return self
        flat, order, rank = self._order()
        keep = np.concatenate([[True], flat[1:] != flat[:-1]]) if len(flat) else np.zeros(0, bool)
        count = int(keep.sum())
        values = diya.zeros((count, *self._data.shape[1:]), dtype=self.dtype)
        values = values.index_add(0, _from_array(rank), self._data) if len(flat) else values
        return self._like(values, _at=_from_array(self._at._to_array()[:, order[keep]]), _coalesced=True)

    def to_dense(self, dtype=None, *, masked_grad=None) -> Tensor:
        values = self._data if dtype is None else self._data.to(dtype)
        if self.dtype is dtypes.bool_:
            values = values.to(dtypes.int64)
        dense = diya.zeros(self.shape, dtype=values.dtype)
        if self._nnz():
            dense = dense.index_put(tuple(self._at.unbind(0)), values, accumulate=True) if self.sparse_dim() else \
                dense + values.sum(0)
        return dense.to(dtypes.bool_) if self.dtype is dtypes.bool_ and dtype is None else dense

    def to_sparse(self, sparse_dim: int | None = None, *, layout=None, blocksize=None, dense_dim=None) -> Any:
        if layout is diya.strided:
            return self.to_dense()
        if layout not in (None, diya.sparse_coo):
            from .compressed import from_coo
            return from_coo(self, layout, blocksize, dense_dim)
        if sparse_dim not in (None, self.sparse_dim()):
            raise RuntimeError(f"to_sparse: conversion from Sparse to Sparse with sparse_dim {sparse_dim} is not supported: it has "
                               f"{self.sparse_dim()}")
        return self

    to_sparse_coo = to_sparse

    def _parts(self) -> tuple:
        return self._at, self._data.detach(), self.shape, self._coalesced

    def __repr__(self, *, tensor_contents=None) -> str:
        from ..printing import _append
        head = self._lines({"indices": self._at, "values": self._data})
        first, *rest = self._tail()
        return _append(head + "       " + first, rest, 7)


def coo(indices: Tensor, values: Tensor, size: Sequence[int], coalesced: bool = False) -> SparseCooTensor:
    """A COO tensor on these indices (int64, known to fit) and values."""
    t = object.__new__(SparseCooTensor)
    t._type = type_of(tuple(size), values.dtype)
    t._at, t._data, t._coalesced = indices, values, coalesced
    return t


def _given(x: Any, dtype: Any = None) -> Tensor:
    if isinstance(x, Tensor):
        return x if dtype is None else x.to(dtype)
    return diya.tensor(x, dtype=dtype)


def _owned(values: Any, dtype: Any, requires_grad: bool) -> Tensor:
    """Values as a part of a new tensor: a handle of its own, and a leaf of its own if it requires gradients."""
    values = _given(values, dtype)
    if requires_grad:
        return values.detach().clone().requires_grad_()
    return values.view_as(values) if values.requires_grad else values.detach()


def rebuilt(layout: str, parts: tuple) -> Any:
    """The sparse tensor of what `SparseTensor._parts` gave."""
    if layout == "sparse_coo":
        at, values, size, coalesced = parts
        return sparse_coo_tensor(at, values, size, is_coalesced=coalesced)
    from .compressed import sparse_compressed_tensor
    starts, others, values, size = parts
    return sparse_compressed_tensor(starts, others, values, size, layout=getattr(diya, layout))


def sparse_coo_tensor(indices: Any = None, values: Any = None, size: Any = None, *, dtype=None, device=None, pin_memory=False,
                      requires_grad: bool = False, check_invariants=None, is_coalesced: bool | None = None) -> SparseCooTensor:
    """A COO tensor of ``indices`` [sparse_dim, nnz] and ``values`` [nnz, ...]; of ``size`` alone, an empty one."""
    diya.empty(0, device=device)
    if values is None:
        given = size if size is not None else () if indices is None else indices
        size = Size((given,) if isinstance(given, int) else given)
        return coo(diya.zeros((len(size), 0), dtype=diya.int64), diya.zeros(0, dtype=dtype, requires_grad=requires_grad), size,
                   True)
    at, values = _given(indices).to(diya.int64), _owned(values, dtype, requires_grad)
    if at.dim() != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(at.shape)}")
    if not values.dim():
        values = values.unsqueeze(0)
    if at.shape[1] != values.shape[0]:
        raise RuntimeError(f"indices and values must have same nnz, but got nnz from indices: {at.shape[1]}, nnz from values: "
                           f"{values.shape[0]}")
    array = at.detach()._to_array()
    if array.size and array.min() < 0:
        raise RuntimeError(f"found negative index {array.min()} in the indices of a sparse tensor")
    if size is None:
        if not array.shape[1]:
            raise RuntimeError("sparse_coo_tensor of no entries needs a size")
        size = (*[int(n) + 1 for n in array.max(1)], *values.shape[1:])
    if len(size) != at.shape[0] + values.dim() - 1:
        raise RuntimeError(f"number of dimensions must be sparse_dim ({at.shape[0]}) + dense_dim ({values.dim() - 1}), but got "
                           f"{len(size)}")
    if tuple(size[at.shape[0]:]) != tuple(values.shape[1:]):
        raise RuntimeError(f"values has incorrect size, expected {[at.shape[1], *size[at.shape[0]:]]}, got {list(values.shape)}")
    for d in range(array.shape[0] if array.shape[1] else 0):
        if array[d].max() >= size[d]:
            raise RuntimeError(f"size is inconsistent with indices: for dim {d}, size is {size[d]} but found index "
                               f"{array[d].max()}")
    return coo(at.detach(), values, size, bool(is_coalesced) or at.shape[1] < 2 and is_coalesced is None and not at.shape[1])


def without_entries(layout: Any, size: Sequence[int], dtype: Any, requires_grad: bool) -> Any:
    """A tensor of zeros without entries."""
    if layout.name in ("sparse_bsr", "sparse_bsc"):
        raise RuntimeError(f"empty_sparse_compressed expected sparse compressed (non-block) tensor layout but got {layout}")
    made = sparse_coo_tensor(size=size, dtype=dtype)
    return (made if layout is diya.sparse_coo else made.to_sparse(layout=layout)).requires_grad_(requires_grad)


def to_sparse(dense: Tensor, sparse_dim: int | None = None, *, layout=None, blocksize=None, dense_dim: int | None = None) -> Any:
    """The elements of a dense tensor that are not zero, as COO with ``sparse_dim`` sparse dimensions, or in a ``layout``."""
    if layout is diya.strided:
        return dense
    if layout not in (None, diya.sparse_coo):
        if sparse_dim is not None:
            raise RuntimeError(f"to_sparse: expected sparse_dim or layout, got both: {sparse_dim} and {layout}")
        from .compressed import from_dense
        return from_dense(dense, layout, blocksize, dense_dim)
    if blocksize is not None or dense_dim is not None:
        raise RuntimeError("to_sparse: conversion from Strided to Sparse with blocksize or dense_dim argument given is not "
                           "supported")
    n = dense.dim() if sparse_dim is None else sparse_dim
    if not 0 <= n <= dense.dim() or not n and dense.dim():
        raise RuntimeError(f"sparse_dim argument must be in >0 and <={dense.dim()}, got {n}")
    kept = dense.detach() != 0
    if n < dense.dim():
        kept = kept.flatten(n).any(-1)
    at = kept.nonzero().T.contiguous() if n else diya.zeros((0, 1), dtype=diya.int64)
    return coo(at, dense[tuple(at.unbind(0))] if n else dense.unsqueeze(0), dense.shape, True)


def to_sparse_csr(x: Tensor, dense_dim: int | None = None) -> Any:
    return x.to_sparse(layout=diya.sparse_csr, dense_dim=dense_dim)


def to_sparse_csc(x: Tensor, dense_dim: int | None = None) -> Any:
    return x.to_sparse(layout=diya.sparse_csc, dense_dim=dense_dim)


def to_sparse_bsr(x: Tensor, blocksize: Any, dense_dim: int | None = None) -> Any:
    return x.to_sparse(layout=diya.sparse_bsr, blocksize=blocksize, dense_dim=dense_dim)


def to_sparse_bsc(x: Tensor, blocksize: Any, dense_dim: int | None = None) -> Any:
    return x.to_sparse(layout=diya.sparse_bsc, blocksize=blocksize, dense_dim=dense_dim)


for _name in ("csr", "csc", "bsr", "bsc"):
    setattr(SparseTensor, f"to_sparse_{_name}", globals()[f"to_sparse_{_name}"])


def sparse_mask(x: Tensor, mask: Any) -> Any:
    """The elements of a dense or sparse tensor where ``mask`` has entries, in its layout."""
    if not isinstance(mask, SparseTensor):
        raise RuntimeError("sparse_mask(): expected a sparse mask, got a dense tensor: use masked_fill() or where()")
    if tuple(x.shape) != tuple(mask.shape):
        raise RuntimeError(f"sparse_mask(): operands have incompatible sizes; self has size {list(x.shape)} but mask has "
                           f"size {list(mask.shape)}")
    x = x.to_dense()
    if not isinstance(mask, SparseCooTensor):
        from .compressed import compress
        at, _ = mask._places()
        return compress(type(mask), at, x[tuple(_from_array(at).unbind(0))], mask.shape, mask._block())
    return mask._like(x[tuple(mask._at.unbind(0))])
