"""Tensors from nothing, from Python data, and like other tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes, engine
from ..autograd.modes import modes
from ..device import is_meta
from ..dtypes import dtype as DType
from ..graph import Size, primitive, type_of
from ..storage import Storage
from ..tensor import Tensor, _from_array, _from_storage, from_node, from_numpy, strided_from_node
from .movement import EMPTY, constant, order_for, sizes_of
from .record import _overridden, element, is_number, operator

IOTA = primitive("iota", "source", lambda attrs: type_of((attrs[0],), attrs[1]),
                 interpret=lambda attrs, type: np.arange(attrs[0]).astype(type.dtype.compute))


def _new(node, device=None, requires_grad=False, memory_format=None) -> Tensor:
    if is_meta(device):
        from .. import meta
        node = meta.leaf(node.type)
    order = None
    if memory_format is not None and memory_format.name in ("channels_last", "channels_last_3d"):
        order = (0, 2, 3, 1) if memory_format.name == "channels_last" else (0, 2, 3, 4, 1)
    t = from_node(node) if order is None else strided_from_node(node, order)
    if requires_grad:
        t.requires_grad = True
    return t


def placed(t: Tensor, device, requires_grad=False) -> Tensor:
    """``t``, just made, or its like without data where ``device`` is meta; a leaf that wants a gradient where it says so."""
    if is_meta(device):
        from .. import meta
        t = meta.of(t)
    return t.requires_grad_() if requires_grad else t


def _sizes(size) -> tuple[int, ...]:
    shape = sizes_of(size)
    for s in shape:
        if s < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {s}: {list(shape)}")
    return shape


def _like_sizes(size, kwargs) -> tuple[int, ...]:
    """The shape of ``f(2, 3)``, ``f((2, 3))`` or ``f(size=(2, 3))``; ``kwargs`` holds the keywords that f does not name."""
    if "size" in kwargs:
        size = (kwargs.pop("size"),)
    elif not size:
        raise TypeError("missing 1 required positional argument: 'size'")
    if kwargs:
        raise TypeError(f"got an unexpected keyword argument {next(iter(kwargs))!r}")
    return _sizes(size)


def _without_entries(layout, *args) -> Tensor | None:
    """A sparse tensor, where ``layout`` is not the dense one."""
    if layout is None or layout.name == "strided":
        return None
    from ..sparse.tensor import without_entries
    return without_entries(layout, *args)


def refuse_sparse(name: str, layout) -> None:
    """Raises for a layout other than the dense one: the result would have an entry everywhere."""
    if layout is not None and layout.name != "strided":
        raise NotImplementedError(f"{name}(...) is not implemented for sparse layout, got layout={layout}: use to_sparse()")


@operator(method=False, differentiable=False)
def empty(*size, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False, memory_format=None, **named):
    shape = _like_sizes(size, named)
    if (sparse := _without_entries(layout, shape, dtype, requires_grad)) is not None:
        return sparse
    d = dtype or dtypes.default_dtype
    if is_meta(device):
        from .. import meta
        return _new(meta.leaf(type_of(shape, d)), None, requires_grad, memory_format)
    return _new(engine.append(EMPTY, (), (shape, d)), None, requires_grad, memory_format)


@operator(method=False, differentiable=False)
def zeros(*size, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False, **named):
    shape = _like_sizes(size, named)
    if (sparse := _without_entries(layout, shape, dtype, requires_grad)) is not None:
        return sparse
    return _new(constant(shape, 0, dtype or dtypes.default_dtype), device, requires_grad)


@operator(method=False, differentiable=False)
def ones(*size, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False, **named):
    refuse_sparse("ones", layout)
    return _new(constant(_like_sizes(size, named), 1, dtype or dtypes.default_dtype), device, requires_grad)


@operator(method=False, differentiable=False)
def full(size, fill_value, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
    refuse_sparse("full", layout)
    shape = _sizes((size,) if isinstance(size, (tuple, list)) else (size,))
    if isinstance(fill_value, Tensor):
        return _new(fill_value.to(dtype or fill_value.dtype).expand(shape)._value(), device, requires_grad)
    d = dtype or dtypes.of_scalar(fill_value)
    return _new(constant(shape, element(fill_value, d), d), device, requires_grad)


def _like(name: str, value):
    def make(input, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False, memory_format=None):
        d = dtype or input.dtype
        shape = tuple(input.shape)
        if layout is not None and value:
            refuse_sparse(name, layout)
        elif (sparse := _without_entries(layout, shape, d, requires_grad)) is not None:
            return sparse
        node = engine.append(EMPTY, (), (shape, d)) if value is None else constant(shape, value, d)
        order = order_for(input, memory_format)
        if is_meta(device or input.device):
            from .. import meta
            node = meta.leaf(node.type)
        t = from_node(node) if order is None else strided_from_node(node, order)
        if modes.levels:
            from ..func.randomness import apart_as
            t = apart_as(t, input)
        if requires_grad:
            t.requires_grad = True
        return t
    make.__name__ = make.__qualname__ = name
    return operator(name, method=False, differentiable=False)(make)


empty_like = _like("empty_like", None)
zeros_like = _like("zeros_like", 0)
ones_like = _like("ones_like", 1)


@operator(method=False, differentiable=False)
def full_like(input, fill_value, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False,
              memory_format=None):
    t = empty_like(input, dtype=dtype, device=device, memory_format=memory_format)
    if isinstance(fill_value, Tensor):
        t.copy_(fill_value.expand(t.shape))
    else:
        t.fill_(fill_value)
    return t.requires_grad_() if requires_grad else t


@operator(method=False, differentiable=False, out=False)
def scalar_tensor(s, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
    return full((), s, dtype=dtype or dtypes.default_dtype, device=device, requires_grad=requires_grad)


def _new_method(name: str, make):
    def method(self, *args, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False, **named):
        if not isinstance(self, Tensor):
            raise TypeError(f"descriptor '{name}' for 'Tensor' objects doesn't apply to a '{type(self).__name__}' object")
        if "size" in named:
            args = (named.pop("size"), *args)
        return make(*args, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad, **named)
    method.__name__ = name
    setattr(Tensor, name, method)


_new_method("new_zeros", zeros)
_new_method("new_ones", ones)
_new_method("new_empty", empty)
_new_method("new_full", full)


def _new_tensor(self, data, *, dtype=None, device=None, requires_grad=False):
    """A tensor of ``data`` with this tensor's dtype by default."""
    return tensor(data, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)


