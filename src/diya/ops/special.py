"""Special functions (``torch.special``)."""

from __future__ import annotations

import math

import numpy as np

from ..graph import infer_elementwise, primitive
from ..tensor import Tensor
from . import elementwise as ew
from .compose import also
from .elementwise import where
from .record import OPERATORS, elementwise, only, operator


def _host(name: str, function: str | None = None):
    """A primitive computed in float64 by `diya.numerics.special`, which is imported when it first runs."""
    def interpret(attrs, *arrays):
        from ..numerics import special
        out = getattr(special, function or name)(*(() if attrs is None else (attrs,)), *arrays)
        d = np.asarray(arrays[0]).dtype
        return out.astype(d)
    return primitive("special." + name, "elementwise", infer_elementwise, interpret=interpret)


def _function(path: str, grad, function: str | None = None, inputs: tuple[str, ...] = ("input",), method: bool = False,
              aliases: tuple[str, ...] = (), numbers: str = "one", halves: bool = False, kind: str = "int_to_float"):
    """An elementwise function that numpy's host computes; methods take half precisions, the others only as ``halves`` says."""
    short = path.rpartition(".")[2]
    return elementwise(path, _host(short, function), inputs, kind=kind, complex_ok=False, half_ok=halves or method, grad=grad,
                       only="f" if kind == "default" else None, method=method, inplace=method, aliases=aliases, numbers=numbers)


def _no_derivative(path: str, inputs: tuple[str, ...]) -> dict:
    """Rules that say that PyTorch, and so diya, has no derivative here, when one is asked for."""
    def refuse(g):
        raise NotImplementedError(f"the derivative of {path} is not implemented")
    return dict.fromkeys(inputs, refuse)


def _nonzero(x: Tensor) -> Tensor:
    """``x`` with 1 in place of 0, to divide by."""
    return where(x == 0, x.new_ones(()), x)


# -- gamma, zeta ---------------------------------------------------------------------------------------------------------

digamma = _function("digamma", dict(input=lambda g, input: g * polygamma(1, input)), method=True)
zeta = _function("special.zeta", {**_no_derivative("special.zeta with respect to x", ("input",)),
                                  "other": lambda g, input, other: g * -input * zeta(input + 1, other)}, inputs=("input", "other"))
_POLYGAMMA = _host("polygamma")


def _polygamma(input, n):
    from .. import engine
    from .record import _int_to_float, finish
    d = _int_to_float(input.dtype)
    x = input if input.dtype is d else input.to(d)
    return finish(engine.record(_POLYGAMMA, (x._value(),), n), input)


_polygamma = operator("polygamma.of", method=False, out=False,
                      grad=dict(input=lambda g, input, n: g * polygamma(n + 1, input)))(_polygamma)


