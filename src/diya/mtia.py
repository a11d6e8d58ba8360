"""``torch.mtia``: that device is not there."""

from ._absent import absent


def is_available() -> bool:
    return False


is_initialized = is_available


def device_count() -> int:
    return 0


def manual_seed(seed: int) -> None:
    """Accepted without the device, as in PyTorch."""


manual_seed_all = manual_seed
__getattr__ = absent(__name__, """Event Stream StreamContext current_device current_stream device empty_cache
    get_device_capability get_rng_state init set_device set_rng_state set_stream stream synchronize""",
                     "this build of diya computes on the CPU and has no such device", RuntimeError)
