"""Adamax (Kingma and Ba, arXiv:1412.6980)."""

from __future__ import annotations

import diya

from ..tensor import Tensor
from ._formulas import adamax_norm, add_quotient, add_scaled, negative
from .adam import check_betas
from .optimizer import RuleOptimizer, check_lr, lerp, lerp_plan, number, scalar_tensor

__all__ = ["Adamax"]


class Adamax(RuleOptimizer):
    """Adam with the infinity norm: p ← p - lr·m̂/u with u ← max(beta₂·u, |g| + eps)."""

    _group_defaults = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(self, params, lr: float | Tensor = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, foreach: bool | None = None, *, maximize: bool = False,
                 differentiable: bool = False, capturable: bool = False) -> None:
        check_lr(lr)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable})

    def begin(self, p, grad, state, group):
        state["step"] = scalar_tensor(0.0)
        state["exp_avg"] = diya.zeros_like(p)
        state["exp_inf"] = diya.zeros_like(p)

    def tensors(self, p, state, group):
        return [p, state["exp_avg"], state["exp_inf"]]

    def plan(self, group, step, *numbers):
        beta1, beta2 = group["betas"]
        high, weight = lerp_plan(1 - beta1)
        decay = group["weight_decay"]
        return ((decay != 0, high, group["maximize"]),
                (decay, weight, beta2, group["eps"], -number(group["lr"]) / (1 - beta1 ** step)), ())

    @staticmethod
    def rule(flags, k, grad, p, m, u):
        decays, high, maximize = flags
        decay, weight, beta2, eps, minus_step_size = k
        if maximize:
            grad = negative(grad)
        if decays:
            grad = add_scaled(grad, decay, p)
        m = lerp(high, m, grad, weight)
        u = adamax_norm(u, beta2, grad, eps)
        return add_quotient(p, minus_step_size, m, u), m, u
