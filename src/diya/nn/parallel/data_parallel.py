"""`DataParallel` on a machine without several GPUs."""

from __future__ import annotations

from typing import Any

from ..modules.module import Module

__all__ = ["DataParallel", "data_parallel"]


class DataParallel(Module):
    """Calls ``module``: with no GPU to split the batch over, it is what PyTorch does too."""

    def __init__(self, module: Module, device_ids=None, output_device=None, dim: int = 0) -> None:
        super().__init__()
        if device_ids:
            raise NotImplementedError("DataParallel: no GPU is supported, so device_ids must be empty, got "
                                      f"{device_ids}")
        self.module = module
        self.device_ids: list = []
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


def data_parallel(module: Module, inputs: Any, device_ids=None, output_device=None, dim: int = 0,
                  module_kwargs: dict | None = None) -> Any:
    """``module(*inputs, **module_kwargs)``: there is no GPU to split the batch over."""
    return DataParallel(module, device_ids)(*(inputs if isinstance(inputs, tuple) else (inputs,)), **(module_kwargs or {}))
