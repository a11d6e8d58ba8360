"""`Bernoulli` under the module name that PyTorch gives it."""

from .discrete import Bernoulli as Bernoulli
