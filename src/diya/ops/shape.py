"""Shapes rearranged: composites of views, concatenation and indexing."""

from __future__ import annotations

import itertools

from .. import dtypes, views
from ..graph import contiguous_strides
from ..tensor import Tensor, wrap_dim
from . import movement
from .creation import arange, zeros
from .movement import cat, flip, sizes_of, slice_dim, split, stack, write
from .record import not_int, operator, result_type


def _sequence(tensors) -> list[Tensor]:
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tensors[0]
    return list(tensors)


def _at_least(name: str, rank: int, grow):
    def make(*tensors):
        if len(tensors) == 1 and isinstance(tensors[0], Tensor):
            return grow(tensors[0])
        return tuple(grow(x) for x in _sequence(tensors))
    make.__name__ = make.__qualname__ = name
    return operator(name, method=False, out=False)(make)


def _grow2(x: Tensor) -> Tensor:
    return x.reshape(1, 1) if x.dim() == 0 else x.unsqueeze(0) if x.dim() == 1 else x


def _grow3(x: Tensor) -> Tensor:
    return x.reshape(1, 1, 1) if x.dim() == 0 else x.reshape(1, -1, 1) if x.dim() == 1 else x.unsqueeze(-1) if x.dim() == 2 else x


atleast_1d = _at_least("atleast_1d", 1, lambda x: x.reshape(1) if x.dim() == 0 else x)
atleast_2d = _at_least("atleast_2d", 2, _grow2)
atleast_3d = _at_least("atleast_3d", 3, _grow3)


@operator(method=False)
def hstack(tensors):
    if not tensors:
        raise RuntimeError("hstack expects a non-empty TensorList")
    xs = atleast_1d(*tensors) if len(tensors) > 1 else (atleast_1d(tensors[0]),)
    return cat(xs, 0 if xs[0].dim() == 1 else 1)


@operator(method=False, aliases=("row_stack",))
def vstack(tensors):
    if not tensors:
        raise RuntimeError("vstack expects a non-empty TensorList")
    return cat([_grow2(x) for x in tensors], 0)


@operator(method=False)
def dstack(tensors):
    if not tensors:
        raise RuntimeError("dstack expects a non-empty TensorList")
    return cat([_grow3(x) for x in tensors], 2)


@operator(method=False)
def column_stack(tensors):
    return cat([x.reshape(x.numel(), 1) if x.dim() <= 1 else x for x in tensors], 1)


@operator(out=False)
def tensor_split(input, indices_or_sections, dim=0):
    if not input.dim():
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim = wrap_dim(dim, input.dim())
    if isinstance(indices_or_sections, Tensor) and indices_or_sections.dtype is not dtypes.int64:
        raise RuntimeError(f"tensor_split expected tensor_indices_or_sections to have dtype of long, but got "
                           f"{indices_or_sections.dtype}")
    if isinstance(indices_or_sections, Tensor) and indices_or_sections.dim() > 1:
        raise RuntimeError(f"tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor, "
                           f"but got a tensor with {indices_or_sections.dim()} dims")
    size = input.shape[dim]
    given = indices_or_sections.tolist() if isinstance(indices_or_sections, Tensor) else indices_or_sections
    if isinstance(given, int):
        if given <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {given}")
        small, extra = divmod(size, given)
        return split(input, [small + 1] * extra + [small] * (given - extra), dim)
    edges = [0, *given, None]
    return tuple(slice_dim(input, dim, a, b if b is None or a is None or b >= a or b < 0 or a < 0 else a)
                 for a, b in zip(edges, edges[1:], strict=False))


def _splitter(name: str, dim_of):
    def make(input, indices_or_sections):
        dim = dim_of(input)
        if isinstance(indices_or_sections, int) and (indices_or_sections == 0
                                                         or input.shape[dim] % indices_or_sections):
            raise RuntimeError(f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension "
                               f"{input.shape[dim]} is not divisible by the split_size {indices_or_sections}!")
        return tensor_split(input, indices_or_sections, dim)
    make.__name__ = make.__qualname__ = name
    return operator(name, out=False)(make)


def _dim_for(name: str, least: int, dim: int):
    def find(x: Tensor) -> int:
        if x.dim() < least:
            raise RuntimeError(f"torch.{name} requires a tensor with at least {least} dimension{'s' if least > 1 else ''}, but got "
                               f"a tensor with {x.dim()} dimensions!")
        return 0 if name == "hsplit" and x.dim() == 1 else dim
    return find


hsplit = _splitter("hsplit", _dim_for("hsplit", 1, 1))
vsplit = _splitter("vsplit", _dim_for("vsplit", 2, 0))
dsplit = _splitter("dsplit", _dim_for("dsplit", 3, 2))


@operator(out=False)
def unsafe_chunk(input, chunks, dim=0):
    return movement.chunk(input, chunks, dim)


