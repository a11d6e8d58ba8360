#!/usr/bin/env python3
"""Sets up what a task needs, in a virtual environment beside this file, and runs it.

    python3 dev.py demo [ARGUMENTS]    train a network on Fashion-MNIST and look at the results
    python3 dev.py test [OPTIONS]      tests, lint, types, import time, dependencies, and the core without llvmlite
    python3 dev.py lint                ruff and pyright
    python3 dev.py bench [ARGUMENTS]   benchmarks
    python3 dev.py docs                renews docs/operators.md from the operator table

Needs Python 3.10 or later with pip; nothing else. Running again uses what is there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
WINDOWS = os.name == "nt"
IMPORT_LIMIT = 0.25     # seconds over a bare interpreter, on a quiet machine
IMPORT_ALARM = 0.60     # what fails the run, on however busy a one


class Failure(Exception):
    """Something that the person at the keyboard can act on."""


def python_of(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if WINDOWS else "bin/python")


def environment(name: str, packages: list[str], rebuild: bool = False) -> Path:
    """The interpreter of a virtual environment that holds diya (editable) and ``packages``; made if need be."""
    venv = ROOT / f".venv-{name}"
    key = "\n".join([(ROOT / "pyproject.toml").read_text(), str(ROOT), sys.version, *packages])
    wanted = hashlib.sha256(key.encode()).hexdigest()
    stamp = venv / "diya-stamp"
    python = python_of(venv)
    if not rebuild and python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"Setting up {venv.name} (once) ...", flush=True)
    import shutil

    shutil.rmtree(venv, ignore_errors=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, cwd=ROOT)
    except subprocess.CalledProcessError:
        raise Failure("python -m venv failed. On Debian and Ubuntu: apt install python3-venv") from None
    for attempt in range(3):
        done = subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages],
                              cwd=ROOT, capture_output=True, text=True)
        if done.returncode == 0:
            break
        time.sleep(2 * attempt)
    else:
        raise Failure(f"pip could not install {' '.join(packages)}; is there a network?\n\n{done.stderr.strip()[-2000:]}")
    stamp.write_text(wanted)
    return python


def run(python: Path, *arguments: str, cwd: Path = ROOT) -> int:
    """The exit status. Ctrl-C is left to the process that runs, which may have something to save."""
    process = subprocess.Popen([str(python), *arguments], cwd=cwd)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


WITHOUT_LLVMLITE = ("engine", "fuzz", "nn", "optim", "random", "printing", "data", "serialization", "runtime", "cli")


# -- test ----------------------------------------------------------------------------------------------------------------

class Totals:
    """Counts of pytest's closing lines and of the other checks, for one line at the end."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def check(self, name: str, good: bool, text: str = "") -> None:
        print(f"\n{'ok  ' if good else 'FAIL'} {name}{'  ' + text if text else ''}", flush=True)
        self.passed += good
        self.failed += not good

    def pytest(self, name: str, python: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        print(f"\n== {name}", flush=True)
        process = subprocess.Popen([str(python), "-m", "pytest", "-q", *arguments], cwd=ROOT, env={**os.environ, **(env or {})},
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            print(line, end="", flush=True)
            if re.search(r"\d+ (passed|failed|error)", line):
                last = line
        code = process.wait()
        counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", last)}
        failed = counts.get("failed", 0) + counts.get("error", 0) + counts.get("errors", 0)
        self.passed += counts.get("passed", 0)
        self.skipped += counts.get("skipped", 0)
        self.failed += failed or (code != 0)


def import_seconds(python: Path) -> float:
    """The median over 11 fresh processes of importing diya, over that of a bare interpreter."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # as installed: with bytecode

    def median(code: str) -> float:
        times = []
        for _ in range(12):
            started = time.perf_counter()
            subprocess.run([str(python), "-c", code], check=True, cwd=ROOT, env=env)
            times.append(time.perf_counter() - started)
        return sorted(times[1:])[5]
    return median("import diya") - median("pass")


def check_installed(totals: Totals, rebuild: bool) -> None:
    """What `pip install .` brings, and whether it works outside of the repository."""
    python = environment("plain", ["."], rebuild)
    pip = (str(python), "-m", "pip", "--disable-pip-version-check")
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--force-reinstall", "."], cwd=ROOT, check=True)
    listed = subprocess.run([*pip, "list", "--format=freeze"], capture_output=True, text=True, check=True).stdout
    names = {line.partition("==")[0].lower() for line in listed.split()} - {"pip", "setuptools", "wheel", "diya"}
    totals.check("dependencies", names == {"numpy", "llvmlite"}, ", ".join(sorted(names)))
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in (("diya doctor", ["-m", "diya", "doctor"]),
                                ("the demo's images", ["-c", "from diya.demo import data; data.load()"])):
            totals.check(f"installed: {name}", run(python, "-I", *arguments, cwd=Path(folder)) == 0)


def test(options: argparse.Namespace) -> int:
    python = environment("test", ["-e", ".[test,lint]"], options.rebuild)
    env = {"PYTHONWARNINGS": "default"}
    if options.all:
        env |= {"DIYA_LONG_TESTS": "1", "DIYA_FUZZ": str(options.fuzz or 10_000)}
    elif options.fuzz:
        env["DIYA_FUZZ"] = str(options.fuzz)
    totals = Totals()
    selected = ["-k", options.k] if options.k else []
    totals.pytest("tests", python, "-n", "2", *selected, *options.paths, env=env)
    if not selected and not options.paths:
        lint_checks(python, totals)
        seconds = import_seconds(python)
        totals.check("import time", seconds <= (IMPORT_LIMIT if options.strict else IMPORT_ALARM),
                     f"{seconds:.3f} s (wanted: {IMPORT_LIMIT} on a quiet machine)")
        check_installed(totals, options.rebuild)
        bare = environment("bare", ["numpy", "pytest>=8", "pytest-xdist>=3.5", "hypothesis>=6.100"], options.rebuild)
        totals.pytest("without llvmlite", bare, "-n", "2", *(f"tests/{part}" for part in WITHOUT_LLVMLITE))
    print(f"\n{totals.passed} passed, {totals.failed} failed, {totals.skipped} skipped")
    return 1 if totals.failed else 0


def lint_checks(python: Path, totals: Totals) -> None:
    totals.check("ruff", run(python, "-m", "ruff", "check", "src", "tests", "dev.py") == 0)
    totals.check("pyright", run(python, "-m", "pyright", "--pythonpath", str(python)) == 0)


def lint(options: argparse.Namespace) -> int:
    totals = Totals()
    lint_checks(environment("test", ["-e", ".[test,lint]"], options.rebuild), totals)
    return 1 if totals.failed else 0


def docs(options: argparse.Namespace) -> int:
    return run(environment("test", ["-e", ".[test,lint]"], options.rebuild), "tools/operators.py")


def main() -> int:
    if sys.version_info < (3, 10):  # noqa: UP036  (whoever runs this may have an older one)
        raise Failure(f"diya needs Python 3.10 or later; this is {sys.version.split()[0]}")
    parser = argparse.ArgumentParser("dev.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rebuild", action="store_true", help="make the environments anew")
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    for name in ("demo", "bench"):
        tasks.add_parser(name, add_help=False)
    tasks.add_parser("lint")
    tasks.add_parser("docs")
    tester = tasks.add_parser("test")
    tester.add_argument("--all", action="store_true", help="the long checks too: 10,000 fuzzed programs of each kind")
    tester.add_argument("--fuzz", type=int, metavar="N", help="fuzz N programs of each kind")
    tester.add_argument("--strict", action="store_true", help=f"fail if import takes more than {IMPORT_LIMIT} s")
    tester.add_argument("-k", metavar="EXPRESSION", help="only tests that match (pytest's -k), and no other checks")
    tester.add_argument("paths", nargs="*", help="only these tests, and no other checks")
    options, rest = parser.parse_known_args()
    if options.task in ("demo", "bench"):
        return run(environment("run", ["-e", "."], options.rebuild), "-m", "diya", options.task, *rest)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return {"test": test, "lint": lint, "docs": docs}[options.task](options)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"dev.py: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
