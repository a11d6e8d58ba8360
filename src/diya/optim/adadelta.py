"""Adadelta (Zeiler, arXiv:1212.5701)."""

from __future__ import annotations

import diya

from ..tensor import Tensor
from ._formulas import adadelta_change, add_scaled, decayed_square, negative
from .optimizer import RuleOptimizer, check_lr, number, scalar_tensor

__all__ = ["Adadelta"]


class Adadelta(RuleOptimizer):
    """p ← p - lr·Δ with Δ = g·√(d + eps)/√(v + eps), for running means v of g² and d of Δ²."""

    _group_defaults = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(self, params, lr: float | Tensor = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0,
                 foreach: bool | None = None, *, capturable: bool = False, maximize: bool = False,
                 differentiable: bool = False) -> None:
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable})

    def begin(self, p, grad, state, group):
        state["step"] = scalar_tensor(0.0)
        state["square_avg"] = diya.zeros_like(p)
        state["acc_delta"] = diya.zeros_like(p)

    def tensors(self, p, state, group):
        return [p, state["square_avg"], state["acc_delta"]]

    def plan(self, group, step, *numbers):
        rho, decay = group["rho"], group["weight_decay"]
        return ((decay != 0, group["maximize"]),
                (decay, rho, 1 - rho, group["eps"], -number(group["lr"])), ())

    @staticmethod
    def rule(flags, k, grad, p, v, d):
        decays, maximize = flags
        decay, rho, one_minus_rho, eps, minus_lr = k
        if maximize:
            grad = negative(grad)
        if decays:
            grad = add_scaled(grad, decay, p)
        v = decayed_square(v, rho, one_minus_rho, grad)
        delta = adadelta_change(grad, d, v, eps)
        return add_scaled(p, minus_lr, delta), v, decayed_square(d, rho, one_minus_rho, delta)
