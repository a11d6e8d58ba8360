"""Elementary functions of vectors: range reduction and polynomials, with no branches and no tables.

Each function is written once, for float32 and float64, in terms of the builder's instructions (`llvm.Builder`; the
tests run the same code on numpy arrays). Half precisions compute in float32. Measured errors, in float32 and float64
and over the whole range, stay below 2 ulp (most below 1.5; acosh 2.1, sigmoid 2.5, erfc 2.7): see
tests/runtime/test_vector_math.py. Signed zeros, infinities, NaNs, subnormal arguments and subnormal results are as in
C's Annex F.

Polynomials are our own minimax fits (tools/minimax.py, which says what is fitted, where and how well). Methods:

- Reduction by multiples of log 2 and pi/2 in parts: Cody and Waite, Software Manual for the Elementary Functions, 1980;
  with an fma the first step is exact. Arguments of sin beyond its reach: Payne and Hanek, SIGNUM Newsletter 18, 1983,
  here as exact products with pieces of 2/pi.
- log by s = f/(2+f) and the correction of log1p: Tang, ACM TOMS 16(4), 1990; fdlibm's e_log.c describes the same.
- erfc as (1+2a)·erfcx(a) in t = (a-4)/(a+4): Shepherd and Laframboise, Mathematics of Computation 36, 1981.
- Products and sums with their rounding errors (pow, hypot's fma): Dekker, Numerische Mathematik 18, 1971.
"""

from __future__ import annotations

import functools
import math
import struct
from types import SimpleNamespace

from ...dtypes import bfloat16, float16, float32, float64, int32, int64
from . import coefficients as fits

_HALVES = (float16, bfloat16)


def _float_bits(value: float, d) -> int:
    return struct.unpack("<i" if d is float32 else "<q", struct.pack("<f" if d is float32 else "<d", value))[0]


def _constants(d) -> SimpleNamespace:
    """A floating type's format and the constants in its precision (tuples: parts that sum to the constant)."""
    single = d is float32
    found = {name: table[d.name] for name, table in vars(fits).items() if name.isupper() and d.name in table}
    mantissa = 23 if single else 52
    return SimpleNamespace(
        **found, integer=int32 if single else int64, mantissa=mantissa, bias=127 if single else 1023,
        width=32 if single else 64, magic=1.5 * 2.0**mantissa,  # adding it rounds to an integer, in the low bits
        magic_bits=_float_bits(1.5 * 2.0**mantissa, d), normal=2.0**-126 if single else 2.0**-1022,
        root_half=_float_bits(math.sqrt(0.5), d),
        exp_low=-104.0 if single else -746.0, exp_high=89.0 if single else 710.0,
        exp2_low=-151.0 if single else -1076.0, exp2_high=129.0 if single else 1025.0)


_OF = {float32: _constants(float32), float64: _constants(float64)}


class _X:
    """A value with its builder, so that formulas read as such. Python numbers become constants of the value's type."""

    __slots__ = ("b", "v")

    def __init__(self, b, v):
        self.b, self.v = b, v

    def _of(self, other):
        return other.v if type(other) is _X else self.b.const(other, self.v.dtype)

    def __add__(self, y):
        return _X(self.b, self.b.add(self.v, self._of(y)))

    def __radd__(self, y):
        return _X(self.b, self.b.add(self._of(y), self.v))

    def __sub__(self, y):
        return _X(self.b, self.b.sub(self.v, self._of(y)))

    def __rsub__(self, y):
        return _X(self.b, self.b.sub(self._of(y), self.v))

    def __mul__(self, y):
        return _X(self.b, self.b.mul(self.v, self._of(y)))

    __rmul__ = __mul__

    def __truediv__(self, y):
        return _X(self.b, self.b.div(self.v, self._of(y)))

    def __rtruediv__(self, y):
        return _X(self.b, self.b.div(self._of(y), self.v))

    def __neg__(self):
        return _X(self.b, self.b.neg(self.v))

    def __abs__(self):
        return _X(self.b, self.b.abs(self.v))

    def __lt__(self, y):
        return _X(self.b, self.b.lt(self.v, self._of(y)))

    def __gt__(self, y):
        return _X(self.b, self.b.gt(self.v, self._of(y)))

    def __ge__(self, y):
        return _X(self.b, self.b.ge(self.v, self._of(y)))

    def __and__(self, y):
        return _X(self.b, self.b.and_(self.v, self._of(y)))

    def __or__(self, y):
        return _X(self.b, self.b.or_(self.v, self._of(y)))

    def __xor__(self, y):
        return _X(self.b, self.b.xor(self.v, self._of(y)))

    def __lshift__(self, y):
        return _X(self.b, self.b.shl(self.v, self._of(y)))

    def __rshift__(self, y):
        return _X(self.b, self.b.sar(self.v, self._of(y)))

    def like(self, number):
        """A constant of this value's type."""
        return _X(self.b, self.b.const(number, self.v.dtype))

    def equals(self, y):
        return _X(self.b, self.b.eq(self.v, self._of(y)))

    def differs(self, y):
        return _X(self.b, self.b.ne(self.v, self._of(y)))

    def bits(self):
        return _X(self.b, self.b.bits(self.v))

    def as_float(self, like):
        return _X(self.b, self.b.from_bits(self.v, like.v.dtype))

    def cast(self, d):
        return _X(self.b, self.b.cast(self.v, d))

    @property
    def k(self):
        return _OF[self.v.dtype]


