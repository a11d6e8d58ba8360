"""How a tensor is laid over processes, of which there are none."""

from ..._absent import absent

__getattr__ = absent(__name__, "DTensorSpec Partial Placement Replicate Shard TensorMeta _StridedShard", "diya runs in one process")
