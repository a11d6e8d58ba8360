"""PyTorch's format before version 1.6, which storages inside of plain pickles still have: five pickles one after the other (a
magic number, the protocol, the writer's machine, the object, the storages' keys), then the storages' bytes in that order."""

from __future__ import annotations

from collections.abc import Callable
from pickletools import genops
from typing import Any

from ..runtime.buffer import allocate
from .errors import CheckpointError
from .tensors import TensorReader, as_storage
from .unpickler import Unpickler, describe

_PROTOCOL = 1001
_ALONE = b"Q."  # how the pickle of a storage ends: "the value with this persistent id", "that is all"


def read(source: Any, place: Callable, everything: bool) -> Any:
    """The object in a file. Its storages are filled last: only then is it known which of them comes where."""
    stream = _Stream(source)
    pickles = [stream.pickle() for _ in range(5)]
    protocol, machine = (Unpickler(p, _nothing, _nothing).load() for p in pickles[1:3])
    if protocol != _PROTOCOL:
        raise CheckpointError(f"protocol {protocol!r:.40} is not supported, only {_PROTOCOL}")
    if type(machine) is not dict or machine.get("little_endian") is not True:
        raise CheckpointError("the file was written on a big-endian machine, which is not supported")
    sizes: dict[str, int] = {}
    arrays: dict[str, Any] = {}

    def array(key: str):
        if sizes[key] > source.size:
            raise CheckpointError(f"storage {key!r:.80} should hold {sizes[key]} bytes, and the file has {source.size}")
        arrays[key] = allocate(sizes[key]).array
        return arrays[key]
    tensors = TensorReader(sizes.get, array, place, everything)

    def persistent_load(description: Any) -> Any:
        if type(description) is tuple and len(description) == 4 and description[0] == "module":
            return description[1]  # a class; its source follows, which is of no use
        if type(description) is not tuple or len(description) != 6 or type(description[2]) is not str:
            raise CheckpointError("the pickle refers to something stored outside of it that is not a storage")
        if description[5] is not None:
            raise CheckpointError("storages that view others are not supported: save the file again with a newer PyTorch")
        kind, key, numel = description[1], description[2], description[4]
        if type(numel) is int and hasattr(kind, "dtype"):
            sizes.setdefault(key, numel * kind.dtype.itemsize)
        blocks.append(tensors.persistent_load(description[:5]))
        return None if alone else blocks[-1]
    blocks: list = []
    alone = pickles[3].endswith(_ALONE)
    result = Unpickler(pickles[3], tensors.find_global, persistent_load).load()
    keys = Unpickler(pickles[4], _nothing, _nothing).load()
    if type(keys) is not list or sorted(map(str, keys)) != sorted(arrays):
        raise CheckpointError(f"the file names storages {describe(keys)} other than those that it uses")
    for key in keys:
        into = arrays[key]
        stream.read(8)  # the number of elements, which is known
        into[:] = source.array(stream.at, into.nbytes)
        stream.at += into.nbytes
    return as_storage(blocks[0]) if alone else result


class _Stream:
    """A source as a file to read from."""

    def __init__(self, source: Any):
        self.source, self.at = source, 0

    def tell(self) -> int:
        return self.at

    def read(self, n: int) -> bytes:
        data = self.source.read(self.at, min(n, self.source.size - self.at))
        self.at += len(data)
        return data

    def readline(self) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n") and (byte := self.read(1)):
            line += byte
        return bytes(line)

    def pickle(self) -> bytes:
        """The pickle that begins here, unread but for its end."""
        start = self.at
        try:
            for _ in genops(self):
                pass
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"the pickle at byte {start} is malformed: {error}") from None
        return self.source.read(start, self.at - start)


def _nothing(*_: Any) -> Any:
    raise CheckpointError("a header of the file names something, which it may not")
