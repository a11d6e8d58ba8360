"""A reader of pickles that can only make data.

An interpreter of the pickle language over a stack, as its definition says, with two differences: a name in the file is
looked up in a table given by the caller and nowhere else, and everything has a price. Work is linear in the file: what
a file may make by copying (`Unpickler.charge`) is bounded by its length, keys are cheap to hash, and the result is a
tree of bounded depth. No instruction calls Python code that is not in this package.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from . import opcodes as op
from .errors import CheckpointError
from .limits import MAX_DEPTH, MAX_VALUES, check_key

_MODULES = {"__builtin__": "builtins"}  # Python 2's names, which protocol 2 uses
_COPIES = 4          # how often what is in the file may be copied in all; honest files copy a byte string twice
_COLLISIONS = 64     # tuples in one container that may share a hash


class Marker:
    """Something named that stands on the stack while reading and may not be part of the result."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name


class Function(Marker):
    """A name that a file may call. ``make(unpickler, *args)`` returns the object; it checks its arguments."""

    __slots__ = ("make", "arity")

    def __init__(self, name: str, make: Callable[..., Any], *arity: int):
        super().__init__(name)
        self.make, self.arity = make, arity


class Class(Marker):
    """A class that a file may make objects of."""

    __slots__ = ("cls",)

    def __init__(self, name: str, cls: type):
        super().__init__(name)
        self.cls = cls


_handlers: dict[int, Callable[[Unpickler], None]] = {}


def _on(code: bytes):
    def register(handler):
        _handlers[code[0]] = handler
        return handler
    return register


class Unpickler:
    """Reads one pickle.

    ``find_global(module, name)`` returns what a name stands for (a `Function`, a `Marker` or a value) or raises;
    ``persistent_load(description)`` returns what a persistent id stands for. Raises CheckpointError for anything that
    is malformed or not allowed.
    """

    def __init__(self, data: bytes, find_global: Callable[[str, str], Any], persistent_load: Callable[[Any], Any]):
        self.data, self.at = data, 0
        self.find_global, self.persistent_load = find_global, persistent_load
        self.stack: list = []
        self.outer: list[list] = []             # the stacks below each mark
        self.memo: dict[int, Any] = {}
        self.attributes: list[tuple[Any, dict]] = []  # to be set once they are known to be sound
        self.made: dict[int, Any] = {}                # objects of classes, by identity
        self.allowance = _COPIES * len(data) + 64
        self.crowds: Counter = Counter()

    def load(self) -> Any:
        """Runs the program in the file and returns the object that it makes."""
        data, handlers = self.data, _handlers
        if data[:1] != op.PROTO:
            raise CheckpointError("the pickle does not begin with a protocol number")
        self.at = 1
        protocol = self.take(1)[0]
        if not 2 <= protocol <= 5:
            raise CheckpointError(f"pickle protocol {protocol} is not supported (2 to 5 are)")
        try:
            while True:
                code = data[self.at]
                self.at += 1
                if code == op.STOP[0]:
                    break
                handler = handlers.get(code)
                if handler is None:
                    raise CheckpointError(f"pickle instruction 0x{code:02x} at byte {self.at - 1} is not allowed: "
                                          "tensors and plain containers do not use it")
                handler(self)
        except IndexError as error:
            raise CheckpointError(f"the pickle is malformed: nothing to work on at byte {self.at}") from error
        if self.outer or len(self.stack) != 1 or self.at != len(data):
            raise CheckpointError("the pickle is malformed: values or bytes are left over at its end")
        result = self.stack[0]
        check_tree([result, *(state for _, state in self.attributes)])
        for owner, state in self.attributes:
            vars(owner).update(state)
        if self.made:
            from .objects import finish
            for target in self.made.values():
                finish(target)
        return result

    # -- what handlers use -------------------------------------------------------------------------------------------

    def take(self, n: int) -> bytes:
        start, self.at = self.at, self.at + n
        if self.at > len(self.data):
            raise CheckpointError(f"the pickle is cut short: {n} bytes wanted at byte {start} of {len(self.data)}")
        return self.data[start:self.at]

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> str:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise CheckpointError(f"the pickle is malformed: a name at byte {self.at} does not end")
        text, self.at = self.data[self.at:end], end + 1
        return decode(text)

    def marked(self) -> list:
        """The items since the last mark, which is removed."""
        if not self.outer:
            raise CheckpointError(f"the pickle is malformed: no mark before byte {self.at}")
        items, self.stack = self.stack, self.outer.pop()
        return items

    def charge(self, n: int) -> None:
        """Pays for a copy of ``n`` values or bytes. What a file holds once can be named again in two bytes, so without
        this a short file could have a long value copied millions of times."""
        self.allowance -= n
        if self.allowance < 0:
            raise CheckpointError(f"the pickle makes far more than its {len(self.data)} bytes hold")

    def check_key(self, container: Any, key: Any) -> None:
        try:
            check_key(key)
        except TypeError as error:
            raise CheckpointError(f"{error} is not allowed") from None
        if isinstance(key, tuple):  # only of these can one make many with one hash (str and bytes are salted)
            crowd = id(container), hash(key)
            self.crowds[crowd] += 1
            if self.crowds[crowd] > _COLLISIONS:
                raise CheckpointError("too many keys with one hash")


