"""Names for annotations (``torch.types``)."""

from __future__ import annotations

from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from collections.abc import Sequence
from typing import Any, Union  # noqa: UP007  (these names are evaluated, and Python 3.10 cannot `|` strings)

from .device import device as _device_class
from .dtypes import dtype as _dtype_class
from .graph import Size
from .tensor import Tensor

Number = Union[_int, _float, _bool]  # noqa: UP007
_TensorOrTensors = Union[Tensor, Sequence[Tensor]]  # noqa: UP007
_dtype = _dtype_class
_device = _device_class
_size = Union[Size, "list[int]", "tuple[int, ...]"]  # noqa: UP007
_int, _float, _bool = _int, _float, _bool
Device = Union[_device_class, str, _int, None]  # noqa: UP007
FileLike = Any
Storage = Any
