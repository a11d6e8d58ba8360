"""Compressed sparse tensors: CSR and CSC, and BSR and BSC, whose entries are blocks.

The entries of row r of a CSR tensor are ``crow_indices[r] : crow_indices[r + 1]`` of ``col_indices`` and ``values``; CSC has
rows and columns change places. Leading dimensions of all three are a batch, of equally many entries each. Values of BSR and
BSC have two more dimensions, those of a block; further ones are dense dimensions, as those of a COO tensor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import diya

from ..graph import Size, type_of
from ..tensor import Tensor, _from_array
from .tensor import SparseCooTensor, SparseTensor, _given, _owned, coo


class SparseCompressedTensor(SparseTensor):
    """What the four layouts share. ``_starts`` says where each row (column) starts, ``_others`` the columns (rows)."""

    _by_rows: bool
    _blocked: bool
    _starts: Tensor
    _others: Tensor

    def crow_indices(self) -> Tensor:
        return self._starts if self._by_rows else Tensor.crow_indices(self)  # type: ignore

    def col_indices(self) -> Tensor:
        return self._others if self._by_rows else Tensor.col_indices(self)  # type: ignore

    def ccol_indices(self) -> Tensor:
        return Tensor.ccol_indices(self) if self._by_rows else self._starts  # type: ignore

    def row_indices(self) -> Tensor:
        return Tensor.row_indices(self) if self._by_rows else self._others  # type: ignore

    def _nnz(self) -> int:
        return self._others.shape[-1]

    def sparse_dim(self) -> int:
        return 2

    def dense_dim(self) -> int:
        return self.dim() - 2 - self._batch()

    def _batch(self) -> int:
        """How many dimensions are the batch's."""
        return self._starts.dim() - 1

    def _block(self) -> tuple[int, int]:
        n = self._batch() + 1
        return (self._data.shape[n], self._data.shape[n + 1]) if self._blocked else (1, 1)

    def _places(self) -> tuple[np.ndarray, Tensor]:
        """Indices [batch dimensions + 2, elements] of all elements that have entries, and their values."""
        n = self._batch()
        sizes = tuple(self.shape[:n])
        starts = self._starts._to_array().reshape(math.prod(sizes), -1)
        others = self._others._to_array().reshape(-1).astype(np.int64)
        outer = np.repeat(np.tile(np.arange(starts.shape[1] - 1), len(starts)), np.diff(starts).reshape(-1))
        batch = np.stack(np.unravel_index(np.repeat(np.arange(len(starts)), self._nnz()), sizes)) if n else \
            np.zeros((0, len(others)), np.int64)
        rows, columns = (outer, others) if self._by_rows else (others, outer)
        values = self._data.flatten(0, n) if n else self._data
        if self._blocked:
            height, width = self._block()
            inside = np.indices((height, width)).reshape(2, -1)
            rows = (rows[:, None] * height + inside[0]).reshape(-1)
            columns = (columns[:, None] * width + inside[1]).reshape(-1)
            batch, values = batch.repeat(height * width, 1), values.flatten(0, 2)
        return np.concatenate([batch, rows[None], columns[None]]).astype(np.int64), values

    def to_sparse(self, sparse_dim: int | None = None, *, layout=None, blocksize=None, dense_dim=None) -> Any:
        if layout not in (None, diya.sparse_coo):
            return self._to_layout(layout, blocksize, dense_dim)
        if sparse_dim not in (None, 2):
            raise RuntimeError(f"to_sparse: conversion from {self._kind} to Sparse with sparse_dim {sparse_dim} is not supported: "
                               "expected 2")
        at, values = self._places()
        return coo(_from_array(at), values, self.shape, self._by_rows and not self._blocked)

    to_sparse_coo = to_sparse

    def _to_layout(self, layout: Any, blocksize: Any = None, dense_dim: int | None = None) -> Any:
        if layout is diya.strided:
            return self.to_dense()
        kind = _of_layout(layout)
        block = _checked_block(kind, blocksize or (self._block() if self._blocked else None), self._kind)
        if self._blocked and (not kind._blocked or block != self._block()):
            raise RuntimeError(f"to_{layout.name}: conversion from {self._kind} (blocks of {self._block()}) to {kind._kind} "
                               f"(blocks of {block}) is not supported")
        if kind is type(self) and block == self._block():
            return self
        at, values = self._places()
        return compress(kind, at, values, self.shape, block)

    def to_dense(self, dtype=None, *, masked_grad=None) -> Tensor:
        return self.to_sparse().to_dense(dtype)

    def _transposed(self) -> Any:
        """With the last sparse dimensions exchanged: the same entries in the other layout."""
        n = self._batch()
        shape = (*self.shape[:n], self.shape[n + 1], self.shape[n], *self.shape[n + 2:])
        kind = next(k for k in _LAYOUTS.values() if k._blocked == self._blocked and k._by_rows != self._by_rows)
        values = self._data.transpose(n + 1, n + 2) if self._blocked else self._data
        return _make(kind, self._starts, self._others, values, shape)

    def _parts(self) -> tuple:
        return self._starts, self._others, self._data.detach(), self.shape

    def __repr__(self, *, tensor_contents=None) -> str:
        from ..printing import _append
        starts, others = ("crow_indices", "col_indices") if self._by_rows else ("ccol_indices", "row_indices")
        head = self._lines({starts: self._starts, others: self._others, "values": self._data})
        return _append(head[:-2], self._tail(), 7)


