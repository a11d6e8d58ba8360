"""Special functions over float64 arrays, by series, recurrences and quadrature that converge to rounding error.

No tables of fitted coefficients: each function is computed from its definition in the way that its comment names, with
references to the NIST Digital Library of Mathematical Functions (https://dlmf.nist.gov). Integrals of analytic functions
that are periodic or decay at both ends are summed by the trapezoidal rule, which then converges geometrically
(Trefethen & Weideman, "The exponentially convergent trapezoidal rule", 2014).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, wraps

import numpy as np

from .error import erf, erfc, square_error

EULER = 0.5772156649015329
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)
CHUNK = 1 << 14  # elements taken at once by functions that spread each over nodes of a quadrature


def _flat(function: Callable) -> Callable:
    """Calls ``function`` on broadcast, flat float64 arrays."""
    @wraps(function)
    def call(*arrays):
        arrays = np.broadcast_arrays(*[np.asarray(a, np.float64) for a in arrays])
        with np.errstate(all="ignore"):
            return function(*[a.reshape(-1) for a in arrays]).reshape(arrays[0].shape)
    return call


def _chunked(function: Callable) -> Callable:
    """As ``_flat``, a bounded number of elements at a time."""
    @_flat
    @wraps(function)
    def call(*arrays):
        parts = [function(*[a[i:i + CHUNK] for a in arrays]) for i in range(0, arrays[0].size, CHUNK)]
        return np.concatenate(parts) if parts else np.empty(0)
    return call


# -- gamma and zeta ----------------------------------------------------------------------------------------------------


@lru_cache(1)
def _lgamma_series() -> tuple[float, ...]:
    """Coefficients of log Γ(2 + z) at 0, from z on (DLMF 5.7.3)."""
    k = np.arange(2.0, 28.0)
    return (1 - EULER, *((-1) ** k * _zeta(k, np.full_like(k, 2.0)) / k))


def _stirling(x):
    """log Γ(x) − ((x − ½) log x − x + ½ log 2π) for x ≥ 8 (DLMF 5.11.1)."""
    inverse = 1 / (x * x)
    series = np.zeros_like(x)
    for k in range(len(BERNOULLI), 0, -1):
        series = series * inverse + BERNOULLI[k - 1] / (2 * k * (2 * k - 1))
    return series / x


@_chunked
def lgamma(x):
    """log |Γ(x)|: around 2 its Taylor series, which the recurrence (DLMF 5.5.1) carries over (0, 8); Stirling's series
    beyond; reflection (5.5.3) below 0."""
    size = np.abs(x)
    near = size < 8
    y = np.where(near & (size > 0), size, 1.0)
    whole = np.rint(y)
    z = y - whole
    out = np.zeros_like(z)
    for c in reversed(_lgamma_series()):
        out = (out + c) * z
    product = np.ones_like(z)
    for j in range(2, 8):
        product = np.where(whole > j, product * (z + j), product)
    out = out + np.log(product) - np.where(whole < 2, np.log1p(z), 0.0) - np.log(np.where(whole < 1, z, 1.0))
    far = np.where(near, 8.0, size)
    stirling = (far - 0.5) * np.log(far) - far + 0.5 * math.log(2 * math.pi) + _stirling(far)
    out = np.where(near, out, np.where(np.isinf(size), np.inf, stirling))
    sine = np.abs(np.sin(math.pi * (x - np.rint(x))))  # of πx
    out = np.where(x < 0, math.log(math.pi) - np.log(sine * size) - out, out)
    return np.where(np.isinf(x) | (x <= 0) & (x == np.floor(x)), np.inf, out)


@_flat
def digamma(x):
    """ψ(x): recurrence up to 10 (DLMF 5.5.2), then Stirling's series (5.11.2); reflection for negative x (5.5.4)."""
    out = np.zeros_like(x)
    negative = x < 0
    pole = (x <= 0) & (x == np.floor(x))
    # π / tan(πx) has the period 1: its argument is reduced first
    part = x - np.rint(x)
    out = np.where(negative, -math.pi / np.tan(math.pi * part), 0.0)
    y = np.where(negative, 1 - x, x)
    for _ in range(10):
        small = y < 10
        out = np.where(small, out - 1 / y, out)
        y = np.where(small, y + 1, y)
    inverse = 1 / (y * y)
    series = np.zeros_like(y)
    for k in range(len(BERNOULLI), 0, -1):
        series = (series + BERNOULLI[k - 1] / (2 * k)) * inverse
    out = out + np.log(y) - 0.5 / y - series
    return np.where(pole, np.where(x == 0, -np.copysign(np.inf, x), np.nan), out)


