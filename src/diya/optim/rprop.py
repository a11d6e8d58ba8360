"""Rprop (Riedmiller and Braun, 1993)."""

from __future__ import annotations

import diya

from ..tensor import Tensor
from ._formulas import negative, rprop_gradient, rprop_size, rprop_step
from .optimizer import RuleOptimizer, check_lr, number, scalar_tensor

__all__ = ["Rprop"]


class Rprop(RuleOptimizer):
    """Steps of a size of each element's own, which grows while the gradient keeps its sign and shrinks when not."""

    _group_defaults = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(self, params, lr: float | Tensor = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
                 step_sizes: tuple[float, float] = (1e-6, 50), *, capturable: bool = False,
                 foreach: bool | None = None, maximize: bool = False, differentiable: bool = False) -> None:
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable})

    def begin(self, p, grad, state, group):
        state["step"] = scalar_tensor(0.0)
        state["prev"] = diya.zeros_like(p)
        lr = number(group["lr"])
        state["step_size"] = diya.full_like(grad, complex(lr, lr) if p.dtype.is_complex else lr)

    def tensors(self, p, state, group):
        return [p, state["prev"], state["step_size"]]

    def plan(self, group, step, *numbers):
        return group["maximize"], (*group["etas"], *group["step_sizes"], 0.0), ()

    @staticmethod
    def rule(maximize, k, grad, p, previous, size):
        eta_minus, eta_plus, smallest, largest, zero = k
        if maximize:
            grad = negative(grad)
        size = rprop_size(size, grad, previous, eta_minus, eta_plus, smallest, largest, zero)
        grad = rprop_gradient(grad, previous, zero)
        return rprop_step(p, grad, size, zero), grad, size
