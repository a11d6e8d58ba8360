"""The old name of `torch.distributed.tensor`."""

from ..tensor import __getattr__ as __getattr__
