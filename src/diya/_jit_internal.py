"""Helpers of TorchScript's that libraries borrow. Nothing here is scripted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Optional

from .jit import _overload, _overload_method, export, ignore, is_scripting, unused
from .jit.annotations import BroadcastingList1, BroadcastingList2, BroadcastingList3, Dict, List, Tuple, Union

__all__ = ["BroadcastingList1", "BroadcastingList2", "BroadcastingList3", "Dict", "Final", "List", "Optional", "Tuple", "Union",
           "_overload", "_overload_method", "boolean_dispatch", "export", "ignore", "is_scripting", "unused"]


def boolean_dispatch(arg_name: str, arg_index: int, default: bool, if_true: Callable, if_false: Callable, module_name: str,
                     func_name: str) -> Callable:
    """A function that is one or the other by a boolean argument."""
    def choose(*args: Any, **kwargs: Any) -> Any:
        chosen = kwargs.get(arg_name, args[arg_index] if len(args) > arg_index else default)
        return (if_true if chosen else if_false)(*args, **kwargs)
    choose.__name__, choose.__module__ = func_name, module_name
    return choose
