"""Gradient scaling over several processes, of which there are none."""

from ..._absent import absent

__getattr__ = absent(__name__, "ShardedGradScaler", "diya runs in one process: use torch.amp.GradScaler")
