"""Distributions made of events with a probability ``probs`` or log-odds ``logits``: Bernoulli, Binomial, Geometric,
NegativeBinomial, and relaxed Bernoulli variables."""

from __future__ import annotations

from math import nan
from typing import Any

import diya

from ..autograd import no_grad
from ..nn import functional as F
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution, ExponentialFamily
from .positive import Gamma
from .transformed_distribution import Relaxed
from .transforms import SigmoidTransform
from .utils import broadcast_all, clamp_probs, lazy_property, logits_to_probs, probs_to_logits, replaced, tiny_of


def one_of(probs: Any, logits: Any) -> None:
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


class BinaryLogits(Distribution):
    """Either of ``probs`` and ``logits`` is given; the other is computed when it is asked for."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}

    def __init__(self, probs=None, logits=None, validate_args: bool | None = None):
        one_of(probs, logits)
        if probs is not None:
            self.probs, = broadcast_all(probs)
        else:
            self.logits, = broadcast_all(logits)
        super().__init__(self._param.shape, validate_args=validate_args)

    @lazy_property
    def logits(self):
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self):
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def _param(self) -> Tensor:
        return self.__dict__["probs"] if "probs" in self.__dict__ else self.logits

    @property
    def param_shape(self):
        return self._param.shape

    def _enumerated(self, count: int, expand: bool) -> Tensor:
        """0 .. count - 1 along a first dimension."""
        values = diya.arange(count, dtype=self._param.dtype).view((-1,) + (1,) * len(self._batch_shape))
        return values.expand((-1,) + self._batch_shape) if expand else values


class Bernoulli(BinaryLogits, ExponentialFamily):
    """1 with probability ``probs``, or with log-odds ``logits``; else 0."""

    support = constraints.boolean
    has_enumerate_support = True
    _mean_carrier_measure = 0

    @property
    def mean(self):
        return self.probs

    @property
    def mode(self):
        return replaced((self.probs >= 0.5).to(self.probs.dtype), self.probs == 0.5, nan)

    @property
    def variance(self):
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        with no_grad():
            return self.probs.expand(self._extended_shape(sample_shape)).bernoulli()

    def log_prob(self, value):
        self._check(value)
        logits, value = broadcast_all(self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self):
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True):
        return self._enumerated(2, expand)

    @property
    def _natural_params(self):
        return (diya.logit(self.probs),)

    def _log_normalizer(self, x):
        return x.exp().log1p()


class _Counted(BinaryLogits):
    """``total_count`` together with the event's probability."""

    def __init__(self, total_count: Any, probs=None, logits=None, validate_args: bool | None = None):
        one_of(probs, logits)
        self.total_count, param = broadcast_all(total_count, logits if probs is None else probs)
        self.total_count = self.total_count.to(param.dtype)
        super().__init__(None if probs is None else param, None if logits is None else param, validate_args)


class Binomial(_Counted):
    """The number of successes in ``total_count`` trials of probability ``probs``."""

    arg_constraints = {"total_count": constraints.nonnegative_integer, **BinaryLogits.arg_constraints}
    has_enumerate_support = True

    def __init__(self, total_count: Any = 1, probs=None, logits=None, validate_args: bool | None = None):
        super().__init__(total_count, probs, logits, validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self):
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self):
        return self.total_count * self.probs

    @property
    def mode(self):
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self):
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return diya.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value):
        self._check(value)
        n, x = self.total_count, self.logits
        above = (x.clamp(min=0) + x - x.clamp(max=0)) / 2  # max(x, 0), with gradient 1/2 at 0
        log_norm = n * above + n * (-x.abs()).exp().log1p() - (n + 1).lgamma()
        return value * x - (value + 1).lgamma() - (n - value + 1).lgamma() - log_norm

    def _common_count(self, what: str) -> int:
        count = int(self.total_count.max())
        if int(self.total_count.min()) != count:
            raise NotImplementedError(f"Inhomogeneous total count not supported by `{what}`.")
        return count

    def entropy(self):
        self._common_count("entropy")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True):
        return self._enumerated(1 + self._common_count("enumerate_support"), expand)


