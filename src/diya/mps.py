"""``torch.mps``: that device is not there."""

from ._absent import absent


def is_available() -> bool:
    return False


def device_count() -> int:
    return 0


def manual_seed(seed: int) -> None:
    """Accepted without the device, as in PyTorch."""


__getattr__ = absent(__name__, """Event compile_shader current_allocated_memory driver_allocated_memory empty_cache get_rng_state
    recommended_max_memory seed set_per_process_memory_fraction set_rng_state synchronize""",
                     "this build of diya computes on the CPU and has no such device", RuntimeError)
