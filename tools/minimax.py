"""Fits the polynomials of src/diya/compiler/emit/coefficients.py. Needs mpmath; run as ``python tools/minimax.py``.

Each is the best polynomial of its degree for the weighted error given (Remez' exchange algorithm in 60 digits; see
Muller, Elementary Functions, chapter 3), its coefficients then rounded to the type that uses it. The printed error is
that of the rounded polynomial, in bits: -27 means 2**-27 of the function.
"""

from __future__ import annotations

import struct
import sys

from mpmath import mp, mpf

mp.dps = 60


def remez(f, weight, low, high, degree, rounds=12):
    """Coefficients, lowest first, of the polynomial p with the least max |weight·(p - f)| on [low, high]."""
    n = degree + 2
    grid = [low + (high - low) * (1 - mp.cos(mp.pi * i / (24 * n))) / 2 for i in range(24 * n + 1)]
    values, weights = [f(x) for x in grid], [weight(x) for x in grid]
    nodes = [round((len(grid) - 1) * i / (n - 1)) for i in range(n)]
    for _ in range(rounds):
        system, right = mp.matrix(n, n), mp.matrix(n, 1)
        for row, i in enumerate(nodes):
            for k in range(degree + 1):
                system[row, k] = grid[i] ** k
            system[row, degree + 1] = (-1) ** row / weights[i]
            right[row] = values[i]
        solution = mp.lu_solve(system, right)
        p = [solution[k] for k in range(degree + 1)]
        errors = [w * (polynomial(p, x) - v) for x, v, w in zip(grid, values, weights, strict=True)]
        # an extremum of each run of one sign
        extrema, start = [], 0
        for i in range(1, len(grid) + 1):
            if i == len(grid) or (errors[i] > 0) != (errors[start] > 0):
                extrema.append(max(range(start, i), key=lambda j: abs(errors[j])))
                start = i
        while len(extrema) > n:
            extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1)
        if len(extrema) < n or extrema == nodes:
            break
        nodes = extrema
    return p


def polynomial(p, x):
    y = mpf(0)
    for c in reversed(p):
        y = y * x + c
    return y


def fit(name, f, weight, low, high, degree, single):
    low, high = mpf(low), mpf(high)
    p = remez(f, weight, low, high, degree)
    rounded = [struct.unpack("f", struct.pack("f", float(c)))[0] if single else float(c) for c in p]
    error = max(weight(x) * abs(polynomial(rounded, x) - f(x)) for x in mp.linspace(low, high, 300))
    kind, bits = "f32" if single else "f64", float(mp.log(error, 2))
    print(f"{name:14} {kind} degree {degree:2}: 2**{bits:.1f}", file=sys.stderr)
    return rounded


ERFC_BASE = mpf("1.1875")
tiny = mpf(10) ** -18
half_ln2 = mp.log(2) / 2 * mpf("1.01")


def exp_tail(r):
    return mpf(1) / 2 + r / 6 if abs(r) < tiny else (mp.expm1(r) - r) / r**2


def exp2_tail(r):
    """(2**r - 1 - r·log(2))/r²."""
    c = mp.log(2)
    return c**2 / 2 + r * c**3 / 6 if abs(r) < tiny else (mp.expm1(r * c) - r * c) / r**2


def log_tail(f):
    return mpf(1) / 3 - f / 4 if abs(f) < tiny else (mp.log1p(f) - f + f**2 / 2) / f**3


def atanh_tail(z):
    """log((1+s)/(1-s)) = 2s + s·z·tail(z), z = s²."""
    if z < tiny:
        return mpf(2) / 3 + 2 * z / 5
    s = mp.sqrt(z)
    return (mp.log((1 + s) / (1 - s)) / s - 2) / z


def odd_tail(function, first, second):
    """(function(x) - x)/x³ as a function of z = x²."""
    def tail(z):
        if z < tiny:
            return mpf(first) + z * mpf(second)
        x = mp.sqrt(z)
        return (function(x) / x - 1) / z
    return tail


