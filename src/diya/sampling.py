"""Distributions: a generator's words as numbers of a dtype, equal to what PyTorch gives on the CPU for a seed.

Every function takes the generator, a shape and a dtype (the object or its name) and returns a new array of
``dtype.numpy`` (bfloat16 as its bits). Which words a number is made of, and in which order, is part of the contract:
it is what makes a seed mean the same here and in PyTorch 2.13 (x86-64, where its kernels use fused multiply-add).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from . import dtypes

if TYPE_CHECKING:
    from .random import Generator

Shape = Sequence[int]
Real = float | np.floating
DType = dtypes.dtype | str

_DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}  # bits of a significand
_CXX = {"uint8": "unsigned char", "int8": "signed char", "int16": "short", "int32": "int", "int64": "long",
        "uint16": "unsigned short", "uint32": "unsigned int", "uint64": "unsigned long", "bool": "bool",
        "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double"}
_LARGEST = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38,
            "float64": 1.7976931348623157e308}
_NAMES = {"uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long", "uint16": "UInt16",
          "uint32": "UInt32", "uint64": "UInt64", "bool": "Bool", "float16": "Half", "bfloat16": "BFloat16",
          "float32": "Float", "float64": "Double", "complex64": "ComplexFloat", "complex128": "ComplexDouble"}


# ---- real numbers


def uniform(generator: Generator, shape: Shape, dtype: DType, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Uniform in [low, high). A complex dtype takes both parts from the stream, real part first."""
    dtype = _dtype(dtype)
    if dtype.is_complex:
        return _complex(uniform(generator, (*shape, 2), dtype.to_real(), low, high), shape, dtype)
    _needs(dtype, "f", "check_uniform_bounds")
    largest = _LARGEST[dtype.name]
    for name, bound in (("from", low), ("to", high)):
        if not -largest <= bound <= largest:
            raise RuntimeError(f"{name} is out of bounds for {_CXX[dtype.name]}: uniform_ got {name}={bound}")
    if low > high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
    if high - low > largest:
        raise RuntimeError(f"uniform_ expects to-from <= std::numeric_limits<{_NAMES[dtype.name]}>::max(), but found "
                           f"to={high:g} and from={low:g} which result in to-from to exceed the limit")
    n = math.prod(shape)
    x = generator.doubles(n) if dtype is dtypes.float64 else generator.floats(n)
    real = x.dtype.type
    if (low, high) != (0, 1):
        x = _fma(x, real(high) - real(low), real(low))
    out = dtypes.store_array(x, dtype)
    if (low, high) != (0, 1) or dtype in (dtypes.float16, dtypes.bfloat16):  # rounding must not reach the open end
        low_, high_ = dtypes.store_array(np.array([low, high], real), dtype)
        out[out == high_] = low_
    return out.reshape(shape)


def normal(generator: Generator, shape: Shape, dtype: DType, mean: float = 0.0, std: float = 1.0,
           contiguous: bool = True) -> np.ndarray:
    """Normal with ``mean`` and ``std``.

    From 16 elements on, uniform numbers become normal in blocks of 8 pairs; fewer (and tensors that are not
    ``contiguous``, which are filled in the order of their memory) take samples one by one. The streams differ.
    A complex dtype has ``std`` over both parts together.
    """
    dtype = _dtype(dtype)
    if dtype.is_complex:
        parts = normal(generator, (*shape, 2), dtype.to_real(), 0.0, std / math.sqrt(2.0), contiguous)
        if mean:
            parts[..., 0] += np.real(mean)
            parts[..., 1] += np.imag(mean)
        return _complex(parts, shape, dtype)
    _needs(dtype, "f", "normal_kernel_cpu")
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    n = math.prod(shape)
    if n < 16 or not contiguous:
        return _store(_fma(generator.normals(n), std, mean), dtype).reshape(shape)
    draw, transform = (generator.doubles, _normal64) if dtype is dtypes.float64 else (generator.floats, _normal32)
    tail = n % 16
    if dtype.itemsize == 2:  # half precisions draw only whole blocks
        out = np.empty(n, np.float32)
        out[: n - tail] = transform(draw(n - tail), mean, std)
    else:
        out = draw(n)
        out[: n - tail] = transform(out[: n - tail], mean, std)
    if tail:  # the last 16 are drawn anew, over numbers that may be done already
        out[-16:] = transform(draw(16), mean, std)
    return dtypes.store_array(out, dtype).reshape(shape)


