"""The override protocol's helpers (``torch.overrides``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .autograd.modes import modes
from .ops import record
from .tensor import Tensor


def has_torch_function(relevant_args) -> bool:
    """Whether calls on these arguments go elsewhere: by the class of one of them, or by a mode."""
    return bool(modes.function_modes or modes.subclasses and record._overriding(tuple(relevant_args), {}))


def has_torch_function_unary(arg) -> bool:
    return has_torch_function((arg,))


def has_torch_function_variadic(*args) -> bool:
    return has_torch_function(args)


def handle_torch_function(public_api: Callable, relevant_args, *args, **kwargs) -> Any:
    """Calls the overriding implementation. Raises TypeError if all return NotImplemented."""
    handled, result = record._overridden(public_api, args, kwargs, tuple(relevant_args))
    return result if handled else public_api(*args, **kwargs)


class TorchFunctionMode:
    """A context in which ``__torch_function__(self, func, types, args, kwargs)`` takes every call of an operator. Inside of it
    the mode itself is off."""

    def __enter__(self) -> TorchFunctionMode:
        modes.function_modes = (*modes.function_modes, self)
        record.count_modes(1)
        return self

    def __exit__(self, *exc) -> None:
        modes.function_modes = modes.function_modes[:-1]
        record.count_modes(-1)

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __torch_function__(self, func, types, args, kwargs)")


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that changes nothing."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return func(*args, **(kwargs or {}))


def get_default_nowrap_functions() -> set:
    """Functions whose results a subclass does not wrap."""
    return {Tensor.__dict__[name] for name in ("grad", "_base", "_grad") if name in Tensor.__dict__}


def resolve_name(f: Callable) -> str | None:
    """The public name of an operator."""
    for path, operator in record.OPERATORS.items():
        if operator.function is f:
            return f"torch.{path}"
    return None


def is_tensor_like(inp: Any) -> bool:
    return isinstance(inp, Tensor) or hasattr(type(inp), "__torch_function__")


def is_tensor_method_or_property(func: Callable) -> bool:
    return getattr(func, "__name__", None) in Tensor.__dict__


def wrap_torch_function(dispatcher: Callable) -> Callable:
    """A decorator that makes a function overridable; ``dispatcher`` returns its tensor arguments."""
    def decorate(function: Callable) -> Callable:
        def call(*args, **kwargs):
            relevant = dispatcher(*args, **kwargs)
            if has_torch_function(relevant):
                return handle_torch_function(call, relevant, *args, **kwargs)
            return function(*args, **kwargs)
        return call
    return decorate
