"""Functions of the ``torch`` namespace that are neither operators nor parts of another module."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import dtypes, engine
from .device import device as Device
from .dtypes import dtype as DType
from .storage import TypedStorage
from .tensor import Tensor

DeviceObjType = Device


def _asks(function: Callable) -> Callable:
    """``function`` of one tensor, which objects that are none may override."""
    @functools.wraps(function)
    def call(input: Any) -> Any:
        if not isinstance(input, Tensor) and hasattr(type(input), "__torch_function__"):
            return type(input).__torch_function__(call, (type(input),), (input,), {})
        return function(input)
    return call


def is_tensor(obj: Any) -> bool:
    return isinstance(obj, Tensor)


def _shape_as_tensor(self: Tensor) -> Tensor:
    from .ops.creation import tensor
    return tensor(list(self.shape), dtype=dtypes.int64)


def _convert_indices_from_coo_to_csr(input: Tensor, size: int, *, out_int32: bool = False) -> Tensor:
    """Where each of ``size`` rows begins among sorted row numbers, and where the last one ends."""
    from .ops.creation import arange
    from .ops.sort import searchsorted
    return searchsorted(input, arange(size + 1, dtype=input.dtype), out_int32=out_int32)


def _convert_indices_from_csr_to_coo(crow_indices: Tensor, col_indices: Tensor, *, out_int32: bool = False,
                                     transpose: bool = False) -> Tensor:
    """(2, n) rows and columns from where each row begins and the columns; columns first if ``transpose``."""
    from .ops.movement import stack
    from .ops.shape import repeat_interleave
    rows = repeat_interleave(crow_indices[1:] - crow_indices[:-1], output_size=col_indices.numel())
    kind = dtypes.int32 if out_int32 else dtypes.int64
    pair = (col_indices.to(kind), rows.to(kind))
    return stack(pair if transpose else pair[::-1])


def is_storage(obj: Any) -> bool:
    from .storage import Storage
    return isinstance(obj, Storage)


@_asks
def is_floating_point(input: Tensor) -> bool:
    return input.dtype.is_floating_point


@_asks
def is_complex(input: Tensor) -> bool:
    return input.dtype.is_complex


@_asks
def is_nonzero(input: Tensor) -> bool:
    if input.numel() != 1:
        raise RuntimeError("Boolean value of Tensor with no values is ambiguous" if not input.numel() else
                           "Boolean value of Tensor with more than one value is ambiguous")
    return bool(input)


@_asks
def detach(input: Tensor) -> Tensor:
    return input.detach()


@_asks
def numel(input: Tensor) -> int:
    return input.numel()


def can_cast(from_: DType, to: DType) -> bool:
    """Whether a result of dtype ``from_`` may be written to ``to`` under the promotion rules."""
    return dtypes.can_cast(dtypes.OF_PYTHON.get(from_, from_), dtypes.OF_PYTHON.get(to, to))  # type: ignore[call-overload]


def compile(model: Callable | None = None, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = "inductor",
            mode: str | None = None, options: dict | None = None, disable: bool = False) -> Any:
    """``torch.compile``: calls of the function or module are captured (see `diya.capture`), and calls like one before are recorded
    again without running their Python. A module gives a `torch._dynamo.OptimizedModule`.

    Code is compiled with or without it; it saves the Python. What cannot be captured (because it prints, or branches on a tensor's
    value, say) runs as it is written; with ``fullgraph`` that is a RuntimeError that says where and why. ``backend`` "eager" and
    "aot_eager" are taken as "inductor" is; another one raises RuntimeError. ``dynamic``, ``mode`` and ``options`` are accepted:
    sizes are arguments of compiled code anyway, and there is one mode.
    """
    if model is None:
        return functools.partial(compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options,
                                 disable=disable)
    if not callable(model):
        raise TypeError(f"torch.compile() takes a module or a function, got {type(model).__name__}")
    if disable:
        return model
    if callable(backend):
        raise NotImplementedError("torch.compile(backend=a function): there are no FX graphs of captured code to give it; leave "
                                  "backend out")
    if backend not in ("inductor", "eager", "aot_eager"):
        raise RuntimeError(f"Invalid backend: {backend!r}: torch.compile takes 'inductor', diya's compiler")
    from .nn import Module
    if isinstance(model, Module):
        from ._dynamo.eval_frame import OptimizedModule
        return model if isinstance(model, OptimizedModule) else OptimizedModule(model, fullgraph)
    if not hasattr(model, "__code__"):
        return model
    from .capture import Compiled
    compiled = Compiled(model, fullgraph)

    @functools.wraps(model)
    def call(*args, **kwargs):
        return compiled(args, kwargs)
    call._diya_compiled = compiled  # type: ignore[attr-defined]
    call._torchdynamo_orig_callable = model  # type: ignore[attr-defined]
    return call


def get_default_device() -> Device:
    """Where tensors are made that name no device."""
    from .utils._device import current
    return current()


def set_default_device(device) -> None:
    """'cpu' or 'meta'. Raises NotImplementedError for another."""
    from .utils._device import set_default
    set_default(device)


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted: every algorithm here is deterministic."""


