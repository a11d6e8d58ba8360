"""RAdam (Liu et al., arXiv:1908.03265)."""

from __future__ import annotations

import diya

from ..tensor import Tensor
from ._formulas import add_scaled, decayed_square, negative, radam_rectified_step, radam_step, scale
from .adam import check_betas
from .optimizer import RuleOptimizer, check_lr, lerp, lerp_plan, number, scalar_tensor

__all__ = ["RAdam"]


class RAdam(RuleOptimizer):
    """Adam whose adaptive rate is rectified by its variance, and left out while that is not tractable."""

    _group_defaults = {"foreach": None, "maximize": False, "differentiable": False, "decoupled_weight_decay": False,
                       "capturable": False}

    def __init__(self, params, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
                 maximize: bool = False, capturable: bool = False, differentiable: bool = False) -> None:
        check_lr(lr)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable})

    def begin(self, p, grad, state, group):
        state["step"] = scalar_tensor(0.0)
        state["exp_avg"] = diya.zeros_like(p)
        state["exp_avg_sq"] = diya.zeros_like(p)

    def tensors(self, p, state, group):
        return [p, state["exp_avg"], state["exp_avg_sq"]]

    def plan(self, group, step, *numbers):
        beta1, beta2 = group["betas"]
        lr, decay = number(group["lr"]), group["weight_decay"]
        correction2 = 1 - beta2 ** step
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * step * (beta2 ** step) / correction2
        rectified = rho > 5.0
        rectification = 0.0
        if rectified:
            rectification = ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
        high, weight = lerp_plan(1 - beta1)
        coupled = decay != 0 and not group["decoupled_weight_decay"]
        decoupled = decay != 0 and group["decoupled_weight_decay"]
        return ((coupled, decoupled, high, group["maximize"], rectified),
                (decay if coupled else 1 - lr * decay, weight, beta2, 1 - beta2, 1 - beta1 ** step, lr,
                 correction2 ** 0.5, group["eps"], rectification), ())

    @staticmethod
    def rule(flags, k, grad, p, m, v):
        coupled, decoupled, high, maximize, rectified = flags
        decay, weight, beta2, one_minus_beta2, correction1, lr, root_correction2, eps, rectification = k
        if maximize:
            grad = negative(grad)
        if coupled:
            grad = add_scaled(grad, decay, p)
        elif decoupled:
            p = scale(p, decay)
        m = lerp(high, m, grad, weight)
        v = decayed_square(v, beta2, one_minus_beta2, grad)
        if rectified:
            p = radam_rectified_step(p, m, correction1, lr, v, root_correction2, eps, rectification)
        else:
            p = radam_step(p, m, correction1, lr)
        return p, m, v
