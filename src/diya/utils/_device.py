"""The device that tensors are made on where none is named: ``with torch.device(...)``, `torch.set_default_device`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import diya

from ..device import CPU, is_meta
from ..device import device as Device
from ..overrides import TorchFunctionMode

_CONSTRUCTORS = ("empty", "empty_strided", "empty_permuted", "ones", "zeros", "full", "eye", "arange", "range", "linspace",
                 "logspace", "rand", "randn", "randint", "randperm", "normal", "tril_indices", "triu_indices", "tensor",
                 "as_tensor", "asarray", "scalar_tensor", "hann_window", "hamming_window", "blackman_window",
                 "bartlett_window", "kaiser_window")


class DeviceContext(TorchFunctionMode):
    """Inside of it the functions that make tensors do so on ``device``, unless they are told another."""

    def __init__(self, device: Any):
        self.device = Device(device)
        is_meta(self.device)
        self.makers = {getattr(diya, name) for name in _CONSTRUCTORS} | {diya.fft.fftfreq, diya.fft.rfftfreq}

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in self.makers and kwargs.get("device") is None:
            kwargs["device"] = self.device
        return func(*args, **kwargs)


class _Entered(threading.local):
    def __init__(self):
        self.contexts: list[DeviceContext | None] = []  # None: the device is the one that it was, and nothing was done


_entered = _Entered()
_default: DeviceContext | None = None


def current() -> Device:
    """The device that tensors are made on."""
    return next((c.device for c in reversed(_entered.contexts) if c is not None), _default.device if _default else CPU)


def enter(device: Device) -> None:
    context = None
    if is_meta(device) or current() != device:
        context = DeviceContext(device)
        context.__enter__()
    _entered.contexts.append(context)


def leave() -> None:
    context = _entered.contexts.pop()
    if context is not None:
        context.__exit__()


def set_default(device: Any) -> None:
    global _default
    device = CPU if device is None else Device(device)
    wanted = DeviceContext(device) if is_meta(device) else None
    if _default is not None:
        _default.__exit__()
    _default = wanted
    if wanted is not None:
        wanted.__enter__()
