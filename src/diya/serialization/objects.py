"""Objects of classes in a checkpoint: whole modules, and what they hold.

A file names a class and brings attributes. Reading makes an object of a class that *the program has imported already* and
sets its attributes: no constructor, no method and no import that a file asks for is run. It is done where the caller asks
for it, with ``weights_only=False`` or `add_safe_globals`, and then for these only: modules, plain classes (nothing in
their making, unmaking or state is their own), members of enumerations, functions of torch, numpy's numbers and arrays.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import numpy as np

from .errors import CheckpointError
from .pickler import Global, Instance, Reduce
from .unpickler import Class, Function, Marker, Unpickler, expect

_safe: list = []
_INTERNAL = __name__.partition(".")[0]
_PLAIN_STDLIB = ("argparse.Namespace",)  # of the standard library, these and no others


def add_safe_globals(safe_globals: list) -> None:
    """Classes that files may name even with ``weights_only=True``."""
    _safe.extend(item[0] if isinstance(item, tuple) else item for item in safe_globals)


def get_safe_globals() -> list:
    return list(_safe)


def clear_safe_globals() -> None:
    _safe.clear()


@contextlib.contextmanager
def safe_globals(safe_globals: list) -> Iterator[None]:
    """`add_safe_globals` for a block."""
    before = list(_safe)
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        _safe[:] = before


# -- names -----------------------------------------------------------------------------------------------------------------

def _public(module: str) -> str:
    """A module's name in a file: diya's are PyTorch's."""
    return "torch" + module[len(_INTERNAL):] if module.partition(".")[0] == _INTERNAL else module


def _lookup(module: str, name: str) -> Any:
    """What a module that is loaded has under a (dotted) name, or None. Nothing is imported, no attribute hook runs."""
    place: Any = sys.modules.get(_INTERNAL + module[5:] if module.partition(".")[0] == "torch" else module)
    for part in name.split("."):
        if place is None:
            return None
        place = vars(place).get(part) if isinstance(place, (types.ModuleType, type)) else None
    return place


def _operator_name(function: Callable) -> Global | None:
    from ..ops import OPERATORS
    for path, record in OPERATORS.items():
        if record.function is function:
            module, _, name = f"torch.{path}".rpartition(".")
            return Global(module, name)
    return None


# -- which classes ---------------------------------------------------------------------------------------------------------

def _is_plain(cls: type) -> bool:
    """Whether objects of a class are their attributes and nothing else."""
    if cls.__module__.partition(".")[0] in sys.stdlib_module_names - {"__main__"}:
        return f"{cls.__module__}.{cls.__qualname__}" in _PLAIN_STDLIB
    own = [c for c in cls.__mro__ if c is not object]
    return (cls.__new__ is object.__new__ and type(cls) is type and bool(cls.__dictoffset__)
            and not any(name in vars(c) for c in own for name in ("__reduce__", "__reduce_ex__", "__setstate__", "__getstate__",
                                                                  "__del__", "__slots__")))


def _makes_objects(cls: type) -> bool:
    from ..nn import Module
    if issubclass(cls, Module):
        return not any("__del__" in vars(c) for c in cls.__mro__)
    return _is_plain(cls)


# -- writing ---------------------------------------------------------------------------------------------------------------

def reduce(obj: Any) -> Instance | Reduce | Global | None:
    """What an object is in a file, or None if it cannot be in one."""
    cls = type(obj)
    if isinstance(obj, types.FunctionType):
        return _operator_name(obj)
    if isinstance(obj, (np.generic, np.ndarray)):
        return _reduce_numpy(obj)
    if _lookup(_public(cls.__module__), cls.__qualname__) is not cls:
        return None
    name = Global(_public(cls.__module__), cls.__qualname__)
    if isinstance(obj, Enum):
        return Reduce(name, (obj.value,))
    if not _makes_objects(cls):
        return None
    state = obj.__getstate__() if hasattr(cls, "_compiled_call_impl") else vars(obj)
    return Instance(name, dict(state))


def _reduce_numpy(value: np.generic | np.ndarray) -> Reduce | None:
    if value.dtype.kind not in "biufc":
        return None
    kind = Reduce(Global("numpy", "dtype"), (value.dtype.str[1:], False, True))
    if isinstance(value, np.generic):
        return Reduce(Global("numpy._core.multiarray", "scalar"), (kind, value.tobytes()))
    return Reduce(Global("numpy._core.numeric", "_frombuffer"), (value.tobytes(), kind, value.shape, "C"))


