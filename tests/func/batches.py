"""Operators' samples as functions of all of their tensors, and batches of such tensors."""

from __future__ import annotations

from collections.abc import Callable

from ops.samples import built, replaced
from oracle.checker import flatten

import diya
from diya import Tensor


def tensors_in(x) -> list[Tensor]:
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, (list, tuple)):
        return [t for y in x for t in tensors_in(y)]
    return [x] if isinstance(x, Tensor) else []


def sample(call: dict) -> tuple[Callable, list[Tensor]]:
    """(f, tensors): the call as a function from its tensors, each once, to its output's tensors."""
    function, args, kwargs, _ = built(call)
    found = {id(t): t for t in tensors_in([args, kwargs])}

    def f(*xs) -> list[Tensor]:
        mapping = dict(zip(found, xs, strict=True))
        return [o for o in flatten(function(*replaced(args, mapping), **replaced(kwargs, mapping))) if isinstance(o, Tensor)]
    return f, [t.detach() for t in found.values()]


def written(f: Callable, tensors: list[Tensor]) -> list[bool]:
    """Which of its arguments a function writes to: inside of vmap those must be mapped over."""
    copies = [t.clone() for t in tensors]
    f(*copies)
    return [t._version > 0 for t in copies]


def another(t: Tensor) -> Tensor:
    """Values like those of ``t`` (positive definite stays so, positions stay in range), but others."""
    if t.dtype.kind in "fc":
        return t * 0.9
    return t.clone()


def batch(tensors: list[Tensor], which: list[bool]) -> list[Tensor]:
    """Those tensors as batches of two, the others as they are."""
    return [diya.stack([t, another(t)]) if chosen else t for t, chosen in zip(tensors, which, strict=True)]
