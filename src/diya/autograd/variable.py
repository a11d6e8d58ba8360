"""``torch.autograd.Variable``: the old name of a tensor."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor


class VariableMeta(type):
    """Every tensor is a Variable, and calling the class makes a tensor."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)

    def __call__(cls, data: Tensor | None = None, requires_grad: bool = False, volatile: bool = False) -> Tensor:
        made = Tensor() if data is None else data.detach()
        return made.requires_grad_(requires_grad)


class Variable(metaclass=VariableMeta):
    """``Variable(tensor, requires_grad=False)``: a tensor on the same memory."""