def decode(text: bytes) -> str:
    try:
        return text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"a string is not UTF-8: {error}") from None


def check_tree(roots: list) -> None:
    """Raises CheckpointError where a value contains itself, is nested or unfolds too far, or is a marker."""
    finished: dict[int, tuple[int, int]] = {}  # by identity: how deep, and of how many values
    open_: set[int] = set()
    path = [_Visit(roots)]
    while path:
        visit = path[-1]
        for child in visit.children:
            known = finished.get(id(child))
            if known is None:
                if isinstance(child, Marker):
                    raise CheckpointError(f"{describe(child)} may not stand for a value")
                if not isinstance(child, (list, tuple, dict, set)):
                    visit.values += 1
                    continue
                if id(child) in open_:
                    raise CheckpointError(f"a {type(child).__name__} contains itself")
                if len(path) > MAX_DEPTH:
                    raise CheckpointError(f"containers are nested more than {MAX_DEPTH} deep")
                open_.add(id(child))
                path.append(_Visit(child))
                break
            visit.add(known)
        else:
            path.pop()
            open_.discard(id(visit.value))
            finished[id(visit.value)] = (visit.depth, visit.values)
            if visit.depth > MAX_DEPTH + 1:
                raise CheckpointError(f"containers are nested more than {MAX_DEPTH} deep")
            if visit.values > MAX_VALUES:
                raise CheckpointError(f"shared containers unfold to more than {MAX_VALUES:,} values")
            if path:
                path[-1].add((visit.depth, visit.values))


class _Visit:
    __slots__ = ("value", "children", "depth", "values")

    def __init__(self, value):
        self.value, self.depth, self.values = value, 1, 1
        self.children = iter(_children(value))

    def add(self, child: tuple[int, int]) -> None:
        self.depth = max(self.depth, child[0] + 1)
        self.values += child[1]


def _children(value):
    if isinstance(value, dict):
        yield from value
        yield from value.values()
        yield from getattr(value, "__dict__", {}).values()
    else:
        yield from value


def describe(value: Any) -> str:
    return value.name if isinstance(value, Marker) else type(value).__name__


# -- numbers, strings --------------------------------------------------------------------------------------------------

@_on(op.FRAME)
def _frame(u: Unpickler) -> None:
    u.number("<Q")


@_on(op.NONE)
def _none(u: Unpickler) -> None:
    u.stack.append(None)


@_on(op.NEWTRUE)
def _true(u: Unpickler) -> None:
    u.stack.append(True)


@_on(op.NEWFALSE)
def _false(u: Unpickler) -> None:
    u.stack.append(False)


@_on(op.BININT)
def _int32(u: Unpickler) -> None:
    u.stack.append(u.number("<i"))


@_on(op.BININT1)
def _uint8(u: Unpickler) -> None:
    u.stack.append(u.take(1)[0])


@_on(op.BININT2)
def _uint16(u: Unpickler) -> None:
    u.stack.append(u.number("<H"))


@_on(op.LONG1)
def _long(u: Unpickler) -> None:
    u.stack.append(int.from_bytes(u.take(u.take(1)[0]), "little", signed=True))


@_on(op.BINFLOAT)
def _float(u: Unpickler) -> None:
    u.stack.append(u.number(">d"))


@_on(op.BINUNICODE)
def _str(u: Unpickler) -> None:
    u.stack.append(decode(u.take(u.number("<I"))))


@_on(op.SHORT_BINUNICODE)
def _short_str(u: Unpickler) -> None:
    u.stack.append(decode(u.take(u.take(1)[0])))


@_on(op.BINUNICODE8)
def _long_str(u: Unpickler) -> None:
    u.stack.append(decode(u.take(u.number("<Q"))))


@_on(op.BINBYTES)
def _bytes(u: Unpickler) -> None:
    u.stack.append(u.take(u.number("<I")))


