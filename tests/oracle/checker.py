#!/usr/bin/env python3
"""PyTorch's recorded answers to its own operator samples, and a checker for any module with its API.

  python tests/oracle/checker.py [--module diya] [--op SUBSTRING]... [--dtype NAME]... [--tier 0|1] [--no-grad]
                                 [--strict-strides] [--again] [--json OUT] [-v]

Prints a line an operator that falls short and a total; the exit status is 0 only if every call agrees.

The recording (PyTorch 2.13, CPU) is two files: ``calls.json.xz``, one JSON object a line, and ``arrays.xz``, the bytes of
all tensors, each distinct array once. A call holds its operator and variant, path ("nn.functional.conv2d",
"Tensor.__getitem__"), dtype, sample number, args, kwargs, out and, in float64, cotangents and grads: the gradients of
sum(real(out * cotangent)) for each differentiable input, in the order in which tensors that require gradients stand in
args and then kwargs; null where PyTorch gives none. A tensor is {"t": offset into the bytes, dtype, shape, stride,
requires_grad}; bfloat16 and complex32 are stored as their bits.
"""

from __future__ import annotations

import argparse
import collections
import functools
import json
import lzma
import os
import sys
import warnings

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))

# Values that PyTorch leaves open: only structure, shape and dtype are compared.
UNINITIALISED = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "empty_permuted", "resize_",
                 "resize_as_"}
# Factors that are unique only up to a sign, phase or order.
GAUGE = {"svd", "linalg.svd", "linalg.eig", "linalg.eigh", "linalg.qr", "qr", "geqrf", "linalg.householder_product", "ormqr",
         "svd_lowrank", "pca_lowrank", "linalg.ldl_factor", "linalg.ldl_factor_ex", "linalg.ldl_solve", "lobpcg"}
TOLERANCE = {"float64": (1e-7, 1e-9), "complex128": (1e-7, 1e-9), "float32": (2e-5, 2e-5), "complex64": (5e-5, 5e-5),
             "float16": (4e-3, 4e-3), "bfloat16": (2e-2, 2e-2)}
LOOSE = ("linalg.", "lu", "cholesky", "pinverse", "logdet", "stft", "istft", "fft", "matrix_exp", "cdist", "special.",
         "polygamma", "ctc_loss", "std", "var")
STORED = {"bfloat16": "uint16", "float16": "uint16", "complex32": "uint16"}  # numpy's type of the stored bytes


class Mismatch(Exception):
    """The module's answer is not PyTorch's."""


@functools.lru_cache(maxsize=1)
def recording() -> tuple[list[dict], bytes]:
    """All calls, in the order of operators, and the bytes of their arrays."""
    with lzma.open(os.path.join(HERE, "calls.json.xz"), "rt") as f:
        calls = [json.loads(line) for line in f]
    with lzma.open(os.path.join(HERE, "arrays.xz")) as f:
        return calls, f.read()


@functools.lru_cache(maxsize=1)
def by_operator() -> dict[str, list[dict]]:
    """The calls of each operator (with its variant: "norm.nuc")."""
    found: dict[str, list[dict]] = {}
    for call in recording()[0]:
        found.setdefault(call["operator"], []).append(call)
    return found


def array_of(record: dict) -> np.ndarray:
    """A recorded tensor's values, half precisions as float32."""
    dtype, shape = record["dtype"], tuple(record["shape"])
    if dtype == "complex32":
        shape += (2,)
    stored = np.dtype(STORED.get(dtype, dtype))
    n = int(np.prod(shape, dtype=np.int64))
    a = np.frombuffer(recording()[1], stored, n, record["t"]).reshape(shape) if n else np.empty(shape, stored)
    if "rolled" in record:
        a = np.roll(a, 1)
    if dtype == "bfloat16":
        return (a.astype(np.uint32) << 16).view(np.float32)
    if dtype == "float16":
        return a.view(np.float16).astype(np.float32)
    if dtype == "complex32":
        f = a.view(np.float16).astype(np.float32)
        return f[..., 0] + 1j * f[..., 1]
    return a


def _tensor(x: dict, module, leaves: list):
    """A recorded tensor, with its strides; appended to ``leaves`` if it needs a gradient."""
    a, dtype, shape, stride = array_of(x), getattr(module, x["dtype"]), x["shape"], x["stride"]
    contiguous, n = True, 1
    for size, step in zip(reversed(shape), reversed(stride), strict=True):
        if size != 1 and step != n:
            contiguous = False
        n *= size
    if contiguous or a.size == 0:
        t = module.tensor(a, dtype=dtype)
    elif 0 in [step for size, step in zip(shape, stride, strict=True) if size > 1]:
        small = a[tuple(slice(0, 1) if step == 0 else slice(None) for step in stride)]
        t = module.tensor(np.ascontiguousarray(small), dtype=dtype).expand(*shape)
    else:
        base = module.zeros(1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True)), dtype=dtype)
        t = base.as_strided(shape, stride)
        t.copy_(module.tensor(a, dtype=dtype))
        t = t.detach()
    if x["requires_grad"]:
        t = t.detach().requires_grad_(True)
        leaves.append(t)
    return t


