"""What operators that are composed of others share: float32 for half precisions, numbers as operands, own gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from .. import engine
from ..autograd.tape import Rule
from ..dtypes import bfloat16, float16, float32
from ..tensor import Tensor, from_node
from . import ruled
from .record import Operator, _long_name, is_number, register


def widened(x: Tensor) -> Tensor:
    """A half-precision tensor as float32; any other as it is."""
    return x.to(float32) if x.dtype is bfloat16 or x.dtype is float16 else x


def number(value, like: Tensor) -> Tensor:
    """A Python number as a 0-dim tensor of another's dtype: an argument of the program, not a constant in its code."""
    if value.__class__ is not float and not is_number(value):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    return from_node(engine.scalar(value, like.dtype))


def require_float(name: str, x: Tensor, kinds: str = "f") -> None:
    """Raises as PyTorch does where a kernel exists for floating dtypes alone."""
    if x.dtype.kind not in kinds:
        raise RuntimeError(f"\"{name}\" not implemented for '{_long_name(x.dtype)}': it expects a floating-point tensor, got "
                           f"{x.dtype} of size {list(x.shape)}")


def also(path: str, function: Callable) -> None:
    """Publishes a public operator under a second path ("prelu" for "nn.functional.prelu")."""
    register(Operator(path, function, None, None, (), (), (), False, None, True))


def with_rule(name: str, grad, inputs: tuple[str, ...], broadcasts: bool = False) -> Callable:
    """Gives a function over operators a gradient of its own (see `record.operator`), without publishing it.

    ``broadcasts``: the inputs' shapes may differ, and gradients are summed to them.
    """
    return lambda function: ruled.with_rule(function, Rule(name, inputs, grad, broadcasts))


def shown_as(name: str) -> Callable:
    """Names the last node that a composite leaves on the tape as PyTorch names the operator's, for who prints it."""
    def decorate(function: Callable) -> Callable:
        @wraps(function)
        def call(*args, **kwargs):
            return show(function(*args, **kwargs), name, *args, *kwargs.values())
        return call
    return decorate


def show(out: Tensor, name: str, *inputs) -> Tensor:
    """``out`` with its node on the tape named, unless it is one of the inputs'."""
    fn = out._fn
    if fn is not None and all(fn is not x._fn for x in inputs if isinstance(x, Tensor)):
        fn.shown = name if "Backward" in name else name + "Backward0"
    return out