class NegativeBinomial(_Counted):
    """The number of successes, each of probability ``probs``, before ``total_count`` failures."""

    arg_constraints = {"total_count": constraints.greater_than_eq(0),
                       "probs": constraints.half_open_interval(0.0, 1.0), "logits": constraints.real}
    support = constraints.nonnegative_integer

    @property
    def mean(self):
        return self.total_count * self.logits.exp()

    @property
    def mode(self):
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self):
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape=()):
        with no_grad():
            return diya.poisson(Gamma(self.total_count, (-self.logits).exp(), validate_args=False).sample(sample_shape))

    def log_prob(self, value):
        self._check(value)
        n = self.total_count
        log_norm = -(n + value).lgamma() + (1.0 + value).lgamma() + n.lgamma()
        log_norm = log_norm.masked_fill(n + value == 0.0, 0.0)
        return n * F.logsigmoid(-self.logits) + value * F.logsigmoid(self.logits) - log_norm


class Geometric(BinaryLogits):
    """The number of failures before the first success, each trial of probability ``probs``."""

    support = constraints.nonnegative_integer

    def __init__(self, probs=None, logits=None, validate_args: bool | None = None):
        super().__init__(probs, logits, validate_args)
        if self._validate_args and probs is not None and not bool((self.probs > 0).all()):
            value = self.probs
            raise ValueError(f"Expected parameter probs ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                             f"{self!r} to be positive but found invalid values:\n{value[value <= 0]}")

    @property
    def mean(self):
        return 1.0 / self.probs - 1.0

    @property
    def mode(self):
        return diya.zeros_like(self.probs)

    @property
    def variance(self):
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape=()):
        with no_grad():
            u = self.probs.new_empty(self._extended_shape(sample_shape)).uniform_(tiny_of(self.probs), 1)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value):
        self._check(value)
        value, probs = broadcast_all(value, self.probs)
        return value * (-replaced(probs, (probs == 1) & (value == 0), 0)).log1p() + self.probs.log()

    def entropy(self):
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs


class LogitRelaxedBernoulli(BinaryLogits):
    """The log-odds of `RelaxedBernoulli`."""

    support = constraints.real

    def __init__(self, temperature, probs=None, logits=None, validate_args: bool | None = None):
        self.temperature = temperature
        super().__init__(probs, logits, validate_args)

    def rsample(self, sample_shape=()):
        probs = clamp_probs(self.probs.expand(self._extended_shape(sample_shape)))
        u = clamp_probs(diya.rand(probs.shape, dtype=probs.dtype))
        return (u.log() - (-u).log1p() + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value):
        self._check(value)
        logits, value = broadcast_all(self.logits, value)
        off = logits - value.mul(self.temperature)
        return diya.as_tensor(self.temperature).log() + off - 2 * off.exp().log1p()


class RelaxedBernoulli(Relaxed):
    """Numbers in (0, 1) that come near Bernoulli samples as ``temperature`` falls (Maddison et al., "The concrete
    distribution", 2017)."""

    arg_constraints = BinaryLogits.arg_constraints
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args: bool | None = None):
        super().__init__(LogitRelaxedBernoulli(temperature, probs, logits), SigmoidTransform(), validate_args)


class Poisson(ExponentialFamily):
    """The number of events whose mean is ``rate``."""

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate, validate_args: bool | None = None):
        self.rate, = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self):
        return self.rate

    @property
    def mode(self):
        return self.rate.floor()

    @property
    def variance(self):
        return self.rate

    def sample(self, sample_shape=()):
        with no_grad():
            return diya.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        self._check(value)
        rate, value = broadcast_all(self.rate, value)
        return value.xlogy(rate) - rate - (value + 1).lgamma()

    @property
    def _natural_params(self):
        return (self.rate.log(),)

    def _log_normalizer(self, x):
        return x.exp()
