"""How tensors print: to the character as PyTorch 2.13 prints them.

One notation and one width hold for a whole tensor, found from the numbers that are shown:

- whole numbers print as ``3.``, others with ``precision`` digits; scientific notation is used when the largest of the
  finite non-zero magnitudes is more than 1,000 times the smallest or above 1e8, or the smallest is below 1e-4;
- a tensor of more than ``threshold`` elements shows only ``edgeitems`` at both ends of each dimension.

Behaviour: https://docs.pytorch.org/docs/stable/generated/torch.set_printoptions.html
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import dtypes, engine

if TYPE_CHECKING:
    from .tensor import Tensor


class Options(NamedTuple):
    """``sci_mode`` None decides by the numbers; ``threshold`` may be infinite."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": Options(),
    "short": Options(precision=2, edgeitems=2),
    "full": Options(threshold=math.inf),
}
options = Options()


def set_printoptions(precision: int | None = None, threshold: float | None = None, edgeitems: int | None = None,
                     linewidth: int | None = None, profile: str | None = None, sci_mode: bool | None = None) -> None:
    """Sets how tensors print; what is None stays, except ``sci_mode``, which then is decided by the numbers again.

    ``profile`` is "default", "short" or "full" (nothing left out) and is applied before the others. Raises ValueError
    for another one.
    """
    global options
    new = options
    if profile is not None:
        if profile not in PROFILES:
            raise ValueError(f"set_printoptions: profile must be one of {', '.join(PROFILES)}, got {profile!r}")
        new = PROFILES[profile]
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    options = new._replace(**{name: value for name, value in given.items() if value is not None}, sci_mode=sci_mode)


def get_printoptions() -> dict[str, Any]:
    """The options in force, as keyword arguments of `set_printoptions`."""
    return options._asdict()


@contextmanager
def printoptions(**kwargs):
    """Sets print options for the duration of a ``with`` block."""
    global options
    before = options
    set_printoptions(**kwargs)
    try:
        yield
    finally:
        options = before


# -- a whole tensor ------------------------------------------------------------------------------------------------------

_PLAIN = ("Tensor", "Parameter")  # a Parameter prints "Parameter containing:" and then as a tensor


def tensor_str(t: Tensor, contents: str | None = None) -> str:
    """The repr of a tensor: ``tensor(numbers, what differs from the defaults)``. ``contents`` replaces the numbers."""
    if t.device.type == "meta":
        contents = "..."
    elif engine.carries_batch((t._storage.node,)):
        from .func.levels import batched_str
        return batched_str(t)
    kind = type(t).__name__
    prefix = "tensor(" if kind in _PLAIN else kind + "("
    if contents is None:
        contents = contents_str(t, len(prefix)) if t.numel() else "[]"
    text = _append(prefix + contents, _suffixes(t), len(prefix))
    if kind not in _PLAIN and getattr(t, "_is_param", False):
        return f"Parameter({text})"
    return text


def contents_str(t: Tensor, indent: int = 0) -> str:
    """The numbers of a tensor that has some, in brackets; ``indent`` is the column where they start."""
    if t.numel() > options.threshold:
        t._storage.buffer()  # a strided view, so that only what is shown gets copied
        array, cut = _edges(t._array_of(t._storage.node))
    else:
        array, cut = t._to_array(), (False,) * t.dim()
    return array_str(dtypes.load_array(array, t.dtype), cut, indent)


def array_str(array: np.ndarray, cut: tuple[bool, ...], indent: int = 0) -> str:
    """A numpy array in brackets. ``cut`` tells which dimensions show an ellipsis at their middle."""
    if array.dtype.kind == "c":
        real, imaginary = Notation(array.real), Notation(array.imag)  # pyright: ignore[reportAttributeAccessIssue]
        width = real.width + imaginary.width + 1

        def text(value: complex) -> str:
            tail = imaginary(value.imag).lstrip()
            return real(value.real) + (tail if tail[0] in "+-" else "+" + tail) + "j"
    else:
        text = Notation(array)
        width = text.width
    values = array.tolist()
    return _brackets(values, cut, text, width, indent) if array.ndim else text(values)