def are_deterministic_algorithms_enabled() -> bool:
    return True


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    return False


def set_deterministic_debug_mode(debug_mode) -> None:
    """Accepted: every algorithm here is deterministic."""


_precision = "highest"


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was last given."""
    return _precision


def set_float32_matmul_precision(precision: str) -> None:
    """Kept: float32 products are always computed in float32."""
    global _precision
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"Float32 matmul precision must be one of 'highest', 'high' or 'medium', got {precision!r}")
    _precision = precision


def get_deterministic_debug_mode() -> int:
    return 0


def get_device_module(device=None):
    """``torch.cpu``, the module of the one device. Raises NotImplementedError for another."""
    from . import cpu
    from .device import check
    if device is not None:
        check(device)
    return cpu


def get_num_interop_threads() -> int:
    """1: programs run one after the other."""
    return 1


def set_num_interop_threads(num: int) -> None:
    """Accepted: programs run one after the other, each on `get_num_threads` threads."""


def is_anomaly_enabled() -> bool:
    from .autograd.modes import modes
    return modes.anomaly


def is_anomaly_check_nan_enabled() -> bool:
    from .autograd.modes import modes
    return modes.check_nan


def compiled_with_cxx11_abi() -> bool:
    return True


def is_vulkan_available() -> bool:
    return False


_warn_always = False


def is_warn_always_enabled() -> bool:
    return _warn_always


def set_warn_always(b: bool) -> None:
    """Kept: warnings follow Python's own filters."""
    global _warn_always
    _warn_always = bool(b)


def set_flush_denormal(mode: bool) -> bool:
    """Not supported (returns False): subnormal numbers are computed as such."""
    return False


def set_default_tensor_type(t) -> None:
    """``torch.set_default_tensor_type('torch.DoubleTensor')``, the old form of ``set_default_dtype``."""
    name = t if isinstance(t, str) else t.__name__
    short = name.rpartition(".")[2].removesuffix("Tensor")
    found = {"Float": dtypes.float32, "Double": dtypes.float64, "Half": dtypes.float16, "BFloat16": dtypes.bfloat16}.get(short)
    if found is None:
        raise TypeError(f"invalid type name '{name}': only floating-point types are supported as the default type")
    dtypes.set_default_dtype(found)


def synchronize() -> None:
    """Runs all pending work."""
    engine.flush()


class finfo:
    """Limits of a floating dtype: ``bits eps max min tiny smallest_normal resolution dtype``."""

    def __init__(self, type: DType | None = None):
        import numpy as np
        d = type or dtypes.default_dtype
        if d.name.startswith("float8_"):
            from ._named_dtypes import LIMITS
            if d.name in LIMITS:
                self.dtype, self.bits, self.resolution = d.name, 8, 1.0
                self.max, self.eps, self.tiny = LIMITS[d.name]
                self.min, self.smallest_normal = -self.max, self.tiny
                return
        if d.kind not in "fc":
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{d}'")
        d = d.to_real()
        self.dtype, self.bits = d.name, d.itemsize * 8
        if d is dtypes.bfloat16:
            self.eps, self.max, self.tiny, self.resolution = 0.0078125, 3.3895313892515355e38, 1.1754943508222875e-38, 0.01
        else:
            info = np.finfo(d.numpy)
            self.eps, self.max, self.tiny = float(info.eps), float(info.max), float(info.tiny)
            self.resolution = float(info.resolution)
        self.min, self.smallest_normal = -self.max, self.tiny

    def __repr__(self):
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
                f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})")


