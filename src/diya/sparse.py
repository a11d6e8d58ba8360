"""``torch.sparse``: diya's tensors are strided. What would make or read a sparse one says so."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)

    def refuse(*args, **kwargs):
        raise NotImplementedError(f"torch.sparse.{name} is not supported: diya's tensors are strided. Use a dense tensor")
    return refuse