def _zeta(s, a):
    """Hurwitz's ζ(s, a) for s > 1 and a > 0 by Euler–Maclaurin summation (DLMF 25.11.5 with its remainder's expansion)."""
    total = np.zeros_like(s)
    # The expansion's terms fall by ((s + 20) / 2πa)² each. Where it takes more terms than these, the rest is nothing.
    steps = np.clip(np.ceil(np.maximum(12, 0.8 * (s + 20)) - a), 0, 64)
    for k in range(int(steps.max()) if steps.size else 0):
        total = np.where(k < steps, total + (a + k) ** -s, total)
    n = a + steps
    tail = n ** (1 - s) / (s - 1) + 0.5 * n ** -s
    term = s * n ** (-s - 1)
    for k, b in enumerate(BERNOULLI, 1):
        tail = tail + b / math.factorial(2 * k) * term
        term = term * (s + 2 * k - 1) * (s + 2 * k) / (n * n)
    return total + tail


@_flat
def zeta(x, q):
    """Hurwitz's ζ(x, q). For negative q, x being an integer, the terms of negative base are two such sums, too."""
    whole_q = q == np.floor(q)
    bad = (x < 1) | ((q <= 0) & (x != np.floor(x)) & ~whole_q)
    pole = (x == 1) | ((q <= 0) & whole_q)
    ok = ~(bad | pole | np.isnan(x) | np.isnan(q))
    s = np.where(ok, x, 2.0)
    a = np.where(ok & np.isfinite(q), q, 1.0)
    below = np.where(a < 0, -np.floor(a), 0)            # how many terms have a negative base
    first = a + below                                   # the first positive base, in (0, 1)
    sign = np.where(np.mod(s, 2) == 0, 1.0, -1.0)
    opposite = np.where(below > 0, 1 - first, 1.0)
    negative = sign * (_zeta(s, opposite) - _zeta(s, opposite + below))
    out = _zeta(s, first) + np.where(below > 0, negative, 0.0)
    out = np.where(np.isposinf(q) | np.isposinf(x) & (q > 1), np.nan, np.where(np.isposinf(x), np.where(q < 1, np.inf, 1), out))
    out = np.where(x < 1, np.nan, np.where(pole, np.inf, np.where(bad, np.nan, out)))
    return np.where(np.isnan(x) | np.isnan(q), np.nan, out)


def polygamma(n: int, x):
    """ψ⁽ⁿ⁾(x) = (−1)ⁿ⁺¹ n! ζ(n+1, x) (DLMF 25.11.12); at infinity what PyTorch has."""
    if n == 0:
        return digamma(x)
    out = (-1.0) ** (n + 1) * math.factorial(n) * zeta(float(n + 1), x)
    out = np.where(np.isposinf(x), np.nan if n > 1 else 0.0, out)
    if n > 1:
        return out
    return np.where(np.isneginf(x), np.nan, np.where(np.isposinf(out) & (x < 0), _reflected_pole(x), out))


def _reflected_pole(x):
    """(π / sin πx)² in the type of x: what PyTorch's reflection makes of the poles of ψ′, large but finite."""
    pi = np.asarray(x).dtype.type(math.pi)
    with np.errstate(all="ignore"):
        return (pi / np.sin(pi * x)) ** 2


def _stirling(a):
    """log Γ(a) − (a − ½) log a + a − ½ log 2π, for a ≥ 8 (DLMF 5.11.1)."""
    inverse = 1 / (a * a)
    series = np.zeros_like(a)
    for k in range(len(BERNOULLI), 0, -1):
        series = series * inverse + BERNOULLI[k - 1] / (2 * k * (2 * k - 1))
    return series / a


def _excess(t):
    """t − log(1 + t), by its series where the difference would cancel."""
    near = np.abs(t) < 0.1
    s = np.where(near, t, 0.0)
    total = np.zeros_like(s)
    for k in range(18, 1, -1):
        total = (total + (-1) ** k / k) * s
    return np.where(near, total * s, t - np.log1p(t))


