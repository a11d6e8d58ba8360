"""Sparse tensors: ordinary tensors of indices and values under one handle. Gradients flow through the values.

A COO tensor (coordinates) has ``indices`` [sparse_dim, nnz] and ``values`` [nnz, *dense sizes]; entries with the same indices
add up, and a *coalesced* tensor has none of them, in the order of rows. A CSR tensor (compressed sparse rows) has the entries
of row r at ``crow_indices[r] : crow_indices[r + 1]`` of ``col_indices`` and ``values``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import diya

from .. import dtypes
from ..graph import Size, type_of
from ..tensor import Tensor, _from_array


class SparseTensor(Tensor):
    """What COO and CSR share. Operators go to `diya.sparse.rules`; what has no rule there raises NotImplementedError."""

    _data: Tensor  # the values

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        from .rules import call
        return call(func, args, kwargs or {})

    def _like(self, values: Tensor, **changes: Any) -> Any:
        """The same pattern with other values; ``changes`` replace further attributes."""
        new = object.__new__(type(self))
        new.__dict__.update({k: v for k, v in self.__dict__.items() if k not in ("_type", "_data")}, **changes)
        new._type, new._data = type_of(changes.get("_shape", self.shape), values.dtype), values
        new.__dict__.pop("_shape", None)
        return new

    @property
    def _storage(self) -> Any:  # type: ignore[override]
        raise NotImplementedError(f"sparse tensors (layout {self.layout}) have no storage: use to_dense() for this operation")

    def _value(self) -> Any:
        return self._storage

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
        return None if self._data.grad is None else self._like(self._data.grad)

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            raise NotImplementedError("assigning the gradient of a sparse tensor is not supported")
        self._data.grad = None

    def backward(self, *args, **kwargs) -> None:
        raise NotImplementedError("backward from a sparse tensor is not supported: reduce it first, as with torch.sparse.sum")

    def detach(self):
        return self._like(self._data.detach())

    @property
    def data(self):  # type: ignore[override]
        return self.detach()

    # -- what has no rule as an operator -------------------------------------------------------------------------------------

    def stride(self, dim=None):
        raise RuntimeError("sparse tensors do not have strides")

    def is_contiguous(self, memory_format=None) -> bool:
        return True

    def numpy(self, *, force: bool = False):
        raise TypeError("can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first.")

    def tolist(self):
        raise RuntimeError("sparse tensors have no nested lists: use to_dense().tolist()")

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __deepcopy__(self, memo):
        return self._like(self._data.detach().clone().requires_grad_(self._data.requires_grad))

    def __reduce_ex__(self, protocol):
        raise NotImplementedError("pickling sparse tensors is not supported: pickle their indices and values")

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
        if self.dtype not in (dtypes.default_dtype, dtypes.int64, dtypes.bool_):
            tail.append(f"dtype={self.dtype!r}")
        tail.append(f"layout={self.layout!r}")
        if self.grad_fn is not None:
            tail.append(f"grad_fn=<{self.grad_fn.name()}>")
        elif self.requires_grad:
            tail.append("requires_grad=True")
        return tail


class SparseCooTensor(SparseTensor):
    is_sparse = True
    layout = diya.sparse_coo  # type: ignore[assignment]
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

    @property
    def grad(self) -> Any:  # type: ignore[override]
        g = self._data.grad
        if g is None or self._coalesced:
            return None if g is None else self._like(g)
        flat, order, _ = self._order()  # entries of one element share its gradient
        first = order[np.concatenate([[True], flat[1:] != flat[:-1]])] if flat.size else order
        at = _from_array(first)
        return self._like(g[at], _at=self._at[:, at], _coalesced=True)

    @grad.setter
    def grad(self, value: Any) -> None:
        SparseTensor.grad.fset(self, value)  # type: ignore[misc]

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

    def to_sparse(self, *args, **kwargs):
        return self

    to_sparse_coo = to_sparse

    def to_sparse_csr(self, dense_dim=None):
        if self.dim() != 2 or self.dense_dim():
            raise NotImplementedError(f"to_sparse_csr of a tensor of {self.sparse_dim()} sparse and {self.dense_dim()} dense "
                                      "dimensions is not supported: expected 2 and 0")
        c = self.coalesce()
        counts = np.bincount(c._at._to_array()[0], minlength=self.shape[0])
        rows = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return csr(_from_array(rows), c._at[1], c._data, self.shape)

    def __repr__(self, *, tensor_contents=None) -> str:
        from ..printing import _append
        head = self._lines({"indices": self._at, "values": self._data})
        first, *rest = self._tail()
        return _append(head + "       " + first, rest, 7)


class SparseCsrTensor(SparseTensor):
    is_sparse_csr = True
    layout = diya.sparse_csr  # type: ignore[assignment]
    _rows: Tensor
    _columns: Tensor

    def crow_indices(self) -> Tensor:
        return self._rows

    def col_indices(self) -> Tensor:
        return self._columns

    def sparse_dim(self) -> int:
        return 2

    def dense_dim(self) -> int:
        return 0

    def to_sparse(self, *args, **kwargs) -> SparseCooTensor:
        starts = self._rows._to_array()
        rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        at = np.stack([rows, self._columns._to_array()]).astype(np.int64)
        return coo(_from_array(at), self._data, self.shape)._coalesced_(True)

    to_sparse_coo = to_sparse

    def to_sparse_csr(self, dense_dim=None):
        return self

    def to_dense(self, dtype=None, *, masked_grad=None) -> Tensor:
        return self.to_sparse().to_dense(dtype)

    def __repr__(self, *, tensor_contents=None) -> str:
        from ..printing import _append
        head = self._lines({"crow_indices": self._rows, "col_indices": self._columns, "values": self._data})
        return _append(head[:-2], self._tail(), 7)


def coo(indices: Tensor, values: Tensor, size: Sequence[int], coalesced: bool = False) -> SparseCooTensor:
    """A COO tensor on these indices (int64, known to fit) and values."""
    t = object.__new__(SparseCooTensor)
    t._type = type_of(tuple(size), values.dtype)
    t._at, t._data, t._coalesced = indices, values, coalesced
    return t


def csr(rows: Tensor, columns: Tensor, values: Tensor, size: Sequence[int]) -> SparseCsrTensor:
    t = object.__new__(SparseCsrTensor)
    t._type = type_of(tuple(size), values.dtype)
    t._rows, t._columns, t._data = rows, columns, values
    return t


def _given(x: Any, dtype: Any = None) -> Tensor:
    if isinstance(x, Tensor):
        return x if dtype is None else x.to(dtype)
    return diya.tensor(x, dtype=dtype)


def _owned(values: Any, dtype: Any, requires_grad: bool) -> Tensor:
    """Values as a part of a new tensor: a leaf of its own if it requires gradients."""
    values = _given(values, dtype)
    return values.detach().clone().requires_grad_() if requires_grad else values


def sparse_coo_tensor(indices: Any, values: Any = None, size: Any = None, *, dtype=None, device=None, pin_memory=False,
                      requires_grad: bool = False, check_invariants=None, is_coalesced: bool | None = None) -> SparseCooTensor:
    """A COO tensor of ``indices`` [sparse_dim, nnz] and ``values`` [nnz, ...]; of ``size`` alone, an empty one."""
    diya.empty(0, device=device)
    if values is None:
        size = Size(indices if size is None else size)
        return coo(diya.zeros((len(size), 0), dtype=diya.int64), diya.zeros(0, dtype=dtype, requires_grad=requires_grad), size,
                   True)
    at, values = _given(indices).to(diya.int64), _owned(values, dtype, requires_grad)
    if at.dim() != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(at.shape)}")
    if not values.dim():
        values = values.expand(at.shape[1])
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


def sparse_csr_tensor(crow_indices: Any, col_indices: Any, values: Any, size: Any = None, *, dtype=None, device=None,
                      pin_memory=False, requires_grad: bool = False, check_invariants=None) -> SparseCsrTensor:
    """A CSR tensor: of ``crow_indices`` [rows + 1], ``col_indices`` [nnz] and ``values`` [nnz]."""
    diya.empty(0, device=device)
    rows, columns = _given(crow_indices), _given(col_indices)
    values = _owned(values, dtype, requires_grad)
    if rows.dim() != 1 or columns.dim() != 1 or values.dim() != 1:
        raise NotImplementedError("batched and blocked CSR tensors are not supported: expected one dimension each of "
                                  f"crow_indices, col_indices and values, got {rows.dim()}, {columns.dim()}, {values.dim()}")
    starts, at = rows._to_array(), columns._to_array()
    if size is None:
        size = (len(starts) - 1, int(at.max()) + 1 if at.size else 0)
    if len(starts) != size[0] + 1 or starts[0] != 0 or starts[-1] != len(at) or (np.diff(starts) < 0).any() \
            or len(at) != values.shape[0]:
        raise RuntimeError(f"crow_indices must rise from 0 to nnz in {size[0] + 1} steps, got {len(starts)} from {starts[0]} to "
                           f"{starts[-1]}, with {len(at)} col_indices and {values.shape[0]} values")
    if at.size and not 0 <= at.min() <= at.max() < size[1]:
        raise RuntimeError(f"col_indices must lie in [0, {size[1]}), got {at.min()} to {at.max()}")
    return csr(rows, columns, values, size)


def to_sparse(dense: Tensor, sparse_dim: int | None = None, *, layout=None, **options: Any) -> Any:
    """The elements of a dense tensor that are not zero, as COO (or CSR, with ``layout=torch.sparse_csr``)."""
    if layout is diya.sparse_csr:
        return to_sparse_csr(dense)
    if layout not in (None, diya.sparse_coo) or options:
        raise NotImplementedError(f"to_sparse with layout={layout} {' '.join(options)} is not supported: COO and CSR are")
    n = dense.dim() if sparse_dim is None else sparse_dim
    kept = dense.detach() != 0
    if n < dense.dim():
        kept = kept.flatten(n).any(-1)
    at = kept.nonzero().T.contiguous() if n else diya.zeros((0, 1), dtype=diya.int64)
    return coo(at, dense[tuple(at.unbind(0))] if n else dense.unsqueeze(0), dense.shape, True)


def to_sparse_csr(dense: Tensor, dense_dim: int | None = None) -> SparseCsrTensor:
    if dense.dim() != 2:
        raise NotImplementedError(f"to_sparse_csr of {dense.dim()} dimensions is not supported: expected 2")
    return to_sparse(dense).to_sparse_csr()


def sparse_mask(dense: Tensor, mask: SparseCooTensor) -> SparseCooTensor:
    """The elements of a dense tensor where ``mask`` has entries."""
    if tuple(dense.shape) != tuple(mask.shape):
        raise RuntimeError(f"sparse_mask(): operands have incompatible sizes; self has size {list(dense.shape)} but mask has "
                           f"size {list(mask.shape)}")
    mask = mask.coalesce()
    return mask._like(dense[tuple(mask._at.unbind(0))])
