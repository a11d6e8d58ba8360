"""Movement: views that share memory, and the primitives that say which elements move where."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from .. import dtypes, engine, views
from ..autograd.modes import modes
from ..autograd.tape import Rule, track
from ..dtypes import dtype as DType
from ..graph import Size, Type, contiguous_strides, primitive, type_of
from ..tensor import AS_STRIDED, Tensor, _layout, assign, check_inplace, from_node, strided_from_node, view_of, wrap_dim
from .again import FIXED
from .record import _iterator_order, not_int, operator

# -- primitives --------------------------------------------------------------------------------------------------------


def _infer_view(attrs, x: Type) -> Type:
    shape, strides, offset = attrs
    low, high = views.extent(shape, strides, offset)
    if low < 0 or high >= x.numel:
        if 0 not in shape:
            raise RuntimeError(f"a view of size {list(shape)}, strides {list(strides)} and offset {offset} reaches outside of "
                               f"{x.numel} elements")
    return type_of(shape, x.dtype)


def _strided(flat: np.ndarray, shape, strides, offset) -> np.ndarray:
    if 0 in shape:
        return np.empty(shape, flat.dtype)
    size = flat.itemsize
    return np.ndarray(tuple(shape), flat.dtype, flat, offset * size, tuple([s * size for s in strides]))


def _interpret_view(attrs, x, type):
    shape, strides, offset = attrs
    return _strided(np.ascontiguousarray(x).reshape(-1), shape, strides, offset)


def _interpret_write(attrs, x, v, overwrite: bool):
    out = x if overwrite and x.flags.c_contiguous else np.array(x, order="C", copy=True)
    shape, strides, offset = attrs
    if 0 not in shape:
        _strided(out.reshape(-1), shape, strides, offset)[...] = v
    return out


def _infer_write(attrs, x: Type, v: Type) -> Type:
    shape, strides, offset = attrs
    _infer_view(attrs, x)
    if tuple(v.shape) != tuple(shape) or v.dtype is not x.dtype:
        raise RuntimeError(f"write of {v} into a region of size {list(shape)} of {x}")
    return x


def _interpret_fold(attrs, v, type):
    _, (shape, strides, offset) = attrs
    out = np.zeros(type.numel, v.dtype)
    if 0 in shape:
        return out.reshape(type.shape)
    if not views.overlaps_itself(shape, strides):
        _strided(out, shape, strides, offset)[...] = v
        return out.reshape(type.shape)
    # Dimensions that overlap others are walked in Python (the window's, the smallest ones), the rest in numpy.
    walk: list[int] = []
    rest = list(range(len(shape)))
    while views.overlaps_itself([shape[d] for d in rest], [strides[d] for d in rest]):
        d = min((d for d in rest if shape[d] > 1), key=lambda d: (strides[d] != 0, shape[d]))
        rest.remove(d)
        walk.append(d)
    for at in np.ndindex(*[shape[d] for d in walk]):
        index: list[Any] = [slice(None)] * len(shape)
        start = offset
        for d, i in zip(walk, at, strict=True):
            index[d] = i
            start += i * strides[d]
        region = _strided(out, [shape[d] for d in rest], [strides[d] for d in rest], start)
        region += v[tuple(index)]
    return out.reshape(type.shape)


def _infer_fold(attrs, v: Type) -> Type:
    shape, (vshape, strides, offset) = attrs
    out = type_of(shape, v.dtype)
    _infer_view((vshape, strides, offset), out)
    return out


def _interpret_bitcast(attrs, x, type):
    return np.ascontiguousarray(x).reshape(-1).view(type.dtype.numpy).reshape(type.shape)


VIEW = primitive("view", "view", _infer_view, interpret=_interpret_view)
WRITE = primitive("write", "write", _infer_write, interpret=_interpret_write)
FOLD = primitive("fold", "fold", _infer_fold, interpret=_interpret_fold)
BITCAST = primitive("bitcast", "view", lambda attrs, x: type_of(attrs[0], attrs[1]), interpret=_interpret_bitcast)


def _base_flat(layout) -> tuple[int, int] | None:
    """(offset, 0) if a layout is a dense row-major block, so that storage coordinates are its own minus an offset."""
    shape, strides, offset = layout
    return (offset, 0) if views.is_contiguous(shape, strides) else None


def strided(t: Tensor, view, base=None) -> Tensor:
    """Elements of dense ``t`` at a view's positions. ``base`` is the layout that ``t`` stands for: the view's positions
    are then those of the base's storage. Differentiable."""
    shape, strides, offset = view
    if base is not None:
        at = _base_flat(base)
        if at is None:
            t = _spread(t, base)
            offset -= views.extent(*base)[0]
        else:
            offset -= at[0]
    return _strided_op(t, (tuple(shape), tuple(strides), offset))


def _spread(t: Tensor, base) -> Tensor:
    """A flat tensor over a layout's extent with ``t``'s elements at the layout's positions, zero between them."""
    low, high = views.extent(*base)
    return fold(t, (high - low + 1,), (base[0], base[1], base[2] - low))


def _strided_op(t: Tensor, view) -> Tensor:
    x = t._value()
    out = from_node(engine.record(VIEW, (x,), view))
    if t._rg and modes.grad:
        track(_STRIDED, (out,), (t,), (x,), {"view": view})
    return out


def fold(t: Tensor, shape, view) -> Tensor:
    """Zeros of ``shape`` with each element of ``t`` added at the view's position. Differentiable."""
    x = t._value()
    view = (tuple(view[0]), tuple(view[1]), view[2])
    out = from_node(engine.record(FOLD, (x,), (tuple(shape), view)))
    if t._rg and modes.grad:
        track(_FOLD, (out,), (t,), (x,), {"view": view})
    return out


