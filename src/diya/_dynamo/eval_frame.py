"""What `torch.compile` makes of modules in PyTorch. Here modules are returned as they are, so no object is one."""

from __future__ import annotations

from ..nn import Module


class OptimizedModule(Module):
    """No module is one."""


def is_dynamo_supported() -> bool:
    return True
