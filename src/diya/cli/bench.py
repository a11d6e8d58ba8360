"""``diya bench``: workloads side by side with PyTorch, each side a process of its own, taking turns."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from . import UsageError

QUICK: dict[str, tuple[str, ...]] = {  # every workload, and the cases that --quick takes of it (none: all of them)
    "tiny_ops": (), "mlp_tiny": (), "mnist_mlp": (), "cnn_mnist": (), "resnet18_cifar": (), "resnet50_infer": (), "dcgan": (),
    "gpt2_mini": (), "gpt2_124m": ("decode_32",), "lstm_lm": (), "gelu_chain": (), "norm_softmax_ce": (), "sdpa": (),
    "detection": (), "vmap_grad": (),
    "matmul": ("64x64x64", "512x512x512", "2048x384x1152", "1x768x2304", "b48x256x64x256"),
    "conv": ("1x1_64_256_s56/fwdbwd", "3x3_64_64_s56/fwd", "3x3_64_64_s56/fwdbwd", "dw3x3_32_s112/fwdbwd"),
    "indexing": ("take", "gather", "index_add_rows", "masked_select", "sort", "topk_100", "cumsum", "transpose"),
}
TABLES = ("matmul", "conv", "indexing")  # many small cases: one row of geometric means in the short table
SIDES = ("torch.compile", "diya.compile", "jax", "tinygrad", "mlx", "numpy")  # besides diya and torch
BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"all by default: {', '.join(QUICK)}")
    parser.add_argument("--quick", action="store_true", help="fewer cases and rounds (under five minutes on a quiet machine)")
    parser.add_argument("--case", action="append", metavar="CASE", help="only cases whose name contains this (repeatable)")
    parser.add_argument("--torch", metavar="PYTHON", default=sys.executable, help="an interpreter that has PyTorch (this one)")
    parser.add_argument("--side", action="append", default=[], choices=SIDES,
                        help="another side to measure (repeatable), from the same interpreter as PyTorch")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of each side (7; with --quick 3)")
    parser.add_argument("--seconds", type=float, metavar="S", help="of steps in a turn, one step at least (0.3; with --quick 0.15)")
    parser.add_argument("--threads", type=int, default=1, help="threads of every side (1)")
    parser.add_argument("--limit", type=float, default=180, help="seconds after which a side that does not answer has failed (180)")
    parser.add_argument("--report", action="store_true",
                        help="merge into benchmarks/results.json, write benchmarks/results.md and the table of README.md")
    parser.add_argument("--log", metavar="FILE", help="what the sides print (nowhere)")
    parser.epilog = (
        "The sides take turns, a fraction of a second each; a ratio is the median over the rounds of one side's time over\n"
        "PyTorch's in the same round, and the spread is the lowest and the highest round. With one thread, times are CPU\n"
        "times, which other processes on the machine hardly change; with more they are wall times. Results are compared.\n"
        "The floor of a step is the sum over its kernels of their operations at this core's measured peak, or of their bytes\n"
        "at its measured bandwidth, whichever takes longer; behind it, how often it fits in the step.")


def run(options: argparse.Namespace) -> int:
    folder = _folder()
    for name in options.workloads:
        if name not in QUICK:
            raise UsageError(f"there is no workload {name!r}; there are {', '.join(QUICK)}")
    if options.threads < 1 or options.rounds is not None and options.rounds < 1:
        raise UsageError("--threads and --rounds must be at least 1")
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (0.15 if options.quick else 0.3)
    version = _torch_version(options.torch)
    if version is None:
        print("PyTorch is not importable there, so only diya is timed (--torch PYTHON names an interpreter that has it).")
        if options.report:
            raise UsageError("a report compares with PyTorch")
    sides = ["diya", *(["torch"] if version else []), *options.side]
    rows: dict[str, dict] = {}
    with open(options.log or os.devnull, "a") as log:
        options.peak = _peak(folder, options, log)
        for name in options.workloads or QUICK:
            for case, row in _measure(folder, name, sides, options, log):
                label = name if case is None else f"{name} {case}"
                rows[label] = row
                print(_line(label, row), flush=True)
            if name in TABLES and version:
                print(_line(f"{name}: geometric mean", _mean([r for label, r in rows.items() if label.startswith(name + " ")])))
    if options.report:
        _report(folder, rows, version or "", options)
    return 0 if all("error" not in row["diya"] and row["diya"].get("agrees", True) for row in rows.values()) else 1


def _folder() -> Path:
    for start in (Path.cwd(), Path(__file__).resolve().parents[3]):
        if (start / "benchmarks" / "side.py").is_file():
            return start / "benchmarks"
    raise UsageError("the workloads are in the repository's benchmarks/ folder: run this in a clone of diya")


def _torch_version(python: str) -> str | None:
    try:
        peer = subprocess.run([python, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True)
    except OSError as error:
        raise UsageError(f"cannot run {python}: {error.strerror}") from None
    return peer.stdout.strip() if peer.returncode == 0 else None


def _peak(folder: Path, options, log) -> dict | None:
    """What one core can do: the ground of every floor. None with more threads, where it says too little."""
    if options.threads > 1:
        return None
    side = _Side("diya", folder, "matmul", options, log)
    try:
        peak = side.ask(do="peak")
    finally:
        side.close()
    if "error" in peak:
        print(f"There are no floors: {peak['error']}")
        return None
    own, shared, memory = (rate * 1e-9 for _, rate in peak["rates"])
    print(f"One core: {peak['flops'] * 1e-9:.0f} GFLOP/s in products; {own:.0f} GB/s from its cache, {shared:.0f} GB/s from the "
          f"shared one, {memory:.0f} GB/s from memory. Floors are the time of a step's kernels at these.", flush=True)
    return peak


# -- measuring -----------------------------------------------------------------------------------------------------------

class _Side:
    """A framework with a workload, in a process of its own that answers one command at a time."""

    def __init__(self, side: str, folder: Path, workload: str, options, log):
        ours = side.startswith("diya")
        env = dict(os.environ)
        for name in ("OMP", "MKL", "OPENBLAS", "DIYA"):
            env[f"{name}_NUM_THREADS"] = str(options.threads)
        if ours:
            env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).resolve().parents[2]), env.get("PYTHONPATH"))))
        self.limit = options.limit
        command = [sys.executable if ours else options.torch, "side.py", side, workload, str(options.threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                        cwd=folder, env=env)
        self.workload = self._answer()

    def ask(self, **command) -> dict:
        assert self.process.stdin is not None
        if self.process.poll() is not None:
            return {"error": f"the process ended with status {self.process.returncode}"}
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict:
        import threading

        assert self.process.stdout is not None
        timer = threading.Timer(self.limit, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        return json.loads(line) if line else {"error": f"no answer: it ended, or took more than {self.limit:g} s"}

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


def _measure(folder: Path, name: str, sides: list[str], options, log):
    """Pairs of a case and its row: a dict of the sides' figures."""
    live = {side: _Side(side, folder, name, options, log) for side in sides}
    try:
        described = next((s.workload for s in live.values() if "cases" in s.workload), None)
        if described is None:
            yield None, {side: {"error": s.workload["error"]} for side, s in live.items()}
            return
        for case in described["cases"]:
            if case and options.case and not any(part in case for part in options.case):
                continue
            if case and not options.case and options.quick and QUICK[name] and case not in QUICK[name]:
                continue
            yield case, _measure_case(live, case, described["tolerance"], options)
            for side, s in live.items():
                if s.process.poll() is not None:
                    s.close()
                    live[side] = _Side(side, folder, name, options, log)
    finally:
        for s in live.values():
            s.close()