# Temme's expansion of the incomplete gamma functions for large a (DLMF 8.12.7–8): coefficients of c₀ and c₁ in η.
_TEMME = ((-1 / 3, 1 / 12, -2 / 135, 1 / 864, 1 / 2835, -139 / 777600), (-1 / 540, -1 / 288, 1 / 378, -77 / 77760))
_LARGE = 1e5


def _uniform(a, x):
    """(P, Q) for a > ``_LARGE``."""
    t = (x - a) / a
    half = a * _excess(t)  # a η²/2
    eta = np.copysign(np.sqrt(2 * half / a), t)
    bend = sum(np.polynomial.polynomial.polyval(np.clip(eta, -0.2, 0.2), c) / a ** k for k, c in enumerate(_TEMME))
    rest = np.exp(-half) / np.sqrt(2 * math.pi * a) * bend
    root = np.copysign(np.sqrt(half), t)
    return 0.5 * erfc(-root) - rest, 0.5 * erfc(root) + rest


def _incomplete(a, x):
    """(P, Q), the regularised incomplete gamma functions: the series (DLMF 8.7.1) where x < a + 1, the continued
    fraction (8.9.2) elsewhere, Temme's expansion for large a."""
    huge = a > _LARGE
    if huge.any():
        inside = _incomplete(np.where(huge, 1.0, a), np.where(huge, 1.0, x))
        return tuple(np.where(huge, u, v) for u, v in zip(_uniform(a, x), inside, strict=True))
    series = x < a + 1
    large = np.where(a < 8, 8.0, a)
    t = (x - large) / large
    excess = np.where(t < -0.5, t - np.log(x / large), _excess(np.maximum(t, -0.5)))
    scale = np.where(a < 8, np.exp(a * np.log(x) - x - lgamma(a)),
                     np.sqrt(large / (2 * math.pi)) * np.exp(-large * excess - _stirling(large)))
    term = np.where(series, 1 / a, 0.0)
    total, k = term, 0
    while k < 20000 and np.any(np.abs(term) > np.abs(total) * 1e-17):
        k += 1
        term = np.where(series, term * x / (a + k), 0.0)
        total = total + term
    p = total * scale
    tiny = 1e-300
    b = np.where(series, 1.0, x + 1 - a)
    b = np.where(b == 0, tiny, b)
    c, d = np.full_like(x, 1 / tiny), 1 / b
    h, k = d, 0
    while k < 20000:
        k += 1
        step = -k * (k - a)
        b = b + 2
        d = step * d + b
        d = 1 / np.where(d == 0, tiny, d)
        c = b + step / c
        c = np.where(c == 0, tiny, c)
        change = np.where(series, 1.0, c * d)
        h = h * change
        if not np.any(np.abs(change - 1) > 4e-16):
            break
    q = h * scale
    return np.where(series, p, 1 - q), np.where(series, 1 - p, q)


def _incomplete_edges(a, x, inside, at_zero, at_infinity):
    valid = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    out = inside(np.where(valid, a, 1.0), np.where(valid, x, 1.0))
    out = np.where(valid, out, np.nan)
    out = np.where((x == 0) & (a > 0), at_zero, out)
    out = np.where((a == 0) & (x > 0), at_infinity, out)
    out = np.where(np.isposinf(a) & ~np.isinf(x) & ~(x < 0), at_zero, out)
    return np.where(np.isposinf(x) & ~np.isinf(a) & ~(a < 0), at_infinity, out)


@_flat
def igamma(a, x):
    """The regularised lower incomplete gamma function P(a, x)."""
    return _incomplete_edges(a, x, lambda a, x: _incomplete(a, x)[0], 0.0, 1.0)


@_flat
def igammac(a, x):
    """The regularised upper incomplete gamma function Q(a, x)."""
    return _incomplete_edges(a, x, lambda a, x: _incomplete(a, x)[1], 1.0, 0.0)


# -- the error function's family ------------------------------------------------------------------------------------------


