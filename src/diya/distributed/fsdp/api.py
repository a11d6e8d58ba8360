"""``torch.distributed.fsdp`` under the name of its file."""

from . import __getattr__ as __getattr__
