"""One side of a comparison: ``side.py MODULE WORKLOAD CASE THREADS`` builds a workload, runs its first steps, then runs as many
as each line of standard input asks for. Answers are lines of JSON."""

import importlib
import json
import resource
import sys
import time


def force(out) -> float:
    """Waits for a step's results; the sum of their magnitudes."""
    if isinstance(out, (list, tuple)):
        return sum(force(x) for x in out)
    return float(out.detach().double().abs().sum())


def wait(out) -> None:
    if isinstance(out, (list, tuple)):
        for x in out:
            wait(x)
    elif out.numel():
        out.reshape(-1)[0].item()


def main() -> None:
    module, workload, case, threads = sys.argv[1:5]
    torch = importlib.import_module(module)
    torch.set_num_threads(int(threads))
    built = importlib.import_module("workloads." + workload)
    started = time.perf_counter()
    step = built.build(torch, lambda f: f, *([case] if case else []))
    sums, first = [], None
    for _ in range(3):
        before = time.perf_counter()
        out = step()
        wait(out)
        first = time.perf_counter() - before if first is None else first
        sums.append(force(out))
    for _ in range(3):
        wait(step())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"first": first, "build": time.perf_counter() - started, "sums": sums, "memory": memory}), flush=True)
    for line in sys.stdin:
        steps = int(line)
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(steps):
            wait(step())
        print(json.dumps({"cpu": (time.process_time() - cpu) / steps, "wall": (time.perf_counter() - wall) / steps}), flush=True)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        print(f"{type(error).__name__}: {error}".splitlines()[0], flush=True)
        raise