def exponential(generator: Generator, shape: Shape, dtype: DType, rate: float = 1.0) -> np.ndarray:
    """Exponential with density ``rate * exp(-rate * x)``."""
    dtype = _dtype(dtype)
    if not dtype.is_floating_point:
        raise RuntimeError("Exponential distribution is a continuous probability distribution. dtype must be a "
                           f"floating point but you specified {_NAMES[dtype.name]}")
    if not rate > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={rate:g}")
    return _store(-1.0 / rate * np.log1p(-_doubles(generator, shape)), dtype)


def cauchy(generator: Generator, shape: Shape, dtype: DType, median: float = 0.0, sigma: float = 1.0) -> np.ndarray:
    """Cauchy with ``median`` and half width ``sigma`` at half height."""
    dtype = _dtype(dtype)
    if not dtype.is_floating_point:
        raise RuntimeError("Cauchy distribution is a continuous probability distribution. dtype must be a "
                           f"floating point but you specified {_NAMES[dtype.name]}")
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    return _store(_fma(np.tan(np.pi * (_doubles(generator, shape) - 0.5)), sigma, median), dtype)


def log_normal(generator: Generator, shape: Shape, dtype: DType, mean: float = 1.0, std: float = 2.0) -> np.ndarray:
    """The exponential of a normal distribution with ``mean`` and ``std``."""
    dtype = _dtype(dtype)
    _needs(dtype, "f", "log_normal_cpu")
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    with np.errstate(over="ignore"):
        return _store(np.exp(_fma(generator.normals(math.prod(shape)), std, mean)), dtype).reshape(shape)


def geometric(generator: Generator, shape: Shape, dtype: DType, p: float) -> np.ndarray:
    """The number of trials up to the first success, each of probability ``p``."""
    dtype = _dtype(dtype)
    _needs(dtype, "uif", "geometric_cpu")
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    with np.errstate(divide="ignore"):
        return _store(np.ceil(np.log(_doubles(generator, shape)) / math.log1p(-p)), dtype)


# ---- integers and choices


def randint(generator: Generator, shape: Shape, dtype: DType, low: int, high: int | None) -> np.ndarray:
    """Integers in [low, high), or from ``low`` to the largest of the dtype (``high=None``), as ``random_(low, high)``.

    A range below 2**28 costs one word a number, a larger one two.
    """
    dtype = _dtype(dtype)
    _needs(dtype, "buif", "random_from_to")
    first, last = _range(dtype)
    if high is None:
        high = last + 1
        low = _representable(low, dtype, first=True)
        if low > last:
            raise RuntimeError(f"random_ expects 'from' casted to dtype to be less than or equal to 'to_inc', but got "
                               f"from={low} > to_inc={last}")
        if not first <= low:
            raise RuntimeError(f"from is out of bounds for {_CXX[dtype.name]}: random_ got from={low}")
    else:
        if low >= high:
            raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
        smallest, largest = (-_LARGEST[dtype.name], _LARGEST[dtype.name]) if dtype.kind == "f" else (first, last)
        for name, value in (("from", low), ("to - 1", high - 1)):
            if not smallest <= value <= largest:
                raise RuntimeError(f"{name} is out of bounds for {_CXX[dtype.name]}: random_ got from={low}, to={high} "
                                   f"and {dtype.name} holds {smallest} to {largest}")
        low, high = _representable(low, dtype, first=True), _representable(high, dtype, first=False)
        if low >= high:
            raise RuntimeError("random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got "
                               f"from={low} >= to={high}")
    n, span = math.prod(shape), high - low
    if span < 2**28:
        words = (generator.words32(n) % np.uint32(span)).astype(np.uint64)
    else:
        words = generator.words64(n)
        if span == 2**64:  # any word will do
            return words.view(np.int64).reshape(shape)
        words %= np.uint64(span)
    words += np.uint64(low % 2**64)  # wraps, as integers of 64 bits do
    return dtypes.store_array(words.view(np.uint64 if dtype is dtypes.uint64 else np.int64), dtype).reshape(shape)


