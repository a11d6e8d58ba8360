"""Indexing: Python's ``t[...]`` whole, and the operators that read or write at positions held in data."""

from __future__ import annotations

from typing import Any
from weakref import ref

import numpy as np

from .. import engine
from ..autograd.modes import modes
from ..autograd.tape import Rule, track
from ..dtypes import bool_, int64, uint8
from ..graph import Node, Type, broadcast_shapes, primitive, type_of
from ..runtime.arrays import copy, empty
from ..runtime.buffer import Buffer
from ..tensor import Tensor, _from_array, assign, check_inplace, from_node, view_of, wrap_dim
from .again import UNMET, remembering
from .movement import _SELECT_RULE, _SLICE_RULE, cast, slice_dim
from .record import element, is_number, operator

# -- primitives --------------------------------------------------------------------------------------------------------


class OutOfRange(IndexError, RuntimeError):
    """A position outside of a tensor. PyTorch raises one of the two: RuntimeError for ``gather``, ``scatter`` and their like."""


def _check(index: np.ndarray, size: int, dim: int, least: int | None = None) -> bool:
    """Raises OutOfRange for a position outside [least, size), where ``least`` is −size unless given. Whether all are in
    [0, size)."""
    if not index.size or int(index.view(np.uint64).max()) < size:  # one pass: negative ones are huge as unsigned
        return True
    low, high = int(index.min()), int(index.max())
    if low < (-size if least is None else least) or high >= size:
        raise OutOfRange(f"index {high if high >= size else low} is out of bounds for dimension {dim} with size {size}")
    return False


_last_checked: tuple = (None, None)  # an index that was found to be within [0, size): a reference to its node; its layout, size


def check_now(index: Tensor, size: int, dim: int, least: int | None = None) -> None:
    """Bounds at the user's line, where the positions are known already (a batch of labels, a constant)."""
    global _last_checked
    if engine.watching is not None:
        engine.checked(index, lambda x: check_now(x, size, dim, least))
        return
    storage = index._storage
    node = storage.node
    if node.value.__class__ is Buffer:
        what = (index._type, index._strides, index._offset, size)
        known, of = _last_checked
        if known is not None and known() is node and of == what:
            return
        if _check(elements(index), size, dim, least) and storage.exports is None:
            _last_checked = ref(node), what
    else:
        engine.unknown(index, lambda x: check_now(x, size, dim, least))


def elements(x: Tensor) -> np.ndarray:
    """The elements (bits, for half precisions) where they lie: a strided view, to be read at once and not to be kept."""
    buffer, type = x._storage.buffer(), x._type
    if x._strides is None and buffer.nbytes == type.nbytes:
        return buffer.typed(type.shape, type.dtype.numpy)
    if not type.numel:
        return np.empty(type.shape, type.dtype.numpy)
    item = type.dtype.itemsize
    strides = tuple([s * item for s in x._strides or type.strides])
    return np.ndarray(type.shape, type.dtype.numpy, buffer.array, x._offset * item, strides)


def _infer_index(attrs, x: Type, *indices: Type) -> Type:
    return type_of(broadcast_shapes(*(i.shape for i in indices)) + tuple(x.shape[len(indices):]), x.dtype)


def _interpret_index(attrs, x, *indices):
    for d, i in enumerate(indices):
        _check(i, x.shape[d], d)
    first, *rest = indices
    if rest:
        return x[indices]
    return np.take(x, first, axis=0, out=empty((*first.shape, *x.shape[1:]), x.dtype), mode="wrap")


def _interpret_index_put(accumulate, x, v, *indices, overwrite: bool):
    for d, i in enumerate(indices):
        _check(i, x.shape[d], d)
    out = x if overwrite else copy(x)
    if not accumulate:
        out[indices] = v
    elif x.dtype == np.uint16:
        raise NotImplementedError("index_put with accumulate=True on bfloat16 storage")
    else:
        np.add.at(out, indices, v)
    return out


