"""`kl_divergence`, by pairs of classes.

Between different families KL(p || q) is ``-entropy(p) - E_p[log q]``, and ``E_p[log q]`` needs few moments of p: a formula
for each q, and the moments of each p, make all pairs.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from math import inf
from typing import Any

import diya

from ..nn.functional import softplus
from ..tensor import Tensor
from .binary import Bernoulli, Binomial, Geometric, Poisson
from .categorical import Categorical, OneHotCategorical
from .distribution import Distribution, ExponentialFamily
from .independent import Independent
from .multivariate import LowRankMultivariateNormal, MultivariateNormal
from .positive import Exponential, Gamma, HalfNormal, Pareto
from .real import Cauchy, Gumbel, Laplace, Normal
from .transformed_distribution import TransformedDistribution
from .uniform import Uniform
from .unit import Beta, ContinuousBernoulli, Dirichlet
from .utils import euler_constant, replaced, sum_rightmost

__all__ = ["kl_divergence", "register_kl"]

_KL_REGISTRY: dict[tuple[type, type], Callable] = {}
_KL_MEMOIZE: dict[tuple[type, type], Callable | None] = {}


def register_kl(type_p: type, type_q: type) -> Callable:
    """A decorator: the function computes KL(p || q) of these classes and their subclasses."""
    for name, kind in (("type_p", type_p), ("type_q", type_q)):
        if not isinstance(kind, type):  # a library's own base class of distributions will do
            raise TypeError(f"Expected {name} to be a Distribution subclass but got {kind}")

    def decorate(function: Callable) -> Callable:
        _KL_REGISTRY[type_p, type_q] = function
        _KL_MEMOIZE.clear()
        return function
    return decorate


def _find(type_p: type, type_q: type) -> Callable | None:
    """The rule for the nearest classes; p's class counts first, and a warning says if q's would choose another one."""
    rules = [pair for pair in _KL_REGISTRY if issubclass(type_p, pair[0]) and issubclass(type_q, pair[1])]
    if not rules:
        return None
    order_p, order_q = type_p.__mro__.index, type_q.__mro__.index
    left = min(rules, key=lambda pair: (order_p(pair[0]), order_q(pair[1])))
    right = min(rules, key=lambda pair: (order_q(pair[1]), order_p(pair[0])))
    if _KL_REGISTRY[left] is not _KL_REGISTRY[right]:
        warnings.warn(f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). Please register_kl({left[0].__name__}, "
                      f"{right[1].__name__})", RuntimeWarning, stacklevel=3)
    return _KL_REGISTRY[left]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p || q), of the batch's shape. Raises NotImplementedError for a pair of classes without a rule."""
    kinds = type(p), type(q)
    if kinds not in _KL_MEMOIZE:
        _KL_MEMOIZE[kinds] = _find(*kinds)
    rule = _KL_MEMOIZE[kinds]
    if rule is None:
        raise NotImplementedError(f"No KL(p || q) is implemented for p type {kinds[0].__name__} and q type {kinds[1].__name__}")
    return rule(p, q)


# -- within a family -------------------------------------------------------------------------------------------------------

@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p, q):
    one = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    one = replaced(replaced(one, q.probs == 0, inf), p.probs == 0, 0)
    zero = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    return one + replaced(replaced(zero, q.probs == 1, inf), p.probs == 1, 0)


@register_kl(Beta, Beta)
def _beta(p, q):
    p1, p0, q1, q0 = p.concentration1, p.concentration0, q.concentration1, q.concentration0
    norms = (q1.lgamma() + q0.lgamma() + (p1 + p0).lgamma()) - (p1.lgamma() + p0.lgamma() + (q1 + q0).lgamma())
    return norms + (p1 - q1) * p1.digamma() + (p0 - q0) * p0.digamma() + (q1 + q0 - p1 - p0) * (p1 + p0).digamma()


@register_kl(Binomial, Binomial)
def _binomial(p, q):
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    kl = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    return replaced(kl, p.total_count > q.total_count, inf)


@register_kl(Categorical, Categorical)
def _categorical(p, q):
    terms = p.probs * (p.logits - q.logits)
    return replaced(replaced(terms, q.probs == 0, inf), p.probs == 0, 0).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p, q):
    return _categorical(p._categorical, q._categorical)


@register_kl(Cauchy, Cauchy)
def _cauchy(p, q):
    return ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log() - (4 * p.scale * q.scale).log()


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p, q):
    return (p.mean * (p.logits - q.logits) + p._cont_bern_log_norm() + (-p.probs).log1p()
            - q._cont_bern_log_norm() - (-q.probs).log1p())


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p, q):
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    return (total.lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
            + ((a - b) * (a.digamma() - total.digamma().unsqueeze(-1))).sum(-1))


