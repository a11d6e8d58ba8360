"""``torch.distributed``: one process. Asked whether it is there, it says no; used, it says what is missing."""

from __future__ import annotations

from typing import Any


def is_available() -> bool:
    return False


def is_initialized() -> bool:
    return False


def is_nccl_available() -> bool:
    return False


is_gloo_available = is_mpi_available = is_torchelastic_launched = is_nccl_available


class ReduceOp:
    """Names of reductions."""

    SUM, PRODUCT, MIN, MAX, AVG = "sum", "product", "min", "max", "avg"


class ProcessGroup:
    """No object is one."""


group: Any = type("group", (), {"WORLD": None})


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module 'torch.distributed' has no attribute {name!r}")

    def refuse(*args, **kwargs):
        raise NotImplementedError(f"torch.distributed.{name} is not supported: diya runs in one process so far")
    refuse.__name__ = name
    return refuse
