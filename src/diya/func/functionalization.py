"""``functionalize``: writes in place as values. Every program here is recorded that way, so it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps


def functionalize(func: Callable, *, remove: str = "mutations") -> Callable:
    """``func``, whose in-place writes are recorded as new values in any case (see `diya.storage`)."""
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(f"functionalize(f, remove=...): Valid options for `remove` are \"mutations\", \"mutations_and_views\". "
                           f"Got: {remove}")

    @wraps(func)
    def call(*args, **kwargs):
        return func(*args, **kwargs)
    return call
