"""Calls that PyTorch takes in more than one spelling: other names of a parameter, and forms that it has deprecated.

Operators are defined in one spelling. A call that does not fit it is looked up here, so that others cost nothing.
"""

from __future__ import annotations

import warnings

from ..tensor import Tensor
from .record import is_number

_SPLIT = {"indices": "indices_or_sections", "sections": "indices_or_sections", "tensor_indices_or_sections": "indices_or_sections"}
_AXES = {"axis0": "dim0", "axis1": "dim1"}

# Names of parameters in other overloads of an operator.
NAMES: dict[str, dict[str, str]] = {
    "tensor_split": _SPLIT, "hsplit": _SPLIT, "vsplit": _SPLIT, "dsplit": _SPLIT,
    "split": {"split_size": "split_size_or_sections"}, "transpose": _AXES, "pow": {"self": "input"},
    "repeat_interleave": {"repeats": "input"},
}

# Operators whose sizes or dimensions are positional arguments each, and their name as one sequence.
SEQUENCES = {"permute": "dims", "view": "size", "reshape": "shape", "Tensor.repeat": "repeats", "expand": "size", "tile": "dims"}

# Deprecated forms, where numbers that scale stand among the tensors: how many tensors there are, and the numbers' names now.
_SCALED = {"add": (2, ("alpha",)), "sub": (2, ("alpha",)), "addcmul": (3, ("value",)), "addcdiv": (3, ("value",)),
           **dict.fromkeys(("addmm", "addmv", "addr", "addbmm", "baddbmm"), (3, ("beta", "alpha")))}


def respelled(name: str, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
    """The call of the operator ``name`` in the spelling that it is defined in; None if this is no other one."""
    sequence = SEQUENCES.get(name)
    if sequence in kwargs and len(args) <= 1:
        rest = {key: value for key, value in kwargs.items() if key not in (sequence, "input")}
        return (*(args or (kwargs["input"],)), kwargs[sequence]), rest
    names = NAMES.get(name)
    if names is not None and not names.keys().isdisjoint(kwargs):
        return args, {names.get(key, key): value for key, value in kwargs.items()}
    count, scales = _SCALED.get(name, (0, ()))
    tensors, numbers = [x for x in args if isinstance(x, Tensor)], [x for x in args if is_number(x)]
    if len(tensors) == count and 0 < len(numbers) <= len(scales) and len(args) == len(tensors) + len(numbers):
        given = dict(zip(scales, numbers, strict=False))
        warnings.warn(f"This overload of {name} is deprecated: give {' and '.join(given)} by name", UserWarning, stacklevel=4)
        return tuple(tensors), {**kwargs, **given}
    return None


def with_ints(args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
    """The call with ints for tensors of one integer each, but the first tensor if there are others; None if there are no such."""
    found = False

    def number(x):
        nonlocal found
        if isinstance(x, Tensor) and not x.shape and x.dtype.kind in "iu":
            found = True
            return int(x)
        return type(x)(map(number, x)) if type(x) in (tuple, list) else x
    rest, named = tuple(map(number, args[1:])), {key: number(value) for key, value in kwargs.items()}
    first = args[:1] if found else tuple(map(number, args[:1]))
    return (first + rest, named) if found else None
