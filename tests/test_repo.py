"""The repository: metadata that agrees, packages that carry what they need, and what `import diya` may import."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import diya
from diya import version

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "diya"
HEAVY = ("llvmlite", "multiprocessing", "asyncio", "concurrent", "unittest", "zipfile", "pickle", "json", "dataclasses")


def test_one_version():
    assert diya.__version__ in (version.__version__, f"{version.torch_version}+diya.{version.__version__}")
    assert f"## {version.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_two_dependencies():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^dependencies = \[(.*)\]$", text, re.M)
    assert listed and re.findall(r'"([a-z]+)', listed[1]) == ["numpy", "llvmlite"]


def imports_of(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").partition(".")[0]


def test_the_package_imports_nothing_else():
    allowed = set(sys.stdlib_module_names) | {"numpy", "llvmlite", "diya"}
    for path in SOURCE.rglob("*.py"):
        for name in imports_of(path):
            if path.parts[-2] == "demo" and name == "data":
                continue
            optional = {"torch": ("bench.py", "benchmark.py"), "tqdm": ("hub.py",)}.get(name, ())
            assert name in allowed or path.name in optional, f"{path.relative_to(ROOT)} imports {name}"


def test_llvmlite_is_imported_only_where_code_is_compiled():
    for path in SOURCE.rglob("*.py"):
        if "llvmlite" in imports_of(path):
            assert path.relative_to(SOURCE).parts[0] in ("compiler", "runtime"), path


def test_import_is_light():
    code = "import sys; before = set(sys.modules); import numpy; numpys = set(sys.modules); import diya\n" \
           "print('\\n'.join(sorted(set(sys.modules) - numpys)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & set(HEAVY), f"import diya loads {sorted(loaded & set(HEAVY))}: import them where they are used"


def test_links_in_the_documents_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize("page", ["README.md", "examples/README.md"])
def test_python_in_the_documents_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)
    for block in blocks:
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert blocks or page != "README.md"


@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_example_runs_on_diya(script, tmp_path):
    done = subprocess.run([sys.executable, "-m", "diya", "run", str(script), "--quick"], capture_output=True, text=True,
                          cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dev_needs_only_the_standard_library():
    assert set(imports_of(ROOT / "dev.py")) <= set(sys.stdlib_module_names)
    done = subprocess.run([sys.executable, "-I", str(ROOT / "dev.py"), "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "dev.py test" in done.stdout
    done = subprocess.run([sys.executable, "-I", str(ROOT / "dev.py"), "tset"], capture_output=True, text=True)
    assert done.returncode == 2 and "invalid choice: 'tset'" in done.stderr
