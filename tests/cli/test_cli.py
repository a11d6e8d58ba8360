"""The command line: what each command prints, and how it refuses wrong input."""

import subprocess
import sys

import pytest

from diya.cli import SUMMARIES, main
from diya.cli.progress import ProgressLine, duration


def run(capsys, *arguments):
    try:
        status = main(list(arguments))
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_version_and_help(capsys):
    status, out, _ = run(capsys, "--version")
    assert status == 0 and out.startswith("diya ") and "PyTorch 2." in out
    status, out, _ = run(capsys, "--help")
    assert status == 0 and all(f"\n    {name}" in out for name in SUMMARIES)
    assert run(capsys)[0] == 2


@pytest.mark.parametrize("command", SUMMARIES)
def test_every_command_has_help(capsys, command):
    status, out, _ = run(capsys, command, "--help")
    assert status == 0 and out.startswith(f"usage: diya {command}")


@pytest.mark.parametrize(("arguments", "message"), [
    (["dem"], "invalid choice: 'dem'"),
    (["run"], "required: SCRIPT"),
    (["run", "missing.py"], "diya run: cannot read missing.py: No such file"),
    (["run", "."], "diya run: . is a folder"),
    (["demo", "--epochs", "0"], "--epochs and --batch-size must be at least 1"),
    (["demo", "--epochs", "two"], "invalid int value: 'two'"),
    (["demo", "--resume", "missing.pt"], "there is no checkpoint missing.pt"),
    (["explain", "1 +"], "neither a .py file nor an expression"),
    (["explain", "1 + 1"], "explain shows tensors"),
    (["explain", "torch.ones(2) + torch.ones(3)"], "the expression failed: RuntimeError"),
    (["explain", "torch.ones(2)", "--stages", "all"], "options such as --stages stand before it"),
    (["explain", "--stages", "grpah", "torch.ones(2)"], "there is no stage 'grpah'"),
    (["bench", "nothing"], "there is no workload 'nothing'"),
])
def test_wrong_input_says_what_is_wrong(capsys, monkeypatch, tmp_path, arguments, message):
    if arguments[0] != "bench":
        monkeypatch.chdir(tmp_path)
    if arguments[0] == "explain":
        monkeypatch.setattr("diya.shim.install", lambda: None)
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert message in err and "Traceback" not in err


def test_explain_shows_the_stages_that_were_asked_for():
    done = subprocess.run([sys.executable, "-m", "diya", "explain", "--stages", "graph", "torch.arange(4.).exp()"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "exp" in done.stdout and "graph" in done.stdout and "llvm" not in done.stdout


def test_explain_times_kernels_and_names_their_lines(tmp_path):
    pytest.importorskip("llvmlite")
    script = tmp_path / "step.py"
    script.write_text("import torch\nx = torch.ones(64, 64)\nfor _ in range(3):\n    y = (x @ x).relu()\n    y.sum().item()\n")
    done = subprocess.run([sys.executable, "-m", "diya", "explain", "--time", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "64×64·64×64" in done.stdout and "GFLOP/s" in done.stdout and "it ran 3 times" in done.stdout
    assert "step.py:4  y = (x @ x).relu()" in done.stdout and "graph" not in done.stdout


def test_doctor():
    done = subprocess.run([sys.executable, "-m", "diya", "doctor"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "interpreter" in done.stdout and "works" in done.stdout and "All is well." in done.stdout


class Terminal:
    """A stream that looks like a terminal and keeps what is written."""

    encoding = "utf-8"

    def __init__(self, live):
        self.live, self.text = live, ""

    def isatty(self):
        return self.live

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_progress_on_a_terminal_redraws_and_keeps(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    out = Terminal(live=True)
    line = ProgressLine(out)
    line.update(0.5, "half a way there")
    line.update(0.6, "too soon to draw again")
    line.keep("done")
    assert "━" in out.text and "half a way there" in out.text and "too soon" not in out.text
    assert all(len(part) < 60 for part in out.text.replace("\n", "\r").split("\r"))
    assert out.text.endswith("\n")


def test_progress_without_a_terminal_prints_only_what_is_kept():
    out = Terminal(live=False)
    line = ProgressLine(out)
    line.update(0.5, "half")
    line.keep("done")
    line.end()
    assert out.text == "done\n"


def test_duration():
    assert [duration(s) for s in (0, 9.7, 75, 3600)] == ["0:00", "0:09", "1:15", "60:00"]


def test_the_table_of_a_report_has_floors_and_worst_cases():
    from diya.cli import bench
    ours = {"time": 2e-3, "ratio": 1.5, "low": 1.2, "high": 1.7, "first": 0.1, "memory": 50, "agrees": True}
    theirs = {**ours, "time": 1e-3, "ratio": 1}
    rows = {"matmul 8x8x8": {"diya": {**ours, "floor": 1e-3, "above": 2.0}, "torch": theirs},
            "matmul 9x9x9": {"diya": {**ours, "ratio": 6.0, "floor": 1e-3, "above": 8.0}, "torch": theirs},
            "sdpa": {"diya": ours, "torch": theirs}}
    short, full = "\n".join(bench._table(bench._short(rows), short=True)), "\n".join(bench._table(rows))
    assert "3.00, worst 6.00" in short and "×4.0" in short and "8x8x8" not in short and "sdpa" in short
    assert "1 ms (×2.0)" in full and "1.20–1.70" in full and full.count("\n") == 4
