"""Stochastic gradient descent."""

from __future__ import annotations

from ..tensor import Tensor
from ._formulas import add_scaled, negative, scale_add, scale_add_scaled
from .optimizer import RuleOptimizer, check_lr, number

__all__ = ["SGD"]


class SGD(RuleOptimizer):
    """p ← p - lr·b with the momentum buffer b ← momentum·b + (1 - dampening)·(g + weight_decay·p)."""

    _group_defaults = {"nesterov": False, "maximize": False, "foreach": None, "differentiable": False, "fused": False}
    _counts = False

    def __init__(self, params, lr: float | Tensor = 1e-3, momentum: float = 0, dampening: float = 0,
                 weight_decay: float | Tensor = 0, nesterov: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None) -> None:
        check_lr(lr)
        if momentum < 0.0:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if number(weight_decay) < 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused})
        if fused and differentiable:
            raise RuntimeError("`fused` does not support `differentiable`")
        if fused and foreach:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")

    def state_of(self, p, group):
        return self.state[p] if group["momentum"] != 0 else {}

    def tensors(self, p, state, group):
        if group["momentum"] == 0:
            return [p]
        buffer = state.get("momentum_buffer")
        return [p] if buffer is None else [p, buffer]

    def keep(self, p, state, extra):
        state["momentum_buffer"] = extra

    def plan(self, group, step, *numbers):
        momentum, dampening, decay = group["momentum"], group["dampening"], number(group["weight_decay"])
        flags = (decay != 0, momentum != 0, dampening != 0, group["nesterov"], group["maximize"])
        return flags, (-number(group["lr"]), momentum, 1 - dampening, decay), ()

    def update_sparse(self, p, grad, group):
        if number(group["weight_decay"]):
            raise RuntimeError("add(sparse, dense) is not supported: SGD takes sparse gradients with weight_decay=0 only")
        if group["maximize"]:
            grad = -grad
        momentum = group["momentum"]
        if momentum:
            state = self.state[p]
            buffer = state.get("momentum_buffer")
            buffer = grad.clone() if buffer is None else (buffer * momentum + grad * (1 - group["dampening"])).coalesce()
            state["momentum_buffer"] = buffer
            grad = grad + buffer * momentum if group["nesterov"] else buffer
        p.add_(grad, alpha=-number(group["lr"]))

    @staticmethod
    def rule(flags, k, grad, p, buffer=None):
        decays, has_momentum, dampened, nesterov, maximize = flags
        minus_lr, momentum, damp, decay = k
        if maximize:
            grad = negative(grad)
        if decays:
            grad = add_scaled(grad, decay, p)
        if not has_momentum:
            return (add_scaled(p, minus_lr, grad),)
        if buffer is None:  # the first buffer is the first gradient
            buffer = grad.detach() if isinstance(grad, Tensor) else grad
        elif dampened:
            buffer = scale_add_scaled(buffer, momentum, damp, grad)
        else:
            buffer = scale_add(buffer, momentum, grad)
        direction = add_scaled(grad, momentum, buffer) if nesterov else buffer
        return add_scaled(p, minus_lr, direction), buffer
