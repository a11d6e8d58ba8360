"""`MultivariateNormal` under the module name that PyTorch gives it."""

from .continuous import MultivariateNormal as MultivariateNormal
