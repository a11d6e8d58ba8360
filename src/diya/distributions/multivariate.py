"""Distributions over vectors and matrices: MultivariateNormal, LowRankMultivariateNormal, Wishart, LKJCholesky."""

from __future__ import annotations

import math
import warnings
from math import nan
from numbers import Number
from typing import Any

import diya

from ..graph import Size
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution, ExponentialFamily
from .positive import Chi2
from .unit import Beta
from .utils import broadcast_all, eps_of, lazy_property, replaced, tiny_of


def _solve_lower(lower: Tensor, x: Tensor) -> Tensor:
    return diya.linalg.solve_triangular(lower, x, upper=False)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def _log_diagonal(lower: Tensor) -> Tensor:
    return lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def _cholesky_of_inverse(precision: Tensor) -> Tensor:
    """The Cholesky factor of the inverse of a matrix, from that of the matrix with rows and columns reversed."""
    reverse = diya.linalg.cholesky(precision.flip((-2, -1))).flip((-2, -1)).mT
    return _solve_lower(reverse, diya.eye(precision.shape[-1], dtype=precision.dtype))


class _Scaled(Distribution):
    """One of ``covariance_matrix``, ``precision_matrix`` and ``scale_tril`` is given, the others come from ``_tril``."""

    _tril: Tensor

    def _set_scale(self, batch, given: dict[str, Any]) -> None:
        (name, matrix), = ((k, v) for k, v in given.items() if v is not None)
        setattr(self, name, matrix.expand(tuple(batch) + matrix.shape[-2:]))

    def _factor(self) -> Tensor:
        if "scale_tril" in self.__dict__:
            return self.scale_tril
        if "covariance_matrix" in self.__dict__:
            return diya.linalg.cholesky(self.covariance_matrix)
        return _cholesky_of_inverse(self.precision_matrix)

    def expand(self, batch_shape, _instance=None):
        new = super().expand(batch_shape, _instance)
        new._tril = self._tril.expand(Size(batch_shape) + self._tril.shape[-2:])
        return new

    @lazy_property
    def scale_tril(self):
        return self._tril

    @lazy_property
    def covariance_matrix(self):
        return self._tril @ self._tril.mT

    @lazy_property
    def precision_matrix(self):
        return diya.cholesky_inverse(self._tril)


_MATRICES: Any = {"covariance_matrix": constraints.positive_definite, "precision_matrix": constraints.positive_definite,
                  "scale_tril": constraints.lower_cholesky}


class _NormalVector(Distribution):
    """What the two normal distributions of vectors share. Subclasses give the covariance's determinant (its logarithm), a
    factor F with F F' = covariance, and the squared length of vectors (columns) in units of the covariance."""

    support = constraints.real_vector
    has_rsample = True
    loc: Tensor

    def _log_det(self) -> Tensor:
        raise NotImplementedError

    def _root(self) -> Tensor:
        raise NotImplementedError

    def _squared_length(self, columns: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    def log_prob(self, value):
        self._check(value)
        distance = self._squared_length((value - self.loc).unsqueeze(-1))
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + distance + self._log_det())

    def entropy(self):
        return (0.5 * (self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._log_det())).expand(self._batch_shape)


class MultivariateNormal(_Scaled, _NormalVector):
    """The normal distribution of vectors, of mean ``loc`` (..., d) and one of three matrices (..., d, d)."""

    arg_constraints = {"loc": constraints.real_vector, **_MATRICES}

    def __init__(self, loc, covariance_matrix=None, precision_matrix=None, scale_tril=None,
                 validate_args: bool | None = None):
        given = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        matrices = [m for m in given.values() if m is not None]
        if len(matrices) != 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        if matrices[0].dim() < 2:
            raise ValueError(f"{next(k for k, v in given.items() if v is not None)} must be at least two-dimensional, with "
                             "optional leading batch dimensions")
        batch = diya.broadcast_shapes(matrices[0].shape[:-2], loc.shape[:-1])
        self.loc = loc.expand(tuple(batch) + loc.shape[-1:])
        self._set_scale(batch, given)
        super().__init__(batch, loc.shape[-1:], validate_args)
        self._tril = self._factor()

    @property
    def variance(self):
        return self._tril.pow(2).sum(-1)

    def rsample(self, sample_shape=()):
        return self.loc + _times(self._tril, self._normals(sample_shape, self.loc))

    def _log_det(self):
        return 2 * _log_diagonal(self._tril)

    def _root(self):
        return self._tril

    def _squared_length(self, columns):
        batch = diya.broadcast_shapes(self._tril.shape[:-2], columns.shape[:-2])
        lower = self._tril.expand(tuple(batch) + self._tril.shape[-2:])
        return _solve_lower(lower, columns.expand(tuple(batch) + columns.shape[-2:])).pow(2).sum((-2, -1))