def random(generator: Generator, shape: Shape, dtype: DType) -> np.ndarray:
    """Integers over the whole non-negative range that the dtype holds without gaps, as ``random_()``."""
    dtype = _dtype(dtype)
    _needs(dtype, "buif", "random_kernel_cpu")
    if dtype in (dtypes.uint16, dtypes.uint32, dtypes.uint64):
        raise NotImplementedError(f'"random_kernel_cpu" not implemented for \'{_NAMES[dtype.name]}\'')
    n, span = math.prod(shape), _range(dtype)[1] + 1
    words = generator.words64(n) if dtype.itemsize == 8 else generator.words32(n)
    return dtypes.store_array((words % words.dtype.type(span)).astype(np.int64), dtype).reshape(shape)


def randperm(generator: Generator, n: int, dtype: DType = "int64") -> np.ndarray:
    """A random permutation of 0 .. n - 1."""
    dtype = _dtype(dtype)
    _needs(dtype, "uif", "randperm")
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    largest = _range(dtype)[1]
    if n > largest:
        if dtype.kind == "f":
            raise RuntimeError(f"n cannot be greater than {largest + 1} for {_NAMES[dtype.name]} type.")
        raise RuntimeError(f"value cannot be converted to type {_CXX[dtype.name]} without overflow: randperm of n={n}")
    shuffle = _shuffle if n < (2**32 - 1) // 20 else _shuffle_inside_out
    return dtypes.store_array(shuffle(generator, n), dtype)


def bernoulli(generator: Generator, shape: Shape, dtype: DType, p: float = 0.5) -> np.ndarray:
    """1 with probability ``p``, else 0, as ``bernoulli_(p)``."""
    dtype = _dtype(dtype)
    _needs(dtype, "buif", "bernoulli_scalar_cpu_")
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
    return dtypes.store_array(generator.below(math.prod(shape), p).reshape(shape), dtype)


def bernoulli_each(generator: Generator, probabilities: np.ndarray, p_dtype: DType, dtype: DType) -> np.ndarray:
    """1 with the probability at its place in an array of ``p_dtype``: ``bernoulli(p)``, ``bernoulli_(tensor)``."""
    p_dtype, dtype = _dtype(p_dtype), _dtype(dtype)
    _needs(dtype, "buif", "bernoulli_tensor_cpu_")
    _needs(p_dtype, "f", "bernoulli_tensor_cpu_p_")
    p = dtypes.load_array(probabilities, p_dtype)
    if not ((p >= 0) & (p <= 1)).all():
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false: a probability of bernoulli lies "
                           f"outside [0, 1] (the smallest is {p.min():g}, the largest {p.max():g})")
    draw = generator.doubles if p_dtype is dtypes.float64 else generator.floats
    return dtypes.store_array(draw(p.size).reshape(p.shape) < p, dtype)


def dropout_noise(generator: Generator, shape: Shape, dtype: DType, p: float) -> np.ndarray:
    """What ``dropout(x, p)`` multiplies ``x`` with: 0 with probability ``p``, else ``1 / (1 - p)``."""
    dtype = _dtype(dtype)
    kept = bernoulli(generator, shape, dtypes.bool_, 1.0 - p)
    if p == 1:
        return np.zeros(shape, dtype.numpy)
    scale = np.float64(1) / (1.0 - p) if dtype is dtypes.float64 else np.float32(1) / np.float32(1.0 - p)
    return np.where(kept, dtypes.store_array(scale, dtype), dtype.numpy.type(0))