def _measure_case(live: dict[str, _Side], case: str | None, tolerance: float, options) -> dict:
    row = {side: s.ask(do="start", case=case) for side, s in live.items()}
    rounds: list[dict[str, dict]] = []
    for _ in range(options.rounds):
        turns = {side: s.ask(do="turn", seconds=options.seconds) for side, s in live.items() if "error" not in row[side]}
        for side, turn in turns.items():
            if "error" in turn:
                row[side] = turn
        rounds.append(turns)
    key = "cpu" if options.threads == 1 else "wall"
    base = row.get("torch", {"error": ""})
    for side, figures in row.items():
        if "error" in figures:
            continue
        figures["time"] = statistics.median(r[side][key] for r in rounds)
        figures["memory"] = max(r[side]["memory"] for r in rounds)
        if "error" not in base:
            ratios = sorted(r[side][key] / max(r["torch"][key], 1e-9) for r in rounds)
            figures |= {"ratio": statistics.median(ratios), "low": ratios[0], "high": ratios[-1],
                        "agrees": _agree(figures["sums"], base["sums"], tolerance)}
    ours = row["diya"]
    if options.peak is not None and "error" not in ours:
        found = live["diya"].ask(do="floor", peak=options.peak)
        if found.get("floor"):
            ours |= {"floor": found["floor"], "above": ours["time"] / found["floor"]}
    for figures in row.values():
        figures.pop("sums", None)
    return row


