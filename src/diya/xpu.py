"""``torch.xpu``: that device is not there."""

from __future__ import annotations

from typing import Any


def is_available() -> bool:
    return False


def device_count() -> int:
    return 0


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)

    def refuse(*args, **kwargs):
        raise RuntimeError(f"torch.xpu.{name}: this build of diya computes on the CPU and has no such device")
    return refuse
