"""Parallel modules."""

from ..._absent import absent as _absent
from .data_parallel import DataParallel as DataParallel
from .data_parallel import data_parallel as data_parallel
from .distributed import DistributedDataParallel as DistributedDataParallel

__getattr__ = _absent(__name__, "scatter gather replicate parallel_apply",
                      "diya computes on 'cpu', and there is no GPU to split a batch over")