@register_kl(Exponential, Exponential)
def _exponential(p, q):
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _exponential_family(p, q):
    """The Bregman divergence of the logarithm of the normaliser."""
    if type(p) is not type(q):
        raise NotImplementedError("The cross KL-divergence between different exponential families cannot be computed using "
                                  "Bregman divergences")
    mine = [x.detach().requires_grad_() for x in p._natural_params]
    normalizer = p._log_normalizer(*mine)
    gradients = diya.autograd.grad(normalizer.sum(), mine, create_graph=True)
    result = q._log_normalizer(*q._natural_params) - normalizer
    batch = len(diya.broadcast_shapes(p.batch_shape, q.batch_shape))
    for a, b, g in zip(mine, q._natural_params, gradients, strict=True):
        term = (b - a) * g
        result = result - sum_rightmost(term, max(term.dim() - batch, 0))
    return result


@register_kl(Gamma, Gamma)
def _gamma(p, q):
    a, b = p.concentration, q.concentration
    return (b * (p.rate / q.rate).log() + b.lgamma() - a.lgamma() + (a - b) * a.digamma() + (q.rate - p.rate) * (a / p.rate))


@register_kl(Geometric, Geometric)
def _geometric(p, q):
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Gumbel, Gumbel)
def _gumbel(p, q):
    ratio, apart = p.scale / q.scale, (p.loc - q.loc) / q.scale
    return -ratio.log() + apart + ratio * euler_constant + ((1 + ratio).lgamma() - apart).exp() - (1 + euler_constant)


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p, q):
    return _normal(p.base_dist, q.base_dist)


@register_kl(Independent, Independent)
def _independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("KL of two Independents of different reinterpreted_batch_ndims is not implemented")
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(Laplace, Laplace)
def _laplace(p, q):
    ratio, apart = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + apart / q.scale + ratio * (-apart / p.scale).exp() - 1


def _normal_vectors(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError(f"KL-divergence between two (Low Rank) Multivariate Normals with different event shapes "
                         f"{tuple(p.event_shape)} and {tuple(q.event_shape)} cannot be computed")
    apart = q._squared_length((q.loc - p.loc).unsqueeze(-1))
    root = p._root().to(diya.promote_types(p.loc.dtype, q.loc.dtype))
    return 0.5 * (q._log_det() - p._log_det() + q._squared_length(root) + apart - p.event_shape[0])


for _p in (MultivariateNormal, LowRankMultivariateNormal):
    for _q in (MultivariateNormal, LowRankMultivariateNormal):
        register_kl(_p, _q)(_normal_vectors)


@register_kl(Normal, Normal)
def _normal(p, q):
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(Pareto, Pareto)
def _pareto(p, q):
    ratio = q.alpha / p.alpha
    return replaced(q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1, p.scale < q.scale, inf)


@register_kl(Poisson, Poisson)
def _poisson(p, q):
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p, q):
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError("KL of transformed distributions with different transforms is not implemented")
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Uniform, Uniform)
def _uniform(p, q):
    return replaced(((q.high - q.low) / (p.high - p.low)).log(), (q.low > p.low) | (q.high < p.high), inf)


# -- between families of numbers -------------------------------------------------------------------------------------------

def _mean_log(p) -> Tensor:
    """E[log X]"""
    if isinstance(p, Beta):
        return p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    if isinstance(p, Exponential):
        return -euler_constant - p.rate.log()
    if isinstance(p, Gamma):
        return p.concentration.digamma() - p.rate.log()
    if isinstance(p, Pareto):
        return p.scale.log() + p.alpha.reciprocal()
    return _mean_log_between(p.low, p.high)  # Uniform


def _mean_log_between(low: Tensor, high: Tensor) -> Tensor:
    return (diya.xlogy(high, high) - diya.xlogy(low, low)) / (high - low) - 1


def _mean_exp(p, scale: Tensor) -> Tensor:
    """E[exp(-X / scale)]"""
    if isinstance(p, Exponential):
        return p.rate * scale / (p.rate * scale + 1)
    if isinstance(p, Gamma):
        return (1 + (p.rate * scale).reciprocal()).pow(-p.concentration)
    if isinstance(p, Normal):
        return (-p.loc / scale + 0.5 * (p.scale / scale).pow(2)).exp()
    return scale / (p.high - p.low) * ((-p.low / scale).exp() - (-p.high / scale).exp())  # Uniform