def _fma(x, y, z):
    like = next(a for a in (x, y, z) if type(a) is _X)
    return _X(like.b, like.b.fma(like._of(x), like._of(y), like._of(z)))


def _where(condition, x, y):
    like = x if type(x) is _X else y
    return _X(condition.b, condition.b.where(condition.v, like._of(x), like._of(y)))


def _sqrt(x):
    return _X(x.b, x.b.sqrt(x.v))


def _trunc(x):
    return _X(x.b, x.b.trunc(x.v))


def _round(x):
    return _X(x.b, x.b.round(x.v))


def _copysign(x, sign):
    return _X(x.b, x.b.copysign(x.v, sign.v))


def _horner(x, coefficients):
    y = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        y = _fma(y, x, c)
    return y


def _function(rule):
    """A public function of values ``(b, x, ...)`` from a rule of `_X`; half precisions go through float32."""
    @functools.wraps(rule)
    def function(b, *values):
        d = values[0].dtype
        if d in _HALVES:
            return b.cast(function(b, *(b.cast(v, float32) for v in values)), d)
        if d not in _OF:
            raise TypeError(f"{rule.__name__} is a function of floating-point values, got {d}")
        return rule(*(_X(b, v) for v in values)).v
    del function.__wrapped__
    return function


def _clamp(x, low, high):
    """NaN stays NaN."""
    x = _where(x < low, low, x)
    return _where(x > high, high, x)


# Exponentials --------------------------------------------------------------------------------------------------------

def _to_integer(x, scale):
    """The integer nearest to x·scale: as a float, and as an integer."""
    shifted = _fma(x, scale, x.k.magic)
    return shifted - x.k.magic, shifted.bits() - x.k.magic_bits


def _to_float(i, like):
    """A small integer as a float."""
    return (i + like.k.magic_bits).as_float(like) - like.k.magic


def _power_of_two(i, like):
    return ((i + like.k.bias) << like.k.mantissa).as_float(like)


def _scale(x, i):
    """x · 2**i for any i that an exponential needs: in two factors, as one of them might not exist."""
    half = i >> 1
    return x * _power_of_two(half, x) * _power_of_two(i - half, x)


def _reduce_exp(x):
    """n and exp(r) - 1 with x = n·log(2) + r, |r| ≤ log(2)/2."""
    k = x.k
    n, i = _to_integer(x, k.LOG2_E[0])
    r = _fma(n, -k.LN2[1], _fma(n, -k.LN2[0], x))
    return i, _fma(r * r, _horner(r, k.EXP), r)


def _reduce_exp_exactly(x):
    """n, r, and what r lacks to exp(r) - 1; with it goes the rounding error of r."""
    k = x.k
    n, i = _to_integer(x, k.LOG2_E[0])
    first = _fma(n, -k.LN2[0], x)  # exact
    r = _fma(n, -k.LN2[1], first)
    return i, r, _fma(r * r, _horner(r, k.EXP), _fma(n, -k.LN2[1], first - r))


