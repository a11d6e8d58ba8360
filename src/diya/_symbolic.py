"""Symbolic numbers (``torch.SymInt`` and what works on them), of which there are none, and assertions (``torch._check``).

Sizes here are plain numbers, so ``sym_*`` are Python's own operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .tensor import Tensor


class SymInt:
    """No object is one: sizes are ints."""


class SymFloat:
    """No object is one."""


class SymBool:
    """No object is one."""


def sym_int(a) -> int:
    return int(a)


def sym_float(a) -> float:
    return float(a)


def sym_not(a) -> bool:
    return not a


def sym_sqrt(a) -> float:
    return math.sqrt(a)


def sym_max(a, b):
    """The greater, a float if either is."""
    return float(max(a, b)) if isinstance(a, float) or isinstance(b, float) else max(a, b)


def sym_min(a, b):
    """The lesser, a float if either is."""
    return float(min(a, b)) if isinstance(a, float) or isinstance(b, float) else min(a, b)


def sym_ite(b, t, f):
    return t if b else f


def sym_sum(args):
    return sum(args)


def sym_fresh_size(expr):
    return expr


def sym_constrain_range(a, *, min=None, max=None) -> None:
    """Checks a plain number. Raises RuntimeError outside of the range."""
    if min is not None and a < min or max is not None and a > max:
        raise RuntimeError(f"Invalid value range for {a} between [{min}, {max}].")


sym_constrain_range_for_size = sym_constrain_range


def _check_with(error: type[Exception], cond: bool, message: Callable[[], Any] | str | None = None) -> None:
    """Raises ``error`` unless ``cond``; ``message`` is called only then."""
    if not isinstance(cond, bool):
        raise TypeError(f"cond must be a bool, but got {type(cond)}")
    if not cond:
        raise error("Expected cond to be True, but got False." if message is None else
                    str(message() if callable(message) else message))


def _check(cond: bool, message=None) -> None:
    _check_with(RuntimeError, cond, message)


def _check_value(cond: bool, message=None) -> None:
    _check_with(ValueError, cond, message)


def _check_type(cond: bool, message=None) -> None:
    _check_with(TypeError, cond, message)


def _check_index(cond: bool, message=None) -> None:
    _check_with(IndexError, cond, message)


def _check_not_implemented(cond: bool, message=None) -> None:
    _check_with(NotImplementedError, cond, message)


def _check_is_size(i: int, message=None, *, max: int | None = None) -> None:
    _check(i >= 0 and (max is None or i <= max), message)


def _check_tensor_all_with(error: type[Exception], cond: Tensor, message=None) -> None:
    """Raises ``error`` unless all elements of a bool tensor are True."""
    if not isinstance(cond, Tensor):
        raise TypeError(f"cond must be a tensor, but got {type(cond)}")
    _check_with(error, bool(cond.all().item()), message)


def _check_tensor_all(cond: Tensor, message=None) -> None:
    _check_tensor_all_with(RuntimeError, cond, message)


def _assert(condition, message) -> None:
    """``assert`` that a tracer of `torch.fx` records."""
    if type(condition) is not bool and hasattr(condition, "__torch_function__") and not isinstance(condition, Tensor):
        from .overrides import handle_torch_function
        return handle_torch_function(_assert, (condition,), condition, message)
    assert condition, message


def _assert_async(input: Tensor, assert_msg: str = "Expected Tensor with single nonzero value, but got zero") -> None:
    """Raises RuntimeError if a tensor of one element is zero."""
    if not input.item():
        raise RuntimeError(assert_msg)


def is_symbolic(obj: Any) -> bool:
    return False
