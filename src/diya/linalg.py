"""Linear algebra (``torch.linalg``): the operators of `diya.ops` that have their place here."""

from __future__ import annotations

from . import ops
from .ops.decomposition import LinAlgError as LinAlgError

ops.publish(globals(), "linalg.")
