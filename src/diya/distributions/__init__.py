"""``torch.distributions``: Normal, MultivariateNormal, Uniform, Exponential, Bernoulli, Categorical, Independent and
`kl_divergence`. Other names raise NotImplementedError where they are used."""

from __future__ import annotations

from typing import Any

from . import constraints as constraints
from .continuous import Exponential as Exponential
from .continuous import MultivariateNormal as MultivariateNormal
from .continuous import Normal as Normal
from .continuous import Uniform as Uniform
from .discrete import Bernoulli as Bernoulli
from .discrete import Categorical as Categorical
from .distribution import Distribution as Distribution
from .independent import Independent as Independent
from .kl import kl_divergence as kl_divergence
from .kl import register_kl as register_kl

_ABSENT = frozenset("""Beta Binomial Cauchy Chi2 ContinuousBernoulli Dirichlet ExponentialFamily FisherSnedecor Gamma Geometric
Gumbel HalfCauchy HalfNormal InverseGamma Kumaraswamy LKJCholesky Laplace LogNormal LogisticNormal LowRankMultivariateNormal
MixtureSameFamily Multinomial NegativeBinomial OneHotCategorical OneHotCategoricalStraightThrough Pareto RelaxedBernoulli
RelaxedOneHotCategorical StudentT Poisson VonMises Weibull Wishart TransformedDistribution""".split())


def _absent(name: str) -> type:
    def refuse(self, *args, **kwargs):
        raise NotImplementedError(f"torch.distributions.{name} is not supported")
    return type(name, (Distribution,), {"__init__": refuse, "__doc__": "Refused where made.", "__module__": __name__})


def __getattr__(name: str) -> Any:
    if name in _ABSENT:
        made = globals()[name] = _absent(name)
        return made
    raise AttributeError(f"module 'torch.distributions' has no attribute {name!r} that diya implements")


__all__ = ["Bernoulli", "Categorical", "Distribution", "Exponential", "Independent", "MultivariateNormal", "Normal",
           "Uniform", "constraints", "kl_divergence", "register_kl"]