def _edges(array: np.ndarray) -> tuple[np.ndarray, tuple[bool, ...]]:
    """Both ends of each long dimension, and which dimensions were cut."""
    ends = options.edgeitems
    cut = tuple(size > 2 * ends for size in array.shape)
    for axis, is_cut in enumerate(cut):
        if is_cut:
            both = [*range(ends), *range(array.shape[axis] - ends, array.shape[axis])]
            array = array[(slice(None),) * axis + (np.array(both, np.intp),)]
    return array, cut


def _brackets(values: list, cut: tuple[bool, ...], text: Callable[[Any], str], width: int, indent: int) -> str:
    """Nested lists in brackets; ``indent`` is the column of the opening one."""
    middle = len(values) // 2
    if len(cut) > 1:
        items = [_brackets(v, cut[1:], text, width, indent + 1) for v in values]
        if cut[0]:
            items.insert(middle, "...")
        return "[" + ("," + "\n" * (len(cut) - 1) + " " * (indent + 1)).join(items) + "]"
    items = [text(v) for v in values]
    if cut[0]:  # pyright: ignore[reportGeneralTypeIssues]
        items.insert(middle, " ..." if values else "...")
    per_line = max(1, (options.linewidth - indent) // (width + 2))
    lines = [", ".join(items[i:i + per_line]) for i in range(0, len(items), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _suffixes(t: Tensor) -> list[str]:
    """What is said after the numbers: device, size and dtype where they do not go without saying, and the gradient."""
    suffixes = []
    on_meta = t.device.type == "meta"
    if on_meta:
        suffixes.append(f"device='{t.device}'")
    if on_meta or (t.dim() != 1 if not t.numel() else not options.edgeitems):  # the brackets do not show it
        suffixes.append(f"size={tuple(t.shape)}")
    if not t.numel() or on_meta:
        implied = (dtypes.default_dtype,)
    else:
        default_complex = dtypes.complex128 if dtypes.default_dtype is dtypes.float64 else dtypes.complex64
        implied = (dtypes.default_dtype, default_complex, dtypes.int64, dtypes.bool_)
    if t.dtype not in implied:
        suffixes.append(f"dtype={t.dtype!r}")
    try:
        made_by = t.grad_fn
    except RuntimeError:  # a view that an in-place write under no_grad has cut off from its history
        return [*suffixes, "grad_fn=<Invalid>"]
    if made_by is not None:
        suffixes.append(f"grad_fn=<{made_by.name().rpartition('::')[2]}>")
    elif t.requires_grad:
        suffixes.append("requires_grad=True")
    return suffixes


def _append(text: str, suffixes: list[str], indent: int) -> str:
    """Appends suffixes and the closing bracket, each on a new line where it would pass the line's end."""
    column = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if column + len(suffix) + 2 > options.linewidth:
            text += ",\n" + " " * indent + suffix
            column = indent + len(suffix)
        else:
            text += ", " + suffix
            column += len(suffix) + 2
    return text + ")"


# -- numbers -------------------------------------------------------------------------------------------------------------

class Notation:
    """How real numbers are written together: calling it writes one, right-aligned in ``width`` columns.

    Zeros and non-finite numbers do not take part in the choice of the notation, nor of the width.
    """

    def __init__(self, array: np.ndarray):
        self.width = 1
        if array.dtype.kind != "f":
            self.spec = ""
            self._fit(array.reshape(-1).tolist())
            return
        self.spec, self.point = ".0f", "."
        values = array[np.isfinite(array) & (array != 0)].astype(np.float64)
        if not values.size:
            return
        scientific, precision = options.sci_mode, options.precision
        if scientific is None:
            low, high = np.abs(values).min(), np.abs(values).max()
            scientific = bool(high / low > 1000 or high > 1e8 or low < 1e-4)
        if scientific:
            self.spec, self.point = f".{precision}e", ""
        elif (values != np.ceil(values)).any():
            self.spec, self.point = f".{precision}f", ""
        self._fit(values.tolist())

    def _fit(self, values: list) -> None:
        self.width = max((len(self._write(v)) for v in values), default=1)

    def _write(self, value) -> str:
        if not self.spec:
            return str(value)
        return format(value, self.spec) + (self.point if math.isfinite(value) else "")

    def __call__(self, value) -> str:
        return self._write(value).rjust(self.width)
