"""`Normal` under the module name that PyTorch gives it."""

from .continuous import Normal as Normal
