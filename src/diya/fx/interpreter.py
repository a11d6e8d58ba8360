"""`torch.fx`, under the name of PyTorch's file."""

from . import Interpreter as Interpreter
from . import Transformer as Transformer
