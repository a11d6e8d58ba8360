"""``diya bench``: workloads side by side with PyTorch, in interleaved rounds."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from . import UsageError

WORKLOADS = {  # name: (cases, steps in a round, quick)
    "tiny_ops": (("no_grad", "grad"), 20, True), "mlp_tiny": ((None,), 100, True), "mnist_mlp": ((None,), 20, True),
    "cnn_mnist": (("lenet", "example"), 5, True), "gelu_chain": ((None,), 2, True), "norm_softmax_ce": ((None,), 5, True),
    "sdpa": ((None,), 3, True), "lstm_lm": ((None,), 2, False), "gpt2_mini": ((None,), 1, False),
    "resnet18_cifar": ((None,), 1, False), "resnet50_infer": ((None,), 2, False), "dcgan": ((None,), 1, False),
    "gpt2_124m": (("forward_128", "decode_32"), 1, False), "detection": ((None,), 2, False),
}
BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"all by default: {', '.join(WORKLOADS)}")
    parser.add_argument("--quick", action="store_true", help="the small ones (under five minutes)")
    parser.add_argument("--torch", metavar="PYTHON", default=sys.executable, help="an interpreter that has PyTorch (this one)")
    parser.add_argument("--rounds", type=int, default=5, help="times each side's turn comes (5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of both sides (1)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the table into FILE, between the benchmark marks")
    parser.epilog = ("Each side is a process of its own; they take turns, and the ratio is of CPU time (which other processes on\n"
                     "the machine hardly change) for one thread, of wall time for more. A checksum compares results.")


def run(options: argparse.Namespace) -> int:
    folder = _folder()
    unknown = [w for w in options.workloads if w not in WORKLOADS]
    if unknown:
        raise UsageError(f"there is no workload {unknown[0]!r}; there are {', '.join(WORKLOADS)}")
    names = options.workloads or [w for w, (_, _, quick) in WORKLOADS.items() if quick or not options.quick]
    peer = subprocess.run([options.torch, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True)
    version = peer.stdout.strip() if peer.returncode == 0 else None
    if version is None:
        print("PyTorch is not importable there, so only diya is timed (--torch PYTHON names an interpreter that has it).")
    rows = []
    for name in names:
        cases, steps, _ = WORKLOADS[name]
        for case in cases:
            rows.append(_measure(folder, name, case, steps, options, version is not None))
            print(_line(rows[-1]), flush=True)
    if options.report is not None:
        _report(options.report, rows, version, options)
    return 0 if all(r.get("agrees", True) for r in rows) else 1


def _folder() -> Path:
    for start in (Path.cwd(), Path(__file__).resolve().parents[3]):
        if (start / "benchmarks" / "side.py").is_file():
            return start / "benchmarks"
    raise UsageError("the workloads are in the repository's benchmarks/ folder: run this in a clone of diya")


class _Side:
    """One framework in a process of its own: ``turn`` runs some steps and returns what they took."""

    def __init__(self, python: str, module: str, folder: Path, name: str, case: str | None, threads: int):
        env = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "DIYA_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen([python, "-W", "ignore", str(folder / "side.py"), module, name, case or "", str(threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder, env=env)
        self.start = self._read()

    def _read(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line.startswith("{") else {"error": line.strip() or "the process ended"}

    def turn(self, steps: int) -> dict:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
        except OSError:
            pass
        self.process.wait()


def _measure(folder: Path, name: str, case: str | None, steps: int, options, peer: bool) -> dict:
    row: dict = {"name": name if case is None else f"{name} {case}"}
    ours = _Side(sys.executable, "diya", folder, name, case, options.threads)
    theirs = _Side(options.torch, "torch", folder, name, case, options.threads) if peer else None
    key = "cpu" if options.threads == 1 else "wall"
    try:
        for side, start in (("diya", ours.start), ("torch", theirs.start if theirs else {})):
            if "error" in start:
                return {**row, "error": f"{side}: {start['error']}"}
        times: list[tuple[float, float | None]] = []
        for _ in range(options.rounds):
            a = ours.turn(steps)
            b = theirs.turn(steps) if theirs else None
            if "error" in a or b and "error" in b:
                return {**row, "error": a.get("error") or b["error"]}  # type: ignore[index]
            times.append((a[key], b[key] if b else None))
        mine = sorted(t for t, _ in times)
        row |= {"diya": mine[len(mine) // 2], "first": ours.start["first"], "memory": ours.start["memory"]}
        if theirs is not None:
            ratios = sorted(a / b for a, b in times if b)
            base = sorted(b for _, b in times if b)
            row |= {"torch": base[len(base) // 2], "ratio": ratios[len(ratios) // 2], "low": ratios[0], "high": ratios[-1],
                    "torch_first": theirs.start["first"], "torch_memory": theirs.start["memory"],
                    "agrees": _close(ours.start["sums"], theirs.start["sums"])}
        return row
    finally:
        ours.close()
        if theirs is not None:
            theirs.close()


def _close(a: list[float], b: list[float]) -> bool:
    return len(a) == len(b) and all(abs(x - y) <= 2e-3 * max(abs(x), abs(y), 1e-6) for x, y in zip(a, b, strict=True))


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _line(row: dict) -> str:
    if "error" in row:
        return f"{row['name']:<24} failed: {row['error']}"
    text = f"{row['name']:<24} diya {_time(row['diya']):>9}"
    if "ratio" in row:
        text += (f"  torch {_time(row['torch']):>9}  ratio {row['ratio']:.2f} ({row['low']:.2f}–{row['high']:.2f})  "
                 f"first step {_time(row['first'])} / {_time(row['torch_first'])}  memory {row['memory']:.0f} / "
                 f"{row['torch_memory']:.0f} MiB  {'agrees' if row['agrees'] else 'DIFFERS'}")
    return text


def _report(path: Path, rows: list[dict], version: str | None, options) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if BEGIN not in text or END not in text:
        raise UsageError(f"{path} has no line {BEGIN} … {END} to write between")
    import datetime
    import platform

    from ..runtime.cpu import features
    cpu = features.host().cpu
    kind = "CPU time" if options.threads == 1 else "wall time"
    lines = [f"Time of a step beside PyTorch {version} eager (and {kind} at that), {options.threads} thread"
             f"{'s' if options.threads > 1 else ''}, {platform.system()} on {cpu}, {datetime.date.today()}, "
             f"interleaved, median of {options.rounds} rounds. Below 1.00 diya is faster; losses are shown as plainly as wins.", "",
             "| workload | diya | PyTorch | ratio | first step, diya / PyTorch | memory, diya / PyTorch |",
             "|---|---|---|---|---|---|"]
    for r in rows:
        if "error" in r:
            lines.append(f"| {r['name']} | {r['error'][:60]} | | | | |")
        elif "ratio" in r:
            differs = "" if r["agrees"] else " (results differ)"
            lines.append(f"| {r['name']} | {_time(r['diya'])} | {_time(r['torch'])} | {r['ratio']:.2f}{differs} | "
                         f"{_time(r['first'])} / {_time(r['torch_first'])} | {r['memory']:.0f} / {r['torch_memory']:.0f} MiB |")
    head, rest = text.split(BEGIN, 1)
    part = path.with_name(path.name + ".part")
    part.write_text(head + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END, 1)[1], encoding="utf-8")
    part.replace(path)