def multinomial(generator: Generator, weights: np.ndarray, dtype: DType, num_samples: int,
                replacement: bool = False) -> np.ndarray:
    """Indices (int64, [num_samples] or [rows, num_samples]) drawn from 1 or 2 dimensions of weights of ``dtype``."""
    dtype = _dtype(dtype)
    if weights.ndim not in (1, 2):
        raise RuntimeError(f"prob_dist must be 1 or 2 dim, got shape {list(weights.shape)}")
    if not dtype.is_floating_point:
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {_NAMES[dtype.name]}")
    categories = weights.shape[-1]
    if num_samples <= 0:
        raise RuntimeError(f"cannot sample n_sample <= 0 samples, got num_samples={num_samples}")
    if categories > 2**24:
        raise RuntimeError(f"number of categories cannot exceed 2^24, got {categories}")
    if not replacement and num_samples > categories:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement: "
                           f"num_samples={num_samples}, {categories} categories")
    w = dtypes.load_array(weights, dtype)
    rows = w.reshape(-1, categories)
    if replacement and num_samples > 1:
        out = np.stack([_draw_with_replacement(generator, row, num_samples) for row in rows]
                       or [np.empty((0, num_samples), np.int64)])
        return out.reshape(*w.shape[:-1], num_samples)
    if not ((rows >= 0) & (rows < np.inf)).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if not (rows > 0).any(1).all():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    # The samples are the categories with the smallest of exponential variables of rate w (Efraimidis and Spirakis).
    times = dtypes.load_array(exponential(generator, rows.shape, dtype), dtype)
    with np.errstate(divide="ignore"):
        keys = dtypes.load_array(dtypes.store_array(rows / times, dtype), dtype)
    if num_samples == 1:
        out = keys.argmax(1)[:, None]
    else:
        out = np.argsort(-keys, 1, kind="stable")[:, :num_samples]
    return out.astype(np.int64).reshape(*w.shape[:-1], num_samples)


def _draw_with_replacement(generator: Generator, weights: np.ndarray, n: int) -> np.ndarray:
    if not (weights >= 0).all():
        raise RuntimeError("invalid multinomial distribution (encountering probability entry < 0)")
    if not np.isfinite(weights).all():
        raise RuntimeError("invalid multinomial distribution (encountering probability entry = infinity or NaN)")
    cumulative = np.cumsum(weights, dtype=weights.dtype)  # one by one, which fixes the rounding
    if not cumulative[-1] > 0:
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    cumulative /= cumulative[-1]
    cumulative[-1] = 1
    return cumulative.astype(np.float64).searchsorted(generator.doubles(n), "left")


# ---- samples by rejection: how many words one takes depends on the words


def poisson(generator: Generator, rates: np.ndarray, dtype: DType) -> np.ndarray:
    """Counts of events, whose mean is the rate at the same place of an array of ``dtype``."""
    dtype = _dtype(dtype)
    _needs(dtype, "f", "poisson_cpu")
    rates_ = dtypes.load_array(rates, dtype)
    if not (rates_ >= 0).all():
        raise RuntimeError(f"invalid Poisson rate, expected rate to be non-negative, got {rates_.min():g}")
    return _each(generator, _poisson, dtype, rates_)


def binomial(generator: Generator, counts: np.ndarray, probabilities: np.ndarray, dtype: DType) -> np.ndarray:
    """Successes in ``counts`` trials, each of the probability at the same place; both arrays of ``dtype``."""
    dtype = _dtype(dtype)
    _needs_full(dtype, "binomial_cpu")
    return _each(generator, _binomial, dtype, dtypes.load_array(counts, dtype), dtypes.load_array(probabilities, dtype))


def standard_gamma(generator: Generator, concentrations: np.ndarray, dtype: DType) -> np.ndarray:
    """Gamma samples of rate 1, of the concentration at the same place of an array of ``dtype``; none is zero."""
    dtype = _dtype(dtype)
    _needs_full(dtype, "gamma_cpu")
    return _each(generator, _gamma, dtype, dtypes.load_array(concentrations, dtype), least=_SMALLEST[dtype.name])


