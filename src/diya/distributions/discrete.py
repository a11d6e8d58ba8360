"""Bernoulli and Categorical, by probabilities or by logits."""

from __future__ import annotations

from .. import dtypes, ops
from ..graph import Size, broadcast_shapes
from ..nn import functional as F
from ..tensor import Tensor
from . import constraints
from .continuous import together
from .distribution import Distribution


def _clamped(probs: Tensor) -> Tensor:
    from .._public import finfo
    eps = finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def _one_of(probs, logits) -> None:
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


class Bernoulli(Distribution):
    """0 or 1, where 1 has probability ``probs``, or log-odds ``logits``."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean

    def __init__(self, probs=None, logits=None, validate_args: bool | None = None):
        _one_of(probs, logits)
        if probs is not None:
            self.probs, = together(probs)
        else:
            self.logits, = together(logits)
        super().__init__((self.probs if probs is not None else self.logits).shape, validate_args=validate_args)
        if probs is not None:
            clamped = _clamped(self.probs)
            self.logits = clamped.log() - (-clamped).log1p()
        else:
            self.probs = self.logits.sigmoid()

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape=()) -> Tensor:
        return self.probs.detach().expand(self._extended_shape(sample_shape)).bernoulli()

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        logits, value = together(self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self):
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")


class Categorical(Distribution):
    """An index of the last dimension, by ``probs`` (which are normalised) or ``logits``."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, probs=None, logits=None, validate_args: bool | None = None):
        _one_of(probs, logits)
        given = probs if probs is not None else logits
        if given.dim() < 1:
            raise ValueError(f"`{'probs' if probs is not None else 'logits'}` parameter must be at least one-dimensional.")
        if probs is not None:
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            self.logits = logits - logits.logsumexp(-1, keepdim=True)
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], validate_args=validate_args)
        if probs is not None:
            self.logits = _clamped(self.probs).log()
        else:
            self.probs = F.softmax(self.logits, -1)

    @property
    def support(self):
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def param_shape(self) -> Size:
        return self.probs.shape

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(-1)

    def sample(self, sample_shape=()) -> Tensor:
        count = Size(sample_shape).numel()
        drawn = ops.random.multinomial(self.probs.detach().reshape(-1, self._num_events), count, True)
        return drawn.T.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        index = value.to(dtypes.int64).unsqueeze(-1)
        shape = broadcast_shapes(index.shape[:-1], self.logits.shape[:-1])
        return self.logits.expand((*shape, self._num_events)).gather(-1, index.expand((*shape, 1))).squeeze(-1)

    def entropy(self):
        from .._public import finfo
        return -(self.logits.clamp(min=finfo(self.logits.dtype).min) * self.probs).sum(-1)
