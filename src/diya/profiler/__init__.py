"""``torch.profiler``: where the time of a program goes.

Events are the ranges that `record_function` marks, the runs of programs, and in each run its kernels, host steps or, the first
time that a program is met, its operations as numpy runs them. An operator has no event: several become one kernel, which is
named after them and run when a value is looked at, at `Optimizer.step()`, or where the profile begins, steps and ends. So a
range around the forward pass holds the time of recording it (its "Self CPU"), and the programs run in whichever range observes.
``profile_memory`` is known of compiled programs alone: what a run allocates. ``torch.explain(function, time=True)`` times each
kernel of a function over many runs and needs no loop.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from enum import Enum
from time import perf_counter_ns, time_ns
from typing import Any

from .._absent import absent


class ProfilerActivity(Enum):
    CPU, XPU, MTIA, CUDA, HPU, PrivateUse1 = range(6)


class ProfilerAction(Enum):
    NONE, WARMUP, RECORD, RECORD_AND_SAVE = range(4)


def supported_activities() -> set[ProfilerActivity]:
    return {ProfilerActivity.CPU}


def kineto_available() -> bool:
    """Whether PyTorch's tracing library is there: it is not, diya measures by itself."""
    return False


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
    """A range in the profile, as context or decorator; nothing where no profile is taken."""

    def __init__(self, name: str, args: str | None = None):
        self.name, self.args = name, args

    def __enter__(self) -> record_function:
        self._began = perf_counter_ns()
        return self

    def __exit__(self, *exc) -> None:
        from . import recorder
        if recorder.active is not None:
            recorder.active.mark(self.name, self._began)

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def call(*args, **kwargs):
            with record_function(self.name, self.args):
                return function(*args, **kwargs)
        return call


_RECORDS = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


