"""``torch.distributions``: probability distributions, transforms of them, and divergences between them."""

from __future__ import annotations

import sys as _sys

from . import binary as _binary
from . import categorical as categorical
from . import constraint_registry as constraint_registry
from . import constraints as constraints
from . import distribution as distribution
from . import independent as independent
from . import kl as kl
from . import mixture_same_family as mixture_same_family
from . import multivariate as _multivariate
from . import positive as _positive
from . import real as _real
from . import transformed_distribution as transformed_distribution
from . import transforms as transforms
from . import uniform as uniform
from . import unit as _unit
from . import utils as utils
from .binary import Bernoulli as Bernoulli
from .binary import Binomial as Binomial
from .binary import Geometric as Geometric
from .binary import NegativeBinomial as NegativeBinomial
from .binary import Poisson as Poisson
from .binary import RelaxedBernoulli as RelaxedBernoulli
from .categorical import Categorical as Categorical
from .categorical import Multinomial as Multinomial
from .categorical import OneHotCategorical as OneHotCategorical
from .categorical import OneHotCategoricalStraightThrough as OneHotCategoricalStraightThrough
from .categorical import RelaxedOneHotCategorical as RelaxedOneHotCategorical
from .constraint_registry import biject_to as biject_to
from .constraint_registry import transform_to as transform_to
from .distribution import Distribution as Distribution
from .distribution import ExponentialFamily as ExponentialFamily
from .independent import Independent as Independent
from .kl import kl_divergence as kl_divergence
from .kl import register_kl as register_kl
from .mixture_same_family import MixtureSameFamily as MixtureSameFamily
from .multivariate import LKJCholesky as LKJCholesky
from .multivariate import LowRankMultivariateNormal as LowRankMultivariateNormal
from .multivariate import MultivariateNormal as MultivariateNormal
from .multivariate import Wishart as Wishart
from .positive import Chi2 as Chi2
from .positive import Exponential as Exponential
from .positive import FisherSnedecor as FisherSnedecor
from .positive import Gamma as Gamma
from .positive import GeneralizedPareto as GeneralizedPareto
from .positive import HalfCauchy as HalfCauchy
from .positive import HalfNormal as HalfNormal
from .positive import InverseGamma as InverseGamma
from .positive import LogNormal as LogNormal
from .positive import Pareto as Pareto
from .positive import Weibull as Weibull
from .real import Cauchy as Cauchy
from .real import Gumbel as Gumbel
from .real import Laplace as Laplace
from .real import Normal as Normal
from .real import StudentT as StudentT
from .real import VonMises as VonMises
from .transformed_distribution import TransformedDistribution as TransformedDistribution
from .transforms import AbsTransform as AbsTransform
from .transforms import AffineTransform as AffineTransform
from .transforms import CatTransform as CatTransform
from .transforms import ComposeTransform as ComposeTransform
from .transforms import CorrCholeskyTransform as CorrCholeskyTransform
from .transforms import CumulativeDistributionTransform as CumulativeDistributionTransform
from .transforms import ExpTransform as ExpTransform
from .transforms import IndependentTransform as IndependentTransform
from .transforms import LowerCholeskyTransform as LowerCholeskyTransform
from .transforms import PositiveDefiniteTransform as PositiveDefiniteTransform
from .transforms import PowerTransform as PowerTransform
from .transforms import ReshapeTransform as ReshapeTransform
from .transforms import SigmoidTransform as SigmoidTransform
from .transforms import SoftmaxTransform as SoftmaxTransform
from .transforms import SoftplusTransform as SoftplusTransform
from .transforms import StackTransform as StackTransform
from .transforms import StickBreakingTransform as StickBreakingTransform
from .transforms import TanhTransform as TanhTransform
from .transforms import Transform as Transform
from .transforms import identity_transform as identity_transform
from .uniform import Uniform as Uniform
from .unit import Beta as Beta
from .unit import ContinuousBernoulli as ContinuousBernoulli
from .unit import Dirichlet as Dirichlet
from .unit import Kumaraswamy as Kumaraswamy
from .unit import LogisticNormal as LogisticNormal

# The names of modules in which PyTorch has them, one for each distribution.
_MODULES = {
    _binary: "bernoulli binomial geometric negative_binomial poisson relaxed_bernoulli",
    categorical: "multinomial one_hot_categorical relaxed_categorical",
    distribution: "exp_family",
    _multivariate: "lkj_cholesky lowrank_multivariate_normal multivariate_normal wishart",
    _positive: "chi2 exponential fishersnedecor gamma generalized_pareto half_cauchy half_normal inverse_gamma log_normal "
               "pareto weibull",
    _real: "cauchy gumbel laplace normal studentT von_mises",
    _unit: "beta continuous_bernoulli dirichlet kumaraswamy logistic_normal",
}
for _module, _names in _MODULES.items():
    for _name in _names.split():
        globals()[_name] = _sys.modules[f"{__name__}.{_name}"] = _module

__all__ = ["AbsTransform", "AffineTransform", "Bernoulli", "Beta", "Binomial", "CatTransform", "Categorical", "Cauchy", "Chi2",
           "ComposeTransform", "ContinuousBernoulli", "CorrCholeskyTransform", "CumulativeDistributionTransform", "Dirichlet",
           "Distribution", "ExpTransform", "Exponential", "ExponentialFamily", "FisherSnedecor", "Gamma", "GeneralizedPareto",
           "Geometric", "Gumbel", "HalfCauchy", "HalfNormal", "Independent", "IndependentTransform", "InverseGamma",
           "Kumaraswamy", "LKJCholesky", "Laplace", "LogNormal", "LogisticNormal", "LowRankMultivariateNormal",
           "LowerCholeskyTransform", "MixtureSameFamily", "Multinomial", "MultivariateNormal", "NegativeBinomial", "Normal",
           "OneHotCategorical", "OneHotCategoricalStraightThrough", "Pareto", "Poisson", "PositiveDefiniteTransform",
           "PowerTransform", "RelaxedBernoulli", "RelaxedOneHotCategorical", "ReshapeTransform", "SigmoidTransform",
           "SoftmaxTransform", "SoftplusTransform", "StackTransform", "StickBreakingTransform", "StudentT", "TanhTransform",
           "Transform", "TransformedDistribution", "Uniform", "VonMises", "Weibull", "Wishart", "biject_to",
           "identity_transform", "kl_divergence", "register_kl", "transform_to"]
