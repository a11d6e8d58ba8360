"""The base of all distributions (https://docs.pytorch.org/docs/stable/distributions.html)."""

from __future__ import annotations

import warnings
from typing import Any

import diya

from ..autograd import no_grad
from ..graph import Size
from ..tensor import Tensor
from . import constraints
from .utils import Required, lazy_property


class Distribution:
    """``batch_shape`` distributions over values of ``event_shape``; subclasses give sampling, densities and moments.

    A subclass names its parameters, attributes of the instance, in ``arg_constraints``. Raises ValueError for parameters or
    values outside of their constraints, unless ``validate_args=False``.
    """

    has_rsample: Any = False
    has_enumerate_support: Any = False
    arg_constraints: Any = Required()  # of the parameters, by name
    support: Any = Required()  # the constraint of values
    _validate_args = __debug__

    def __init__(self, batch_shape=(), event_shape=(), validate_args: bool | None = None):
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._validate_parameters()

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their parameters and values where ``validate_args`` is not given."""
        if value not in (True, False):
            raise ValueError(f"expected True or False, got {value!r}")
        Distribution._validate_args = value

    def _validate_parameters(self) -> None:
        try:
            checks = self.arg_constraints
        except NotImplementedError:
            warnings.warn(f"{type(self)} does not define `arg_constraints`. Please set `arg_constraints = {{}}` or initialize "
                          "the distribution with `validate_args=False` to turn off validation.", stacklevel=3)
            return
        met = []
        for name, constraint in checks.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in self.__dict__ and isinstance(getattr(type(self), name, None), lazy_property):
                continue
            value = getattr(self, name)
            met.append((name, constraint, value, constraint.check(value).all()))
        for name, constraint, value, good in met:  # looked at when all are recorded, so that they run as one
            if not bool(good):
                raise ValueError(f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of "
                                 f"distribution {self!r} to satisfy the constraint {constraint!r}, but found invalid "
                                 f"values:\n{value}")

    def expand(self, batch_shape, _instance: Any = None) -> Any:
        """The same distributions expanded to ``batch_shape``. Parameters, and distributions that this one is made of, are
        expanded; nothing is copied or checked."""
        own = next(c for c in type(self).__mro__ if c.__module__.startswith(__package__ or ""))
        if own in (Distribution, ExponentialFamily):
            raise NotImplementedError(f"{type(self).__name__}.expand is not implemented")
        new = self._get_checked_instance(own, _instance)
        batch, kept = Size(batch_shape), len(self._batch_shape)
        parameters = self.arg_constraints
        for name, value in self.__dict__.items():
            if name in new.__dict__:
                continue
            if isinstance(value, Tensor) and name in parameters:
                value = value.expand(batch + value.shape[value.dim() - parameters[name].event_dim:])
            elif isinstance(value, Distribution):
                value = value.expand(batch + value.batch_shape[kept:])
            elif isinstance(getattr(type(self), name, None), lazy_property):
                continue
            new.__dict__[name] = value
        new._batch_shape, new._event_shape = batch, self._event_shape
        return new

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        if _instance is None and type(self).__init__ is not cls.__init__:
            raise NotImplementedError(f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ method "
                                      "must also define a custom .expand() method.")
        return object.__new__(type(self)) if _instance is None else _instance

    @property
    def batch_shape(self) -> Size:
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        return self._event_shape

    @property
    def mean(self) -> Tensor:
        return self._refuse("mean")

    @property
    def mode(self) -> Tensor:
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Tensor:
        return self._refuse("variance")

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    def sample(self, sample_shape=()) -> Tensor:
        """Samples of shape ``sample_shape + batch_shape + event_shape``."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape=()) -> Tensor:
        """Samples through which gradients flow to the parameters."""
        return self._refuse("rsample")

    def sample_n(self, n: int) -> Tensor:
        warnings.warn("`sample_n(n)` will be deprecated. Use `sample((n,))` instead.", FutureWarning, stacklevel=2)
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability, of values."""
        return self._refuse("log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of values up to ``value``."""
        return self._refuse("cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`."""
        return self._refuse("icdf")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution along the first dimension; ``expand=False`` leaves the batch's sizes 1."""
        return self._refuse("enumerate_support")

    def entropy(self) -> Tensor:
        return self._refuse("entropy")

    def perplexity(self) -> Tensor:
        return self.entropy().exp()

    def _refuse(self, name: str) -> Any:
        raise NotImplementedError(f"{type(self).__name__}.{name} is not implemented")

    def _extended_shape(self, sample_shape=()) -> Size:
        return Size(tuple(sample_shape) + self._batch_shape + self._event_shape)

    def _uniforms(self, sample_shape, like: Tensor) -> Tensor:
        return diya.rand(self._extended_shape(sample_shape), dtype=like.dtype)

    def _normals(self, sample_shape, like: Tensor) -> Tensor:
        return diya.empty(self._extended_shape(sample_shape), dtype=like.dtype).normal_()

    def _check(self, value: Tensor) -> None:
        if self._validate_args:
            self._validate_sample(value)

    def _validate_sample(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        shape, expected = value.shape, self._batch_shape + self._event_shape
        if shape[len(shape) - len(self._event_shape):] != self._event_shape:
            raise ValueError(f"The right-most size of value must match event_shape: {shape} vs {self._event_shape}.")
        if any(i != 1 and j != 1 and i != j for i, j in zip(reversed(shape), reversed(expected), strict=False)):
            raise ValueError(f"Value is not broadcastable with batch_shape+event_shape: {shape} vs {expected}.")
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(f"{type(self)} does not define `support` to enable sample validation. Please initialize the "
                          "distribution with `validate_args=False` to turn off validation.", stacklevel=3)
            return
        if not bool(support.check(value).all()):
            raise ValueError(f"Expected value argument ({type(value).__name__} of shape {tuple(shape)}) to be within the support "
                             f"({support!r}) of the distribution {self!r}, but found invalid values:\n{value}")

    def __repr__(self) -> str:
        shown = {name: self.__dict__[name] for name in self.arg_constraints if name in self.__dict__}
        parts = (f"{name}: {value if value.numel() == 1 else value.size()}" for name, value in shown.items())
        return f"{type(self).__name__}({', '.join(parts)})"


class ExponentialFamily(Distribution):
    """Densities ``exp(<t(x), natural parameters> - log_normalizer + carrier)``: entropy and divergence come from the
    normaliser's gradient (Nielsen & Nock, "Entropies and cross-entropies of exponential families", 2010)."""

    _natural_params: Any = Required()
    _log_normalizer: Any = Required()
    _mean_carrier_measure: Any = Required()

    def entropy(self):
        result = -self._mean_carrier_measure
        natural = [p.detach().requires_grad_() for p in self._natural_params]
        normalizer = self._log_normalizer(*natural)
        gradients = diya.autograd.grad(normalizer.sum(), natural, create_graph=True)
        result = result + normalizer
        for p, g in zip(natural, gradients, strict=True):
            result = result - (p * g).reshape(self._batch_shape + (-1,)).sum(-1)
        return result
