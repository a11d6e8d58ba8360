"""``torch.distributed.checkpoint`` under the name of one of its files."""

from . import __getattr__ as __getattr__
