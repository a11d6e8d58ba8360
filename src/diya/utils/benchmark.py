"""Times statements (https://docs.pytorch.org/docs/stable/benchmark_utils.html).

A statement's work is run, whoever looks at its result: the value of a last expression is kept until the work is done.
"""

from __future__ import annotations

import ast
import enum
import math
import statistics
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .. import engine
from ..runtime.cpu.threads import get_num_threads, set_num_threads

__all__ = ["Compare", "Language", "Measurement", "TaskSpec", "Timer", "select_unit", "timer", "trim_sigfig", "unit_to_english"]

timer = time.perf_counter

_UNITS = ((1e-9, "ns", "nanosecond"), (1e-6, "us", "microsecond"), (1e-3, "ms", "millisecond"), (1.0, "s", "second"))


class Language(enum.Enum):
    PYTHON = 0
    CPP = 1


def select_unit(t: float) -> tuple[str, float]:
    """The unit (name, seconds) in which a time is best told."""
    seconds, short, _ = next((u for u in reversed(_UNITS) if t >= u[0]), _UNITS[0])
    return short, seconds


def unit_to_english(u: str) -> str:
    return {short: name for _, short, name in _UNITS}[u]


def trim_sigfig(x: float, n: int) -> float:
    """``x`` with ``n`` significant digits."""
    if not x:
        return x
    scale = 10 ** (n - 1 - math.floor(math.log10(abs(x))))
    return round(x * scale) / scale


@dataclass(frozen=True)
class TaskSpec:
    """What is timed, and how tables name it."""

    stmt: str
    setup: str = ""
    global_setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self) -> str:
        if self.label is not None:
            return self.label + (f": {self.sub_label}" if self.sub_label else "")
        return self.stmt if "\n" not in self.stmt else \
            f"stmt:{f' ({self.sub_label})' if self.sub_label else ''}\n{textwrap.indent(self.stmt, '  ')}"

    def setup_str(self) -> str:
        if self.setup in ("", "pass"):
            return ""
        return f"setup: {self.setup}" if "\n" not in self.setup else "setup:\n" + textwrap.indent(self.setup, "  ")

    def summarize(self) -> str:
        threads = f"{self.num_threads} thread" + ("s" if self.num_threads > 1 else "")
        return "\n".join([x for x in (self.title, self.description or "", self.setup_str(), self.global_setup, threads) if x])


@dataclass
class Measurement:
    """Times of a statement: ``raw_times`` are of ``number_per_run`` executions each, in seconds."""

    number_per_run: int
    raw_times: list[float]
    task_spec: TaskSpec
    metadata: dict[Any, Any] | None = field(default=None)

    @property
    def times(self) -> list[float]:
        return [t / self.number_per_run for t in self.raw_times]

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.times)

    def _quartiles(self) -> tuple[float, float]:
        times = self.times
        if len(times) < 2:
            return times[0], times[0]
        low, _, high = statistics.quantiles(times, n=4, method="inclusive")
        return low, high

    @property
    def iqr(self) -> float:
        """The range of the middle half."""
        low, high = self._quartiles()
        return high - low

    @property
    def significant_figures(self) -> int:
        """How many digits of the median mean something."""
        spread = self.iqr / math.sqrt(len(self.raw_times)) if len(self.raw_times) > 1 else 0
        return max(1, min(4, math.floor(math.log10(self.median / spread)) + 1 if spread else 3))

    @property
    def has_warnings(self) -> bool:
        return self.iqr / self.median >= 0.1 if len(self.raw_times) > 3 else False

    title = property(lambda self: self.task_spec.title)
    stmt = property(lambda self: self.task_spec.stmt)
    label = property(lambda self: self.task_spec.label)
    sub_label = property(lambda self: self.task_spec.sub_label)
    description = property(lambda self: self.task_spec.description)
    env = property(lambda self: self.task_spec.env)
    num_threads = property(lambda self: self.task_spec.num_threads)
    as_row_name = property(lambda self: self.sub_label or self.stmt or "[Unknown]")

    @staticmethod
    def merge(measurements) -> list[Measurement]:
        """Measurements of one task become one."""
        groups: dict[TaskSpec, list[Measurement]] = {}
        for m in measurements:
            groups.setdefault(m.task_spec, []).append(m)
        return [Measurement(1, [t for m in ms for t in m.times], spec) for spec, ms in groups.items()]

    def __repr__(self) -> str:
        unit, seconds = select_unit(self.median)
        lines = [object.__repr__(self), self.title, self.description or "", self.task_spec.setup_str()]
        n, threads = len(self.raw_times), f"{self.num_threads} thread" + ("s" if self.num_threads > 1 else "")
        if n == 1:
            lines += [f"  {self.median / seconds:.2f} {unit}", f"  1 measurement, {self.number_per_run} runs , {threads}"]
        else:
            low, high = self._quartiles()
            lines += [f"  Median: {self.median / seconds:.2f} {unit}",
                      f"  IQR:    {self.iqr / seconds:.2f} {unit} ({low / seconds:.2f} to {high / seconds:.2f})",
                      f"  {n} measurements, {self.number_per_run} runs per measurement, {threads}"]
            if self.has_warnings:
                lines.append(f"  WARNING: Interquartile range is {self.iqr / self.median * 100:.1f}% of the median measurement.\n"
                             "           This suggests significant environmental influence.")
        return "\n".join([x for x in lines if x])