def _exp(x):
    # What vanishes (a mask of -inf, say) is set to 0: a product that underflows costs processors a hundred cycles.
    gone = x < x.k.exp_low
    i, p = _reduce_exp(_clamp(_where(gone, 0, x), x.k.exp_low, x.k.exp_high))
    return _where(gone, 0, _scale(p + 1, i))


def _exp_of_negative(x):
    """exp(x) for x ≤ 0 that is not so small that the result would be subnormal."""
    i, p = _reduce_exp(x)
    return (p + 1) * _power_of_two(i, x)


@_function
def exp(x):
    """e**x."""
    return _exp(x)


@_function
def exp2(x):
    """2**x."""
    k = x.k
    x = _clamp(x, k.exp2_low, k.exp2_high)
    n, i = _to_integer(x, 1.0)
    r = x - n
    return _scale(_fma(r, k.LN2[0], _fma(r * r, _horner(r, k.EXP2), r * k.LN2[1])) + 1, i)


def _expm1(x):
    """2·(2**(n-1)·(exp(r) - 1) + (2**(n-1) - 1/2)): n - 1, as 2**n may not exist."""
    i, r, rest = _reduce_exp_exactly(_clamp(x, -40.0, x.k.exp_high))
    t = _power_of_two(i - 1, x)
    return _copysign(_fma(t, rest, _fma(t, r, t - 0.5)) * 2, x)


@_function
def expm1(x):
    """e**x - 1, accurate near 0."""
    return _expm1(x)


@_function
def sigmoid(x):
    """1 / (1 + e**-x), from e**-|x| so that nothing overflows."""
    e = _exp(-abs(x))
    return _where(x < 0, e, 1) / (e + 1)


def _odd(x, tail):
    """x + x³·tail(x²)."""
    z = x * x
    return _fma(x * z, _horner(z, tail), x)


@_function
def tanh(x):
    """1 - 2e/(1 + e) with e = e**(-2|x|); a polynomial up to 0.55."""
    a = abs(x)
    e = _exp_of_negative(_where(a > 22.0, 22.0, a) * -2)
    return _copysign(_where(a < 0.55, _odd(a, x.k.TANH), 1 - e * 2 / (e + 1)), x)


def _half_exp(a):
    """e**a / 2, without overflow before its time."""
    i, p = _reduce_exp(_where(a > a.k.exp_high + 2, a.k.exp_high + 2, a))
    return _scale(p + 1, i - 1)


@_function
def sinh(x):
    """(e**x - e**-x) / 2; a polynomial up to 1."""
    a = abs(x)
    h = _half_exp(a)
    return _copysign(_where(a < 1, _odd(a, x.k.SINH), h - 0.25 / h), x)


@_function
def cosh(x):
    """(e**x + e**-x) / 2."""
    h = _half_exp(abs(x))
    return h + 0.25 / h


# Logarithms ----------------------------------------------------------------------------------------------------------

def _split(x):
    """An integer e, and f, with x = 2**e · (1 + f), 1 + f in [sqrt(1/2), sqrt(2)); x positive, perhaps subnormal."""
    k = x.k
    tiny = x < k.normal
    i = _where(tiny, x * 2.0 ** (k.mantissa + 1), x).bits() - k.root_half
    m = ((i & ((1 << k.mantissa) - 1)) + k.root_half).as_float(x)
    e = i >> k.mantissa
    return e - _where(tiny, e.like(k.mantissa + 1), 0), m - 1


def _log1p_tail(f):
    """log(1 + f) - f for 1 + f in [sqrt(1/2), sqrt(2))."""
    k = f.k
    if f.v.dtype is float32:
        return f * f * _fma(f, _horner(f, k.LOG), -0.5)
    s = f / (f + 2)
    z, half = s * s, f * f * 0.5
    return _fma(s, _fma(z, _horner(z, k.ATANH), half), -half)


def _positive(x, result):
    """A logarithm's values at 0, below it, at infinity and NaN."""
    result = _where(x < math.inf, result, x)
    return _where(x > 0, result, _where(x.equals(0), -math.inf, result.like(math.nan)))


@_function
def log(x):
    """The natural logarithm."""
    k = x.k
    e, f = _split(x)
    e = _to_float(e, x)
    return _positive(x, _fma(e, k.LN2[0], f + _fma(e, k.LN2[1], _log1p_tail(f))))