@operator(out=False)
def unsafe_split(input, split_size, dim=0):
    return split(input, split_size, dim)


@operator()
def tile(input, *dims):
    dims = sizes_of(dims)
    return repeat(input, (1,) * (input.dim() - len(dims)) + dims)


@operator("Tensor.repeat", method="repeat", out=False)
def repeat(input, *repeats):
    repeats = sizes_of(repeats)
    if len(repeats) < input.dim():
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if any(r < 0 for r in repeats):
        raise RuntimeError(f"Trying to create tensor with negative dimension: repeats {list(repeats)}")
    lead = len(repeats) - input.dim()
    shape = (1,) * lead + tuple(input.shape)
    x = input.reshape([s for d in shape for s in (1, d)])
    out = x.expand([s for r, d in zip(repeats, shape, strict=True) for s in (r, d)])
    return out.clone(memory_format=movement.contiguous_format).reshape([r * d for r, d in zip(repeats, shape, strict=True)])


@operator(out=False)
def roll(input, shifts, dims=None):
    if isinstance(shifts, str):
        raise TypeError("roll(): argument 'shifts' (position 2) must be tuple of ints, not str")
    if dims is None or dims == ():
        if isinstance(shifts, (tuple, list)) and len(shifts) != 1:
            raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:0")
        shift = shifts[0] if isinstance(shifts, (tuple, list)) else shifts
        return roll(input.reshape(-1), shift, 0).reshape(input.shape) if input.numel() else input.clone()
    shifts = movement.sizes_of([shifts])
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(shifts) != len(dims):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    out = input
    for shift, d in zip(shifts, dims, strict=True):
        if not out.dim():
            raise IndexError(f"Dimension specified as {d} but tensor has no dimensions")
        d = wrap_dim(d, out.dim())
        n = out.shape[d]
        k = -shift % n if n else 0
        out = cat([slice_dim(out, d, k, None), slice_dim(out, d, 0, k)] if k else [out], d)
    return out.clone() if out is input else movement.laid_like(input, out)


@operator(method=True)
def fliplr(input):
    if input.dim() < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


@operator(method=True)
def flipud(input):
    if input.dim() < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


@operator()
def rot90(input, k=1, dims=(0, 1)):
    if not isinstance(k, int):
        not_int("rot90", "k", k)
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    a, b = (wrap_dim(d, input.dim()) if input.dim() > 1 else 0 for d in dims)
    if input.dim() < 2 or a == b:
        raise RuntimeError(f"expected total dims >= 2 and distinct rotation dims, but got total dims = {input.dim()} and dims "
                           f"{tuple(dims)}")
    k %= 4
    if k == 1:
        return flip(input, b).transpose(a, b).clone()
    if k == 2:
        return flip(input, a, b)
    if k == 3:
        return flip(input, a).transpose(a, b).clone()
    return _dense(input)


@operator(method=False, out=False)
def meshgrid(*tensors, indexing=None):
    xs = _sequence(tensors)
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    if not xs:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if any(x.dim() > 1 for x in xs):
        raise RuntimeError("torch.meshgrid: Expected 0D or 1D tensor in the tensor list")
    if any(x.dtype is not xs[0].dtype for x in xs):
        raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    swap = indexing == "xy" and len(xs) >= 2
    if swap:
        xs[0], xs[1] = xs[1], xs[0]
    shape = [x.numel() for x in xs]
    out = [x.reshape([s if k == i else 1 for k, s in enumerate(shape)]).expand(shape) for i, x in enumerate(xs)]
    if swap:
        out[0], out[1] = out[1], out[0]
    return tuple(out)


@operator(method=False, out=False)
def cartesian_prod(*tensors):
    xs = _sequence(tensors)
    for x in xs:
        if x.dim() != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(x.shape)}")
    if len(xs) == 1:
        return xs[0]
    return stack([g.reshape(-1) for g in meshgrid(*xs, indexing="ij")], 1)


@operator(method=False, out=False)
def combinations(input, r=2, with_replacement=False):
    if input.dim() != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input.new_empty(0)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    index = list(choose(range(input.shape[0]), r))
    from .creation import tensor
    positions = tensor(index, dtype=dtypes.int64) if index else zeros(0, r, dtype=dtypes.int64)
    return input[positions]


@operator(method=False, out=False)
def block_diag(*tensors):
    xs = [_grow2(x) for x in tensors]
    if any(x.dim() > 2 for x in xs):
        raise RuntimeError("torch.block_diag: Input tensors must have 2 or fewer dimensions")
    if not xs:
        return zeros(1, 0)
    d = result_type(*tensors)
    rows, columns = sum(x.shape[0] for x in xs), sum(x.shape[1] for x in xs)
    out = zeros(rows, columns, dtype=d)
    r = c = 0
    for x in xs:
        out = write(out, x.to(d), (x.shape, (columns, 1), r * columns + c if x.numel() else 0))
        r, c = r + x.shape[0], c + x.shape[1]
    return out


