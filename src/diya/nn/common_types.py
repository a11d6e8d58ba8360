"""Types of the layers' arguments: a number for all dimensions, or a tuple with one for each."""

from __future__ import annotations

from typing import Optional, Union

from ..tensor import Tensor

_scalar_or_tuple_any_t = Union[int, tuple[int, ...]]  # noqa: UP007
_scalar_or_tuple_1_t = Union[int, tuple[int]]  # noqa: UP007
_scalar_or_tuple_2_t = Union[int, tuple[int, int]]  # noqa: UP007
_scalar_or_tuple_3_t = Union[int, tuple[int, int, int]]  # noqa: UP007
_scalar_or_tuple_4_t = Union[int, tuple[int, int, int, int]]  # noqa: UP007
_scalar_or_tuple_5_t = Union[int, tuple[int, int, int, int, int]]  # noqa: UP007
_scalar_or_tuple_6_t = Union[int, tuple[int, int, int, int, int, int]]  # noqa: UP007
_size_any_t = _scalar_or_tuple_any_t
_size_1_t, _size_2_t, _size_3_t = _scalar_or_tuple_1_t, _scalar_or_tuple_2_t, _scalar_or_tuple_3_t
_size_4_t, _size_5_t, _size_6_t = _scalar_or_tuple_4_t, _scalar_or_tuple_5_t, _scalar_or_tuple_6_t
_size_any_opt_t = tuple[Optional[int], ...]  # noqa: UP045
_size_2_opt_t = tuple[Optional[int], Optional[int]]  # noqa: UP045
_size_3_opt_t = tuple[Optional[int], Optional[int], Optional[int]]  # noqa: UP045
_ratio_any_t = Union[float, tuple[float, ...]]  # noqa: UP007
_ratio_2_t = Union[float, tuple[float, float]]  # noqa: UP007
_ratio_3_t = Union[float, tuple[float, float, float]]  # noqa: UP007
_tensor_list_t = Union[Tensor, list[Tensor]]  # noqa: UP007
_maybe_indices_t = Union[Tensor, tuple[Tensor, Tensor]]  # noqa: UP007
