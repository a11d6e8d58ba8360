"""A writer of pickles of plain data, in the protocol that PyTorch reads (2).

Types are matched exactly: a subclass would come back as its base class, so it is refused by name. Lists, dicts, sets
and whatever else has an identity come back shared as they were.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict
from collections.abc import Callable
from pickle import PicklingError
from typing import Any, NamedTuple

from . import opcodes as op
from .limits import MAX_DEPTH, MAX_INT_BYTES, check_key


class Global(NamedTuple):
    """A name that the reader looks up."""

    module: str
    name: str


class Reduce(NamedTuple):
    """The result of calling a name."""

    function: Global
    args: tuple


class Instance(NamedTuple):
    """An object of a class, with its attributes."""

    cls: Global
    state: dict[str, Any]


class Persistent(NamedTuple):
    """What is stored outside of the pickle, by its description."""

    description: tuple


ORDERED_DICT = Global("collections", "OrderedDict")
_ENCODE = Global("_codecs", "encode")


class Pickler:
    """Writes one object. ``reduce(obj)`` says what an object of a type unknown here is made of, or returns None."""

    def __init__(self, reduce: Callable[[Any], Instance | Reduce | Global | None]):
        self.reduce = reduce
        self.out = bytearray(op.PROTO + b"\x02")
        self.memo: dict[Any, int] = {}   # by identity; strings and names by value
        self.kept: list = []             # alive, so that identities stay unique
        self.path: list[str] = []
        self.open: set[int] = set()

    def dump(self, obj: Any) -> bytes:
        """The pickle of ``obj``. Raises pickle.PicklingError, naming the place in it, for what cannot be stored."""
        self.save(obj)
        return bytes(self.out + op.STOP)

    def refuse(self, why: str) -> PicklingError:
        return PicklingError(f"diya.save: obj{''.join(self.path)} {why}")

    def save(self, obj: Any) -> None:
        writer = _WRITERS.get(type(obj))
        if writer is not None and writer in _ATOMS:
            writer(self, obj)
        elif id(obj) in self.open:
            raise self.refuse("contains itself")
        elif not self.recall(id(obj)):
            if len(self.open) >= MAX_DEPTH:
                raise self.refuse(f"is nested more than {MAX_DEPTH} containers deep")
            self.open.add(id(obj))
            self.kept.append(obj)
            if writer is not None:
                writer(self, obj)
            else:
                self.save_other(obj)
            self.open.discard(id(obj))

    def save_other(self, obj: Any) -> None:
        made_of = self.reduce(obj)
        if made_of is None:
            raise self.refuse(_why_not(obj))
        if isinstance(made_of, Instance):
            self.save(made_of.cls)
            self.out += op.EMPTY_TUPLE + op.NEWOBJ
            self.remember(id(obj))
            self.save_attributes(made_of.state)
            return
        self.save(made_of)
        self.remember(id(obj))

    # -- memory ------------------------------------------------------------------------------------------------------

    def remember(self, key: Any) -> None:
        index = self.memo[key] = len(self.memo)
        self.out += op.BINPUT + bytes((index,)) if index < 256 else op.LONG_BINPUT + struct.pack("<I", index)

    def recall(self, key: Any) -> bool:
        index = self.memo.get(key)
        if index is None:
            return False
        self.out += op.BINGET + bytes((index,)) if index < 256 else op.LONG_BINGET + struct.pack("<I", index)
        return True

    # -- pieces ------------------------------------------------------------------------------------------------------

    def save_items(self, obj: dict) -> None:
        if not obj:
            return
        self.out += op.MARK
        for key, value in obj.items():
            self.path.append(f"[{key!r:.80}]")
            self.save_key(key)
            self.save(value)
            self.path.pop()
        self.out += op.SETITEMS

    def save_key(self, key: Any) -> None:
        try:
            check_key(key)
        except TypeError as error:
            raise self.refuse(f"is stored under {error}, which is not supported") from None
        self.save(key)

    def save_attributes(self, state: dict[str, Any]) -> None:
        if state:
            self.path.append(".__dict__")
            self.out += op.EMPTY_DICT
            self.save_items(state)
            self.path.pop()
            self.out += op.BUILD


def _none(p: Pickler, obj: None) -> None:
    p.out += op.NONE


def _bool(p: Pickler, obj: bool) -> None:
    p.out += op.NEWTRUE if obj else op.NEWFALSE


def _int(p: Pickler, obj: int) -> None:
    if 0 <= obj < 256:
        p.out += op.BININT1 + bytes((obj,))
    elif 0 <= obj < 65536:
        p.out += op.BININT2 + struct.pack("<H", obj)
    elif -(1 << 31) <= obj < 1 << 31:
        p.out += op.BININT + struct.pack("<i", obj)
    else:
        n = obj.bit_length() // 8 + 1
        if n > MAX_INT_BYTES:
            raise p.refuse(f"is an integer of {n} bytes; at most {MAX_INT_BYTES} can be stored")
        p.out += op.LONG1 + bytes((n,)) + obj.to_bytes(n, "little", signed=True)


def _float(p: Pickler, obj: float) -> None:
    p.out += op.BINFLOAT + struct.pack(">d", obj)


def _str(p: Pickler, obj: str) -> None:
    if not p.recall(obj):
        data = obj.encode("utf-8", "surrogatepass")
        if len(data) >= 1 << 32:
            raise p.refuse("is a string of 4 GiB or more; store it as a uint8 tensor")
        p.out += op.BINUNICODE + struct.pack("<I", len(data)) + data
        p.remember(obj)


def _global(p: Pickler, obj: Global) -> None:
    if not p.recall(obj):
        p.out += op.GLOBAL + f"{obj.module}\n{obj.name}\n".encode()
        p.remember(obj)


def _reduce(p: Pickler, obj: Reduce) -> None:
    p.save(obj.function)
    p.save(obj.args)
    p.out += op.REDUCE


def _persistent(p: Pickler, obj: Persistent) -> None:
    p.save(obj.description)
    p.out += op.BINPERSID


def _complex(p: Pickler, obj: complex) -> None:
    _reduce(p, Reduce(Global("__builtin__", "complex"), (obj.real, obj.imag)))


def _bytes(p: Pickler, obj: bytes) -> None:  # protocol 2 has no byte strings
    _global(p, _ENCODE)
    _str(p, obj.decode("latin1"))
    _str(p, "latin1")
    p.out += op.TUPLE2 + op.REDUCE
    p.remember(id(obj))


def _bytearray(p: Pickler, obj: bytearray) -> None:
    _reduce(p, Reduce(Global("__builtin__", "bytearray"), (bytes(obj),)))
    p.remember(id(obj))


def _tuple(p: Pickler, obj: tuple) -> None:
    if not obj:
        p.out += op.EMPTY_TUPLE
        return
    if len(obj) > 3:
        p.out += op.MARK
    for i, item in enumerate(obj):
        p.path.append(f"[{i}]")
        p.save(item)
        p.path.pop()
    p.out += (op.TUPLE1, op.TUPLE2, op.TUPLE3)[len(obj) - 1] if len(obj) <= 3 else op.TUPLE
    p.remember(id(obj))


def _list(p: Pickler, obj: list) -> None:
    p.out += op.EMPTY_LIST
    p.remember(id(obj))
    if obj:
        p.out += op.MARK
        for i, item in enumerate(obj):
            p.path.append(f"[{i}]")
            p.save(item)
            p.path.pop()
        p.out += op.APPENDS


def _dict(p: Pickler, obj: dict) -> None:
    p.out += op.EMPTY_DICT
    p.remember(id(obj))
    p.save_items(obj)


def _ordered_dict(p: Pickler, obj: OrderedDict) -> None:
    _reduce(p, Reduce(ORDERED_DICT, ()))
    p.remember(id(obj))
    p.save_items(obj)
    p.save_attributes(vars(obj))


def _counter(p: Pickler, obj: Counter) -> None:
    p.save(Global("collections", "Counter"))
    p.out += op.EMPTY_DICT
    p.save_items(obj)
    p.out += op.TUPLE1 + op.REDUCE
    p.remember(id(obj))


def _set(p: Pickler, obj: set) -> None:
    p.save(Global("__builtin__", "set"))
    p.out += op.EMPTY_LIST
    if obj:
        p.out += op.MARK
        for item in sorted(obj, key=repr):  # a set has no order; the file should not depend on one
            p.save_key(item)
        p.out += op.APPENDS
    p.out += op.TUPLE1 + op.REDUCE
    p.remember(id(obj))


_WRITERS: dict[type, Callable[[Pickler, Any], None]] = {
    type(None): _none, bool: _bool, int: _int, float: _float, str: _str, complex: _complex, bytes: _bytes,
    bytearray: _bytearray, tuple: _tuple, list: _list, dict: _dict, OrderedDict: _ordered_dict, Counter: _counter,
    set: _set, Global: _global, Reduce: _reduce, Persistent: _persistent,
}
_ATOMS = frozenset((_none, _bool, _int, _float, _str, _complex, _global, _reduce, _persistent))


def _why_not(obj: Any) -> str:
    kind = type(obj)
    what = f"is a {kind.__module__}.{kind.__qualname__}, which a checkpoint cannot hold"
    if callable(getattr(obj, "state_dict", None)):
        return f"{what}: save its .state_dict()"
    if kind.__module__ == "numpy":
        return f"{what}: save diya.from_numpy(array) for an array, value.item() for a number"
    if isinstance(obj, (dict, list, tuple, set, frozenset, int, float, str)):
        base = next(t for t in (dict, list, tuple, set, frozenset, int, float, str) if isinstance(obj, t))
        return f"{what}: convert it to a {'set' if base is frozenset else base.__name__}"
    return f"{what}: it holds tensors, numbers, strings and plain containers of these"
