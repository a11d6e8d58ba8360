"""What libraries ask PyTorch's tracer."""

from __future__ import annotations

from typing import Any


def is_compile_supported(device_type: Any) -> bool:
    """Whether `torch.compile` works on a device."""
    return device_type == "cpu"
