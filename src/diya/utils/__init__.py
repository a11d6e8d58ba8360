"""Tools around training: ``data`` (loading), ``checkpoint`` (memory for time), ``hooks``. Imported at first use."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    import importlib

    if not name.startswith("__"):
        try:
            return importlib.import_module(f".{name}", __name__)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}: this part of torch.utils is not implemented")
