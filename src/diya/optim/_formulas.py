"""Update formulas. Each is elementwise arithmetic, written once against a namespace ``o`` of operations.

Called with graph nodes, as a step does it, a formula is one node: a primitive of its own, which the interpreter runs
with numpy and the compiler writes with its builder. So a step records few nodes for each parameter, and no tensors.
Called with tensors it is tensor arithmetic, on the tape, for optimizers made with ``differentiable=True``.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

import diya

from ..engine import append
from ..graph import infer_elementwise, primitive
from ..tensor import Tensor

_NUMPY = SimpleNamespace(add=np.add, sub=np.subtract, mul=np.multiply, div=np.divide, neg=np.negative, abs=np.abs,
                         sqrt=np.sqrt, maximum=np.maximum, minimum=np.minimum, where=np.where, lt=np.less,
                         gt=np.greater, copysign=np.copysign)

_TENSORS = SimpleNamespace(
    add=lambda a, b: a + b, sub=lambda a, b: a - b, mul=lambda a, b: a * b, div=lambda a, b: a / b,
    neg=lambda a: -a, abs=lambda a: a.abs(), sqrt=lambda a: a.sqrt(),
    maximum=lambda a, b: a.maximum(b) if isinstance(b, Tensor) else a.clamp(min=b),
    minimum=lambda a, b: a.minimum(b) if isinstance(b, Tensor) else a.clamp(max=b),
    where=lambda c, a, b: diya.where(c, a, b), lt=lambda a, b: a < b, gt=lambda a, b: a > b,
    copysign=lambda a, b: diya.copysign(a, b))


def formula(function: Callable) -> Callable[..., Any]:
    """Makes ``function(o, *values)`` a formula. Values that are numbers come as 0-dim nodes, or as numbers."""
    op = primitive("optim." + function.__name__, "elementwise", infer_elementwise,
                   interpret=lambda attrs, *values: function(_NUMPY, *values),
                   emit=lambda b, *values: function(b, *values))

    def call(first, *values):
        if isinstance(first, Tensor):
            return function(_TENSORS, first, *values)
        return append(op, (first, *values))

    call.__name__, call.__doc__ = function.__name__, function.__doc__
    return call


@formula
def negative(o, x):
    """-x"""
    return o.neg(x)


@formula
def scale(o, x, k):
    """k·x"""
    return o.mul(x, k)


@formula
def add_scaled(o, a, k, x):
    """a + k·x"""
    return o.add(a, o.mul(k, x))


@formula
def scale_add(o, a, s, x):
    """s·a + x"""
    return o.add(o.mul(a, s), x)


@formula
def scale_add_scaled(o, a, s, k, x):
    """s·a + k·x"""
    return o.add(o.mul(a, s), o.mul(k, x))


@formula
def lerp_from(o, a, b, w):
    """a + w·(b - a)"""
    return o.add(a, o.mul(w, o.sub(b, a)))


@formula
def lerp_back(o, a, b, w):
    """b - w·(b - a)"""
    return o.sub(b, o.mul(o.sub(b, a), w))


@formula
def decayed_square(o, v, beta, k, g):
    """beta·v + k·g²"""
    return o.add(o.mul(v, beta), o.mul(o.mul(k, g), g))


@formula
def add_square(o, v, g):
    """v + g²"""
    return o.add(v, o.mul(g, g))


@formula
def subtract_square(o, v, g):
    """v - g²"""
    return o.sub(v, o.mul(g, g))


@formula
def larger(o, a, b):
    """max(a, b)"""
    return o.maximum(a, b)


@formula
def add_quotient(o, p, k, x, y):
    """p + k·x/y"""
    return o.add(p, o.div(o.mul(k, x), y))


@formula
def add_over_root(o, p, k, x, v, eps):
    """p + k·x/(√v + eps)"""
    return o.add(p, o.div(o.mul(k, x), o.add(o.sqrt(v), eps)))


@formula
def adam_step(o, p, k, m, v, correction, eps):
    """p + k·m/(√v/correction + eps)"""
    return o.add(p, o.div(o.mul(k, m), o.add(o.div(o.sqrt(v), correction), eps)))


@formula
def adamw_step(o, p, shrink, k, m, v, correction, eps):
    """shrink·p + k·m/(√v/correction + eps)"""
    return o.add(o.mul(p, shrink), o.div(o.mul(k, m), o.add(o.div(o.sqrt(v), correction), eps)))


@formula
def adamax_norm(o, u, beta, g, eps):
    """max(beta·u, |g| + eps)"""
    return o.maximum(o.mul(u, beta), o.add(o.abs(g), eps))


@formula
def nadam_step(o, p, k, g, j, m, v, correction, eps):
    """p + (k·g + j·m)/(√(v/correction) + eps), in two additions"""
    denominator = o.add(o.sqrt(o.div(v, correction)), eps)
    return o.add(o.add(p, o.div(o.mul(k, g), denominator)), o.div(o.mul(j, m), denominator))


@formula
def radam_step(o, p, m, correction, lr):
    """p - lr·m/correction"""
    return o.sub(p, o.mul(o.div(m, correction), lr))


@formula
def radam_rectified_step(o, p, m, correction, lr, v, root, eps, rectification):
    """p - lr·m/correction · root/(√v + eps) · rectification"""
    rate = o.div(root, o.add(o.sqrt(v), eps))
    return o.sub(p, o.mul(o.mul(o.mul(o.div(m, correction), lr), rate), rectification))


@formula
def momentum_over_root(o, b, momentum, g, v, eps):
    """momentum·b + g/(√v + eps)"""
    return o.add(o.mul(b, momentum), o.div(g, o.add(o.sqrt(v), eps)))


@formula
def adadelta_change(o, g, d, v, eps):
    """g·√(d + eps)/√(v + eps)"""
    return o.mul(o.div(o.sqrt(o.add(d, eps)), o.sqrt(o.add(v, eps))), g)


@formula
def rprop_size(o, size, g, previous, shrink, grow, smallest, largest, zero):
    """The step size, grown where the gradient kept its sign and shrunk where it turned, within bounds."""
    agreement = o.mul(g, previous)
    changed = o.where(o.gt(agreement, zero), o.mul(size, grow),
                      o.where(o.lt(agreement, zero), o.mul(size, shrink), size))
    return o.minimum(o.maximum(changed, smallest), largest)


@formula
def rprop_gradient(o, g, previous, zero):
    """g, and 0 where it turned"""
    return o.where(o.lt(o.mul(g, previous), zero), o.mul(g, zero), g)


@formula
def rprop_step(o, p, g, size, zero):
    """p - sign(g)·size"""
    return o.sub(o.sub(p, o.where(o.gt(g, zero), size, o.mul(size, zero))),
                 o.where(o.lt(g, zero), o.neg(size), o.mul(size, zero)))
