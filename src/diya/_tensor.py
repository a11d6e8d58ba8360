"""`Tensor`, under the name of PyTorch's file."""

from .tensor import Tensor as Tensor