def _mean_distance(p, loc: Tensor) -> Tensor:
    """E|X - loc| of a normal variable"""
    off = (p.loc - loc) / p.scale
    return p.scale * (math.sqrt(2 / math.pi) * (-0.5 * off.pow(2)).exp() + off * (math.sqrt(0.5) * off).erf())


def _cross_beta(p, q):
    a, b = q.concentration1, q.concentration0
    return (a.lgamma() + b.lgamma() - (a + b).lgamma() - (a - 1) * _mean_log(p)
            - (b - 1) * _mean_log_between(1 - p.high, 1 - p.low))


def _cross_gamma(p, q):
    return q.concentration.lgamma() - q.concentration * q.rate.log() - (q.concentration - 1) * _mean_log(p) + q.rate * p.mean


def _cross_normal(p, q):
    square = q.scale.pow(2)
    return 0.5 * (2 * math.pi * square).log() + (p.variance + (p.mean - q.loc).pow(2)) / (2 * square)


# E_p[-log q], inside of the support of q
_CROSS: dict[type, Callable[[Any, Any], Tensor]] = {
    Beta: _cross_beta, Gamma: _cross_gamma, Normal: _cross_normal,
    ContinuousBernoulli: lambda p, q: -p.mean * q.logits - (-q.probs).log1p() - q._cont_bern_log_norm(),
    Exponential: lambda p, q: q.rate * p.mean - q.rate.log(),
    Gumbel: lambda p, q: q.scale.log() + (p.mean - q.loc) / q.scale + (q.loc / q.scale).exp() * _mean_exp(p, q.scale),
    Laplace: lambda p, q: (2 * q.scale).log() + _mean_distance(p, q.loc) / q.scale,
    Pareto: lambda p, q: (q.alpha + 1) * _mean_log(p) - q.alpha.log() - q.alpha * q.scale.log(),
    Uniform: lambda p, q: (q.high - q.low).log(),
}
_PAIRS: dict[type, tuple[type, ...]] = {
    Beta: (ContinuousBernoulli, Exponential, Gamma, Normal, Pareto, Uniform),
    ContinuousBernoulli: (Exponential, Normal, Pareto, Uniform),
    Exponential: (Beta, ContinuousBernoulli, Gamma, Gumbel, Normal, Pareto, Uniform),
    Gamma: (Beta, ContinuousBernoulli, Exponential, Gumbel, Normal, Pareto, Uniform),
    Gumbel: (Beta, ContinuousBernoulli, Exponential, Gamma, Normal, Pareto, Uniform),
    Laplace: (Beta, ContinuousBernoulli, Exponential, Gamma, Normal, Pareto, Uniform),
    Normal: (Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace, Pareto, Uniform),
    Pareto: (Beta, ContinuousBernoulli, Exponential, Gamma, Normal, Uniform),
    Uniform: (Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Normal, Pareto),
}


def _bounds(d) -> tuple[Any, Any]:
    """Between which numbers values lie."""
    if isinstance(d, Uniform):
        return d.low, d.high
    if isinstance(d, Pareto):
        return d.scale, inf
    return {Beta: (0.0, 1.0), ContinuousBernoulli: (0.0, 1.0), Exponential: (0.0, inf), Gamma: (0.0, inf)}.get(
        next(c for c in type(d).__mro__ if c in _PAIRS), (-inf, inf))


def _between(p, q) -> Tensor:
    (p_low, p_high), (q_low, q_high) = _bounds(p), _bounds(q)
    kinds = {type(p), type(q)}
    if kinds == {ContinuousBernoulli, Uniform}:  # PyTorch takes their common ends for outside
        below, above = p_low <= q_low, p_high >= q_high
    else:
        below, above = p_low < q_low, p_high > q_high
    outside = diya.as_tensor(below) | diya.as_tensor(above)
    if bool(outside.all()):
        return diya.full(p.batch_shape, inf, dtype=p.mean.dtype)
    kl = _CROSS[next(c for c in type(q).__mro__ if c in _CROSS)](p, q) - p.entropy()
    kl = replaced(kl, outside, inf)
    if isinstance(p, Pareto):  # whose mean and variance are infinite for small alpha
        return replaced(kl, p.alpha <= (2 if isinstance(q, Normal) else 1), inf)
    return kl


for _p, _others in _PAIRS.items():
    for _q in _others:
        register_kl(_p, _q)(_between)


# -- of counts -------------------------------------------------------------------------------------------------------------

@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p, q):
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Poisson, Bernoulli)
@register_kl(Poisson, Binomial)
def _unbounded(p, q):
    return diya.full_like(p.rate, inf)
