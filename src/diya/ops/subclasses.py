"""What users' subclasses of `Tensor` do beyond operators: Python's operators and a few methods ask ``__torch_function__`` too.

`Tensor` itself has these written for speed, without the question; a subclass gets forms that ask, so that only it pays.
"""

from __future__ import annotations

from collections.abc import Callable

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
                  "new_tensor")


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


def _data(self: Tensor) -> Tensor:
    return Tensor.data.fget(self).as_subclass(type(self))  # type: ignore[attr-defined]


def prepare(cls: type) -> None:
    """Gives a class that derives from `Tensor` the forms that ask; and `Parameter`, whose operators come before the class's."""
    from ..nn.parameter import Parameter
    _give(cls)
    if Parameter.__add__ is Tensor.__add__:
        _give(Parameter)
    if cls.data is Tensor.data:
        cls.data = property(_data, Tensor.data.fset)  # type: ignore[attr-defined]


def _give(cls: type) -> None:
    for name in (*_TOLD, *_BY_THEIR_NAME):
        if getattr(cls, name, None) is getattr(Tensor, name, None) is not None:
            setattr(cls, name, _asking(name))
    if cls.__hash__ is None:  # as Python leaves it for a class with an __eq__
        cls.__hash__ = Tensor.__hash__
