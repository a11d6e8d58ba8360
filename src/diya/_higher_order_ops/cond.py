"""``torch.cond``: one of two functions, as a value says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tensor import Tensor


def cond(pred: Any, true_fn: Callable, false_fn: Callable, operands: tuple | list = ()) -> Any:
    """``true_fn(*operands)`` if ``pred`` (a bool, or a tensor of one element) is true, else ``false_fn(*operands)``."""
    if not isinstance(pred, (bool, int, float, Tensor)):
        raise RuntimeError(f"Expected pred to be bool or tensor, but got {type(pred).__name__}")
    if isinstance(pred, Tensor) and pred.numel() != 1:
        raise RuntimeError(f"Expected pred to be bool or single-element tensor, but got one of size {list(pred.shape)}")
    if not callable(true_fn) or not callable(false_fn):
        raise RuntimeError("Expect both branches to be callable.")
    if not isinstance(operands, (tuple, list)):
        raise RuntimeError(f"Expect operands to be a tuple of possibly nested dict/list/tuple, got {type(operands).__name__}")
    return (true_fn if bool(pred) else false_fn)(*operands)
