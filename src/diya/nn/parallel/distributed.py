"""``DistributedDataParallel``: refused where made, for there is one process."""

from __future__ import annotations

from ..modules.module import Module


class DistributedDataParallel(Module):
    """No module is one."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError("torch.nn.parallel.DistributedDataParallel is not supported: diya runs in one process so far")
