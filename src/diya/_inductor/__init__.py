"""``torch._inductor``: PyTorch's compiler. Its settings are kept and read by nobody."""

from . import config as config
