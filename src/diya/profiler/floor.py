"""How fast a step could be: its kernels' operations at the speed of the contraction kernel, their bytes at that of memory.

Both speeds are measured, on one core. A kernel's floor is the longer of its two; a step's floor is the sum of its kernels'.
It is a floor for the kernels as they are: fusing two of them lowers it. Recording and launching are not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..compiler import pipeline
from ..compiler.explain import Work
from ..counters import counters
from ..explanation import time_tensor
from ..runtime.cpu.features import caches
from .timing import work_of


class Peak(NamedTuple):
    """Operations a second, and bytes a second for data of up to so many bytes: (bytes, rate), ascending."""

    flops: float
    rates: tuple[tuple[float, float], ...]

    def seconds(self, w: Work) -> float:
        """The least time for a kernel."""
        rate = next((rate for most, rate in self.rates if w.nbytes <= most), self.rates[-1][1])
        return max(w.flops / self.flops, w.nbytes / rate)


def peak(rounds: int = 3, seconds: float = 0.05) -> Peak:
    """Measures this machine, with as many threads as are set: the best of rounds of ``seconds`` for each of eight kernels."""
    import diya
    level2 = caches()[1]
    sizes = (level2 // 2, level2), (4 * level2, 8 * level2), (64 << 20, float("inf"))  # of the data measured; up to which it holds
    squares = [diya.ones(n, n) for n in (384, 768)]
    rows = [(diya.ones(nbytes // 4), diya.ones(nbytes // 8)) for nbytes, _ in sizes]
    flops, rates = 0.0, [0.0] * len(rows)
    for _ in range(rounds):
        flops = max(flops, *[_rate(x @ x, "flops", seconds) for x in squares])
        for k, (x, y) in enumerate(rows):
            rates[k] = max(rates[k], _rate(x.sum(), "nbytes", seconds), _rate(y * 2, "nbytes", seconds))
    return Peak(flops, tuple([(most, rate) for (_, most), rate in zip(sizes, rates, strict=True)]))


def _rate(tensor, what: str, seconds: float) -> float:
    """Operations or bytes a second of the kernels that compute a tensor that is pending."""
    timed = time_tensor(tensor, seconds)[1]
    return sum(getattr(w, what) for w in timed.work) / sum(timed.seconds)


def floor(step: Callable[[], Any], of: Peak) -> float | None:
    """The least seconds for the kernels that run in one call of ``step``; None if it runs a program that has none."""
    interpreted = counters.programs_interpreted
    found = work_of_step(step)
    return sum(of.seconds(w) for w in found) if counters.programs_interpreted == interpreted else None


def work_of_step(step: Callable[[], Any]) -> list[Work]:
    """What the compiled programs that run in one call have to do."""
    found: list[Work] = []

    def watch(program, arguments):
        found.extend(work_of(program))
        return program.segments
    before, pipeline.watch = pipeline.watch, watch
    try:
        step()
    finally:
        pipeline.watch = before
    return found