def cos_tail(z):
    return mpf(1) / 24 - z / 720 if z < tiny else (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


def erf_tail(z):
    return 2 / mp.sqrt(mp.pi) - 1 if z < tiny else mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1


def erfcx(a):
    return mp.exp(a * a) * mp.erfc(a)


def erfc_of(t, k=4):
    """(1 + 2a)·erfcx(a) - 1.1875 at t = (a - k)/(a + k): without the constant, coefficients round to less."""
    a = k * (1 + t) / (1 - t)
    return (1 + 2 * a) * erfcx(a) - ERFC_BASE


def tables():
    for single in (True, False):
        def table(name, f, weight, low, high, degrees, single=single):
            return name, single, fit(name, f, weight, low, high, degrees[not single], single)

        quarter = (mp.pi / 4 + mpf("0.02")) ** 2
        yield table("EXP", exp_tail, lambda r: abs(r) + tiny, -half_ln2, half_ln2, (4, 10))
        yield table("EXP2", exp2_tail, lambda r: abs(r) + tiny, -0.505, 0.505, (4, 10))
        if single:
            yield table("LOG", log_tail, lambda f: f * f + tiny, mp.sqrt(0.5) - 1, mp.sqrt(2) - 1, (7, 7))
        else:
            yield table("ATANH", atanh_tail, lambda z: z + tiny, 0, mpf("0.02945"), (6, 6))
        yield table("SIN", odd_tail(mp.sin, mpf(-1) / 6, mpf(1) / 120), lambda z: z + tiny, 0, quarter, (2, 6))
        yield table("COS", cos_tail, lambda z: z * z + tiny, 0, quarter, (2, 5))
        yield table("TANH", odd_tail(mp.tanh, mpf(-1) / 3, mpf(2) / 15), lambda z: z + tiny, 0, 0.305, (4, 12))
        yield table("SINH", odd_tail(mp.sinh, mpf(1) / 6, mpf(1) / 120), lambda z: z + tiny, 0, 1, (3, 7))
        yield table("ASIN", odd_tail(mp.asin, mpf(1) / 6, mpf(3) / 40), lambda z: z + tiny, 0, 0.25, (4, 12))
        yield table("ATAN", odd_tail(mp.atan, mpf(-1) / 3, mpf(1) / 5), lambda z: z + tiny, 0, 0.25, (5, 14))
        yield table("ERF", erf_tail, lambda z: 1, 0, 1, (7, 13))
        end = 4 if single else 6
        yield table("ERF_LOG", lambda a: -mp.log(mp.erfc(a)), lambda a: mp.erfc(a) / mp.erf(a), 1, end, (7, 20))
        end = mpf("0.44") if single else mpf("0.746")
        yield table("ERFCX", erfc_of, lambda t: 1 / (erfc_of(t) + ERFC_BASE), mpf("-0.8"), end, (10, 26))
    yield "LOG_POW32", False, fit("LOG_POW32", atanh_tail, lambda z: z + tiny, 0, mpf("0.02945"), 4, False)
    yield "EXP_POW32", False, fit("EXP_POW32", exp2_tail, lambda r: r * r + tiny, -0.505, 0.505, 5, False)

    def atanh_tail2(z):  # mp.log((1+s)/(1-s)) = 2s + 2/3 s·z + s·z²·tail(z)
        return mpf(2) / 5 + 2 * z / 7 if z < tiny else (atanh_tail(z) - mpf(2) / 3) / z
    yield "LOG_POW64", False, fit("LOG_POW64", atanh_tail2, lambda z: z**2 + tiny, 0, mpf("0.02945"), 7, False)


def parts(value, single, count=3, keep=None):
    """``value`` as a sum of ``count`` floats, each the nearest to what is left (or cut to ``keep`` bits)."""
    found = []
    for _ in range(count):
        if keep:
            lead = mp.floor(mp.log(abs(value), 2))
            part = float(mp.floor(value / mpf(2) ** (lead - keep + 1)) * mpf(2) ** (lead - keep + 1))
        else:
            part = struct.unpack("f", struct.pack("f", float(value)))[0] if single else float(value)
        found.append(part)
        value -= mpf(part)
    return tuple(found)


def chunks(bits, count, scale):
    """2/pi cut into ``count`` pieces of ``bits`` bits, by place: piece i is a multiple of 2**-(bits·(i+1)); scaled."""
    whole = int(mp.floor(2 / mp.pi * mpf(2) ** (bits * count)))
    pieces = [(whole >> bits * (count - 1 - i)) & ((1 << bits) - 1) for i in range(count)]
    return tuple(float(mpf(p) * mpf(2) ** (scale - bits * (i + 1))) for i, p in enumerate(pieces))


def constants():
    for name, value in {"LN2": mp.log(2), "PI_2": mp.pi / 2, "LOG2_E": 1 / mp.log(2), "LOG10_E": 1 / mp.log(10),
                        "LOG10_2": mp.log(2) / mp.log(10), "TWO_THIRDS": mpf(2) / 3}.items():
        yield name, {"float32": parts(value, True), "float64": parts(value, False)}
    yield "LN2_SHORT", {"float64": parts(mp.log(2), False, 1, keep=40) + parts(
        mp.log(2) - mpf(parts(mp.log(2), False, 1, keep=40)[0]), False, 1)}
    mp.dps = 400
    yield "TWO_OVER_PI", {"float32": chunks(29, 7, 0), "float64": chunks(50, 25, 200)}
    mp.dps = 60


def main():
    print('"""Polynomials for `vector_math`, lowest degree first. Made by tools/minimax.py: do not edit."""\n')
    found = {}
    for name, single, coefficients in tables():
        found.setdefault(name, {})["float32" if single else "float64"] = coefficients
    found.update(constants())
    for name, by_type in found.items():
        print(f"{name} = {{")
        for type_, coefficients in by_type.items():
            print(f'    "{type_}": (')
            for c in coefficients:
                print(f"        {c!r},")
            print("    ),")
        print("}")


if __name__ == "__main__":
    main()