def write(t: Tensor, value: Tensor, view, base=None) -> Tensor:
    """A copy of dense ``t`` with ``value`` at a view's positions (see `strided` for ``base``). Differentiable."""
    shape, strides, offset = view
    if base is not None:
        at = _base_flat(base)
        if at is None:
            low = views.extent(*base)[0]
            flat = write(_spread(t, base), value, (shape, strides, offset - low))
            return strided(flat, (base[0], base[1], base[2] - low))
        offset -= at[0]
    view = (tuple(shape), tuple(strides), offset)
    x, v = t._value(), value._value()
    out = from_node(engine.record(WRITE, (x, v), view))
    if (t._rg or value._rg) and modes.grad:
        track(_WRITE, (out,), (t, value), (x, v), {"view": view})
    return out


_STRIDED = Rule("AsStrided", ("input",), dict(input=lambda g, shape, view: fold(g, shape, view)))
_FOLD = Rule("Fold", ("input",), dict(input=lambda g, view: _strided_op(g, view)))
_WRITE = Rule("SliceScatter", ("input", "value"), dict(
    input=lambda g, view: write(g, g.new_zeros(()).expand(view[0]), view),
    value=lambda g, view: _strided_op(g, view)))


# -- views ---------------------------------------------------------------------------------------------------------------


def _rule(name: str, grad) -> Rule:
    return Rule(name, ("input",), {"input": grad})


_VIEW_RULE = _rule("View", lambda g, shape: g.reshape(shape))
_PERMUTE_RULE = _rule("Permute", lambda g, dims: g.permute(_inverse(dims)))
_TRANSPOSE_RULE = _rule("Transpose", lambda g, dim0, dim1: g.transpose(dim0, dim1))
_T_RULE = _rule("T", lambda g: g.t())
_EXPAND_RULE = Rule("Expand", ("input",), {"input": lambda g: g}, broadcasts=True)
_SELECT_RULE = _rule("Select", lambda g, shape, dim, index: _pad_dim(g.unsqueeze(dim), shape, dim, index, 1))
_SLICE_RULE = _rule("Slice", lambda g, shape, dim, start, step: _pad_dim(g, shape, dim, start, step))
_UNSQUEEZE_RULE = _rule("Unsqueeze", lambda g, shape: g.reshape(shape))
_SQUEEZE_RULE = _rule("Squeeze", lambda g, shape: g.reshape(shape))
_ALIAS_RULE = _rule("Alias", lambda g: g)
_REAL_RULE = _rule("ViewAsReal", lambda g: view_as_complex(g.contiguous()))
_COMPLEX_RULE = _rule("ViewAsComplex", lambda g: view_as_real(g.contiguous() if not g.is_conj() else g.resolve_conj()))
_UNFOLD_RULE = _rule("Unfold", lambda g, shape, view: fold(g, shape, view))


def _pad_dim(g: Tensor, shape, dim: int, start: int, step: int) -> Tensor:
    """Zeros of ``shape`` with ``g`` at every ``step``-th place of ``dim`` from ``start``."""
    strides = contiguous_strides(shape)
    return fold(g, shape, (tuple(g.shape), tuple(s * step if d == dim else s for d, s in enumerate(strides)),
                           start * strides[dim] if shape else 0))


def _inverse(dims) -> tuple[int, ...]:
    out = [0] * len(dims)
    for i, d in enumerate(dims):
        out[d] = i
    return tuple(out)


