"""`torch.fx`, under the name of PyTorch's file."""

from . import Tracer as Tracer
from . import symbolic_trace as symbolic_trace
from . import wrap as wrap