def _log_to_base(x, factor):
    """e, and log(1 + f)·factor; factor in two parts."""
    e, f = _split(x)
    g = _log1p_tail(f)
    return _to_float(e, x), _fma(f, factor[0], _fma(f, factor[1], g * factor[0]))


@_function
def log2(x):
    """The logarithm to base 2; exact for powers of 2."""
    e, m = _log_to_base(x, x.k.LOG2_E)
    return _positive(x, e + m)


@_function
def log10(x):
    """The logarithm to base 10."""
    k = x.k
    e, m = _log_to_base(x, k.LOG10_E)
    return _positive(x, _fma(e, k.LOG10_2[0], _fma(e, k.LOG10_2[1], m)))


def _log_sum(u, c, doublings=None):
    """log(u + c), c a correction far below u; plus ``doublings``·log(2)."""
    k = u.k
    e, f = _split(u)
    e = _to_float(e, u)
    if doublings is not None:
        e = e + doublings
    return _fma(e, k.LN2[0], f + (_log1p_tail(f) + _fma(e, k.LN2[1], c / u)))


def _log1p(x):
    u = x + 1
    rest = u - 1
    c = (1 - (u - rest)) + (x - rest)  # u + c is exactly 1 + x
    return _copysign(_where(x.equals(math.inf), x, _positive(u, _log_sum(u, c))), x)


@_function
def log1p(x):
    """log(1 + x), accurate near 0."""
    return _where(x < -1, math.nan, _log1p(x))


