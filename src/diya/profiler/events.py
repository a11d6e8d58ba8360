"""Events of a profile, their sums by name, tables and traces, shaped as in PyTorch's ``torch.autograd.profiler_util``."""

from __future__ import annotations

import os
from typing import Any, NamedTuple


class Interval(NamedTuple):
    """Microseconds of the clock."""

    start: float
    end: float

    def elapsed_us(self) -> float:
        return self.end - self.start


def _text(us: float) -> str:
    return f"{us * 1e-6:.3f}s" if us >= 1e6 else f"{us * 1e-3:.3f}ms" if us >= 1e3 else f"{us:.3f}us"


class _Times:
    """What an event and a sum of events have in common. Times are in microseconds; there is no device beside the CPU."""

    cpu_time_total: float
    self_cpu_time_total: float
    count: int
    device_time = device_time_total = self_device_time_total = cuda_time = cuda_time_total = self_cuda_time_total = 0.0
    device_memory_usage = self_device_memory_usage = cuda_memory_usage = self_cuda_memory_usage = 0
    is_async = is_remote = False

    @property
    def cpu_time(self) -> float:
        return self.cpu_time_total / self.count if self.count else 0.0

    cpu_time_str = property(lambda self: _text(self.cpu_time))
    cpu_time_total_str = property(lambda self: _text(self.cpu_time_total))
    self_cpu_time_total_str = property(lambda self: _text(self.self_cpu_time_total))


class FunctionEvent(_Times):
    """``kind``: "user_annotation" (a range that was marked, or waiting for code), "program", "contract" and "loops" (kernels),
    "host" (a step that numpy runs), "interpreted" (an operation of a program that is not compiled). ``input_shapes`` is text:
    what a kernel runs over, the operands' shapes otherwise. ``nbytes`` is what a kernel reads and writes."""

    count = 1

    def __init__(self, name: str, kind: str, start: int, end: int, thread: int, input_shapes: str = "",
                 stack: list[str] | None = None, flops: int = 0, nbytes: int = 0, memory: int = 0):
        self.name, self.key = name, "ProfilerStep*" if name.startswith("ProfilerStep#") else name
        self.kind, self.thread, self.input_shapes, self.stack = kind, thread, input_shapes, stack or []
        self.flops, self.nbytes, self.cpu_memory_usage = flops, nbytes, memory
        self.time_range = Interval(start / 1e3, end / 1e3)
        self.cpu_parent: FunctionEvent | None = None
        self.cpu_children: list[FunctionEvent] = []

    @property
    def cpu_time_total(self) -> float:  # type: ignore[override]
        return self.time_range.elapsed_us()

    @property
    def self_cpu_time_total(self) -> float:  # type: ignore[override]
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    @property
    def self_cpu_memory_usage(self) -> int:
        return self.cpu_memory_usage - sum(child.cpu_memory_usage for child in self.cpu_children)

    def __repr__(self) -> str:
        return f"<FunctionEvent name={self.name} cpu_time={self.cpu_time_str} kind={self.kind} thread={self.thread}>"


class FunctionEventAvg(_Times):
    """The sum of events of one key."""

    def __init__(self, key: str = ""):
        self.key, self.count, self.cpu_time_total, self.self_cpu_time_total = key, 0, 0.0, 0.0
        self.cpu_memory_usage = self.self_cpu_memory_usage = self.flops = self.nbytes = 0
        self.input_shapes, self.stack, self.kind = "", [], ""

    def add(self, event: Any) -> FunctionEventAvg:
        if not self.count:
            self.key = self.key or event.key
            self.input_shapes, self.stack, self.kind = event.input_shapes, event.stack, event.kind
        for name in ("count", "cpu_time_total", "self_cpu_time_total", "cpu_memory_usage", "self_cpu_memory_usage", "flops",
                     "nbytes"):
            setattr(self, name, getattr(self, name) + getattr(event, name))
        return self

    __iadd__ = add

    def __repr__(self) -> str:
        return (f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} cpu_time={self.cpu_time_str} "
                f"count={self.count}>")


