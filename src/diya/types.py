"""Names for annotations (``torch.types``)."""

from __future__ import annotations

from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from collections.abc import Sequence
from typing import Any, Union

from .device import device as _device_class
from .dtypes import dtype as _dtype_class
from .graph import Size
from .tensor import Tensor

Number = Union[_int, _float, _bool]
_TensorOrTensors = Union[Tensor, Sequence[Tensor]]
_dtype = _dtype_class
_device = _device_class
_size = Union[Size, "list[int]", "tuple[int, ...]"]
_int, _float, _bool = _int, _float, _bool
Device = Union[_device_class, str, _int, None]
FileLike = Any
Storage = Any
