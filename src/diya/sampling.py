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

from . import dtypes, rejection
from .numerics import cephes
from .random import pays

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
          "float32": "Float", "float64": "Double", "complex32": "ComplexHalf", "complex64": "ComplexFloat",
          "complex128": "ComplexDouble"}


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
    if n >= 2 * _PIECE:
        return _in_pieces(generator, n, lambda n: uniform(generator, (n,), dtype, low, high)).reshape(shape)
    x = generator.doubles(n) if dtype is dtypes.float64 else generator.floats(n)
    real = x.dtype.type
    if (low, high) != (0, 1):
        x = _fma(x, real(high) - real(low), real(low))
    out = dtypes.store_array(x, dtype)
    if (low, high) != (0, 1) or dtype in (dtypes.float16, dtypes.bfloat16):  # rounding must not reach the open end
        low_, high_ = dtypes.store_array(np.array([low, high], real), dtype)
        out[out == high_] = low_
    return out.reshape(shape)


_PIECE = 1 << 20  # elements; a multiple of 16, which normal numbers are made by


def _in_pieces(generator: Generator, n: int, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """``draw(n)``, which takes its words one after the other, without temporary arrays of that size."""
    with generator._lock:
        first = draw(_PIECE)
        out = np.empty(n, first.dtype)
        out[:_PIECE] = first
        begin = _PIECE
        while begin < n:  # the last piece is one and a rest
            size = _PIECE if n - begin >= 2 * _PIECE else n - begin
            out[begin:begin + size] = draw(size)
            begin += size
    return out


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
        parts += mean  # of both parts, as PyTorch has it
        return _complex(parts, shape, dtype)
    _needs(dtype, "f", "normal_kernel_cpu")
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    n = math.prod(shape)
    if n < 16 or not contiguous:
        return _store(_fma(generator.normals(n), std, mean), dtype).reshape(shape)
    if n >= 2 * _PIECE:
        return _in_pieces(generator, n, lambda n: normal(generator, (n,), dtype, mean, std)).reshape(shape)
    if dtype is not dtypes.float64 and pays("normals", max(n, _BLOCK), _NATIVE_FROM):
        return dtypes.store_array(_native_normals(generator, n, dtype.itemsize == 2, mean, std), dtype).reshape(shape)
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
                replacement: bool = False, turned: bool = False) -> np.ndarray:
    """Indices (int64, [num_samples] or [rows, num_samples]) drawn from 1 or 2 dimensions of weights of ``dtype``; ``turned``:
    random numbers go down the columns, as those of a transposed tensor do in memory."""
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
        return _draw_with_replacement(generator, rows, num_samples).reshape(*w.shape[:-1], num_samples)
    if not ((rows >= 0) & (rows < np.inf)).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if not (rows > 0).any(1).all():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    # The samples are the categories with the smallest of exponential variables of rate w (Efraimidis and Spirakis).
    times = dtypes.load_array(exponential(generator, rows.shape[::-1] if turned else rows.shape, dtype), dtype)
    times = times.T if turned else times
    with np.errstate(divide="ignore"):
        keys = dtypes.load_array(dtypes.store_array(rows / times, dtype), dtype)
    if num_samples == 1:
        out = keys.argmax(1)[:, None]
    else:
        out = np.argsort(-keys, 1, kind="stable")[:, :num_samples]
    return out.astype(np.int64).reshape(*w.shape[:-1], num_samples)


def _draw_with_replacement(generator: Generator, rows: np.ndarray, n: int) -> np.ndarray:
    if not (rows >= 0).all():
        raise RuntimeError("invalid multinomial distribution (encountering probability entry < 0)")
    if not np.isfinite(rows).all():
        raise RuntimeError("invalid multinomial distribution (encountering probability entry = infinity or NaN)")
    cumulative = np.cumsum(rows, 1, dtype=rows.dtype)  # one by one, which fixes the rounding
    if not (cumulative[:, -1] > 0).all():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    cumulative /= cumulative[:, -1:]
    cumulative[:, -1] = 1
    u = generator.doubles(len(rows) * n).reshape(-1, n)
    if len(rows) == 1:
        return cumulative[0].astype(np.float64).searchsorted(u, "left")
    # Of each row at once, by bisection: the first category whose cumulative probability is at least u.
    found = np.zeros(u.shape, np.int64)
    step = 1 << (rows.shape[1] - 1).bit_length()
    while step := step >> 1:
        further = np.minimum(found + step, rows.shape[1])
        found = np.where(np.take_along_axis(cumulative, further - 1, 1) < u, further, found)
    return found


# ---- samples by rejection: how many words one takes depends on the words