class profile:
    """Records what runs between start and stop, or in the steps that ``schedule`` chooses; a cycle's events replace those of
    the one before. Pending work is run where recording begins, at each recorded `step` and at the end.

    ``counts`` is a dict of the engine's counters and ``seconds`` the wall time of what was recorded last. ``with_stack`` keeps
    the user's lines of each kernel; programs are then planned anew, in the steps of warming up if there are two.
    """

    def __init__(self, *, activities: Iterable[ProfilerActivity] | None = None, schedule: Callable | None = None,
                 on_trace_ready: Callable[..., Any] | None = None, record_shapes: bool = False, profile_memory: bool = False,
                 with_stack: bool = False, with_flops: bool = False, with_modules: bool = False, experimental_config=None,
                 execution_trace_observer=None, acc_events: bool = False, use_cuda: bool | None = None,
                 custom_trace_id_callback=None, post_processing_timeout_s: float | None = None):
        self.activities = set(supported_activities() if activities is None else activities)
        if not self.activities:
            raise AssertionError("No valid profiler activities found")
        if self.activities != {ProfilerActivity.CPU} or use_cuda:
            import warnings
            warnings.warn("diya computes on the CPU alone: other activities are not profiled", UserWarning, stacklevel=2)
        for name, value in {"with_modules": with_modules, "experimental_config": experimental_config, "acc_events": acc_events,
                            "execution_trace_observer": execution_trace_observer,
                            "custom_trace_id_callback": custom_trace_id_callback}.items():
            if value:
                raise NotImplementedError(f"torch.profiler.profile: {name} is not supported")
        self.schedule, self.on_trace_ready = schedule, on_trace_ready
        self.record_shapes, self.with_stack = record_shapes, with_stack
        self.profile_memory, self.with_flops = profile_memory, with_flops
        self.step_num, self.counts, self.seconds = 0, {}, 0.0
        self._recorder: Any = None
        self._action = ProfilerAction.NONE
        self._metadata: dict[str, str] = {}
        self._lines: Any = None  # an `engine.Lines` that was entered

    def start(self) -> None:
        self._enter(self.schedule(self.step_num) if self.schedule is not None else ProfilerAction.RECORD)

    def stop(self) -> None:
        try:
            self._leave(self._action in _RECORDS)
        finally:
            self._action = ProfilerAction.NONE
            self._keep_lines(False)

    def step(self) -> None:
        """The end of one step of a training loop."""
        self.step_num += 1
        if self._action in _RECORDS:
            self._end_step()
        if self.schedule is None:
            return
        action = self.schedule(self.step_num)
        if self._action is ProfilerAction.RECORD and action in _RECORDS:
            self._action = action
        else:
            self._leave(self._action in _RECORDS)
            self._enter(action)

    def _enter(self, action: ProfilerAction) -> None:
        self._action = action
        self._keep_lines(self.with_stack and action is not ProfilerAction.NONE)
        if action in _RECORDS:
            from .recorder import Recorder
            recorder = Recorder(self.record_shapes)
            try:
                recorder.start()
            except RuntimeError:
                self._action = ProfilerAction.NONE
                self._keep_lines(False)
                raise
            self._recorder, self._step_began = recorder, perf_counter_ns()

    def _keep_lines(self, wanted: bool) -> None:
        from ..engine import Lines
        if wanted and self._lines is None:
            self._lines = Lines().__enter__()
        elif not wanted and self._lines is not None:
            lines, self._lines = self._lines, None
            lines.__exit__()

    def _end_step(self) -> None:
        from ..engine import flush
        flush()
        self._recorder.mark(f"ProfilerStep#{self.step_num - 1}", self._step_began)
        self._step_began = perf_counter_ns()

    def _leave(self, recorded: bool) -> None:
        if not recorded:
            return
        self._recorder.stop()
        self.counts, self.seconds = self._recorder.counts, (self._recorder.ended - self._recorder.began) * 1e-9
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc) -> None:
        self.stop()

    def events(self):
        """Every `FunctionEvent`, in the order of time."""
        if self._recorder is None:
            raise AssertionError("Profiler must be initialized before its events are asked for: nothing was recorded yet")
        if not hasattr(self._recorder, "ended"):
            raise RuntimeError("the profile is still recording: ask for its events after stop(), or in on_trace_ready")
        found = self._recorder.events
        for e in found:
            e.flops = e.flops if self.with_flops else 0
            e.nbytes = e.nbytes if self.with_flops else 0
            e.cpu_memory_usage = e.cpu_memory_usage if self.profile_memory else 0
        return found

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False):
        """Sums of events by name; ``print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))``."""
        return self.events().key_averages(group_by_input_shape, group_by_stack_n)

    def export_chrome_trace(self, path: str) -> None:
        """Writes the trace for https://ui.perfetto.dev or chrome://tracing; compressed if the path ends in .gz."""
        self.events().export_chrome_trace(path, self._metadata)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Writes lines and times for a flame graph; needs ``with_stack=True``."""
        if not self.with_stack:
            raise AssertionError("export_stacks() requires with_stack=True")
        self.events().export_stacks(path, metric)

    def add_metadata(self, key: str, value: str) -> None:
        """A string that is written into the trace."""
        self._metadata[key] = str(value)

    def add_metadata_json(self, key: str, value: str) -> None:
        """As `add_metadata`, for a value that is JSON."""
        import json
        self._metadata[key] = json.loads(value)

    def export_memory_timeline(self, path: str, device: str | None = None) -> None:
        raise NotImplementedError("torch.profiler.profile.export_memory_timeline is not supported: a program's memory is one plan. "
                                  "torch.explain(function)['memory'] shows it")


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False,
                              use_python_export: bool = False) -> Callable[[profile], None]:
    """An ``on_trace_ready`` that writes each trace to a file of its own in a folder, named as TensorBoard's plugin wants it."""
    import os

    def write(profiled: profile) -> None:
        import socket
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        name = f"{worker}.{time_ns()}.pt.trace.json" + (".gz" if use_gzip else "")
        profiled.export_chrome_trace(os.path.join(dir_name, name))
    return write


__getattr__ = absent(__name__, "ExecutionTraceObserver KinetoStepTracker itt", "diya's profiler measures programs and kernels")
