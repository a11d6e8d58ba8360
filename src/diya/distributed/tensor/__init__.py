"""``torch.distributed.tensor``: tensors over several processes, of which there are none."""

from ..._absent import absent

__getattr__ = absent(__name__, "DTensor Partial Placement Replicate Shard distribute_module distribute_tensor empty full ones rand "
                     "randn zeros", "diya runs in one process")
