"""The time of each kernel of a program: its steps are run one at a time, on its own buffers.

A program runs all of its kernels by one native call. While `compiler.pipeline.watch` is set it asks that instead what to run,
and gets its steps one by one, between readings of a clock. What a reading costs is measured and taken off.
"""

from __future__ import annotations

import linecache
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from ..compiler import pipeline
from ..compiler.explain import Work, work
from ..runtime.buffer import allocate
from ..runtime.cpu.replay import Replay
from ..runtime.cpu.threads import get_num_threads

SECONDS = 0.3          # that a program is run for, again and again
LEAST, MOST = 5, 101   # times

_apart: WeakKeyDictionary[Any, list] = WeakKeyDictionary()
_works: WeakKeyDictionary[Any, list[Work]] = WeakKeyDictionary()


def clock() -> Callable[[], int]:
    """Nanoseconds: of one thread's CPU time, which other processes hardly change; of wall time where several threads work."""
    return time.thread_time_ns if get_num_threads() == 1 else time.perf_counter_ns


def apart(program) -> list:
    """The segments of a program with one step in each."""
    found = _apart.get(program)
    if found is None:
        found = _apart[program] = [one for s in program.segments for one in
                                   ([Replay([step]) for step in s.steps] if isinstance(s, Replay) else [s])]
    return found


def work_of(program) -> list[Work]:
    """What each of those has to do."""
    found = _works.get(program)
    if found is None:
        found = _works[program] = work(program)
    return found


def steps(segments: list, now: Callable[[], int], note: Callable[[int, int, int], Any]) -> Iterator:
    """Segments for a program's run; ``note`` is told the position of each, and the clock before and after."""
    for k, segment in enumerate(segments):
        began = now()
        yield segment
        note(k, began, now())


def overhead(now: Callable[[], int]) -> int:
    """What a step that does nothing seems to take."""
    slots = allocate(64)
    taken = []
    for segment in steps([Replay([])] * 200, now, lambda k, began, ended: taken.append(ended - began)):
        segment.run(slots.address)
    return int(statistics.median(taken))


class Timed(NamedTuple):
    """A program's steps (see `compiler.explain.Work`), the median of the seconds that each took, how often they were run to
    find out, and the median of a run by one call."""

    work: list[Work]
    seconds: list[float]
    rounds: int
    whole: float
    threads: int

    def __str__(self) -> str:
        return table(self)


def measure(program, arguments: list, seconds: float = SECONDS) -> Timed:
    """Runs a program again and again, on copies of the arguments that it overwrites."""
    copies = list(arguments)
    positions = {i: k for k, i in enumerate(program.graph.arguments)}
    for i in program.graph.donated:
        k = positions[i]
        copies[k] = allocate(arguments[k].nbytes)
        copies[k].array[:] = arguments[k].array
    now = clock()
    found: list[list[int]] = [[] for _ in apart(program)]
    whole: list[int] = []
    before, end = pipeline.watch, time.perf_counter() + seconds

    def note(k: int, began: int, ended: int) -> None:
        found[k].append(ended - began)

    try:
        while len(whole) < LEAST or len(whole) < MOST and time.perf_counter() < end:
            pipeline.watch = None
            start = now()
            program.run(copies)
            whole.append(now() - start)
            pipeline.watch = lambda program, _: steps(apart(program), now, note)
            program.run(copies)
    finally:
        pipeline.watch = before
    cost = overhead(now)
    medians = [max(statistics.median(taken) - cost, 0) * 1e-9 if taken else 0.0 for taken in found]  # none: a fault came before
    return Timed(work_of(program), medians, len(whole), statistics.median(whole) * 1e-9, get_num_threads())


class Watch:
    """``with Watch() as w``: every program is measured when it runs for the first time. ``w.programs``: each with its figures
    and how often it ran."""

    def __enter__(self) -> Watch:
        self.programs: dict[Any, list] = {}
        self.before, pipeline.watch = pipeline.watch, self._watch
        return self

    def __exit__(self, *_) -> None:
        pipeline.watch = self.before

    def _watch(self, program, arguments) -> list:
        if program in self.programs:
            self.programs[program][1] += 1
        else:
            self.programs[program] = [measure(program, arguments), 1]
        return program.segments


# -- tables ------------------------------------------------------------------------------------------------------------

ROWS = 40


def duration(seconds: float) -> str:
    if seconds < 9.95e-6:
        return f"{seconds * 1e6:.1f} µs"
    if seconds < 9.995e-4:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def rate(amount: float, seconds: float) -> str:
    """Billions a second."""
    return f"{amount / seconds * 1e-9:.1f}" if amount and seconds else "–"


def source(where: tuple[str, int, str]) -> str:
    """A line of the user's code, as it stands in the file."""
    file, line, function = where
    text = linecache.getline(file, line).strip()
    text = text if len(text) <= 80 else text[:79] + "…"
    backward = " backward" if function.endswith("(backward)") else ""
    return f"{os.path.basename(file)}:{line}{backward}" + (f"  {text}" if text else "")


def table(timed: Timed, rows: int = ROWS) -> str:
    """Steps with what they do from the slowest to the fastest; those that do the same for the same lines are one row."""
    kernels = sum(w.kind != "host" for w in timed.work)
    total = sum(timed.seconds)
    same: dict[Work, list] = {}
    for w, seconds in zip(timed.work, timed.seconds, strict=True):
        row = same.setdefault(w, [0, 0.0])
        row[0] += 1
        row[1] += seconds
    order = sorted(same.items(), key=lambda item: -item[1][1])
    host = len(timed.work) - kernels
    kind = "CPU time of one thread" if timed.threads == 1 else f"wall time, {timed.threads} threads"
    what = _count(kernels, "kernel") + (f" and {_count(host, 'host step')} (run by numpy)" if host else "")
    lines = [f"{what}: {duration(total)} one by one, {duration(timed.whole)} in one run ({kind}, medians of {timed.rounds} runs)",
             "", f"{'time':>8}  {'share':>6}  {'calls':>5}  {'GFLOP/s':>8}  {'GB/s':>6}  what"]
    for w, (calls, seconds) in order[:rows]:
        share = seconds / total if total else 0
        lines.append(f"{duration(seconds):>8}  {share:>6.1%}  {calls:>5}  {rate(w.flops * calls, seconds):>8}  "
                     f"{rate(w.nbytes * calls, seconds):>6}  {'host: ' if w.kind == 'host' else ''}{w.name}  {w.sizes}")
        lines += [f"{'':>43}{source(where)}" for where in w.lines[:4]]
        if len(w.lines) > 4:
            lines.append(f"{'':>43}and {_count(len(w.lines) - 4, 'more line')}")
    if len(order) > rows:
        rest = sum(seconds for _, (_, seconds) in order[rows:])
        lines.append(f"{duration(rest):>8}  {rest / total:>6.1%}  in {len(order) - rows} more rows")
    return "\n".join(lines)


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")
