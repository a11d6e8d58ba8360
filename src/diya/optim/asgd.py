"""Averaged SGD (Polyak and Juditsky, 1992)."""

from __future__ import annotations

import diya

from ..tensor import Tensor
from ._formulas import add_scaled, lerp_from, negative, scale_add_scaled
from .optimizer import RuleOptimizer, check_lr, number, scalar_tensor

__all__ = ["ASGD"]


class ASGD(RuleOptimizer):
    """SGD with a decaying rate eta and a running average ``ax`` of the parameters."""

    _group_defaults = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}
    _numbers = ("eta", "mu")

    def __init__(self, params, lr: float | Tensor = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
                 weight_decay: float = 0, foreach: bool | None = None, maximize: bool = False,
                 differentiable: bool = False, capturable: bool = False) -> None:
        check_lr(lr)
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable})

    def begin(self, p, grad, state, group):
        state["step"] = scalar_tensor(0.0)
        state["eta"] = scalar_tensor(number(group["lr"]))
        state["mu"] = scalar_tensor(1.0)
        state["ax"] = diya.zeros_like(p)

    def tensors(self, p, state, group):
        return [p, state["ax"]]

    def plan(self, group, step, *numbers):
        eta, mu = numbers
        lr, lambd, decay = number(group["lr"]), group["lambd"], group["weight_decay"]
        new_eta = lr / ((1 + lambd * lr * step) ** group["alpha"])
        new_mu = 1 / max(1, step - group["t0"])
        return (decay != 0, mu != 1, group["maximize"]), (decay, 1 - lambd * eta, -eta, mu), (new_eta, new_mu)

    @staticmethod
    def rule(flags, k, grad, p, average):
        decays, averages, maximize = flags
        decay, shrink, minus_eta, mu = k
        if maximize:
            grad = negative(grad)
        if decays:
            grad = add_scaled(grad, decay, p)
        p = scale_add_scaled(p, shrink, minus_eta, grad)
        return p, lerp_from(average, p, mu) if averages else p
