"""`biject_to` and `transform_to`: transforms from all real numbers onto what a constraint admits."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Number
from typing import Any

from . import constraints as c
from . import transforms as t

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]


class ConstraintRegistry:
    """Factories of transforms, by the class of a constraint."""

    def __init__(self):
        self._registry: dict[type, Callable] = {}

    def register(self, constraint: Any, factory: Callable | None = None) -> Callable:
        """Registers ``factory(constraint)`` for a class of constraints (or that of an instance); a decorator without it."""
        if factory is None:
            return lambda factory: self.register(constraint, factory)
        if isinstance(constraint, c.Constraint):
            constraint = type(constraint)
        if not isinstance(constraint, type) or not issubclass(constraint, c.Constraint):
            raise TypeError(f"Expected constraint to be either a Constraint subclass or instance, but got {constraint}")
        self._registry[constraint] = factory
        return factory

    def __call__(self, constraint: c.Constraint) -> t.Transform:
        factory = self._registry.get(type(constraint))
        if factory is None:
            raise NotImplementedError(f"Cannot transform {type(constraint).__name__} constraints")
        return factory(constraint)


biject_to = ConstraintRegistry()  # bijections, whose densities are known
transform_to = ConstraintRegistry()  # maps that suit optimisation, perhaps not bijective


def _affine(outer: t.Transform, loc: Any, scale: Any) -> t.Transform:
    return t.ComposeTransform([outer, t.AffineTransform(loc, scale)])


def _interval(constraint: Any) -> t.Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    if isinstance(low, Number) and isinstance(high, Number) and (low, high) == (0, 1):
        return t.SigmoidTransform()
    return _affine(t.SigmoidTransform(), low, high - low)


for _registry in (biject_to, transform_to):
    _registry.register(c.real, lambda _: t.identity_transform)
    _registry.register(c.independent, lambda x, r=_registry: t.IndependentTransform(
        r(x.base_constraint), x.reinterpreted_batch_ndims))
    for _kind in (c.greater_than, c.greater_than_eq):
        _registry.register(_kind, lambda x: _affine(t.ExpTransform(), x.lower_bound, 1))
    _registry.register(c.less_than, lambda x: _affine(t.ExpTransform(), x.upper_bound, -1))
    for _kind in (c.interval, c.half_open_interval):
        _registry.register(_kind, _interval)
    _registry.register(c.corr_cholesky, lambda _: t.CorrCholeskyTransform())
    _registry.register(c.cat, lambda x, r=_registry: t.CatTransform([r(part) for part in x.cseq], x.dim, x.lengths))
    _registry.register(c.stack, lambda x, r=_registry: t.StackTransform([r(part) for part in x.cseq], x.dim))
biject_to.register(c.simplex, lambda _: t.StickBreakingTransform())
transform_to.register(c.simplex, lambda _: t.SoftmaxTransform())
transform_to.register(c.lower_cholesky, lambda _: t.LowerCholeskyTransform())
for _kind in (c.positive_definite, c.positive_semidefinite):
    transform_to.register(_kind, lambda _: t.PositiveDefiniteTransform())