@_flat
def ndtri(p):
    """The quantile of the normal distribution: a rational start (Abramowitz & Stegun 26.2.23), then Halley's method."""
    low = np.where(p < 0.5, p, 1 - p)
    w = np.sqrt(-2 * np.log(np.where(low > 0, low, 0.5)))
    x = -(w - (2.515517 + 0.802853 * w + 0.010328 * w * w) / (1 + 1.432788 * w + 0.189269 * w * w + 0.001308 * w ** 3))
    for _ in range(2):  # on the lower half, where Φ keeps its relative precision
        density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        error = np.where(low < 0.25, 0.5 * erfc(-x / math.sqrt(2)) - low, 0.5 * erf(x / math.sqrt(2)) + (0.5 - low))
        step = error / density
        x = np.where(density > 0, x - step / (1 + 0.5 * x * step), x)
    x = np.where(p < 0.5, x, -x)
    x = np.where(p == 0, -np.inf, np.where(p == 1, np.inf, x))
    return np.where((p >= 0) & (p <= 1), x, np.nan)


@_flat
def erfinv(x):
    """The inverse of erf: the normal quantile, or the slope near 0, and a step of Halley's method."""
    size = np.abs(x)
    tail = 1 - size  # exact for size ≥ ½
    y = -ndtri(np.where(size < 1, tail / 2, 0.25)) / math.sqrt(2)
    y = np.where(size < 0.01, size * math.sqrt(math.pi) / 2 * (1 + math.pi / 12 * size * size), y)
    error = np.where(size < 0.5, erf(y) - size, tail - erfc(y))
    step = error / (2 / math.sqrt(math.pi) * np.exp(-y * y))
    y = np.where(np.isfinite(step), y - step / (1 + y * step), y)
    y = np.copysign(np.where(size == 1, np.inf, y), x)
    return np.where(size <= 1, y, np.nan)


@_flat
def erfcx(x):
    """exp(x²) erfc(x): the product where erfc does not underflow, the asymptotic series (DLMF 7.12.1) beyond."""
    high = x * x
    low = np.where(np.abs(x) < 1e8, square_error(x, high), 0.0)
    direct = np.exp(high) * (1 + low) * erfc(np.where(x < 20, x, 0.0))
    inverse = -0.5 / np.where(x > 1, high, 1.0)
    term = total = np.ones_like(x)
    for k in range(1, 16):
        term = term * inverse * (2 * k - 1)
        total = total + term
    return np.where(np.isnan(x), x, np.where(x < 12, direct, total / (np.where(x > 1, x, 1.0) * math.sqrt(math.pi))))


@_flat
def ndtr(x):
    """Φ(x), with its relative precision in the lower tail."""
    return 0.5 * erfc(-x / math.sqrt(2))


@_flat
def log_ndtr(x):
    """log Φ(x)."""
    t = x / math.sqrt(2)
    low = np.log(erfcx(np.where(x < -1, -t, 1.0)) / 2) - t * t
    return np.where(x < -1, low, np.log1p(-0.5 * erfc(np.where(x < -1, 0.0, t))))


# -- Bessel functions -------------------------------------------------------------------------------------------------------


