"""Tools around training: ``data`` (loading), ``checkpoint`` (memory for time), ``hooks``. Imported at first use."""

from __future__ import annotations

from typing import Any


def swap_tensors(t1: Any, t2: Any) -> None:
    """Each tensor becomes the other, with all attributes, for everybody who holds it."""
    t1.__class__, t2.__class__ = t2.__class__, t1.__class__
    t1.__dict__, t2.__dict__ = t2.__dict__, t1.__dict__


def __getattr__(name: str) -> Any:
    import importlib

    if not name.startswith("__"):
        try:
            return importlib.import_module(f".{name}", __name__)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}: this part of torch.utils is not implemented")