def dirichlet(generator: Generator, concentrations: np.ndarray, dtype: DType) -> np.ndarray:
    """Dirichlet samples (over the last dimension), strictly between 0 and 1: gamma samples over their sum."""
    dtype = _dtype(dtype)
    _needs_full(dtype, "dirichlet")
    gammas = _each(generator, _gamma, dtypes.float64, concentrations.astype(np.float64), least=_SMALLEST["float64"])
    if not gammas.ndim:
        gammas = gammas.reshape(1)
    ratios = (gammas / gammas.sum(-1, keepdims=True)).reshape(concentrations.shape).astype(dtype.numpy)
    return ratios.clip(np.finfo(dtype.numpy).tiny, np.nextafter(dtype.numpy.type(1), dtype.numpy.type(0)))


class _Stream:
    """A generator's uniform and normal numbers (doubles) one by one, at the price of a Python call each."""

    AHEAD = 4096

    def __init__(self, generator: Generator):
        self._generator, self._ahead = generator, generator.clone_state()
        self._block: list[float] = []
        self._next = self._before = 0
        self._normal = generator._cached_normal

    def uniform(self) -> float:
        if self._next == len(self._block):
            self._before += self._next
            self._block, self._next = self._ahead.doubles(min(self.AHEAD, 2 * self._next + 16)).tolist(), 0
        self._next += 1
        return self._block[self._next - 1]

    def normal(self) -> float:
        if self._normal is not None:
            sample, self._normal = self._normal, None
            return sample
        angle = 2.0 * math.pi * self.uniform()
        radius = math.sqrt(-2.0 * math.log1p(-self.uniform()))
        self._normal = radius * math.sin(angle)
        return radius * math.cos(angle)

    def close(self) -> None:
        """Moves the generator to where the stream is."""
        self._generator.words32(2 * (self._before + self._next))
        self._generator._cached_normal = self._normal


def _each(generator: Generator, draw: Callable[..., float], dtype: dtypes.dtype, *parameters: np.ndarray,
          least: float | None = None) -> np.ndarray:
    """``draw(stream, *parameters)`` for the elements of arrays in their order, at least ``least`` where that is given."""
    with generator._lock:
        stream = _Stream(generator)
        values = [p.astype(np.float64).reshape(-1).tolist() for p in parameters]
        samples = np.array([draw(stream, *each) for each in zip(*values, strict=True)], np.float64)
        stream.close()
    out = samples.reshape(parameters[0].shape)
    return _store(out if least is None else out.clip(least), dtype)


_SMALLEST = {"float32": 2.0**-126, "float64": 2.0**-1022}
_F32 = {k: float(np.float32(v)) for k, v in {"third": 1 / 3, "squeeze": 0.0331}.items()}  # constants that PyTorch rounds


def _gamma(stream: _Stream, alpha: float) -> float:
    """Marsaglia & Tsang, "A simple method for generating gamma variables", 2000."""
    scale = 1.0
    if alpha < 1:  # a sample of alpha + 1, made smaller
        if alpha == 0:
            return 0.0
        u = 1 - stream.uniform()
        scale, alpha = (u ** (1 / alpha) if alpha > 0 else math.inf), alpha + 1
    d = alpha - _F32["third"]
    if not d > 0:  # a negative concentration, or NaN
        return math.nan if math.isnan(alpha) else 0.0
    c = 1 / math.sqrt(9 * d)
    while True:
        x = stream.normal()
        while 1 + c * x <= 0:
            x = stream.normal()
        y = 1 + c * x
        v, u, square = y * y * y, 1 - stream.uniform(), x * x
        if u < 1 - _F32["squeeze"] * square * square or math.log(u) < 0.5 * square + d * (1 - v + math.log(v)):
            return scale * d * v


