"""Adam, and AdamW with it (Kingma and Ba, arXiv:1412.6980; Loshchilov and Hutter, arXiv:1711.05101)."""

from __future__ import annotations

import diya

from ..tensor import Tensor
from ._formulas import adam_step, adamw_step, add_scaled, decayed_square, larger, negative
from .optimizer import RuleOptimizer, check_lr, lerp, lerp_plan, number, scalar_tensor

__all__ = ["Adam"]


def check_betas(betas) -> None:
    for i, beta in enumerate(betas):
        if not 0.0 <= number(beta) < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


class Adam(RuleOptimizer):
    """p ← p - lr·m̂/(√v̂ + eps), with running means m of g and v of g², corrected for their start at zero."""

    _group_defaults = {"amsgrad": False, "maximize": False, "foreach": None, "capturable": False,
                       "differentiable": False, "decoupled_weight_decay": False, "fused": None}

    def __init__(self, params, lr: float | Tensor = 1e-3, betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None,
                 maximize: bool = False, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None, decoupled_weight_decay: bool = False) -> None:
        check_lr(lr, foreach, capturable)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay})
        if fused and differentiable:
            raise RuntimeError("`fused` does not support `differentiable`")
        if fused and foreach:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")

    def begin(self, p, grad, state, group):
        state["step"] = scalar_tensor(0.0)
        state["exp_avg"] = diya.zeros_like(p)
        state["exp_avg_sq"] = diya.zeros_like(p)
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = diya.zeros_like(p)

    def tensors(self, p, state, group):
        if group["amsgrad"]:
            return [p, state["exp_avg"], state["exp_avg_sq"], state["max_exp_avg_sq"]]
        return [p, state["exp_avg"], state["exp_avg_sq"]]

    def plan(self, group, step, *numbers):
        beta1, beta2 = (number(beta) for beta in group["betas"])
        lr, decay = number(group["lr"]), group["weight_decay"]
        correction2 = (1 - beta2 ** step) ** 0.5
        high, weight = lerp_plan(1 - beta1)
        coupled = decay != 0 and not group["decoupled_weight_decay"]
        decoupled = decay != 0 and group["decoupled_weight_decay"]
        flags = (coupled, decoupled, high, group["maximize"])
        return flags, (decay if coupled else 1 - lr * decay, weight, beta2, 1 - beta2, correction2, group["eps"],
                       -lr / (1 - beta1 ** step)), ()

    @staticmethod
    def rule(flags, k, grad, p, m, v, v_max=None):
        coupled, decoupled, high, maximize = flags
        decay, weight, beta2, one_minus_beta2, correction2, eps, minus_step_size = k
        if maximize:
            grad = negative(grad)
        if coupled:
            grad = add_scaled(grad, decay, p)
        m = lerp(high, m, grad, weight)
        v = decayed_square(v, beta2, one_minus_beta2, grad)
        largest = v
        if v_max is not None:
            v_max = largest = larger(v_max, v)
        if decoupled:
            p = adamw_step(p, decay, minus_step_size, m, largest, correction2, eps)
        else:
            p = adam_step(p, minus_step_size, m, largest, correction2, eps)
        return (p, m, v) if v_max is None else (p, m, v, v_max)
