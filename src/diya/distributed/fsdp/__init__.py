"""``torch.distributed.fsdp``: modules spread over several processes, of which there are none."""

from ..._absent import absent

__getattr__ = absent(__name__, """BackwardPrefetch CPUOffload CPUOffloadPolicy FSDPModule FullOptimStateDictConfig
    FullStateDictConfig FullyShardedDataParallel LocalOptimStateDictConfig LocalStateDictConfig MixedPrecision
    MixedPrecisionPolicy OffloadPolicy OptimStateDictConfig OptimStateKeyType ShardedOptimStateDictConfig
    ShardedStateDictConfig ShardingStrategy StateDictConfig StateDictSettings StateDictType fully_shard
    register_fsdp_forward_method""", "diya runs in one process")
