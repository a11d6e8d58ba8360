"""Arguments and results of transforms: nested containers (``torch.utils._pytree``) with tensors at the leaves."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..tensor import Tensor
from ..utils._pytree import tree_flatten, tree_unflatten

Rebuild = Callable[[list], Any]


def flatten(tree: Any) -> tuple[list[Tensor], Rebuild]:
    """The tensors of a tree, and the function that puts others in their places."""
    leaves, spec = tree_flatten(tree)
    places = [i for i, x in enumerate(leaves) if isinstance(x, Tensor)]

    def rebuild(tensors: list) -> Any:
        filled = list(leaves)
        for i, x in zip(places, tensors, strict=True):
            filled[i] = x
        return tree_unflatten(filled, spec)
    return [leaves[i] for i in places], rebuild


def only_tensors(tree: Any, message: Callable[[str], str], error: type[Exception] = RuntimeError) -> tuple[list[Tensor], Rebuild]:
    """As ``flatten``; raises ``error`` with ``message(type)`` for a leaf that is no tensor."""
    leaves, spec = tree_flatten(tree)
    for x in leaves:
        if not isinstance(x, Tensor):
            raise error(message(type(x).__name__))
    return leaves, lambda tensors: tree_unflatten(tensors, spec)


def transformed(made: Callable, transform: Callable[[Callable], Callable], func: Callable) -> Callable:
    """``made``, which is ``transform(func)``, as users call it: calls that come again are captured (`diya.capture`)."""
    remembered: Any = None  # False after the first call: most transforms are called once

    @wraps(func, updated=())  # what marks ``func`` does not mark this
    def call(*args, **kwargs):
        nonlocal remembered
        if not remembered:
            if remembered is None:
                remembered = False
                return made(*args, **kwargs)
            from ..capture import Remembered
            remembered = Remembered(made, call)
        return remembered(args, kwargs)
    call._diya_transform = transform, func  # type: ignore[attr-defined]
    return call


def same_structure(name: str, what: str, tree: Any, of: str, other: Any) -> list[Tensor]:
    """The leaves of a tree that is built as another one is. Raises RuntimeError where it is not."""
    leaves, spec = tree_flatten(tree)
    wanted = tree_flatten(other)[1]
    if spec != wanted:
        raise RuntimeError(f"{name}: Expected {what} to have the same structure as {of}, got {spec} for {wanted}")
    return leaves
