"""``torch.utils._python_dispatch``: calls below autograd go through no dispatcher here."""

from __future__ import annotations

from typing import Any

from .._absent import absent

__getattr__ = absent(__name__, "BaseTorchDispatchMode TorchDispatchMode return_and_correct_aliasing transform_subclass",
                     "diya has no __torch_dispatch__: use torch.overrides.TorchFunctionMode")


def is_traceable_wrapper_subclass(t: Any) -> bool:
    """False: no tensor wraps others."""
    return False


def is_traceable_wrapper_subclass_type(t: type) -> bool:
    return False


def is_in_torch_dispatch_mode(include_infra_modes: bool = True) -> bool:
    return False


def is_in_any_mode_without_ignore_compile_internals() -> bool:
    return False
