"""A function of each element along the first dimension (``torch._higher_order_ops.map``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .scan import scan


def map(f: Callable, xs: Any, *args: Any) -> Any:
    """``f(x, *args)`` for every ``x`` along dimension 0 of ``xs``, stacked."""
    return scan(lambda carry, x: (carry, f(x, *args)), (), xs)[1]