@_on(op.SHORT_BINBYTES)
def _short_bytes(u: Unpickler) -> None:
    u.stack.append(u.take(u.take(1)[0]))


@_on(op.BINBYTES8)
def _long_bytes(u: Unpickler) -> None:
    u.stack.append(u.take(u.number("<Q")))


@_on(op.BYTEARRAY8)
def _bytearray(u: Unpickler) -> None:
    u.stack.append(bytearray(u.take(u.number("<Q"))))


# -- containers --------------------------------------------------------------------------------------------------------

@_on(op.MARK)
def _mark(u: Unpickler) -> None:
    u.outer.append(u.stack)
    u.stack = []


@_on(op.EMPTY_TUPLE)
def _empty_tuple(u: Unpickler) -> None:
    u.stack.append(())


@_on(op.TUPLE)
def _tuple(u: Unpickler) -> None:
    items = u.marked()
    u.stack.append(tuple(items))


@_on(op.TUPLE1)
def _tuple1(u: Unpickler) -> None:
    u.stack[-1] = (u.stack[-1],)


@_on(op.TUPLE2)
def _tuple2(u: Unpickler) -> None:
    u.stack[-2:] = [(u.stack[-2], u.stack[-1])]


@_on(op.TUPLE3)
def _tuple3(u: Unpickler) -> None:
    u.stack[-3:] = [(u.stack[-3], u.stack[-2], u.stack[-1])]


@_on(op.EMPTY_LIST)
def _empty_list(u: Unpickler) -> None:
    u.stack.append([])


@_on(op.EMPTY_DICT)
def _empty_dict(u: Unpickler) -> None:
    u.stack.append({})


@_on(op.EMPTY_SET)
def _empty_set(u: Unpickler) -> None:
    u.stack.append(set())


def _top(u: Unpickler, kind: type) -> Any:
    target = u.stack[-1]
    if not isinstance(target, kind):
        raise CheckpointError(f"the pickle is malformed: byte {u.at} puts items into a {describe(target)}")
    return target


@_on(op.APPEND)
def _append(u: Unpickler) -> None:
    item = u.stack.pop()
    _top(u, list).append(item)


@_on(op.APPENDS)
def _appends(u: Unpickler) -> None:
    items = u.marked()
    _top(u, list).extend(items)


@_on(op.SETITEM)
def _setitem(u: Unpickler) -> None:
    value, key = u.stack.pop(), u.stack.pop()
    target = _top(u, dict)
    u.check_key(target, key)
    target[key] = value


@_on(op.SETITEMS)
def _setitems(u: Unpickler) -> None:
    items = u.marked()
    target = _top(u, dict)
    if len(items) % 2:
        raise CheckpointError(f"the pickle is malformed: a key without a value at byte {u.at}")
    for i in range(0, len(items), 2):
        u.check_key(target, items[i])
        target[items[i]] = items[i + 1]


@_on(op.ADDITEMS)
def _additems(u: Unpickler) -> None:
    items = u.marked()
    fill_set(u, _top(u, set), items)


def fill_set(u: Unpickler, target: set, items) -> None:
    for item in items:
        u.check_key(target, item)
        target.add(item)


# -- memory ------------------------------------------------------------------------------------------------------------

@_on(op.BINPUT)
def _put(u: Unpickler) -> None:
    u.memo[u.take(1)[0]] = u.stack[-1]


@_on(op.LONG_BINPUT)
def _long_put(u: Unpickler) -> None:
    u.memo[u.number("<I")] = u.stack[-1]


@_on(op.MEMOIZE)
def _memoize(u: Unpickler) -> None:
    u.memo[len(u.memo)] = u.stack[-1]


@_on(op.BINGET)
def _get(u: Unpickler) -> None:
    _recall(u, u.take(1)[0])


@_on(op.LONG_BINGET)
def _long_get(u: Unpickler) -> None:
    _recall(u, u.number("<I"))


def _recall(u: Unpickler, index: int) -> None:
    if index not in u.memo:
        raise CheckpointError(f"the pickle is malformed: byte {u.at} recalls value {index}, which was not remembered")
    u.stack.append(u.memo[index])


# -- names -------------------------------------------------------------------------------------------------------------

@_on(op.GLOBAL)
def _global(u: Unpickler) -> None:
    module = u.line()
    u.stack.append(u.find_global(_MODULES.get(module, module), u.line()))


