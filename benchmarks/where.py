"""Where the time of a step goes on diya: recording, finding the program, launching it, its kernels.

    python where.py mlp_tiny [CASE] [--steps N]

CPU time of one thread, mean of N steps (as many as take two seconds, by default), each part without the parts in it. What the
clock itself costs is in "other Python": compare with `diya bench`.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import time

from side import TorchLike


class Parts:
    """Exclusive CPU time by name."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self.inner = [0.0]  # of each part that is running, what the parts in it took

    def timed(self, name: str, function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            self.inner.append(0.0)
            began = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                taken = time.thread_time() - began
                self.seconds[name] = self.seconds.get(name, 0.0) + taken - self.inner.pop()
                self.inner[-1] += taken
        return call

    def patch(self, owner, attribute: str, name: str) -> None:
        setattr(owner, attribute, self.timed(name, getattr(owner, attribute)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload")
    parser.add_argument("case", nargs="?")
    parser.add_argument("--steps", type=int)
    options = parser.parse_args()

    framework = TorchLike("diya", 1)
    torch = framework.torch
    from diya import engine
    from diya.compiler import pipeline
    from diya.runtime.cpu import replay
    workload = importlib.import_module("workloads." + options.workload)
    cases = getattr(workload, "CASES", (None,))
    case = options.case or next(iter(cases))
    parts = Parts()
    for optimizer in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
        parts.patch(optimizer, "step", "recording the update")
    parts.patch(torch.Tensor, "backward", "recording backward")
    parts.patch(engine, "flush", "finding the program")
    parts.patch(pipeline.Program, "run", "launching")
    parts.patch(replay.Replay, "run", "kernels")
    parts.patch(pipeline.Program, "_host", "host steps")
    step = parts.timed("recording forward, other Python", framework.build(workload, () if case is None else (case,)))

    for _ in range(6):  # until all of it is compiled
        framework.observe(step())
    began = time.perf_counter()
    framework.observe(step())
    steps = options.steps or max(3, min(2000, int(2 / (time.perf_counter() - began))))
    parts.seconds.clear()
    whole = time.thread_time()
    for _ in range(steps):
        framework.observe(step())
    whole = (time.thread_time() - whole) / steps
    for name, seconds in sorted(parts.seconds.items(), key=lambda item: -item[1]):
        print(f"{seconds / steps * 1e6:>12,.1f} µs  {seconds / steps / whole:>6.1%}  {name}")
    print(f"{whole * 1e6:>12,.1f} µs  a step of {options.workload}{'' if case is None else ' ' + str(case)}, {steps} steps")


if __name__ == "__main__":
    main()
