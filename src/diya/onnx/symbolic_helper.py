"""How operators would be exported: functions may be registered, and are never called."""

from __future__ import annotations

from collections.abc import Callable

from .._absent import absent


def parse_args(*descriptors: str) -> Callable[[Callable], Callable]:
    """A decorator that returns its function."""
    return lambda function: function


def quantized_args(*flags: bool, **options) -> Callable[[Callable], Callable]:
    """A decorator that returns its function."""
    return lambda function: function


__getattr__ = absent(__name__, "_get_tensor_sizes _get_tensor_dim_size _get_tensor_rank _maybe_get_const _get_const _is_none "
                     "_is_value _unimplemented _slice_helper _squeeze_helper _unsqueeze_helper", "diya does not write ONNX files")
