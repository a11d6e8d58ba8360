"""`TransformGetItemToIndex`: in PyTorch, lets ``x[i]`` take a batched ``i`` under `torch.func.vmap`."""

from __future__ import annotations


class TransformGetItemToIndex:
    """Refused where entered: `vmap` here does not batch an index that is read as a number."""

    def __enter__(self):
        raise NotImplementedError("TransformGetItemToIndex is not supported: index with tensors of one dimension or more")

    def __exit__(self, *exc) -> None:
        pass
