"""What ran and when: ranges that the user marks, programs, and in them each kernel, host step or interpreted operation."""

from __future__ import annotations

import threading
from time import perf_counter_ns
from typing import Any

from .. import engine, interpret
from ..counters import counters
from .events import EventList, FunctionEvent

active: Recorder | None = None  # the one that records now

COMPILE = 100_000  # ns between a program's turn and its first kernel that are shown as waiting for its code


class _Run:
    """One run of a program: what is known of it while it goes on."""

    __slots__ = ("graph", "start", "end", "compiled", "thread")

    def __init__(self, graph):
        self.graph, self.start, self.compiled, self.thread = graph, perf_counter_ns(), None, threading.get_ident()
        self.end = self.start


class Recorder:
    """Records from `start` to `stop`; ``events`` are made of it when they are asked for.

    A compiled program's kernels are run one at a time with two readings of the clock around each, instead of all by one call:
    about a microsecond more for each, of which the measured cost of the readings is taken off.
    """

    def __init__(self, shapes: bool):
        self.shapes = shapes
        self.ranges: list[tuple] = []      # name, start, end, thread
        self.runs: list[_Run] = []
        self.parts: list[tuple] = []       # (program, step) or (primitive, types), start, end, thread
        self._current: dict[int, _Run] = {}
        self._events: EventList | None = None

    def start(self) -> None:
        global active
        if active is not None:
            raise RuntimeError("a profiler is running already: only one can at a time")
        self.cost = 0
        engine.flush()
        active = self
        engine.listeners.append(self._program)
        # The interpreter has no hook: it should cost nothing while nobody looks.
        self._apply, interpret._apply = interpret._apply, self._interpreted(interpret._apply)
        if engine.compiler() is not None:
            from ..compiler import pipeline
            from .timing import overhead
            self.cost = overhead(perf_counter_ns)
            self._before, pipeline.watch = pipeline.watch, self._compiled
        self.counts, self.began = counters.as_dict(), perf_counter_ns()

    def stop(self) -> None:
        global active
        try:
            engine.flush()
        finally:
            self.ended = perf_counter_ns()
            self.counts = {name: count - self.counts[name] for name, count in counters.as_dict().items()}
            active = None
            engine.listeners.remove(self._program)
            interpret._apply = self._apply
            if engine.compiler() is not None:
                from ..compiler import pipeline
                pipeline.watch = self._before

    def mark(self, name: str, began: int) -> None:
        """A range that ends now; one that began earlier than the profile begins with it."""
        self.ranges.append((name, max(began, self.began), perf_counter_ns(), threading.get_ident()))

    def _program(self, graph) -> None:
        run = self._current[threading.get_ident()] = _Run(graph)
        self.runs.append(run)

    def _compiled(self, program, arguments):
        from .timing import apart, steps
        thread = threading.get_ident()
        run = self._current.get(thread) or _Run(program.graph)
        begin = perf_counter_ns()
        if begin - run.start > COMPILE:
            self.ranges.append(("compile", run.start, begin, thread))
        run.compiled = program

        def note(k: int, start: int, end: int) -> None:
            run.end = max(start, end - self.cost)
            self.parts.append(((program, k), start, run.end, thread))
        return steps(apart(program), perf_counter_ns, note)

    def _interpreted(self, apply):
        def timed(op, attrs, types, *rest):
            thread = threading.get_ident()
            start = perf_counter_ns()
            try:
                return apply(op, attrs, types, *rest)
            finally:
                end = perf_counter_ns()
                run = self._current.get(thread)
                if run is not None:
                    run.end = end
                    if run.compiled is None:  # else it is a host step, which is noted as a step
                        self.parts.append(((op, types), start, end, thread))
        return timed

    @property
    def events(self) -> EventList:
        if self._events is None:
            made = [FunctionEvent(name, "user_annotation", start, end, thread) for name, start, end, thread in self.ranges]
            numbers: dict[Any, int] = {}
            for run in self.runs:
                number = numbers.setdefault(run.graph, len(numbers) + 1)
                tier = "interpreted" if run.compiled is None else "compiled"
                memory = 0 if run.compiled is None else run.compiled.counts["arena bytes"] + run.compiled.counts["outputs bytes"]
                made.append(FunctionEvent(f"program {number}, {tier}", "program", run.start, run.end, run.thread, memory=memory))
            made += [self._part(what[0], what[1], start, end, thread) for what, start, end, thread in self.parts]
            self._events = EventList(made)
            self._events.nest()
        return self._events

    def _part(self, owner, what, start: int, end: int, thread: int) -> FunctionEvent:
        if isinstance(what, int):
            from .timing import work_of
            w = work_of(owner)[what]
            stack = [f"{file}({line}): {function}" for file, line, function in w.lines]
            name = f"host: {w.name}" if w.kind == "host" else w.name
            return FunctionEvent(name, w.kind, start, end, thread, w.sizes if self.shapes else "", stack, w.flops, w.nbytes)
        shapes = ", ".join([str(list(t.shape)) for t in what if not isinstance(t, tuple)]) if self.shapes else ""
        return FunctionEvent(f"numpy: {owner.name}", "interpreted", start, end, thread, shapes)
