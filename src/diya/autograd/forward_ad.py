"""``torch.autograd.forward_ad``: no dual tensors. `torch.func.jvp` computes products with the Jacobian."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple


class UnpackedDualTensor(NamedTuple):
    primal: Any
    tangent: Any


def unpack_dual(tensor: Any, *, level: int | None = None) -> UnpackedDualTensor:
    """``(tensor, None)``: no tensor has a tangent."""
    return UnpackedDualTensor(tensor, None)


def make_dual(tensor: Any, tangent: Any, *, level: int | None = None):
    raise NotImplementedError("torch.autograd.forward_ad.make_dual is not supported. Use torch.func.jvp")


@contextlib.contextmanager
def dual_level() -> Iterator[int]:
    """A level, in which no dual tensor can be made."""
    yield 0
