"""SparseAdam needs sparse gradients, which are not supported."""

from __future__ import annotations

from .optimizer import Optimizer

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """Refused: diya has no sparse gradients."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps: float = 1e-8, maximize: bool = False) -> None:
        raise NotImplementedError("SparseAdam: sparse gradients are not supported; use Adam")
