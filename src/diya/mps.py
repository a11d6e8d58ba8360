"""``torch.mps``: that device is not there."""

from __future__ import annotations


def is_available() -> bool:
    return False


def device_count() -> int:
    return 0


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)

    def refuse(*args, **kwargs):
        raise RuntimeError(f"torch.mps.{name}: this build of diya computes on the CPU and has no such device")
    return refuse