@contextmanager
def _threads(n: int) -> Iterator[None]:
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


class Timer:
    """Times ``stmt`` (Python), after ``setup``, with the names of ``globals``, on ``num_threads`` threads.

    Raises NotImplementedError for C++.
    """

    def __init__(self, stmt: str = "pass", setup: str = "pass", global_setup: str = "",
                 timer: Callable[[], float] = timer, globals: dict[str, Any] | None = None, label: str | None = None,
                 sub_label: str | None = None, description: str | None = None, env: str | None = None, num_threads: int = 1,
                 language: Language | str = Language.PYTHON) -> None:
        if not isinstance(stmt, str):
            raise ValueError("Currently only a `str` stmt is supported.")
        if language not in (Language.PYTHON, "py", "python", "Python"):
            raise NotImplementedError("torch.utils.benchmark.Timer(language=...) of C++ is not supported: diya has no C++ compiler")
        if global_setup:
            raise ValueError(f"global_setup is C++ only, got {global_setup!r}: move it to `setup`")
        stmt, setup = textwrap.dedent(stmt).strip(), textwrap.dedent(setup).strip()
        self._task_spec = TaskSpec(stmt, setup, "", label, sub_label, description, env, num_threads)
        self._timer, self._globals = timer, dict(globals or {})

    def _run(self) -> Callable[[int], float]:
        """``run(n)``: seconds of n executions. The setup has run."""
        tree = ast.parse(f"def _inner(_n, _timer, _flush):\n    _began = _timer()\n    for _ in range(_n):\n"
                         f"{textwrap.indent(self._task_spec.stmt or 'pass', ' ' * 8)}\n        _flush()\n"
                         "    return _timer() - _began")
        inner: Any = tree.body[0]
        body = inner.body[1].body
        if isinstance(body[-2], ast.Expr):  # somebody holds the result while the work is run
            body[-2] = ast.Assign([ast.Name("_result", ast.Store())], body[-2].value)
        inner.body = [*ast.parse(self._task_spec.setup or "pass").body, *inner.body]
        scope = dict(self._globals)
        exec(compile(ast.fix_missing_locations(tree), "<timed statement>", "exec"), scope)
        return lambda n: scope["_inner"](n, self._timer, engine.flush)

    def timeit(self, number: int = 1_000_000) -> Measurement:
        """One measurement of ``number`` executions, after some to warm up."""
        with _threads(self._task_spec.num_threads):
            run = self._run()
            run(max(number // 100, 2))
            return Measurement(number, [run(number)], self._task_spec)

    def _block(self, run: Callable[[int], float], min_run_time: float) -> int:
        """How many executions one measurement takes: so many that the clock itself does not count."""
        overhead = statistics.median([abs(self._timer() - self._timer()) for _ in range(5)])
        number = 1
        while True:
            taken = run(number)
            if taken * 1e-4 >= overhead and taken >= min(min_run_time / 1000, 1e-4) or taken >= min_run_time:
                return number
            number *= 10

    def blocked_autorange(self, callback: Callable[[int, float], Any] | None = None, min_run_time: float = 0.2) -> Measurement:
        """Measurements of equal numbers of executions for ``min_run_time`` seconds at least."""
        with _threads(self._task_spec.num_threads):
            run = self._run()
            run(4)  # programs are compiled when they come again
            number = self._block(run, min_run_time)
            times: list[float] = []
            while sum(times) < min_run_time or not times:
                times.append(run(number))
                if callback is not None:
                    callback(number, times[-1])
            return Measurement(number, times, self._task_spec)

    def adaptive_autorange(self, threshold: float = 0.1, *, min_run_time: float = 0.01, max_run_time: float = 10.0,
                           callback: Callable[[int, float], Any] | None = None) -> Measurement:
        """As `blocked_autorange`, until the spread is below ``threshold`` of the median."""
        with _threads(self._task_spec.num_threads):
            run = self._run()
            run(4)
            number = self._block(run, 0.05)
            times: list[float] = []
            while sum(times) < max_run_time:
                times.append(run(number))
                if callback is not None:
                    callback(number, times[-1])
                found = Measurement(number, times, self._task_spec)
                if len(times) > 3 and sum(times) > min_run_time and found.iqr / found.median < threshold:
                    break
            return Measurement(number, times, self._task_spec)

    def __getattr__(self, name: str):
        if name == "collect_callgrind":
            raise NotImplementedError("torch.utils.benchmark.Timer.collect_callgrind is not supported: diya runs no valgrind")
        raise AttributeError(f"'Timer' object has no attribute {name!r}")


class Compare:
    """A table of measurements: rows by ``sub_label``, columns by ``description``, a table for each ``label``."""

    def __init__(self, results: list[Measurement]) -> None:
        self._results: list[Measurement] = []
        self._trim = self._colors = self._warnings = False
        self.extend_results(results)

    def extend_results(self, results: list[Measurement]) -> None:
        for r in results:
            if not isinstance(r, Measurement):
                raise ValueError(f"Expected an instance of `Measurement`, got {type(r)} instead.")
        self._results.extend(results)

    def trim_significant_figures(self) -> None:
        self._trim = True

    def colorize(self, rowwise: bool = False) -> None:
        self._colors = True

    def highlight_warnings(self) -> None:
        self._warnings = True

    def print(self) -> None:
        print(str(self))

    def __str__(self) -> str:
        merged = Measurement.merge(self._results)
        return "\n".join([self._table([m for m in merged if m.label == label]) for label in dict.fromkeys(m.label for m in merged)])

    def _table(self, results: list[Measurement]) -> str:
        unit, seconds = select_unit(min(m.median for m in results))
        columns = list(dict.fromkeys(m.description or "" for m in results))
        several_envs = len({m.env for m in results}) > 1
        names = {id(m): ("" if not several_envs else f"({m.env}) ") + m.as_row_name for m in results}
        threads = list(dict.fromkeys(m.num_threads for m in results))
        cells: dict[tuple, str] = {}
        for m in results:
            digits = m.significant_figures if self._trim else 4
            value = trim_sigfig(m.median / seconds, digits)
            text = f"{value:.{max(0, digits - 1 - math.floor(math.log10(value)))}f}" if self._trim and value else f"{value:.1f}"
            cells[m.num_threads, names[id(m)], m.description or ""] = text + (" (!)" if self._warnings and m.has_warnings else "")
        rows = list(dict.fromkeys((m.num_threads, names[id(m)]) for m in results))
        first = max([len(f"{t} threads: ") for t in threads] + [len(name) + 6 for _, name in rows])
        widths = {c: max(len(c), *[len(cells.get((t, n, c), "")) for t, n in rows]) + 2 for c in columns}
        total = first + sum(w + 3 for w in widths.values())
        label = results[0].label or ""
        lines = ["[" + f" {label} ".center(total - 2, "-") + "]",
                 " " * (first + 2) + "|" + "|".join([c.center(w + 1) for c, w in widths.items()])]
        for t in threads:
            lines.append(f"{t} threads: ".ljust(total, "-"))
            best = [n for tt, n in rows if tt == t]
            for n in best:
                lines.append("      " + n.ljust(first - 4) + "|" + "|".join(
                    [self._shown(cells.get((t, n, c), ""), [cells.get((t, n, k), "") for k in columns]).rjust(w)
                     + " " for c, w in widths.items()]))
        return "\n".join([*lines, "", f"Times are in {unit_to_english(unit)}s ({unit}).", ""])

    def _shown(self, text: str, row: list[str]) -> str:
        """A cell; the least of its row in green, with `colorize`."""
        number = [float(x.split()[0]) for x in row if x]
        if self._colors and text and float(text.split()[0]) <= min(number):
            return f"\033[92m\033[1m{text}\033[0m\033[0m"
        return text
