"""Adam for sparse gradients: only what they have entries for is updated, its moments included (a masked version of Adam)."""

from __future__ import annotations

import math
from typing import Any

import diya

from .optimizer import Optimizer, number

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """`Adam` for parameters with sparse gradients, such as those of ``nn.Embedding(..., sparse=True)``."""

    def __init__(self, params, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 maximize: bool = False) -> None:
        if not 0.0 < number(lr):
            raise ValueError(f"Invalid learning rate: {lr}")
        if not 0.0 < eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        sparse = [i for i, p in enumerate(p for group in self.param_groups for p in group["params"]) if p.is_sparse]
        if sparse:
            raise ValueError(f"Sparse params at indices {sparse}: SparseAdam requires dense parameter tensors")

    @diya.no_grad()
    def step(self, closure=None):
        """One update. Returns what ``closure`` returned."""
        loss = None
        if closure is not None:
            with diya.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, p.grad, group)
        return loss

    def _update(self, p, grad, group) -> None:
        if not grad.is_sparse:
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
        state = self.state[p]
        if not state:
            state.update(step=0, exp_avg=diya.zeros_like(p), exp_avg_sq=diya.zeros_like(p))
        state["step"] += 1
        grad = (-grad if group["maximize"] else grad).coalesce()
        if not grad._nnz():
            return
        beta1, beta2 = group["betas"]
        mean, square = state["exp_avg"].sparse_mask(grad).values(), state["exp_avg_sq"].sparse_mask(grad).values()
        values = grad.values()
        mean_change, square_change = (values - mean) * (1 - beta1), (values.pow(2) - square) * (1 - beta2)
        state["exp_avg"].add_(grad._like(mean_change))
        state["exp_avg_sq"].add_(grad._like(square_change))
        rate = number(group["lr"]) * math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
        p.add_(grad._like((mean + mean_change) / ((square + square_change).sqrt() + group["eps"])), alpha=-rate)