# -- reading ---------------------------------------------------------------------------------------------------------------

def find(module: str, name: str, everything: bool) -> Any:
    """What a name in a file stands for if classes are allowed: all (``everything``) or those of `add_safe_globals`. None if
    it is not allowed."""
    if module.partition(".")[0] == "numpy":
        return _NUMPY.get(name) if everything or _safe else None
    from ..ops import OPERATORS
    operator = OPERATORS.get(f"{module}.{name}".removeprefix("torch."))
    if operator is not None:
        return operator.function
    value = _lookup(module, name)
    if not everything and not any(value is safe for safe in _safe):
        return None
    if isinstance(value, type):
        if issubclass(value, Enum):
            return Function(f"{module}.{name}", lambda u, v: _member(value, v), 1)
        return Class(f"{module}.{name}", value) if _makes_objects(value) else None
    return None


def state_of(target: Any, state: Any) -> dict[str, Any]:
    """The attributes that a file gives an object. Raises CheckpointError where they would hide a method."""
    if type(state) is tuple and len(state) == 2 and not state[1]:  # (of __dict__, of __slots__)
        state = state[0]
    cls = type(target)
    attributes: dict = expect(dict, state, f"the attributes of a {cls.__name__}")
    for name in attributes:
        if type(name) is not str or isinstance(getattr(cls, name, None), types.FunctionType):
            raise CheckpointError(f"attribute {name!r:.80} of a {cls.__name__} may not be set by a file")
    return {name: value for name, value in attributes.items() if not isinstance(getattr(cls, name, None), property)}


def finish(target: Any) -> None:
    """The end of making an object: a module gets what modules of older versions lacked."""
    from ..nn import Module
    if isinstance(target, Module):
        own = next(c for c in type(target).__mro__ if c.__module__.partition(".")[0] == _INTERNAL and "__setstate__" in vars(c))
        own.__setstate__(target, {})  # type: ignore[attr-defined]


def fill_array(target: np.ndarray, state: Any) -> None:
    """Gives an array from a file its dtype, shape and elements."""
    if type(state) is not tuple or len(state) != 5 or type(state[1]) is not tuple or not isinstance(state[2], np.dtype) \
            or type(state[4]) is not bytes:
        raise CheckpointError("a numpy array is malformed")
    try:
        target.__setstate__(state)  # type: ignore[attr-defined]  (numpy's: it copies numbers)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"a numpy array is malformed: {error}") from None


def _member(kind: type[Enum], value: Any) -> Any:
    try:
        return kind(value)
    except ValueError as error:
        raise CheckpointError(str(error)) from None


def _dtype(u: Unpickler, text, align=False, copy=False) -> np.dtype:
    expect(str, text, "numpy.dtype")
    if len(text) > 4 or text[:1] not in "biufc":
        raise CheckpointError(f"a numpy dtype {text!r:.20} is not one of numbers")
    try:
        return np.dtype(text)
    except TypeError as error:
        raise CheckpointError(str(error)) from None


def _check_dtype(kind: Any) -> None:
    if not isinstance(kind, np.dtype):
        raise CheckpointError(f"a numpy value has a {type(kind).__name__} for its dtype")


def _number(u: Unpickler, kind, data) -> np.generic:
    _check_dtype(kind)
    if len(expect(bytes, data, "a numpy number")) != kind.itemsize:
        raise CheckpointError("a numpy number has the wrong number of bytes")
    return np.frombuffer(data, kind)[0]


def _array(u: Unpickler, data, kind, shape, order) -> np.ndarray:
    _check_dtype(kind)
    u.charge(len(expect(bytes, data, "a numpy array")))
    try:
        return np.frombuffer(data, kind).reshape(expect(tuple, shape, "a numpy array"), order=expect(str, order, "an order")).copy()
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"a numpy array is malformed: {error}") from None


def _unfilled(u: Unpickler, kind, shape, code) -> np.ndarray:
    return np.empty(0, np.uint8)


_NUMPY = {"dtype": Function("numpy.dtype", _dtype, 1, 2, 3), "scalar": Function("numpy scalar", _number, 2),
          "_frombuffer": Function("numpy._frombuffer", _array, 4), "_reconstruct": Function("numpy._reconstruct", _unfilled, 3),
          "ndarray": Marker("numpy.ndarray")}
