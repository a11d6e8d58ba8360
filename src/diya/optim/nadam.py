"""NAdam (Dozat, 2016)."""

from __future__ import annotations

import numpy as np

import diya

from ..tensor import Tensor
from ._formulas import add_scaled, decayed_square, nadam_step, negative, scale
from .adam import check_betas
from .optimizer import RuleOptimizer, check_lr, lerp, lerp_plan, number, scalar_tensor

__all__ = ["NAdam"]


class NAdam(RuleOptimizer):
    """Adam with Nesterov momentum, whose coefficient grows towards beta₁."""

    _group_defaults = {"maximize": False, "foreach": None, "capturable": False, "differentiable": False,
                       "decoupled_weight_decay": False}
    _numbers = ("mu_product",)

    def __init__(self, params, lr: float | Tensor = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *,
                 foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
                 differentiable: bool = False) -> None:
        check_lr(lr)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if not 0.0 <= momentum_decay:
            raise ValueError(f"Invalid momentum_decay value: {momentum_decay}")
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable})

    def begin(self, p, grad, state, group):
        state["step"] = scalar_tensor(0.0)
        state["mu_product"] = scalar_tensor(1.0)
        state["exp_avg"] = diya.zeros_like(p)
        state["exp_avg_sq"] = diya.zeros_like(p)

    def tensors(self, p, state, group):
        return [p, state["exp_avg"], state["exp_avg_sq"]]

    def plan(self, group, step, *numbers):
        beta1, beta2 = group["betas"]
        lr, decay = number(group["lr"]), group["weight_decay"]
        mu = beta1 * (1.0 - 0.5 * (0.96 ** (step * group["momentum_decay"])))
        mu_next = beta1 * (1.0 - 0.5 * (0.96 ** ((step + 1) * group["momentum_decay"])))
        product = float(np.float32(numbers[0]) * np.float32(mu))  # it lives in a float32 tensor
        high, weight = lerp_plan(1 - beta1)
        coupled = decay != 0 and not group["decoupled_weight_decay"]
        decoupled = decay != 0 and group["decoupled_weight_decay"]
        return ((coupled, decoupled, high, group["maximize"]),
                (decay if coupled else 1 - lr * decay, weight, beta2, 1 - beta2, 1 - beta2 ** step, group["eps"],
                 -lr * (1.0 - mu) / (1.0 - product), (-lr * mu_next) / (1.0 - product * mu_next)), (product,))

    @staticmethod
    def rule(flags, k, grad, p, m, v):
        coupled, decoupled, high, maximize = flags
        decay, weight, beta2, one_minus_beta2, correction2, eps, grad_size, mean_size = k
        if maximize:
            grad = negative(grad)
        if coupled:
            grad = add_scaled(grad, decay, p)
        elif decoupled:
            p = scale(p, decay)
        m = lerp(high, m, grad, weight)
        v = decayed_square(v, beta2, one_minus_beta2, grad)
        return nadam_step(p, grad_size, grad, mean_size, m, v, correction2, eps), m, v
