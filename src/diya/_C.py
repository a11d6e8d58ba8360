"""The few names of PyTorch's binary module (``torch._C``) that libraries ask for. There is no binary module here."""

from __future__ import annotations

from types import SimpleNamespace

from .autograd import is_grad_enabled as is_grad_enabled
from .autograd import set_grad_enabled as _set_grad_enabled  # noqa: F401
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


def _get_privateuse1_backend_name() -> str:
    return "privateuseone"


_functorch = SimpleNamespace(is_batchedtensor=lambda tensor: False, is_legacy_batchedtensor=lambda tensor: False,
                             is_gradtrackingtensor=lambda tensor: False, is_functorch_wrapped_tensor=lambda tensor: False)
