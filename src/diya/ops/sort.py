"""Sorting, selecting, searching: numpy's algorithms over one dimension."""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from .. import dtypes, engine
from ..autograd.modes import modes
from ..autograd.tape import Rule, track
from ..dtypes import bool_, int64
from ..graph import Type, primitive, type_of
from ..numerics import introsort, order
from ..tensor import Tensor, _from_array, from_node, wrap_dim
from .elementwise import maximum, minimum, where
from .index import elements, gather, grid, put_at
from .movement import preserved
from .record import WrongArgument, _long_name, is_number, not_int, only, only_tensors, operator, result_type
from .reduce import amax, amin, argmax, argmin

PICK = primitive("pick", "pick", lambda i, types: types[i], interpret=lambda i, values: values[i])


def pick_outputs(node) -> list:
    """A node for each output of a node that has several."""
    return [engine.append(PICK, (node,), i) for i in range(len(node.type))]


# -- primitives: values and positions apart, since most callers want one of them -----------------------------------------


def _infer_order(attrs, x: Type) -> Type:
    return type_of(x.shape, int64)


def _along_last(algorithm):
    """The rule of a primitive from an algorithm over the last axis; ``attrs`` begins with the dimension."""
    def interpret(attrs, x):
        dim, *rest = attrs
        if not x.ndim:
            return algorithm(x.reshape(1), *rest).reshape(())
        if dim == x.ndim - 1:
            return algorithm(x, *rest)
        return np.moveaxis(algorithm(np.ascontiguousarray(np.moveaxis(x, dim, -1)), *rest), -1, dim)
    return interpret


def _infer_top(attrs, x: Type) -> Type:
    dim, k, *_ = attrs
    return type_of(tuple(k if d == dim else s for d, s in enumerate(x.shape)), int64)


def _infer_kth(attrs, x: Type):
    return type_of(tuple(1 if d == attrs[0] else s for d, s in enumerate(x.shape)), int64)


SORTED = primitive("sorted", "host", lambda attrs, x: x, interpret=_along_last(introsort.sorted_values))
ORDER = primitive("order", "host", _infer_order, interpret=_along_last(introsort.sorted_order))
TOP = primitive("top", "host", _infer_top, interpret=_along_last(introsort.top_order))
KTH = primitive("kth", "host", _infer_kth, interpret=_along_last(introsort.kth_order))

SortResult = namedtuple("sort", ["values", "indices"])
TopK = namedtuple("topk", ["values", "indices"])
Max = namedtuple("max", ["values", "indices"])
Min = namedtuple("min", ["values", "indices"])
Median = namedtuple("median", ["values", "indices"])
NanMedian = namedtuple("nanmedian", ["values", "indices"])
Mode = namedtuple("mode", ["values", "indices"])
KthValue = namedtuple("kthvalue", ["values", "indices"])
CumMax = namedtuple("cummax", ["values", "indices"])
CumMin = namedtuple("cummin", ["values", "indices"])
AMinMax = namedtuple("aminmax", ["min", "max"])
for _t, _m in ((SortResult, "sort"), (TopK, "topk"), (Max, "max"), (Min, "min")):
    _t.__module__ = "torch.return_types"


def _at_indices_grad(g, shape, indices, dim, keepdim):
    """The gradient of values that were taken at ``indices`` along ``dim``."""
    if not shape:
        return g.reshape(shape)
    if not keepdim:
        g, indices = g.unsqueeze(dim), indices.unsqueeze(dim)
    return put_at(g.new_zeros(shape), grid(indices.shape, dim, indices), g, True)


def _taken(name: str, input: Tensor, values: Tensor, indices: Tensor, dim: int, keepdim: bool) -> None:
    """Puts ``values``, taken from ``input`` at ``indices`` along ``dim``, on the tape."""
    if input._rg and modes.grad and values.dtype.kind in "fc":
        rule = _rules.get(name)
        if rule is None:
            rule = _rules[name] = Rule(name, ("input", "indices"), dict(input=_at_indices_grad))
        track(rule, (values,), (input, indices), (input._value(), indices._value()), {"dim": dim, "keepdim": keepdim})


_rules: dict[str, Rule] = {}


