"""Storages: memory that tensors share, as a succession of versions.

A version is a graph node whose dense value is the storage's content. Reading binds the current version; writing makes
the next one. Memory that somebody outside can see (numpy, DLPack) is *exported*: writes then go to that very memory at
once, and reads take what it holds at that moment.
"""

from __future__ import annotations

import os
import weakref
from sys import getrefcount

import numpy as np

from . import engine
from .device import META
from .device import device as Device
from .dtypes import uint8
from .graph import Node, Type, type_of
from .runtime.buffer import Buffer, allocate
from .structure import IN_LIST

COMPARED_BYTES = 16 << 10  # of exported memory up to this size the last copy serves again while it is still right


class Export:
    """Keeps a buffer alive, and its storage exported, for as long as an array over the memory lives."""

    def __init__(self, buffer: Buffer, interface: dict):
        self.buffer, self.__array_interface__ = buffer, interface


class Storage:
    """Bytes that one or more tensors view. ``version`` counts in-place writes, for autograd's checks."""

    version = 0
    hidden = 0   # of those writes, how many went through ``.data``, which saved values follow without a word
    copied: tuple[bytes, Node] | None = None  # of exported memory: what the last snapshot held, and its value
    handed_out = 0  # how often an array over the memory was made, through which it may be written to unseen
    exports: list | bool | None = None  # weak references to live exports; True where the memory is borrowed for good

    def __init__(self, node: Node | int = 0):
        if isinstance(node, int):  # so many bytes, as users make it
            node = engine.leaf(Buffer(np.zeros(node, np.uint8)), type_of((node,), uint8))
        self.node = node

    @staticmethod
    def from_array(array: np.ndarray, dtype=uint8) -> Storage:
        """Wraps an array's memory, aliasing it: later writes by either side are seen by the other."""
        storage = Storage(engine.leaf(Buffer(array.reshape(-1).view(np.uint8)),
                                      type_of((array.nbytes // dtype.itemsize,), dtype)))
        storage.exports = True
        return storage

    @staticmethod
    def from_file(filename, shared: bool = False, nbytes: int = 0) -> Storage:
        """The first ``nbytes`` bytes of a file, mapped; writes reach the file if it is ``shared``, which then is made that long."""
        if not shared:
            return Storage(engine.leaf(Buffer(np.memmap(filename, np.uint8, "c", shape=(nbytes,))), type_of((nbytes,), uint8)))
        with open(filename, "ab") as file:
            if file.tell() < nbytes:
                file.truncate(nbytes)
        storage = Storage.from_array(np.memmap(filename, np.uint8, "r+", shape=(nbytes,)))
        storage.filename = os.fspath(filename)
        return storage

    def nbytes(self) -> int:
        return self.node.type.nbytes

    def retype(self, dtype) -> None:
        """Bytes that are about to be read as elements of ``dtype`` are kept as such where that is no other value."""
        node = self.node
        if (node.type.dtype is uint8 and node.value.__class__ is Buffer and self.exports is None
                and not node.type.nbytes % dtype.itemsize and not node.value.address % dtype.itemsize):
            self.node = engine.leaf(node.value, type_of((node.type.nbytes // dtype.itemsize,), dtype))

    def exported(self) -> bool:
        """Whether memory outside diya's control is, or may be, looking at this memory."""
        if self.exports is None or self.exports is True:
            return self.exports is True
        self.exports = [r for r in self.exports if r() is not None] or None  # pyright: ignore[reportGeneralTypeIssues]
        return self.exports is not None

    def buffer(self) -> Buffer:
        """The memory of the current version; runs what is pending on it."""
        buffer = engine.observe(self.node)
        if self.node.value is not buffer:  # a scalar's value gets memory of its own
            self.node = engine.leaf(buffer, self.node.type)
        return buffer

    def snapshot(self, type: Type) -> Node:
        """What (small) exported memory holds at this moment, as a value of its own, of a type that has all of its bytes."""
        now = self.buffer().array.tobytes()
        if self.copied is None or self.copied[0] != now:
            self.copied = now, engine.leaf(Buffer(np.frombuffer(bytearray(now), np.uint8)), type)
        elif self.copied[1].type is not type:
            self.copied = now, engine.leaf(self.copied[1].value, type)
        return self.copied[1]

    def array(self) -> np.ndarray:
        """The bytes, as a uint8 array that aliases the storage's memory for as long as the array lives."""
        return self.export((self.nbytes(),), (1,), 0, np.dtype(np.uint8))

    def export(self, shape, strides, offset: int, dtype: np.dtype) -> np.ndarray:
        """A numpy array over the memory (strides and offset in bytes). The storage is exported while it lives."""
        if 0 in shape:
            return np.empty(shape, dtype)
        buffer = self.buffer()
        self.handed_out += 1
        if not self.exported():
            engine.flush(keep_views=False)  # what was recorded on this memory runs before numpy can write to it
            # Another storage, the tape, or a part of the buffer holds the value (or this is a part of another's): they keep
            # it, and this memory is a copy.
            if getrefcount(self.node) > IN_LIST or getrefcount(buffer) > IN_LIST + 1 or buffer.whole is not None:
                buffer = allocate(self.nbytes())
                buffer.array[:] = self.buffer().array
                self.node = engine.leaf(buffer, self.node.type)
        export = Export(buffer, {"shape": tuple(shape), "typestr": dtype.str, "data": (buffer.address + offset, False),
                                 "strides": tuple(strides), "version": 3})
        if self.exports is not True:
            self.exports = [*(self.exports or ()), weakref.ref(export)]
        return np.asarray(export)

    def write(self, node: Node) -> None:
        """Makes ``node`` the current content."""
        if engine.batched and (id(node) in engine.batched or id(self.node) in engine.batched):
            node = engine.check_batched_write(self.node, node)
        if self.exports is not None and self.exported():
            memory = self.buffer()
            new = engine.observe(node)
            engine.flush(keep_views=False)  # pending readers of the old content run before the memory changes
            if new.nbytes != memory.nbytes:
                raise RuntimeError(f"cannot resize memory that is shared with numpy ({memory.nbytes} bytes)")
            memory.array[:] = new.array
            self.node = engine.leaf(memory, node.type)
        else:
            self.node = node
        self.version += 1


    # -- as users see it: bytes (https://docs.pytorch.org/docs/stable/storage.html) ------------------------------------

    @property
    def device(self) -> Device:
        return self.node.device

    is_cuda = is_sparse = False
    filename: str | None = None

    def size(self) -> int:
        return self.nbytes()

    __len__ = size

    def __bool__(self) -> bool:
        return True  # whatever its size

    def element_size(self) -> int:
        return 1

    def data_ptr(self) -> int:
        """The address of the memory now, which is no other storage's; a later in-place write may move it (0 for no bytes, and on
        the meta device)."""
        if not self.nbytes() or self.node.device is META:
            return 0
        buffer = self.buffer()
        if not self.exported():
            engine.flush(keep_views=False)
            if getrefcount(self.node) > IN_LIST or getrefcount(buffer) > IN_LIST + 1:  # a copy that was not made yet
                buffer = allocate(self.nbytes())
                buffer.array[:] = self.buffer().array
                self.node = engine.leaf(buffer, self.node.type)
        return buffer.address

    def tolist(self) -> list[int]:
        return self.buffer().array.tolist()

    def __getitem__(self, index):
        if isinstance(index, slice) and not self.exported():
            start, stop, step = index.indices(self.nbytes())
            if step == 1:
                size = max(stop - start, 0)
                return Storage(engine.leaf(self.buffer().part(start, size), type_of((size,), uint8)))
        found = self.buffer().array[index]
        return int(found) if isinstance(index, int) else Storage.of_bytes(found)

    def __setitem__(self, index, value) -> None:
        self._written(lambda array: array.__setitem__(index, value.buffer().array if isinstance(value, Storage) else value))

    @staticmethod
    def of_bytes(array: np.ndarray) -> Storage:
        """A storage of its own, of the bytes in an array."""
        return Storage(engine.leaf(Buffer(array.copy()), type_of((array.size,), uint8)))

    def _written(self, write) -> None:
        """A new version: a copy of the bytes after ``write(copy)``."""
        new = self.buffer().array.copy()
        write(new)
        type = self.node.type
        self.write(engine.leaf(Buffer(new), type))

    def clone(self) -> Storage:
        return Storage.of_bytes(self.buffer().array)

    def copy_(self, source: Storage, non_blocking: bool | None = None) -> Storage:
        """Takes over the bytes of another storage of this size."""
        if source.nbytes() != self.nbytes():
            raise RuntimeError(f"size does not match, self was {self.nbytes()} bytes but src was {source.nbytes()} bytes")
        self[:] = source
        return self

    def fill_(self, value: int) -> Storage:
        self[:] = value
        return self

    def cpu(self) -> Storage:
        return self

    def untyped(self) -> Storage:
        return self

    def is_shared(self) -> bool:
        return getattr(self, "shared", None) is not None

    def is_pinned(self, device=None) -> bool:
        return False

    def resizable(self) -> bool:
        return self.exports is not True

    def resize_(self, size: int) -> Storage:
        """Keeps the size that it has. Raises NotImplementedError for another."""
        if size != self.nbytes():
            raise NotImplementedError(f"UntypedStorage.resize_({size}): a storage of {self.nbytes()} bytes keeps its size, as "
                                      f"tensors view it; use Tensor.resize_")
        return self

    def __repr__(self) -> str:
        return f"[torch.storage.UntypedStorage(device=cpu) of size {self.nbytes()}]"


UntypedStorage = Storage  # PyTorch's name: bytes without a dtype


class TypedStorage:
    """PyTorch's old form of a storage: its bytes as elements of a dtype (``Tensor.storage()``)."""

    @property
    def device(self) -> Device:
        return self._untyped_storage.device

    is_cuda = is_sparse = False

    def __init__(self, *, wrap_storage: Storage, dtype, _internal: bool = False):
        self._untyped_storage, self.dtype = wrap_storage, dtype

    def untyped(self) -> Storage:
        return self._untyped_storage

    def nbytes(self) -> int:
        return self._untyped_storage.nbytes()

    def size(self) -> int:
        return self.nbytes() // self.dtype.itemsize

    __len__ = size

    def __bool__(self) -> bool:
        return True

    def element_size(self) -> int:
        return self.dtype.itemsize

    def data_ptr(self) -> int:
        return self._untyped_storage.data_ptr()

    def _elements(self):
        from .tensor import _from_storage
        return _from_storage(self._untyped_storage, self.dtype, (self.size(),), (1,))

    def tolist(self) -> list:
        return self._elements().tolist()

    def __iter__(self):
        return iter(self.tolist())

    def __getitem__(self, index):
        found = self._elements()[index]
        return found.item() if isinstance(index, int) else TypedStorage(wrap_storage=found.clone()._storage, dtype=self.dtype)

    def __setitem__(self, index, value) -> None:
        self._elements()[index] = value

    def fill_(self, value) -> TypedStorage:
        self._elements().fill_(value)  # pyright: ignore[reportAttributeAccessIssue]
        return self

    def clone(self) -> TypedStorage:
        return TypedStorage(wrap_storage=self._untyped_storage.clone(), dtype=self.dtype)

    def is_shared(self) -> bool:
        return self._untyped_storage.is_shared()

    def pickle_storage_type(self) -> str:
        return {"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "bfloat16": "BFloat16Storage",
                "int64": "LongStorage", "int32": "IntStorage", "int16": "ShortStorage", "int8": "CharStorage",
                "uint8": "ByteStorage", "bool": "BoolStorage", "complex64": "ComplexFloatStorage",
                "complex128": "ComplexDoubleStorage"}[self.dtype.name]

    def __repr__(self) -> str:
        lines = "\n ".join(map(str, self.tolist()))
        return f" {lines}\n[torch.storage.TypedStorage(dtype=torch.{self.dtype.name}, device=cpu) of size {self.size()}]"


def _load_from_bytes(b: bytes) -> TypedStorage:
    """A storage inside of a plain pickle."""
    import io

    from .serialization import load
    return load(io.BytesIO(b), weights_only=False)
