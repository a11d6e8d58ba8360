"""``torch.profiler``: schedules and labels are real; operator timings are refused, because operators do not run one by one.

What ran is in ``torch.counters`` and ``torch.explain``.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from ..counters import counters


class ProfilerActivity(Enum):
    CPU, XPU, MTIA, CUDA, HPU, PrivateUse1 = range(6)


class ProfilerAction(Enum):
    NONE, WARMUP, RECORD, RECORD_AND_SAVE = range(4)


def schedule(*, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0,
             ) -> Callable[[int], ProfilerAction]:
    """A function from step to action: ``wait`` steps idle, ``warmup`` steps, ``active`` steps recorded, ``repeat`` times."""
    if wait < 0 or warmup < 0 or active < 1 or repeat < 0 or skip_first < 0:
        raise AssertionError(f"Invalid profiler schedule arguments: expected wait, warmup, repeat, skip_first >= 0 and "
                             f"active > 0, got {wait}, {warmup}, {repeat}, {skip_first} and {active}")
    length = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        if repeat and step // length >= repeat:
            return ProfilerAction.NONE
        at = step % length
        if at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if at < length - 1 else ProfilerAction.RECORD_AND_SAVE
    return action


class record_function:
    """A label around a piece of code, as context or decorator. Labels change nothing: programs run when values are read."""

    def __init__(self, name: str, args: str | None = None):
        self.name, self.args = name, args

    def __enter__(self) -> record_function:
        return self

    def __exit__(self, *exc) -> None:
        pass

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def call(*args, **kwargs):
            with self:
                return function(*args, **kwargs)
        return call


class profile:
    """Counts what the engine did and the time between start and stop.

    ``counts`` is a dict of the engine's counters, ``seconds`` the wall time; pending work is run at both ends, so that
    both belong to the code between. ``on_trace_ready(self)`` is called as in PyTorch. Tables and traces of single
    operators raise NotImplementedError: operators are compiled together and have no time of their own.
    """

    def __init__(self, *, activities: Iterable[ProfilerActivity] | None = None, schedule: Callable | None = None,
                 on_trace_ready: Callable[..., Any] | None = None, record_shapes: bool = False, profile_memory: bool = False,
                 with_stack: bool = False, with_flops: bool = False, with_modules: bool = False, **options):
        self.schedule, self.on_trace_ready = schedule, on_trace_ready
        self.step_num, self.counts, self.seconds = 0, {}, 0.0

    def start(self) -> None:
        from ..engine import flush
        flush()
        self._counts, self._began = counters.as_dict(), time.perf_counter()

    def stop(self) -> None:
        self._measure()
        if self.on_trace_ready is not None and self.schedule is None:
            self.on_trace_ready(self)

    def _measure(self) -> None:
        from ..engine import flush
        flush()
        self.seconds = time.perf_counter() - self._began
        self.counts = {name: count - self._counts[name] for name, count in counters.as_dict().items()}

    def step(self) -> None:
        """The end of one step of a training loop."""
        if self.schedule is not None and self.schedule(self.step_num) is ProfilerAction.RECORD_AND_SAVE:
            self._measure()
            if self.on_trace_ready is not None:
                self.on_trace_ready(self)
        self.step_num += 1

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc) -> None:
        self.stop()

    def __getattr__(self, name: str):
        if name in ("key_averages", "events", "export_chrome_trace", "export_stacks", "export_memory_timeline"):
            raise NotImplementedError(f"torch.profiler.profile.{name} is not supported: operators are compiled together and "
                                      f"have no time of their own. Use .counts and .seconds, or torch.explain(function)")
        raise AttributeError(f"'profile' object has no attribute {name!r}")


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False):
    raise NotImplementedError("torch.profiler.tensorboard_trace_handler is not supported: there are no traces of operators")
