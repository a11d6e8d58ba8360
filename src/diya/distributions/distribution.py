"""The base of all distributions (https://docs.pytorch.org/docs/stable/distributions.html)."""

from __future__ import annotations

from typing import Any

from ..autograd import no_grad
from ..graph import Size
from ..tensor import Tensor
from .constraints import Constraint


class Distribution:
    """``batch_shape`` distributions over values of ``event_shape``; subclasses give sampling, densities and moments.

    Raises ValueError for parameters or values outside of their constraints, unless ``validate_args=False``.
    """

    has_rsample = False
    has_enumerate_support = False
    arg_constraints: dict[str, Constraint] = {}
    support: Any = None
    _validate_args = True

    def __init__(self, batch_shape=(), event_shape=(), validate_args: bool | None = None):
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            for name, constraint in self.arg_constraints.items():
                if name in self.__dict__ and not bool(constraint.check(self.__dict__[name]).all()):
                    value = self.__dict__[name]
                    raise ValueError(f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of "
                                     f"distribution {self!r} to satisfy the constraint {constraint!r}, but found invalid "
                                     f"values:\n{value}")

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        if value not in (True, False):
            raise ValueError(f"expected True or False, got {value!r}")
        Distribution._validate_args = value

    @property
    def batch_shape(self) -> Size:
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        return self._event_shape

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()  # pyright: ignore[reportAttributeAccessIssue]

    def sample(self, sample_shape=()) -> Tensor:
        with no_grad():
            return self.rsample(sample_shape)

    def cdf(self, value: Tensor) -> Tensor:
        self._refuse("cdf")

    def icdf(self, value: Tensor) -> Tensor:
        self._refuse("icdf")

    def rsample(self, sample_shape=()) -> Tensor:
        self._refuse("rsample")

    def log_prob(self, value: Tensor) -> Tensor:
        self._refuse("log_prob")

    def entropy(self) -> Tensor:
        self._refuse("entropy")

    def expand(self, batch_shape, _instance=None):
        self._refuse("expand")

    def _refuse(self, name: str) -> Any:
        raise NotImplementedError(f"{type(self).__name__}.{name} is not supported")

    def perplexity(self) -> Tensor:
        return self.entropy().exp()

    def _extended_shape(self, sample_shape=()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _validate_sample(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        n = len(self._event_shape)
        if tuple(value.shape[value.dim() - n:]) != tuple(self._event_shape):
            raise ValueError(f"The right-most size of value must match event_shape: "
                             f"{tuple(value.shape)} vs {tuple(self._event_shape)}.")
        support = self.support
        if support is not None and not bool(support.check(value).all()):
            raise ValueError(f"Expected value argument (Tensor of shape {tuple(value.shape)}) to be within the support "
                             f"({support!r}) of the distribution {self!r}, but found invalid values:\n{value}")

    def __repr__(self) -> str:
        names = [name for name in self.arg_constraints if name in self.__dict__]
        shown = {name: self.__dict__[name] for name in names}
        parts = (f"{name}: {value if value.numel() == 1 else value.size()}" for name, value in shown.items())
        return f"{type(self).__name__}({', '.join(parts)})"
