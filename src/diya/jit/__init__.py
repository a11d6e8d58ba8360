"""``torch.jit``: accepted where it changes nothing. diya compiles every program by itself, so scripting returns what it is
given; what needs a TorchScript archive is refused."""

from __future__ import annotations

import builtins
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def script(obj: T, optimize=None, _frames_up: int = 0, _rcb=None, example_inputs=None) -> T:
    """``obj`` itself."""
    return obj


def ignore(drop: Any = False, **kwargs) -> Any:
    return drop if callable(drop) else lambda function: function


def unused(function: T) -> T:
    return function


def export(function: T) -> T:
    return function


def interface(obj: T) -> T:
    return obj


def script_if_tracing(function: T) -> T:
    return function


_script_if_tracing = script_if_tracing


def is_scripting() -> bool:
    return False


def is_tracing() -> bool:
    return False


def annotate(the_type: Any, the_value: T) -> T:
    return the_value


def _overload_method(function: T) -> T:
    return function


_overload = _overload_method


def script_method(function: T) -> T:
    return function


class Error(RuntimeError):
    """What a scripted function raises in PyTorch; here it raises its own exceptions."""


_MODULES = ("ScriptModule", "RecursiveScriptModule", "TopLevelTracedModule", "TracedModule")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        from ..nn import Module

        class ScriptModule(Module):
            """A module; nothing becomes one by `script`, which gives the module itself."""
        ScriptModule.__qualname__ = "ScriptModule"
        globals().update(dict.fromkeys(_MODULES, ScriptModule))
        return ScriptModule
    raise AttributeError(f"module 'torch.jit' has no attribute {name!r}")


@contextmanager
def optimized_execution(should_optimize: bool) -> Iterator[None]:
    """Accepted: it would change nothing."""
    yield


ScriptFunction = type("ScriptFunction", (), {"__doc__": "No object is one."})
Final = typing.Final
Attribute = type("Attribute", (), {"__doc__": "A typed attribute of a script module.",
                                   "__init__": lambda self, value, type=None: setattr(self, "value", value)})


def _refuse(name: str) -> Callable:
    def call(*args, **kwargs):
        raise NotImplementedError(f"torch.jit.{name} is not supported: diya has no TorchScript. Save state_dict() instead, and "
                                  f"call the model itself: it is compiled as it runs")
    call.__name__ = name
    return call


class TracerWarning(UserWarning):
    """Never given: nothing is traced."""


def isinstance(obj: Any, target_type: Any) -> bool:
    """Python's own."""
    return builtins.isinstance(obj, target_type)


def enable_onednn_fusion(enabled: bool) -> None:
    """Accepted: it would change nothing."""


def set_fusion_strategy(strategy: Any) -> list:
    """Accepted: it would change nothing."""
    return strategy


def optimize_for_inference(mod: T, other_methods: Any = None) -> T:
    return mod


def trace(func: T, example_inputs: Any = None, *args: Any, **options: Any) -> T:
    """``func`` itself, once it has run on the example: what it does with other inputs is what it says, not what the example did."""
    if example_inputs is not None:
        func(*(example_inputs if builtins.isinstance(example_inputs, tuple) else (example_inputs,)))  # type: ignore[operator]
    return func


def freeze(mod: T, preserved_attrs: Any = None, optimize_numerics: bool = True) -> T:
    """``mod`` itself. Raises RuntimeError in training mode, as PyTorch does."""
    if getattr(mod, "training", False):
        raise RuntimeError("Freezing is currently only implemented for modules in eval mode. Please call .eval() on your module "
                           "before freezing.")
    return mod


def fork(func: Callable, *args: Any, **kwargs: Any) -> Any:
    """A `torch.futures.Future` of ``func(*args)``, which runs at once."""
    from ..futures import Future
    future = Future()
    future.set_result(func(*args, **kwargs))
    return future


def wait(future: Any) -> Any:
    return future.wait()


trace_module, save, load = (_refuse(n) for n in ("trace_module", "save", "load"))
