"""How tensors, and what belongs to them, stand in a PyTorch file.

A tensor is a view (offset, shape, strides, in elements) of a storage; a storage is an entry of the archive under a key.
So tensors that share memory share it again after loading. Names are those of PyTorch's own modules.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import dtypes, engine
from ..device import device
from ..dtypes import dtype as DType
from ..graph import Size, contiguous_strides, type_of
from ..runtime.buffer import Buffer
from ..storage import Storage, TypedStorage
from ..tensor import Tensor, _from_storage
from ..views import extent
from . import objects
from .errors import CheckpointError
from .objects import get_safe_globals
from .pickler import Global, Persistent, Reduce
from .unpickler import PLAIN, Function, Marker, Unpickler, describe, expect, plain_attributes

MAX_RANK = 64
_TENSOR_PRICE = 24   # bytes of pickle; describing one takes more than 40
_MAX_NUMEL = (1 << 63) - 1
_OWN = ("_storage", "_type")  # attributes of every tensor that its class does not define

# PyTorch's typed storages. Its newer dtypes have none and name themselves beside an untyped storage.
_STORAGES = {
    "FloatStorage": dtypes.float32, "DoubleStorage": dtypes.float64, "HalfStorage": dtypes.float16,
    "BFloat16Storage": dtypes.bfloat16, "LongStorage": dtypes.int64, "IntStorage": dtypes.int32,
    "ShortStorage": dtypes.int16, "CharStorage": dtypes.int8, "ByteStorage": dtypes.uint8, "BoolStorage": dtypes.bool_,
    "ComplexFloatStorage": dtypes.complex64, "ComplexDoubleStorage": dtypes.complex128,
}
_STORAGE_NAMES = {d: name for name, d in _STORAGES.items()}
_UNTYPED = Global("torch.storage", "UntypedStorage")


# -- writing -----------------------------------------------------------------------------------------------------------

class TensorWriter:
    """Takes tensors apart; ``storages`` collects the memory to be written, each once, under its index as the key."""

    def __init__(self):
        self.storages: list[Storage] = []
        self.keys: dict[int, tuple[int, DType]] = {}

    def reduce(self, obj: Any) -> Reduce | Global | None:
        """What ``obj`` is made of, or None if it is nothing that belongs to tensors."""
        if isinstance(obj, Tensor):
            return self._tensor(obj)
        if isinstance(obj, DType):
            return Global("torch", obj.name)
        if isinstance(obj, device):
            return Reduce(Global("torch", "device"), (obj.type,) if obj.index is None else (obj.type, obj.index))
        if type(obj) is Size:
            return Reduce(Global("torch", "Size"), (tuple(obj),))
        return objects.reduce(obj)

    def _tensor(self, t: Tensor) -> Reduce | None:
        attributes = {k: v for k, v in vars(t).items() if k not in _OWN and not hasattr(Tensor, k)}
        if type(t) is not Tensor:
            from ..nn.parameter import Parameter
            if hasattr(t, "_parts"):  # sparse
                layout = Reduce(Global("torch.serialization", "_get_layout"), (repr(t.layout),))
                return Reduce(Global("torch._utils", "_rebuild_sparse_tensor"), (layout, t._parts()))
            if type(t) is not Parameter:
                return None
            args = (t.detach(), t.requires_grad, OrderedDict())
            if attributes:
                return Reduce(Global("torch._utils", "_rebuild_parameter_with_state"), (*args, attributes))
            return Reduce(Global("torch._utils", "_rebuild_parameter"), args)
        if t.is_meta:
            return Reduce(Global("torch._utils", "_rebuild_meta_tensor_no_storage"),
                          (Global("torch", t.dtype.name), tuple(t.shape), tuple(t.stride()), t.requires_grad))
        name = _STORAGE_NAMES.get(t.dtype)
        view = (self._storage(t, name), t.storage_offset(), tuple(t.shape), tuple(t.stride()), t.requires_grad,
                OrderedDict())
        if name:
            made_of = Reduce(Global("torch._utils", "_rebuild_tensor_v2"), view)
        else:
            made_of = Reduce(Global("torch._utils", "_rebuild_tensor_v3"), (*view, Global("torch", t.dtype.name)))
        if attributes:
            return Reduce(Global("torch._tensor", "_rebuild_from_type_v2"),
                          (made_of.function, Global("torch", "Tensor"), made_of.args, attributes))
        return made_of

    def _storage(self, t: Tensor, name: str | None) -> Persistent:
        storage = t.untyped_storage()
        key, d = self.keys.setdefault(id(storage), (len(self.storages), t.dtype))
        if key == len(self.storages):
            self.storages.append(storage)
        if d is not t.dtype:
            raise RuntimeError("Cannot save multiple tensors or storages that view the same data as different types: "
                               f"one views it as {d}, another as {t.dtype}; save a .clone() of one")
        kind, numel = (Global("torch", name), storage.nbytes() // d.itemsize) if name else (_UNTYPED, storage.nbytes())
        return Persistent(("storage", kind, str(key), "cpu", numel))


def bytes_of(storage: Storage) -> np.ndarray:
    """The memory of a storage now, to read from."""
    return storage.buffer().array


# -- reading -----------------------------------------------------------------------------------------------------------

class _StorageType(Marker):
    __slots__ = ("dtype",)

    def __init__(self, name: str, d: DType):
        super().__init__(name)
        self.dtype = d


class _Block(Marker):
    """An entry's bytes, and the storage on them once it is known how they are used."""

    __slots__ = ("array", "storage")

    def __init__(self, array: np.ndarray):
        super().__init__("a storage")
        self.array = array
        self.storage: Storage | None = None