INDEX = primitive("index", "index", _infer_index, interpret=_interpret_index, faults=True)
INDEX_PUT = primitive("index_put", "index", lambda accumulate, x, v, *i: x, interpret=_interpret_index_put, faults=True)


def open_grid(shape, dim: int, index: np.ndarray) -> tuple[np.ndarray, ...]:
    """Index arrays for every dimension, ``index`` for ``dim`` and its own position for the others."""
    at = [np.arange(s).reshape([-1 if d == k else 1 for k in range(len(shape))]) for d, s in enumerate(shape)]
    at[dim] = index
    return tuple(at)


def _interpret_gather(dim, x, index):
    _check(index, x.shape[dim], dim, 0)
    return x[open_grid(index.shape, dim, index)]


GATHER = primitive("gather", "index", lambda dim, x, i: type_of(i.shape, x.dtype), interpret=_interpret_gather, faults=True)


def operands(tracked: bool, *tensors: Tensor) -> tuple[Node, ...]:
    """What an operator reads: snapshots, if the tape may keep them."""
    return tuple([x._value() if tracked else x._borrow() for x in tensors])


def _wide(x: Tensor) -> bool:
    return x.dtype.name in ("bfloat16", "float16", "complex32")


def take_at(x: Tensor, indices: list[Tensor]) -> Tensor:
    """``x[i₀, i₁, …]`` on the leading dimensions."""
    d, tracked = 0, x._rg and modes.grad
    for i in () if not tracked and x._lent() else indices:  # what runs now finds out by itself
        check_now(i, x._type.shape[d], d)
        d += 1
    if not tracked:
        return from_node(engine.record(INDEX, (x._borrow(), *[i._borrow() for i in indices])))
    nodes = (x._borrow(), *[i._value() for i in indices])
    out = from_node(engine.record(INDEX, nodes))
    track(_index_rule(len(indices)), (out,), (x, *indices), nodes, {})
    return out


def put_at(x: Tensor, indices: list[Tensor], value: Tensor, accumulate: bool) -> Tensor:
    """A copy of ``x`` with ``value`` put at (or added to) ``[i₀, i₁, …]``; a later one wins where positions repeat."""
    for d, i in enumerate(indices):
        check_now(i, x.shape[d], d)
    shape = broadcast_shapes(*(i.shape for i in indices)) + tuple(x.shape[len(indices):])
    if tuple(value.shape) != shape:
        if value.dim() > len(shape):  # leading dimensions of size 1
            value = value.reshape(value.shape[value.dim() - len(shape):])
        value = value.expand(shape)
    if accumulate and _wide(x):
        from .. import dtypes
        wide = dtypes.promote_types(x.dtype, dtypes.float32)
        return cast(put_at(cast(x, wide), indices, cast(value, wide), True), x.dtype)
    tracked = modes.grad and (x._rg or value._rg)
    nodes = operands(tracked, x, value, *indices)
    out = from_node(engine.record(INDEX_PUT, nodes, accumulate))
    if tracked:
        track(_put_rule(len(indices)), (out,), (x, value, *indices), nodes, {"accumulate": accumulate})
    return out


_rules: dict[tuple, Rule] = {}


def _index_rule(k: int) -> Rule:
    rule = _rules.get(("index", k))
    if rule is None:
        names = [f"i{i}" for i in range(k)]
        scope: dict[str, Any] = {"put_at": put_at}
        exec(f"def grad(g, shape, {', '.join(names)}): return put_at(g.new_zeros(shape), [{', '.join(names)}], g, True)", scope)
        rule = _rules["index", k] = Rule("Index", ("input", *names), {"input": scope["grad"]})
    return rule


