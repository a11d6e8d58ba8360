"""``torch.accelerator``: there is none."""

from __future__ import annotations

from ._absent import absent


def is_available() -> bool:
    return False


def device_count() -> int:
    return 0


def current_accelerator(check_available: bool = False) -> None:
    return None


__getattr__ = absent(__name__, """Graph current_device_idx current_device_index current_stream device_index empty_cache
    get_device_capability get_memory_info max_memory_allocated max_memory_reserved memory_allocated memory_reserved memory_stats
    reset_accumulated_memory_stats reset_peak_memory_stats set_device_idx set_device_index set_stream synchronize""",
                     "this build of diya computes on the CPU and has no accelerator", RuntimeError)
