"""Modules that keep nothing for backward and are computed again there."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Any

from ...._absent import absent
from ....nn import Module
from ....utils.checkpoint import checkpoint

__getattr__ = absent(__name__, "OffloadWrapper offload_wrapper", "diya computes on 'cpu', from which nothing is offloaded")

_PREFIX = "_checkpoint_wrapped_module"


class CheckpointImpl(Enum):
    REENTRANT = auto()
    NO_REENTRANT = auto()


class CheckpointWrapper(Module):
    """``module`` through `torch.utils.checkpoint.checkpoint`; its attributes, and its state dict, are the module's."""

    def __init__(self, mod: Module, checkpoint_impl: CheckpointImpl = CheckpointImpl.NO_REENTRANT,
                 checkpoint_fn: Callable | None = None, **checkpoint_fn_kwargs: Any):
        super().__init__()
        self._checkpoint_wrapped_module = mod
        self.checkpoint_impl = checkpoint_impl
        self.checkpoint_fn = partial(checkpoint_fn, **checkpoint_fn_kwargs) if checkpoint_fn is not None else \
            partial(checkpoint, use_reentrant=checkpoint_impl is CheckpointImpl.REENTRANT, **checkpoint_fn_kwargs)
        self._register_state_dict_hook(self._without_prefix)
        self._register_load_state_dict_pre_hook(self._with_prefix)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.checkpoint_fn(self._checkpoint_wrapped_module, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__(_PREFIX), name)

    def __getitem__(self, key: int) -> Any:
        return self._checkpoint_wrapped_module[key]  # pyright: ignore[reportIndexIssue]

    def named_parameters(self, *args: Any, **kwargs: Any):
        for name, parameter in super().named_parameters(*args, **kwargs):
            yield name.replace(_PREFIX + ".", ""), parameter

    @staticmethod
    def _without_prefix(module: Module, state: dict, prefix: str, *_: Any) -> dict:
        for key in [k for k in state if k.startswith(f"{prefix}{_PREFIX}.")]:
            state[prefix + key[len(f"{prefix}{_PREFIX}."):]] = state.pop(key)
        return state

    @staticmethod
    def _with_prefix(state: dict, prefix: str, *_: Any) -> None:
        for key in [k for k in state if k.startswith(prefix)]:
            state[f"{prefix}{_PREFIX}.{key[len(prefix):]}"] = state.pop(key)


def checkpoint_wrapper(module: Module, checkpoint_impl: CheckpointImpl = CheckpointImpl.NO_REENTRANT,
                       checkpoint_fn: Callable | None = None, **checkpoint_fn_kwargs: Any) -> Module:
    """`CheckpointWrapper` around a module."""
    return CheckpointWrapper(module, checkpoint_impl, checkpoint_fn, **checkpoint_fn_kwargs)


def apply_activation_checkpointing(model: Module, checkpoint_wrapper_fn: Callable = checkpoint_wrapper,
                                   check_fn: Callable = lambda _: True, auto_wrap_policy: Callable | None = None) -> None:
    """Wraps, in place, the modules below ``model`` for which ``check_fn(module)`` is true, from the innermost on."""
    if auto_wrap_policy is not None:
        raise NotImplementedError("apply_activation_checkpointing(auto_wrap_policy=...) is not supported: give check_fn")

    def wrap(parent: Module) -> None:
        for name, child in list(parent.named_children()):
            wrap(child)
            if check_fn(child):
                setattr(parent, name, checkpoint_wrapper_fn(child))
    wrap(model)