def sizes_of(args) -> tuple[int, ...]:
    """A shape given as ints, or as one sequence of them."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = args[0]
    out = []
    for s in args:
        if type(s) is not int:
            if isinstance(s, float) or not hasattr(s, "__index__"):
                raise TypeError(f"sizes must be ints, got {type(s).__name__} in {tuple(args)!r}")
            s = s.__index__()
        out.append(s)
    return tuple(out)


def _index(name: str, argument: str, value) -> int:
    """An integer argument: an int, or an integer tensor of one element."""
    return value.__index__() if hasattr(value, "__index__") else not_int(name, argument, value)


def infer_size(shape: tuple[int, ...], numel: int) -> tuple[int, ...]:
    """Replaces a -1 by what makes ``numel`` elements. Raises RuntimeError as PyTorch words it."""
    known, unknown = 1, None
    for d, s in enumerate(shape):
        if s == -1:
            if unknown is not None:
                raise RuntimeError("only one dimension can be inferred")
            unknown = d
        elif s < 0:
            raise RuntimeError(f"invalid shape dimension {s}")
        else:
            known *= s
    if unknown is None:
        if known != numel:
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
        return shape
    if known == 0:
        if numel == 0:
            raise RuntimeError(f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified "
                               f"dimension size -1 can be any value and is ambiguous")
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
    if numel % known:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
    return shape[:unknown] + (numel // known,) + shape[unknown + 1:]


@operator(method=True, out=False)
def view(input, *shape, dtype=None):
    if dtype is not None or len(shape) == 1 and isinstance(shape[0], DType):
        return _view_dtype(input, dtype or shape[0])
    sizes = infer_size(sizes_of(shape), input.numel())
    strides = views.reshape_strides(input.shape, input.stride(), sizes)
    if strides is None:
        raise RuntimeError(f"view size is not compatible with input tensor's size and stride (at least one dimension spans "
                           f"across two contiguous subspaces). Use .reshape(...) instead: size {list(input.shape)}, stride "
                           f"{list(input.stride())}, wanted {list(sizes)}")
    return view_of(input, sizes, strides, input._offset, _VIEW_RULE)


def _view_dtype(input: Tensor, dtype: DType) -> Tensor:
    """The same bytes as another dtype; the last dimension absorbs a change of item size."""
    old, new = input.dtype.itemsize, dtype.itemsize
    shape, strides, offset = list(input.shape), list(input.stride()), input._offset
    if old != new:
        if not shape:
            raise RuntimeError(f"self.dim() cannot be 0 to view {input.dtype} as {dtype} (different element sizes)")
        if strides[-1] != 1:
            raise RuntimeError(f"self.stride(-1) must be 1 to view {input.dtype} as {dtype} (different element sizes), but "
                               f"got {strides[-1]}")
        if old > new:
            k = old // new
            shape[-1] *= k
            strides = [s * k for s in strides[:-1]] + [1]
            offset *= k
        else:
            k = new // old
            if shape[-1] % k or offset % k or any(s % k for s in strides[:-1]):
                raise RuntimeError(f"self.size(-1), strides and storage_offset must be divisible by {k} to view {input.dtype} "
                                   f"as {dtype} (different element sizes), but got size {list(input.shape)}")
            shape[-1] //= k
            strides = [s // k for s in strides[:-1]] + [1]
            offset //= k
    if input.dtype is dtypes.uint8:
        input._storage.retype(dtype)
    return view_of(input, shape, strides, offset, None, dtype)


@operator(out=False)
def view_as(input, other):
    return input.view(other.shape)


@operator(out=False)
def reshape(input, *shape):
    sizes = infer_size(sizes_of(shape), input.numel())
    strides = views.reshape_strides(input.shape, input.stride(), sizes)
    if strides is not None:
        return view_of(input, sizes, strides, input._offset, _VIEW_RULE)
    return view_of(input.contiguous(), sizes, contiguous_strides(sizes), 0, _VIEW_RULE)


@operator(out=False)
def reshape_as(input, other):
    return input.reshape(other.shape)


@operator(out=False)
def flatten(input, start_dim=0, end_dim=-1):
    rank = input.dim()
    start, end = wrap_dim(start_dim, rank), wrap_dim(end_dim, rank)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if rank == 0:
        return input.reshape(1)
    if start == end:
        return input
    shape = input.shape
    return input.reshape(shape[:start] + (math.prod(shape[start:end + 1]),) + shape[end + 1:])


@operator(out=False)
def unflatten(input, dim, sizes):
    dim = wrap_dim(dim, input.dim())
    sizes = sizes_of([sizes] if isinstance(sizes, int) else sizes)
    if not input.dim():
        raise RuntimeError(f"unflatten: dimension specified as {dim} but tensor has no dimensions")
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    try:
        sizes = infer_size(sizes, input.shape[dim])
    except RuntimeError:
        raise RuntimeError(f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} "
                           f"({input.shape[dim]}) in the input tensor") from None
    return input.view(input.shape[:dim] + sizes + input.shape[dim + 1:])


@operator(out=False)
def ravel(input):
    return input.contiguous().reshape(-1)


@operator(out=False)
def permute(input, *dims):
    dims = sizes_of(dims)
    if len(dims) != input.dim():
        raise RuntimeError(f"permute: number of dimensions in the tensor input does not match the length of the desired ordering "
                           f"of dimensions i.e. input.dim() = {input.dim()} is not equal to len(dims) = {len(dims)}: got {dims} "
                           f"for size {list(input.shape)}")
    dims = tuple(wrap_dim(d, input.dim()) for d in dims)
    if len(set(dims)) != len(dims):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    shape, strides = input.shape, input.stride()
    return view_of(input, [shape[d] for d in dims], [strides[d] for d in dims], input._offset, _PERMUTE_RULE, dims=dims)


@operator(out=False, aliases=("swapaxes", "swapdims"))
def transpose(input, dim0, dim1):
    rank = input.dim()
    dim0, dim1 = wrap_dim(dim0, rank), wrap_dim(dim1, rank)
    shape, strides = list(input.shape), list(input.stride())
    if shape:
        shape[dim0], shape[dim1] = shape[dim1], shape[dim0]
        strides[dim0], strides[dim1] = strides[dim1], strides[dim0]
    return view_of(input, shape, strides, input._offset, _TRANSPOSE_RULE, dim0=dim0, dim1=dim1)


@operator(out=False)
def t(input):
    if input.dim() > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.dim()}D")
    if input.dim() < 2:
        return view_of(input, input.shape, input.stride(), input._offset, _ALIAS_RULE)
    return view_of(input, input.shape[::-1], tuple(input.stride())[::-1], input._offset, _T_RULE)


def _matrix_transpose(self):
    if self.dim() == 0:
        return view_of(self, (), (), self._offset, _ALIAS_RULE)
    if self.dim() == 1:
        raise RuntimeError("tensor.mT is only supported on matrices or batches of matrices. Got 1-D tensor.")
    return self.transpose(-2, -1)


def _adjoint(self):
    if self.dim() == 1:
        raise RuntimeError("tensor.mH is only supported on matrices or batches of matrices. Got 1-D tensor.")
    return _matrix_transpose(self).conj()


Tensor.T = property(lambda self: self.permute(tuple(range(self.dim()))[::-1]))  # type: ignore[attr-defined]
Tensor.mT = property(_matrix_transpose)  # type: ignore[attr-defined]
Tensor.H = property(lambda self: _adjoint(self) if self.dim() in (0, 2) else _not_matrix(self))  # type: ignore[attr-defined]
Tensor.mH = property(_adjoint)  # type: ignore[attr-defined]


def _not_matrix(self):
    raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self.dim()}-D tensor.")


@operator(out=False)
def adjoint(input):
    if input.dim() < 2:
        raise RuntimeError(f"tensor.adjoint() is only supported on matrices or batches of matrices. Got {input.dim()}-D tensor.")
    return input.transpose(-2, -1).conj()


@operator(out=False, aliases=("moveaxis",))
def movedim(input, source, destination):
    rank = input.dim()
    source = [wrap_dim(d, rank) for d in ([source] if isinstance(source, int) else source)]
    destination = [wrap_dim(d, rank) for d in ([destination] if isinstance(destination, int) else destination)]
    if len(source) != len(destination):
        raise RuntimeError(f"movedim: Invalid source or destination dims: source ({source} dims) should contain the same "
                           f"number of dims as destination ({destination} dims)")
    if len(set(source)) != len(source) or len(set(destination)) != len(destination):
        raise RuntimeError("movedim: repeated dim in `source` or `destination`")
    order = [-1] * rank
    for s, d in zip(source, destination, strict=True):
        order[d] = s
    rest = iter(d for d in range(rank) if d not in source)
    return input.permute([next(rest) if d == -1 else d for d in order])


@operator(out=False)
def expand(input, *sizes, implicit=False):
    sizes = sizes_of(sizes)
    shape, strides = input.shape, input.stride()
    lead = len(sizes) - len(shape)
    if lead < 0:
        raise RuntimeError(f"expand(torch.{input.dtype.name}{list(shape)}, size={list(sizes)}): the number of sizes provided "
                           f"({len(sizes)}) must be greater or equal to the number of dimensions in the tensor ({len(shape)})")
    out, steps = [], []
    for d, s in enumerate(sizes):
        own = shape[d - lead] if d >= lead else 1
        if s == -1:
            if d < lead:
                raise RuntimeError(f"expand(torch.{input.dtype.name}{list(shape)}, size={list(sizes)}): The expanded size of "
                                   f"the tensor (-1) isn't allowed in a leading, non-existing dimension {d}")
            s = own
        if s != own and own != 1:
            raise RuntimeError(f"The expanded size of the tensor ({s}) must match the existing size ({own}) at non-singleton "
                               f"dimension {d}.  Target sizes: {list(sizes)}.  Tensor sizes: {list(shape)}")
        if s < 0:
            raise RuntimeError(f"expand: sizes must be non-negative or -1, got {list(sizes)}")
        out.append(s)
        steps.append(0 if d < lead or (own == 1 and s != 1) else strides[d - lead])
    for d in range(lead - 1, -1, -1):  # a new dimension of size 1 has the stride that PyTorch gives it
        if out[d] == 1:
            steps[d] = out[d + 1] * steps[d + 1] if d + 1 < len(out) else 1
    return view_of(input, out, steps, input._offset, _EXPAND_RULE)


@operator(out=False)
def expand_as(input, other):
    return input.expand(other.shape)


@operator(out=False)
def broadcast_to(input, size):
    return input.expand(size)


@operator(method=False, out=False)
def broadcast_tensors(*tensors):
    from ..graph import broadcast_shapes
    tensors = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    shape = broadcast_shapes(*(x.shape for x in tensors))
    return tuple(x.expand(shape) for x in tensors)


@operator(method=False, out=False, differentiable=False)
def broadcast_shapes(*shapes):
    from ..graph import broadcast_shapes as common
    shapes = tuple([(s,) if isinstance(s, int) else tuple(s) for s in shapes])
    for s in (s for shape in shapes for s in shape):
        if not isinstance(s, int):
            raise TypeError(f"broadcast_shapes(): sizes must be ints, got {type(s).__name__}")
        if s < 0:
            raise ValueError(f"Attempting to broadcast a dimension with negative length! Got {s}")
    return Size(common(*shapes))


@operator(out=False)
def select(input, dim, index):
    if not input.dim():
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = wrap_dim(dim, input.dim())
    size = input.shape[dim]
    index = index.__index__()
    if not -size <= index < size:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(input.shape)} at dimension {dim}")
    index %= size
    shape, strides = input.shape, input.stride()
    return view_of(input, shape[:dim] + shape[dim + 1:], strides[:dim] + strides[dim + 1:],
                   input._offset + index * strides[dim], _SELECT_RULE, dim=dim, index=index)


def slice_dim(input: Tensor, dim: int, start: int | None, stop: int | None, step: int = 1) -> Tensor:
    """``input[..., start:stop:step, ...]`` along ``dim``, a view."""
    if step <= 0:
        raise ValueError(f"step must be greater than zero, got {step}: use flip() for negative steps")
    size = input.shape[dim]
    start, stop, _ = slice(start, stop, step).indices(size)
    n = max(0, -(-(stop - start) // step))
    strides = input.stride()
    return view_of(input, input.shape[:dim] + (n,) + input.shape[dim + 1:],
                   strides[:dim] + (strides[dim] * step,) + strides[dim + 1:],
                   input._offset + (start * strides[dim]), _SLICE_RULE, dim=dim, start=start, step=step)


@operator(out=False)
def narrow(input, dim, start, length):
    if not input.dim():
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    dim = wrap_dim(dim, input.dim())
    size = input.shape[dim]
    if isinstance(start, Tensor) and (start.dim() or start.dtype.kind not in "ui"):
        raise RuntimeError(f"narrow(): start must be an 0-dim integral Tensor, got {start.dtype} of shape {list(start.shape)}")
    start, length = _index("narrow", "start", start), _index("narrow", "length", length)
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -size <= start <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    start = start + size if start < 0 else start
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return slice_dim(input, dim, start, start + length)


@operator(out=False)
def unsqueeze(input, dim):
    rank = input.dim()
    if not -rank - 1 <= dim <= rank:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-rank - 1}, {rank}], but got {dim})")
    dim = dim + rank + 1 if dim < 0 else dim
    shape, strides = input.shape, input.stride()
    step = shape[dim] * strides[dim] if dim < rank else 1
    return view_of(input, shape[:dim] + (1,) + shape[dim:], strides[:dim] + (step,) + strides[dim:], input._offset,
                   _UNSQUEEZE_RULE)


@operator(out=False)
def squeeze(input, dim=None):
    rank = input.dim()
    if dim is None:
        gone = {d for d, s in enumerate(input.shape) if s == 1}
    else:
        dims = [wrap_dim(d, rank) for d in ([dim] if isinstance(dim, int) else dim)]
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"squeeze(): a dim appears multiple times in the list of dims {dims}")
        gone = {d for d in dims if rank and input.shape[d] == 1}
    keep = [d for d in range(rank) if d not in gone]
    shape, strides = input.shape, input.stride()
    return view_of(input, [shape[d] for d in keep], [strides[d] for d in keep], input._offset, _SQUEEZE_RULE)


@operator(out=False)
def diagonal(input, offset=0, dim1=0, dim2=1):
    rank = input.dim()
    dim1, dim2 = wrap_dim(dim1, rank), wrap_dim(dim2, rank)
    if dim1 == dim2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    shape, strides = input.shape, input.stride()
    at = input._offset
    if offset >= 0:
        n = max(min(shape[dim1], shape[dim2] - offset), 0)
        at += offset * strides[dim2] if n else 0
    else:
        n = max(min(shape[dim1] + offset, shape[dim2]), 0)
        at -= offset * strides[dim1] if n else 0
    rest = [d for d in range(rank) if d not in (dim1, dim2)]
    dense = contiguous_strides(shape)
    start = (offset * dense[dim2] if offset >= 0 else -offset * dense[dim1]) if n else 0
    placed = ([*[shape[d] for d in rest], n], [*[dense[d] for d in rest], dense[dim1] + dense[dim2]], start)
    return view_of(input, placed[0], [*[strides[d] for d in rest], strides[dim1] + strides[dim2]], at, _DIAGONAL_RULE,
                   view=placed)


_DIAGONAL_RULE = _rule("Diagonal", lambda g, shape, view: fold(g, shape, view))


@operator("Tensor.unfold", method="unfold", out=False)
def unfold(input, dimension, size, step):
    rank = input.dim()
    dim = wrap_dim(dimension, rank)
    shape, strides = (tuple(input.shape), tuple(input.stride())) if rank else ((1,), (1,))
    size, step = _index("unfold", "size", size), _index("unfold", "step", step)
    if size < 0 or size > shape[dim]:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {shape[dim]} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    n = (shape[dim] - size) // step + 1
    dense = contiguous_strides(shape)

    def windows(s):
        return s[:dim] + (s[dim] * step,) + s[dim + 1:] + (s[dim],)
    out = shape[:dim] + (n,) + shape[dim + 1:] + (size,)
    if not rank:
        return view_of(input, (size,), (1,), input._offset, _VIEW_RULE)
    return view_of(input, out, windows(strides), input._offset, _UNFOLD_RULE, view=(out, windows(dense), 0))


@operator(out=False)
def as_strided(input, size, stride, storage_offset=None):
    size, stride = sizes_of([size]), sizes_of([stride])
    offset = input._offset if storage_offset is None else storage_offset
    if len(size) != len(stride):
        raise RuntimeError(f"mismatch in length of strides and shape: {len(size)} sizes, {len(stride)} strides")
    if any(s < 0 for s in size):
        raise RuntimeError(f"as_strided: sizes must not be negative, got {list(size)}")
    if any(s < 0 for s in stride):
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")
    if offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {offset}")
    high = views.extent(size, stride, offset)[1]
    if (high + 1) * input.element_size() > input._storage.nbytes() and 0 not in size:
        raise RuntimeError(f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and itemsize "
                           f"{input.element_size()} requiring a storage size of {(high + 1) * input.element_size()} are out "
                           f"of bounds for storage of size {input._storage.nbytes()}")
    return view_of(input, size, stride, offset, AS_STRIDED, view=(size, stride, offset), base=_layout(input))


@operator(out=False)
def view_as_real(input):
    if input.dtype.kind != "c":
        raise RuntimeError(f"view_as_real is only supported for complex tensors, got {input.dtype}")
    return view_of(input, (*input.shape, 2), (*(s * 2 for s in input.stride()), 1), input._offset * 2, _REAL_RULE,
                   input.dtype.to_real())


@operator(out=False)
def view_as_complex(input):
    if input.dtype not in (dtypes.float16, dtypes.float32, dtypes.float64):
        raise RuntimeError(f"view_as_complex is only supported for half, float and double tensors, but got a tensor of "
                           f"scalar type: {input.dtype}")
    if not input.dim() or input.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if input.stride(-1) != 1 or any(s % 2 for s in input.stride()[:-1]) or input._offset % 2:
        raise RuntimeError("Tensor must have a last dimension with stride 1, and all other strides and the storage offset "
                           "divisible by 2")
    return view_of(input, input.shape[:-1], [s // 2 for s in input.stride()[:-1]], input._offset // 2, _COMPLEX_RULE,
                   input.dtype.to_complex())


@operator(out=False)
def unbind(input, dim=0):
    if not input.dim():
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    dim = wrap_dim(dim, input.dim())
    return tuple(input.select(dim, i) for i in range(input.shape[dim]))


@operator(out=False)
def split(input, split_size_or_sections, dim=0):
    if not input.dim():
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    dim = wrap_dim(dim, input.dim())
    size = input.shape[dim]
    if isinstance(split_size_or_sections, (tuple, list)):
        sections = list(sizes_of([split_size_or_sections]))
        if sum(sections) != size or any(s < 0 for s in sections):
            raise RuntimeError(f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at "
                               f"dimension {dim}), but got split_sizes={sections}")
    else:
        step = _index("split", "split_size", split_size_or_sections)
        if step < 0 or (step == 0 and size):
            raise RuntimeError(f"split expects split_size be non-negative, but got split_size={step}" if step < 0 else
                               f"split_size can only be 0 if dimension size is 0, but got dimension size of {size}")
        sections = [min(step, size - s) for s in range(0, size, step)] if size else [0]
    out, at = [], 0
    for s in sections:
        out.append(input.narrow(dim, at, s))
        at += s
    return tuple(out)


@operator(out=False)
def split_with_sizes(input, split_sizes, dim=0):
    return split(input, list(split_sizes), dim)


@operator(out=False)
def chunk(input, chunks, dim=0):
    if not input.dim():
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    dim = wrap_dim(dim, input.dim())
    size = input.shape[dim]
    step = -(-size // chunks)
    if step == 0:
        return split(input, [0] * chunks, dim)
    return split(input, step, dim)


# -- copies --------------------------------------------------------------------------------------------------------------


class memory_format:
    """How a 4-d or 5-d tensor lies in memory, as ``memory_format=`` arguments name it."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self):
        return f"torch.{self.name}"


