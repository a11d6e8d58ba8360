"""`kl_divergence`, by pairs of classes."""

from __future__ import annotations

from collections.abc import Callable

from ..tensor import Tensor
from .continuous import Exponential, MultivariateNormal, Normal
from .discrete import Bernoulli, Categorical
from .distribution import Distribution
from .independent import Independent

_RULES: dict[tuple[type, type], Callable] = {}


def register_kl(type_p: type, type_q: type) -> Callable:
    """A decorator: the function computes KL(p || q) of these classes and their subclasses."""
    def decorate(function: Callable) -> Callable:
        _RULES[type_p, type_q] = function
        return function
    return decorate


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p || q), of the batch's shape. Raises NotImplementedError for a pair of classes without a rule."""
    for a in type(p).__mro__:
        for b in type(q).__mro__:
            if (a, b) in _RULES:
                return _RULES[a, b](p, q)
    raise NotImplementedError(f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}")


@register_kl(Normal, Normal)
def _normal(p, q):
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(Exponential, Exponential)
def _exponential(p, q):
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p, q):
    from ..nn.functional import softplus
    inf = float("inf")
    one = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    one = one.masked_fill(q.probs == 0, inf).masked_fill(p.probs == 0, 0)
    zero = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    return one + zero.masked_fill(q.probs == 1, inf).masked_fill(p.probs == 1, 0)


@register_kl(Categorical, Categorical)
def _categorical(p, q):
    t = p.probs * (p.logits - q.logits)
    t = t.masked_fill((q.probs == 0).expand_as(t), float("inf")).masked_fill((p.probs == 0).expand_as(t), 0)
    return t.sum(-1)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p, q):
    from ..linalg import solve_triangular  # pyright: ignore[reportAttributeAccessIssue]
    if p.event_shape != q.event_shape:
        raise ValueError(f"KL-divergence between two Multivariate Normals with different event shapes: "
                         f"{p.event_shape} and {q.event_shape}")
    spread = solve_triangular(q._tril, p._tril, upper=False).pow(2).sum((-2, -1))
    apart = solve_triangular(q._tril, (q.loc - p.loc).unsqueeze(-1), upper=False).pow(2).sum((-2, -1))
    return q._half_log_det() - p._half_log_det() + 0.5 * (spread + apart - p.event_shape[0])


@register_kl(Independent, Independent)
def _independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("KL of two Independents of different reinterpreted_batch_ndims is not supported")
    return p._sum(kl_divergence(p.base_dist, q.base_dist))
