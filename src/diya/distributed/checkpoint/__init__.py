"""``torch.distributed.checkpoint``: files that several processes write, of which there are none."""

from ..._absent import absent

__getattr__ = absent(__name__, """DefaultLoadPlanner DefaultSavePlanner FileSystemReader FileSystemWriter LoadPlan LoadPlanner
    SavePlan SavePlanner StorageReader StorageWriter async_save load load_sharded_optimizer_state_dict load_state_dict save
    save_state_dict""", "diya runs in one process: use torch.save and torch.load")