def _log1p_or_log2x(x, a, y):
    """log(1 + y), or log(2a) where a is so large that the two are the same (and y may have overflowed)."""
    large = a > 2.0 ** (x.k.mantissa // 2 + 2)
    u = y + 1
    rest = u - 1
    c = (1 - (u - rest)) + (y - rest)
    result = _log_sum(_where(large, a, u), _where(large, 0, c), _where(large, a.like(1), 0))
    return _where(a < math.inf, result, a)


@_function
def asinh(x):
    """log(|x| + sqrt(x² + 1)) with the sign of x, as log1p(|x| + x²/(1 + sqrt(x² + 1)))."""
    a = abs(x)
    return _copysign(_log1p_or_log2x(x, a, a + a * a / (_sqrt(_fma(a, a, 1)) + 1)), x)


@_function
def acosh(x):
    """log(x + sqrt(x² - 1)), as log1p(t + sqrt(2t + t²)) with t = x - 1; NaN below 1."""
    t = x - 1
    return _where(x < 1, math.nan, _log1p_or_log2x(x, x, t + _sqrt(_fma(t, t, t * 2))))


@_function
def atanh(x):
    """log((1 + x) / (1 - x)) / 2, as log1p(2|x| / (1 - |x|)) / 2; NaN beyond 1."""
    a = abs(x)
    return _where(a > 1, math.nan, _copysign(_log1p(a * 2 / (1 - a)) * 0.5, x))


# Circular functions --------------------------------------------------------------------------------------------------

def _two_sum(x, y):
    """x + y rounded, and the error of that."""
    s = x + y
    t = s - x
    return s, (x - (s - t)) + (y - t)


def _reduce_huge(x):
    """As `_reduce_circle` for arguments of any size: x·2/pi modulo 4 by exact products with the pieces of 2/pi, each
    reduced before it is added."""
    if x.v.dtype is float32:
        x64, pieces, scale = x.cast(float64), fits.TWO_OVER_PI["float32"], 1.0  # 24 bits times 29 are exact
    else:
        x64, pieces, scale = x, fits.TWO_OVER_PI["float64"], 2.0**-200
    x64 = x64 * scale
    total = error = x64.like(0)
    for piece in pieces:
        product = x64 * piece
        terms = [product] if scale == 1.0 else [product, _fma(x64, piece, -product)]
        for term in terms:
            total, e = _two_sum(total, _fma(_round(term * 0.25), -4.0, term))
            error = error + e
    n = _round(total)
    pi_2 = x64.k.PI_2
    high = total - n
    fraction = high + error
    r = fraction * pi_2[0]
    rest = _fma(fraction, pi_2[0], -r) + _fma(fraction, pi_2[1], ((high - fraction) + error) * pi_2[0])
    quadrant = (n + x64.k.magic).bits()
    if x.v.dtype is float32:
        short = r.cast(float32)
        return short, (r - short.cast(float64)).cast(float32), quadrant.cast(int32)
    return r, rest, quadrant


def _reduce_circle(x):
    """r with x = n·pi/2 + r, |r| ≤ pi/4; its rounding error; and an integer with n's last two bits."""
    k = x.k
    shifted = _fma(x, 1 / (math.pi / 2), k.magic)
    n = shifted - k.magic
    first = _fma(n, -k.PI_2[0], x)  # exact
    r = _fma(n, -k.PI_2[1], first)
    rest = _fma(n, -k.PI_2[2], _fma(n, -k.PI_2[1], first - r))
    huge = abs(x) > (2.0**16 if x.v.dtype is float32 else 2.0**30)
    found = x.b.rarely(huge.v, lambda: tuple(y.v for y in _reduce_huge(x)), (r.v, rest.v, shifted.bits().v))
    return tuple(_X(x.b, y) for y in found)


def _sine_cosine(r, rest):
    """Of r + rest, ``rest`` being below the last place of r: r + what is returned first, 1 + what is second."""
    z = r * r
    return (_fma(r * z, _horner(z, r.k.SIN), rest),
            _fma(z, _fma(z, _horner(z, r.k.COS), -0.5), -(r * rest)))


def _flip(x, quadrant, bit):
    """x with its sign changed where that bit of the quadrant is set."""
    return (x.bits() ^ ((quadrant & bit) << (x.k.width - bit.bit_length()))).as_float(x)


@_function
def sin(x):
    """The sine."""
    r, rest, quadrant = _reduce_circle(x)
    s, c = _sine_cosine(r, rest)
    s, c = r + s, 1 + c
    return _where(x.equals(0), x, _flip(_where((quadrant & 1).differs(0), c, s), quadrant, 2))


@_function
def cos(x):
    """The cosine."""
    r, rest, quadrant = _reduce_circle(x)
    s, c = _sine_cosine(r, rest)
    s, c = r + s, 1 + c
    return _flip(_where((quadrant & 1).differs(0), s, c), quadrant + 1, 2)


@_function
def tan(x):
    """The tangent, as sine over cosine of the reduced argument, or minus its inverse. Both carry their rounding errors,
    or the quotient would be off by 3 ulp."""
    r, rest, quadrant = _reduce_circle(x)
    s, c = _sine_cosine(r, rest)
    sine, cosine = r + s, 1 + c
    s, c = s - (sine - r), c - (cosine - 1)
    odd = (quadrant & 1).differs(0)
    above, above_rest = _where(odd, cosine, sine), _where(odd, c, s)
    below, below_rest = _where(odd, sine, cosine), _where(odd, s, c)
    inverse = 1 / below
    q = above * inverse
    q = _fma(_fma(-q, below, above) + _fma(-q, below_rest, above_rest), inverse, q)
    return _where(x.equals(0), x, _flip(q, quadrant, 1))


def _asin_parts(x):
    """Whether |x| > 1/2; t = sqrt((1 - |x|)/2) if so, |x| if not; t², and asin(t) - t."""
    a = abs(x)
    large = a > 0.5
    z = _where(large, _fma(a, -0.5, 0.5), a * a)
    t = _where(large, _sqrt(z), a)
    return large, t, z, t * z * _horner(z, x.k.ASIN)


@_function
def asin(x):
    """The inverse sine, beyond 1/2 as pi/2 - 2·asin(t); NaN beyond 1."""
    pi_2 = x.k.PI_2
    large, t, z, tail = _asin_parts(x)
    lost = _fma(-t, t, z) / _where(z.equals(0), 1, t)  # twice what the square root lost by rounding
    far = (pi_2[0] - t * 2) - (_fma(tail, 2, lost) - pi_2[1])
    return _copysign(_where(large, far, t + tail), x)


@_function
def acos(x):
    """The inverse cosine; NaN beyond 1."""
    pi_2 = x.k.PI_2
    large, t, _, tail = _asin_parts(x)
    p = t + tail
    near_one = _where(x < 0, (pi_2[0] - (p - pi_2[1])) * 2, p * 2)
    return _where(large, near_one, pi_2[0] - (_copysign(p, x) - pi_2[1]))


def _atan_quotient(numerator, denominator, low, high):
    """low + atan(numerator/denominator) + high, |quotient| ≤ 1/2."""
    t = numerator / denominator
    z = t * t
    return high + (_fma(t * z, _horner(z, t.k.ATAN), t) + low)


@_function
def atan(x):
    """The inverse tangent: beyond 1/2 by that of (a-1)/(a+1), where a-1 is exact; beyond 2 by that of -1/a."""
    k, a = x.k, abs(x)
    middle, large = a > 0.5, a > 2
    low = _where(large, k.PI_2[1], _where(middle, a.like(k.PI_2[1] / 2), 0))
    high = _where(large, k.PI_2[0], _where(middle, a.like(k.PI_2[0] / 2), 0))
    result = _atan_quotient(_where(large, -1, _where(middle, a - 1, a)),
                            _where(large, a, _where(middle, a + 1, 1)), low, high)
    return _copysign(_where(a.equals(math.inf), k.PI_2[0], result), x)


@_function
def atan2(y, x):
    """The angle of the point (x, y), in (-pi, pi]."""
    k = x.k
    p, q = abs(y), abs(x)
    steep = p > q
    a, c = _where(steep, q, p), _where(steep, p, q)
    both = (a.equals(math.inf) & c.equals(math.inf)) | c.equals(0)  # inf/inf counts as 1, 0/0 as 0
    a, c = _where(a.equals(math.inf), 1, a), _where(both, 1, c)
    scale = _where(c > 2.0 ** (k.bias - 3), c.like(0.0625), 1)  # a + c must not overflow
    scale = _where(c < k.normal * 2.0**k.mantissa, 2.0**k.mantissa, scale)  # nor a lose bits below the normal range
    a, c = a * scale, c * scale
    middle = a > c * 0.5
    low = _where(middle, a.like(k.PI_2[1] / 2), 0)
    high = _where(middle, a.like(k.PI_2[0] / 2), 0)
    angle = _atan_quotient(_where(middle, a - c, a), _where(middle, a + c, c), low, high)
    angle = _where(steep, k.PI_2[0] - (angle - k.PI_2[1]), angle)
    left = x.bits() < 0
    angle = _where(left, 2 * k.PI_2[0] - (angle - 2 * k.PI_2[1]), angle)
    return _where(x.differs(x) | y.differs(y), x + y, _copysign(angle, y))


# Error function ------------------------------------------------------------------------------------------------------

def _erf_near_zero(x):
    z = x * x
    return _fma(x, _horner(z, x.k.ERF), x)


@_function
def erf(x):
    """The error function: x·P(x²) up to 1, then 1 - exp(-g(|x|)) with a polynomial for g = -log(erfc)."""
    a = abs(x)
    end = 4.0 if x.v.dtype is float32 else 6.0  # from here on it is 1
    b = _where(a > end, end, a)
    tail = 1 - _exp_of_negative(-_horner(b, x.k.ERF_LOG))
    return _copysign(_where(a < 1, _erf_near_zero(a), tail), x)


@_function
def erfc(x):
    """1 - erf(x), accurate where that is small: exp(-a²)·erfcx(a)."""
    k = x.k
    a, end = abs(x), 10.25 if x.v.dtype is float32 else 27.25  # from here on it is 0
    a = _where(a > end, end, a)
    square = a * a
    low = _fma(a, a, -square)
    i, p = _reduce_exp(-square)
    t = (a - 4) / (a + 4)
    q = (_horner(t, k.ERFCX) + 1.1875) / _fma(a, 2, 1)
    y = _fma(p, q, q)
    tail = _scale(_fma(y, -low, y), i)
    return _where(abs(x) < 0.5, 1 - _erf_near_zero(x), _where(x < 0, 2 - tail, tail))


# Powers --------------------------------------------------------------------------------------------------------------

def _power32(x, y):
    """2**(y·log2(x)) for positive x, in float64, which rounds once at the end."""
    k = _OF[float64]
    x, y = x.cast(float64), y.cast(float64)
    e, f = _split_normal(x)
    s = f / (f + 2)
    z = s * s
    log = _fma(s * _fma(z, _horner(z, fits.LOG_POW32["float64"]), 2.0), k.LOG2_E[0], _to_float(e, x))
    log = _where(x < math.inf, _where(x.equals(0), -math.inf, log), x)
    w = _clamp(y * log, -200.0, 200.0)
    n, i = _to_integer(w, 1.0)
    r = w - n
    power = _fma(r, k.LN2[0], r * r * _horner(r, fits.EXP_POW32["float64"])) + 1
    return (power * _power_of_two(i, x)).cast(float32)


def _split_normal(x):
    k = x.k
    i = x.bits() - k.root_half
    return i >> k.mantissa, ((i & ((1 << k.mantissa) - 1)) + k.root_half).as_float(x) - 1


def _power64(x, y):
    """exp(y·log(x)) for positive x; the logarithm and its product with y as sums of two floats."""
    k = x.k
    e, f = _split(x)
    # s = f/(2 + f) = sh + sl
    d = f + 2
    rest = f - (d - 2)
    inverse = 1 / d
    sh = f * inverse
    sl = (_fma(-sh, d, f) - sh * rest) * inverse
    # log(1 + f) = 2s + s³·(2/3 + z·tail(z)), z = s²
    zh = sh * sh
    zl = _fma(sh * 2, sl, _fma(sh, sh, -zh))
    u = zh * _horner(zh, k.LOG_POW64)
    th = u + k.TWO_THIRDS[0]
    tl = (k.TWO_THIRDS[0] - th) + u + k.TWO_THIRDS[1]
    wh = sh * zh
    wl = _fma(sh, zh, -wh) + _fma(sh, zl, sl * zh)
    vh = wh * th
    vl = _fma(wh, th, -vh) + _fma(wh, tl, wl * th)
    high = sh * 2 + vh
    low = (sh * 2 - high) + vh + _fma(sl, 2, vl)
    e = _to_float(e, x)
    high, rest = _two_sum(e * k.LN2_SHORT[0], high)
    low = rest + low + e * k.LN2_SHORT[1]
    high = _where(x < math.inf, _where(x.equals(0), -math.inf, high), x)
    # y·(high + low)
    p = y * high
    q = _fma(y, low, _fma(y, high, -p))
    q = _where(abs(p) < 1000, q, 0)
    p = _clamp(p, k.exp_low, k.exp_high)
    n, i = _to_integer(p, k.LOG2_E[0])
    t = _fma(n, -k.LN2[0], p)
    r = t + _fma(n, -k.LN2[1], q)
    return _scale(_fma(r * r, _horner(r, k.EXP), r) + 1, i)


@_function
def pow(x, y):
    """x to the power y, with C's special cases: pow(x, 0) and pow(1, y) are 1 even for NaN; a negative x has integer
    powers only."""
    a = abs(x)
    power = (_power32 if x.v.dtype is float32 else _power64)(a, y)
    whole = _trunc(y).equals(y)
    half = y * 0.5
    odd = whole & _trunc(half).differs(half)
    power = _where((x.bits() < 0) & odd, -power, power)
    power = _where((x < 0) & (x > -math.inf) & _not(whole), math.nan, power)
    power = _where(x.differs(x) | y.differs(y), x + y, power)
    one = x.equals(1) | y.equals(0) | (a.equals(1) & abs(y).equals(math.inf))
    return _where(one, 1, power)


def _not(condition):
    return _X(condition.b, condition.b.not_(condition.v))


@_function
def hypot(x, y):
    """sqrt(x² + y²) without overflow: float32 in float64, float64 scaled by a power of two."""
    infinite = abs(x).equals(math.inf) | abs(y).equals(math.inf)
    if x.v.dtype is float32:
        p, q = x.cast(float64), y.cast(float64)
        return _where(infinite, math.inf, _sqrt(_fma(p, p, q * q)).cast(float32))
    a, c = abs(x), abs(y)
    larger = a > c
    a, c = _where(larger, a, c), _where(larger, c, a)
    scale = _where(a > 2.0**500, a.like(2.0**-600), _where(a < 2.0**-450, a.like(2.0**600), 1))
    back = _where(a > 2.0**500, a.like(2.0**600), _where(a < 2.0**-450, a.like(2.0**-600), 1))
    a, c = a * scale, c * scale
    return _where(infinite, math.inf, _sqrt(_fma(a, a, c * c)) * back)
