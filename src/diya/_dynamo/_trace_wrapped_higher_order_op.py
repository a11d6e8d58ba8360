"""`TransformGetItemToIndex`: in PyTorch, lets ``x[i]`` take a batched ``i`` under `torch.func.vmap`."""

from __future__ import annotations

from ..overrides import BaseTorchFunctionMode


class TransformGetItemToIndex(BaseTorchFunctionMode):
    """Changes nothing: `vmap` takes batched indices anyway."""

    def __enter__(self) -> TransformGetItemToIndex:
        return self

    def __exit__(self, *exc) -> None:
        pass
