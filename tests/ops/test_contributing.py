"""The walk of CONTRIBUTING.md: its operator, put where it says in a copy of the sources, does what it says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRIED = """
import diya as torch
x = torch.tensor([-1e-3, -5.0], dtype=torch.float64, requires_grad=True)
expected = torch.tensor([-6.908255320640, -0.006760749449], dtype=torch.float64)
torch.testing.assert_close(torch.log1mexp(x), expected)
torch.testing.assert_close(x.log1mexp(), expected)
torch.testing.assert_close(x.detach().clone().log1mexp_(), expected)
torch.testing.assert_close(torch.log1mexp(x.detach(), out=torch.empty(0, dtype=torch.float64)), expected)
print(x.log1mexp().grad_fn.name())
"""


@pytest.fixture(scope="module")
def walk() -> tuple[str, str]:
    """The operator as written first, and with the gradient of its own."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    first, ruled = re.findall(r"^```python\n(@operator.*?)^```", page, re.M | re.S)
    return first, ruled + first[first.index("def "):]


@pytest.mark.parametrize("step, node", [(0, "WhereBackward0"), (1, "Log1mexpBackward0")])
def test_adding_an_operator(walk, step, node, tmp_path):
    shutil.copytree(ROOT / "src" / "diya", tmp_path / "diya", ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
    with open(tmp_path / "diya" / "ops" / "elementwise.py", "a", encoding="utf-8") as file:
        file.write("\n\n" + walk[step])

    def run(*arguments):
        done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": str(tmp_path)})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    assert run("-c", TRIED).strip() == node
    assert "log1p" in run("-m", "diya", "explain", "torch.tensor([-1e-3, -5.0]).log1mexp()")
    tests = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", f"pythonpath={tmp_path} tests",
                "tests/ops/test_own_samples.py", "-k", "log1mexp")
    assert re.search(r"\b[34] passed", tests), tests