@operator("polygamma", method=False)
def polygamma(n, input):
    """The n-th derivative of the digamma function."""
    if not isinstance(n, int):
        raise TypeError(f"polygamma(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    if input.dtype.kind == "c":
        raise RuntimeError(f"polygamma does not support complex inputs, got {input.dtype}")
    return _polygamma(input, n)


def _polygamma_inplace(self, n):
    from .record import check_inplace, snapshot, write_inplace
    check_inplace(self)
    return write_inplace(self, polygamma(n, snapshot(self)))


Tensor.polygamma = lambda self, n: polygamma(n, self)  # type: ignore[attr-defined]
Tensor.polygamma_ = _polygamma_inplace  # type: ignore[attr-defined]


def _density(g, input, other):
    """d/dx P(a, x) = xᵃ⁻¹ e⁻ˣ / Γ(a)."""
    return g * ((input - 1) * other.log() - other - input.lgamma()).exp()


igamma = _function("igamma", {**_no_derivative("igamma with respect to its first argument", ("input",)), "other": _density},
                   inputs=("input", "other"), method=True, numbers="none", kind="default")
igammac = _function("igammac", {**_no_derivative("igammac with respect to its first argument", ("input",)),
                                "other": lambda g, input, other: -_density(g, input, other)},
                    inputs=("input", "other"), method=True, numbers="none", kind="default")


@operator(inplace=True)
def mvlgamma(input, p):
    """The logarithm of the multivariate gamma function of dimension ``p``."""
    only("mvlgamma", "uif", input)
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    from .. import dtypes
    x = (input if input.dtype.kind == "f" else input.to(dtypes.default_dtype)).contiguous()
    out = x.lgamma() + p * (p - 1) / 4 * math.log(math.pi)
    for j in range(1, p):
        out = out + (x - j / 2).lgamma()
    return out


# -- the error function's family --------------------------------------------------------------------------------------------

erfinv = _function("erfinv", dict(input=lambda g, out: g * (out * out).exp() * (math.sqrt(math.pi) / 2)), method=True)
erfcx = _function("special.erfcx", dict(input=lambda g, input, out: g * (input * out * 2 - 2 / math.sqrt(math.pi))))
ndtr = _function("special.ndtr", dict(input=lambda g, input: g * (input * input * -0.5).exp() * (1 / math.sqrt(2 * math.pi))),
                 halves=True)
ndtri = _function("special.ndtri", dict(input=lambda g, out: g * (out * out * 0.5).exp() * math.sqrt(2 * math.pi)))
log_ndtr = _function("special.log_ndtr",
                     dict(input=lambda g, input: g / erfcx(input * -math.sqrt(0.5)) * math.sqrt(2 / math.pi)))


def _entr_grad(g, input):
    return -g * (input.log() + 1)


def _entr_array(attrs, x):
    safe = np.where(x > 0, x, 1)
    return np.where(x > 0, -x * np.log(safe), np.where(x == 0, 0, np.where(np.isnan(x), x, -np.inf))).astype(x.dtype)


entr = elementwise("special.entr", primitive("special.entr", "elementwise", infer_elementwise, interpret=_entr_array),
                   kind="int_to_float", complex_ok=False, method=False, inplace=False, grad=dict(input=_entr_grad))

# -- Bessel functions --------------------------------------------------------------------------------------------------------


def _i1_over(input, out):
    """I₁(x)/x, ½ at 0."""
    return where(input == 0, out.new_full((), 0.5), out / _nonzero(input))


def _i1_rule(slope):
    """``slope(x, I₁(x))``, ½ at 0, and where PyTorch's comparison with 0 fails: at NaN."""
    return dict(input=lambda g, input, out: g * where(abs(input) > 0, slope(_nonzero(input), out), out.new_full((), 0.5)))


i0 = _function("i0", dict(input=lambda g, input: g * i1(input)), method=True)
i0e = _function("special.i0e", dict(input=lambda g, input, out: g * (i1e(input) - input.sgn() * out)), halves=True)
i1 = _function("special.i1", _i1_rule(lambda x, out: i0(x) - out / x), halves=True)
i1e = _function("special.i1e", _i1_rule(lambda x, out: i0e(x) - out * (x.sgn() + 1 / x)), halves=True)
modified_bessel_i0 = _function("special.modified_bessel_i0", dict(input=lambda g, input: g * i1(input)), "i0")
modified_bessel_i1 = _function("special.modified_bessel_i1",
                               dict(input=lambda g, input, out: g * (i0(input) - _i1_over(input, out))), "i1")
modified_bessel_k0 = _function("special.modified_bessel_k0", dict(input=lambda g, input: -g * modified_bessel_k1(input)), "k0")
modified_bessel_k1 = _function("special.modified_bessel_k1",
                               dict(input=lambda g, input, out: -g * (modified_bessel_k0(input) + out / input)), "k1")
scaled_modified_bessel_k0 = _function("special.scaled_modified_bessel_k0", dict(
    input=lambda g, input, out: g * (out - scaled_modified_bessel_k1(input))), "k0e")
scaled_modified_bessel_k1 = _function("special.scaled_modified_bessel_k1", dict(
    input=lambda g, input, out: g * (out - scaled_modified_bessel_k0(input) - out / input)), "k1e")
bessel_j0 = _function("special.bessel_j0", dict(input=lambda g, input: -g * bessel_j1(input)))
bessel_j1 = _function("special.bessel_j1", dict(input=lambda g, input, out: g * (bessel_j0(input) - _i1_over(input, out))))
bessel_y0 = _function("special.bessel_y0", dict(input=lambda g, input: -g * bessel_y1(input)))
bessel_y1 = _function("special.bessel_y1", dict(input=lambda g, input, out: g * (bessel_y0(input) - out / input)))
spherical_bessel_j0 = _function("special.spherical_bessel_j0", dict(input=lambda g, input, out: g * where(
    input == 0, out * 0, (input.cos() - out) / _nonzero(input))), "spherical_j0")
airy_ai = _function("special.airy_ai", _no_derivative("special.airy_ai", ("input",)))

# -- orthogonal polynomials ---------------------------------------------------------------------------------------------------

for _name in ("chebyshev_polynomial_t", "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w",
              "shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
              "shifted_chebyshev_polynomial_w", "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l",
              "legendre_polynomial_p"):
    _function("special." + _name, _no_derivative("special." + _name, ("input", "n")), _name.replace("_polynomial", ""),
              ("input", "n"))

# -- other names ----------------------------------------------------------------------------------------------------------------

also("special.digamma", digamma)
also("special.psi", digamma)
also("special.polygamma", polygamma)
also("special.gammaln", ew.lgamma)
also("special.multigammaln", mvlgamma)
also("special.gammainc", igamma)
also("special.gammaincc", igammac)
also("special.erf", ew.erf)
also("special.erfc", ew.erfc)
also("special.erfinv", erfinv)
also("special.i0", i0)
for _name in ("exp2", "expm1", "log1p", "round", "logit", "sinc", "xlogy", "logsumexp", "softmax", "log_softmax"):
    if _name in OPERATORS:
        also("special." + _name, OPERATORS[_name].function)
also("special.expit", ew.sigmoid)
