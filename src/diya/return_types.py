"""``torch.return_types``: the named tuples that operators return, by the operators' names."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from . import ops


def _classes() -> dict[str, type]:
    return {value.__name__: value for family in vars(ops).values() if isinstance(family, ModuleType)
            for value in vars(family).values() if isinstance(value, type) and issubclass(value, tuple)
            and getattr(value, "_fields", None) and value.__name__.islower()}


def __getattr__(name: str) -> Any:
    found = _classes().get(name)
    if found is None:
        raise AttributeError(f"module 'torch.return_types' has no attribute {name!r}")
    globals()[name] = found
    return found