FIXED.add(memory_format)
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
_CLONE = Rule("Clone", ("input",), {"input": lambda g: g})
_LAST = {"channels_last": (0, 2, 3, 1), "channels_last_3d": (0, 2, 3, 4, 1)}


def order_for(input: Tensor, format) -> tuple[int, ...] | None:
    """The memory order of a copy of ``input`` in a memory format; None for row-major."""
    name = "preserve_format" if format is None else format.name
    if name in _LAST:
        if len(_LAST[name]) != input.dim():
            raise RuntimeError(f"required rank {len(_LAST[name])} tensor to use {name} format")
        return _LAST[name]
    if name == "preserve_format" and input._strides is not None and input._strides != input._type.strides:
        if views.is_dense(input.shape, input._strides):
            return views.memory_order(input.shape, input._strides)
        return _iterator_order(input.shape, ((input.shape, input._strides),))
    return None


def suggested_format(x: Tensor) -> memory_format:
    """The memory format that a tensor's strides are those of, as operators on images take them."""
    order = {4: (1, 3, 2, 0), 5: (1, 4, 3, 2, 0)}.get(x.dim())
    if order is None or x._strides is None or x._strides[1] == 0:
        return contiguous_format
    least = 0
    for d in order:
        size, stride = x.shape[d], x._strides[d]
        if size == 0 or stride < least or d == 0 and least == x._strides[1]:
            return contiguous_format
        least = stride * max(size, 1)
    return channels_last if x.dim() == 4 else channels_last_3d


