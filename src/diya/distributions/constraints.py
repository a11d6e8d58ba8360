"""Regions of values: ``constraint.check(value)`` says elementwise (without the event's dimensions) what lies inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import diya

from ..tensor import Tensor

__all__ = ["Constraint", "MixtureSameFamilyConstraint", "boolean", "cat", "corr_cholesky", "dependent", "dependent_property",
           "greater_than", "greater_than_eq", "half_open_interval", "independent", "integer_interval", "interval",
           "is_dependent", "less_than", "lower_cholesky", "lower_triangular", "multinomial", "nonnegative",
           "nonnegative_integer", "one_hot", "positive", "positive_definite", "positive_integer", "positive_semidefinite",
           "real", "real_vector", "simplex", "square", "stack", "symmetric", "unit_interval"]


class Constraint:
    """A region. ``event_dim``: how many of the last dimensions are one value; ``is_discrete``: whether it is countable."""

    is_discrete: Any = False
    event_dim: Any = 0

    def check(self, value: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__}.check")

    def __repr__(self) -> str:
        return f"{type(self).__name__.lstrip('_')}()"


class _Dependent(Constraint):
    """Depends on other parameters, or on the instance: not to be checked by itself."""

    def __init__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented):
        self._is_discrete, self._event_dim = is_discrete, event_dim

    @property
    def is_discrete(self):
        return self._known("is_discrete")

    @property
    def event_dim(self):
        return self._known("event_dim")

    def _known(self, name: str):
        value = getattr(self, "_" + name)
        if value is NotImplemented:
            raise NotImplementedError(f".{name} cannot be determined statically")
        return value

    def __call__(self, *, is_discrete=NotImplemented, event_dim=NotImplemented):
        return _Dependent(is_discrete=self._is_discrete if is_discrete is NotImplemented else is_discrete,
                          event_dim=self._event_dim if event_dim is NotImplemented else event_dim)

    def check(self, value):
        raise ValueError("Cannot determine validity of dependent constraint")


class _DependentProperty(property, _Dependent):
    """A property that gives a constraint, and stands for one in the class."""

    def __init__(self, fn: Callable | None = None, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented):
        super().__init__(fn)
        self._is_discrete, self._event_dim = is_discrete, event_dim

    def __call__(self, fn: Callable):
        return _DependentProperty(fn, is_discrete=self._is_discrete, event_dim=self._event_dim)


def is_dependent(constraint: Any) -> bool:
    """Whether a constraint can be checked only together with an instance."""
    return isinstance(constraint, _Dependent)


class _IndependentConstraint(Constraint):
    """The last ``reinterpreted_batch_ndims`` dimensions of ``base_constraint`` belong to the event."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int):
        self.base_constraint, self.reinterpreted_batch_ndims = base_constraint, reinterpreted_batch_ndims

    @property
    def is_discrete(self):
        return self.base_constraint.is_discrete

    @property
    def event_dim(self):
        return self.base_constraint.event_dim + self.reinterpreted_batch_ndims

    def check(self, value):
        inside, n = self.base_constraint.check(value), self.reinterpreted_batch_ndims
        if inside.dim() < n:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.dim()}")
        return inside.reshape(inside.shape[:inside.dim() - n] + (-1,)).all(-1)

    def __repr__(self):
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamilyConstraint(Constraint):
    """Inside of ``base_constraint`` for every component of a mixture."""

    def __init__(self, base_constraint: Constraint):
        self.base_constraint = base_constraint

    @property
    def is_discrete(self):
        return self.base_constraint.is_discrete

    @property
    def event_dim(self):
        return self.base_constraint.event_dim

    def check(self, value):
        if value.dim() < self.event_dim:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.dim()}")
        inside = self.base_constraint.check(value.unsqueeze(-1 - self.event_dim))
        return inside.reshape(inside.shape[:value.dim() - self.event_dim] + (-1,)).all(-1)

    def __repr__(self):
        return f"MixtureSameFamilyConstraint({self.base_constraint!r})"


class _Real(Constraint):
    def check(self, value):
        return value == value  # false for NaN


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value):
        return (value == 0) | (value == 1)


class _OneHot(_Boolean):
    event_dim = 1

    def check(self, value):
        return super().check(value).all(-1) & (value.sum(-1) == 1)


class _Bounded(Constraint):
    """Bounded as its class says: ``lower_bound`` or ``upper_bound``, open or closed, both, whole numbers or not."""

    bounds: tuple[str, ...] = ()
    lower_bound: Any
    upper_bound: Any
    lower_open = upper_open = False

    def __init__(self, *bounds: Any, **named: Any):
        for name, value in (*zip(self.bounds, bounds, strict=False), *named.items()):
            if name not in self.bounds:
                raise TypeError(f"{type(self).__name__} takes {', '.join(self.bounds)}, got {name}")
            setattr(self, name, value)
        if len(bounds) + len(named) != len(self.bounds):
            raise TypeError(f"{type(self).__name__} takes {', '.join(self.bounds)}, got {len(bounds) + len(named)} arguments")

    def check(self, value):
        checks = [value % 1 == 0] if self.is_discrete else []
        if "lower_bound" in self.bounds:
            checks.append(value > self.lower_bound if self.lower_open else value >= self.lower_bound)
        if "upper_bound" in self.bounds:
            checks.append(value < self.upper_bound if self.upper_open else value <= self.upper_bound)
        inside = checks[0]
        for other in checks[1:]:
            inside = inside & other
        return inside

    def __repr__(self):
        return f"{type(self).__name__.lstrip('_')}({', '.join(f'{k}={getattr(self, k)}' for k in self.bounds)})"


