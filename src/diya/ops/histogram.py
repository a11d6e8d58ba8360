"""Histograms of one or several variables."""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from .. import engine
from ..graph import primitive, type_of
from ..tensor import Tensor, from_node
from .record import _long_name, operator
from .sort import pick_outputs


def _outer(x: np.ndarray, given) -> tuple[float, float]:
    """The first and last edge: as asked for, or the data's extremes, half a unit apart from one another at least."""
    low, high = given if given is not None else (x.min(), x.max()) if x.size else (0.0, 1.0)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"torch.histogramdd: range [{low}, {high}] is not finite")
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def _interpret(attrs, x, *rest):
    """``x`` is (samples, variables). ``attrs``: for each variable a number of bins or None (its edges are an operand),
    ranges, whether weights are given, whether a density is wanted."""
    bins, ranges, weighted, density = attrs
    rest = list(rest)
    edges = []
    for d, n in enumerate(bins):
        if n is None:
            edges.append(rest.pop(0))
        else:
            low, high = _outer(x[:, d], ranges and ranges[2 * d:2 * d + 2])
            edges.append(np.linspace(low, high, n + 1).astype(x.dtype))
    weights = rest.pop(0).reshape(-1) if weighted else None
    shape = tuple(len(e) - 1 for e in edges)
    inside = np.ones(len(x), bool)
    flat = np.zeros(len(x), np.int64)
    for d, e in enumerate(edges):
        at = np.searchsorted(e, x[:, d], "right") - 1
        at = np.where(x[:, d] == e[-1], len(e) - 2, at)
        inside &= (at >= 0) & (at < shape[d])
        flat = flat * shape[d] + at
    counts = np.bincount(flat[inside], None if weights is None else weights[inside], int(np.prod(shape))).reshape(shape)
    counts = counts.astype(np.float64)
    if density:
        total = counts.sum()
        for d, e in enumerate(edges):
            counts = counts / np.diff(e).reshape([-1 if k == d else 1 for k in range(len(shape))])
        counts = counts / total
    return (counts.astype(x.dtype), *edges)


def _infer(attrs, x, *rest):
    sizes = [rest[sum(b is None for b in attrs[0][:d])].shape[0] - 1 if n is None else n for d, n in enumerate(attrs[0])]
    return (type_of(tuple(sizes), x.dtype), *[type_of((n + 1,), x.dtype) for n in sizes])


HISTOGRAM = primitive("histogram", "host", _infer, interpret=_interpret, faults=True)


def _run(name: str, x: Tensor, bins, ranges, weight, density: bool) -> list[Tensor]:
    if x.dtype.kind != "f" or x.dtype.itemsize == 2:
        raise RuntimeError(f"\"{name}_cpu\" not implemented for '{_long_name(x.dtype)}'")
    edges = [b for b in bins if isinstance(b, Tensor)]
    for b in bins:
        if isinstance(b, Tensor) and (b.dim() != 1 or not b.numel()):
            raise RuntimeError(f"torch.{name}: bins tensor should have one dimension with at least one edge, got {list(b.shape)}")
        if isinstance(b, Tensor) and b.dtype is not x.dtype:
            raise RuntimeError(f"torch.{name}(): input tensor and bins tensors should have the same dtype, but got input with "
                               f"dtype {_long_name(x.dtype)} and bins with dtype {_long_name(b.dtype)}")
        if not isinstance(b, Tensor) and b <= 0:
            raise RuntimeError(f"torch.{name}(): bins must be > 0, but got {b}")
    if weight is not None and weight.dtype is not x.dtype:
        raise RuntimeError(f"torch.{name}(): if weight tensor is provided, input tensor and weight tensor should have the same "
                           f"dtype, but got input({_long_name(x.dtype)}), and weight({_long_name(weight.dtype)})")
    operands = [x, *edges, *([weight] if weight is not None else [])]
    attrs = (tuple(None if isinstance(b, Tensor) else int(b) for b in bins), ranges and tuple(map(float, ranges)),
             weight is not None, bool(density))
    node = engine.record(HISTOGRAM, tuple(t.detach()._value() for t in operands), attrs)
    return [from_node(n) for n in pick_outputs(node)]


Histogram = namedtuple("histogram", ["hist", "bin_edges"])
HistogramDD = namedtuple("histogramdd", ["hist", "bin_edges"])


@operator(differentiable=False)
def histogram(input, bins, *, range=None, weight=None, density=False):
    """Counts (or weights, or a density) between edges: ``bins`` of equal width, or the edges in a tensor."""
    if weight is not None and weight.shape != input.shape:
        raise RuntimeError(f"torch.histogram(): weight should have the same shape as input, got {list(weight.shape)} and "
                           f"{list(input.shape)}")
    return Histogram(*_run("histogram", input.reshape(-1, 1), [bins], range, weight, density))


@operator(method=False, out=False, differentiable=False)
def histogramdd(input, bins, *, range=None, weight=None, density=False):
    """The histogram of points whose coordinates are the last dimension."""
    if input.dim() < 2:
        raise RuntimeError(f"torch.histogramdd: input tensor should have at least 2 dimensions, but got {input.dim()}")
    n = input.shape[-1]
    bins = [bins] * n if isinstance(bins, int) else list(bins)
    if len(bins) != n:
        raise RuntimeError(f"torch.histogramdd: expected {n} sequences of bin edges, one for each dimension, but got {len(bins)}")
    if range is not None and len(range) != 2 * n:
        raise RuntimeError(f"torch.histogramdd: for a {n}-dimensional histogram range should have {2 * n} elements, but got "
                           f"{len(range)}")
    out = _run("histogramdd", input.reshape(-1, n), bins, range, weight, density)
    return HistogramDD(out[0], tuple(out[1:]))