def _agree(ours: list, theirs: list, tolerance: float) -> bool:
    return len(ours) == len(theirs) and all(
        abs(a - b) <= tolerance * max(abs(a), abs(b)) and n == m for (a, n), (b, m) in zip(ours, theirs, strict=True))


def _mean(rows: list[dict]) -> dict:
    """Geometric means of what all sides have measured, with the extremes as the spread."""
    mean: dict[str, dict] = {}
    for side in rows[0] if rows else ():
        got = [r[side] for r in rows if "ratio" in r.get(side, {})]
        if got:
            ratios = [g["ratio"] for g in got]
            mean[side] = {"time": statistics.geometric_mean(g["time"] for g in got), "ratio": statistics.geometric_mean(ratios),
                          "low": min(ratios), "high": max(ratios), "memory": max(g["memory"] for g in got),
                          "first": statistics.geometric_mean(g["first"] for g in got), "agrees": all(g["agrees"] for g in got)}
            above = [g["above"] for g in got if "above" in g]
            if above:
                mean[side]["above"] = statistics.geometric_mean(above)
    return mean


# -- showing -------------------------------------------------------------------------------------------------------------

def _time(seconds: float) -> str:
    if seconds < 1e-6:
        return "<1 µs"
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _line(label: str, row: dict) -> str:
    parts = [f"{label:<32}"]
    for side, r in row.items():
        if "error" in r:
            parts.append(f"{side} failed: {r['error']}")
        elif "ratio" in r and side != "torch":
            parts.append(f"{side} {_time(r['time']):>8}  x{r['ratio']:.2f} ({r['low']:.2f}–{r['high']:.2f})"
                         + ("" if r["agrees"] else " DIFFERS"))
        else:
            parts.append(f"{side} {_time(r['time']):>8}")
    ours, base = row.get("diya", {}), row.get("torch", {})
    if "above" in ours:
        parts.append(f"floor {_floor(ours)}")
    if "first" in ours and "first" in base:
        parts.append(f"first step {_time(ours['first'])} / {_time(base['first'])}")
        parts.append(f"memory {ours['memory']:.0f} / {base['memory']:.0f} MiB")
    return "  ".join(parts)