def decode(x, module, leaves: list):
    """A recorded value as one of ``module``'s."""
    if isinstance(x, list):
        return [decode(v, module, leaves) for v in x]
    if not isinstance(x, dict):
        return x
    if "t" in x:
        return _tensor(x, module, leaves)
    kind, value = next(iter(x.items()))
    if kind == "f":
        return float(value)
    if kind == "c":
        return complex(*map(float, value))
    if kind in ("tuple", "list"):
        return (tuple if kind == "tuple" else list)(decode(v, module, leaves) for v in value)
    if kind == "dict":
        return {k: decode(v, module, leaves) for k, v in value.items()}
    if kind == "torch":
        return getattr(module, value)
    if kind == "device":
        return module.device(value)
    if kind == "slice":
        return slice(*decode(value, module, leaves))
    if kind == "ellipsis":
        return Ellipsis
    raise ValueError(x)


def _compare_tensor(want, got, module, tolerance, values: bool, strict: bool, where: str) -> None:
    if not hasattr(got, "detach"):
        raise Mismatch(f"{where}: expected a tensor, got {type(got).__name__}")
    if list(got.shape) != want["shape"]:
        raise Mismatch(f"{where}: shape {list(got.shape)}, expected {want['shape']}")
    if str(got.dtype).split(".")[-1] != want["dtype"]:
        raise Mismatch(f"{where}: dtype {got.dtype}, expected {want['dtype']}")
    if strict and 0 not in want["shape"]:
        for size, step, expected in zip(want["shape"], got.stride(), want["stride"], strict=True):
            if size != 1 and step != expected:
                raise Mismatch(f"{where}: strides {list(got.stride())}, expected {want['stride']} of size {want['shape']}")
    if not values:
        return
    a, g = array_of(want), got.detach()
    g = g.resolve_conj() if hasattr(g, "resolve_conj") else g
    g = g.resolve_neg() if hasattr(g, "resolve_neg") else g
    if want["dtype"] in ("bfloat16", "float16"):
        g = g.to(module.float32)
    if want["dtype"] == "complex32":
        g = g.to(module.complex64)
    b = np.asarray(g.cpu().numpy())
    if a.dtype.kind in "biu":
        if not np.array_equal(a, b):
            raise Mismatch(f"{where}: {int((a != b).sum())} of {a.size} values differ")
    elif not np.allclose(b, a, rtol=tolerance[0], atol=tolerance[1], equal_nan=True):
        with np.errstate(all="ignore"):
            error = np.nanmax(np.abs(b - a)) if a.size else 0
        raise Mismatch(f"{where}: max error {error:.3g} (expected {a.reshape(-1)[:3]}, got {b.reshape(-1)[:3]})")


def compare(want, got, module, tolerance, values=True, strict=False, where="out") -> None:
    """Raises Mismatch unless ``got`` is what was recorded."""
    if isinstance(want, list):
        want = {"list": want}
    if isinstance(want, dict) and "t" in want:
        return _compare_tensor(want, got, module, tolerance, values, strict, where)
    if isinstance(want, dict) and ("tuple" in want or "list" in want):
        items = want.get("tuple", want.get("list"))
        if not isinstance(got, (tuple, list)):
            raise Mismatch(f"{where}: expected a sequence, got {type(got).__name__}")
        if len(items) != len(got):
            raise Mismatch(f"{where}: {len(got)} items, expected {len(items)}")
        for i, (x, y) in enumerate(zip(items, got, strict=True)):
            compare(x, y, module, tolerance, values, strict, f"{where}[{i}]")
        return
    if isinstance(want, dict) and "torch" in want:
        if str(got).split(".")[-1] != want["torch"]:
            raise Mismatch(f"{where}: {got}, expected {want['torch']}")
        return
    if isinstance(want, dict):
        want = decode(want, module, [])
    if isinstance(want, (float, complex)):
        if not np.allclose(got, want, rtol=tolerance[0], atol=tolerance[1], equal_nan=True):
            raise Mismatch(f"{where}: {got}, expected {want}")
    elif (isinstance(want, (bool, int, str)) or want is None) and values and got != want:
        raise Mismatch(f"{where}: {got!r}, expected {want!r}")


def flatten(x):
    """The tensors in nested sequences and dicts."""
    if hasattr(x, "detach"):
        yield x
    elif isinstance(x, (tuple, list)):
        for v in x:
            yield from flatten(v)
    elif isinstance(x, dict):
        for v in x.values():
            yield from flatten(v)


def function_of(path: str, module):
    """The callable at a path. Raises AttributeError where the module lacks it."""
    function = module
    for part in path.split("."):
        function = getattr(function, part)
    return function


