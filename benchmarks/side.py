"""One framework in a process of its own: ``side.py SIDE WORKLOAD THREADS``, where a side is a key of ``SIDES``.

Commands come as lines of JSON on standard input: ``{"do": "start", "case": ...}``, and then ``{"do": "turn", "seconds": ...}``
as often as the driver likes; each is answered by one line of JSON. The first line says what the workload has: its cases and
its tolerance.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import traceback

import numpy as np


class TorchLike:
    """PyTorch, or a package with its API. ``observe`` waits for a step's results, as a user who looks at them would."""

    def __init__(self, module: str, threads: int, compiled: bool = False):
        self.torch = importlib.import_module(module)
        self.torch.set_num_threads(threads)
        self.compile = self.torch.compile if compiled else lambda function: function

    def build(self, workload, case):
        return workload.build(self.torch, self.compile, *case)

    def observe(self, out):
        for x in out if isinstance(out, (list, tuple)) else (out,):
            x.item() if x.ndim == 0 else x.detach().numpy()

    def arrays(self, out):
        return [x.detach().numpy() for x in (out if isinstance(out, (list, tuple)) else (out,))]


class Twin:
    """A framework of another shape, through the functions of ``twins/``."""

    def __init__(self, framework: str, twin: str):
        importlib.import_module(framework)
        self.functions = importlib.import_module(f"twins.{twin}")
        self.observe, self.arrays = self.functions.sync, self.functions.numpy

    def build(self, workload, case):
        if not hasattr(workload, "twin"):
            raise NotImplementedError("this workload has no twin")
        return workload.twin(self.functions, *case)


class ByHand:
    """numpy, as somebody would write it who needs nothing else."""

    def build(self, workload, case):
        if not hasattr(workload, "numpy"):
            raise NotImplementedError("nobody would write this by hand")
        return workload.numpy(np, *case)

    def observe(self, out):
        pass

    def arrays(self, out):
        return [np.asarray(x) for x in (out if isinstance(out, (list, tuple)) else (out,))]


SIDES = {
    "diya": lambda threads: TorchLike("diya", threads),
    "torch": lambda threads: TorchLike("torch", threads),
    "diya.compile": lambda threads: TorchLike("diya", threads, compiled=True),
    "torch.compile": lambda threads: TorchLike("torch", threads, compiled=True),
    "jax": lambda threads: Twin("jax", "jax_"),
    "tinygrad": lambda threads: Twin("tinygrad", "tinygrad_"),
    "mlx": lambda threads: Twin("mlx.core", "mlx_"),
    "numpy": lambda threads: ByHand(),
}


class Side:
    def __init__(self, framework, workload):
        self.framework, self.workload = framework, workload
        self.step = None

    def start(self, case: str | None) -> dict:
        """Builds the case, takes its first steps and reports what they computed, and how long the first one took."""
        self.step = None
        gc.collect()
        reset_peak()
        began = time.perf_counter()
        self.step = self.framework.build(self.workload, () if case is None else (case,))
        built = time.perf_counter()
        sums, first = [], 0.0
        for i in range(3):
            began_step = time.perf_counter()
            out = self.step()
            self.framework.observe(out)
            first = first or time.perf_counter() - began_step
            sums.append(checksums(self.framework.arrays(out)))
            out = None
            if i == 0 and time.perf_counter() - built > 60:
                break
        for _ in range(3):  # programs that a checksum's reading has changed come back to what they are without it
            self.framework.observe(self.step())
        return {"build": built - began, "first": first, "sums": sums}

    def turn(self, seconds: float) -> dict:
        """Steps for about that long, at least one: medians of a step's wall time, means of its CPU time, and the peak of memory."""
        wall, cpu = [], time.process_time()
        end = time.perf_counter() + seconds
        while not wall or time.perf_counter() < end:
            began = time.perf_counter()
            self.framework.observe(self.step())
            wall.append(time.perf_counter() - began)
        cpu = (time.process_time() - cpu) / len(wall)
        return {"wall": sorted(wall)[len(wall) // 2], "cpu": cpu, "steps": len(wall), "memory": peak_memory()}

    def peak(self) -> dict:
        """What one core can do, measured by diya (which alone knows what its kernels have to do)."""
        from diya.profiler.floor import peak
        return peak()._asdict()

    def floor(self, peak: dict) -> dict:
        """The least time that a step's kernels could take, by that."""
        from diya.profiler.floor import Peak, floor
        return {"floor": floor(lambda: self.framework.observe(self.step()), Peak(**peak))}


def checksums(arrays) -> list[float]:
    """The sum of magnitudes and their number: the same in every layout of the outputs."""
    return [float(sum(np.abs(np.asarray(a, np.float64)).sum() for a in arrays)), float(sum(np.asarray(a).size for a in arrays))]


def reset_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass  # not Linux: the peak is that of the process


def peak_memory() -> float:
    """MiB that were resident at most since the case began (since the process began, where the system cannot say)."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) / 1024
    except OSError:
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main() -> None:
    name, workload, threads = sys.argv[1:4]
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints is no reply

    def reply(**values) -> None:
        replies.write(json.dumps(values) + "\n")
        replies.flush()

    side = None
    try:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-int(threads):])
        module = importlib.import_module("workloads." + workload)
        side = Side(SIDES[name](int(threads)), module)
        reply(cases=list(getattr(module, "CASES", (None,))), tolerance=getattr(module, "RTOL", 1e-3))
        for line in sys.stdin:
            command = json.loads(line)
            try:
                reply(**getattr(side, command.pop("do"))(**command))
            except Exception as error:
                traceback.print_exc()
                reply(error=message(error))
    except Exception as error:
        traceback.print_exc()
        reply(error=message(error))


def message(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


if __name__ == "__main__":
    main()