def _poisson(stream: _Stream, rate: float) -> float:
    if rate == 0:
        return 0
    if rate < 10:  # as many exponential waiting times as fit
        least, product, k = math.exp(-rate), stream.uniform(), 0
        while product > least:
            product *= stream.uniform()
            k += 1
        return k
    # PTRS: Hoermann, "The transformed rejection method for generating Poisson random variables", 1993.
    log_rate = math.log(rate)
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    log_alpha = math.log(1.1239 + 1.1328 / (b - 3.4))
    squeeze = 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = stream.uniform() - 0.5, stream.uniform()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + rate + 0.43) if us else -1
        if us >= 0.07 and v <= squeeze:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        if _log(v) + log_alpha - math.log(a / (us * us) + b) <= -rate + k * log_rate - math.lgamma(k + 1):
            return k


def _binomial(stream: _Stream, count: float, p: float) -> float:
    if count <= 0 or p <= 0:
        return 0
    if p >= 1:
        return count
    if math.isnan(p) or math.isnan(count):
        return math.nan
    if p > 0.5:
        return count - _successes(stream, count, 1 - p)
    return _successes(stream, count, p)


def _successes(stream: _Stream, count: float, p: float) -> float:
    if count * p < 10:  # as many geometric waiting times as fit
        log_failure, trials, k = math.log1p(-p), 0.0, 0
        while True:
            u = stream.uniform()
            trials += math.ceil(math.log(u) / log_failure) if u and log_failure else math.inf
            if trials > count:
                return k
            k += 1
    # BTRS: Hoermann, "The generation of binomial random variates", 1993.
    deviation = math.sqrt(count * p * (1 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c, squeeze, odds = count * p + 0.5, 0.92 - 4.2 / b, p / (1 - p)
    alpha, mode = (2.83 + 5.1 / b) * deviation, math.floor((count + 1) * p)
    while True:
        u, v = stream.uniform() - 0.5, stream.uniform()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + c) if us else -1
        if k < 0 or k > count:
            continue
        if us >= 0.07 and v <= squeeze:
            return k
        bound = ((mode + 0.5) * math.log((mode + 1) / (odds * (count - mode + 1)))
                 + (count + 1) * math.log((count - mode + 1) / (count - k + 1))
                 + (k + 0.5) * math.log(odds * (count - k + 1) / (k + 1))
                 + _stirling_error(mode) + _stirling_error(count - mode) - _stirling_error(k) - _stirling_error(count - k))
        if _log(v * alpha / (a / (us * us) + b)) <= bound:
            return k


_STIRLING_ERRORS = (0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509, 0.0166446911898211,
                    0.0138761288230707, 0.0118967099458917, 0.0104112652619720, 0.00925546218271273, 0.00833056343336287)


def _stirling_error(k: float) -> float:
    """log(k!) less Stirling's approximation of it."""
    if k <= 9:
        return _STIRLING_ERRORS[int(k)]
    square = (k + 1) * (k + 1)
    return (1 / 12 - (1 / 360 - 1 / 1260 / square) / square) / (k + 1)


def _log(x: float) -> float:
    return math.log(x) if x else -math.inf


# ---- how it is done


def _dtype(dtype: dtypes.dtype | str) -> dtypes.dtype:
    return dtypes.BY_NAME[dtype] if isinstance(dtype, str) else dtype


def _needs(dtype: dtypes.dtype, kinds: str, kernel: str) -> None:
    if dtype.kind not in kinds:
        raise NotImplementedError(f'"{kernel}" not implemented for \'{_NAMES[dtype.name]}\'')


def _needs_full(dtype: dtypes.dtype, kernel: str) -> None:
    _needs(dtype, "f" if dtype.itemsize > 2 else "", kernel)


def _doubles(generator: Generator, shape: Shape) -> np.ndarray:
    return generator.doubles(math.prod(shape)).reshape(shape)


def _store(x: np.ndarray, dtype: dtypes.dtype) -> np.ndarray:
    """Doubles as ``dtype``; half precisions are rounded by way of float32."""
    with np.errstate(over="ignore"):
        return dtypes.store_array(x.astype(np.float32) if dtype.itemsize == 2 and dtype.kind == "f" else x, dtype)


def _complex(parts: np.ndarray, shape: Shape, dtype: dtypes.dtype) -> np.ndarray:
    return parts.view(dtype.numpy).reshape(shape)


def _range(dtype: dtypes.dtype) -> tuple[int, int]:
    """The integers that a dtype holds without a gap."""
    if dtype.kind == "f":
        largest = 2 ** _DIGITS[dtype.name]
        return -largest, largest
    if dtype.kind == "b":
        return 0, 1
    bits = 8 * dtype.itemsize
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dtype.is_signed else (0, 2**bits - 1)


def _representable(bound: int, dtype: dtypes.dtype, first: bool) -> int:
    """Moves a bound of a range inwards until rounding to a floating dtype cannot leave the range."""
    if dtype.kind != "f":
        return bound
    edge = bound + 1 if first else bound - 1
    rounded = int(float(dtypes.load_array(dtypes.store_array(np.array([edge], np.float64), dtype), dtype)[0]))
    step = 2 ** max(abs(edge).bit_length() - _DIGITS[dtype.name], 0)
    if first:
        return rounded + step if rounded < bound else bound
    return rounded - step if rounded >= bound else bound


def _fma(a: np.ndarray, b: Real, c: Real) -> np.ndarray:
    """``a * b + c`` rounded once, in the precision of ``a``."""
    if a.dtype == np.float32:
        return (a.astype(np.float64) * np.float64(b) + np.float64(c)).astype(np.float32)
    b, c = np.float64(b), np.float64(c)
    if (b == 1 and c == 0) or not abs(b) < 1e290:
        return a * b + c
    # Dekker's product and Knuth's sum give the rounding errors, which are added last.
    split = np.float64(2**27 + 1)
    product = a * b
    a_high = a * split - (a * split - a)
    b_high = b * split - (b * split - b)
    a_low, b_low = a - a_high, b - b_high
    product_error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    total = product + c
    back = total - product
    return total + ((product - (total - back)) + (c - back) + product_error)


def _normal64(u: np.ndarray, mean: float, std: float) -> np.ndarray:
    """The Box-Muller transform of blocks of 8 + 8 doubles in [0, 1)."""
    u = u.reshape(-1, 2, 8)
    radius, angle = np.sqrt(-2.0 * np.log(1.0 - u[:, 0])), 2.0 * np.pi * u[:, 1]
    return _fma(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1), std, mean)


