"""Forward-mode differentiation with dual tensors (``torch.autograd.forward_ad``).

A dual tensor is a variable on the tape whose tangent is known. The tangent of what was computed from dual tensors is worked
out when it is asked for, by `diya.func.transforms.Linear`: what backward computes is linear in the gradient it starts from,
so its derivative is the product with the Jacobian. Inside of a level everything is put on the tape, ``no_grad`` or not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..tensor import Tensor
from .modes import modes
from .tape import edge_of


class UnpackedDualTensor(NamedTuple):
    """What ``unpack_dual`` returns; the tangent is None where the tensor has none."""

    primal: Tensor
    tangent: Tensor | None


class _Level:
    """The dual tensors of one level: the edges of their variables, and their tangents."""

    def __init__(self):
        from ..func.transforms import Scope
        self.scope = Scope()
        self.grad = modes.grad
        self.edges: list = []
        self.tangents: list[Tensor] = []


_levels: list[_Level] = []


def enter_dual_level() -> int:
    """Opens a level, in which dual tensors can be made; returns its number. Raises RuntimeError in another level."""
    if _levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _levels.append(_Level())
    modes.grad = modes.dual = True
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Closes the level; its dual tensors have no tangents any more."""
    if level not in (None, len(_levels) - 1) or not _levels:
        raise RuntimeError("Trying to exit a forward AD level that was not the last one that was created. This is not supported.")
    modes.grad, modes.dual = _levels.pop().grad, False


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """``tensor`` with a tangent, of its shape and dtype, that is carried through what is computed from it."""
    if not _levels:
        raise RuntimeError("Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() "
                           "first.")
    for name, x in (("tensor", tensor), ("tangent", tangent)):
        if not isinstance(x, Tensor):
            raise TypeError(f"make_dual(): argument '{name}' must be Tensor, not {type(x).__name__}")
    if tensor.dtype.kind not in "fc":
        raise ValueError(f"Expected primal to be floating point or complex, but got: {tensor.dtype}")
    if tangent.dtype.kind not in "fc":
        raise ValueError(f"Expected tangent to be floating point or complex, but got: {tangent.dtype}")
    if tensor.shape != tangent.shape:
        raise RuntimeError(f"Expected tangent to have the same size as the primal: {list(tensor.shape)}, got {list(tangent.shape)}")
    if tensor.dtype is not tangent.dtype:
        raise RuntimeError(f"Expected tangent to have the same dtype as the primal: {tensor.dtype}, got {tangent.dtype}")
    current = _levels[-1]
    if unpack_dual(tensor).tangent is not None:
        raise RuntimeError("make_dual: the tensor has a tangent at this level already")
    dual = current.scope.variable(tensor)
    if getattr(type(dual), "_is_parameter", False):
        dual.__class__ = Tensor  # a dual tensor is no module's parameter
    current.edges.append(edge_of(dual))
    current.tangents.append(tangent)
    return dual


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The tensor without its tangent, and its tangent (None where it does not depend on a dual tensor)."""
    if not _levels or not isinstance(tensor, Tensor) or not tensor.requires_grad:
        return UnpackedDualTensor(tensor, None)
    from ..func.transforms import Linear
    current = _levels[-1]
    reached = current.scope.reached(tensor)
    if not reached:
        return UnpackedDualTensor(tensor, None)
    pairs = [(e, t) for e, t in zip(current.edges, current.tangents, strict=True) if e[0] in reached]
    push = Linear(current.scope, [tensor], [e for e, _ in pairs])
    tangent, = push([t for _, t in pairs])
    return UnpackedDualTensor(*current.scope.settled((tensor, tangent)))


class dual_level:
    """``with dual_level():`` opens a level, and closes it. Outputs must be unpacked inside of it."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *_: Any) -> None:
        exit_dual_level()