class EventList(list):
    """Events, or their sums; ``str`` is the table."""

    def nest(self) -> None:
        """Orders events by time and finds the innermost one around each, in its thread."""
        self.sort(key=lambda e: (e.time_range.start, -e.time_range.end))
        around: dict[int, list] = {}
        for e in self:
            stack = around.setdefault(e.thread, [])
            while stack and stack[-1].time_range.end < e.time_range.end:
                stack.pop()
            if stack:
                e.cpu_parent = stack[-1]
                stack[-1].cpu_children.append(e)
            stack.append(e)

    @property
    def self_cpu_time_total(self) -> float:
        return sum(e.self_cpu_time_total for e in self)

    def key_averages(self, group_by_input_shapes: bool = False, group_by_stack_n: int = 0) -> EventList:
        """The sum of the events of each name (and shapes; and first lines of the stack)."""
        sums: dict[tuple, FunctionEventAvg] = {}
        for e in self:
            key = e.key, e.input_shapes if group_by_input_shapes else "", tuple(e.stack[:group_by_stack_n])
            sums.setdefault(key, FunctionEventAvg()).add(e)
        for (_, shapes, stack), total in sums.items():
            total.input_shapes, total.stack = shapes, list(stack)
        return EventList(sums.values())

    def total_average(self) -> FunctionEventAvg:
        total = FunctionEventAvg("Total")
        for e in self:
            total.add(e)
        return total

    def table(self, sort_by: str | None = None, row_limit: int = 100, max_src_column_width: int = 75,
              max_name_column_width: int = 55, max_shapes_column_width: int = 80, header: str | None = None,
              top_level_events_only: bool = False, time_unit: str | None = None) -> str:
        """The events as text, the largest first by an attribute such as "self_cpu_time_total" or "cpu_time_total"."""
        rows: list = [e for e in self if not top_level_events_only or getattr(e, "cpu_parent", None) is None]
        if sort_by is not None:
            rows.sort(key=lambda e: getattr(e, sort_by), reverse=True)
        total = self.self_cpu_time_total
        units = {None: _text, "s": lambda us: f"{us * 1e-6:.3f}s", "ms": lambda us: f"{us * 1e-3:.3f}ms",
                 "us": lambda us: f"{us:.3f}us"}
        if time_unit not in units:
            raise ValueError(f"time_unit must be 's', 'ms', 'us' or None, got {time_unit!r}")
        text = units[time_unit]

        def share(us: float) -> str:
            return f"{100 * us / total:.2f}%" if total else "–"

        columns: list[tuple[str, Any]] = [
            ("Self CPU %", lambda e: share(e.self_cpu_time_total)), ("Self CPU", lambda e: text(e.self_cpu_time_total)),
            ("CPU total %", lambda e: share(e.cpu_time_total)), ("CPU total", lambda e: text(e.cpu_time_total)),
            ("CPU time avg", lambda e: text(e.cpu_time)), ("# of Calls", lambda e: str(e.count))]
        if any(e.cpu_memory_usage for e in rows):
            columns.append(("CPU Mem", lambda e: _bytes(e.cpu_memory_usage)))
        if any(e.flops for e in rows):
            columns.append(("GFLOP/s", lambda e: _rate(e.flops, e.cpu_time_total)))
        if any(e.nbytes for e in rows):
            columns.append(("GB/s", lambda e: _rate(e.nbytes, e.cpu_time_total)))
        if any(e.input_shapes for e in rows):
            columns.append(("Input Shapes", lambda e: _cut(e.input_shapes, max_shapes_column_width)))
        if any(e.stack for e in rows):
            columns.append(("Source Location", lambda e: _cut(", ".join(e.stack), max_src_column_width)))
        shown = rows if row_limit == -1 else rows[:row_limit]
        cells = [["Name", *[title for title, _ in columns]]]
        cells += [[_cut(e.key, max_name_column_width), *[cell(e) for _, cell in columns]] for e in shown]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        rule = "  ".join(["-" * w for w in widths])
        lines = ["  ".join([c.rjust(w) for c, w in zip(row, widths, strict=True)]) for row in cells]
        head = [header] if header else []
        return "\n".join([*head, rule, lines[0], rule, *lines[1:], rule, f"Self CPU time total: {text(total)}", ""])

    def __str__(self) -> str:
        return self.table()

    def export_chrome_trace(self, path: str, metadata: dict | None = None) -> None:
        """Writes the events for chrome://tracing or https://ui.perfetto.dev; compressed if the path ends in .gz."""
        import json
        process = os.getpid()
        shown = []
        for e in self:
            given = {"Input Shapes": e.input_shapes, "Call stack": ";".join(e.stack), "flops": e.flops, "bytes": e.nbytes,
                     "allocated bytes": e.cpu_memory_usage}
            shown.append({"ph": "X", "cat": e.kind, "name": e.name, "pid": process, "tid": e.thread, "ts": e.time_range.start,
                          "dur": e.cpu_time_total, "args": {name: value for name, value in given.items() if value}})
        text = json.dumps({"schemaVersion": 1, "displayTimeUnit": "ms", **(metadata or {}), "traceEvents": shown})
        if os.fspath(path).endswith(".gz"):
            import gzip
            with gzip.open(path, "wt", encoding="utf-8") as file:
                file.write(text)
        else:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

    def export_stacks(self, path: str, metric: str) -> None:
        """Writes a line for each event with lines of the user's: those, outermost first, and its time in microseconds."""
        with open(path, "w", encoding="utf-8") as file:
            for e in self:
                if e.stack and int(getattr(e, metric)):
                    file.write(f"{';'.join(reversed(e.stack))} {int(getattr(e, metric))}\n")


def _cut(text: str, width: int | None) -> str:
    return text if width is None or len(text) <= width else text[:width - 3] + "..."


def _bytes(n: int) -> str:
    return "–" if not n else f"{n} B" if n < 1 << 10 else f"{n / 2**10:.2f} KB" if n < 1 << 20 else f"{n / 2**20:.2f} MB"


def _rate(amount: float, us: float) -> str:
    return f"{amount / us * 1e-3:.1f}" if amount and us else "–"