def preserved(like: Tensor, out: Tensor) -> Tensor:
    """``out`` laid out in memory as ``like``, which has its shape, is."""
    order = order_for(like, None) if like._strides is not None else None
    return out if order is None else copied(out, order)


def laid_like(like: Tensor, out: Tensor) -> Tensor:
    """``out`` in the memory format that ``like`` has, if that is a channels-last one."""
    if like._strides is None or out.dim() != like.dim():
        return out
    format = suggested_format(like)
    if format is contiguous_format:
        return out
    out = contiguous(out, format)
    strides = views.dense_strides(out.shape, _LAST[format.name])
    if strides != out.stride():  # in dimensions of size 1 only: what comes next is to see the format all the same
        out._strides = strides
    return out


def copied(input: Tensor, order: tuple[int, ...] | None) -> Tensor:
    """A copy in memory of its own, on the tape."""
    x = input._value()
    out = from_node(x) if order is None else strided_from_node(x, order)
    if input._rg and modes.grad:
        track(_CLONE, (out,), (input,), (x,), {})
    return out


@operator(out=False, again=False)
def clone(input, *, memory_format=None):
    return copied(input, order_for(input, memory_format))


@operator(out=False)
def contiguous(input, memory_format=contiguous_format):
    if input.is_contiguous(memory_format):
        return input
    return copied(input, order_for(input, memory_format))