_CHUNK = 1 << 14  # elements: what the transform of a chunk touches stays in the L2 cache


def _normal32(u: np.ndarray, mean: float, std: float) -> np.ndarray:
    """The Box-Muller transform of blocks of 8 + 8 floats in [0, 1), to PyTorch's last bit."""
    out = np.empty(u.size, np.float32)
    for begin in range(0, u.size, _CHUNK):
        block = u[begin : begin + _CHUNK].reshape(-1, 2, 8)
        result = out[begin : begin + _CHUNK].reshape(-1, 2, 8)
        radius = np.sqrt(np.float32(-2) * _log32(np.float32(1) - block[:, 0].reshape(-1)))
        sine, cosine = _sincos32(block[:, 1].reshape(-1) * np.float32(2 * np.pi))
        result[:, 0] = (radius * cosine).reshape(-1, 8)
        result[:, 1] = (radius * sine).reshape(-1, 8)
    return out if (mean, std) == (0, 1) else _fma(out, np.float32(std), np.float32(mean))


# log, sin and cos in float32 as the Cephes library computes them (Moshier, https://www.netlib.org/cephes, logf.c and
# sinf.c), with every polynomial step fused, which is what PyTorch's vector code (Pommier's avx_mathfun) compiles to.
# numpy's own differ from it by up to 3 units in the last place, and here the last place is what is promised.
_LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
        2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)
_SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_PI_4 = (0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8)


def _fused(a: np.ndarray, b: np.ndarray | float, c: np.ndarray | float) -> np.ndarray:
    """Float32 ``a * b + c`` rounded once; ``b`` and ``c`` hold float32 values, as float64 where they are arrays."""
    return (a.astype(np.float64) * b + c).astype(np.float32)


def _horner(x: np.ndarray, coefficients: Sequence[float]) -> np.ndarray:
    wide = x.astype(np.float64)
    y = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        y = _fused(y, wide, float(np.float32(c)))
    return y