def _table(rows: dict[str, dict], short: bool = False) -> list[str]:
    sides = list(dict.fromkeys(side for row in rows.values() for side in row if side not in ("diya", "torch")))
    head = ["workload", "diya", "PyTorch", "ratio", *([] if short else ["spread"]), "floor", *sides,
            "first step, diya / PyTorch", "memory, diya / PyTorch"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for label, row in rows.items():
        ours, base = row.get("diya", {}), row.get("torch", {})
        if "ratio" in ours:
            cells = [_time(ours["time"]), _time(base["time"]), _ratio(ours)]
            last = [f"{_time(ours['first'])} / {_time(base['first'])}", f"{ours['memory']:.0f} / {base['memory']:.0f} MiB"]
        else:
            cells, last = [ours.get("error") or base.get("error", "")[:80], "", ""], ["", ""]
        if short and label.startswith(TABLES) and "ratio" in ours:
            cells[2] += f", worst {ours['high']:.2f}"
        if not short:
            cells.append(f"{ours['low']:.2f}–{ours['high']:.2f}" if "ratio" in ours else "")
        cells.append(_floor(ours))
        lines.append("| " + " | ".join([label, *cells, *(_ratio(row.get(side, {})) for side in sides), *last]) + " |")
    return lines


def _floor(ours: dict) -> str:
    """The floor, and how many times it the step takes."""
    if "above" not in ours:
        return "–"
    times = f"×{ours['above']:.1f}" if ours["above"] < 99.95 else f"×{ours['above']:,.0f}"
    return f"{_time(ours['floor'])} ({times})" if "floor" in ours else times


def _ratio(figures: dict) -> str:
    return "–" if "ratio" not in figures else f"{figures['ratio']:.2f}" + ("" if figures["agrees"] else " (results differ)")


def _short(rows: dict[str, dict]) -> dict[str, dict]:
    """The rows with each table of small cases as its geometric mean."""
    short = {label: row for label, row in rows.items() if label.split()[0] not in TABLES}
    for name in TABLES:
        cases = [row for label, row in rows.items() if label.startswith(name + " ")]
        if mean := _mean(cases):
            short[f"{name}, {len(cases)} cases (geometric mean)"] = mean
    return short


def _report(folder: Path, rows: dict[str, dict], version: str, options) -> None:
    import datetime

    saved = folder / "results.json"
    results = json.loads(saved.read_text(encoding="utf-8")) if saved.is_file() else {}
    machine = {"cpu": _cpu(), "torch": version}
    if results.get("machine") != machine:
        results = {"machine": machine, "threads": {}}  # figures of two machines do not stand in one table
    by_threads = results["threads"]
    merged = {**by_threads.get(str(options.threads), {}), **rows}
    order = list(QUICK)
    by_threads[str(options.threads)] = dict(sorted(merged.items(), key=lambda item: order.index(item[0].split()[0])))
    results["date"] = str(datetime.date.today())
    _write(saved, json.dumps(results, indent=1) + "\n")
    full = ["# Results", "", "Made by `diya bench --report`; [README.md](README.md) says how, and how to read it.", ""]
    for threads in sorted(by_threads, key=int):
        full += [f"## {_threads(threads)}", "", _caption(results, threads), "", *_table(by_threads[threads]), ""]
    _write(folder / "results.md", "\n".join(full))
    readme = folder.parent / "README.md"
    text = readme.read_text(encoding="utf-8")
    if BEGIN in text and END in text:
        threads = min(by_threads, key=int)
        short = [_caption(results, threads) + " Losses are shown as plainly as wins; all of it: "
                 "[benchmarks/results.md](benchmarks/results.md).", "", *_table(_short(by_threads[threads]), short=True)]
        head, rest = text.split(BEGIN, 1)
        _write(readme, head + BEGIN + "\n" + "\n".join(short) + "\n" + END + rest.split(END, 1)[1])


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _threads(threads: str) -> str:
    return "1 thread" if threads == "1" else f"{threads} threads"


def _caption(results: dict, threads: str) -> str:
    kind = "CPU time" if threads == "1" else "wall time"
    return (f"Time of a step beside PyTorch {results['machine']['torch']} eager ({kind}), {_threads(threads)}, "
            f"{results['machine']['cpu']}, {results['date']}: the median of interleaved rounds. Below 1.00 diya is faster. "
            "The floor is what diya's kernels would take at this core's measured peak (and how often it fits in a step). "
            "First steps are wall time, which other work on the machine lengthens.")


def _cpu() -> str:
    import platform

    try:
        with open("/proc/cpuinfo") as file:
            model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        model = ""
    return f"{model or platform.processor() or platform.machine()}, {platform.system()}"