class _TypedBlock(Marker):
    """A block as elements of a dtype."""

    __slots__ = ("block", "dtype")

    def __init__(self, block: _Block, d: DType):
        super().__init__("a storage")
        self.block, self.dtype = block, d


def as_storage(found: _TypedBlock) -> TypedStorage:
    """A storage that is not a tensor's."""
    storage = found.block.storage or _new_storage(found.block.array, found.dtype)
    return TypedStorage(wrap_storage=storage, dtype=found.dtype)


class TensorReader:
    """Puts tensors together. ``read(key)`` gives an entry's bytes and ``size(key)`` their number, None if there is no
    such entry; ``place(storage, location)`` is what ``map_location`` asks for, or None. ``everything``: objects of the
    program's own classes are allowed, too."""

    def __init__(self, size: Callable[[str], int | None], read: Callable[[str], np.ndarray],
                 place: Callable[[str], Callable[[Storage], Storage] | None], everything: bool = False):
        self.size, self.read, self.place, self.everything = size, read, place, everything
        self.blocks: dict[str, _Block] = {}

    def persistent_load(self, description: Any) -> _TypedBlock:
        """The storage that ``('storage', type, key, location, number of elements)`` describes."""
        if type(description) is not tuple or len(description) != 5 or description[0] != "storage":
            raise CheckpointError("the pickle refers to something stored outside of it that is not a storage")
        _, kind, key, location, numel = description
        if not isinstance(kind, _StorageType):
            raise CheckpointError(f"a storage is described as a {describe(kind)}, not as a storage type")
        if type(key) is not str or type(location) is not str or type(numel) is not int or numel < 0:
            raise CheckpointError("a storage is described by the wrong types of values")
        size = self.size(key)
        nbytes = numel * kind.dtype.itemsize
        if size is None:
            raise CheckpointError(f"storage {key!r:.80} is not in the archive")
        if not nbytes <= size < nbytes + kind.dtype.itemsize:
            raise CheckpointError(f"storage {key!r:.80} should hold {nbytes} bytes ({numel} elements), and has {size}")
        block = self.blocks.get(key)
        if block is None:
            move = self.place(location)
            block = self.blocks[key] = _Block(self.read(key))
            if move is not None:
                block.storage = move(_new_storage(block.array, kind.dtype))
        return _TypedBlock(block, kind.dtype)

    def find_global(self, module: str, name: str) -> Any:
        """What a name in a file stands for. Raises CheckpointError, naming it, for all but a few."""
        full = f"{module}.{name}"
        found = _GLOBALS.get(full)
        if found is None and (self.everything or get_safe_globals()):
            found = objects.find(module, name, self.everything)
        if found is None:
            raise CheckpointError(f"{full[:200]!r} is not allowed: a checkpoint may name tensors, dtypes, sizes, "
                                  f"devices and plain containers only{_hint(module, name)}")
        return found


