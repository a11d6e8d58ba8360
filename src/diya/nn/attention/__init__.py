"""Choice of the attention's implementation. There is one, so every choice that contains it is accepted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import IntEnum


class SDPBackend(IntEnum):
    ERROR, MATH, FLASH_ATTENTION, EFFICIENT_ATTENTION, CUDNN_ATTENTION, OVERRIDEABLE = range(-1, 5)


@contextlib.contextmanager
def sdpa_kernel(backends: list[SDPBackend] | SDPBackend, set_priority: bool = False) -> Iterator[None]:
    """Accepted: all implementations compute the same values, and here is one for all."""
    if isinstance(backends, SDPBackend):
        backends = [backends]
    if not all(isinstance(backend, SDPBackend) for backend in backends):
        raise AssertionError(f"Backend must be an instance of SDPBackend or a list of them, got {backends!r}")
    yield
