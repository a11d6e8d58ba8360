"""What `torch.compile` returns: a function that knows the calls it has captured."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .. import engine, recording
from ..autograd.modes import modes
from ..engine import NotCapturable

if TYPE_CHECKING:  # imported when something is captured: many programs end before
    from .region import Region

MAX_REGIONS = 8   # of one function: more kinds of calls than that run as they are written
MAX_FAILURES = 2  # captures that failed, after which none is tried
MAX_UNMET = 3     # regions that were never found again, after which none is made
MAX_MET = 64      # kinds of calls that are told apart before one comes again
MAX_HELD = 64 << 20  # bytes of parameters of modules that are called for the first time, before garbage is collected

enabled = os.environ.get("DIYA_CAPTURE", "1") != "0"  # whether modules are captured that nobody asked to compile


_held = 0  # bytes of parameters of modules since then


class Known(WeakSet):
    """Everything that captures calls."""

    def __len__(self) -> int:
        """How many calls are captured."""
        return sum(len(compiled.regions) for compiled in self)

    def clear(self) -> None:
        """Lets each forget what it captured."""
        for compiled in list(self):
            compiled.forget()


_every: Known = recording.memory(Known)


class Compiled:
    """``function`` (or a module), captured for each kind of call it gets. ``whole``: what cannot be captured is an error.
    ``subject`` is what is evaluated, where that is not the function that is called otherwise."""

    hidden = False

    def __init__(self, function: Callable, whole: bool = False, subject: Callable | None = None):
        self.function, self.whole, self.subject = function, whole, function if subject is None else subject
        self.regions: list[Region] = []
        self.failures = 0
        self.reason: NotCapturable | None = None  # why the last capture failed
        _every.add(self)

    def __call__(self, args: tuple, kwargs: dict) -> Any:
        if modes.levels or modes.autocast is not None or modes.function_modes or modes.saved_hooks or modes.inference \
                or modes.dual or modes.anomaly or engine.debug_lines or engine.drawing is not None or _hooks():
            return self._as_written(args, kwargs)
        grad = modes.grad
        regions = self.regions
        for region in regions:
            if region.grad is grad:
                found = region.guard(args, kwargs)
                if found is not None:
                    nodes, tensors, counts = found
                    if engine.carries_batch(nodes):  # has left its vmap
                        return self._as_written(args, kwargs)
                    region.met += 1
                    return region.run(nodes, tensors, counts, lambda region=region: self._again(region, args, kwargs))
        if len(regions) < MAX_REGIONS and self.failures < MAX_FAILURES and self._wanted(args, kwargs):
            found = self._capture(args, kwargs)
            if found is not None:
                region, nodes, tensors, counts = found
                if not engine.carries_batch(nodes):
                    return region.run(nodes, tensors, counts, lambda: self._again(region, args, kwargs))
        return self._as_written(args, kwargs)

    def _as_written(self, args: tuple, kwargs: dict) -> Any:
        return self.function(*args, **kwargs)

    def _again(self, region: Region, args: tuple, kwargs: dict) -> Any:
        """The captured call as it is written, if it would be the same."""
        return None if region.guard(args, kwargs) is None else self._as_written(args, kwargs)

    def _wanted(self, args: tuple, kwargs: dict) -> bool:
        """Whether such a call is to be captured."""
        return True

    def _capture(self, args: tuple, kwargs: dict) -> tuple | None:
        from .region import capture
        from .training import TooEarly
        try:
            region = capture(self.subject, args, kwargs, self.hidden)
        except NotCapturable as refused:
            self.reason = refused.with_traceback(None)  # its frames would keep alive what was recorded
            refused.__context__ = None
            if isinstance(refused, TooEarly):
                return None
        except Exception as error:  # the function's own, or of an operator: running it as it is written says so properly
            self.reason = NotCapturable(f"fails: {type(error).__name__}: {error}")
        else:
            found = region.guard(args, kwargs)
            if found is not None:
                self.regions.append(region)
                return region, *found
            self.reason = NotCapturable("looks at something that is another each time")
        self.failures += 1
        if self.whole:
            name = getattr(self.function, "__qualname__", type(self.function).__name__)
            raise RuntimeError(f"torch.compile(fullgraph=True): {name} cannot be captured, as it {self.reason}") from None
        return None

    def forget(self) -> None:
        self.regions.clear()
        self.failures = 0


class Remembered(Compiled):
    """What nobody asked to compile: captured when such a call is made for the second time, if that leaves no trace."""

    hidden = True

    def __init__(self, function: Callable, subject: Callable | None = None):
        super().__init__(function, False, subject)
        self.met: set = set()
        if not modes.called:
            _make_room(subject)

    def __call__(self, args: tuple, kwargs: dict) -> Any:
        # Inside of one that cannot be captured its parts would be many small pieces; a debugger wants to see the Python.
        if modes.called or sys.gettrace() is not None:
            return self.function(*args, **kwargs)
        return super().__call__(args, kwargs)

    def __reduce__(self):  # a copy of the module starts anew
        return type(None), ()

    def _as_written(self, args: tuple, kwargs: dict) -> Any:
        modes.called = True
        try:
            return self.function(*args, **kwargs)
        finally:
            modes.called = False

    def _wanted(self, args: tuple, kwargs: dict) -> bool:
        if not enabled:
            return False
        key = (modes.grad, *[_kind(x) for x in args], *kwargs)
        if key in self.met:
            return True
        if len(self.met) < MAX_MET:
            self.met.add(key)
        return False

    def _capture(self, args: tuple, kwargs: dict) -> tuple | None:
        unmet = [r for r in self.regions if not r.met]
        if len(unmet) >= MAX_UNMET:  # what it looks at is another each time
            self.regions = [r for r in self.regions if r.met]
            self.failures = MAX_FAILURES
            return None
        found = super()._capture(args, kwargs)
        if self.failures >= MAX_FAILURES and not self.regions and hasattr(self.subject, "_remembered"):
            self.subject.__dict__["_remembered"] = False
        return found


def _make_room(subject: Any) -> None:
    """Modules that were called refer to themselves, through what knows their calls, so those that are gone wait for Python's
    collector. It is run where such modules might hold much: it does not know of their parameters."""
    global _held
    own = sum([p._type.nbytes for p in subject.parameters()]) if hasattr(subject, "parameters") else 0
    if _held and _held + own > MAX_HELD and gc.isenabled():
        gc.collect()
        _held = 0
    _held += own


def _kind(x: Any) -> Any:
    type = getattr(x, "_type", None)
    return x.__class__ if type is None else (type, x._rg)


def forget() -> None:
    """Forgets what was captured of every function."""
    from . import syntax
    _every.clear()
    syntax.forget()


def _hooks() -> bool:
    """Whether hooks of every module are on."""
    global _hooks
    from ..nn.modules.module import global_hooks
    _hooks = global_hooks
    return global_hooks()