class _Interval(_Bounded):
    bounds = ("lower_bound", "upper_bound")


class _HalfOpenInterval(_Bounded):
    bounds, upper_open = ("lower_bound", "upper_bound"), True


class _IntegerInterval(_Bounded):
    bounds, is_discrete = ("lower_bound", "upper_bound"), True


class _GreaterThan(_Bounded):
    bounds, lower_open = ("lower_bound",), True


class _GreaterThanEq(_Bounded):
    bounds = ("lower_bound",)


class _IntegerGreaterThan(_Bounded):
    bounds, is_discrete = ("lower_bound",), True


class _LessThan(_Bounded):
    bounds, upper_open = ("upper_bound",), True


class _Simplex(Constraint):
    event_dim = 1

    def check(self, value):
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class _Multinomial(Constraint):
    """Counts of categories, ``upper_bound`` in all at most."""

    is_discrete, event_dim = True, 1

    def __init__(self, upper_bound: Any):
        self.upper_bound = upper_bound

    def check(self, value):
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


class _LowerTriangular(Constraint):
    event_dim = 2

    def check(self, value):
        return (value.tril() == value).flatten(-2).all(-1)


class _LowerCholesky(_LowerTriangular):
    def check(self, value):
        return super().check(value) & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _CorrCholesky(_LowerCholesky):
    """Cholesky factors of correlation matrices: rows of length 1."""

    def check(self, value):
        error = (value.detach().pow(2).sum(-1).sqrt() - 1).abs()
        return super().check(value) & (error <= diya.finfo(value.dtype).eps * value.shape[-1] * 10).all(-1)


class _Square(Constraint):
    event_dim = 2

    def check(self, value):
        return diya.full(value.shape[:-2], value.shape[-2] == value.shape[-1], dtype=diya.bool)


class _Symmetric(_Square):
    def check(self, value):
        if value.shape[-2] != value.shape[-1]:
            return super().check(value)
        return diya.isclose(value, value.mT, atol=1e-6).flatten(-2).all(-1)


class _PositiveSemidefinite(_Symmetric):
    def check(self, value):
        symmetric = super().check(value)
        return (diya.linalg.eigvalsh(value) >= 0).all(-1) if bool(symmetric.all()) else symmetric


class _PositiveDefinite(_Symmetric):
    def check(self, value):
        symmetric = super().check(value)
        return diya.linalg.cholesky_ex(value).info == 0 if bool(symmetric.all()) else symmetric


class _Stack(Constraint):
    """A constraint for each index of dimension ``dim``."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0):
        self.cseq, self.dim = list(cseq), dim

    @property
    def is_discrete(self):
        return any(c.is_discrete for c in self.cseq)

    @property
    def event_dim(self):
        dim = max(c.event_dim for c in self.cseq)
        return dim + 1 if self.dim + dim < 0 else dim

    def check(self, value):
        parts = [value.select(self.dim, i) for i in range(value.shape[self.dim])]
        return diya.stack([c.check(v) for v, c in zip(parts, self.cseq, strict=True)], self.dim)


class _Cat(Constraint):
    """A constraint for each of the parts, of the given ``lengths``, of dimension ``dim``."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0, lengths: Sequence[int] | None = None):
        self.cseq, self.dim = list(cseq), dim
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.cseq):
            raise AssertionError(f"lengths ({len(self.lengths)}) must match cseq ({len(self.cseq)})")

    @property
    def is_discrete(self):
        return any(c.is_discrete for c in self.cseq)

    @property
    def event_dim(self):
        return max(c.event_dim for c in self.cseq)

    def check(self, value):
        parts = value.split(self.lengths, self.dim)
        return diya.cat([c.check(v) for v, c in zip(parts, self.cseq, strict=True)], self.dim)


dependent = _Dependent()
dependent_property: Any = _DependentProperty
independent = _IndependentConstraint
boolean, one_hot = _Boolean(), _OneHot()
nonnegative_integer, positive_integer, integer_interval = _IntegerGreaterThan(0), _IntegerGreaterThan(1), _IntegerInterval
real, real_vector = _Real(), _IndependentConstraint(_Real(), 1)
positive, nonnegative, unit_interval = _GreaterThan(0.0), _GreaterThanEq(0.0), _Interval(0.0, 1.0)
greater_than, greater_than_eq, less_than = _GreaterThan, _GreaterThanEq, _LessThan
interval, half_open_interval = _Interval, _HalfOpenInterval
multinomial, simplex = _Multinomial, _Simplex()
lower_triangular, lower_cholesky, corr_cholesky = _LowerTriangular(), _LowerCholesky(), _CorrCholesky()
square, symmetric = _Square(), _Symmetric()
positive_semidefinite, positive_definite = _PositiveSemidefinite(), _PositiveDefinite()
cat, stack = _Cat, _Stack
