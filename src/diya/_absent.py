"""Names that PyTorch has and diya has not: they can be asked for, and say what is missing where they are used.

A module whose ``__getattr__`` is ``absent(...)`` has exactly these names beside its own; any other raises AttributeError,
so that ``hasattr`` says about diya what it would say about PyTorch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


class _Class(type):
    """The class of absent classes: reading a member (``ShardingStrategy.FULL_SHARD``) is a use, too."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise cls._error(cls._message)


def absent(module: str, names: str, why: str, error: type[Exception] = NotImplementedError) -> Callable[[str], Any]:
    """``__getattr__`` for a module: a name of ``names`` is a function that raises ``error`` when called or, if it begins
    with a capital, a class that raises when made. No object is an instance of it."""
    public = "torch" + module[len("diya"):]
    missing = frozenset(names.split())

    def find(name: str) -> Any:
        if name not in missing:
            raise AttributeError(f"module {public!r} has no attribute {name!r}")
        message = f"{public}.{name} is not supported: {why}"

        def refuse(*args, **kwargs):
            raise error(message)
        refuse.__name__ = refuse.__qualname__ = name
        refuse.__module__ = module
        made: Any = refuse
        if name[0].isupper():
            made = _Class(name, (), {"__init__": refuse, "__module__": module, "__doc__": message, "_error": error,
                                     "_message": message})
        setattr(sys.modules[module], name, made)
        return made
    return find
