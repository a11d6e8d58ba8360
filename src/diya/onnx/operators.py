"""Operators that an export would see as such."""

from __future__ import annotations

from ..ops.creation import tensor
from ..tensor import Tensor


def shape_as_tensor(x: Tensor) -> Tensor:
    return tensor(list(x.shape))


def reshape_from_tensor_shape(x: Tensor, shape: Tensor) -> Tensor:
    return x.reshape(shape.tolist())