def tolerance_of(call: dict) -> tuple[float, float]:
    rtol, atol = TOLERANCE.get(call["dtype"], (1e-6, 1e-6))
    loose = 50 if call["path"].removeprefix("Tensor.").startswith(LOOSE) else 1
    return rtol * loose, atol * loose


def rolled(x):
    """A recorded value with the elements of each tensor moved on by one: other values with which a call should work, too."""
    if isinstance(x, list):
        return [rolled(v) for v in x]
    if not isinstance(x, dict):
        return x
    return {**x, "rolled": True} if "t" in x else {k: rolled(v) for k, v in x.items()}


def warm_up(call: dict, module, grad: bool) -> None:
    """Makes calls like a recorded one, so that whatever a module remembers of them shows in the answer to that one."""
    other = {"path": call["path"], "args": rolled(call["args"]), "kwargs": rolled(call["kwargs"])}
    for _ in range(3):
        try:
            leaves: list = []
            args, kwargs = decode(other["args"], module, leaves), decode(other["kwargs"], module, leaves)
            outs = [o for o in flatten(function_of(call["path"], module)(*args, **kwargs)) if o.requires_grad]
            if grad and outs and "cotangents" in call:
                module.autograd.grad(outs, leaves, decode(rolled(call["cotangents"]), module, []), allow_unused=True)
        except Exception:
            return  # not every call works with its values moved


def check(call: dict, module, grad: bool = True, strict: bool = False) -> None:
    """Raises Mismatch, or whatever the call raises, if the module does not agree with the record."""
    function = function_of(call["path"], module)
    op = call["path"].removeprefix("Tensor.")
    values = op not in UNINITIALISED and op not in GAUGE
    rtol, atol = tolerance_of(call)
    leaves: list = []
    args, kwargs = decode(call["args"], module, leaves), decode(call["kwargs"], module, leaves)
    out = function(*args, **kwargs)
    compare(call["out"], out, module, (rtol, atol), values, strict)
    if not (grad and values and "grads" in call):
        return
    cotangents = decode(call["cotangents"], module, [])
    outs = [o for o in flatten(out) if o.requires_grad]
    if len(outs) != len(cotangents):
        raise Mismatch(f"grad: {len(outs)} differentiable outputs, expected {len(cotangents)}")
    if len(leaves) != len(call["grads"]["list"]):
        raise Mismatch("grad: inputs differ")
    got = module.autograd.grad(outs, leaves, cotangents, allow_unused=True)
    for i, (w, g) in enumerate(zip(call["grads"]["list"], got, strict=True)):
        if w is None:
            if g is not None and bool((g != 0).any()):
                raise Mismatch(f"grad[{i}]: expected none")
        elif g is None:
            raise Mismatch(f"grad[{i}]: missing")
        else:
            compare(w, g, module, (max(rtol, 1e-6), max(atol, 1e-8)), True, False, f"grad[{i}]")


def describe(error: Exception) -> str:
    text = str(error).splitlines()
    return f"{type(error).__name__}: {text[0][:160] if text else ''}"


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--module", default="diya")
    ap.add_argument("--op", action="append", default=[])
    ap.add_argument("--dtype", action="append", default=[])
    ap.add_argument("--tier", choices=("0", "1"), help="pins diya's tier")
    ap.add_argument("--no-grad", action="store_true")
    ap.add_argument("--strict-strides", action="store_true", help="results must have PyTorch's strides")
    ap.add_argument("--again", action="store_true", help="like calls with other values come before each")
    ap.add_argument("--json")
    ap.add_argument("-v", action="store_true")
    a = ap.parse_args()
    if a.tier:
        os.environ["DIYA_TIER"] = a.tier
    warnings.filterwarnings("ignore")
    np.seterr(all="ignore")
    import importlib
    module = importlib.import_module(a.module)
    per: dict[str, tuple] = {}
    agree = total = 0
    why: collections.Counter = collections.Counter()
    for op, calls in by_operator().items():
        if a.op and not any(s in op for s in a.op):
            continue
        n = ok = 0
        first = None
        for call in calls:
            if a.dtype and call["dtype"] not in a.dtype:
                continue
            n += 1
            try:
                if a.again:
                    warm_up(call, module, not a.no_grad)
                check(call, module, not a.no_grad, a.strict_strides)
                ok += 1
            except Exception as error:
                message = f"{call['dtype']} sample {call['sample']}: {describe(error)}"
                why[type(error).__name__] += 1
                first = first or message
                if a.v:
                    print(f"  {op} {message}")
        if n:
            per[op] = (ok, n, first)
        agree, total = agree + ok, total + n
        if first and not a.v:
            print(f"{op}: {ok}/{n}  {first}")
    whole = sum(ok == n for ok, n, _ in per.values())
    if a.json:
        with open(a.json, "w") as f:
            json.dump(per, f, indent=0)
    print(f"reasons: {dict(why.most_common(8))}" if why else "no mismatch")
    print(f"{whole}/{len(per)} operators whole, {agree}/{total} calls agree")
    sys.exit(agree != total)


if __name__ == "__main__":
    main()