# -- triangles and diagonals ---------------------------------------------------------------------------------------------


def _triangle(name: str, keep):
    def make(input, diagonal=0):
        if input.dim() < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        if not isinstance(diagonal, int):
            not_int(name, "diagonal", diagonal)
        from .elementwise import where
        rows, columns = input.shape[-2:]
        mask = keep(arange(rows).unsqueeze(1) + diagonal, arange(columns))
        return where(mask, input, input.new_zeros(())).contiguous()
    make.__name__ = make.__qualname__ = name
    return operator(name, inplace=True)(make)


tril = _triangle("tril", lambda r, c: r >= c)
triu = _triangle("triu", lambda r, c: r <= c)


@operator()
def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    rank = input.dim() + 1
    dim1, dim2 = wrap_dim(dim1, rank), wrap_dim(dim2, rank)
    if dim1 == dim2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    n = input.shape[-1] + abs(offset)
    shape = list(input.shape[:-1])
    for d in sorted((dim1, dim2)):
        shape.insert(d, n)
    out = input.new_zeros(shape)
    strides = contiguous_strides(shape)
    rest = [strides[d] for d in range(rank) if d not in (dim1, dim2)]
    start = offset * strides[dim2] if offset > 0 else -offset * strides[dim1]
    return write(out, input, (tuple(input.shape), (*rest, strides[dim1] + strides[dim2]), start if input.numel() else 0))


@operator()
def diag(input, diagonal=0):
    if input.dim() == 1:
        return diag_embed(input, diagonal)
    if input.dim() == 2:
        return movement.diagonal(input, diagonal).clone()
    raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.dim()}D")


@operator()
def diagflat(input, offset=0):
    return diag_embed(input.reshape(-1), offset)


@operator(takes="uifc")
def trace(input):
    if input.dim() != 2:
        raise RuntimeError("trace: expected a matrix")
    return movement.diagonal(input).sum()


# -- views written back -----------------------------------------------------------------------------------------------------


def _scatter_into(input: Tensor, src: Tensor, view: Tensor) -> Tensor:
    """A copy of ``input`` in which the elements that ``view`` (a view of a dense tensor like it) shows are ``src``."""
    if src.shape != view.shape:
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = {list(src.shape)}, slice size = "
                           f"{list(view.shape)}")
    out = write(input, src.to(input.dtype), (tuple(view.shape), tuple(view.stride()), view._offset))
    return _gaps_kept(input, out)


