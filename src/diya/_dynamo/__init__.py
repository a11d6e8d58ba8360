"""``torch._dynamo`` and ``torch.compiler``: directions to the tracer.

diya records operations as they run and compiles what comes again; `torch.compile` (see `diya.capture`) saves the Python between
them. The names of ``torch.compiler`` are those of `COMPILER`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from . import config as config

COMPILER = ("compile", "reset", "allow_in_graph", "assume_constant_result", "disable", "is_compiling",
            "is_dynamo_compiling", "is_exporting", "list_backends", "cudagraph_mark_step_begin",
            "set_stance", "substitute_in_graph", "wrap_numpy", "nested_compile_region", "set_enable_guard_collectives")


def is_compiling() -> bool:
    """False: no Python code runs under a tracer."""
    return False


is_dynamo_compiling = is_exporting = is_compiling


def _as_written(function: Any = None, *args, **kwargs) -> Any:
    """``function`` itself, or a decorator that returns its function."""
    return function if function is not None else lambda function: function


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None, wrapping: bool = True) -> Any:
    """``fn`` as one that `torch.compile` does not capture; without it a decorator. A module is returned as it is."""
    if fn is None:
        return disable
    if not hasattr(fn, "__code__"):
        return fn

    @functools.wraps(fn)
    def call(*args, **kwargs):
        return fn(*args, **kwargs)
    call._diya_disabled = True  # type: ignore[attr-defined]
    return call


run = allow_in_graph = disallow_in_graph = assume_constant_result = forbid_in_graph = _as_written
nonstrict_trace = wrap_numpy = nested_compile_region = _as_written


def substitute_in_graph(original_fn: Callable, *, can_constant_fold_through: bool = False,
                        skip_signature_check: bool = False) -> Callable:
    """A decorator that returns its function: nothing is traced, so nothing is substituted."""
    return lambda traceable: traceable


def graph_break(msg: str = "") -> None:
    """Nothing to break."""


def mark_dynamic(t, index, **kwargs) -> None:
    """Nothing to mark: sizes are arguments of compiled code."""


maybe_mark_dynamic = mark_static = mark_dynamic


def mark_static_address(t, guard: bool = True) -> None:
    """Nothing to mark."""


def reset() -> None:
    """Forgets what `torch.compile` captured."""
    from ..capture.compiled import forget
    forget()


def cudagraph_mark_step_begin() -> None:
    """There are no CUDA graphs."""


def list_backends(exclude_tags=("debug", "experimental")) -> list[str]:
    return ["inductor"]


@contextlib.contextmanager
def set_stance(stance: str = "default", **kwargs) -> Iterator[None]:
    """Accepted: stances choose between tracing and running, and everything runs."""
    yield


def set_enable_guard_collectives(enabled: bool) -> bool:
    """Accepted. Returns the former setting, which is always False: there are no guards."""
    return False


def compile(*args, **kwargs) -> Any:
    """`torch.compile`."""
    from .._public import compile
    return compile(*args, **kwargs)


def optimize(*args, **kwargs) -> Callable:
    """A decorator like `torch.compile`."""
    return _as_written()


def explain(function: Callable, *args, **kwargs):
    raise NotImplementedError("torch._dynamo.explain is not supported: torch.explain(function) shows diya's programs")


exc = SimpleNamespace(Unsupported=type("Unsupported", (RuntimeError,), {"__doc__": "Never raised: nothing is traced."}))


def __getattr__(name: str) -> Any:
    if name == "OptimizedModule":
        from .eval_frame import OptimizedModule
        return OptimizedModule
    if name == "eval_frame":
        import importlib
        return importlib.import_module("._dynamo.eval_frame", __name__.partition(".")[0])
    raise AttributeError(f"module 'torch._dynamo' has no attribute {name!r}")