def _log32(x: np.ndarray) -> np.ndarray:
    """log of positive normal numbers."""
    bits = x.view(np.int32)
    exponent = (bits >> 23) - 126
    m = (bits & 0x007FFFFF | 0x3F000000).view(np.float32)  # x = m * 2**exponent, 0.5 <= m < 1
    small = m < np.float32(0.707106781186547524)
    exponent = (exponent - small).astype(np.float32)
    m = m - np.float32(1) + np.where(small, m, np.float32(0))
    square = m * m
    tail = _horner(m, _LOG) * m
    low = (exponent * np.float32(_LN2_LOW)).astype(np.float64)
    tail = _fused(tail, square.astype(np.float64), low)
    tail = _fused(square, -0.5, tail)
    return _fused(exponent, _LN2_HIGH, m + tail)


def _sincos32(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sin and cos of numbers in [0, 8192)."""
    octant = ((x * np.float32(4 / np.pi)).astype(np.int32) + 1) & ~1
    y = octant.astype(np.float32)
    for part in _PI_4:
        x = _fused(y, -float(np.float32(part)), x)
    square = x * x
    wide = square.astype(np.float64)
    cosine = _horner(square, _COS) * square
    cosine = _fused(cosine, wide, -0.5 * wide) + np.float32(1)
    sine = _horner(square, _SIN) * square
    sine = _fused(sine, x.astype(np.float64), x)
    swap = (octant & 2) != 0
    sine, cosine = np.where(swap, cosine, sine), np.where(swap, sine, cosine)
    sine[(octant & 4) != 0] *= -1
    cosine[((octant + 2) & 4) != 0] *= -1
    return sine, cosine


def _shuffle(generator: Generator, n: int) -> np.ndarray:
    """The shuffle of Fisher and Yates without its loop: for i in 0 .. n - 2, swap a[i] with a[i + word % (n - i)].

    Position i is final after step i. What step i finds at its partner came there with the latest earlier step that had
    the same partner (else it has been there from the start): namely what step k found at position k, which came there
    with the latest step that had k as its partner, and so on back to a position that no step had written.
    """
    if n < 2:
        return np.arange(n)
    index = np.arange(n)
    partner = index.copy()
    partner[:-1] += generator.words32(n - 1) % np.arange(n, 1, -1, dtype=np.uint32)
    away = partner != index
    origin = index.copy()
    origin[partner[away]] = index[away]  # of several steps with one partner the last stays
    previous = _previous_equal(partner)
    return np.where(previous < 0, partner, _roots(origin)[previous])


def _shuffle_inside_out(generator: Generator, n: int) -> np.ndarray:
    """The shuffle for large n without its loop: for i in 0 .. n - 1, a[i] = a[z], a[z] = i, with z = word % (i + 1).

    What step i finds at z is the latest earlier step that drew z, else what step z itself put there.
    """
    index = np.arange(n)
    z = (generator.words64(n) % np.arange(1, n + 1, dtype=np.uint64)).astype(np.int64)
    previous = _previous_equal(z)
    found = previous > z
    put = np.where(found, previous, z)[_roots(np.where(found, index, z))]
    later = z != index
    put[z[later]] = index[later]  # of several steps that drew one place the last stays
    return put


def _previous_equal(values: np.ndarray) -> np.ndarray:
    """For each of n integers in [0, n) the position of the nearest equal one before it, or -1."""
    keys = values.astype(np.uint64) << np.uint64(32) | np.arange(len(values), dtype=np.uint64)
    keys.sort()
    order = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    equal = keys[1:] >> np.uint64(32) == keys[:-1] >> np.uint64(32)
    previous = np.full(len(values), -1)
    previous[order[1:][equal]] = order[:-1][equal]
    return previous


def _roots(parents: np.ndarray) -> np.ndarray:
    """Where each chain i -> parents[i] -> ... ends (in an element that is its own parent)."""
    while True:
        grandparents = parents[parents]
        if np.array_equal(parents, grandparents):
            return parents
        parents = grandparents
