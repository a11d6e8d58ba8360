"""``torch._foreach_*``: an operator over lists of tensors. Recorded one by one, compiled into one program anyway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .autograd import no_grad
from .tensor import Tensor

_UNARY = frozenset("abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg reciprocal "
                   "round rsqrt sigmoid sign sin sinh sqrt tan tanh trunc".split())
_METHODS = {name: name for name in ("add", "sub", "mul", "div", "pow", "lerp", "addcmul", "addcdiv", "maximum", "minimum")}
_METHODS |= {"clamp_min": "clamp_min", "clamp_max": "clamp_max", "copy": "copy"} | {name: name for name in _UNARY}
_BY_ELEMENT = ("maximum", "minimum")  # of a tensor and a number, these are clamps


def _column(argument: Any, i: int, name: str, n: int) -> Any:
    """What element ``i`` of the list reads: an element of a list, or a number or tensor that all read."""
    if not isinstance(argument, (list, tuple)):
        return argument
    if len(argument) != n:
        raise RuntimeError(f"torch._foreach_{name}: Tensor lists must have the same number of tensors, got {n} and {len(argument)}")
    return argument[i]


def _each(name: str, method: str, tensors: Any, args: tuple, kwargs: dict) -> list:
    tensors = list(tensors)
    if not all(isinstance(tensor, Tensor) for tensor in tensors):
        raise TypeError(f"torch._foreach_{name}(): the first argument must be a list of tensors")
    n, inplace = len(tensors), method.endswith("_")
    out = []
    for i, tensor in enumerate(tensors):
        row = [_column(argument, i, name, n) for argument in args]
        called = method
        if method in ("maximum_", "minimum_") and row and isinstance(row[0], Tensor):
            out.append(tensor.copy_(getattr(tensor, method[:-1])(row[0])))
            continue
        if method.rstrip("_") in _BY_ELEMENT and row and not isinstance(row[0], Tensor):
            called = ("clamp_min" if method.startswith("max") else "clamp_max") + "_" * inplace
        elif method.rstrip("_") in ("addcmul", "addcdiv") and len(row) == 3:  # the scalars come last, as `value`
            value = row.pop()
            out.append(getattr(tensor, called)(*row, value=value.item() if isinstance(value, Tensor) else value))
            continue
        out.append(getattr(tensor, called)(*row, **{k: _column(v, i, name, n) for k, v in kwargs.items()}))
    return out


def _norm(tensors, ord=2, dtype=None) -> list:
    from .linalg import vector_norm  # pyright: ignore[reportAttributeAccessIssue]
    return [vector_norm(tensor, ord, dtype=dtype) for tensor in tensors]


def _max(tensors) -> list:
    return [tensor.max() for tensor in tensors]


def _zero_(tensors) -> None:
    with no_grad():
        for tensor in tensors:
            tensor.zero_()


def _scalar_pow(base, exponents) -> list:
    return [base ** exponent for exponent in exponents]


def find(name: str) -> Callable:
    """The function ``_foreach_`` + ``name``. Raises AttributeError if PyTorch's or diya's list has none."""
    special = {"norm": _norm, "max": _max, "zero_": _zero_}.get(name)
    if special is not None:
        return special
    base = name.removesuffix("_")
    if base not in _METHODS or name == "copy":
        raise AttributeError(f"module 'torch' has no attribute '_foreach_{name}' that diya implements")
    if name.endswith("_"):
        def inplace(self, *args, **kwargs) -> None:
            _each(name, name, self, args, kwargs)
        inplace.__name__ = f"_foreach_{name}"
        return inplace

    def new(self, *args, **kwargs) -> list:
        if name == "pow" and not isinstance(self, (list, tuple)):
            return _scalar_pow(self, *args)
        return _each(name, name, self, args, kwargs)
    new.__name__ = f"_foreach_{name}"
    return new
