"""Adagrad (Duchi et al., 2011)."""

from __future__ import annotations

import diya

from ..tensor import Tensor
from ._formulas import add_over_root, add_scaled, add_square, negative
from .optimizer import RuleOptimizer, check_lr, number, scalar_tensor

__all__ = ["Adagrad"]


class Adagrad(RuleOptimizer):
    """p ← p - lr·g/(√s + eps) with the sum s of g²."""

    _group_defaults = {"foreach": None, "maximize": False, "differentiable": False, "fused": None}

    def __init__(self, params, lr: float | Tensor = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
                 initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *,
                 maximize: bool = False, differentiable: bool = False, fused: bool | None = None) -> None:
        check_lr(lr)
        if not 0.0 <= lr_decay:
            raise ValueError(f"Invalid lr_decay value: {lr_decay}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if not 0.0 <= initial_accumulator_value:
            raise ValueError(f"Invalid initial_accumulator_value value: {initial_accumulator_value}")
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused})
        if fused and differentiable:
            raise RuntimeError("`fused` does not support `differentiable`")
        if fused and foreach:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        for group in self.param_groups:
            for p in group["params"]:
                self.begin(p, p, self.state[p], group)

    def begin(self, p, grad, state, group):
        start = group["initial_accumulator_value"]
        state["step"] = scalar_tensor(0.0)
        with diya.no_grad():
            state["sum"] = diya.full_like(p, complex(start, start) if p.dtype.is_complex else start)

    def share_memory(self) -> None:
        """Moves the state to memory shared between processes."""
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["sum"].share_memory_()

    def tensors(self, p, state, group):
        return [p, state["sum"]]

    def plan(self, group, step, *numbers):
        decay = group["weight_decay"]
        rate = number(group["lr"]) / (1 + (step - 1) * group["lr_decay"])
        return (decay != 0, group["maximize"]), (decay, group["eps"], -rate), ()

    def update_sparse(self, p, grad, group):
        if group["weight_decay"]:
            raise RuntimeError("weight_decay option is not compatible with sparse gradients")
        state = self.state[p]
        state["step"] += 1
        rate = number(group["lr"]) / (1 + (number(state["step"]) - 1) * group["lr_decay"])
        grad = (-grad if group["maximize"] else grad).coalesce()  # the update is not linear in the gradient
        state["sum"].add_(grad.square())
        root = state["sum"].sparse_mask(grad).values().sqrt() + group["eps"]
        p.add_(grad._like(grad.values() / root), alpha=-rate)

    @staticmethod
    def rule(flags, k, grad, p, total):
        decays, maximize = flags
        decay, eps, minus_rate = k
        if maximize:
            grad = negative(grad)
        if decays:
            grad = add_scaled(grad, decay, p)
        total = add_square(total, grad)
        return add_over_root(p, minus_rate, grad, total, eps), total