def _gaps_kept(like: Tensor, out: Tensor) -> Tensor:
    """``out`` laid out as ``like`` is, with what lies between its elements in memory, as PyTorch clones it for these operators."""
    shape, strides = tuple(like.shape), like.stride()
    if views.is_dense(shape, strides) or views.overlaps_itself(shape, strides):
        return movement.preserved(like, out)
    memory = like.detach().as_strided((like._storage.nbytes() // like.element_size(),), (1,), 0).clone()
    return movement.write(memory, out, (shape, strides, like._offset), None).as_strided(shape, strides, like._offset)


def _template(input: Tensor) -> Tensor:
    return input.new_empty(input.shape)


@operator()
def select_scatter(input, src, dim, index):
    return _scatter_into(input, src, _template(input).select(dim, index))


@operator()
def slice_scatter(input, src, dim=0, start=None, end=None, step=1):
    if step <= 0:
        raise RuntimeError(f"slice step must be positive, got {step}")
    return _scatter_into(input, src, slice_dim(_template(input), wrap_dim(dim, input.dim()), start, end, step))


@operator()
def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1):
    return _scatter_into(input, src, movement.diagonal(_template(input), offset, dim1, dim2))


def _as_strided_scatter_grad(g, shape, size, stride, storage_offset):
    """As PyTorch has it: the input's gradient is that of the part that was written over (its definition differs)."""
    view = (tuple(size), tuple(stride), storage_offset or 0)
    part = movement.strided(g.contiguous(), view)
    return write(g.new_zeros(shape), part, view), part


@operator(grad=_as_strided_scatter_grad, inputs=("input", "src"))
def as_strided_scatter(input, src, size, stride, storage_offset=None):
    at = input._offset if storage_offset is None else storage_offset
    if any(n > 1 and not step for n, step in zip(size, stride, strict=False)):
        raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single memory "
                           "location: as_strided_scatter() got strides that overlap")
    if (input._offset or not input.is_contiguous()) and not views.overlaps_itself(input.shape, input.stride()):
        whole = input.as_strided((input._storage.nbytes() // input.element_size(),), (1,), 0)
        return as_strided_scatter(whole, src, size, stride, at).as_strided(input.shape, input.stride(), input._offset)
    view = _template(input).as_strided(size, stride, at)
    if src.shape != view.shape:
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = {list(src.shape)}, slice size = "
                           f"{list(view.shape)}")
    return movement.write(input, src.to(input.dtype), (tuple(size), tuple(stride), view._offset), None)


def _dense(x: Tensor) -> Tensor:
    return x.clone(memory_format=movement.contiguous_format)


def _copying(name: str, function):
    def make(*args, **kwargs):
        out = function(*args, **kwargs)
        if isinstance(out, tuple):
            return tuple(_dense(x) for x in out)
        return _dense(out)
    make.__name__ = make.__qualname__ = name
    operator(name, method=False)(make)


def _viewed(input: Tensor, *size) -> Tensor:
    return input.view(*size) if isinstance(size[0], dtypes.dtype) else input.reshape(*size)


for _name in ("alias", "as_strided", "diagonal", "expand", "permute", "select", "squeeze", "t", "transpose", "unbind",
              "unsqueeze", "view", "split", "split_with_sizes", "view_as_real", "view_as_complex", "detach"):
    _copying(_name + "_copy", (lambda x: x) if _name == "alias" else (lambda x: x.detach()) if _name == "detach"
             else _viewed if _name == "view" else getattr(movement, _name))
_copying("unfold_copy", movement.unfold)
@operator()
def narrow_copy(input, dim, start, length):
    if dim >= input.dim() > 0:
        raise RuntimeError(f"narrow_copy(): dim {dim} is out of range for a tensor of {input.dim()} dimensions")
    return _dense(movement.narrow(input, dim, start, length))


operator("slice_copy", method=False)(lambda input, dim=0, start=None, end=None, step=1: _dense(slice_dim(
    input, wrap_dim(dim, input.dim()), start, end, step)))


@operator(method=True, out=False)
def sum_to_size(input, *size):
    from ..autograd.tape import sum_to
    size = sizes_of(size)
    lead = input.dim() - len(size)
    if lead < 0 or any(s not in (1, own) for s, own in zip(size, input.shape[lead:], strict=True)):
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size {{{list(input.shape)}}}.")
    if not size and input.dtype.kind in "bui":
        input = input.to(dtypes.int64)
    return sum_to(input, tuple(size))


@operator()
def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):
    if repeats is None:
        if input.dim() != 1 or input.dtype not in (dtypes.int32, dtypes.int64):
            raise RuntimeError(f"repeats has to be Long or Int tensor of one dimension, got {input.dtype} of {list(input.shape)}")
        counts = input.tolist()
        return _repeated_positions(counts, input)
    if dim is None:
        input, dim = input.reshape(-1), 0
    dim = wrap_dim(dim, input.dim())
    if isinstance(repeats, Tensor) and repeats.dtype not in (dtypes.int32, dtypes.int64):
        raise NotImplementedError(f'"repeat_interleave_cpu" not implemented for {repeats.dtype}: repeats must be int32 or int64')
    if isinstance(repeats, int) or repeats.numel() == 1:
        n = int(repeats)
        if n < 0:
            raise RuntimeError("repeats can not be negative")
        if not input.dim():
            return input.reshape(1).expand(n).clone()
        x = input.unsqueeze(dim + 1)
        shape = list(x.shape)
        shape[dim + 1] = n
        out = list(input.shape)
        out[dim] *= n
        return _dense(x.expand(shape)).reshape(out)
    if repeats.dim() != 1 or repeats.shape[0] != input.shape[dim]:
        raise RuntimeError(f"repeats must have the same size as input along dim, but got repeats.size(0) = {repeats.shape[0]} and "
                           f"input.size({dim}) = {input.shape[dim]}")
    return input.index_select(dim, _repeated_positions(repeats.tolist(), repeats))


def _repeated_positions(counts: list[int], like: Tensor) -> Tensor:
    import numpy as np

    from ..tensor import _from_array
    if any(c < 0 for c in counts):
        raise RuntimeError("repeats can not be negative")
    return _from_array(np.repeat(np.arange(len(counts)), counts).astype(np.int64))


@operator(method=False, out=False)
def unravel_index(indices, shape):
    from .elementwise import floor_divide, remainder
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if indices.dtype.kind not in "ui":
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if not all(isinstance(s, int) for s in shape):
        raise TypeError(f"expected 'shape' sequence to only contain ints, but got {shape}")
    if any(s < 0 for s in shape):
        raise ValueError(f"'shape' cannot have negative values, but got {shape}")
    indices = indices.to(dtypes.int64)
    if not shape:
        return ()
    out = []
    for s in reversed(shape):
        out.append(remainder(indices, s))
        indices = floor_divide(indices, s)
    return movement.unbind(stack(out[::-1], -1), -1)