def poisson(generator: Generator, rates: np.ndarray, dtype: DType) -> np.ndarray:
    """Counts of events, whose mean is the rate at the same place of an array of ``dtype``."""
    dtype = _dtype(dtype)
    _needs(dtype, "f", "poisson_cpu")
    rates_ = dtypes.load_array(rates, dtype)
    if not (rates_ >= 0).all():
        raise RuntimeError(f"invalid Poisson rate, expected rate to be non-negative, got {rates_.min():g}")
    return _store(rejection.poissons(generator, rates_), dtype)


def binomial(generator: Generator, counts: np.ndarray, probabilities: np.ndarray, dtype: DType) -> np.ndarray:
    """Successes in ``counts`` trials, each of the probability at the same place; both arrays of ``dtype``."""
    dtype = _dtype(dtype)
    _needs_full(dtype, "binomial_cpu")
    return _store(rejection.binomials(generator, dtypes.load_array(counts, dtype), dtypes.load_array(probabilities, dtype)), dtype)


def standard_gamma(generator: Generator, concentrations: np.ndarray, dtype: DType) -> np.ndarray:
    """Gamma samples of rate 1, of the concentration at the same place of an array of ``dtype``; none is zero."""
    dtype = _dtype(dtype)
    _needs_full(dtype, "gamma_cpu")
    return _store(rejection.gammas(generator, dtypes.load_array(concentrations, dtype)).clip(_SMALLEST[dtype.name]), dtype)


def dirichlet(generator: Generator, concentrations: np.ndarray, dtype: DType) -> np.ndarray:
    """Dirichlet samples (over the last dimension), strictly between 0 and 1: gamma samples over their sum."""
    dtype = _dtype(dtype)
    _needs_full(dtype, "dirichlet")
    gammas = rejection.gammas(generator, concentrations.astype(np.float64)).clip(_SMALLEST["float64"])
    if not gammas.ndim:
        gammas = gammas.reshape(1)
    ratios = (gammas / gammas.sum(-1, keepdims=True)).reshape(concentrations.shape).astype(dtype.numpy)
    return ratios.clip(np.finfo(dtype.numpy).tiny, np.nextafter(dtype.numpy.type(1), dtype.numpy.type(0)))


_SMALLEST = {"float32": 2.0**-126, "float64": 2.0**-1022}


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


_BLOCK = 1024  # elements: fewer take as long, unless by compiled code
_NATIVE_FROM = 1 << 17  # elements drawn in this process: making code pays from there on


def _native_normals(generator: Generator, n: int, whole: bool, mean: float, std: float) -> np.ndarray:
    """What `normal` makes of the same words; of those behind the last block, ``whole`` blocks draw none."""
    from .runtime.cpu import draws

    tail = n % 16
    out = np.empty(n, np.float32)
    out[: n - tail] = draws.normals(generator.words32(n - tail))
    if tail:
        if not whole:
            generator.words32(tail)
        out[-16:] = draws.normals(generator.words32(16))
    return out if (mean, std) == (0, 1) else _fma(out, np.float32(std), np.float32(mean))


_CHUNK = 1 << 14  # elements: what the transform of a chunk touches stays in the L2 cache


def _normal32(u: np.ndarray, mean: float, std: float) -> np.ndarray:
    """The Box-Muller transform of blocks of 8 + 8 floats in [0, 1), to PyTorch's last bit."""
    out = np.empty(u.size, np.float32)
    for begin in range(0, u.size, _CHUNK):
        block = u[begin : begin + _CHUNK].reshape(-1, 2, 8)
        result = out[begin : begin + _CHUNK].reshape(-1, 2, 8)
        radius = np.sqrt(np.float32(-2) * cephes.log(np.float32(1) - block[:, 0].reshape(-1)))
        sine, cosine = cephes.sine_cosine(block[:, 1].reshape(-1) * np.float32(2 * np.pi))
        result[:, 0] = (radius * cosine).reshape(-1, 8)
        result[:, 1] = (radius * sine).reshape(-1, 8)
    return out if (mean, std) == (0, 1) else _fma(out, np.float32(std), np.float32(mean))


def _shuffle(generator: Generator, n: int) -> np.ndarray:
    """The shuffle of Fisher and Yates without its loop: for i in 0 .. n - 2, swap a[i] with a[i + word % (n - i)].

    Position i is final after step i. What step i finds at its partner came there with the latest earlier step that had
    the same partner (else it has been there from the start): namely what step k found at position k, which came there
    with the latest step that had k as its partner, and so on back to a position that no step had written.
    """
    if n < 2:
        return np.arange(n)
    if pays("permutations", max(n, _BLOCK), _NATIVE_FROM):
        from .runtime.cpu import draws
        return draws.shuffled(generator.words32(n - 1))
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