@operator("Tensor.copy_", method="copy_", out=False, again=False)
def copy_(input, src, non_blocking=False):
    if not isinstance(src, Tensor):
        raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}")
    check_inplace(input)
    if src.dtype is not input.dtype:
        src = src.to(input.dtype)
    if src.shape != input.shape:
        src = src.expand(input.shape)
    return assign(input, src)


@operator(inplace=True, grad=dict(input=lambda g: g * 0, value=lambda g: g.sum()), inputs=("input", "value"))
def fill(input, value):
    if isinstance(value, Tensor):
        if value.dim():
            raise RuntimeError(f"fill only supports 0-dimension value tensor but got tensor with {value.dim()} dimensions.")
        return value.to(input.dtype).expand(input.shape).clone()
    from .record import element
    return full_like_node(input, element(value, input.dtype))


def full_like_node(input: Tensor, value) -> Tensor:
    order = order_for(input, None)
    node = constant(tuple(input.shape), value, input.dtype)
    return from_node(node) if order is None else strided_from_node(node, order)


def constant(shape: tuple[int, ...], value, dtype: DType):
    """A node of one value everywhere."""
    node = engine.scalar(value, dtype)
    engine.check_size(type_of(shape, dtype))
    return engine.append(VIEW, (node,), (tuple(shape), (0,) * len(shape), 0))


