"""What one small operation costs before it does anything: recording in diya beside PyTorch's eager call.

    python recording.py [--torch PYTHON]

Microseconds of CPU time for one addition of two 16-element tensors in a chain of 200: recorded without gradients, its share of
running the chain when it is observed (PyTorch has run by then), recorded with gradients, and its share of backward.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import time

N, ROUNDS = 200, 15


def measure(module: str) -> dict[str, float]:
    torch = importlib.import_module(module)
    torch.set_num_threads(1)
    x, y = torch.ones(16), torch.ones(16)
    p, q = torch.ones(16, requires_grad=True), torch.ones(16, requires_grad=True)

    def chain(a, b):
        for _ in range(N):
            a = a + b
        return a

    def timed(build, finish) -> tuple[float, float]:
        """CPU microseconds an operation of ``build`` and of ``finish``; medians of rounds."""
        first, second = [], []
        for _ in range(ROUNDS):
            begin = time.process_time()
            out = build()
            middle = time.process_time()
            finish(out)
            first.append(middle - begin)
            second.append(time.process_time() - middle)
        return tuple(statistics.median(t) / N * 1e6 for t in (first, second))

    def backward(loss):
        p.grad = q.grad = None
        loss.backward()

    add, observe = timed(lambda: chain(x, y), lambda out: out.sum().item())
    add_grad, _ = timed(lambda: chain(p, q), lambda out: out.sum().item())
    _, back = timed(lambda: chain(p, q).sum(), backward)
    return {"add": add, "observing, an add": observe, "add, gradients recorded": add_grad, "backward, an add": back}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", metavar="PYTHON", default=sys.executable, help="an interpreter that has PyTorch (this one)")
    parser.add_argument("--side", choices=("diya", "torch"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side)))
        return
    figures = {}
    for _ in range(3):  # the sides take turns; the best of each is what a quiet machine gives
        for side, python in (("diya", sys.executable), ("torch", options.torch)):
            done = subprocess.run([python, __file__, "--side", side], capture_output=True, text=True, check=True)
            for name, value in json.loads(done.stdout).items():
                figures.setdefault(name, {}).setdefault(side, []).append(value)
    print(f"{'µs of CPU time':<28}{'diya':>8}{'torch':>8}")
    for name, sides in figures.items():
        print(f"{name:<28}{min(sides['diya']):>8.2f}{min(sides['torch']):>8.2f}")


if __name__ == "__main__":
    main()