def _no_complex(name: str, x: Tensor) -> None:
    only(name, "buif", x)


@operator()
def sort(input, dim=-1, descending=False, stable=False):
    _no_complex("sort", input)
    dim = wrap_dim(dim, input.dim())
    node, attrs = input._value(), (dim, bool(descending), bool(stable))
    values, indices = from_node(engine.record(SORTED, (node,), attrs)), from_node(engine.record(ORDER, (node,), attrs))
    _taken("Sort", input, values, indices, dim, True)
    return SortResult(preserved(input, values), preserved(input, indices))


@operator(out=False)
def argsort(input, dim=-1, descending=False, stable=False):
    _no_complex("sort", input)
    found = engine.record(ORDER, (input._borrow(),), (wrap_dim(dim, input.dim()), bool(descending), bool(stable)))
    return preserved(input, from_node(found))


@operator()
def msort(input):
    return sort(input, 0)[0]


@operator()
def topk(input, k, dim=-1, largest=True, sorted=True):
    only("topk", "uif", input)
    dim = wrap_dim(dim, input.dim())
    n = input.shape[dim] if input.dim() else 1
    k = k.__index__() if hasattr(k, "__index__") else not_int("topk", "k", k)
    if not 0 <= k <= n:
        raise RuntimeError(f"selected index k out of range: k is {k}, the size of dimension {dim} is {n}")
    if not input.dim():
        return TopK(input.clone(), input.new_zeros((), dtype=int64))
    indices = from_node(engine.record(TOP, (input._borrow(),), (dim, k, bool(largest), bool(sorted))))
    return TopK(*_at(indices, "Topk", input, dim, True))


@operator()
def kthvalue(input, k, dim=-1, keepdim=False):
    only("kthvalue_cpu", "uif", input)
    dim = wrap_dim(dim, input.dim())
    n = input.shape[dim] if input.dim() else 1
    k = k.__index__() if hasattr(k, "__index__") else not_int("kthvalue", "k", k)
    if not 1 <= k <= n:
        raise (RuntimeError if input.numel() else IndexError)(f"kthvalue(): selected number k out of range for dimension {dim}")
    if not input.dim():
        return KthValue(input.clone(), input.new_zeros((), dtype=int64))
    indices = from_node(engine.record(KTH, (input._borrow(),), (dim, k - 1)))
    return KthValue(*_at(indices, "Kthvalue", input, dim, bool(keepdim)))


def _at(indices: Tensor, name: str, input: Tensor, dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    """The elements at ``indices`` along ``dim``, on the tape as the outputs of ``name``, and the indices."""
    values = gather(input.detach(), dim, indices)
    if not keepdim:
        values, indices = values.squeeze(dim), indices.squeeze(dim)
    _taken(name, input, values, indices, dim, keepdim)
    return values, indices


def _choose_extreme(name: str, result, whole, pairwise, position):
    def make(input, dim=None, keepdim=False, *, other=None):
        if isinstance(dim, Tensor) or other is not None:
            return pairwise(input, dim if other is None else other)
        if dim is None:
            if not input.numel():
                raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
                                   f"reduction dim with the 'dim' argument.")
            return whole(input)
        dim = wrap_dim(dim, input.dim())
        _no_complex(name, input)
        if not input.dim():
            return result(input.clone(), input.new_zeros((), dtype=int64))
        if input.dtype is bool_:
            indices = position(input.to(dtypes.uint8), dim, keepdim)
        else:
            indices = position(input, dim, keepdim)
        values = whole(input.detach(), dim, keepdim)
        _taken(name.capitalize(), input, values, indices, dim, keepdim)
        return result(values, indices)
    make.__name__ = make.__qualname__ = name
    return operator(name)(make)


max_ = _choose_extreme("max", Max, amax, maximum, argmax)
min_ = _choose_extreme("min", Min, amin, minimum, argmin)


@operator()
def aminmax(input, *, dim=None, keepdim=False):
    if not input.numel() and (dim is None or input.dim() and not input.shape[wrap_dim(dim, input.dim())]):
        raise RuntimeError(f"aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity: input has "
                           f"shape {list(input.shape)}, dim is {dim}")
    if dim is None:
        return AMinMax(amin(input, (), keepdim), amax(input, (), keepdim))
    return AMinMax(amin(input, dim, keepdim), amax(input, dim, keepdim))