@operator("zero_", method="zero_", out=False)
def zero_(input):
    check_inplace(input)
    return assign(input, full_like_node(input, 0))


@operator(out=False)
def flip(input, *args, dims=None):
    if (dims is None) == (not args):
        raise TypeError(f"flip() expects dims, once: got {args} and dims={dims}")
    given = sizes_of(args if dims is None else [dims])
    dims = {wrap_dim(d, input.dim()) for d in given}
    if len(dims) != len(given):
        raise RuntimeError(f"dim appears multiple times in the list of dims {list(given)}")
    shape, dense = tuple(input.shape), contiguous_strides(input.shape)
    if 0 in shape or not shape:
        return input.clone()
    offset = sum((shape[d] - 1) * dense[d] for d in dims)
    return preserved(input, _strided_op(input, (shape, tuple(-s if d in dims else s for d, s in enumerate(dense)), offset)))


@operator("cat", method=False, aliases=("concat", "concatenate"))
def cat(tensors, dim=0):
    if isinstance(tensors, Tensor):
        raise TypeError("cat(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    tensors = list(tensors)
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}")
        if not x.dim():
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    from .record import result_type
    d = tensors[0].dtype if all(x.dtype is tensors[0].dtype for x in tensors) else result_type(*tensors)
    used = [x for x in tensors if tuple(x.shape) != (0,)] or tensors
    first = used[0]
    dim = wrap_dim(dim, first.dim())
    for i, x in enumerate(used):
        if x.dim() != first.dim():
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.dim()} and {x.dim()}")
        for k, (a, b) in enumerate(zip(first.shape, x.shape, strict=True)):
            if k != dim and a != b:
                raise RuntimeError(f"Sizes of tensors must match except in dimension {dim}. Expected size {a} but got size "
                                   f"{b} for tensor number {i} in the list: the first is of size {list(first.shape)}, number "
                                   f"{i} of size {list(x.shape)}")
    used = [x if x.dtype is d else x.to(d) for x in used]
    shape = list(first.shape)
    shape[dim] = sum(x.shape[dim] for x in used)
    dense = contiguous_strides(shape)
    nodes = tuple(x._value() for x in used)
    if len(used) == 1:
        node = nodes[0]
    else:
        node = engine.append(EMPTY, (), (tuple(shape), d))
        at = 0
        for x, value in zip(used, nodes, strict=True):
            node = engine.append(WRITE, (node, value), (tuple(x.shape), dense, at * dense[dim]))
            at += x.shape[dim]
    order = _common_format(used)
    out = from_node(node) if order is None else strided_from_node(node, order)
    if modes.grad and any(x._rg for x in tensors):
        left_out = [x for x in tensors if tuple(x.shape) == (0,)] if tuple(first.shape) != (0,) else []
        track(_cat_rule(len(tensors)), (out,), (*used, *left_out), (*nodes, *[x._value() for x in left_out]),
              {"dim": dim, "sizes": [x.shape[dim] for x in used], "left_out": len(left_out)})
    return out


@lru_cache(1024)
def _cat_rule(count: int) -> Rule:
    return Rule("Cat", tuple(f"tensor{i}" for i in range(count)), _cat_grad)


def _common_format(tensors: list[Tensor]) -> tuple[int, ...] | None:
    """The memory order of channels last where all tensors are laid out so; None for row-major."""
    if tensors[0]._strides is None:
        return None
    format = suggested_format(tensors[0])
    if format is contiguous_format or any(suggested_format(x) is not format for x in tensors[1:]):
        return None
    return _LAST[format.name]


def _cat_grad(g, dim, sizes, left_out):
    return (*split(g, sizes, dim), *[g.new_zeros(0)] * left_out)


EMPTY = primitive("empty", "source", lambda attrs: type_of(*attrs),
                  interpret=lambda attrs, type: np.zeros(type.shape, type.dtype.compute), raw=False)


@operator(method=False)
def stack(tensors, dim=0):
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    for i, x in enumerate(tensors):
        if x.shape != tensors[0].shape:
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(tensors[0].shape)} at entry 0 and "
                               f"{list(x.shape)} at entry {i}")
    dim = wrap_dim(dim, tensors[0].dim() + 1)
    return cat([x.unsqueeze(dim) for x in tensors], dim)


# -- conversion ----------------------------------------------------------------------------------------------------------


def _interpret_cast(attrs, x, type):
    d = type.dtype
    with np.errstate(all="ignore"):
        if d.kind == "b":
            return x != 0
        if x.dtype.kind == "c" and d.kind != "c":
            x = x.real
        return dtypes.store_array(x, d) if d.kind in "ui" else x.astype(d.compute)


CAST = primitive("cast", "elementwise", lambda attrs, x: type_of(x.shape, attrs), interpret=_interpret_cast)
_TO_COPY = Rule("ToCopy", ("input",), {"input": lambda g: g})  # `fit` casts the gradient back


def cast(input: Tensor, dtype: DType, format=None) -> Tensor:
    """A copy with another dtype, on the tape."""
    x = input._value()
    node = engine.record(CAST, (x,), dtype)
    order = order_for(input, format)
    out = from_node(node) if order is None else strided_from_node(node, order)
    if input._rg and modes.grad and dtype.kind in "fc":
        track(_TO_COPY, (out,), (input,), (x,), {})
    return out