@_on(op.STACK_GLOBAL)
def _stack_global(u: Unpickler) -> None:
    name, module = u.stack.pop(), u.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise CheckpointError(f"the pickle is malformed: the name at byte {u.at} is not a string")
    u.stack.append(u.find_global(module, name))


@_on(op.REDUCE)
def _reduce(u: Unpickler) -> None:
    args, function = u.stack.pop(), u.stack.pop()
    if not isinstance(function, Function):
        raise CheckpointError(f"the pickle calls {describe(function)}, which is not allowed")
    if type(args) is not tuple or len(args) not in function.arity:
        raise CheckpointError(f"{function.name} is called with the wrong number of arguments")
    u.stack.append(function.make(u, *args))


@_on(op.NEWOBJ)
def _newobj(u: Unpickler) -> None:
    args, kind = u.stack.pop(), u.stack.pop()
    if not isinstance(kind, Class) or args != ():
        raise CheckpointError(f"the pickle makes an object of {describe(kind)}, which is not allowed")
    u.charge(8)
    made = object.__new__(kind.cls)
    u.made[id(made)] = made
    u.stack.append(made)


@_on(op.BUILD)
def _build(u: Unpickler) -> None:
    state = u.stack.pop()
    target = u.stack[-1]
    if id(target) in u.made:
        from .objects import state_of
        u.charge(len(state_of(target, state)))
        u.attributes.append((target, state_of(target, state)))
        return
    if type(target) is np.ndarray:
        from .objects import fill_array
        fill_array(target, state)
        return
    if isinstance(target, np.dtype):
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", "|", "="):
            raise CheckpointError("a numpy dtype is not of this machine's byte order")
        return
    if type(target) is not OrderedDict:
        raise CheckpointError(f"the pickle sets attributes of a {describe(target)}, which is not allowed")
    vars(target).update(plain_attributes(u, OrderedDict, state))


def plain_attributes(u: Unpickler, owner: type, state: Any, reserved: tuple[str, ...] = ()) -> dict[str, Any]:
    """A copy of ``state`` as attributes that hide nothing the class itself defines."""
    if type(state) is not dict:
        raise CheckpointError(f"the attributes of a {owner.__name__} are a {describe(state)}, not a dict")
    u.charge(len(state))
    for name in state:
        if type(name) is not str or name in reserved or hasattr(owner, name):
            raise CheckpointError(f"attribute {name!r:.80} of a {owner.__name__} may not be set by a file")
    return dict(state)


@_on(op.BINPERSID)
def _persistent(u: Unpickler) -> None:
    u.stack.append(u.persistent_load(u.stack.pop()))


# -- the names that plain containers use -------------------------------------------------------------------------------

def expect(kind: type, value: Any, name: str) -> Any:
    """``value`` if it is exactly of the type that ``name`` needs."""
    if type(value) is not kind:
        raise CheckpointError(f"{name} expects a {kind.__name__}, got a {describe(value)}")
    return value


def _encode(u: Unpickler, text, encoding) -> bytes:
    expect(str, text, "_codecs.encode")
    if encoding not in ("latin1", "latin-1"):
        raise CheckpointError("_codecs.encode is allowed for latin1 only")
    u.charge(len(text))
    try:
        return text.encode("latin1")
    except UnicodeEncodeError:
        raise CheckpointError("a byte string holds characters that are not bytes") from None


def _make_bytearray(u: Unpickler, data=b"", encoding=None) -> bytearray:
    if encoding is not None:
        data = _encode(u, data, encoding)
    u.charge(len(expect(bytes, data, "bytearray")))
    return bytearray(data)


def _make_set(u: Unpickler, items=None) -> set:
    result: set = set()
    if items is not None:
        u.charge(len(expect(list, items, "set")))
        fill_set(u, result, items)
    return result


def _make_counter(u: Unpickler, counts=None) -> Counter:
    result: Counter = Counter()
    if counts is not None:
        u.charge(len(expect(dict, counts, "Counter")))
        dict.update(result, counts)
    return result


def _make_complex(u: Unpickler, real, imag) -> complex:
    return complex(expect(float, real, "complex"), expect(float, imag, "complex"))


PLAIN = {function.name: function for function in (
    Function("collections.OrderedDict", lambda u: OrderedDict(), 0),
    Function("collections.Counter", _make_counter, 0, 1),
    Function("builtins.set", _make_set, 0, 1),
    Function("builtins.bytes", lambda u: b"", 0),
    Function("builtins.bytearray", _make_bytearray, 0, 1, 2),
    Function("builtins.complex", _make_complex, 2),
    Function("_codecs.encode", _encode, 2),
)}
