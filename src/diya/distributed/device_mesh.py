"""``torch.distributed.device_mesh``: devices of several processes, of which there are none."""

from .._absent import absent

__getattr__ = absent(__name__, "DeviceMesh init_device_mesh", "diya runs in one process")