def _hankel_terms(order: float, x, sign: float):
    """Even and odd sums of Hankel's expansion Σ aₖ(ν)/xᵏ (DLMF 10.17.1), with alternating signs if ``sign`` is −1."""
    mu = 4 * order * order
    term = np.ones_like(x)
    even, odd = np.ones_like(x), np.zeros_like(x)
    for k in range(1, 24):
        following = term * (mu - (2 * k - 1) ** 2) / (k * 8 * x)
        term = np.where(np.abs(following) < np.abs(term), following, 0.0)
        if k % 2:
            odd = odd + term * (sign ** ((k - 1) // 2))
        else:
            even = even + term * (sign ** (k // 2))
    return even, odd


_NODES = 160  # orders n up to 61 are aliased with order 160 − n, which is below rounding for x ≤ 25
_ANGLES = 2 * math.pi * np.arange(_NODES) / _NODES
NEAR = 25.0
_TERMS = 40  # of Chebyshev series in (x/25)², which have converged by then


def _bessel_j_orders(orders, x):
    """Jₙ(x) of integer orders for |x| ≤ 25, by Bessel's integral (DLMF 10.9.2) over one period."""
    phase = np.sin(_ANGLES)[:, None] * x
    c, s = np.cos(phase), np.sin(phase)
    return [(np.cos(n * _ANGLES) @ c + np.sin(n * _ANGLES) @ s) / _NODES for n in orders]


def _neumann_sum(order: int, x):
    """The sum in Neumann's expansion of Y (DLMF 10.8.3; by its derivative for order 1)."""
    js = _bessel_j_orders(range(62), x)
    total = np.zeros_like(x)
    for k in range(1, 30):
        total = total + (-1) ** k / k * (js[2 * k] if order == 0 else (js[2 * k - 1] - js[2 * k + 1]) / 2)
    return total


@lru_cache
def _even_series(function: Callable, order: int) -> np.ndarray:
    """The Chebyshev series in 2(x/25)² − 1 of ``function(order, x)`` / x^order, an even function."""
    def at(t):
        x = NEAR * np.sqrt((t + 1) / 2)
        return function(order, x) / x ** order
    return np.polynomial.chebyshev.chebinterpolate(at, _TERMS)


def _near(function: Callable, order: int, x):
    """``function(order, x)`` for |x| ≤ 25."""
    series = _even_series(function, order)
    return x ** order * np.polynomial.chebyshev.chebval(2 * (x / NEAR) ** 2 - 1, series)


def _bessel_j(order: int, x):
    return _bessel_j_orders([order], x)[0]


def _hankel(order: int, x, kind: str):
    """J or Y for x > 25 (DLMF 10.17.3–4)."""
    p, q = _hankel_terms(float(order), x, -1.0)
    turn = x - (order / 2 + 0.25) * math.pi
    # cos and sin of x − (2ν+1)π/4 from those of x, which numpy reduces exactly
    shift = (order / 2 + 0.25) * math.pi
    c, s = (np.cos(x) * math.cos(shift) + np.sin(x) * math.sin(shift)), (np.sin(x) * math.cos(shift) - np.cos(x) * math.sin(shift))
    del turn
    return math.sqrt(2 / math.pi) / np.sqrt(x) * (p * c - q * s if kind == "j" else p * s + q * c)


def _first_kind(order: int):
    def j(x):
        size = np.abs(x)
        near = size <= NEAR
        out = _near(_bessel_j, order, np.where(near, size, 0.0))
        out = np.where(near, out, _hankel(order, np.where(near, 30.0, size), "j"))
        out = np.where(np.isfinite(x), out, np.nan)  # at infinity too, as PyTorch has it
        return np.where(x == 0, x, np.where(x < 0, -out, out)) if order else out
    return _chunked(j)


bessel_j0, bessel_j1 = _first_kind(0), _first_kind(1)


def _second_kind(order: int):
    """Neumann's expansion (DLMF 10.8.3, by its derivative for order 1) for x ≤ 25, Hankel's beyond."""
    def y(x):
        near = x <= NEAR
        a = np.where(near & (x > 0), x, 1.0)
        log = (np.log(a) - math.log(2)) + EULER
        total = _near(_neumann_sum, order, a)
        if order == 0:
            out = 2 / math.pi * log * _near(_bessel_j, 0, a) - 4 / math.pi * total
        else:
            out = 4 / math.pi * total - 2 / math.pi * (_near(_bessel_j, 0, a) / a - log * _near(_bessel_j, 1, a))
        out = np.where(near, out, _hankel(order, np.where(near, 30.0, x), "y"))
        out = np.where(x == 0, -np.inf, out)
        return np.where((x < 0) | np.isnan(x), np.nan, out)
    return _chunked(y)


bessel_y0, bessel_y1 = _second_kind(0), _second_kind(1)


def _modified_first(order: int):
    """exp(−|x|) Iₙ(x): the power series (DLMF 10.25.2), all of one sign, up to 30, Hankel's expansion (10.40.1) beyond."""
    def i(x):
        size = np.abs(x)
        near = size <= 30
        a = np.where(near, size, 0.0)
        quarter = a * a / 4
        term = np.ones_like(a) if order == 0 else a / 2
        total = term
        for k in range(1, 90):
            term = term * quarter / (k * (k + order))
            total = total + term
        far = np.where(near, 40.0, size)
        even, odd = _hankel_terms(float(order), far, 1.0)
        out = np.where(near, total * np.exp(-a), (even - odd) / (math.sqrt(2 * math.pi) * np.sqrt(far)))
        out = np.where(np.isinf(x), 0.0, np.where(np.isnan(x), np.nan, out))
        return np.where(x < 0, -out, out) if order else out
    return _flat(i)


i0e, i1e = _modified_first(0), _modified_first(1)


def _unscaled(scaled):
    @_flat
    def function(x):
        size = np.abs(x)
        half = np.exp(size / 2)  # in two steps: exp(x) overflows before the product does
        return scaled(x) * half * half  # NaN at infinity, as PyTorch has it
    return function


i0, i1 = _unscaled(i0e), _unscaled(i1e)

_STEP = 1 / 16
_LINE = _STEP * np.arange(1, 96)


def _modified_second(order: int):
    """exp(x) Kₙ(x): the ascending series (DLMF 10.31.1–2) up to 2, ∫ exp(−x (cosh t − 1)) cosh nt dt (10.32.9) up to 30,
    Hankel's expansion beyond."""
    cosh = np.cosh(_LINE)[:, None]

    def k(x):
        small, far = x <= 2, x > 30
        a = np.where(small & (x > 0), x, 1.0)
        log = (np.log(a) - math.log(2))
        quarter = a * a / 4
        term, total, harmonic = np.ones_like(a), np.zeros_like(a), -EULER
        for j in range(20):
            if order == 0:
                total = total + term * (harmonic - log)
            else:
                total = total + term * (log - 0.5 * (harmonic + harmonic + 1 / (j + 1)))
            term = term * quarter / ((j + 1) * (j + 1 + order))
            harmonic += 1 / (j + 1)
        ascending = (total if order == 0 else 1 / a + a / 2 * total) * np.exp(a)
        middle = np.where(small | far, 2.0, x)
        integrand = np.exp(-middle * (cosh - 1)) * (1 if order == 0 else cosh)
        integral = _STEP * (0.5 + integrand.sum(0))
        beyond = np.where(far, x, 40.0)
        even, odd = _hankel_terms(float(order), beyond, 1.0)
        out = np.where(small, ascending, np.where(far, (even + odd) * math.sqrt(math.pi / 2) / np.sqrt(beyond), integral))
        out = np.where(np.isposinf(x), 0.0, np.where(x == 0, np.inf, out))
        return np.where((x < 0) | np.isnan(x), np.nan, out)
    return _chunked(k)


k0e, k1e = _modified_second(0), _modified_second(1)


@_flat
def k0(x):
    return k0e(x) * np.exp(-x)


@_flat
def k1(x):
    return k1e(x) * np.exp(-x)


@_flat
def spherical_j0(x):
    """sin(x)/x."""
    safe = np.where(x == 0, 1.0, x)
    return np.where(x == 0, 1.0, np.where(np.isinf(x), 0.0, np.sin(safe) / safe))


@_chunked
def airy_ai(x):
    """Ai(x): its Fourier integral (DLMF 9.5.4) on a line through the saddle, the asymptotic series (9.7.5, 9.7.9) where
    |x| > 12."""
    near = np.abs(x) <= 12
    a = np.where(near, x, 0.0)
    height = np.where(a > 1, np.sqrt(np.maximum(a, 1)), 1 / np.maximum(1, np.sqrt(np.maximum(-a, 1))))
    step = 1 / 24
    s = step * np.arange(-360, 361)[:, None]
    t = s + 1j * height
    top = a * height - height ** 3 / 3  # the size of the integrand at the saddle, taken out of the sum
    out = step / (2 * math.pi) * np.exp(1j * (t ** 3 / 3 + a * t) + top).sum(0).real * np.exp(-top)
    far = np.where(near, 20.0, np.abs(x))
    z = 2 / 3 * far ** 1.5
    term, even, odd, plain = np.ones_like(z), np.ones_like(z), np.zeros_like(z), np.ones_like(z)
    for k in range(1, 20):
        term = term * (6 * k - 5) * (6 * k - 3) * (6 * k - 1) / (216 * k * (2 * k - 1)) / z
        plain = plain + (-1) ** k * term
        if k % 2:
            odd = odd + (-1) ** ((k - 1) // 2) * term
        else:
            even = even + (-1) ** (k // 2) * term
    right = np.exp(-z) / (2 * math.sqrt(math.pi) * far ** 0.25) * plain
    turn = z - math.pi / 4
    left = (np.cos(turn) * even + np.sin(turn) * odd) / (math.sqrt(math.pi) * far ** 0.25)
    out = np.where(near, out, np.where(x > 0, right, left))
    return np.where(np.isfinite(x), out, np.nan)  # at infinity too, as PyTorch has it


# -- orthogonal polynomials ------------------------------------------------------------------------------------------------


def _polynomial(first, step, closed=None, limit: float = math.inf):
    """pₙ(x) by its three-term recurrence: p₀ = 1, p₁ = ``first(x)``, pₖ₊₁ = ``step(k, x, pₖ, pₖ₋₁)``, each computed in float64 and
    rounded to the type of x, which decides where it overflows. ``closed(x, n)`` gives (where, values) of a closed form."""
    def p(x, n):
        x, n = np.broadcast_arrays(x, n)
        with np.errstate(all="ignore"):
            return flat(x.reshape(-1).astype(np.result_type(x, np.float32), copy=False), n.reshape(-1)).reshape(x.shape)

    def flat(x, n):
        order = np.where(np.abs(n) < 2.0 ** 63, np.trunc(n), -1)  # as a conversion to int64 leaves it
        d, x = x.dtype, x.astype(np.float64, copy=False)
        ones = np.ones_like(x)
        known = np.zeros(x.shape, bool)
        values = ones
        if closed is not None:
            known, values = closed(x, order)
        before, now = ones, first(x).astype(d)
        out = np.where(order == 0, ones, np.where(order == 1, now, 0.0))
        todo = np.where(known | (order > limit), 0, order)
        for k in range(1, int(todo.max()) if todo.size else 0):
            before, now = now, step(k, x, now, before).astype(d)
            out = np.where(todo == k + 1, now, out)
            left = todo > k + 1
            if not np.isfinite(now[left]).any():  # nothing finite comes any more
                out = np.where(left, np.nan, out)
                break
        out = np.where(known & (order > 1), values, out)
        return np.where(order > limit, np.nan, np.where(order < 0, 0.0, out)).astype(d)
    return p


def _chebyshev(first, value, right, left, most: int = 8):
    """``value(θ, n)`` is the trigonometric form on (−1, 1), used for orders above ``most``, where the recurrence costs more;
    ``right(n)`` and ``left(n)`` are the values at 1 and −1."""
    def closed(x, n):
        inside = (n > most) & (np.abs(x) < 1)
        sign = np.where(np.mod(n, 2) == 0, 1.0, -1.0)
        values = np.where(x == 1, right(n), np.where(x == -1, sign * left(n), value(np.arccos(np.where(inside, x, 0.0)), n)))
        return inside | (np.abs(x) == 1), values
    return _polynomial(first, lambda k, x, p, q: 2 * x * p - q, closed)


def _one(n):
    return np.ones_like(n)


def _shifted(function):
    return lambda x, n: function(2 * np.asarray(x) - 1, n)


chebyshev_t = _chebyshev(lambda x: x, lambda t, n: np.cos(n * t), _one, _one, 6)
chebyshev_u = _chebyshev(lambda x: 2 * x, lambda t, n: np.sin((n + 1) * t) / np.sin(t), lambda n: n + 1, lambda n: n + 1)
chebyshev_v = _chebyshev(lambda x: 2 * x - 1, lambda t, n: np.cos((n + 0.5) * t) / np.cos(t / 2), _one, lambda n: 2 * n + 1)
chebyshev_w = _chebyshev(lambda x: 2 * x + 1, lambda t, n: np.sin((n + 0.5) * t) / np.sin(t / 2), lambda n: 2 * n + 1, _one)
shifted_chebyshev_t, shifted_chebyshev_u = _shifted(chebyshev_t), _shifted(chebyshev_u)
shifted_chebyshev_v, shifted_chebyshev_w = _shifted(chebyshev_v), _shifted(chebyshev_w)
hermite_h = _polynomial(lambda x: 2 * x, lambda k, x, p, q: 2 * x * p - 2 * k * q, limit=512)
hermite_he = _polynomial(lambda x: x, lambda k, x, p, q: x * p - k * q, limit=512)
laguerre_l = _polynomial(lambda x: 1 - x, lambda k, x, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1))
legendre_p = _polynomial(lambda x: x, lambda k, x, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1))
