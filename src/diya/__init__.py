"""diya: deep learning with PyTorch's programming model, in Python all the way down.

``import diya as torch`` and write PyTorch. The line that every operation takes: record (`engine`) → program → run,
interpreted (`interpret`) or compiled (`compiler`).
"""

# ruff: noqa: I001  (the order matters: the operator table is filled before it is published)
from __future__ import annotations

from typing import TYPE_CHECKING as _CHECKING
from typing import Any as _Any

if _CHECKING:
    from . import nn as nn
    from . import optim as optim
    from . import utils as utils

from . import counters as _counters
from . import dtypes as _dtypes
from . import engine as engine
from .device import device as device
from .dtypes import ALIASES as _ALIASES
from .dtypes import bfloat16 as bfloat16
from .dtypes import complex32 as complex32
from .dtypes import complex64 as complex64
from .dtypes import complex128 as complex128
from .dtypes import dtype as dtype
from .dtypes import float16 as float16
from .dtypes import float32 as float32
from .dtypes import float64 as float64
from .dtypes import get_default_dtype as get_default_dtype
from .dtypes import int8 as int8
from .dtypes import int16 as int16
from .dtypes import int32 as int32
from .dtypes import int64 as int64
from .dtypes import promote_types as promote_types
from .dtypes import set_default_dtype as set_default_dtype
from .dtypes import uint8 as uint8
from .dtypes import uint16 as uint16
from .dtypes import uint32 as uint32
from .dtypes import uint64 as uint64
from .graph import Size as Size
from . import ops as _ops
from . import autograd as autograd
from .autograd import enable_grad as enable_grad
from .autograd import inference_mode as inference_mode
from .autograd import is_grad_enabled as is_grad_enabled
from .autograd import no_grad as no_grad
from .autograd import set_grad_enabled as set_grad_enabled
from .autograd.modes import is_inference_mode_enabled as is_inference_mode_enabled
from .ops.movement import channels_last as channels_last
from .ops.movement import channels_last_3d as channels_last_3d
from .ops.movement import contiguous_format as contiguous_format
from .ops.movement import memory_format as memory_format
from .ops.movement import preserve_format as preserve_format
from .ops.record import result_type as result_type
from .ops.creation import as_tensor as as_tensor
from .ops.creation import asarray as asarray
from .ops.creation import from_dlpack as from_dlpack
from .ops.creation import frombuffer as frombuffer
from .engine import OutOfMemoryError as OutOfMemoryError
from .tensor import Tensor as Tensor
from .tensor import from_numpy as from_numpy
from .version import __version__ as __version__

bool = _dtypes.bool_
globals().update(_ALIASES)
_ops.publish(globals())
from . import _public as _public_module  # noqa: E402
from .ops.creation import tensor as tensor  # noqa: E402

globals().update({_k: _v for _k, _v in vars(_public_module).items() if not _k.startswith("_")
                  and getattr(_v, "__module__", "").startswith(("diya", "torch"))})

import math as _math  # noqa: E402

pi, inf, nan, e = _math.pi, _math.inf, _math.nan, _math.e
newaxis = None
legacy_contiguous_format = contiguous_format
counters = _counters.counters

_LAZY = {"nn": "nn", "optim": "optim", "utils": "utils", "random": "random", "serialization": "serialization",
         "compiler": "compiler", "func": "func", "linalg": "linalg", "fft": "fft", "special": "special", "amp": "amp",
         "distributions": "distributions", "backends": "backends", "cuda": "cuda", "jit": "jit", "testing": "testing",
         "version": "version", "types": "types", "distributed": "distributed", "export": "export", "profiler": "profiler",
         "storage": "storage", "signal": "signal", "sparse": "sparse", "overrides": "overrides", "onnx": "onnx",
         "multiprocessing": "multiprocessing", "hub": "hub", "library": "library", "masked": "masked",
         "accelerator": "accelerator", "cpu": "cpu", "mtia": "mtia",
         "fx": "fx", "mps": "mps", "xpu": "xpu", "nested": "nested", "_C": "_C"}
