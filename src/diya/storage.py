"""Storages: memory that tensors share, as a succession of versions.

A version is a graph node whose dense value is the storage's content. Reading binds the current version; writing makes
the next one. Memory that somebody outside can see (numpy, DLPack) is *exported*: writes then go to that very memory at
once, and reads take what it holds at that moment.
"""

from __future__ import annotations

import weakref
from sys import getrefcount

import numpy as np

from . import engine
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
    copied: tuple[bytes, Node] | None = None  # of exported memory: what the last snapshot held, and its value
    handed_out = 0  # how often an array over the memory was made, through which it may be written to unseen
    exports: list | bool | None = None  # weak references to live exports; True where the memory is borrowed for good

    def __init__(self, node: Node):
        self.node = node

    @staticmethod
    def from_array(array: np.ndarray, dtype=uint8) -> Storage:
        """Wraps an array's memory, aliasing it: later writes by either side are seen by the other."""
        storage = Storage(engine.leaf(Buffer(array.reshape(-1).view(np.uint8)),
                                      type_of((array.nbytes // dtype.itemsize,), dtype)))
        storage.exports = True
        return storage

    @property
    def nbytes(self) -> int:
        return self.node.type.nbytes

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
        return self.export((self.nbytes,), (1,), 0, np.dtype(np.uint8))

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
                buffer = allocate(self.nbytes)
                buffer.array[:] = self.buffer().array
                self.node = engine.leaf(buffer, self.node.type)
        export = Export(buffer, {"shape": tuple(shape), "typestr": dtype.str, "data": (buffer.address + offset, False),
                                 "strides": tuple(strides), "version": 3})
        if self.exports is not True:
            self.exports = [*(self.exports or ()), weakref.ref(export)]
        return np.asarray(export)

    def write(self, node: Node) -> None:
        """Makes ``node`` the current content."""
        if engine.batched and id(node) in engine.batched:
            engine.check_batched_write(self.node, node)
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


UntypedStorage = Storage  # PyTorch's name: bytes without a dtype


class TypedStorage:
    """PyTorch's old form of a storage, with a dtype. No object is one."""
