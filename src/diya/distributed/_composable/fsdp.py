"""The old name of `torch.distributed.fsdp`'s functions."""

from ..fsdp import __getattr__ as __getattr__