class iinfo:
    """Limits of an integer dtype: ``bits min max dtype``."""

    def __init__(self, type: DType):
        if type.kind not in "ui":
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type}'")
        self.dtype, self.bits = type.name, type.itemsize * 8
        self.min = -(1 << (self.bits - 1)) if type.kind == "i" else 0
        self.max = (1 << (self.bits - (type.kind == "i"))) - 1

    def __repr__(self):
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def typename(obj: Any) -> str:
    if isinstance(obj, Tensor):
        return obj.type()  # type: ignore[attr-defined]
    return f"{type(obj).__module__}.{type(obj).__qualname__}"


class layout:
    """How a tensor's elements are stored. There is one object for each layout."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self):
        return f"torch.{self.name}"


strided, sparse_coo, sparse_csr = layout("strided"), layout("sparse_coo"), layout("sparse_csr")
sparse_csc, sparse_bsr, sparse_bsc = layout("sparse_csc"), layout("sparse_bsr"), layout("sparse_bsc")


def _typed_tensor(name: str, d: DType):
    from .tensor import _legacy_constructor

    class Meta(type):
        def __instancecheck__(cls, instance):
            return isinstance(instance, Tensor) and instance.dtype is d

        def __call__(cls, *args, **kwargs):
            return _legacy_constructor(d, args, kwargs)
    made = Meta(name, (), {"__doc__": f"Old name: a tensor of {d}.", "dtype": d})
    made.__module__ = "torch"
    return made


FloatTensor = _typed_tensor("FloatTensor", dtypes.float32)
DoubleTensor = _typed_tensor("DoubleTensor", dtypes.float64)
HalfTensor = _typed_tensor("HalfTensor", dtypes.float16)
BFloat16Tensor = _typed_tensor("BFloat16Tensor", dtypes.bfloat16)
LongTensor = _typed_tensor("LongTensor", dtypes.int64)
IntTensor = _typed_tensor("IntTensor", dtypes.int32)
ShortTensor = _typed_tensor("ShortTensor", dtypes.int16)
CharTensor = _typed_tensor("CharTensor", dtypes.int8)
ByteTensor = _typed_tensor("ByteTensor", dtypes.uint8)
BoolTensor = _typed_tensor("BoolTensor", dtypes.bool_)

Tensor.is_floating_point = is_floating_point  # type: ignore[attr-defined]
Tensor.is_complex = is_complex  # type: ignore[attr-defined]
Tensor.is_nonzero = is_nonzero  # type: ignore[attr-defined]
Tensor.is_signed = lambda self: self.dtype.is_signed  # type: ignore[attr-defined]
Tensor.layout = property(lambda self: strided)  # type: ignore[attr-defined]
for _name in ("is_cuda", "is_sparse", "is_quantized", "is_mkldnn", "is_mps", "is_sparse_csr", "is_nested", "is_xpu"):
    setattr(Tensor, _name, False)
Tensor.is_cpu = property(lambda self: self.device.type == "cpu")  # type: ignore[attr-defined]
Tensor.is_meta = property(lambda self: self.device.type == "meta")  # type: ignore[attr-defined]
Tensor.is_inference = lambda self: self._inference  # type: ignore[attr-defined]
Tensor.is_pinned = lambda self, device=None: False  # type: ignore[attr-defined]
Tensor.pin_memory = lambda self, device=None: self  # type: ignore[attr-defined]
Tensor.is_shared = lambda self: getattr(self._storage, "shared", None) is not None  # type: ignore[attr-defined]


def _share_memory_(self: Tensor) -> Tensor:
    """Moves the storage to memory that processes share: `multiprocessing` sends it without copying."""
    from ._shared_memory import share
    share(self)
    return self


Tensor.share_memory_ = _share_memory_  # type: ignore[attr-defined]
Tensor.storage = lambda self: TypedStorage(wrap_storage=self._storage, dtype=self.dtype)  # type: ignore[attr-defined]
Tensor._typed_storage = Tensor.storage  # type: ignore[attr-defined]
Tensor.get_device = lambda self: -1  # type: ignore[attr-defined]
Tensor.is_set_to = lambda self, other: (self._storage is other._storage and self.shape == other.shape  # type: ignore
                                        and self.stride() == other.stride() and self._offset == other._offset)
Tensor.cuda = lambda self, device=None, non_blocking=False, memory_format=None: self.to(device="cuda")  # type: ignore
Tensor.apply_ = lambda self, f: self.copy_(self.new_tensor([f(x) for x in self.reshape(-1).tolist()]).reshape(self.shape))  # type: ignore


def _is_view(self) -> bool:
    return self._base is not None


Tensor._is_view = _is_view  # type: ignore[attr-defined]