def _even_grad(g, input, out):
    """The gradient of one number out of all, in equal parts to those that equal it."""
    equal = ((input == out) | (input.isnan() & out.isnan())).to(g.dtype)
    return equal * (g / equal.sum())


def _median_operator(name: str, result, ignore_nan: bool):
    whole = Rule(name.capitalize(), ("input",), dict(input=_even_grad))

    def make(input, dim=None, keepdim=False):
        only("median_cpu", "uif", input)
        if dim is None:
            if not input.numel():
                if input.dtype.kind == "f":
                    return input.new_full((), float("nan"))
                raise RuntimeError(f"{name}(): input tensor is empty")
            out = make(input.detach().reshape(-1), 0)[0]
            if input._rg and modes.grad and input.dtype.kind == "f":
                track(whole, (out,), (input,), (input._value(),), {})
            return out
        dim = wrap_dim(dim, input.dim())
        if not input.dim():
            return result(input.clone(), input.new_zeros((), dtype=int64))
        n = input.shape[dim]
        if n == 0:
            raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")
        values, indices = sort(input.detach(), dim, stable=True)
        at = values.new_full([1 if d == dim else s for d, s in enumerate(values.shape)], (n - 1) // 2, dtype=int64)
        if input.dtype.kind == "f":
            nans = input.detach().isnan()
            if ignore_nan:
                count = (~nans).sum(dim, keepdim=True)
                at = ((count - 1).clamp(min=0)) // 2
            else:
                at = where(nans.any(dim, keepdim=True), n - nans.sum(dim, keepdim=True), at)
        out_indices = indices.gather(dim, at)
        out = values.gather(dim, at)
        if not keepdim:
            out, out_indices = out.squeeze(dim), out_indices.squeeze(dim)
        _taken(name.capitalize(), input, out, out_indices, dim, keepdim)
        return result(out, out_indices)
    make.__name__ = make.__qualname__ = name
    return operator(name)(make)


median = _median_operator("median", Median, False)
nanmedian = _median_operator("nanmedian", NanMedian, True)


def _interpret_mode(dim, x):
    y = np.ascontiguousarray(np.moveaxis(x, dim, -1))
    at = introsort.modes(y)
    return np.take_along_axis(y, at, -1)[..., 0], at[..., 0]


MODE = primitive("mode", "host", lambda dim, x: (type_of(tuple(s for d, s in enumerate(x.shape) if d != dim), x.dtype),
                                                 type_of(tuple(s for d, s in enumerate(x.shape) if d != dim), int64)),
                 interpret=_interpret_mode)


@operator()
def mode(input, dim=-1, keepdim=False):
    _no_complex("mode", input)
    dim = wrap_dim(dim, input.dim())
    if not input.dim():
        return Mode(input.clone(), input.new_zeros((), dtype=int64))
    if input.shape[dim] == 0:
        raise IndexError(f"mode(): Expected reduction dim {dim} to have non-zero size.")
    values, indices = (from_node(n) for n in pick_outputs(engine.record(MODE, (input._value(),), dim)))
    _taken("Mode", input, values, indices, dim, False)
    return Mode(values.unsqueeze(dim), indices.unsqueeze(dim)) if keepdim else Mode(values, indices)


def _infer_running(dim, x: Type):
    return x, type_of(x.shape, int64)


def _running(better):
    def interpret(dim, x):
        if not x.ndim:
            return x, np.zeros((), np.int64)
        best = better.accumulate(x, axis=dim)
        place = np.arange(x.shape[dim]).reshape([-1 if d == dim else 1 for d in range(x.ndim)])
        indices = np.maximum.accumulate(np.where((x == best) | (x != x), place, 0), axis=dim)  # NaN is the best of all
        return np.take_along_axis(x, indices, dim), indices
    return interpret


CUMMAX = primitive("cummax", "host", _infer_running, interpret=_running(np.maximum))
CUMMIN = primitive("cummin", "host", _infer_running, interpret=_running(np.minimum))


def _running_operator(name: str, op, result):
    def make(input, dim):
        _no_complex(name, input)
        dim = wrap_dim(dim, input.dim())
        values, indices = (from_node(n) for n in pick_outputs(engine.record(op, (input._value(),), dim)))
        _taken(name.capitalize(), input, values, indices, dim, True)
        return result(values, indices)
    make.__name__ = make.__qualname__ = name
    return operator(name)(make)


cummax = _running_operator("cummax", CUMMAX, CumMax)
cummin = _running_operator("cummin", CUMMIN, CumMin)


# -- searching ---------------------------------------------------------------------------------------------------------------


def _bisected(right: bool, boundaries, values) -> np.ndarray:
    """The bisection that PyTorch makes, where the boundaries are in no order (or NaN is among them)."""
    shape = values.shape
    rows = boundaries.reshape(-1, boundaries.shape[-1])
    values = values.reshape(len(rows), -1) if boundaries.ndim > 1 else values.reshape(1, -1)
    low, high = np.zeros(values.shape, np.int64), np.full(values.shape, rows.shape[1], np.int64)
    while (low < high).any():
        middle = low + (high - low >> 1)
        at = np.take_along_axis(rows, np.minimum(middle, rows.shape[1] - 1), -1)
        beyond = ~(at > values) if right else ~(at >= values)
        searching = low < high
        low, high = np.where(searching & beyond, middle + 1, low), np.where(searching & ~beyond, middle, high)
    return low.reshape(shape)


def _interpret_search(right, boundaries, values):
    if not ((boundaries[..., :-1] <= boundaries[..., 1:]).all() and (boundaries[..., -1:] == boundaries[..., -1:]).all()):
        return _bisected(right, boundaries, values)
    side = "right" if right else "left"
    if boundaries.ndim == 1:
        return np.searchsorted(boundaries, values, side)
    out = np.empty(values.shape, np.int64)
    for at in np.ndindex(*values.shape[:-1]):
        out[at] = np.searchsorted(boundaries[at], values[at], side)
    return out


SEARCH = primitive("searchsorted", "host", lambda attrs, b, v: type_of(v.shape, int64), interpret=_interpret_search)


@operator(method=False, differentiable=False, takes="uif")
def searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side=None, sorter=None):
    if side is not None and side not in ("left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError("torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True")
    from .creation import tensor
    number = not isinstance(input, Tensor)
    if number and not is_number(input):
        raise WrongArgument(f"searchsorted(): argument 'input' must be Tensor or Number, not {type(input).__name__}", input)
    values = tensor(input, dtype=result_type(sorted_sequence, input)) if number else input
    _no_complex("searchsorted_out_cpu", sorted_sequence)
    _no_complex("searchsorted_out_cpu", values)
    d = dtypes.promote_types(sorted_sequence.dtype, values.dtype)
    if sorter is not None and sorter.dtype is not int64:
        raise RuntimeError(f"torch.searchsorted(): sorter must be a tensor of long dtype but got dtype {_long_name(sorter.dtype)}")
    if sorter is not None and sorter.shape != sorted_sequence.shape:
        raise RuntimeError(f"torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
                           f"{list(sorted_sequence.shape)} and got sorter tensor {list(sorter.shape)}")
    edges = sorted_sequence.gather(-1, sorter) if sorter is not None else sorted_sequence
    if edges.dim() > 1 and edges.shape[:-1] != values.shape[:-1]:
        raise RuntimeError(f"torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of "
                           f"boundaries tensor and input value tensor must match, but we got boundaries tensor "
                           f"{list(edges.shape)} and input value tensor {list(values.shape)}")
    if edges.dim() > 1 and not values.dim():
        raise RuntimeError(f"torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1, but we "
                           f"got boundaries tensor dim({edges.dim()})")
    if not edges.dim():
        raise RuntimeError("torch.searchsorted(): boundaries tensor should have positive dimension, but got 0 dimension")
    found = from_node(engine.record(SEARCH, (edges.to(d)._value(), values.to(d)._value()), right or side == "right"))
    return found.to(dtypes.int32) if out_int32 else found


@operator(method=False, differentiable=False, takes="uif")
def bucketize(input, boundaries, *, out_int32=False, right=False):
    if boundaries.dim() != 1:
        raise RuntimeError(f"bucketize(): boundaries tensor must be 1 dimension, but got dim({boundaries.dim()})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


# -- sets: shapes that depend on data ------------------------------------------------------------------------------------------


def _numbers(x: Tensor) -> np.ndarray:
    return dtypes.load_array(elements(x), x.dtype)


def _as(a: np.ndarray, d) -> Tensor:
    """A tensor that takes over an array of numbers."""
    return _from_array(np.asarray(dtypes.store_array(a, d), order="C"), d)


@operator(differentiable=False, out=False, takes="buif")
def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    a = _numbers(input)
    if dim is None:
        flat = a.reshape(-1)
        if not (return_inverse or return_counts):
            return _as(order.distinct_values(flat), input.dtype)
        values, inverse, counts = order.distinct(flat)
        return _set_result(_as(values, input.dtype), inverse.reshape(a.shape), counts, return_inverse, return_counts)
    dim = wrap_dim(dim, input.dim())
    _refuse_nothing(input, dim)
    values, inverse, counts = np.unique(a, return_inverse=True, return_counts=True, axis=dim)
    return _set_result(_along(values, dim, input.dtype), inverse.reshape(-1), counts, return_inverse, return_counts)


def _refuse_nothing(input: Tensor, dim: int) -> None:
    empty = [d for d, s in enumerate(input.shape) if not s and d != dim]
    if empty:
        raise RuntimeError(f"There are {len(empty)} zero-sized dimensions, and they aren't selected, so unique cannot be applied: "
                           f"{list(input.shape)} along {dim}")


def _along(values: np.ndarray, dim: int, d) -> Tensor:
    """The array as a tensor that lies in memory with ``dim`` first, as PyTorch's set operations leave it."""
    return _as(np.moveaxis(values, dim, 0), d).movedim(0, dim).detach() if values.ndim else _as(values, d)


def _set_result(values: Tensor, inverse, counts, return_inverse, return_counts):
    out: tuple[Tensor, ...] = (values,)
    if return_inverse:
        out += (_as(inverse, int64),)
    if return_counts:
        out += (_as(counts, int64),)
    return out if len(out) > 1 else out[0]  # pyright: ignore[reportGeneralTypeIssues]


@operator(differentiable=False, out=False, takes="buif")
def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    a = _numbers(input)
    along = None if dim is None else wrap_dim(dim, input.dim())
    if along is not None:
        _refuse_nothing(input, along)
    count = a.size if along is None else a.shape[along]
    flat = (a if along is None else np.moveaxis(a, along, 0)).reshape(count, a.size // (count or 1))
    new = np.ones(len(flat), bool)
    new[1:] = (flat[1:] != flat[:-1]).any(1)
    starts = np.nonzero(new)[0]
    inverse = np.cumsum(new) - 1
    counts = np.diff(np.append(starts, len(flat)))
    values = _as(a.reshape(-1)[starts], input.dtype) if along is None else _along(np.take(a, starts, along), along, input.dtype)
    return _set_result(values, inverse.reshape(a.shape) if dim is None else inverse, counts, return_inverse, return_counts)


@operator(differentiable=False)
def bincount(input, weights=None, minlength=0):
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if input.dim() != 1 or input.dtype.kind not in "ui":
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    a = input._to_array()
    if a.size and a.min() < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is None or not a.size:
        return _as(np.bincount(a.astype(np.int64), minlength=minlength), int64)
    if weights.dim() != 1 or weights.numel() != a.size:
        raise RuntimeError(f"weights should be 1-d and have the same length as input, got {list(weights.shape)} and {a.size}")
    d = weights.dtype if weights.dtype in (dtypes.float32, dtypes.float64) else dtypes.float64
    return _as(np.bincount(a.astype(np.int64), _numbers(weights), minlength), d)


@operator(method=False, differentiable=False, takes="uifc")
def isin(elements, test_elements, *, assume_unique=False, invert=False):
    from .creation import as_tensor
    for x in (elements, test_elements):
        if not isinstance(x, Tensor) and not is_number(x):
            raise WrongArgument(f"isin(): expected Tensors or one Number, not {type(x).__name__}", x)
    if not isinstance(elements, Tensor):
        only_tensors("isin", test_elements=test_elements)
    a, b = as_tensor(elements), as_tensor(test_elements)
    for x in (a, b):
        if x.dtype.kind in "bc":
            raise RuntimeError(f"Unsupported input type encountered for isin(): {_long_name(x.dtype)}")
    found = np.isin(_numbers(a), _numbers(b), invert=invert)
    return _as(found, bool_)


@operator(differentiable=False)
def nonzero_static(input, *, size, fill_value=-1):
    if size < 0:
        raise RuntimeError(f"nonzero_static: 'size' must be an non-negative integer, got {size}")
    if not isinstance(fill_value, int):
        not_int("nonzero_static", "fill_value", fill_value)
    found = input.nonzero()[:size].contiguous()
    if found.shape[0] < size:
        from .movement import cat
        found = cat([found, found.new_full((size - found.shape[0], found.shape[1]), fill_value)], 0)
    return found


@operator(differentiable=False)
def histc(input, bins=100, min=0, max=0):
    only("histogram_cpu", "f", input)
    if bins <= 0:
        raise RuntimeError(f"bins must be > 0, but got {bins}")
    a = _numbers(input)
    low, high = float(min), float(max)
    if low == high and a.size:
        low, high = float(a.min()), float(a.max())
    if low == high:
        low, high = low - 1, high + 1
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError("max must be larger than min")
    inside = a[(a >= low) & (a <= high)]

    def rounded(x) -> np.ndarray:
        """Half precisions are rounded after each step, which decides the bin of what lies on an edge."""
        return _numbers(_as(np.asarray(x, a.dtype), input.dtype)) if input.dtype.itemsize == 2 else x
    low = rounded(low)
    position = rounded(rounded(rounded(inside - low) * rounded(bins)) / rounded(rounded(high) - low))
    at = np.minimum(position.astype(np.int64), bins - 1)
    return _as(np.bincount(at.reshape(-1), minlength=bins), input.dtype)


def _quantile(name: str, input, q, dim, keepdim, interpolation, skip_nan: bool):
    if input.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q}")
        q = input.new_tensor(q)
    if q.dim() > 1:
        raise RuntimeError(f"{name}() q must be a scalar or 1D tensor, got {list(q.shape)}")
    if q.dtype is not input.dtype:
        raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
    whole = dim is None
    x = input.reshape(-1) if whole else input
    d = wrap_dim(0 if whole else dim, x.dim())
    if not x.dim():
        x = x.reshape(1)
    ordered = sort(x, d)[0].movedim(d, -1)
    n = ordered.shape[-1]
    if not x.numel():
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    nans = ordered.isnan()
    count = (~nans).sum(-1, keepdim=True) if skip_nan else None
    qs = q.reshape(-1)
    rank = qs * (n - 1) if count is None else qs * (count - 1).clamp(min=0).to(x.dtype)
    rank = rank.expand(list(ordered.shape[:-1]) + [qs.numel()])
    if interpolation == "lower":
        rank = rank.floor()
    elif interpolation == "higher":
        rank = rank.ceil()
    elif interpolation == "nearest":
        rank = rank.round()
    elif interpolation not in ("linear", "midpoint"):
        raise RuntimeError(f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got "
                           f"{interpolation}")
    below = rank.floor().to(int64)
    out = ordered.gather(-1, below)
    if interpolation in ("linear", "midpoint"):
        above = ordered.gather(-1, rank.ceil().to(int64))
        weight = rank - below.to(x.dtype) if interpolation == "linear" else rank.new_full((), 0.5)
        from .arithmetic import lerp
        out = lerp(out, above, weight.expand(out.shape))
    bad = nans.any(-1, keepdim=True) if not skip_nan else count == 0
    out = where(bad, out.new_full((), float("nan")), out)
    out = out.movedim(-1, 0)
    if keepdim:
        shape = [1] * input.dim() if whole else [1 if k == d else s for k, s in enumerate(input.shape)]
        out = out.reshape([qs.numel(), *shape])
    return out if q.dim() else out.squeeze(0)


@operator()
def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear"):
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@operator()
def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear"):
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)
