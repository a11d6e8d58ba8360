"""``torch.while_loop``: a function again and again, while a condition holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def while_loop(cond_fn: Callable, body_fn: Callable, carried_inputs: tuple | list) -> Any:
    """What ``carried_inputs`` become by ``body_fn(*carried)`` for as long as ``cond_fn(*carried)`` is true."""
    if not callable(cond_fn) or not callable(body_fn):
        raise RuntimeError("Expect cond_fn and body_fn to be callable.")
    if not isinstance(carried_inputs, (tuple, list)):
        raise RuntimeError(f"Expect carried_inputs to be a tuple or list, got {type(carried_inputs).__name__}")
    carried = tuple(carried_inputs)
    while bool(cond_fn(*carried)):
        result = body_fn(*carried)
        carried = tuple(result) if isinstance(result, (tuple, list)) else (result,)
        if len(carried) != len(carried_inputs):
            raise RuntimeError(f"body_fn should return the same number of elements as carried_inputs ({len(carried_inputs)}), got "
                               f"{len(carried)}")
    return carried
