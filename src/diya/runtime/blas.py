"""How many threads numpy's BLAS takes while diya calls it: one while a program is interpreted, else as many as diya may take.

Its threads wait for each other by spinning. Where cores are taken (by the thread that compiles the program meanwhile, by other
processes) a product on two threads takes many times as long as on one.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

_lock = threading.Lock()
_inside = 0   # how many blocks are running
_before = 0   # threads, when the first of them began


def _after_fork() -> None:
    global _lock, _inside
    _lock, inside, _inside = threading.Lock(), _inside, 0  # blocks of other threads never end in the child
    if inside:
        _functions()[1](_before)  # type: ignore[index]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@cache
def _functions() -> tuple[Callable[[], int], Callable[[int], Any]] | None:
    """OpenBLAS's (get, set) of the number of threads; None for another BLAS."""
    import numpy as np
    try:
        library = ctypes.CDLL(np.linalg._umath_linalg.__file__)  # pyright: ignore[reportAttributeAccessIssue]  # and what it is linked to
    except (AttributeError, OSError):
        return None
    for prefix in ("scipy_openblas", "openblas"):
        for suffix in ("64_", "_64", ""):
            found = [getattr(library, f"{prefix}_{verb}_num_threads{suffix}", None) for verb in ("get", "set")]
            if all(found):
                return found[0], found[1]  # type: ignore[return-value]
    return None


class Threads:
    """``with Threads(count)``: products in the block take at most so many threads. Of blocks that overlap the first decides."""

    def __init__(self, count: int):
        self.count = count

    def __enter__(self) -> None:
        global _inside, _before
        functions = _functions()
        if functions is not None:
            with _lock:
                if not _inside:
                    _before = functions[0]()
                    if self.count < _before:
                        functions[1](self.count)
                _inside += 1

    def __exit__(self, *_) -> None:
        global _inside
        functions = _functions()
        if functions is not None:
            with _lock:
                _inside -= 1
                if not _inside:
                    functions[1](_before)
