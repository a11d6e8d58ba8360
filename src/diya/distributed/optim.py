"""``torch.distributed.optim``: optimizers over several processes, of which there are none."""

from .._absent import absent

__getattr__ = absent(__name__, "DistributedOptimizer PostLocalSGDOptimizer ZeroRedundancyOptimizer", "diya runs in one process")
