"""``torch.cuda``, on a build that computes on the CPU: says so where asked, and refuses where used."""

from __future__ import annotations

from typing import Any


def is_available() -> bool:
    return False


def is_initialized() -> bool:
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    return False


def device_count() -> int:
    return 0


def manual_seed(seed: int) -> None:
    """Accepted without a GPU, as in PyTorch."""


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Nothing is cached on a GPU."""


def synchronize(device: Any = None) -> None:
    _refuse("synchronize")


def _refuse(name: str):
    raise RuntimeError(f"torch.cuda.{name}: this build of diya computes on the CPU and has no CUDA device")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name[0].isupper():  # a class, which annotations and isinstance use; making one is refused
        made = globals()[name] = type(name, (), {"__init__": lambda self, *args, **kwargs: _refuse(name),
                                                 "__doc__": "Refused where made."})
        return made
    return lambda *args, **kwargs: _refuse(name)
