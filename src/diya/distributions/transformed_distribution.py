"""`TransformedDistribution`: samples of a base distribution sent through transforms."""

from __future__ import annotations

from typing import Any

from ..autograd import no_grad
from . import constraints
from .distribution import Distribution
from .independent import Independent
from .transforms import ComposeTransform, Transform
from .utils import sum_rightmost

__all__ = ["TransformedDistribution"]


class TransformedDistribution(Distribution):
    """``base_distribution`` sent through ``transforms``, one or a list of them; densities need bijective ones."""

    arg_constraints = {}
    has_rsample: Any = property(lambda self: self.base_dist.has_rsample)

    def __init__(self, base_distribution: Distribution, transforms: Any, validate_args: bool | None = None):
        self.transforms: list[Transform] = [transforms] if isinstance(transforms, Transform) else transforms
        if not isinstance(self.transforms, list) or not all(isinstance(t, Transform) for t in self.transforms):
            raise ValueError(f"transforms must be a Transform or a list of Transforms, but was {transforms}")
        whole = ComposeTransform(self.transforms)
        base_shape, base_dims = base_distribution.batch_shape + base_distribution.event_shape, len(base_distribution.event_shape)
        if len(base_shape) < whole.domain.event_dim:
            raise ValueError(f"base_distribution needs to have shape with size at least {whole.domain.event_dim}, but got "
                             f"{base_shape}.")
        shape = whole.forward_shape(base_shape)
        back = whole.inverse_shape(shape)
        if tuple(back) != tuple(base_shape):  # parameters of the transforms have a larger batch
            base_distribution = base_distribution.expand(back[:len(back) - base_dims])
        if whole.domain.event_dim > base_dims:
            base_distribution = Independent(base_distribution, whole.domain.event_dim - base_dims)
        self.base_dist: Any = base_distribution
        event_dims = max(whole.codomain.event_dim, base_dims + whole.codomain.event_dim - whole.domain.event_dim)
        cut = len(shape) - event_dims
        super().__init__(shape[:cut], shape[cut:], validate_args)

    @constraints.dependent_property(is_discrete=False)
    def support(self):
        if not self.transforms:
            return self.base_dist.support
        support = self.transforms[-1].codomain
        more = len(self.event_shape) - support.event_dim
        return constraints.independent(support, more) if more > 0 else support

    def _through(self, x):
        for transform in self.transforms:
            x = transform(x)
        return x

    def sample(self, sample_shape=()):
        with no_grad():
            return self._through(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape=()):
        return self._through(self.base_dist.rsample(sample_shape))

    def log_prob(self, value):
        self._check(value)
        dims = len(self.event_shape)
        y, result = value, 0
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            dims += transform.domain.event_dim - transform.codomain.event_dim
            result = result - sum_rightmost(transform.log_abs_det_jacobian(x, y), dims - transform.domain.event_dim)
            y = x
        return result + sum_rightmost(self.base_dist.log_prob(y), dims - len(self.base_dist.event_shape))

    def _monotonized(self, value):
        """``value``, or one less it where the transforms reverse the order of numbers."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        return value if isinstance(sign, int) and sign == 1 else sign * (value - 0.5) + 0.5

    def cdf(self, value):
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        self.base_dist._check(value)
        return self._monotonized(self.base_dist.cdf(value))

    def icdf(self, value):
        return self._through(self.base_dist.icdf(self._monotonized(value)))


class Relaxed(TransformedDistribution):
    """A distribution whose parameters are those of the relaxed one that it transforms."""

    @property
    def temperature(self):
        return self.base_dist.temperature

    @property
    def logits(self):
        return self.base_dist.logits

    @property
    def probs(self):
        return self.base_dist.probs
