"""``torch.fx``: no symbolic tracing. Asked, no object is traced; used, it says so."""

from __future__ import annotations

from typing import Any

from ..nn import Module


def wrap(fn_or_name: Any) -> Any:
    """Marks a function as a leaf of symbolic traces, of which there are none. Returns it."""
    return fn_or_name


def _refuse(name: str):
    raise NotImplementedError(f"torch.fx.{name} is not supported: diya records the operations that run and has no symbolic "
                              f"tracer. torch.explain(function) shows the programs it makes")


class _Refused:
    def __init__(self, *args, **kwargs):
        _refuse(type(self).__name__)


class Proxy(_Refused):
    """No object is one."""


class Node(_Refused):
    """No object is one."""


class Graph(_Refused):
    """No object is one."""


class Tracer(_Refused):
    """Refused where made."""


class Interpreter(_Refused):
    """Refused where made."""


class Transformer(_Refused):
    """Refused where made."""


class GraphModule(Module):
    """No module is one."""

    def __init__(self, *args, **kwargs):
        _refuse("GraphModule")


def symbolic_trace(*args, **kwargs):
    _refuse("symbolic_trace")


def replace_pattern(*args, **kwargs):
    _refuse("replace_pattern")
