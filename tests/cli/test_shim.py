"""``diya run``: a PyTorch program runs with no edit, and fails as Python does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import diya
from diya import shim


def run(tmp_path: Path, source: str, *arguments: str, module: bool = False):
    script = tmp_path / "script.py"
    script.write_text(source)
    target = ["-m", "script"] if module else [str(script)]
    return subprocess.run([sys.executable, "-m", "diya", "run", *target, *arguments], capture_output=True, text=True,
                          cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(diya.__file__))})


def test_modules_are_the_same_under_both_names(tmp_path):
    done = run(tmp_path, """
import sys
import torch
import torch.nn.functional as F
import torch.optim.lr_scheduler
from torch import nn
from torch.nn.modules.linear import Linear
from torch.utils.data import DataLoader, TensorDataset
import diya, diya.nn.functional
assert torch is diya and F is diya.nn.functional and Linear is nn.Linear is diya.nn.Linear
assert F.__name__ == F.__spec__.name == "diya.nn.functional"
assert __name__ == "__main__" and sys.argv[1:] == ["--lr", "3"], sys.argv
assert tuple(map(int, torch.__version__.split("+")[0].split("."))) >= (2, 0)
loader = DataLoader(TensorDataset(torch.arange(6.).reshape(3, 2), torch.arange(3)), batch_size=2)
print([y.tolist() for x, y in loader])
""", "--lr", "3")
    assert (done.returncode, done.stdout) == (0, "[[0, 1], [2]]\n"), done.stderr


def test_the_script_finds_its_neighbours_and_its_own_name(tmp_path):
    (tmp_path / "neighbour.py").write_text("import torch\nvalue = torch.ones(2)\n")
    source = "import neighbour, sys\nprint(neighbour.value, sys.path[0] == sys.argv[1], __file__)\n"
    done = run(tmp_path, source, str(tmp_path))
    assert done.stdout == f"tensor([1., 1.]) True {tmp_path / 'script.py'}\n", done.stderr


def test_as_a_module(tmp_path):
    done = run(tmp_path, "import sys, torch\nprint(torch.ones(1), __name__, sys.argv[1:])\n", "--flag", module=True)
    assert done.stdout == "tensor([1.]) __main__ ['--flag']\n", done.stderr


def test_what_is_missing_is_named(tmp_path):
    done = run(tmp_path, """
try:
    import torch.no_such_part
except ImportError as error:
    print(error.name, "|", error)
""")
    assert done.stdout.startswith("torch.no_such_part | diya has no torch.no_such_part: "), done.stderr


def test_an_error_is_shown_from_the_scripts_own_line(tmp_path):
    done = run(tmp_path, "import torch\n\ntorch.ones(2) + torch.ones(3)\n")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "script.py" in lines[1] and "line 3" in lines[1]
    assert lines[-1].startswith("RuntimeError: The size of tensor a (2) must match the size of tensor b (3)")


def test_exit_status_and_syntax_error(tmp_path):
    assert run(tmp_path, "import sys\nsys.exit(7)\n").returncode == 7
    done = run(tmp_path, "def f(:\n")
    assert done.returncode == 1 and "SyntaxError" in done.stderr and "diya/cli" not in done.stderr


def test_processes_that_the_script_starts_run_on_diya_too(tmp_path):
    done = run(tmp_path, """
import multiprocessing, subprocess, sys
import torch

def child(n):
    import torch
    return torch.__name__, torch.arange(n).sum().item()

if __name__ == "__main__":
    subprocess.run([sys.executable, "-c", "import torch.nn as nn; print(nn.__name__, flush=True)"], check=True)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(child, [4]))
""")
    assert done.stdout == "diya.nn\n[('torch', 6)]\n", done.stderr


def test_a_torch_that_is_there_already_is_not_replaced(monkeypatch):
    other = type(sys)("torch")
    monkeypatch.setitem(sys.modules, "torch", other)
    with pytest.raises(RuntimeError, match="imported already"):
        shim.install()
    assert sys.modules["torch"] is other


def test_uninstall_leaves_nothing_behind(tmp_path):
    code = """
import os, sys
before = list(sys.path), list(sys.meta_path), os.environ.get("PYTHONPATH", "")
from diya import shim
shim.install()
import torch.nn
shim.uninstall()
assert (list(sys.path), list(sys.meta_path), os.environ.get("PYTHONPATH", "")) == before
assert not [m for m in sys.modules if m.partition(".")[0] == "torch"]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
