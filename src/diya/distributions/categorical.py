"""`Categorical` under the module name that PyTorch gives it."""

from .discrete import Categorical as Categorical