class SparseCsrTensor(SparseCompressedTensor):
    is_sparse_csr = True
    layout, _kind, _by_rows, _blocked = diya.sparse_csr, "SparseCsr", True, False  # type: ignore[assignment]


class SparseCscTensor(SparseCompressedTensor):
    layout, _kind, _by_rows, _blocked = diya.sparse_csc, "SparseCsc", False, False  # type: ignore[assignment]


class SparseBsrTensor(SparseCompressedTensor):
    layout, _kind, _by_rows, _blocked = diya.sparse_bsr, "SparseBsr", True, True  # type: ignore[assignment]


class SparseBscTensor(SparseCompressedTensor):
    layout, _kind, _by_rows, _blocked = diya.sparse_bsc, "SparseBsc", False, True  # type: ignore[assignment]


_LAYOUTS: dict[Any, type[SparseCompressedTensor]] = {k.layout: k for k in (
    SparseCsrTensor, SparseCscTensor, SparseBsrTensor, SparseBscTensor)}  # type: ignore[misc]


def _of_layout(layout: Any) -> type[SparseCompressedTensor]:
    if layout not in _LAYOUTS:
        raise RuntimeError(f"expected a compressed sparse layout ({', '.join(map(repr, _LAYOUTS))}), got {layout}")
    return _LAYOUTS[layout]


def _make(kind: type, starts: Tensor, others: Tensor, values: Tensor, size: Sequence[int]) -> Any:
    t = object.__new__(kind)
    t._type = type_of(tuple(size), values.dtype)
    t._starts, t._others, t._data = starts, others, values
    return t


def _checked_block(kind: Any, blocksize: Any, source: str) -> tuple[int, int]:
    if not kind._blocked:
        if blocksize is not None:
            raise RuntimeError(f"to_sparse: conversion from {source} to {kind._kind} with blocksize argument given is not "
                               "supported")
        return 1, 1
    if blocksize is None:
        raise RuntimeError(f"to_sparse: conversion from {source} to {kind._kind} without blocksize argument given is not "
                           "supported")
    block = (blocksize, blocksize) if isinstance(blocksize, int) else tuple(blocksize)
    if len(block) != 2 or min(block) <= 0:
        raise RuntimeError(f"to_sparse: blocksize needs to be a tuple of two positive numbers, got {blocksize}")
    return block


