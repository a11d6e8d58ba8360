"""Calls of operators for tests made from the table: PyTorch's recorded samples, and what to do with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from oracle.checker import array_of, by_operator, decode, flatten, function_of

import diya


def numel(call: dict) -> int:
    """How large a call's tensors are, all together."""
    total = 0

    def look(x) -> None:
        nonlocal total
        if isinstance(x, dict):
            if "t" in x:
                total += int(np.prod(x["shape"], dtype=np.int64))
            for v in x.values():
                look(v)
        elif isinstance(x, list):
            for v in x:
                look(v)
    look([call["args"], call["kwargs"], call["out"]])
    return total


def calls(op: str, dtype: str, largest: int = 2000) -> list[dict]:
    """An operator's recorded calls of a dtype, the smallest first but those on nothing (empty or 0-dim) last."""
    found = [c for c in by_operator().get(op, []) if c["dtype"] == dtype and numel(c) <= largest]
    return sorted(found, key=lambda c: (numel(c) < 4, numel(c)))


def built(call: dict, wide: bool = False) -> tuple[Callable, tuple, dict, list]:
    """(function, args, kwargs, leaves): the call's values as tensors; with ``wide``, complex64 ones as complex128."""
    function = function_of(call["path"], diya)
    leaves: list = []
    if not wide:
        return function, decode(call["args"], diya, leaves), decode(call["kwargs"], diya, leaves), leaves

    def make(x):
        if isinstance(x, dict) and x.get("dtype") == "complex64" and "t" in x:
            t = diya.tensor(array_of(x).astype(np.complex128)).requires_grad_()
            leaves.append(t)
            return t
        if isinstance(x, dict) and "t" not in x and next(iter(x), None) in ("tuple", "list", "dict"):
            kind, value = next(iter(x.items()))
            if kind == "dict":
                return {k: make(v) for k, v in value.items()}
            return (tuple if kind == "tuple" else list)(make(v) for v in value)
        return decode(x, diya, [])
    return function, make(call["args"]), make(call["kwargs"]), leaves


def replaced(x, mapping: dict):
    """The value with tensors exchanged by identity."""
    if isinstance(x, dict):
        return {k: replaced(v, mapping) for k, v in x.items()}
    if isinstance(x, (tuple, list)):
        return type(x)(replaced(v, mapping) for v in x)
    return mapping.get(id(x), x)


def differentiable(out) -> list:
    return [o for o in flatten(out) if o.requires_grad]


def direction(rng, t) -> np.ndarray:
    a = rng.standard_normal(t.shape)
    return a + 1j * rng.standard_normal(t.shape) if t.dtype.is_complex else a


def slope(f: Callable, xs: list, ys: list[np.ndarray], us: list[np.ndarray], eps: float = 1e-6) -> float:
    """d/dε of Σ Re(conj(y) · f(x + ε u)), by central differences."""
    def at(step: float) -> float:
        moved = [diya.tensor(x.detach().numpy() + step * u).requires_grad_(x.requires_grad) for x, u in zip(xs, us, strict=True)]
        return sum(float(np.real(np.conj(y) * o.detach().numpy()).sum()) for y, o in zip(ys, f(moved), strict=True))
    return (at(eps) - at(-eps)) / (2 * eps)


def first_order(call: dict, wide: bool = False) -> tuple[Callable, list] | None:
    """(f, leaves): f maps leaves to the call's differentiable outputs; None where there is nothing to differentiate."""
    function, args, kwargs, leaves = built(call, wide)
    if not leaves or not differentiable(function(*args, **kwargs)):
        return None

    def f(xs: list) -> list:
        mapping = {id(a): b for a, b in zip(leaves, xs, strict=True)}
        return differentiable(function(*replaced(args, mapping), **replaced(kwargs, mapping)))
    return f, leaves


def gradients(f: Callable) -> Callable:
    """The function of leaves and cotangents (in one list) that gives the leaves' gradients, on the tape."""
    def g(values: list) -> list:
        n = g.leaves  # type: ignore[attr-defined]
        outs = f(values[:n])
        grads = diya.autograd.grad(outs, values[:n], values[n:], create_graph=True, allow_unused=True)
        return [x for x in grads if x is not None]
    return g


def check_directional(f: Callable, leaves: list, rng, keeping: Callable, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    """The derivative along a random direction, by the tape and by differences (not where those are NaN)."""
    outs = f(leaves)
    ys = [direction(rng, o) for o in outs]
    us = [keeping(k, direction(rng, x)) for k, x in enumerate(leaves)]
    pairs = [(o, diya.tensor(y)) for o, y in zip(outs, ys, strict=True) if o.requires_grad]
    if not pairs:
        return
    grads = diya.autograd.grad([o for o, _ in pairs], leaves, [y for _, y in pairs], allow_unused=True)
    tape = sum(float(np.real(np.conj(g.detach().numpy()) * u).sum()) for g, u in zip(grads, us, strict=True) if g is not None)
    numeric = slope(f, leaves, ys, us)
    assert np.isclose(tape, numeric, rtol=rtol, atol=atol * max(1.0, abs(numeric)), equal_nan=True) or np.isnan(numeric), \
        f"along a direction the tape says {tape}, differences say {numeric}"


def operators() -> Iterator[str]:
    yield from by_operator()
