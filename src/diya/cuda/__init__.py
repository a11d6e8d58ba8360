"""``torch.cuda`` on a build that computes on the CPU: says so where asked, and refuses where used, as PyTorch's does."""

from __future__ import annotations

from typing import Any

from .._absent import absent
from ..engine import OutOfMemoryError as OutOfMemoryError
from . import amp as amp
from . import nvtx as nvtx

default_generators: tuple = ()
has_half, has_magma = True, False
_WHY = "this build of diya computes on the CPU and has no CUDA device"


def is_available() -> bool:
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    return False


is_initialized = is_tf32_supported = is_available


def device_count() -> int:
    return 0


def manual_seed(seed: int) -> None:
    """Accepted without a GPU, as in PyTorch."""


manual_seed_all = manual_seed


def seed() -> None:
    """Accepted without a GPU."""


def empty_cache() -> None:
    """Nothing is cached on a GPU."""


seed_all = empty_cache


def memory_allocated(device: Any = None) -> int:
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_cached = max_memory_cached = memory_allocated


def memory_stats(device: Any = None) -> dict:
    return {}


def get_arch_list() -> list[str]:
    return []


def get_rng_state_all() -> list:
    return []


def set_rng_state_all(new_states) -> None:
    """Accepted if empty: there are no devices."""
    for _ in new_states:
        raise AssertionError(f"torch.cuda.set_rng_state_all is not supported: {_WHY}")


class device:
    """A block that runs on a device: on none, so only None and negative indices are accepted."""

    def __init__(self, device: Any):
        if device is not None and not (isinstance(device, int) and device < 0):
            raise AssertionError(f"torch.cuda.device({device!r}) is not supported: {_WHY}")

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc) -> None:
        pass


class device_of(device):
    """A block that runs on a tensor's device: no tensor is on another than the CPU."""

    def __init__(self, obj: Any):
        super().__init__(None)


__getattr__ = absent(__name__, """CUDAGraph Event ExternalStream Stream StreamContext MemPool can_device_access_peer
    current_blas_handle current_device current_stream default_stream get_allocator_backend get_device_capability get_device_name
    get_device_properties get_rng_state graph graph_pool_handle init initial_seed ipc_collect is_current_stream_capturing
    make_graphed_callables mem_get_info memory_snapshot memory_summary memory_usage reset_accumulated_memory_stats
    reset_max_memory_allocated reset_max_memory_cached reset_peak_memory_stats set_device set_per_process_memory_fraction
    set_rng_state set_stream set_sync_debug_mode get_sync_debug_mode stream synchronize utilization temperature power_draw
    FloatTensor DoubleTensor HalfTensor BFloat16Tensor LongTensor IntTensor ShortTensor CharTensor ByteTensor BoolTensor
    """, _WHY, AssertionError)
