"""Element types: what a buffer holds, how types promote, and what Python and numpy call them."""

from __future__ import annotations

import numpy as np


class dtype:
    """An element type. Compare with ``is`` or ``==``; there is one object for each.

    ``kind`` is ``'b'`` bool, ``'u'``/``'i'`` integers, ``'f'`` floats, ``'c'`` complex. ``numpy`` is the numpy dtype of
    a buffer (bfloat16 and complex32, which numpy lacks, are stored as bits in uint16 and uint32); ``compute`` is the numpy
    dtype in which the interpreter does arithmetic (half precisions compute in float32 and round once, as PyTorch does on the CPU).
    """

    __slots__ = ("name", "itemsize", "kind", "numpy", "compute", "rank", "plain")

    def __init__(self, name: str, itemsize: int, kind: str, numpy: str, rank: int, compute: str | None = None):
        self.name, self.itemsize, self.kind, self.rank = name, itemsize, kind, rank
        self.numpy = np.dtype(numpy)
        self.compute = np.dtype(compute or numpy)
        self.plain = self.numpy == self.compute  # whether what lies in memory is what numpy computes with

    @property
    def is_floating_point(self) -> bool:
        return self.kind == "f"

    @property
    def is_complex(self) -> bool:
        return self.kind == "c"

    @property
    def is_signed(self) -> bool:
        return self.kind not in "bu"

    def to_real(self) -> dtype:
        return {complex32: float16, complex64: float32, complex128: float64}.get(self, self)

    def to_complex(self) -> dtype:
        return self if self.kind == "c" else {float16: complex32, float64: complex128}.get(self, complex64)

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self):
        return _by_name, (self.name,)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


def _by_name(name: str) -> dtype:
    return BY_NAME[name]


bool_ = dtype("bool", 1, "b", "bool", 0)
uint8 = dtype("uint8", 1, "u", "uint8", 1)
int8 = dtype("int8", 1, "i", "int8", 2)
int16 = dtype("int16", 2, "i", "int16", 3)
int32 = dtype("int32", 4, "i", "int32", 4)
int64 = dtype("int64", 8, "i", "int64", 5)
uint16 = dtype("uint16", 2, "u", "uint16", 6)
uint32 = dtype("uint32", 4, "u", "uint32", 7)
uint64 = dtype("uint64", 8, "u", "uint64", 8)
float16 = dtype("float16", 2, "f", "float16", 9, "float32")
bfloat16 = dtype("bfloat16", 2, "f", "uint16", 10, "float32")
float32 = dtype("float32", 4, "f", "float32", 11)
float64 = dtype("float64", 8, "f", "float64", 12)
complex32 = dtype("complex32", 4, "c", "uint32", 13, "complex64")
complex64 = dtype("complex64", 8, "c", "complex64", 14)
complex128 = dtype("complex128", 16, "c", "complex128", 15)

ALL = (bool_, uint8, int8, int16, int32, int64, uint16, uint32, uint64, float16, bfloat16, float32, float64,
       complex32, complex64, complex128)
BY_NAME = {d.name: d for d in ALL}
_BITS = (bfloat16, complex32)  # which numpy lacks
OF_PYTHON = {bool: bool_, int: int64, float: float64, complex: complex128}  # what Python's own types stand for as a dtype
FROM_NUMPY = {d.numpy: d for d in ALL if d not in _BITS}
ALIASES = {"half": float16, "float": float32, "double": float64, "short": int16, "int": int32, "long": int64,
           "chalf": complex32, "cfloat": complex64, "cdouble": complex128}
_UNSIGNED = (uint16, uint32, uint64)
_HALVES = (float16, bfloat16)
_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


def category(d: dtype) -> int:
    """0 bool, 1 integer, 2 floating, 3 complex: a Python or 0-dim operand matters only when its category is higher."""
    return _CATEGORY[d.kind]


