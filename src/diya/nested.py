"""``torch.nested``: refused where used; pad to one shape, or loop."""

from __future__ import annotations


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)

    def refuse(*args, **kwargs):
        raise NotImplementedError(f"torch.nested.{name} is not supported: diya's tensors have one shape. Pad them")
    return refuse
