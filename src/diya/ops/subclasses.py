"""What users' subclasses of `Tensor` do beyond operators: Python's operators and a few methods ask ``__torch_function__`` too.

`Tensor` itself has these written for speed, without the question; a subclass gets forms that ask, so that only it pays.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

from ..autograd.modes import modes
from ..tensor import Tensor
from . import record

# Operators by the method that ``__torch_function__`` is told of. The others are told by their own name.
_TOLD = {"__add__": "add", "__radd__": "add", "__mul__": "mul", "__rmul__": "mul", "__sub__": "sub", "__truediv__": "div",
         "__pow__": "pow", "__mod__": "remainder", "__matmul__": "matmul", "__lt__": "lt", "__le__": "le", "__gt__": "gt",
         "__ge__": "ge"}
_BY_THEIR_NAME = ("__eq__", "__ne__", "__rsub__", "__rtruediv__", "__rpow__", "__floordiv__", "__rfloordiv__", "__rmod__",
                  "__rmatmul__", "__and__", "__rand__", "__or__", "__ror__", "__xor__", "__rxor__", "__lshift__", "__rshift__",
                  "__invert__", "__getitem__", "__setitem__", "detach", "new_zeros", "new_ones", "new_empty", "new_full",
                  "new_tensor", "unbind")


def _asking(name: str) -> Callable:
    plain, told = getattr(Tensor, name), getattr(Tensor, _TOLD.get(name, name))

    def call(self, *args, **kwargs):
        if modes.subclasses or modes.function_modes:
            handled, result = record._overridden(told, (self, *args), kwargs)
            if handled:
                return result
        return plain(self, *args, **kwargs)
    call.__name__ = name
    return call


def _unbind(self: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The method, which iterating takes: told apart from ``torch.unbind`` by classes that call this where they are told of it."""
    return record.OPERATORS["unbind"].function(self, dim)


_unbind.__name__ = "unbind"


def _data(self: Tensor) -> Tensor:
    return Tensor.data.fget(self).as_subclass(type(self))  # type: ignore[attr-defined]


# -- what users keep on a tensor -------------------------------------------------------------------------------------------------

_INSTANCE = Tensor.__dict__["__dict__"]  # gives all that Python keeps on a tensor


@cache
def _state() -> frozenset[str]:
    """The attributes that make a tensor, which PyTorch's ``__dict__`` has not."""
    return frozenset(Tensor.__dict__) | {"_storage", "_type"}


class _Attributes(dict):
    """The ``__dict__`` of a tensor as users know it: their own attributes. What is written to it is written to the tensor."""

    def __init__(self, tensor: Tensor):
        self.whole = _INSTANCE.__get__(tensor)
        super().__init__((key, value) for key, value in self.whole.items() if key not in _state())

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in _state():
            super().__setitem__(key, value)
            self.whole[key] = value

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        del self.whole[key]

    def update(self, *args: Any, **kwargs: Any) -> None:
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other: Any) -> _Attributes:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self.get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        if key not in self:
            return super().pop(key, *default)
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self) -> None:
        for key in list(self):
            del self[key]

    def __reduce__(self) -> tuple:
        return dict, (dict(self),)

    def __deepcopy__(self, memo: dict) -> dict:
        return deepcopy(dict(self), memo)


def _replace(self: Tensor, attributes: dict) -> None:
    """``tensor.__dict__ = attributes``: the tensor stays what it is."""
    own = _Attributes(self)
    own.clear()
    own.update(attributes)


_KEPT = property(_Attributes, _replace)


def _keep(cls: type) -> None:
    """Makes ``__dict__`` of a class's tensors hold their users' attributes and no state of the tensor's, so that it may be copied
    from one tensor to another. Python lets a class be given a ``__dict__`` by a base alone, which comes first."""
    if next(vars(base)["__dict__"] for base in cls.__mro__ if "__dict__" in vars(base)) is not _KEPT:
        cls.__bases__ = (type("Attributes", (), {"__dict__": _KEPT}), *cls.__bases__)


def prepare(cls: type) -> None:
    """Gives a class that derives from `Tensor` the forms that ask; and `Parameter`, whose operators come before the class's."""
    from ..nn.parameter import Parameter
    Tensor.unbind = _unbind  # type: ignore[attr-defined]
    _give(cls)
    if Parameter.__add__ is Tensor.__add__:
        _give(Parameter)
    _keep(cls)
    if cls.data is Tensor.data:
        cls.data = property(_data, Tensor.data.fset)  # type: ignore[attr-defined]


def _give(cls: type) -> None:
    for name in (*_TOLD, *_BY_THEIR_NAME):
        if getattr(cls, name, None) is getattr(Tensor, name, None) is not None:
            setattr(cls, name, _asking(name))
    if cls.__hash__ is None:  # as Python leaves it for a class with an __eq__
        cls.__hash__ = Tensor.__hash__
