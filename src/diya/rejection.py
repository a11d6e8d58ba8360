"""Samples by rejection: how many words of the stream one takes depends on the words.

A sampler is a Python function of a `Stream` and of numbers, which draws one sample. Few samples are drawn by calling it;
for many it is compiled (`diya.runtime.cpu.scalar`), which gives the same numbers from the same words.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .random import pays

if TYPE_CHECKING:
    from .random import Generator

NATIVE_FROM = 8192  # samples that a process has drawn: what fewer of them take is less than what making code takes


class Stream:
    """A generator's uniform numbers (doubles) one by one, at the price of a Python call each; ``spare`` is a normal one
    that was drawn together with the last, or NaN."""

    AHEAD = 4096

    def __init__(self, generator: Generator):
        self._generator, self._ahead = generator, generator.clone_state()
        self._block: list[float] = []
        self._next = self._before = 0
        self.spare = math.nan if generator._cached_normal is None else generator._cached_normal

    def uniform(self) -> float:
        if self._next == len(self._block):
            self._before += self._next
            self._block, self._next = self._ahead.doubles(min(self.AHEAD, 2 * self._next + 16)).tolist(), 0
        self._next += 1
        return self._block[self._next - 1]

    def close(self) -> None:
        """Moves the generator to where the stream is."""
        self._generator.words32(2 * (self._before + self._next))
        self._generator._cached_normal = None if math.isnan(self.spare) else self.spare


def each(generator: Generator, draw: Callable[..., float], *parameters: np.ndarray) -> np.ndarray:
    """``draw(stream, *parameters)`` for the elements of arrays of one shape, in their order, as float64."""
    shape = parameters[0].shape
    columns = [np.ascontiguousarray(p, np.float64).reshape(-1) for p in parameters]
    with generator._lock:
        if pays(draw, columns[0].size, NATIVE_FROM):
            return _run(_native(draw, len(columns)), generator, columns).reshape(shape)
        stream = Stream(generator)
        values = [c.tolist() for c in columns]
        samples = np.array([draw(stream, *each) for each in zip(*values, strict=True)], np.float64)
        stream.close()
    return samples.reshape(shape)


class _State(ctypes.Structure):
    """A stream as compiled code sees it."""

    _fields_ = [("next", ctypes.c_void_p), ("state", ctypes.c_void_p), ("spare", ctypes.c_double)]


def _run(code: tuple[Callable, Any], generator: Generator, columns: list[np.ndarray]) -> np.ndarray:
    out = np.empty(columns[0].size, np.float64)
    generator._source(0)
    words, spare = generator._bits.ctypes, generator._cached_normal
    before = generator._bits.state["state"]["key"] if generator._untouched else None
    state = _State(ctypes.cast(words.next_uint64, ctypes.c_void_p), words.state_address, math.nan if spare is None else spare)
    call, _ = code
    call(ctypes.addressof(state), out.ctypes.data, out.size, *(c.ctypes.data for c in columns))
    generator._cached_normal = None if math.isnan(state.spare) else state.spare
    if before is not None:
        generator._untouched = np.array_equal(before, generator._bits.state["state"]["key"])
    return out


@cache
def _native(draw: Callable, parameters: int) -> tuple[Callable, Any]:
    """Compiled code that calls ``draw`` for each of many samples, and what keeps it mapped."""
    from .runtime.cpu import load, scalar

    (entry,) = load.load([("each", scalar.module(draw, parameters))])
    pointer = ctypes.c_void_p
    return ctypes.CFUNCTYPE(None, pointer, pointer, ctypes.c_int64, *[pointer] * parameters)(entry), entry


# ---- samplers: what they may use is said in `diya.runtime.cpu.scalar`. What PyTorch computes of their parameters in the
# dtype of these, it computes for all samples at once here, so that samples of float32 are PyTorch's to the last bit too.

_THIRD, _SQUEEZE = np.float32(1 / 3), float(np.float32(0.0331))  # constants that PyTorch rounds


def gammas(generator: Generator, alpha: np.ndarray) -> np.ndarray:
    small = alpha < 1
    with np.errstate(divide="ignore"):
        boost = np.where(small, np.where(alpha == 0, np.nan, 1 / alpha), 0)
    return each(generator, _gamma, boost, alpha + small - alpha.dtype.type(_THIRD))


def poissons(generator: Generator, rate: np.ndarray) -> np.ndarray:
    return each(generator, _poisson, rate)


def binomials(generator: Generator, count: np.ndarray, p: np.ndarray) -> np.ndarray:
    often = p > 0.5
    p = np.where(often, 1 - p, p)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, failure = count * p, 1 - p
        terms = mean, np.sqrt(mean * failure), p / failure, np.floor((count + 1) * p), np.log1p(-p)
        rare = each(generator, _binomial, count, p, *terms)
        return np.where(often, count - rare, rare)


def _normal(stream: Stream) -> float:
    """The Box-Muller transform makes two samples of two uniform ones."""
    spare = stream.spare
    if not math.isnan(spare):
        stream.spare = math.nan
        return spare
    angle = 2.0 * math.pi * stream.uniform()
    radius = math.sqrt(-2.0 * math.log1p(-stream.uniform()))
    stream.spare = radius * math.sin(angle)
    return radius * math.cos(angle)


def _gamma(stream: Stream, boost: float, d: float) -> float:
    """Marsaglia & Tsang, "A simple method for generating gamma variables", 2000. ``d`` is the concentration less 1/3; below
    1, it is that of the concentration plus 1, whose sample is made smaller by the power ``boost`` of a uniform number."""
    if math.isnan(boost):  # a concentration of 0
        return 0.0
    scale = 1.0
    if boost != 0:
        u = 1 - stream.uniform()
        scale = u ** boost if boost > -20 else math.inf  # a negative concentration: what Python can hold
    if not d > 0:  # a negative concentration, or NaN
        return math.nan if math.isnan(d) else 0.0
    c = 1 / math.sqrt(9 * d)
    while True:
        x = _normal(stream)
        y = 1 + c * x
        if y <= 0:
            continue
        v, u, square = y * y * y, 1 - stream.uniform(), x * x
        if u < 1 - _SQUEEZE * square * square or math.log(u) < 0.5 * square + d * (1 - v + math.log(v)):
            return scale * d * v


def _poisson(stream: Stream, rate: float) -> float:
    """Events of a rate in a unit of time."""
    if rate == 0 or rate == math.inf:
        return rate
    if rate < 10:  # as many exponential waiting times as fit
        least, product, k = math.exp(-rate), stream.uniform(), 0.0
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
        k = math.floor((2 * a / us + b) * u + rate + 0.43) if us > 0 else -1
        if us >= 0.07 and v <= squeeze:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        if _log(v) + log_alpha - math.log(a / (us * us) + b) <= -rate + k * log_rate - math.lgamma(k + 1):
            return k


def _binomial(stream: Stream, count: float, p: float, mean: float, deviation: float, odds: float, mode: float,
              log_failure: float) -> float:
    """Successes in ``count`` trials of probability ``p``, at most a half."""
    if count <= 0 or p <= 0:
        return 0.0
    if math.isnan(p) or math.isnan(count):
        return math.nan
    if count == math.inf:
        return count
    if mean < 10:  # as many geometric waiting times as fit
        trials, k = 0.0, 0.0
        while True:
            u = stream.uniform()
            trials += math.ceil(math.log(u) / log_failure) if u > 0 and log_failure < 0 else math.inf
            if trials > count:
                return k
            k += 1
    # BTRS: Hoermann, "The generation of binomial random variates", 1993.
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c, squeeze, alpha = mean + 0.5, 0.92 - 4.2 / b, (2.83 + 5.1 / b) * deviation
    while True:
        u, v = stream.uniform() - 0.5, stream.uniform()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + c) if us > 0 else -1
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
    return math.log(x) if x > 0 else -math.inf
