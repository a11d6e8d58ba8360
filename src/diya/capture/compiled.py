"""What `torch.compile` returns: a function that knows the calls it has captured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from .. import engine
from ..autograd.modes import modes
from ..engine import NotCapturable
from .region import Region, capture

MAX_REGIONS = 8   # of one function: more kinds of calls than that run as they are written
MAX_FAILURES = 3  # captures that failed, after which none is tried

_every: WeakSet[Compiled] = WeakSet()


class Compiled:
    """``function`` (or a module), captured for each kind of call it gets. ``whole``: what cannot be captured is an error.
    ``subject`` is what is evaluated, where that is not the function that is called otherwise."""

    def __init__(self, function: Callable, whole: bool = False, subject: Callable | None = None):
        self.function, self.whole, self.subject = function, whole, subject or function
        self.regions: list[Region] = []
        self.failures = 0
        self.reason: NotCapturable | None = None  # why the last capture failed
        _every.add(self)

    def __call__(self, args: tuple, kwargs: dict) -> Any:
        if modes.levels or modes.autocast is not None or modes.function_modes or modes.saved_hooks or modes.inference \
                or modes.dual or modes.anomaly or engine.debug_lines or engine.batched or engine.capturing is not None or _hooks():
            return self.function(*args, **kwargs)
        grad = modes.grad
        regions = self.regions
        for region in regions:
            if region.grad is grad:
                found = region.guard(args, kwargs)
                if found is not None:
                    return region.run(*found)
        if len(regions) < MAX_REGIONS and self.failures < MAX_FAILURES:
            found = self._capture(args, kwargs)
            if found is not None:
                return regions[-1].run(*found)
        return self.function(*args, **kwargs)

    def _capture(self, args: tuple, kwargs: dict) -> tuple | None:
        try:
            region = capture(self.subject, args, kwargs)
        except NotCapturable as refused:
            self.reason = refused.with_traceback(None)  # its frames would keep alive what was recorded
            refused.__context__ = None
        except Exception as error:  # the function's own, or of an operator: running it as it is written says so properly
            self.reason = NotCapturable(f"fails: {type(error).__name__}: {error}")
        else:
            found = region.guard(args, kwargs)
            if found is not None:
                self.regions.append(region)
                return found
            self.reason = NotCapturable("looks at something that is another each time")
        self.failures += 1
        if self.whole:
            name = getattr(self.function, "__qualname__", type(self.function).__name__)
            raise RuntimeError(f"torch.compile(fullgraph=True): {name} cannot be captured, as it {self.reason}") from None
        return None

    def forget(self) -> None:
        self.regions.clear()
        self.failures = 0


def forget() -> None:
    """Forgets what was captured of every function."""
    from . import syntax
    for compiled in list(_every):
        compiled.forget()
    syntax.forget()


def _hooks() -> bool:
    """Whether hooks of every module are on."""
    global _hooks
    from ..nn.modules.module import global_hooks
    _hooks = global_hooks
    return global_hooks()
