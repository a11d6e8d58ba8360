"""Collectives that gradients flow through."""

from __future__ import annotations

from typing import Any

from ...tensor import Tensor
from .. import ReduceOp, _world


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The reduction over one rank is its tensor."""
    _world()
    return tensor.clone()


def all_gather(tensor: Tensor, group: Any = None) -> tuple[Tensor, ...]:
    _world()
    return (tensor.clone(),)


def broadcast(tensor: Tensor, src: int, group: Any = None) -> Tensor:
    _world()
    return tensor.clone()


def reduce(tensor: Tensor, dst: int, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    _world()
    return tensor.clone()