@operator(method=True, out=False)
def to(input, *args, dtype=None, device=None, non_blocking=False, copy=False, memory_format=None):
    from ..device import META
    from ..device import check as check_device
    from ..device import device as Device
    flags = [a for a in args if isinstance(a, bool)]  # non_blocking, copy
    copy = copy or len(flags) > 1 and flags[1]
    for a in args:
        if isinstance(a, DType):
            dtype = a
        elif isinstance(a, type) and a in dtypes.OF_PYTHON:
            dtype = dtypes.OF_PYTHON[a]
        elif isinstance(a, Tensor):
            dtype, device = a.dtype, a.device
        elif isinstance(a, (str, Device)):
            device = a
        elif not isinstance(a, bool) and a is not None:
            raise TypeError(f"to() received an invalid argument of type {type(a).__name__}: expected a dtype, a device or a "
                            f"tensor")
    if device is not None and META in (Device(device), input.device):
        from .. import meta
        return meta.moved(input, device, dtype, copy)
    check_device(device)
    if dtype is None or dtype is input.dtype:
        if copy or (memory_format is not None and memory_format is not preserve_format
                    and suggested_format(input) is not memory_format):
            return copied(input, order_for(input, memory_format))
        return input
    if not isinstance(dtype, DType):
        raise TypeError(f"to(): dtype must be a torch.dtype, got {dtype!r}")
    if input.dtype.kind == "c" and dtype.kind not in "c" and dtype.kind != "b":
        import warnings
        warnings.warn("Casting complex values to real discards the imaginary part", UserWarning, stacklevel=3)
    return cast(input, dtype, memory_format)


def _converters() -> None:
    names = {d.name: d for d in dtypes.ALL} | dtypes.ALIASES | {"byte": dtypes.uint8, "char": dtypes.int8, "bool": dtypes.bool_}
    for name in ("half", "float", "double", "short", "int", "long", "byte", "char", "bool", "bfloat16", "chalf", "cfloat",
                 "cdouble"):
        def convert(self, memory_format=None, _d=names[name]):
            return to(self, _d, memory_format=memory_format)
        convert.__name__ = name
        convert.__doc__ = f"``self.to(torch.{names[name].name})``."
        setattr(Tensor, name, convert)


_converters()


def _type(self, dtype=None, non_blocking=False):
    if isinstance(dtype, type):  # torch.FloatTensor and its like
        dtype = getattr(dtype, "dtype", dtype)
    """The name of the tensor's type without an argument, a conversion with one."""
    if dtype is None:
        from .record import _long_name
        return f"torch.{_long_name(self.dtype)}Tensor"
    if isinstance(dtype, str):
        from .record import _LONG
        short = dtype.removeprefix("torch.").removesuffix("Tensor")
        dtype = next((d for d in dtypes.ALL if _LONG.get(d.name) == short), None)
        if dtype is None:
            raise ValueError(f"invalid type: {short!r}")
    return self.to(dtype)


Tensor.type = _type  # type: ignore[attr-defined]
Tensor.type_as = lambda self, other: self.to(other.dtype)  # type: ignore[attr-defined]
Tensor.cpu = lambda self, memory_format=None: self.to("cpu")  # type: ignore[attr-defined]


def _resize(self, *sizes, memory_format=None):
    """Changes the shape in place; more elements than the storage holds make it grow (the new ones uninitialised)."""
    shape = sizes_of(sizes)
    if modes.grad and self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    n = math.prod(shape)
    held = self._storage.node.type.nbytes // self.dtype.itemsize
    if n + self._offset > held:
        old = self._storage.node
        from ..tensor import _reinterpret
        if old.type.dtype is not self.dtype:
            old = _reinterpret(old, self.dtype)
        grown = engine.append(EMPTY, (), ((n + self._offset,), self.dtype))
        self._storage.write(engine.append(WRITE, (grown, engine.append(VIEW, (old,), ((held,), (1,), 0))), ((held,), (1,), 0)))
        self._storage.version -= 1
    self._type = type_of(shape, self.dtype)
    order = _LAST.get(getattr(memory_format, "name", None))
    self._strides = views.dense_strides(shape, order) if order else self._type.strides
    return self


Tensor.resize_ = _resize  # type: ignore[attr-defined]


@operator("resize_as_", method="resize_as_", out=False, differentiable=False)
def resize_as_(input, the_template, *, memory_format=None):
    return _resize(input, the_template.shape, memory_format=memory_format)



def _set_(self, source=None, storage_offset=0, size=None, stride=None):
    """Makes the tensor a view of another storage."""
    from ..storage import Storage
    from ..tensor import _from_storage
    if source is None:
        source = Storage(engine.append(EMPTY, (), ((0,), self.dtype)))
    if isinstance(source, Tensor):
        view = source
    else:
        size = (source.nbytes // self.dtype.itemsize,) if size is None else tuple(size)
        strides = contiguous_strides(size) if stride is None else tuple(stride)
        view = _from_storage(source, self.dtype, size, strides, storage_offset)
    self._storage, self._type, self._strides, self._offset = view._storage, view._type, view._strides, view._offset
    return self


Tensor.set_ = _set_  # type: ignore[attr-defined]


def _geometry_inplace(name: str, function) -> None:
    def call(self, *args, **kwargs):
        v = function(self, *args, **kwargs)
        self._type, self._strides, self._offset = v._type, tuple(v.stride()), v._offset
        if self._rg:
            self._fn, self._nr = v._fn, v._nr
        return self
    call.__name__ = name
    setattr(Tensor, name, call)


for _name, _f in (("unsqueeze_", unsqueeze), ("squeeze_", squeeze), ("transpose_", transpose), ("t_", t),
                  ("swapaxes_", transpose), ("swapdims_", transpose), ("as_strided_", as_strided)):
    _geometry_inplace(_name, _f)