class LowRankMultivariateNormal(_NormalVector):
    """The normal distribution of vectors whose covariance is ``cov_factor @ cov_factor.T`` (of low rank) plus the diagonal
    ``cov_diag``; computed with matrices of the rank's size (Woodbury's identity and the determinant lemma)."""

    arg_constraints: Any = {"loc": constraints.real_vector, "cov_factor": constraints.independent(constraints.real, 2),
                            "cov_diag": constraints.independent(constraints.positive, 1)}

    def __init__(self, loc, cov_factor, cov_diag, validate_args: bool | None = None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading batch dimensions")
        if cov_factor.shape[-2:-1] != event:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event[0]} x m")
        if cov_diag.shape[-1:] != event:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event}")
        try:
            batch = diya.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        except RuntimeError as error:
            raise ValueError(f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, cov_diag "
                             f"{cov_diag.shape}") from error
        self.loc, self.cov_diag = loc.expand(tuple(batch) + event), cov_diag.expand(tuple(batch) + event)
        self.cov_factor = cov_factor.expand(tuple(batch) + cov_factor.shape[-2:])
        super().__init__(batch, event, validate_args)

    @lazy_property
    def _weighted(self):
        return self.cov_factor.mT / self.cov_diag.unsqueeze(-2)

    @lazy_property
    def _capacitance_tril(self):
        w = self.cov_factor
        return diya.linalg.cholesky(self._weighted @ w + diya.eye(w.shape[-1], dtype=w.dtype))

    @lazy_property
    def variance(self):
        return self.cov_factor.pow(2).sum(-1) + self.cov_diag

    @lazy_property
    def scale_tril(self):
        root = self.cov_diag.sqrt().unsqueeze(-1)
        scaled = self.cov_factor / root
        return root * diya.linalg.cholesky(scaled @ scaled.mT + diya.eye(self._event_shape[0], dtype=root.dtype))

    @lazy_property
    def covariance_matrix(self):
        return self.cov_factor @ self.cov_factor.mT + self.cov_diag.diag_embed()

    @lazy_property
    def precision_matrix(self):
        a = _solve_lower(self._capacitance_tril, self._weighted)
        return self.cov_diag.reciprocal().diag_embed() - a.mT @ a

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        factors = diya.empty(shape[:-1] + self.cov_factor.shape[-1:], dtype=self.loc.dtype).normal_()
        noise = self._normals(sample_shape, self.loc)
        return self.loc + _times(self.cov_factor, factors) + self.cov_diag.sqrt() * noise

    def _log_det(self):
        return 2 * _log_diagonal(self._capacitance_tril) + self.cov_diag.log().sum(-1)

    def _root(self):
        return diya.cat([self.cov_factor, self.cov_diag.sqrt().diag_embed()], -1)

    def _squared_length(self, columns):
        inside = self._weighted @ columns
        lower = self._capacitance_tril.expand(inside.shape[:-2] + self._capacitance_tril.shape[-2:])
        return (columns.pow(2) / self.cov_diag.unsqueeze(-1)).sum((-2, -1)) - _solve_lower(lower, inside).pow(2).sum((-2, -1))


