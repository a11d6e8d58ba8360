"""`Uniform` under the module name that PyTorch gives it."""

from .continuous import Uniform as Uniform