def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest type to which both convert (https://docs.pytorch.org/docs/stable/tensor_attributes.html)."""
    if a is b:
        return a
    if a.rank > b.rank:
        a, b = b, a
    if category(a) != category(b):  # b is of the higher category
        return promote_types(b, a.to_complex()) if b.kind == "c" and a.kind == "f" else b
    if a.kind in "ui":
        if b in _UNSIGNED:
            if a in _UNSIGNED or a is uint8:
                return b
            raise RuntimeError(f"Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
                               f"{b.name} and {a.name}: cast one of them with .to(dtype)")
        if a is uint8 and b is int8:
            return int16
        return b
    if a is float16 and b is bfloat16:
        return float32
    return b


def of_scalar(value) -> dtype:
    """The default type of a Python number: bool, int64, the default float, or its complex counterpart."""
    kind = type(value)
    if kind is bool or isinstance(value, np.bool_):
        return bool_
    if kind is int or isinstance(value, (int, np.integer)):
        return int64
    if kind is float or isinstance(value, (float, np.floating)):
        return default_dtype
    if kind is complex or isinstance(value, (complex, np.complexfloating)):
        return default_dtype.to_complex()
    raise TypeError(f"expected a Python number, got {kind.__name__}")


default_dtype = float32


def get_default_dtype() -> dtype:
    return default_dtype


def set_default_dtype(d: dtype) -> None:
    """Sets the type of new floating tensors. Raises TypeError unless ``d`` is a floating dtype."""
    global default_dtype
    d = OF_PYTHON.get(d, d)  # type: ignore[call-overload]
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {d!r}")
    if d is not default_dtype:
        from .recording import forget
        forget()
    default_dtype = d


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether a result of type ``from_`` may be written into a tensor of type ``to`` (never to a lower category)."""
    if category(from_) > category(to):
        return False
    return not (to is bool_ and from_ is not bool_)


# bfloat16 <-> float32, on bits: the high half of a float32, rounded to nearest even.
def bfloat16_to_float32(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def float32_to_bfloat16(x: np.ndarray) -> np.ndarray:
    u = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = (u + (0x7FFF + ((u >> 16) & 1))) >> 16
    return np.where((u & 0x7FFFFFFF) > 0x7F800000, 0x7FC0, rounded).astype(np.uint16).reshape(np.shape(x))


def load_array(a: np.ndarray, d: dtype) -> np.ndarray:
    """A buffer's array as numbers to compute with."""
    if d is bfloat16:
        return bfloat16_to_float32(a)
    if d is complex32:
        return np.ascontiguousarray(a)[..., None].view(np.float16).astype(np.float32).view(np.complex64).reshape(np.shape(a))
    return a.astype(np.float32) if d is float16 else a


def store_array(a, d: dtype) -> np.ndarray:
    """Computed numbers as a buffer's array of type ``d`` (C's conversions: floats truncate, integers wrap)."""
    a = np.asarray(a)
    if d is bfloat16:
        return float32_to_bfloat16(a.real if a.dtype.kind == "c" else a)  # pyright: ignore[reportAttributeAccessIssue]
    if d is complex32:
        parts = np.ascontiguousarray(a, np.complex64)[..., None].view(np.float32)
        with np.errstate(over="ignore"):
            return parts.astype(np.float16).view(np.uint32).reshape(np.shape(a))
    if a.dtype == d.numpy:
        return a
    with np.errstate(all="ignore"):
        if a.dtype.kind == "c" and d.kind not in "cb":
            a = a.real  # pyright: ignore[reportAttributeAccessIssue]
        if a.dtype.kind == "f" and d.kind in "ui" and d.itemsize < 8:
            # What does not fit becomes the smallest int32 (int64, for unsigned types), then wraps, as PyTorch has it on x86.
            if d.kind == "i":
                a = np.where(np.abs(a) < 2**31, a, -2**31).astype(np.int32)
            else:
                a = a.astype(np.int64)
        return a.astype(d.numpy)
