"""``torch.onnx``: no export. Asked, none is under way; used, it says so."""

from __future__ import annotations

from typing import Any


def is_in_onnx_export() -> bool:
    return False


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise NotImplementedError(f"torch.onnx.{name} is not supported: diya does not write ONNX files")
