"""`torch.fx`, under the name of PyTorch's file."""

from . import GraphModule as GraphModule
