"""Adafactor (Shazeer and Stern, arXiv:1804.04235)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diya

from ..tensor import Tensor
from .optimizer import Optimizer, number, scalar_tensor, set_number

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Adam-like rates from a second moment that is kept, for matrices, as its row and column means."""

    def __init__(self, params, lr: float | Tensor = 1e-2, beta2_decay: float = -0.8,
                 eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0.0, *,
                 foreach: bool | None = None, maximize: bool = False) -> None:
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not 0.0 <= number(lr):
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not 0.0 >= beta2_decay:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not 0.0 <= eps[0]:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not 0.0 <= eps[1]:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not 1.0 <= d:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(params, {"lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d,
                                  "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize})

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("foreach", None)
            for p in group["params"]:
                own = self.state.get(p)
                if own and not isinstance(own["step"], Tensor):
                    own["step"] = scalar_tensor(float(own["step"]))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of the parameters that have a gradient."""
        loss = None
        if closure is not None:
            with diya.enable_grad():
                loss = closure()
        with diya.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self._update(p, -p.grad if group["maximize"] else p.grad, group)
        return loss

    def _update(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        if p.is_complex():
            raise RuntimeError("Adafactor does not support complex parameters")
        state = self.state[p]
        if not state:
            state["step"] = scalar_tensor(0.0)
            if grad.dim() > 1:
                state["row_var"] = grad.new_zeros((*grad.shape[:-1], 1))
                state["col_var"] = grad.new_zeros((*grad.shape[:-2], 1, grad.shape[-1]))
            else:
                state["variance"] = diya.zeros_like(grad)
        step = set_number(state["step"], number(state["step"]) + 1)
        eps1, eps2 = group["eps"]
        if eps1 is None:
            eps1 = diya.finfo(p.dtype).eps
        lr, weight_decay = number(group["lr"]), group["weight_decay"]
        weight = step ** group["beta2_decay"]
        rate = (p.norm(2) / (p.numel() ** 0.5)).clamp(min=eps2) * min(lr, 1 / (step ** 0.5))
        if weight_decay != 0:
            p.mul_(1 - lr * weight_decay)
        if grad.dim() > 1:
            rows, cols = state["row_var"], state["col_var"]
            rows.lerp_(grad.square().mean(dim=-1, keepdim=True), weight)
            cols.lerp_(grad.square().mean(dim=-2, keepdim=True), weight)
            variance = rows @ cols / rows.mean(dim=-2, keepdim=True).clamp(min=eps1)
        else:
            variance = state["variance"]
            variance.lerp_(grad * grad, weight)
        update = variance.clamp(min=eps1 * eps1).rsqrt() * grad
        threshold = (update.norm(2) / ((update.numel() ** 0.5) * group["d"])).clamp(min=1.0)
        p.sub_(update * (rate / threshold))
