"""Names that PyTorch has and diya has not: they can be asked for, and say what is missing where they are used.

A module whose ``__getattr__`` is ``absent(...)`` has exactly these names beside its own; any other raises AttributeError,
so that ``hasattr`` says about diya what it would say about PyTorch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


class _Class(type):
    """The class of absent classes: reading a member (``ShardingStrategy.FULL_SHARD``) is a use, too."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise cls._error(cls._message)


def absent(module: str, names: str, why: str, error: type[Exception] = NotImplementedError) -> Callable[[str], Any]:
    """``__getattr__`` for a module: a name of ``names`` is a function that raises ``error`` when called or, if it begins
    with a capital, a class that raises when made. No object is an instance of it."""
    public = "torch" + module[len(__name__.partition(".")[0]):]
    missing = frozenset(names.split())

    def find(name: str) -> Any:
        if name not in missing:
            raise AttributeError(f"module {public!r} has no attribute {name!r}")
        message = f"{public}.{name} is not supported: {why}"

        def refuse(*args, **kwargs):
            raise error(message)
        refuse.__name__ = refuse.__qualname__ = name
        refuse.__module__ = module
        made: Any = refuse
        if name[0].isupper():
            made = _Class(name, (), {"__init__": refuse, "__module__": module, "__doc__": message, "_error": error,
                                     "_message": message})
        setattr(sys.modules[module], name, made)
        return made
    return find


_QUANTISED = """choose_qparams_optimized dequantize empty_quantized fake_quantize_per_channel_affine fake_quantize_per_tensor_affine
    fused_moving_avg_obs_fake_quant int_repr q_per_channel_axis q_per_channel_scales q_per_channel_zero_points q_scale q_zero_point
    quantize_per_channel quantize_per_tensor quantize_per_tensor_dynamic quantized_batch_norm quantized_max_pool1d
    quantized_max_pool2d"""
_FILES = "PyTorchFileReader PyTorchFileWriter"
_TYPES = """AnyType BoolType ComplexType DictType FloatType IntType InterfaceType ListType NoneType NumberType OptionalType
    StringType TensorType TupleType UnionType"""
_find_quantised = absent("diya", _QUANTISED, "diya has no quantised tensors")
_find_file = absent("diya", _FILES, "torch.save and torch.load read and write PyTorch's files")
_find_type = absent("diya", _TYPES, "diya has no TorchScript; annotate with torch.Tensor and Python's types")


def torch_name(name: str) -> Any:
    """A name of ``torch`` itself that diya has not. Raises AttributeError where PyTorch has none."""
    if name in _FILES.split():
        return _find_file(name)
    if name in _TYPES.split():
        return _find_type(name)
    return _find_quantised(name)
