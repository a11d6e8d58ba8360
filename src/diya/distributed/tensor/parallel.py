"""Modules over several processes, of which there are none."""

from ..._absent import absent

__getattr__ = absent(__name__, "ColwiseParallel ParallelStyle PrepareModuleInput PrepareModuleInputOutput PrepareModuleOutput "
                     "RowwiseParallel SequenceParallel loss_parallel parallelize_module", "diya runs in one process")
