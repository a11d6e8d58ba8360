"""``torch.nested``: refused where used; pad to one shape, or loop."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)

    def refuse(*args, **kwargs):
        raise NotImplementedError(f"torch.nested.{name} is not supported: diya's tensors have one shape. Pad them")
    return refuse
