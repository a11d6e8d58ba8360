#!/usr/bin/env python3
"""Writes docs/operators.md from the operator table: what is there, for which dtypes, and where it runs.

  python tools/operators.py [--check]

``--check`` writes nothing and fails if the page is not what the table says. Dtypes are those for which PyTorch's recorded
answers are checked (tests/oracle); the tier is found by running a recorded call in float32 (or what it has) and asking the
compiler which steps become native code.
"""

from __future__ import annotations

import os
import sys
import warnings

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "src"), os.path.join(ROOT, "tests")]

from func.batches import batch, sample  # noqa: E402
from oracle.checker import by_operator, decode, flatten, function_of  # noqa: E402
from oracle.exceptions import ABSENT, EXCEPTIONS  # noqa: E402

import diya  # noqa: E402
from diya import engine  # noqa: E402
from diya.compiler.support import native  # noqa: E402
from diya.func import batching, jvp, levels, vmap  # noqa: E402
from diya.ops import OPERATORS  # noqa: E402

PAGE = os.path.join(ROOT, "docs", "operators.md")
SHORT = {"float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16", "int64": "i64", "uint8": "u8", "bool": "bool",
         "complex64": "c64", "int32": "i32"}
ORDER = ["bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64"]
FAMILIES = (("linalg.", "torch.linalg"), ("fft.", "torch.fft"), ("special.", "torch.special"), ("masked.", "torch.masked"),
            ("signal.windows.", "torch.signal.windows"), ("nn.functional.", "torch.nn.functional"), ("", "torch and torch.Tensor"))

HEAD = """# Operators

Made from the operator table by `python tools/operators.py`; do not edit.

- **dtypes**: those for which results are checked against PyTorch's recorded answers, on both tiers. A dash: the recording
  has no call of this name (it is another name of an operator that has, draws random numbers, or is tested elsewhere).
- **gradient**: `own` has a rule of its own, `composed` differentiates through the operators it is made of, a dash has none.
- **forward**: `yes` where forward mode (`torch.func.jvp`, `torch.autograd.forward_ad`) works: what has a gradient that is
  differentiable has it.
- **vmap**: `whole` where a batch is one operation, `each` where the elements are computed one by one (an error where their
  results differ in shape); a dash where there is no call to try, or its result is no tensor.
- **forms**: `m` method, `i` in place (`name_`), `o` takes `out=`.
- **tier**: `native` where every step of a float32 call becomes compiled code; otherwise the steps that run on numpy.
"""


def visible(path: str) -> bool:
    """Whether the path is a public name, not a part of another operator (".plain", ".real")."""
    prefix = next(p for p, _ in FAMILIES if path.startswith(p))
    rest = path[len(prefix):].removeprefix("Tensor.")
    return "." not in rest


def tier(op: str) -> str:
    """"native", or the primitives of a recorded call that run on numpy; "" where there is no call to run."""
    calls = [c for c in by_operator().get(op, []) if '"shape": []' not in str(c["args"])]
    calls.sort(key=lambda c: (c["dtype"] != "float32", len(str(c))))
    seen: set[str] = set()
    ran = False

    def listen(graph) -> None:
        nonlocal ran
        ran = True
        for i, n in enumerate(graph.code):
            if not native(graph, i) and n.op.kind != "pick":
                seen.add(n.op.name)
    for call in calls[:1]:
        args, kwargs = decode(call["args"], diya, []), decode(call["kwargs"], diya, [])
        with engine.Tier(0), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            engine.listeners.append(listen)
            try:
                for t in flatten(function_of(call["path"], diya)(*args, **kwargs)):
                    t.detach().tolist()
            except Exception:
                ran = False
            finally:
                engine.listeners.remove(listen)
    if not calls:
        return "–"
    return "view" if not ran and not seen else "native" if not seen else ", ".join(sorted(seen))


def _first(op: str, dtypes: tuple[str, ...]) -> dict | None:
    """The shortest call, of tensors that have dimensions and elements if there is one."""
    calls = [c for d in dtypes for c in by_operator().get(op, []) if c["dtype"] == d]
    return min(calls, key=lambda c: ("'shape': []" in str(c) or "'shape': [0" in str(c), len(str(c))), default=None)


