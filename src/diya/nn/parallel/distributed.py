"""``DistributedDataParallel`` in a world of one process: the module itself, under the name ``module``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..modules.module import Module


class DistributedDataParallel(Module):
    """Runs its module. The gradients of one process are already those of all."""

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0,
                 broadcast_buffers: bool = True, init_sync: bool = True, process_group: Any = None, bucket_cap_mb: Any = None,
                 find_unused_parameters: bool = False, check_reduction: bool = False, gradient_as_bucket_view: bool = False,
                 static_graph: bool = False, **options: Any):
        super().__init__()
        from ...distributed import get_world_size
        get_world_size()  # raises ValueError where no group was started
        if device_ids:
            raise ValueError(f"DistributedDataParallel device_ids and output_device arguments only work with GPU modules, got "
                             f"device_ids={device_ids}: diya computes on the CPU, so leave them out")
        if not any(p.requires_grad for p in module.parameters()):
            raise RuntimeError("DistributedDataParallel is not needed when a module doesn't have any parameter that requires a "
                               "gradient.")
        self.module = module
        self.device_ids, self.process_group, self.find_unused_parameters = None, process_group, find_unused_parameters

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients in the block are not exchanged: they never need to be."""
        yield
