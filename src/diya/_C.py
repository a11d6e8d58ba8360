"""The few names of PyTorch's binary module (``torch._C``) that libraries ask for. There is no binary module here."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any

from ._absent import absent
from .autograd import is_grad_enabled as is_grad_enabled
from .autograd import set_grad_enabled as _set_grad_enabled  # noqa: F401
from .autograd.modes import modes
from .device import device as device
from .dtypes import dtype as dtype
from .graph import Size as Size
from .random import Generator as Generator


def _log_api_usage_once(event: str) -> None:
    """PyTorch's telemetry hook. Nothing is logged, here as in PyTorch's public builds."""


def _get_tracing_state() -> None:
    """None: no TorchScript tracer is ever active."""


def _are_functorch_transforms_active() -> bool:
    """Whether a `torch.func` transform that wraps tensors is running: never, transforms here compose functions."""
    return False


class DispatchKey(Enum):
    """Names of PyTorch's dispatcher, which is not here: diya's operators have one implementation."""

    CPU, CUDA, XPU, Meta, AutocastCPU, AutocastCUDA, AutocastXPU, AutogradCPU, AutogradCUDA, Autograd, ADInplaceOrView, \
        CompositeImplicitAutograd, CompositeExplicitAutograd, Python, Functionalize, FuncTorchBatched = range(16)


class DispatchKeySet(frozenset):
    """A set of `DispatchKey`."""

    def __new__(cls, keys: Any = ()):
        return super().__new__(cls, (keys,) if isinstance(keys, DispatchKey) else keys)

    def __or__(self, other: Any) -> DispatchKeySet:
        return DispatchKeySet(super().__or__(other))


class _ExcludeDispatchKeyGuard:
    """A block without some of the dispatcher's steps. Of those there is autocast here."""

    def __init__(self, keys: DispatchKeySet):
        self.autocast = DispatchKey.AutocastCPU in keys

    def __enter__(self) -> None:
        self.previous = modes.autocast
        if self.autocast:
            modes.autocast = None

    def __exit__(self, *exc) -> None:
        modes.autocast = self.previous


class DisableTorchFunctionSubclass:
    """A block in which classes of tensors override nothing."""

    def __enter__(self) -> None:
        self.previous, modes.subclasses = modes.subclasses, False

    def __exit__(self, *exc) -> None:
        modes.subclasses = self.previous


class DisableTorchFunction(DisableTorchFunctionSubclass):
    """A block in which neither classes nor modes override anything."""

    def __enter__(self) -> None:
        super().__enter__()
        self.modes, modes.function_modes = modes.function_modes, ()

    def __exit__(self, *exc) -> None:
        super().__exit__()
        modes.function_modes = self.modes


def _disabled_torch_function_impl(function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
    """A ``__torch_function__`` that overrides nothing: results are plain tensors."""
    with DisableTorchFunctionSubclass():
        return function(*args, **(kwargs or {}))


def _get_default_device() -> str:
    from .utils._device import current
    return str(current())


def _get_accelerator() -> device:
    """The device that things are computed on."""
    return device("cpu")


def _get_privateuse1_backend_name() -> str:
    return "privateuseone"


_functorch = SimpleNamespace(is_batchedtensor=lambda tensor: False, is_legacy_batchedtensor=lambda tensor: False,
                             is_gradtrackingtensor=lambda tensor: False, is_functorch_wrapped_tensor=lambda tensor: False)
_TensorMeta = type


def _parse_to(*args: Any, **kwargs: Any) -> tuple:
    """What arguments of ``to`` mean: device, dtype, non_blocking, memory_format."""
    from .nn.modules.module import _parse_to
    return _parse_to(args, **kwargs)


_nn = SimpleNamespace(_parse_to=_parse_to)
__getattr__ = absent(__name__, "Argument Block CompilationUnit FunctionSchema Graph Node ScriptFunction ScriptModule Value",
                     "diya has no TorchScript and exports no graphs")