_LAZY |= {_k: _k for _k in ("_dynamo", "_inductor", "_utils", "_tensor", "_tensor_str", "functional", "__config__", "ao",
                                "quantization", "_jit_internal", "futures", "torch_version", "_higher_order_ops", "return_types")}
_FROM = {"save": "serialization", "load": "serialization", "manual_seed": "random", "seed": "random",
         "initial_seed": "random", "Generator": "random", "default_generator": "random", "get_rng_state": "random",
         "set_rng_state": "random", "set_printoptions": "printing", "explain": "explanation"}
_FROM |= dict.fromkeys(("get_num_threads", "set_num_threads"), "runtime.cpu.threads")
_FROM |= dict.fromkeys((
    "autocast", "is_autocast_enabled", "is_autocast_cpu_enabled", "is_autocast_cache_enabled", "get_autocast_dtype",
    "get_autocast_cpu_dtype", "get_autocast_gpu_dtype", "set_autocast_enabled", "set_autocast_cpu_enabled",
    "set_autocast_dtype", "set_autocast_cpu_dtype", "set_autocast_gpu_dtype", "set_autocast_cache_enabled",
    "clear_autocast_cache"), "amp.autocast_mode")
_FROM |= dict.fromkeys((
    "SymInt", "SymFloat", "SymBool", "sym_int", "sym_float", "sym_not", "sym_sqrt", "sym_max", "sym_min", "sym_ite", "sym_sum",
    "sym_fresh_size", "sym_constrain_range", "sym_constrain_range_for_size", "_check", "_check_with", "_check_value",
    "_check_type", "_check_index", "_check_not_implemented", "_check_is_size", "_check_tensor_all", "_check_tensor_all_with",
    "_assert", "_assert_async"), "_symbolic")
_FROM |= dict.fromkeys(("_shape_as_tensor", "_convert_indices_from_coo_to_csr", "_convert_indices_from_csr_to_coo"), "_public")
_FROM |= {"vmap": "func", "UntypedStorage": "storage", "TypedStorage": "storage", "ScriptModule": "jit", "ScriptFunction": "jit",
          "GradScaler": "amp", "Stream": "cpu", "Future": "futures", "cond": "_higher_order_ops", "while_loop": "_higher_order_ops",
          **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"),
                          "nn._recurrent"),
          **dict.fromkeys(("sparse_coo_tensor", "sparse_csr_tensor", "sparse_csc_tensor", "sparse_bsr_tensor", "sparse_bsc_tensor",
                           "sparse_compressed_tensor"), "sparse")}


def _compiler_name(name: str) -> _Any:
    """What is ``torch.compiler`` to a PyTorch program: directions to a tracer. The package itself is diya's compiler."""
    from . import _dynamo
    if name in _dynamo.COMPILER:
        return getattr(_dynamo, name)
    raise AttributeError(f"module 'torch.compiler' has no attribute {name!r}")


from . import compiler as compiler  # noqa: E402

compiler.__getattr__ = _compiler_name  # type: ignore[attr-defined]


def __getattr__(name: str) -> _Any:
    """Modules and functions that are imported at their first use."""
    import importlib
    if name in _LAZY:
        try:
            return importlib.import_module("." + _LAZY[name], __package__)
        except ModuleNotFoundError as error:
            if error.name and error.name.startswith(f"{__package__}."):
                raise AttributeError(f"diya has no module {name!r} yet") from None
            raise
    if name == "torch":  # PyTorch's package holds itself under this name
        import sys
        return sys.modules[__package__]
    if name in _FROM:
        value = getattr(importlib.import_module("." + _FROM[name], __package__), name)
        globals()[name] = value
        return value
    if name.startswith("_foreach_"):
        from . import _foreach
        value = globals()[name] = _foreach.find(name.removeprefix("_foreach_"))
        return value
    from ._named_dtypes import DTYPES
    if name in DTYPES:
        return DTYPES[name]
    from ._absent import torch_name
    return torch_name(name)