def _put_rule(k: int) -> Rule:
    rule = _rules.get(("put", k))
    if rule is None:
        names = [f"i{i}" for i in range(k)]
        args = ", ".join(names)
        scope: dict[str, Any] = {"put_at": put_at, "take_at": take_at}
        exec(f"def base(g, accumulate, {args}): return g if accumulate else put_at(g, [{args}], g.new_zeros(()), False)\n"
             f"def value(g, {args}): return take_at(g, [{args}])", scope)
        rule = _rules["put", k] = Rule("IndexPut", ("input", "value", *names), {"input": scope["base"], "value": scope["value"]},
                                       broadcasts=True)
    return rule


# -- t[...] --------------------------------------------------------------------------------------------------------------


def _as_index(item) -> Any:
    """A list or array used as an index, as a tensor."""
    if isinstance(item, Tensor):
        return item
    if isinstance(item, np.ndarray):
        return _from_array(np.ascontiguousarray(item).astype(bool if item.dtype.kind == "b" else np.int64))
    if isinstance(item, range):
        item = list(item)
    from .creation import tensor
    if not item:
        return tensor([], dtype=int64)
    return tensor(item)


def _counts_as_tuple(key) -> bool:
    """Whether a list is read as one key a dimension: it holds slices, None, an ellipsis or sequences, and is short."""
    several = (slice, list, tuple, range, np.ndarray, Tensor)
    return type(key) is list and len(key) < 32 and any(i is None or i is ... or isinstance(i, several) for i in key)


def _parse(self: Tensor, key) -> tuple[Tensor, list[tuple[int, Tensor]], bool]:
    """Basic indexing done as views; what is left: (view, [(dimension, index tensor)], whether any index is given)."""
    items = list(key) if isinstance(key, tuple) or _counts_as_tuple(key) else [key]
    items = [_as_index(i) if isinstance(i, (list, np.ndarray, range)) and not isinstance(i, Tensor) else i for i in items]
    used = 0
    for i in items:
        if i is None or i is Ellipsis or isinstance(i, bool):
            continue
        used += i.dim() if isinstance(i, Tensor) and i.dtype in (bool_, uint8) else 1
    if used > self.dim():
        raise IndexError(f"too many indices for tensor of dimension {self.dim()}")
    if sum(i is Ellipsis for i in items) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if not any(i is Ellipsis for i in items):
        items.append(Ellipsis)
    view, dim = self, 0
    advanced: list[tuple[int, Tensor]] = []
    for i in items:
        if i is None:
            view = view.unsqueeze(dim)
            dim += 1
        elif i is Ellipsis:
            dim += self.dim() - used
        elif isinstance(i, bool):
            view = view.unsqueeze(dim)
            advanced.append((dim, _from_array(np.zeros(1 if i else 0, np.int64))))
            dim += 1
        elif isinstance(i, slice):
            start, stop, step = (x.__index__() if x is not None else None for x in (i.start, i.stop, i.step))
            if not (start in (None, 0) and stop is None and step in (None, 1)):
                view = slice_dim(view, dim, start, stop, 1 if step is None else step)
            dim += 1
        elif isinstance(i, Tensor):
            if i.dtype in (bool_, uint8):
                for k in range(i.dim()):
                    if i.shape[k] != view.shape[dim + k]:
                        raise IndexError(f"The shape of the mask {list(i.shape)} at index {k} does not match the shape of the "
                                         f"indexed tensor {list(self.shape)} at index {dim + k}")
                if i.dim() == 0:
                    view = view.unsqueeze(dim)
                    advanced.append((dim, _from_array(np.zeros(1 if bool(i) else 0, np.int64))))
                    dim += 1
                    continue
                mask = i._value()
                found = np.nonzero(engine.observe(mask).typed(i.shape, i.dtype.numpy))
                for k, positions in enumerate(found):
                    advanced.append((dim + k, _from_array(np.ascontiguousarray(positions, np.int64))))
                dim += i.dim()
            elif i.dtype.kind in "iu":
                if i.dim() == 0 and isinstance(i._storage.node.value, Buffer) and not i._rg:
                    view = view.select(dim, int(i.item()))
                elif i.dtype.name in ("int64", "int32") or not i.dim():
                    advanced.append((dim, i if i.dtype is int64 else i.to(int64)))
                    dim += 1
                else:
                    raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors, got {i.dtype}")
            else:
                raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors, got {i.dtype}")
        elif hasattr(i, "__index__"):
            try:
                view = view.select(dim, i.__index__())
            except IndexError:
                raise IndexError(f"index {i.__index__()} is out of bounds for dimension {dim} with size "
                                 f"{view.shape[dim]}") from None
        else:
            raise IndexError(f"only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
                             f"(got {type(i).__name__})")
    return view, advanced, bool(items)