def _hint(module: str, name: str) -> str:
    if module.startswith("numpy"):
        return ". Numpy values are refused: save diya.from_numpy(array), or value.item(), in their place"
    if module == "torch" and name.startswith(("float", "int", "uint", "bits", "q", "Q", "complex32", "ComplexHalf")):
        return ". diya does not have this dtype"
    return ". Save it again where it was made, from plain values: model.state_dict() for a model, a set for a frozenset"


def _new_storage(array: np.ndarray, d: DType, shape: tuple[int, ...] | None = None) -> Storage:
    """A storage on all of an array: as a value of a shape, where one tensor shows all of it, or as flat elements."""
    if shape is None:
        if array.nbytes % d.itemsize:
            d = dtypes.uint8
        shape = (array.nbytes // d.itemsize,)
    return Storage(engine.leaf(Buffer(array), type_of(shape, d)))


def _rebuild(u: Unpickler, base, d: DType | None, offset, size, stride, requires_grad, metadata=None) -> Tensor:
    """The tensor that a file describes; of the storage's own dtype where ``d`` is None."""
    u.charge(_TENSOR_PRICE)
    if not isinstance(base, _TypedBlock):
        raise CheckpointError(f"a tensor is described as a view of a {describe(base)}, not of a storage")
    block, d = base.block, d or base.dtype
    shape, strides = _ints(size, "size"), _ints(stride, "strides")
    if len(shape) != len(strides) or type(offset) is not int or offset < 0 or type(requires_grad) is not bool:
        raise CheckpointError("a tensor is described by the wrong number or types of values")
    numel, nonzero = 1, 1
    for n in shape:
        numel *= n
        nonzero *= max(n, 1)
    _, last = extent(shape, strides, offset)  # an empty view may stand anywhere
    if max(nonzero, offset) * d.itemsize > _MAX_NUMEL or (numel and (last + 1) * d.itemsize > block.array.nbytes):
        raise CheckpointError(f"a tensor of size {_brief(shape)}, strides {_brief(strides)}, offset {_brief((offset,))}"
                              f" and dtype {d.name} reaches outside of its storage of {block.array.nbytes} bytes")
    if block.storage is None:
        whole = offset == 0 and numel * d.itemsize == block.array.nbytes and strides == contiguous_strides(shape)
        block.storage = _new_storage(block.array, d, shape if whole else None)
    t = _from_storage(block.storage, d, shape, strides, offset)
    if metadata is not None:
        t = _apply(u, t, expect(dict, metadata, "a tensor's metadata"))
    if requires_grad:
        if d.kind not in "fc":
            raise CheckpointError(f"a tensor of dtype {d.name} is said to require a gradient")
        t.requires_grad = True
    return t


def _apply(u: Unpickler, t: Tensor, metadata: dict) -> Tensor:
    """Conjugates or negates: PyTorch stores these as flags of a view."""
    if not set(metadata) <= {"conj", "neg"}:
        raise CheckpointError("a tensor has metadata that is not known")
    if t.nbytes > t.untyped_storage().nbytes():
        raise CheckpointError("a tensor that expands its storage may not be conjugated or negated")
    if metadata.get("conj"):
        t = t.conj()
    if metadata.get("neg"):
        t = -t
    return t


def _ints(values: Any, what: str) -> tuple[int, ...]:
    if not isinstance(values, tuple) or len(values) > MAX_RANK:
        raise CheckpointError(f"a tensor's {what} is not a tuple of at most {MAX_RANK} integers")
    if not all(type(n) is int and 0 <= n <= _MAX_NUMEL for n in values):
        raise CheckpointError(f"a tensor's {what} {_brief(values)} is not made of sizes")
    return tuple(values)


def _brief(values: tuple) -> str:
    return f"{[v if type(v) is int and abs(v) < 1 << 64 else type(v).__name__ for v in values]}"


def _no_hooks(hooks: Any) -> None:
    if hooks is not None and (not isinstance(hooks, dict) or hooks):
        raise CheckpointError("a tensor has hooks, which a file may not bring")


def _tensor_v1(u: Unpickler, base, offset, size, stride) -> Tensor:
    return _rebuild(u, base, None, offset, size, stride, False)


def _tensor_v2(u: Unpickler, base, offset, size, stride, requires_grad, hooks, metadata=None) -> Tensor:
    _no_hooks(hooks)
    return _rebuild(u, base, None, offset, size, stride, requires_grad, metadata)


def _tensor_v3(u: Unpickler, base, offset, size, stride, requires_grad, hooks, d, metadata=None) -> Tensor:
    _no_hooks(hooks)
    return _rebuild(u, base, expect(DType, d, "a tensor"), offset, size, stride, requires_grad, metadata)


def _meta(u: Unpickler, d, size, stride, requires_grad) -> Tensor:
    """A tensor that was saved without data, on the meta device."""
    from ..meta import leaf
    u.charge(_TENSOR_PRICE)
    size, stride = _ints(size, "size"), _ints(stride, "stride")
    if len(size) != len(stride):
        raise CheckpointError(f"a tensor without data has {len(size)} sizes and {len(stride)} strides")
    span = extent(size, stride, 0)[1] + 1
    t = _from_storage(Storage(leaf(type_of((span,), expect(DType, d, "a tensor")))), d, size, stride)
    if expect(bool, requires_grad, "a tensor") and d.kind not in "fc":
        raise CheckpointError(f"a tensor of dtype {d.name} is said to require a gradient")
    return t.requires_grad_(requires_grad)


def _parameter(u: Unpickler, data, requires_grad, hooks, state=None) -> Tensor:
    from ..nn.parameter import Parameter
    u.charge(_TENSOR_PRICE)
    _no_hooks(hooks)
    expect(Tensor, data, "a parameter")
    if expect(bool, requires_grad, "a parameter") and data.dtype.kind not in "fc":
        raise CheckpointError(f"a parameter of dtype {data.dtype.name} is said to require a gradient")
    return _with_attributes(u, Parameter(data, requires_grad), state)


def _typed(u: Unpickler, rebuild, kind, args, state) -> Tensor:
    """A tensor with attributes, or a parameter written by way of its class."""
    if rebuild not in (_GLOBALS["torch._utils._rebuild_tensor_v2"], _GLOBALS["torch._utils._rebuild_tensor_v3"]):
        raise CheckpointError(f"a tensor is made by {describe(rebuild)}, which is not allowed")
    if type(args) is not tuple or len(args) not in rebuild.arity:
        raise CheckpointError(f"{rebuild.name} is called with the wrong number of arguments")
    t = rebuild.make(u, *args)
    if kind is _PARAMETER:
        t = _parameter(u, t.detach(), t.requires_grad, None)
    elif kind is not _TENSOR:
        raise CheckpointError(f"a tensor is said to be a {describe(kind)}, which is not allowed")
    return _with_attributes(u, t, state)


class _Layout(NamedTuple):
    """The layout of a sparse tensor that is read."""

    name: str


def _layout(u: Unpickler, name) -> _Layout:
    known = [f"torch.sparse_{kind}" for kind in ("coo", "csr", "csc", "bsr", "bsc")]
    if name not in known:
        raise CheckpointError(f"a tensor is said to have layout {name!r}, which is none of {', '.join(known)}")
    return _Layout(name.removeprefix("torch."))


def _sparse(u: Unpickler, layout, parts) -> Tensor:
    """A sparse tensor, whose indices are checked to lie inside of it."""
    from ..sparse.tensor import rebuilt
    u.charge(_TENSOR_PRICE)
    layout = expect(_Layout, layout, "a sparse tensor")
    parts = expect(tuple, parts, "a sparse tensor")
    if layout.name == "sparse_coo" and len(parts) == 3:  # as older files have it
        parts = (*parts, False)
    kinds = (Tensor, Tensor, Size, bool) if layout.name == "sparse_coo" else (Tensor, Tensor, Tensor, Size)
    if len(parts) != len(kinds):
        raise CheckpointError(f"a tensor of layout {layout.name} is described by {len(parts)} values, expected {len(kinds)}")
    for kind, part in zip(kinds, parts, strict=True):
        expect(kind, part, "a sparse tensor")
    u.charge(sum(p.nbytes for p in parts if isinstance(p, Tensor)))
    try:
        return rebuilt(layout.name, parts)
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"a sparse tensor is not valid: {error}") from None