Tensor.new_tensor = _new_tensor  # type: ignore[attr-defined]
def _new_legacy(self, *args):
    """``new([1, 2])`` of those values, ``new(2, 3)`` uninitialised of that size; in this tensor's dtype."""
    if len(args) == 1 and isinstance(args[0], (list, tuple)) and not isinstance(args[0], Size):
        return tensor(args[0], dtype=self.dtype, device=self.device)
    return empty(*args, dtype=self.dtype, device=self.device)


setattr(Tensor, "new", _new_legacy)  # noqa: B010


@operator(method=False, differentiable=False)
def arange(*args, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False, start=None, end=None, step=None):
    values = list(args)
    if len(values) == 1 and end is None:
        low, high, by = 0, values[0], 1
    else:
        low, high, by = (values + [None] * 3)[:3]
    low = start if start is not None else low if low is not None else 0
    high = end if end is not None else high
    by = step if step is not None else by if by is not None else 1
    low, high, by = (x.item() if isinstance(x, Tensor) else x for x in (low, high, by))
    low, high, by = (element(x, dtypes.float64) if isinstance(x, complex) else x for x in (low, high, by))
    if by == 0:
        raise RuntimeError("step must be nonzero")
    if not all(math.isfinite(x) for x in (low, high)):
        raise RuntimeError(f"unsupported range: {low} -> {high}")
    if (high - low) * by < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if dtype is None:
        dtype = dtypes.int64 if all(isinstance(x, (int, np.integer)) for x in (low, high, by)) else dtypes.default_dtype
    if dtype.kind in "ui":
        if dtype is dtypes.int64 or all(isinstance(x, int) for x in (low, high, by)):
            low, high, by = int(low), int(high), int(by)
            if not by:  # a fraction
                raise ValueError("step must be nonzero")
            n = max(0, -(-(high - low) // by))
        else:  # only int64 counts in integers
            n = max(0, math.ceil((high - low) / by))  # pyright: ignore[reportCallIssue]
            low, by = int(low), int(by)
        exact = dtypes.int64
    else:
        n = max(0, math.ceil((high - low) / by))  # pyright: ignore[reportCallIssue]
        exact = dtypes.float64
    t = from_node(engine.append(IOTA, (), (n, dtype if (low, by) == (0, 1) and dtype.kind != "b" else exact)))
    if (low, by) != (0, 1):
        t = t * by + low
    t = t.to(dtype)
    return placed(t, device, requires_grad)


@operator("range", method=False, differentiable=False)
def range_(start=0, end=None, step=1, *, dtype=None, device=None, requires_grad=False):
    if end is None:
        start, end = 0, start
    n = math.floor((end - start) / step) + 1
    t = (arange(n, dtype=dtypes.float64) * step + start).to(dtype or dtypes.default_dtype)
    return t.requires_grad_() if requires_grad else t


def _endpoint(x):
    """A number, or the element of a tensor without dimensions."""
    if isinstance(x, Tensor):
        if x.dim():
            raise RuntimeError(f"only 0-dimensional start and end tensors are supported, got one of {x.dim()} dimension(s)")
        return x.item()
    if not is_number(x):
        raise TypeError(f"start and end must be Numbers or 0-dim Tensors, not {type(x).__name__}")
    return x


def _check_steps(name: str, steps) -> None:
    if not hasattr(steps, "__index__"):
        raise TypeError(f"{name}(): argument 'steps' (position 3) must be int, not {type(steps).__name__}")
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")


def _fitting(x, d) -> int:
    """An endpoint as an integer of dtype ``d``. Raises RuntimeError where that has none."""
    bounds = np.iinfo(d.numpy)
    if not bounds.min <= x <= bounds.max:
        raise RuntimeError(f"value cannot be converted to type {d.name} without overflow: {x} is not within {bounds.min} and "
                           f"{bounds.max}")
    return int(x)


def _spaced_type(name: str, dtype, start, end) -> DType:
    """The dtype of numbers between two: that given, or the default one of their kind."""
    is_complex = isinstance(start, complex) or isinstance(end, complex)
    d = dtype or (dtypes.default_dtype.to_complex() if is_complex else dtypes.default_dtype)
    if is_complex and d.kind != "c":
        raise RuntimeError(f"torch.{name}(): inferred dtype complex can't be safely cast to passed dtype {d}")
    return d


@operator(method=False, differentiable=False)
def linspace(start, end, steps, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
    _check_steps("linspace", steps)
    start, end = (_endpoint(x) for x in (start, end))
    d = _spaced_type("linspace", dtype, start, end)
    if d.kind == "b":
        raise NotImplementedError("\"linspace_cpu\" not implemented for 'Bool'")
    c = np.dtype("complex128" if d.kind == "c" else "float64")
    if d.kind in "ui":
        start, end = (_fitting(x, d) for x in (start, end))
    if steps == 1:
        return full((1,), start, dtype=d, device=device, requires_grad=requires_grad)
    step = (end - start) / (steps - 1) if steps else 0
    i = np.arange(steps)

    def rounded(x) -> np.ndarray:
        return dtypes.load_array(dtypes.store_array(np.asarray(x, np.float32), d), d)
    if d.itemsize == 2 and d.kind == "f":  # rounded after each operation
        start, end = rounded(start), rounded(end)
        step = rounded(rounded(end - start) / (steps - 1)) if steps else 0
        values = rounded(np.where(i < steps // 2, start + rounded(step * i), end - rounded(step * (steps - 1 - i))))
    elif d in (dtypes.float32, dtypes.complex64):  # in their own precision, from both ends, as PyTorch does
        f = np.float32 if d.kind != "c" else np.complex64
        s = f(step)
        values = np.where(i < steps // 2, f(start) + s * i.astype(f), f(end) - s * (steps - 1 - i).astype(f))
    else:
        values = np.where(i < steps // 2, start + c.type(step) * i, end - c.type(step) * (steps - 1 - i))
    t = _from_array(dtypes.store_array(values, d), d)
    return placed(t, device, requires_grad)


@operator(method=False, differentiable=False)
def logspace(start, end, steps, base=10.0, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
    _check_steps("logspace", steps)
    start, end = (_endpoint(x) for x in (start, end))
    d = _spaced_type("logspace", dtype, start, end)
    wide = dtypes.complex128 if d.kind == "c" else dtypes.float64
    base = base.item() if isinstance(base, Tensor) else base

    def rounded(x):
        return full((), x, dtype=d).to(wide).item()
    if steps == 1:
        exponents = full((1,), start, dtype=wide)
    elif d.kind in "ui":
        start, end = (_fitting(x, d) for x in (start, end))
        exponents = linspace(start, end, steps, dtype=wide)
    else:  # both ends and the distance between them in the type of the result, the steps not, as PyTorch has it
        start, end = rounded(start), rounded(end)
        step, i = rounded(end - start) / max(steps - 1, 1), np.arange(steps)
        values = np.where(i < steps // 2, start + i * step, end - (steps - 1 - i) * step)
        exponents = _from_array(values.astype(wide.numpy), wide)
    t = (full((), base, dtype=wide) ** exponents).to(d)
    return t.requires_grad_() if requires_grad else t


@operator(method=False, differentiable=False)
def eye(n, m=None, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
    m = n if m is None else m
    if n < 0 or m < 0:
        raise RuntimeError(f"n must be greater or equal to 0, got {n}" if n < 0 else f"m must be greater or equal to 0, got {m}")
    t = (arange(n).unsqueeze(1) == arange(m)).to(dtype or dtypes.default_dtype)
    return placed(t, device, requires_grad)


# -- from data -----------------------------------------------------------------------------------------------------------


def _nested_shape(data, depth=0) -> tuple[int, ...]:
    if isinstance(data, (list, tuple)) or (isinstance(data, range)):
        if depth > 64:
            raise RuntimeError("too many dimensions: more than 64")
        n = len(data)
        return (n, *_nested_shape(data[0], depth + 1)) if n else (0,)
    if isinstance(data, Tensor):
        return tuple(data.shape)
    if isinstance(data, np.ndarray):
        return data.shape
    return ()


def _flatten_data(data, shape: tuple[int, ...], out: list, at: int = 0) -> None:
    if len(shape) == at:
        if isinstance(data, (list, tuple)):
            raise ValueError(f"expected a number at dim {at}, got a sequence of length {len(data)}")
        if isinstance(data, (Tensor, np.ndarray)):
            data = data.item()
        out.append(data)
        return
    if isinstance(data, (Tensor, np.ndarray)):
        if tuple(data.shape) != tuple(shape[at:]):
            raise ValueError(f"expected sequence of length {shape[at]} at dim {at} (got {tuple(data.shape)})")
        out.extend(np.asarray(data.tolist(), dtype=object).reshape(-1).tolist())
        return
    if not isinstance(data, (list, tuple, range)):
        raise TypeError(f"not a sequence: expected length {shape[at]} at dim {at}, got {type(data).__name__}")
    if len(data) != shape[at]:
        raise ValueError(f"expected sequence of length {shape[at]} at dim {at} (got {len(data)})")
    for x in data:
        _flatten_data(x, shape, out, at + 1)


def _infer_dtype(data) -> DType:
    found = None
    stack = [data]
    while stack:
        x = stack.pop()
        if isinstance(x, (list, tuple)):
            stack.extend(x)
            continue
        if isinstance(x, Tensor):
            d = x.dtype
        elif isinstance(x, (np.ndarray, np.generic)):
            d = dtypes.FROM_NUMPY.get(x.dtype)
            if d is None:
                raise TypeError(f"can't convert np.ndarray of type {x.dtype}")
        elif isinstance(x, (bool, int, float, complex)):
            d = dtypes.of_scalar(x)
        elif hasattr(x, "__float__") or hasattr(x, "__index__"):
            d = dtypes.int64 if hasattr(x, "__index__") else dtypes.default_dtype
        elif isinstance(x, range):
            d = dtypes.int64
        elif isinstance(x, str):
            if x is data:
                raise TypeError("new(): invalid data type 'str'")
            raise ValueError("too many dimensions 'str': a tensor holds numbers")
        else:
            raise RuntimeError(f"Could not infer dtype of {type(x).__name__}")
        found = d if found is None else dtypes.promote_types(found, d)
    return found or dtypes.default_dtype


def _to_numpy(data, dtype: DType | None) -> tuple[np.ndarray, DType]:
    """Python data as a fresh array of the buffer's numpy dtype."""
    if isinstance(data, np.ndarray):
        d = dtypes.FROM_NUMPY.get(data.dtype)
        if d is None:
            if data.dtype == object:
                return _to_numpy(data.tolist(), dtype)
            raise TypeError(f"can't convert np.ndarray of type {data.dtype}. The only supported types are: float64, float32, "
                            f"float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and bool.")
        wanted = dtype or d
        return dtypes.store_array(np.array(data, copy=True, order="C"), wanted), wanted
    wanted = dtype or _infer_dtype(data)
    if isinstance(data, (int, float, complex)):
        values: Any = [data]
        shape: tuple[int, ...] = ()
    else:
        if not isinstance(data, (list, tuple, range)) and hasattr(data, "__len__") and hasattr(data, "__getitem__"):
            data = list(data)
        shape = _nested_shape(data)
        values = []
        _flatten_data(data, shape, values)
    if wanted.kind in "ui":
        info = np.iinfo(wanted.numpy)
        for v in values:
            if isinstance(v, complex) or v != v or v in (math.inf, -math.inf):
                raise RuntimeError(f"value cannot be converted to type {wanted.name} without overflow: {v}")
            v = int(v)
            if not info.min <= v <= info.max and not (wanted.kind == "u" and v >= -info.max):
                raise RuntimeError(f"value cannot be converted to type {wanted.name} without overflow: {v}")
        array = np.array([int(v) & (2 ** (wanted.itemsize * 8) - 1) for v in values], dtype=np.uint64) \
            .astype(f"u{wanted.itemsize}").view(wanted.numpy) if values else np.empty(0, wanted.numpy)
    elif wanted.kind == "b":
        array = np.array([bool(v) for v in values], dtype=bool)
    elif wanted.kind == "c":
        array = dtypes.store_array(np.array([complex(v) for v in values], wanted.compute), wanted)
    else:
        for v in values:
            if isinstance(v, complex):
                raise RuntimeError("value cannot be converted to type float without overflow: it is complex")
        array = dtypes.store_array(np.array([float(v) for v in values], dtype=np.float64).astype(wanted.compute), wanted)
    return array.reshape(shape), wanted


def tensor(data, *, dtype: DType | None = None, device=None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A tensor of Python data, a copy. Raises ValueError for ragged sequences, RuntimeError for what is no number."""
    if modes.function_modes:
        return _overridden(tensor, (data,), {"dtype": dtype, "device": device, "requires_grad": requires_grad})[1]
    dtype = dtypes.OF_PYTHON.get(dtype, dtype)  # type: ignore[call-overload]
    if isinstance(data, Tensor):
        import warnings
        warnings.warn("To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
                      "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
                      UserWarning, stacklevel=2)
        t = data.detach().to(device, dtype or data.dtype).clone()
    else:
        array, d = _to_numpy(data, dtype)
        t = placed(_from_array(array, d), device)
    if requires_grad:
        t.requires_grad = True
    return t


def as_tensor(data, dtype: DType | None = None, device=None) -> Tensor:
    """``data`` as a tensor, without a copy where its memory can be shared (tensors, numpy arrays)."""
    if modes.function_modes:
        return _overridden(as_tensor, (data,), {"dtype": dtype, "device": device})[1]
    dtype = dtypes.OF_PYTHON.get(dtype, dtype)  # type: ignore[call-overload]
    if isinstance(data, Tensor):
        if device is not None and device is not data.device:
            data = data.to(device)
        return data if dtype is None or dtype is data.dtype else data.to(dtype)
    if is_meta(device):
        return placed(tensor(data, dtype=dtype), device)
    if isinstance(data, np.ndarray) and data.dtype in dtypes.FROM_NUMPY and not any(s < 0 for s in data.strides):
        t = from_numpy(data)
        return t if dtype is None else t.to(dtype)
    if hasattr(data, "__dlpack__") and not isinstance(data, np.generic):
        t = from_dlpack(data)
        return t if dtype is None else t.to(dtype)
    return tensor(data, dtype=dtype)


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False) -> Tensor:
    dtype = dtypes.OF_PYTHON.get(dtype, dtype)  # type: ignore[call-overload]
    if isinstance(obj, Storage):
        d = dtype or dtypes.default_dtype
        obj = _from_storage(obj, d, (obj.nbytes() // d.itemsize,), (1,))
    t = tensor(obj, dtype=dtype, device=device) if copy and not isinstance(obj, Tensor) else as_tensor(obj, dtype, device)
    if copy and isinstance(obj, Tensor):
        t = t.clone()
    if not t.is_leaf and not requires_grad:
        t = t.detach()
    return t.requires_grad_() if requires_grad else t


def from_dlpack(ext_tensor, *, device=None, copy=None) -> Tensor:
    """A tensor on another library's memory, through the DLPack protocol."""
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.detach()
    if not hasattr(ext_tensor, "__dlpack__"):
        raise TypeError(f"from_dlpack() expects an object with __dlpack__, got {type(ext_tensor).__name__}")
    return from_numpy(np.from_dlpack(ext_tensor))


def to_dlpack(tensor: Tensor):
    return tensor.__dlpack__()


def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False) -> Tensor:
    """A tensor on the memory of an object with the buffer protocol."""
    array = np.frombuffer(buffer, dtype.numpy, count, offset)
    t = _from_storage(Storage.from_array(array, dtype), dtype, array.shape, (1,), 0)
    return t.requires_grad_() if requires_grad else t


@operator(method=False, differentiable=False)
def tril_indices(row, col, offset=0, *, dtype=None, device=None, layout=None, pin_memory=False):
    if row < 0 or col < 0:
        raise RuntimeError(f"row and col must be non-negative, got {row} and {col}")
    indices = np.ascontiguousarray(np.stack(np.tril_indices(row, offset, col)))
    return placed(_from_array(indices.astype((dtype or dtypes.int64).numpy)), device)


@operator(method=False, differentiable=False)
def triu_indices(row, col, offset=0, *, dtype=None, device=None, layout=None, pin_memory=False):
    if row < 0 or col < 0:
        raise RuntimeError(f"row and col must be non-negative, got {row} and {col}")
    indices = np.ascontiguousarray(np.stack(np.triu_indices(row, offset, col)))
    return placed(_from_array(indices.astype((dtype or dtypes.int64).numpy)), device)


@operator(method=False, differentiable=False)
def empty_strided(size, stride, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
    from .. import views
    if any(s < 0 for s in size):
        raise RuntimeError(f"Trying to create tensor with negative dimension: {list(size)}")
    n = views.extent(size, stride, 0)[1] + 1
    t = empty(n, dtype=dtype, device=device).as_strided(size, stride).detach()
    return t.requires_grad_() if requires_grad else t


@operator(method=False, differentiable=False)
def empty_permuted(size, physical_layout, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
    """An uninitialised tensor whose dimensions lie in memory in the given order, slowest first."""
    order = tuple(physical_layout)
    if any(s < 0 for s in size):
        raise RuntimeError(f"Trying to create tensor with negative dimension: {list(size)}")
    if sorted(order) != list(range(len(size))):
        raise RuntimeError(f"Dimensions of physical layout {list(order)} are not a permutation of those of size {list(size)}")
    t = strided_from_node(engine.append(EMPTY, (), (tuple(size), dtype or dtypes.default_dtype)), order)
    return placed(t, device, requires_grad)


_new_method("new_empty_strided", empty_strided)