def forward(op: str) -> str:
    """"yes" if a recorded call has a derivative along a direction."""
    call = _first(op, ("float64",)) or _first(op, ("complex64",))
    if call is None:
        return "–"
    with engine.Tier(0), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            f, tensors = sample(call)
            places = [i for i, t in enumerate(tensors) if t.dtype.is_floating_point or t.dtype.is_complex]

            def g(*xs):
                given = list(tensors)
                for i, x in zip(places, xs, strict=True):
                    given[i] = x
                return [o for o in f(*given) if o.requires_grad]
            inputs = tuple(tensors[i] for i in places)
            _, tangents = jvp(g, inputs, tuple(diya.ones_like(x) for x in inputs))
            return "yes" if tangents else "–"
        except Exception:
            return "–"


def batched(op: str) -> str:
    """How a recorded call runs inside of vmap."""
    call = _first(op, ("float64", "float32", "int64", "bool", "complex64"))
    if call is None:
        return "–"
    apart = False

    def noting(function):
        def run(*args):
            nonlocal apart
            apart = True
            return function(*args)
        return run
    before = batching._one_by_one, levels.one_by_one
    batching._one_by_one, levels.one_by_one = noting(before[0]), noting(before[1])
    try:
        with engine.Tier(0), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            f, tensors = sample(call)
            if not tensors:
                return "–"
            vmap(f, randomness="different")(*batch(tensors, [True] * len(tensors)))
            return "each" if apart else "whole"
    except Exception:
        return "–"
    finally:
        batching._one_by_one, levels.one_by_one = before


def recorded(path: str) -> list[str]:
    """The recording's names for an operator: itself, and its variants ("norm.nuc")."""
    short = path.removeprefix("Tensor.")
    return [op for op in by_operator() if op == short or op.startswith(short + ".") and op not in OPERATORS]


def row(path: str) -> str:
    record = OPERATORS[path]
    names = recorded(path)
    found = {c["dtype"] for op in names for c in by_operator()[op]}
    dtypes = " ".join(SHORT[d] for d in ORDER if d in found) or "–"
    differentiable = record.differentiable and not (record.rule is not None and not record.rule.grad)
    gradient = "–" if not differentiable else "own" if record.rule is not None else "composed"
    forms = "".join(letter for letter, has in (("m", record.methods), ("i", record.inplace), ("o", record.out)) if has)
    alias = f" ({', '.join(record.aliases)})" if record.aliases else ""
    where = tier(names[0]) if names else "–"
    name = path if path.startswith("Tensor.") else path.rpartition(".")[2]
    along = "yes" if differentiable and any(forward(op) == "yes" for op in names) else "–"
    batches = next((found for found in map(batched, names) if found != "–"), "–")
    return f"| `{name}`{alias} | {dtypes} | {gradient} | {along} | {batches} | {forms or '–'} | {where} |"


def page() -> str:
    lines = [HEAD]
    done: set[str] = set()
    for prefix, title in FAMILIES:
        paths = sorted(p for p in OPERATORS if p.startswith(prefix) and p not in done and visible(p))
        done |= {p for p in OPERATORS if p.startswith(prefix)} if prefix else set()
        lines += [f"\n## {title} ({len(paths)})\n",
                  "| operator | dtypes | gradient | forward | vmap | forms | tier |", "|---|---|---|---|---|---|---|"]
        lines += [row(p) for p in paths]
    present = [op for op, calls in by_operator().items() if op not in ABSENT and _has(calls[0]["path"])]
    lines += [f"\n## What is not there\n\nOf the {len(by_operator())} operators in PyTorch's own test samples, {len(present)} are "
              f"there." + (" Absent:\n" if len(present) < len(by_operator()) else "")]
    lines += [f"- `{op}`: {ABSENT.get(op, 'not implemented yet')}" for op in by_operator() if op not in present]
    lines += ["\nOperators on quantized and nested tensors, and those of accelerators' libraries (`cudnn_*`, `miopen_*`, "
              "`mkldnn_*`), are absent.\n\n## Where results differ from PyTorch's\n"]
    reasons: dict[tuple[str, str], list[str]] = {}
    for (op, dtype, _, _), why in EXCEPTIONS.items():
        reasons.setdefault((op, why), []).append(SHORT.get(dtype, "all dtypes"))
    lines += [f"- `{op}` ({', '.join(dict.fromkeys(found))}): {why}" for (op, why), found in reasons.items()]
    return "\n".join(lines) + "\n"


def _has(path: str) -> bool:
    try:
        function_of(path, diya)
    except AttributeError:
        return False
    return True


def main() -> None:
    text = page()
    if "--check" in sys.argv:
        with open(PAGE, encoding="utf-8") as f:
            if f.read() != text:
                sys.exit("docs/operators.md is not what the operator table says: run python tools/operators.py")
        return
    os.makedirs(os.path.dirname(PAGE), exist_ok=True)
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main()