def compress(kind: Any, at: np.ndarray, values: Tensor, shape: Sequence[int], block: tuple[int, int] = (1, 1)) -> Any:
    """A compressed tensor of elements at different places ``at`` [batch dimensions + 2, elements]."""
    sizes, (height, width) = tuple(shape[:len(at) - 2]), block
    n_rows, n_columns = shape[len(sizes):len(sizes) + 2]
    if n_rows % height or n_columns % width:
        raise RuntimeError(f"to_{kind.layout.name}: tensor sparse size ({n_rows},{n_columns}) must be divisible by given "
                           f"blocksize ({height},{width})")
    batches = math.prod(sizes)
    batch = np.ravel_multi_index(tuple(at[:-2]), sizes) if sizes and at.size else np.zeros(at.shape[1], np.int64)
    rows, columns = at[-2] // height, at[-1] // width
    outer, inner = (rows, columns) if kind._by_rows else (columns, rows)
    n_outer, n_inner = (n_rows // height, n_columns // width)[::1 if kind._by_rows else -1]
    keys = (batch * n_outer + outer) * max(n_inner, 1) + inner
    if kind._blocked:
        keys, block_of = np.unique(keys, return_inverse=True)
        empty = diya.zeros((len(keys), height, width, *values.shape[1:]), dtype=values.dtype)
        place = tuple(_from_array(i.reshape(-1).astype(np.int64)) for i in (block_of, at[-2] % height, at[-1] % width))
        entries = empty.index_put(place, values) if at.shape[1] else empty
    else:
        order = np.argsort(keys, kind="stable")
        keys, entries = keys[order], values[_from_array(order)]
    counts = np.bincount(keys // max(n_inner, 1), minlength=batches * n_outer).reshape(batches, n_outer)
    if batches > 1 and (counts.sum(1) != counts[0].sum()).any():
        raise RuntimeError("Expect the same number of specified elements per batch.")
    starts = np.concatenate([np.zeros((batches, 1), np.int64), counts.cumsum(1)], 1).astype(np.int64)
    others = (keys % max(n_inner, 1)).astype(np.int64)
    nnz = len(keys) // batches if batches else 0
    return _make(kind, _from_array(starts.reshape(*sizes, n_outer + 1)), _from_array(others.reshape(*sizes, nnz)),
                 entries.reshape(*sizes, nnz, *entries.shape[1:]), shape)


# -- made of dense and COO tensors ---------------------------------------------------------------------------------------

def from_dense(dense: Tensor, layout: Any, blocksize: Any = None, dense_dim: int | None = None) -> Any:
    """The elements that are not zero, in a compressed layout; leading dimensions are a batch."""
    kind, tail = _of_layout(layout), dense_dim or 0
    block = _checked_block(kind, blocksize, "Strided")
    if not 0 <= tail <= dense.dim() - 2:
        raise IndexError(f"to_{layout.name} needs two sparse dimensions: a tensor of {dense.dim()} dimensions, {tail} of them "
                         "dense, has too few")
    kept = dense.detach() != 0
    if tail:
        kept = kept.flatten(dense.dim() - tail).any(-1)
    at = kept.nonzero().T
    return compress(kind, at._to_array(), dense[tuple(at.unbind(0))], dense.shape, block)


def from_coo(x: SparseCooTensor, layout: Any, blocksize: Any = None, dense_dim: int | None = None) -> Any:
    kind = _of_layout(layout)
    block = _checked_block(kind, blocksize, "Sparse")
    if x.sparse_dim() != 2:
        raise RuntimeError(f"Only tensors with two sparse dimensions can be converted to the {kind._kind} layout, got self with "
                           f"{x.sparse_dim()} sparse dimensions")
    x = x.coalesce()
    return compress(kind, x._at._to_array(), x._data, x.shape, block)


# -- made of parts -------------------------------------------------------------------------------------------------------

def sparse_compressed_tensor(compressed_indices: Any, plain_indices: Any, values: Any, size: Any = None, *, dtype=None,
                             layout: Any = None, device=None, pin_memory=False, requires_grad: bool = False,
                             check_invariants: bool | None = None) -> Any:
    """A tensor of a compressed layout, of its parts. Indices are always checked to be in range; that they rise within a row
    (column) is checked with ``check_invariants``."""
    diya.empty(0, device=device)
    kind = _of_layout(layout)
    starts, others, values = _given(compressed_indices), _given(plain_indices), _owned(values, dtype, requires_grad)
    n = starts.dim() - 1
    if n < 0 or others.dim() != n + 1 or values.dim() < n + 1 + 2 * kind._blocked:
        raise RuntimeError(f"{kind._kind} of indices of {starts.dim()} and {others.dim()} dimensions needs as many of either, at "
                           f"least 1, and values of {2 * kind._blocked} more at least, got {values.dim()}")
    block = tuple(values.shape[n + 1:n + 3]) if kind._blocked else (1, 1)
    dense = tuple(values.shape[n + 1 + 2 * kind._blocked:])
    at = others._to_array()
    if size is None:
        sizes = (starts.shape[-1] - 1, int(at.max()) + 1 if at.size else 0)[::1 if kind._by_rows else -1]
        size = (*starts.shape[:-1], sizes[0] * block[0], sizes[1] * block[1], *dense)
    size = Size(size)
    _check(kind, starts, others, values, size, n, block, dense, bool(check_invariants))
    return _make(kind, starts.detach(), others.detach(), values, size)


def _check(kind: Any, starts: Tensor, others: Tensor, values: Tensor, size: Size, n: int, block: Any, dense: tuple,
           ordered: bool) -> None:
    """Raises RuntimeError unless the parts make a tensor whose elements lie inside of it."""
    outer, inner = ("row", "col") if kind._by_rows else ("col", "row")
    compressed, plain = f"c{outer}_indices", f"{inner}_indices"
    if len(size) != n + 2 + len(dense) or tuple(size[n + 2:]) != dense:
        raise RuntimeError(f"tensor dimensionality must be sum of batch ({n}), sparse (2), and dense ({len(dense)}) "
                           f"dimensionalities of values {list(values.shape)}, but got size {list(size)}")
    for x, name in ((starts, compressed), (others, plain)):
        if x.dtype not in (diya.int32, diya.int64) or x.dtype is not starts.dtype:
            raise RuntimeError(f"{compressed} and {plain} must be int32 or int64, both the same, but {name} is {x.dtype}")
        if tuple(x.shape[:-1]) != tuple(size[:n]):
            raise RuntimeError(f"{name} has batch shape {list(x.shape[:-1])}, expected {list(size[:n])}")
    if tuple(values.shape[:n + 1]) != tuple(others.shape):
        raise RuntimeError(f"{plain} {list(others.shape)} and values {list(values.shape)} must have as many entries")
    height, width = block
    n_outer, n_inner = (size[n] // height, size[n + 1] // width)[::1 if kind._by_rows else -1]
    if size[n] % height or size[n + 1] % width:
        raise RuntimeError(f"tensor shape {list(size)} must be divisible by the blocks of {list(block)}")
    if starts.shape[-1] != n_outer + 1:
        raise RuntimeError(f"{compressed}.shape[-1] must be equal to the number of {outer}s + 1 ({n_outer + 1}), but got "
                           f"{starts.shape[-1]}")
    first, at = starts._to_array().reshape(-1, n_outer + 1), others._to_array().reshape(math.prod(size[:n]), -1)
    nnz = others.shape[-1]
    counts = np.diff(first)
    if (first[:, 0] != 0).any() or (first[:, -1] != nnz).any() or (counts < 0).any() or (counts > n_inner).any():
        raise RuntimeError(f"{compressed} must rise from 0 to nnz ({nnz}) by 0 to {n_inner}, got {first.tolist()}")
    if at.size and not 0 <= at.min() <= at.max() < n_inner:
        raise RuntimeError(f"`0 <= {plain} < {n_inner}` is not satisfied: got {at.min()} to {at.max()}")
    if ordered and nnz > 1:
        row = np.stack([np.repeat(np.arange(n_outer), c) for c in counts])
        if ((np.diff(at) <= 0) & (np.diff(row) == 0)).any():
            raise RuntimeError(f"`{plain}[..., {compressed}[..., i - 1]:{compressed}[..., i]] for all i = 1, ..., {n_outer} are "
                               "sorted and distinct along the last dimension values` is not satisfied.")


def sparse_csr_tensor(crow_indices: Any, col_indices: Any, values: Any, size: Any = None, **options: Any) -> SparseCsrTensor:
    """A CSR tensor: of ``crow_indices`` [*batch, rows + 1], ``col_indices`` [*batch, nnz] and ``values`` [*batch, nnz, *dense]."""
    return _of_kind(SparseCsrTensor, crow_indices, col_indices, values, size, options)


def sparse_csc_tensor(ccol_indices: Any, row_indices: Any, values: Any, size: Any = None, **options: Any) -> SparseCscTensor:
    """A CSC tensor: as `sparse_csr_tensor`, with rows and columns exchanged."""
    return _of_kind(SparseCscTensor, ccol_indices, row_indices, values, size, options)


def sparse_bsr_tensor(crow_indices: Any, col_indices: Any, values: Any, size: Any = None, **options: Any) -> SparseBsrTensor:
    """A BSR tensor: as `sparse_csr_tensor`, of blocks: ``values`` is [*batch, nnz, height, width, *dense]."""
    return _of_kind(SparseBsrTensor, crow_indices, col_indices, values, size, options)


def sparse_bsc_tensor(ccol_indices: Any, row_indices: Any, values: Any, size: Any = None, **options: Any) -> SparseBscTensor:
    """A BSC tensor: as `sparse_bsr_tensor`, with rows and columns exchanged."""
    return _of_kind(SparseBscTensor, ccol_indices, row_indices, values, size, options)


def _of_kind(kind: Any, starts: Any, others: Any, values: Any, size: Any, options: dict) -> Any:
    if options.setdefault("layout", kind.layout) is not kind.layout:
        raise RuntimeError(f"sparse_{kind._kind[6:].lower()}_tensor makes layout {kind.layout}, got layout={options['layout']}")
    return sparse_compressed_tensor(starts, others, values, size, **options)