def _with_attributes(u: Unpickler, t: Tensor, state) -> Tensor:
    if type(state) is tuple and len(state) == 2 and not state[1]:  # (of __dict__, of __slots__)
        state = state[0]
    if state:
        u.attributes.append((t, plain_attributes(u, type(t), state, _OWN)))
    return t


def _size(u: Unpickler, items=()) -> Size:
    items = expect(tuple, items, "torch.Size")
    u.charge(len(items))
    if not all(type(n) is int for n in items):
        raise CheckpointError("a torch.Size is not made of integers")
    return Size(items)


def _device(u: Unpickler, kind, index=None) -> device:
    u.charge(8)
    try:
        expect(str, kind, "torch.device")
        return device(kind, None if index is None else expect(int, index, "torch.device"))
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"a device is not valid: {error}") from None


_TENSOR = Marker("torch.Tensor")
_PARAMETER = Marker("torch.nn.parameter.Parameter")

_GLOBALS: dict[str, Any] = dict(PLAIN)
_GLOBALS.update((function.name, function) for function in (
    Function("torch._utils._rebuild_tensor", _tensor_v1, 4),
    Function("torch._utils._rebuild_tensor_v2", _tensor_v2, 6, 7),
    Function("torch._utils._rebuild_tensor_v3", _tensor_v3, 7, 8),
    Function("torch._utils._rebuild_meta_tensor_no_storage", _meta, 4),
    Function("torch._utils._rebuild_parameter", _parameter, 3),
    Function("torch._utils._rebuild_parameter_with_state", _parameter, 4),
    Function("torch._utils._rebuild_sparse_tensor", _sparse, 2),
    Function("torch.serialization._get_layout", _layout, 1),
    Function("torch._tensor._rebuild_from_type_v2", _typed, 4),
    Function("torch.Size", _size, 0, 1),
    Function("torch.device", _device, 1, 2),
))
_GLOBALS.update({marker.name: marker for marker in (_TENSOR, _PARAMETER)})
_GLOBALS.update((f"torch.{name}", _StorageType(f"torch.{name}", d)) for name, d in _STORAGES.items())
_GLOBALS.update((f"torch.storage.{name}", _StorageType(name, dtypes.uint8))
                for name in ("UntypedStorage", "_UntypedStorage"))
_GLOBALS.update((f"torch.{d.name}", d) for d in dtypes.ALL)
