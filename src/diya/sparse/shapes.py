"""What moves the elements of sparse tensors: transposing, joining, selecting."""

from __future__ import annotations

import builtins

import numpy as np

import diya

from ..tensor import _from_array, wrap_dim
from .compressed import SparseCompressedTensor
from .rules import RULES, as_coo, only_coo, rule
from .tensor import SparseCooTensor, SparseTensor, coo


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


@rule("unsqueeze")
def unsqueeze(input, dim):
    """A dimension of size 1: a sparse one up to the last sparse dimension, else a dense one."""
    x = only_coo("unsqueeze", input)
    dim, sparse = wrap_dim(dim, x.dim() + 1), x.sparse_dim()
    shape = (*x.shape[:dim], 1, *x.shape[dim:])
    if dim > sparse:
        return x._like(x._data.unsqueeze(dim - sparse + 1), _shape=shape)
    zeros = diya.zeros((1, x._nnz()), dtype=diya.int64)
    return x._like(x._data, _shape=shape, _at=diya.cat([x._at[:dim], zeros, x._at[dim:]]))


@rule("squeeze")
def squeeze(input, dim=None):
    x = only_coo("squeeze", input)
    dims = range(x.dim()) if dim is None else [wrap_dim(d, x.dim()) for d in ((dim,) if isinstance(dim, int) else dim)]
    for d in sorted((d for d in dims if x.shape[d] == 1), reverse=True):
        shape, sparse = (*x.shape[:d], *x.shape[d + 1:]), x.sparse_dim()
        x = x._like(x._data.squeeze(d - sparse + 1), _shape=shape) if d >= sparse else \
            x._like(x._data, _shape=shape, _at=diya.cat([x._at[:d], x._at[d + 1:]]))
    return x


@rule("stack")
def stack(tensors, dim=0):
    parts = [unsqueeze(only_coo("stack", x), dim) for x in tensors]
    if any(tuple(x.shape) != tuple(parts[0].shape) for x in parts):
        raise RuntimeError(f"stack expects each tensor to be equal size, but got {[list(x.shape) for x in tensors]}")
    return cat(parts, wrap_dim(dim, parts[0].dim()))


for _name, _dim in (("vstack", 0), ("hstack", 1)):
    RULES[_name] = lambda tensors, dim=_dim: cat(tensors, dim if tensors[0].dim() > 1 else 0)


@rule("narrow_copy", "narrow")
def narrow_copy(input, dim, start, length):
    """A part of a dimension, whose entries are moved to its beginning."""
    x = only_coo("narrow_copy", input)
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
    x = only_coo("index_select", input)
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
    x = as_coo(input)
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


SparseTensor.narrow_copy = narrow_copy  # type: ignore
SparseTensor.__getitem__ = lambda self, index: select(self, index)  # type: ignore
for _name, _dims in (("T", (0, 1)), ("mT", (-2, -1)), ("H", (0, 1)), ("mH", (-2, -1))):
    setattr(SparseTensor, _name, property(lambda self, dims=_dims: transpose(self, *dims)))