class Wishart(_Scaled, ExponentialFamily):
    """The Wishart distribution of positive definite matrices, of ``df`` degrees of freedom, drawn by Bartlett's
    decomposition."""

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    @property
    def arg_constraints(self):
        return {**_MATRICES, "df": constraints.greater_than(self.event_shape[-1] - 1)}

    def __init__(self, df, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args: bool | None = None):
        given = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
        matrices = [m for m in given.values() if m is not None]
        if len(matrices) != 1:
            raise AssertionError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        matrix, = matrices
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        batch = matrix.shape[:-2]
        if isinstance(df, Number):
            self.df = diya.tensor(df, dtype=matrix.dtype)
        else:
            batch = diya.broadcast_shapes(batch, df.shape)
            self.df = df.expand(batch)
        event = matrix.shape[-2:]
        if bool((self.df <= event[-1] - 1).any()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {event[-1] - 1}.")
        if bool((self.df < event[-1]).any()):
            warnings.warn("Low df values detected. Singular samples are highly likely to occur for ndim - 1 < df < ndim.",
                          stacklevel=2)
        self._set_scale(batch, given)
        super().__init__(batch, event, validate_args)
        self._tril = self._factor()
        self._dist_chi2 = Chi2(self.df.unsqueeze(-1) - diya.arange(event[-1], dtype=matrix.dtype).expand(tuple(batch) + (-1,)))

    @property
    def mean(self):
        return self._df() * self.covariance_matrix

    def _df(self) -> Tensor:
        return self.df[..., None, None]

    @property
    def mode(self):
        factor = self.df - self._event_shape[-1] - 1
        return replaced(factor, factor <= 0, nan)[..., None, None] * self.covariance_matrix

    @property
    def variance(self):
        v = self.covariance_matrix
        d = v.diagonal(dim1=-2, dim2=-1)
        return self._df() * (v.pow(2) + d.unsqueeze(-1) * d.unsqueeze(-2))

    def _bartlett(self, sample_shape) -> Tensor:
        p = self._event_shape[-1]
        diagonal = self._dist_chi2.rsample(sample_shape).sqrt()
        diagonal = diagonal.clamp(min=eps_of(diagonal)).diag_embed()
        i, j = diya.tril_indices(p, p, offset=-1)
        below = diya.randn(Size(tuple(sample_shape) + self._batch_shape + (p * (p - 1) // 2,)), dtype=diagonal.dtype)
        root = self._tril @ (diagonal + _placed(below, i, j, p))
        return root @ root.mT

    def rsample(self, sample_shape=(), max_try_correction: int | None = None):
        """Samples; those that came out singular are drawn anew, ``max_try_correction`` times at most (10 by default). As in
        PyTorch, whose numbers these are for a seed, the first samples are drawn twice where they are *not* singular."""
        sample = self._bartlett(sample_shape)
        again = self._of_samples(self.support.check(sample))
        for _ in range(10 if max_try_correction is None else max_try_correction):
            count = int(again.sum())
            if not count:
                break
            fresh = self._bartlett((count,))
            sample = sample.clone()
            sample[again] = fresh
            singular = again.clone()
            singular[again] = self._of_samples(~self.support.check(fresh))
            again = singular
        return sample

    def _of_samples(self, flags: Tensor) -> Tensor:
        """Which samples have a flag anywhere in their batch."""
        return flags.flatten(flags.dim() - len(self._batch_shape)).any(-1) if self._batch_shape else flags

    def log_prob(self, value):
        self._check(value)
        nu, p = self.df, self._event_shape[-1]
        return (-nu * (p * math.log(2) / 2 + _log_diagonal(self._tril)) - diya.mvlgamma(nu / 2, p=p)
                + (nu - p - 1) / 2 * diya.linalg.slogdet(value).logabsdet
                - diya.cholesky_solve(value, self._tril).diagonal(dim1=-2, dim2=-1).sum(-1) / 2)

    def entropy(self):
        nu, p = self.df, self._event_shape[-1]
        half = (nu / 2).unsqueeze(-1)
        digammas = (half - diya.arange(p, dtype=nu.dtype) / 2).digamma().sum(-1)
        return ((p + 1) * (p * math.log(2) / 2 + _log_diagonal(self._tril)) + diya.mvlgamma(nu / 2, p=p)
                - (nu - p - 1) / 2 * digammas + nu * p / 2)

    @property
    def _natural_params(self):
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x, y):
        p = self._event_shape[-1]
        a = y + (p + 1) / 2
        return a * (-diya.linalg.slogdet(-2 * x).logabsdet + math.log(2) * p) + diya.mvlgamma(a, p=p)


def _placed(values: Tensor, i: Tensor, j: Tensor, p: int) -> Tensor:
    """Square matrices with ``values`` at (i, j)."""
    flat = values.new_zeros(values.shape[:-1] + (p * p,))
    return flat.scatter(-1, (i * p + j).expand(values.shape), values).reshape(values.shape[:-1] + (p, p))


class LKJCholesky(Distribution):
    """Cholesky factors of ``dim`` x ``dim`` correlation matrices, whose density is their determinant to the power
    ``concentration - 1`` (Lewandowski, Kurowicka & Joe, 2009; drawn by the onion method)."""

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        self.concentration, = broadcast_all(concentration)
        offset = (diya.arange(dim, dtype=self.concentration.dtype) - 1).clamp(min=0)
        self._beta = Beta(offset + 0.5, (self.concentration + 0.5 * (dim - 2)).unsqueeze(-1) - 0.5 * offset)
        super().__init__(self.concentration.shape, (dim, dim), validate_args)

    def sample(self, sample_shape=()):
        with diya.no_grad():
            y = self._beta.sample(sample_shape).unsqueeze(-1)
            directions = diya.randn(self._extended_shape(sample_shape), dtype=y.dtype).tril(-1)
            norms = directions.pow(2).sum(-1, keepdim=True).sqrt()
            w = y.sqrt() * replaced(directions / norms, norms == 0, 0)  # the first row has no direction
            return w + (1 - w.pow(2).sum(-1)).clamp(min=tiny_of(w)).sqrt().diag_embed()

    def log_prob(self, value):
        self._check(value)
        n, a = self.dim, self.concentration
        power = 2 * (a - 1).unsqueeze(-1) + n - diya.arange(2, n + 1)
        density = (power * value.diagonal(dim1=-2, dim2=-1)[..., 1:].log()).sum(-1)
        alpha = a + 0.5 * (n - 1)
        log_norm = 0.5 * (n - 1) * math.log(math.pi) + diya.mvlgamma(alpha - 0.5, p=n - 1) - alpha.lgamma() * (n - 1)
        return density - log_norm
