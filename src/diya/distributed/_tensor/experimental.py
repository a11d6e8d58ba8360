"""What PyTorch tries out with tensors over several processes."""

from ..._absent import absent

__getattr__ = absent(__name__, "implicit_replication context_parallel local_map register_sharding", "diya runs in one process")
