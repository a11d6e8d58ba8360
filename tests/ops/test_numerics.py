"""Special functions against the C library, over whole ranges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from diya.numerics import special
from diya.numerics.error import erf, erfc

RNG = np.random.default_rng(5)
WHOLE = np.concatenate([RNG.uniform(-6, 6, 4000), RNG.uniform(-30, 30, 2000),
                        RNG.standard_normal(2000) * 10.0 ** RNG.integers(-30, 1, 2000), [0.0, -0.0, math.inf, -math.inf]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function, exact", [(erf, math.erf), (erfc, math.erfc)])
def test_error_functions(function, exact, dtype):
    x = WHOLE.astype(dtype)
    want = np.array([exact(float(v)) for v in x])
    unit = np.maximum(np.spacing(np.abs(want).astype(dtype)).astype(np.float64), 1e-320)
    assert (np.abs(function(x).astype(np.float64) - want) / unit).max() <= (1.5 if dtype is np.float32 else 5)
    assert function(x).dtype == dtype
    assert np.isnan(function(np.array([math.nan], dtype)))[0]
    assert function(np.zeros((2, 0), dtype)).shape == (2, 0)


def test_log_gamma():
    x = np.concatenate([RNG.uniform(1e-3, 0.9, 1000), RNG.uniform(1.1, 1.9, 1000), RNG.uniform(2.1, 30, 2000),
                        10.0 ** RNG.uniform(-300, 300, 500)])
    np.testing.assert_allclose(special.lgamma(x), [math.lgamma(v) for v in x], rtol=2e-14)
    x = -RNG.uniform(0, 20, 500)
    np.testing.assert_allclose(special.lgamma(x), [math.lgamma(v) for v in x], rtol=1e-11, atol=1e-13)
    edges = special.lgamma([0.0, -0.0, -3.0, math.inf, -math.inf, 1.0, 2.0, math.nan])
    np.testing.assert_array_equal(edges, [math.inf] * 5 + [0.0, 0.0, math.nan])
    # around the zeros at 1 and 2 the slope is −γ and 1 − γ
    np.testing.assert_allclose(special.lgamma([1 + 1e-12, 2 + 1e-12]) / (np.array([1 + 1e-12, 2 + 1e-12]) - [1, 2]),
                               [-special.EULER, 1 - special.EULER], rtol=1e-10)


def test_quantiles_invert_and_keep_their_relative_precision_near_a_half():
    x = np.concatenate([RNG.uniform(-0.999, 0.999, 2000), 10.0 ** RNG.uniform(-18, -1, 500)])
    np.testing.assert_allclose(erf(special.erfinv(x)), x, rtol=1e-15)
    tail = 10.0 ** RNG.uniform(-300, -1, 500)
    np.testing.assert_allclose(special.ndtr(special.ndtri(tail)), tail, rtol=3e-13)
    slope = math.sqrt(2 * math.pi)
    np.testing.assert_allclose(special.ndtri(np.array([0.5 + 2.0**-30, 0.5 - 2.0**-40])), [slope * 2.0**-30, -slope * 2.0**-40],
                               rtol=1e-14)


def test_zeta_satisfies_its_recurrence():
    s, a = RNG.uniform(1.05, 60, 3000), RNG.uniform(0.1, 60, 3000)
    np.testing.assert_allclose(special.zeta(s, a), special.zeta(s, a + 1) + a ** -s, rtol=4e-15)


def test_incomplete_gamma_of_large_arguments():
    a = RNG.uniform(20, 3e4, 200)
    x = a * RNG.uniform(0.9, 1.1, 200)
    p, next_p = special.igamma(a, x), special.igamma(a + 1, x)
    step = np.exp(a * np.log(x / a) - x + a - special._stirling(a)) / np.sqrt(2 * math.pi * a)  # x^a e^-x / Γ(a + 1)
    np.testing.assert_allclose(p - next_p, step, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(p + special.igammac(a, x), 1, rtol=1e-13)
    np.testing.assert_allclose(special.igamma(40.0, 1e-3), math.exp(40 * math.log(1e-3) - math.lgamma(41)) * (1 - 40e-3 / 41),
                               rtol=1e-6)
    np.testing.assert_allclose(special.igamma(43.5, 4e-3) / special.igamma(43.5, 2e-3), 2**43.5 * math.exp(-2e-3 * 43.5 / 44.5),
                               rtol=1e-7)


def test_bessel_functions_satisfy_the_wronskian():
    x = np.concatenate([RNG.uniform(1e-3, 25, 1000), RNG.uniform(25, 500, 500)])
    found = special.bessel_j1(x) * special.bessel_y0(x) - special.bessel_j0(x) * special.bessel_y1(x)
    np.testing.assert_allclose(found, 2 / (math.pi * x), rtol=1e-12)
