"""RMSprop (Hinton, lecture notes, 2012)."""

from __future__ import annotations

import diya

from ..tensor import Tensor
from ._formulas import add_over_root, add_scaled, decayed_square, momentum_over_root, negative, subtract_square
from .optimizer import RuleOptimizer, check_lr, lerp, lerp_plan, number, scalar_tensor

__all__ = ["RMSprop"]


class RMSprop(RuleOptimizer):
    """p ← p - lr·g/(√v + eps) with the running mean v of g²; ``centered`` subtracts the squared mean of g."""

    _group_defaults = {"momentum": 0, "centered": False, "foreach": None, "maximize": False, "differentiable": False,
                       "capturable": False}

    def __init__(self, params, lr: float | Tensor = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
                 weight_decay: float = 0, momentum: float = 0, centered: bool = False, capturable: bool = False,
                 foreach: bool | None = None, maximize: bool = False, differentiable: bool = False) -> None:
        check_lr(lr)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        if not 0.0 <= momentum:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if not 0.0 <= alpha:
            raise ValueError(f"Invalid alpha value: {alpha}")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable})

    def begin(self, p, grad, state, group):
        state["step"] = scalar_tensor(0.0)
        state["square_avg"] = diya.zeros_like(p)
        if group["momentum"] > 0:
            state["momentum_buffer"] = diya.zeros_like(p)
        if group["centered"]:
            state["grad_avg"] = diya.zeros_like(p)

    def tensors(self, p, state, group):
        out = [p, state["square_avg"]]
        if group["momentum"] > 0:
            out.append(state["momentum_buffer"])
        if group["centered"]:
            out.append(state["grad_avg"])
        return out

    def plan(self, group, step, *numbers):
        alpha, decay, momentum = group["alpha"], group["weight_decay"], group["momentum"]
        high, weight = lerp_plan(1 - alpha)
        return ((decay != 0, momentum > 0, group["centered"], high, group["maximize"]),
                (decay, alpha, 1 - alpha, weight, group["eps"], momentum, -number(group["lr"])), ())

    @staticmethod
    def rule(flags, k, grad, p, v, *rest):
        decays, has_momentum, centered, high, maximize = flags
        decay, alpha, one_minus_alpha, weight, eps, momentum, minus_lr = k
        if maximize:
            grad = negative(grad)
        if decays:
            grad = add_scaled(grad, decay, p)
        v = decayed_square(v, alpha, one_minus_alpha, grad)
        variance, out = v, []
        if centered:
            mean = lerp(high, rest[-1], grad, weight)
            variance = subtract_square(v, mean)
            out.append(mean)
        if not has_momentum:
            return add_over_root(p, minus_lr, grad, variance, eps), v, *out
        buffer = momentum_over_root(rest[0], momentum, grad, variance, eps)
        return add_scaled(p, minus_lr, buffer), v, buffer, *out
