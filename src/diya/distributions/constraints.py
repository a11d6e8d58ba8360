"""Regions of values: ``constraint.check(value)`` says elementwise (without the event's dimensions) what lies inside."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor


class Constraint:
    is_discrete = False
    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__}.check")

    def __repr__(self) -> str:
        return type(self).__name__.lstrip("_") + "()"


class _Real(Constraint):
    def check(self, value):
        return value == value  # false for NaN


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value):
        return (value == 0) | (value == 1)


class _Interval(Constraint):
    def __init__(self, lower_bound: Any, upper_bound: Any):
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value):
        return (self.lower_bound <= value) & (value <= self.upper_bound)

    def __repr__(self):
        return f"Interval(lower_bound={self.lower_bound}, upper_bound={self.upper_bound})"


class _IntegerInterval(_Interval):
    is_discrete = True

    def check(self, value):
        return (value % 1 == 0) & super().check(value)


class _GreaterThan(Constraint):
    def __init__(self, lower_bound: Any):
        self.lower_bound = lower_bound

    def check(self, value):
        return self.lower_bound < value

    def __repr__(self):
        return f"GreaterThan(lower_bound={self.lower_bound})"


class _GreaterThanEq(_GreaterThan):
    def check(self, value):
        return self.lower_bound <= value

    def __repr__(self):
        return f"GreaterThanEq(lower_bound={self.lower_bound})"


class _Simplex(Constraint):
    event_dim = 1

    def check(self, value):
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class _LowerCholesky(Constraint):
    event_dim = 2

    def check(self, value):
        lower = (value.tril() == value).flatten(-2).all(-1)
        return lower & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _PositiveDefinite(Constraint):
    event_dim = 2

    def check(self, value):
        from ..linalg import cholesky_ex  # pyright: ignore[reportAttributeAccessIssue]
        symmetric = (value - value.mT).abs().flatten(-2).amax(-1) < 1e-6
        return symmetric & (cholesky_ex(value)[1] == 0)


class _Independent(Constraint):
    """The last ``count`` dimensions of ``base`` are one event."""

    def __init__(self, base: Constraint, count: int):
        self.base_constraint, self.reinterpreted_batch_ndims = base, count
        self.event_dim, self.is_discrete = base.event_dim + count, base.is_discrete

    def check(self, value):
        inside = self.base_constraint.check(value)
        return inside.flatten(inside.dim() - self.reinterpreted_batch_ndims).all(-1) if self.reinterpreted_batch_ndims else inside


real, boolean, simplex = _Real(), _Boolean(), _Simplex()
lower_cholesky, positive_definite = _LowerCholesky(), _PositiveDefinite()
interval, half_open_interval, integer_interval = _Interval, _Interval, _IntegerInterval
greater_than, greater_than_eq = _GreaterThan, _GreaterThanEq
positive, nonnegative, unit_interval = _GreaterThan(0.0), _GreaterThanEq(0.0), _Interval(0.0, 1.0)
independent = _Independent
real_vector = _Independent(real, 1)
