"""``torch.cpu``: the device that everything runs on, under the names of a device's module."""

from __future__ import annotations

from typing import Any

from . import amp as amp


def is_available() -> bool:
    return True


def is_initialized() -> bool:
    return True


def device_count() -> int:
    return 1


def current_device() -> str:
    return "cpu"


def set_device(device: Any) -> None:
    """Accepted: there is one."""


def synchronize(device: Any = None) -> None:
    """Runs all pending work."""
    from ..engine import flush
    flush()


class Stream:
    """The one order in which everything runs."""

    def __init__(self, priority: int = -1):
        pass

    def wait_stream(self, stream) -> None:
        """Nothing to wait for."""

    synchronize = wait_stream


class StreamContext:
    """Accepted: there is one stream."""

    def __init__(self, stream: Any):
        self.stream = stream

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc) -> None:
        pass


def stream(stream: Any) -> StreamContext:
    return StreamContext(stream)


def current_stream(device: Any = None) -> Stream:
    return Stream()