def _arrange(view: Tensor, advanced: list[tuple[int, Tensor]]) -> tuple[list[int], int, list[Tensor]]:
    """Order that brings indexed dimensions to the front, where the result's index dimensions then go, the indices."""
    dims = [d for d, _ in advanced]
    rest = [d for d in range(view.dim()) if d not in dims]
    adjacent = dims == list(range(dims[0], dims[0] + len(dims)))
    try:
        broadcast_shapes(*(i.shape for _, i in advanced))
    except RuntimeError:
        raise IndexError("shape mismatch: indexing tensors could not be broadcast together with shapes "
                         + ", ".join(str(list(i.shape)) for _, i in advanced)) from None
    return dims + rest, dims[0] if adjacent else 0, [i for _, i in advanced]


def _back(rank_index: int, at: int, rest: int) -> list[int]:
    """The permutation that moves the leading index dimensions to position ``at`` among the rest."""
    moved = list(range(rank_index, rank_index + rest))
    return moved[:at] + list(range(rank_index)) + moved[at:]


def _getitem_quick(self: Tensor, key) -> Tensor | None:
    """The commonest keys, without the parsing of the others; None if the key is not one of them."""
    kind = key.__class__
    shape = self._type.shape
    if kind is Tensor:
        index: Type = key._type
        if index.dtype is int64 and shape:
            node = key._storage.node
            if index.shape or key._rg:
                return take_at(self, [key])
            if isinstance(node.value, Buffer):
                return _selected(self, int(elements(key)))
        elif index.dtype is bool_ and shape == index.shape and shape and not (self._rg and modes.grad):
            mask = engine.observe(key._value()).typed(shape, index.dtype.numpy)
            if isinstance(self._storage.node.value, Buffer):  # both are known: so is the result
                return _from_array(np.compress(mask.reshape(-1), elements(self).reshape(-1)), self._type.dtype)
    elif not shape:
        return None
    elif kind is int:
        return _selected(self, key)
    elif kind is slice and (key.start is None or key.start.__class__ is int) and (key.stop is None or key.stop.__class__ is int) \
            and (key.step is None or key.step.__class__ is int) and not (key.start is None is key.stop):
        step = 1 if key.step is None else key.step
        if step <= 0:
            return slice_dim(self, 0, key.start, key.stop, step)
        start, stop, _ = key.indices(tuple.__getitem__(shape, 0))
        strides = self._strides or self._type.strides
        rest = tuple.__getitem__(shape, _REST)
        return view_of(self, (max(0, -(-(stop - start) // step)), *rest), (strides[0] * step, *strides[1:]),
                       self._offset + start * strides[0], _SLICE_RULE, dim=0, start=start, step=step)
    return None


def _selected(self: Tensor, index: int) -> Tensor:
    shape, strides = self._type.shape, self._strides or self._type.strides
    size = shape[0]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension 0 with size {size}")
    index %= size
    return view_of(self, tuple.__getitem__(shape, _REST), strides[1:], self._offset + index * strides[0], _SELECT_RULE, dim=0,
                   index=index)


_REST = slice(1, None)


def getitem(self: Tensor, key) -> Tensor:
    if key.__class__ is tuple:
        known = _recall((self, key), {})
        return known if known is not UNMET else _getitem(self, key)
    quick = _getitem_quick(self, key)
    return quick if quick is not None else _getitem(self, key)


def _getitem(self: Tensor, key) -> Tensor:
    view, advanced, _ = _parse(self, key)
    if not advanced:
        if view is self:
            from .movement import _ALIAS_RULE
            return view_of(self, self.shape, self.stride(), self._offset, _ALIAS_RULE)
        return view
    order, at, indices = _arrange(view, advanced)
    x = view if order == list(range(view.dim())) else view.permute(order)
    out = take_at(x, indices)
    rank_index = len(broadcast_shapes(*(i.shape for i in indices)))
    if at:
        out = out.permute(_back(rank_index, at, view.dim() - len(indices))).contiguous()
    return out


_recall = remembering(_getitem)


def setitem(self: Tensor, key, value) -> None:
    check_inplace(self)
    view, advanced, _ = _parse(self, key)
    if not isinstance(value, Tensor):
        from .creation import tensor
        if isinstance(value, (int, float, complex)):
            value = from_node(engine.scalar(element(value, view.dtype), view.dtype))
        else:
            value = tensor(value) if not isinstance(value, np.ndarray) else _from_array(np.array(value, order="C"))
    if value.dtype is not view.dtype:
        if value.dtype.kind == "c" and view.dtype.kind != "c":
            raise RuntimeError("value cannot be converted to a real type without overflow: it is complex")
        value = value.to(view.dtype)
    if not advanced:
        extra = value.dim() - view.dim()
        if extra > 0 and all(s == 1 for s in value.shape[:extra]):
            value = value.reshape(value.shape[extra:])
        if value.shape != view.shape:
            try:
                value = value.expand(view.shape)
            except RuntimeError:
                raise RuntimeError(f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to indexing "
                                   f"result of shape {list(view.shape)}") from None
        assign(view, value)
        return
    order, at, indices = _arrange(view, advanced)
    lead = broadcast_shapes(*(i.shape for i in indices))
    rest = [view.shape[d] for d in order[len(indices):]]
    shape = rest[:at] + list(lead) + rest[at:] if at else list(lead) + rest
    extra = value.dim() - len(shape)
    if extra > 0 and all(s == 1 for s in value.shape[:extra]):
        value = value.reshape(value.shape[extra:])
    try:
        value = value.expand(shape)
    except RuntimeError:
        raise RuntimeError(f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to indexing result of "
                           f"shape {shape}") from None
    if at:
        n = len(lead)
        value = value.permute([*range(at, at + n), *range(at), *range(at + n, len(shape))])
    front = view if order == list(range(view.dim())) else view.permute(order)
    new = put_at(front, indices, value, False)
    if order != list(range(view.dim())):
        inverse = [0] * len(order)
        for i, d in enumerate(order):
            inverse[d] = i
        new = new.permute(inverse)
    assign(view, new)


Tensor.__getitem__ = getitem  # type: ignore[attr-defined]
Tensor.__setitem__ = setitem  # type: ignore[attr-defined]


# -- gather --------------------------------------------------------------------------------------------------------------


def grid(shape, dim: int, index: Tensor) -> list[Tensor]:
    """Index tensors for every dimension, ``index`` for ``dim`` and its own position for the others."""
    from .creation import arange
    return [index if d == dim else arange(s).reshape([-1 if k == d else 1 for k in range(len(shape))])
            for d, s in enumerate(shape)]


def check_index(name: str, index: Tensor) -> Tensor:
    if index.dtype is not int64 and (index.dtype.name != "int32") and (name != "gather" or index.dtype is not uint8):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index, got {index.dtype}")
    return index if index.dtype is int64 else index.to(int64)


@operator()
def gather(input, dim, index, *, sparse_grad=False):
    index = check_index("gather", index)
    dim = wrap_dim(dim, input.dim())
    if not index.numel():
        return take_at(input.reshape(-1), [index])
    if input.dim() == 0 or index.dim() == 0:
        out = gather(input.reshape(-1), 0, index.reshape(-1))
        return out.reshape(index.shape)
    if index.dim() != input.dim():
        raise RuntimeError(f"Index tensor must have the same number of dimensions as input tensor: got {index.dim()} and "
                           f"{input.dim()}")
    for d in range(input.dim()):
        if d != dim and index.shape[d] > input.shape[d]:
            raise RuntimeError(f"Size does not match at dimension {d} expected index {list(index.shape)} to be no larger than self "
                               f"{list(input.shape)} apart from dimension {dim}")
    tracked = input._rg and modes.grad
    if tracked or not index._lent():    # else it runs now, and finds out by itself
        check_now(index, input.shape[dim], dim, 0)
    nodes = operands(tracked, input, index)
    out = from_node(engine.record(GATHER, nodes, dim))
    if tracked:
        track(_GATHER, (out,), (input, index), nodes, {"dim": dim})
    return out


_GATHER = Rule("Gather", ("input", "index"), dict(
    input=lambda g, index, shape, dim: put_at(g.new_zeros(shape), grid(index.shape, dim, index), g, True)))


@operator()
def index_select(input, dim, index):
    index = check_index("index_select", index)
    if index.dim() > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if not input.dim():
        wrap_dim(dim, 0)
        return input.reshape(1).index_select(0, index).reshape(())
    dim = wrap_dim(dim, input.dim())
    x = input.movedim(dim, 0) if dim else input
    out = take_at(x, [index.reshape(-1)])
    return out.movedim(0, dim).contiguous() if dim else out


@operator(out=False)
def masked_fill(input, mask, value):
    from .elementwise import where
    if mask.dtype is not bool_:
        raise RuntimeError(f"masked_fill only supports boolean masks, but got mask with dtype {mask.dtype}")
    if isinstance(value, Tensor):
        if value.dim():
            raise RuntimeError(f"masked_fill only supports a 0-dimensional value tensor, but got tensor with {value.dim()} "
                               f"dimension(s).")
        if value.dtype.kind == "c" and input.dtype.kind not in "bc":
            element(value.detach().item(), input.dtype)
        value = value.to(input.dtype)
    else:
        if not is_number(value):
            raise TypeError(f"masked_fill(): argument 'value' must be Number or a 0-dim Tensor, not {type(value).__name__}")
        value = from_node(engine.scalar(element(value, input.dtype), input.dtype))
    return where(mask, value, input).contiguous()


def _masked_fill_(self, mask, value):
    check_inplace(self)
    return assign(self, masked_fill(self, mask.expand(self.shape) if mask.shape != self.shape else mask, value))


Tensor.masked_fill_ = _masked_fill_  # type: ignore[attr-defined]


@operator(differentiable=False)
def nonzero(input, *, as_tuple=False):
    array = elements(input)
    if input.dtype.name == "bfloat16":
        array = array & 0x7FFF
    found = np.nonzero(array) if input.dim() else (() if as_tuple else ((np.zeros(1 if array else 0),) * 0))
    if as_tuple:
        if not input.dim():
            return (_from_array(np.zeros(1 if array else 0, np.int64)),)
        return tuple(_from_array(np.ascontiguousarray(f, np.int64)) for f in found)
    if not input.dim():
        return _from_array(np.empty((1 if array else 0, 0), np.int64))
    return _from_array(np.array(found, np.int64).reshape(input.dim(), -1)).t().detach()


@operator(differentiable=False, out=False)
def argwhere(input):
    """The positions of elements that are not zero, a row each."""
    return nonzero(input)


@operator()
def masked_select(input, mask):
    if mask.dtype is not bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes(input.shape, mask.shape)
    return getitem(input.expand(shape), mask.expand(shape))
