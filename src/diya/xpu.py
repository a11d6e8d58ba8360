"""``torch.xpu``: that device is not there."""

from ._absent import absent


def is_available() -> bool:
    return False


is_initialized = is_bf16_supported = is_available


def device_count() -> int:
    return 0


def manual_seed(seed: int) -> None:
    """Accepted without the device, as in PyTorch."""


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Nothing is cached on a GPU."""


__getattr__ = absent(__name__, """Event Stream StreamContext current_device current_stream device get_device_capability
    get_device_name get_device_properties get_rng_state init initial_seed mem_get_info set_device set_rng_state set_stream stream
    synchronize""", "this build of diya computes on the CPU and has no such device", AssertionError)
