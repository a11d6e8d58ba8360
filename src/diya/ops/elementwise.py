"""Elementwise operators: arithmetic, comparison, logic, and the functions of a real or complex number.

An operator here is a primitive (what numpy computes, how the compiler writes it) with its gradient beside it.
"""

from __future__ import annotations

import builtins
import math

import numpy as np

from .. import dtypes, engine
from ..dtypes import bool_
from ..graph import PRIMITIVES, infer_elementwise, infer_predicate, primitive, type_of
from ..interpret import Ufunc
from ..numerics import error
from ..tensor import Tensor, from_node
from .record import WrongArgument, beside_half, element, elementwise, is_number, only, operator, result_type

# -- primitives without an operator of their own name ------------------------------------------------------------------


def _prim(name: str, numpy, infer=infer_elementwise, emit=None):
    rule = Ufunc(numpy) if isinstance(numpy, np.ufunc) or numpy in (error.erf, error.erfc) else lambda attrs, *xs: numpy(*xs)
    return primitive(name, "elementwise", infer, interpret=rule, emit=emit)


WHERE = primitive("where", "elementwise", lambda attrs, c, a, b: type_of(infer_predicate(None, c, a, b).shape, a.dtype),
                  interpret=lambda attrs, c, a, b: np.where(c, a, b))


def _lgamma(x):
    from ..numerics import special  # imported when it is first needed
    return special.lgamma(x).astype(x.dtype)


def _refuse_zero(a, b) -> None:
    """Integers are not divided by zero, where there is anything to divide."""
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind in "ui" and np.any(b == 0) and 0 not in np.broadcast_shapes(a.shape, b.shape):
        raise RuntimeError("ZeroDivisionError")


def _floor_divide(a, b):
    _refuse_zero(a, b)
    return np.floor_divide(a, b)


def _remainder(a, b):
    _refuse_zero(a, b)
    if np.asarray(a).dtype.kind in "ui":
        return np.remainder(a, b)
    a, b = np.asarray(a), np.asarray(b)
    m = np.fmod(a, b)
    return np.where((m != 0) & ((b < 0) != (m < 0)), m + b, m)


def _fmod(a, b):
    _refuse_zero(a, b)
    return np.fmod(a, b)


def _int_pow(a, b):
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind in "ui":
        negative = b < 0
        if np.any(negative):
            out = np.power(a, np.where(negative, 0, b).astype(a.dtype))
            inverse = np.where(a == 1, 1, np.where(a == -1, np.where(b % 2 == 0, 1, -1), 0)) if a.dtype.kind == "i" \
                else np.where(a == 1, 1, 0)
            return np.where(negative, inverse, out).astype(a.dtype)
    if a.dtype.kind == "b":
        return a | ~b
    return np.power(a, b)


def _sign(x):
    if np.asarray(x).dtype.kind == "b":
        return x
    return np.sign(np.where(np.isnan(x), 0, x)) if np.asarray(x).dtype.kind == "f" else np.sign(x)


def _sigmoid(x):
    if np.asarray(x).dtype.kind == "c":
        return 1 / (1 + np.exp(-x))
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _shift(f):
    def apply(a, b):
        bits = np.asarray(a).dtype.itemsize * 8
        bad = (b < 0) | (b >= bits)
        if f is np.left_shift:
            return np.where(bad, 0, f(a, np.where(bad, 0, b))).astype(np.asarray(a).dtype)
        return np.where(bad, np.where(a < 0, -1, 0) if np.asarray(a).dtype.kind == "i" else 0,
                        f(a, np.where(bad, 0, b))).astype(np.asarray(a).dtype)
    return apply


# -- arithmetic ----------------------------------------------------------------------------------------------------------

ADD = _prim("add", np.add)
SUB = _prim("sub", np.subtract)
MUL = _prim("mul", np.multiply)
DIV = _prim("div", np.true_divide)
_add = elementwise("add.plain", ADD, ("input", "other"), method=False, inplace=False, node="Add",
                   grad=dict(input=lambda g: g, other=lambda g: g))
_sub = elementwise("sub.plain", SUB, ("input", "other"), method=False, inplace=False, bool_ok=False, node="Sub",
                   grad=dict(input=lambda g: g, other=lambda g: -g))
mul = elementwise("mul", MUL, ("input", "other"), aliases=("multiply",), wide_numbers=True,
                  grad=dict(input=lambda g, other: g * other.conj(), other=lambda g, input: g * input.conj()))
_true_divide = elementwise("true_divide", DIV, ("input", "other"), kind="int_to_float", node="Div", wide_numbers=True,
                           grad=dict(input=lambda g, other: g / other.conj(),
                                     other=lambda g, input, other: -g * ((input / other) / other).conj()))
neg = elementwise("neg", _prim("neg", np.negative), bool_ok=False, aliases=("negative",), grad=dict(input=lambda g: -g))
def _alpha(name: str, core):
    def scaled(input, other, alpha):
        d = result_type(input, other)
        if d.itemsize == 2 and d.kind == "f" and not isinstance(alpha, (bool, complex)):  # the result is rounded once
            alpha = element(alpha, d)
            a, b, c = (x.to(d).to(dtypes.float32) if isinstance(x, Tensor) else from_node(engine.scalar(x, d)).to(dtypes.float32)
                       for x in (input, other, alpha))
            return core(a, b * c).to(d)
        if isinstance(alpha, bool) and d is not bool_ \
                or isinstance(alpha, complex) and not _is_complex(input, other):
            raise RuntimeError(f"{name}(): Boolean alpha only supported for Boolean results." if isinstance(alpha, bool) else
                               f"{name}(): for non-complex input tensors, argument alpha must not be a complex number.")
        if isinstance(alpha, float) and d.kind not in "fc":
            raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
        alpha = element(alpha, d)
        if isinstance(other, Tensor):
            other = other.to(d)  # a product that wraps or rounds does so in the result's type
        elif d.kind == "b":
            return core(input, other and alpha)
        return core(input, other * alpha)
    return scaled


def _is_complex(*xs) -> bool:
    return any(isinstance(x, complex) or isinstance(x, Tensor) and x.dtype.kind == "c" for x in xs)


_add_scaled, _sub_scaled = _alpha("add", _add.core), _alpha("sub", _sub.core)


@operator(inplace=True, again=False)
def add(input, other, *, alpha=1):
    return _add.core(input, other) if alpha == 1 and alpha is not True else _add_scaled(input, other, alpha)


@operator(inplace=True, aliases=("subtract",), again=False)
def sub(input, other, *, alpha=1):
    if isinstance(other, bool) or getattr(other, "dtype", None) is bool_ or getattr(input, "dtype", None) is bool_:
        if all(x is True or x is False or getattr(x, "dtype", None) is bool_ for x in (input, other)):
            raise RuntimeError("Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
                               "`logical_xor()` operator instead.")
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a "
                           "mask, use the `~` or `logical_not()` operator instead.")
    return _sub.core(input, other) if alpha == 1 else _sub_scaled(input, other, alpha)


@operator(method=False)
def rsub(input, other, *, alpha=1):
    if not isinstance(input, Tensor):
        raise WrongArgument(f"rsub(): argument 'input' must be Tensor, not {type(input).__name__}", input)
    if isinstance(other, bool):
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported, nor from a bool.")
    return sub(other, input, alpha=alpha) if isinstance(other, Tensor) else sub(_as_tensor(other, input), input, alpha=alpha)


def _as_tensor(number, like: Tensor) -> Tensor:
    return from_node(engine.scalar(number, result_type(like, number)))


@operator(inplace=True, aliases=("divide",), again=False)
def div(input, other, *, rounding_mode=None):
    if rounding_mode is None:
        return _true_divide.core(input, other)
    if result_type(input, other).kind == "b":
        raise NotImplementedError(f'"div_{rounding_mode}_cpu" not implemented for \'Bool\'')
    if rounding_mode == "floor":
        return _floor_quotient.core(input, other)
    if rounding_mode == "trunc":
        if beside_half(input, other):
            return trunc(_true_divide.core(input.to(dtypes.float32), other)).to(input.dtype)
        if result_type(input, other).itemsize == 2 and result_type(input, other).kind == "f":
            return trunc(_true_divide.core(input, other))  # the quotient is rounded first
        return trunc_divide(input, other)
    raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")


def _trunc_div(a, b):
    _refuse_zero(a, b)
    if np.asarray(a).dtype.kind in "ui":
        return ((a - np.fmod(a, b)) // b).astype(np.asarray(a).dtype)
    return np.trunc(np.true_divide(a, b))


floor_divide = elementwise("floor_divide", _prim("floor_divide", _floor_divide), ("input", "other"), complex_ok=False,
                           bool_ok=False, wide_numbers=True)
_floor_quotient = elementwise("div.floor", PRIMITIVES["floor_divide"], ("input", "other"), complex_ok=False, method=False,
                              inplace=False, wide_numbers=True, grad=dict(input=lambda g: g * 0, other=lambda g: g * 0))
trunc_divide = elementwise("div.trunc", _prim("trunc_divide", _trunc_div), ("input", "other"), complex_ok=False, method=False,
                           inplace=False, grad=dict(input=lambda g: g * 0, other=lambda g: g * 0))
remainder = elementwise("remainder", _prim("remainder", _remainder), ("input", "other"), complex_ok=False, bool_ok=False,
                        numbers="one",
                        grad=dict(input=lambda g: g, other=lambda g, input, other: -g * floor_divide(input, other)))
fmod = elementwise("fmod", _prim("fmod", _fmod), ("input", "other"), complex_ok=False, bool_ok=False,
                   numbers="other", grad=dict(input=lambda g: g, other=lambda g, input, other: -g * trunc_divide(input, other)))
abs_prim = _prim("abs", np.abs)
_abs_real = elementwise("abs.real", abs_prim, method=False, inplace=False, bool_ok=False, node="Abs",
                        grad=dict(input=lambda g, input: g * input.sgn()))
_ABS_COMPLEX = primitive("abs_complex", "elementwise", lambda attrs, x: type_of(x.shape, x.dtype.to_real()),
                         interpret=lambda attrs, x: np.abs(x))
_abs_complex = elementwise("abs.complex", _ABS_COMPLEX, method=False, inplace=False, only="c", node="Abs",
                           grad=dict(input=lambda g, input: g * input.sgn()))


@operator(inplace=True, aliases=("absolute",), again=False)
def abs(input):
    return _abs_complex.core(input) if input.dtype.kind == "c" else _abs_real.core(input)


def _refusing(name: str, refuse) -> None:
    """Puts a check before an in-place form."""
    plain = getattr(Tensor, name)

    def call(self, *args, **kwargs):
        refuse(self, *args, **kwargs)
        return plain(self, *args, **kwargs)
    call.__name__, call.__doc__ = name, plain.__doc__
    setattr(Tensor, name, call)


def _no_complex_abs(self) -> None:
    if self.dtype.kind == "c":
        raise RuntimeError("In-place abs is not supported for complex tensors.")


_refusing("abs_", _no_complex_abs)
_refusing("absolute_", _no_complex_abs)


@operator(inplace=True)
def sgn(input):
    if input.dtype.kind == "c":
        from .arithmetic import complex as of_parts
        size = abs(input)
        safe = where(size == 0, size.new_ones(()), size)
        return of_parts(input.real / safe, input.imag / safe)
    return sign(input)


sign = elementwise("sign", _prim("sign", _sign), complex_ok=False, grad=dict(input=lambda g: g * 0))


@operator(inplace=True)
def positive(input):
    if input.dtype is bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


_POW = _prim("pow", _int_pow)


def _one_tensor(input, other) -> None:
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        raise WrongArgument(f"expected a Tensor for one operand at least, got {type(input).__name__} and {type(other).__name__}",
                            input)


def _pow_grad_exponent(g, input, exponent, out):
    zero = (input == 0) & (exponent.real >= 0 if exponent.dtype.kind == "c" else exponent >= 0)
    return where(zero, (g * 0), g * (out * input.log()).conj())


def _pow_grad_input(g, input, exponent):
    return where(exponent == 0, g * 0, g * (exponent * input.pow(exponent - 1)).conj())


_pow_tensor = elementwise("pow.tensor", _POW, ("input", "exponent"), method=False, inplace=False, node="Pow", numbers="one",
                          grad=dict(input=_pow_grad_input, exponent=_pow_grad_exponent))
_square = elementwise("square.plain", _prim("square", lambda x: x * x, emit=lambda b, x: b.mul(x, x)), method=False,
                      inplace=False, node="Pow",
                      grad=dict(input=lambda g, input: g * (input.conj() * 2)))


@operator(inplace=True, again=False)
def pow(input, exponent):
    _one_tensor(input, exponent)
    if isinstance(exponent, Tensor) and result_type(input, exponent).kind == "b":
        raise NotImplementedError("\"pow\" not implemented for 'Bool'")
    if isinstance(input, Tensor) and isinstance(exponent, (int, float)) and not isinstance(exponent, bool):
        kind = input.dtype.kind
        if kind in "bui" and isinstance(exponent, int):
            if exponent < 0:
                raise RuntimeError("Integers to negative integer powers are not allowed.")
            if kind != "b":
                element(exponent, input.dtype)
        if kind in "fc" or isinstance(exponent, int) and kind != "b":
            if exponent == 2:
                return _square.core(input)
            if exponent == 1:
                return _add.core(input, 0) if kind == "b" else input.clone()
            if kind in "fc" and exponent == 0.5:
                return sqrt(input)
            if kind in "fc" and exponent == 0:
                return _ones_like(input)
            if kind == "f" and exponent == 3:
                return _square.core(input) * input
            if kind == "f" and exponent == -1:
                return reciprocal(input)
            if kind == "f" and exponent == -0.5:
                return rsqrt(input)
    return _pow_tensor.core(input, exponent)


def _ones_like(x: Tensor) -> Tensor:
    from .movement import full_like_node
    out = full_like_node(x, 1)
    return out + x * 0 if x._rg else out


@operator(inplace=True, again=False)
def square(input):
    return input.pow(2)


@operator(inplace=True)
def float_power(input, exponent):
    _one_tensor(input, exponent)
    d = dtypes.complex128 if _is_complex(input, exponent) else dtypes.float64
    return pow(input.to(d) if isinstance(input, Tensor) else input, exponent.to(d) if isinstance(exponent, Tensor) else exponent)


def _keeps_double(self, exponent) -> None:
    d = dtypes.complex128 if _is_complex(self, exponent) else dtypes.float64
    if self.dtype is not d:
        raise RuntimeError(f"the base given to float_power_ has dtype {self.dtype} but the operation's result requires dtype {d}")


_refusing("float_power_", _keeps_double)


# -- real and complex functions --------------------------------------------------------------------------------------------

def unary(name: str, numpy, grad, kind: str = "int_to_float", emit=None, aliases=(), **flags):
    return elementwise(name, _prim(name, numpy, emit=emit), kind=kind, grad=dict(input=grad) if grad else None,
                       aliases=aliases, **flags)


exp = unary("exp", np.exp, lambda g, out: g * out.conj())
exp2 = unary("exp2", np.exp2, lambda g, out: g * (out * math.log(2)).conj())
expm1 = unary("expm1", np.expm1, lambda g, out: g * (out + 1).conj())
log = unary("log", np.log, lambda g, input: g / input.conj())
log2 = unary("log2", np.log2, lambda g, input: g / (input * math.log(2)).conj())
log10 = unary("log10", np.log10, lambda g, input: g / (input * math.log(10)).conj())
log1p = unary("log1p", np.log1p, lambda g, input: g / (input + 1).conj())
sqrt = unary("sqrt", np.sqrt, lambda g, out: g / (out * 2).conj())
rsqrt = unary("rsqrt", lambda x: 1 / np.sqrt(x), lambda g, out: g * (out * out * out * -0.5).conj())
reciprocal = unary("reciprocal", lambda x: np.ones((), np.asarray(x).dtype) / x, lambda g, out: -g * (out * out).conj())
sin = unary("sin", np.sin, lambda g, input: g * input.cos().conj())
cos = unary("cos", np.cos, lambda g, input: -g * input.sin().conj())
tan = unary("tan", np.tan, lambda g, out: g * (out * out + 1).conj())
asin = unary("asin", np.arcsin, lambda g, input: g * (1 - input * input).rsqrt().conj(), aliases=("arcsin",))
acos = unary("acos", np.arccos, lambda g, input: -g * (1 - input * input).rsqrt().conj(), aliases=("arccos",))
atan = unary("atan", np.arctan, lambda g, input: g / (input * input + 1).conj(), aliases=("arctan",))
sinh = unary("sinh", np.sinh, lambda g, input: g * input.cosh().conj())
cosh = unary("cosh", np.cosh, lambda g, input: g * input.sinh().conj())
tanh = unary("tanh", np.tanh, lambda g, out: g * (1 - out * out).conj())
asinh = unary("asinh", np.arcsinh, lambda g, input: g * (input * input + 1).rsqrt().conj(), aliases=("arcsinh",))
acosh = unary("acosh", np.arccosh, lambda g, input: g * ((input - 1).rsqrt() * (input + 1).rsqrt()).conj()
              if input.dtype.kind == "c" else g * (input * input - 1).rsqrt(), aliases=("arccosh",))
atanh = unary("atanh", np.arctanh, lambda g, input: g / (1 - input * input).conj(), aliases=("arctanh",))
sigmoid = unary("sigmoid", _sigmoid, lambda g, out: g * ((1 - out) * out).conj())
erf = unary("erf", error.erf, lambda g, input: g * ((-input * input).exp() * (2 / math.sqrt(math.pi))),
            complex_ok=False)
erfc = unary("erfc", error.erfc, lambda g, input: g * ((-input * input).exp() * (-2 / math.sqrt(math.pi))),
             complex_ok=False)
lgamma = unary("lgamma", _lgamma, lambda g, input: g * input.digamma(), complex_ok=False)
floor = unary("floor", np.floor, lambda g: g * 0, kind="default", complex_ok=False, bool_ok=False)
ceil = unary("ceil", np.ceil, lambda g: g * 0, kind="default", complex_ok=False, bool_ok=False)
trunc = unary("trunc", np.trunc, lambda g: g * 0, kind="default", complex_ok=False, bool_ok=False, aliases=("fix",))
_round = elementwise("round.even", _prim("round", np.rint), method=False, inplace=False, complex_ok=False, node="Round",
                     grad=dict(input=lambda g: g * 0))


@operator(inplace=True)
def round(input, *, decimals=None):
    only("round", "uif" if decimals is None else "f", input)
    if input.dtype.kind in "ui":
        return input.clone()
    if not decimals:
        return _round.core(input)
    scale = 10.0 ** builtins.abs(decimals)
    if input.dtype.itemsize == 2:  # rounded once
        return round(input.to(dtypes.float32), decimals=decimals).to(input.dtype)
    return _round.core(input * scale) / scale if decimals > 0 else _round.core(input / scale) * scale


@operator(inplace=True)
def frac(input):
    only("frac", "f", input)
    return input - trunc(input)


# -- comparison and logic ----------------------------------------------------------------------------------------------------

def _compare(name: str, numpy, aliases=(), complex_ok=False):
    return elementwise(name, _prim(name, numpy, infer_predicate), ("input", "other"), kind="always_bool", complex_ok=complex_ok,
                       numbers="other", aliases=aliases)


eq = _compare("eq", np.equal, complex_ok=True)
ne = _compare("ne", np.not_equal, aliases=("not_equal",), complex_ok=True)
lt = _compare("lt", np.less, aliases=("less",))
le = _compare("le", np.less_equal, aliases=("less_equal",))
gt = _compare("gt", np.greater, aliases=("greater",))
ge = _compare("ge", np.greater_equal, aliases=("greater_equal",))


def _test(name: str, numpy, **flags):
    return elementwise(name, _prim(name, numpy, infer_predicate), inplace=False, **flags)


isnan = _test("isnan", lambda x: np.isnan(x) if np.asarray(x).dtype.kind in "fc" else np.zeros(np.shape(x), bool))
isfinite = _test("isfinite", lambda x: np.isfinite(x) if np.asarray(x).dtype.kind in "fc" else np.ones(np.shape(x), bool))
isinf = _test("isinf", lambda x: np.isinf(x) if np.asarray(x).dtype.kind in "fc" else np.zeros(np.shape(x), bool))
signbit = _test("signbit", lambda x: np.signbit(x) if np.asarray(x).dtype.kind == "f" else np.asarray(x) < 0, complex_ok=False)
bitwise_and = elementwise("bitwise_and", _prim("bitwise_and", np.bitwise_and), ("input", "other"), only="bui", numbers="one")
bitwise_or = elementwise("bitwise_or", _prim("bitwise_or", np.bitwise_or), ("input", "other"), only="bui", numbers="one")
bitwise_xor = elementwise("bitwise_xor", _prim("bitwise_xor", np.bitwise_xor), ("input", "other"), only="bui", numbers="one")
bitwise_not = elementwise("bitwise_not", _prim("bitwise_not", np.bitwise_not), only="bui")
bitwise_left_shift = elementwise("bitwise_left_shift", _prim("shift_left", _shift(np.left_shift)), ("input", "other"),
                                 only="ui", numbers="one")
bitwise_right_shift = elementwise("bitwise_right_shift", _prim("shift_right", _shift(np.right_shift)), ("input", "other"),
                                  only="ui", numbers="one")
_logical_not = elementwise("logical_not", _prim("logical_not", lambda x: x == 0, infer_predicate))


def _truth(x):
    if not isinstance(x, Tensor):
        raise WrongArgument(f"logical operators expect Tensors, not {type(x).__name__}", x)
    return x if x.dtype is bool_ else x != 0


@operator(inplace=True)
def logical_and(input, other):
    return bitwise_and(_truth(input), _truth(other))


@operator(inplace=True)
def logical_or(input, other):
    return bitwise_or(_truth(input), _truth(other))


@operator(inplace=True)
def logical_xor(input, other):
    return bitwise_xor(_truth(input), _truth(other))


# -- choosing ------------------------------------------------------------------------------------------------------------------


@operator("where", method=False)
def where(condition, input=None, other=None):
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    return _choose(condition, input, other)


def _where_method(self, condition, other):
    return where(condition, self, other)


Tensor.where = _where_method  # type: ignore[attr-defined]


def _choose(condition, input, other):
    from ..autograd.modes import modes
    from ..autograd.tape import track
    from .record import finish, operand
    if not isinstance(condition, Tensor):
        raise TypeError(f"where(): argument 'condition' (position 1) must be Tensor, not {type(condition).__name__}")
    if condition.dtype is not bool_:
        if condition.dtype is not dtypes.uint8:
            raise RuntimeError(f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype}")
        condition = condition != 0
    compute = result_type(input, other)
    if compute.kind in "ui":
        input, other = (x if isinstance(x, Tensor) else element(x, compute) for x in (input, other))
    x, a = operand(input, compute)
    y, b = operand(other, compute)
    c = condition._value()
    out = finish(engine.record(WHERE, (c, x, y), None), condition, a, b)
    if modes.grad and (a is not None and a._rg or b is not None and b._rg):
        tensors = (condition, a if a is not None else from_node(x), b if b is not None else from_node(y))
        track(_WHERE_RULE, (out,), tensors, (c, x, y), {})
    return out


def _zeros_like(g):
    return g.new_zeros(()).expand(g.shape)


from ..autograd.tape import Rule  # noqa: E402

_WHERE_RULE = Rule("Where", ("condition", "input", "other"),
                   dict(input=lambda g, condition: _choose(condition, g, g.new_zeros(())),
                        other=lambda g, condition: _choose(condition, g.new_zeros(()), g)), broadcasts=True)


def _max_rule(less):
    """Shared where both are equal; where one is NaN both get it, as PyTorch has it."""
    return dict(input=lambda g, input, other: _choose(input == other, g / 2, _choose(less(input, other), g * 0, g)),
                other=lambda g, input, other: _choose(input == other, g / 2, _choose(less(other, input), g * 0, g)))


maximum = elementwise("maximum", _prim("maximum", np.maximum), ("input", "other"), numbers="none", inplace=False, complex_ok=False,
                      grad=_max_rule(lambda a, b: a < b))
minimum = elementwise("minimum", _prim("minimum", np.minimum), ("input", "other"), numbers="none", inplace=False, complex_ok=False,
                      grad=_max_rule(lambda a, b: a > b))
fmax = elementwise("fmax", _prim("fmax", np.fmax), ("input", "other"), numbers="none", inplace=False, complex_ok=False,
                   grad=dict(input=lambda g, input, other: _choose((input >= other) | other.isnan(), g, g * 0),
                             other=lambda g, input, other: _choose((input >= other) | other.isnan(), g * 0, g)))
fmin = elementwise("fmin", _prim("fmin", np.fmin), ("input", "other"), numbers="none", inplace=False, complex_ok=False,
                   grad=dict(input=lambda g, input, other: _choose((input <= other) | other.isnan(), g, g * 0),
                             other=lambda g, input, other: _choose((input <= other) | other.isnan(), g * 0, g)))
def _inverse_square(x, y):
    """1 / (x² + y²), 0 at the origin."""
    square = x * x + y * y
    return _choose(square == 0, square, square.reciprocal())


atan2 = elementwise("atan2", _prim("atan2", np.arctan2), ("input", "other"), numbers="none", kind="int_to_float", complex_ok=False,
                    aliases=("arctan2",),
                    grad=dict(input=lambda g, input, other: g * other * _inverse_square(input, other),
                              other=lambda g, input, other: -g * input * _inverse_square(input, other)))
hypot = elementwise("hypot", _prim("hypot", np.hypot), ("input", "other"), numbers="none", only="f",
                    grad=dict(input=lambda g, input, out: g * (input / out), other=lambda g, other, out: g * (other / out)))
copysign = elementwise("copysign", _prim("copysign", np.copysign), ("input", "other"), numbers="other", kind="int_to_float",
                       complex_ok=False,
                       grad=dict(input=lambda g, input, out: _choose(input == 0, g * 0, g * (out / input)), other=lambda g: g * 0))
_next_wide = elementwise("nextafter.wide", _prim("nextafter", np.nextafter), ("input", "other"), only="f", numbers="none",
                         method=False, inplace=False, node="Nextafter",
                         grad=dict(input=lambda g, input, other: _choose(input == other, g.new_zeros(()), g),
                                   other=lambda g: g * 0))


@operator(inplace=True)
def nextafter(input, other):
    """The next number after ``input`` towards ``other``."""
    if not (isinstance(input, Tensor) and isinstance(other, Tensor)) or (d := result_type(input, other)).itemsize != 2:
        return _next_wide(input, other)
    a, b = input.to(d), other.to(d)
    only("nextafter_cpu", "f", a)
    bits = a.view(dtypes.int16)  # halves are computed in float32: here one step is one in their bits
    outwards = (b > a) == (a > 0)
    step = _choose(outwards, bits + 1, bits - 1)
    smallest = _choose(b > 0, bits.new_full((), 1), bits.new_full((), -2**15 + 1))
    moved = _choose(a == 0, smallest, step).view(d)
    return _choose(a.isnan() | b.isnan(), a + b, _choose(a == b, b, moved))


def _clamp_mask(input, low, high):
    mask = None
    if low is not None:
        mask = input >= low
    if high is not None:
        mask = input <= high if mask is None else mask & (input <= high)
    return mask


def _clamp_forward(input, min=None, max=None):
    """Bounds ``input`` by ``min`` and ``max`` (numbers, or tensors that broadcast); ``max`` wins where they cross."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if _is_complex(input, min, max):
        raise RuntimeError("clamp is not supported for complex types")
    bounds = [x for x in (min, max) if x is not None]
    d = result_type(input, *bounds)
    if d.kind == "b" and (len(bounds) == 2 or not isinstance(bounds[0], Tensor)):
        raise NotImplementedError("\"clamp_cpu\" not implemented for 'Bool'")
    out = input if input.dtype is d else input.to(d)
    if min is not None:
        out = maximum(out, min if isinstance(min, Tensor) else _number(min, d))
    if max is not None:
        out = minimum(out, max if isinstance(max, Tensor) else _number(max, d))
    return out


def _number(value, d):
    return from_node(engine.scalar(element(value, d), d))


def _clamp_grad(g, input, min, max):
    mask = _clamp_mask(input, min, max)
    zero = g.new_zeros(())
    gi = where(mask, g, zero)
    glow = ghigh = None
    if isinstance(min, Tensor):
        low = input < min
        if max is not None:
            low = low & (min < max)
        glow = where(low, g, zero)
    if isinstance(max, Tensor):
        high = input > max
        if min is not None:
            high = high | (max < min)
        ghigh = where(high, g, zero)
    from ..autograd.tape import sum_to
    gi = sum_to(gi, input.shape)
    if glow is not None:
        glow = sum_to(glow, min.shape)
    if ghigh is not None:
        ghigh = sum_to(ghigh, max.shape)
    return gi, glow, ghigh


clamp = operator("clamp", inplace=True, aliases=("clip",), grad=_clamp_grad, inputs=("input", "min", "max"))(_clamp_forward)


@operator(inplace=True)
def clamp_min(input, min):
    return clamp(input, min, None)


@operator(inplace=True)
def clamp_max(input, max):
    return clamp(input, None, max)


# -- complex numbers -----------------------------------------------------------------------------------------------------------

_CONJ = _prim("conj", np.conj)
_conj = elementwise("conj_physical.complex", _CONJ, method=False, inplace=False, node="ConjPhysical",
                    grad=dict(input=lambda g: g.conj()))


@operator(inplace=True)
def conj_physical(input):
    return _conj.core(input) if input.dtype.kind == "c" else input


@operator(out=False)
def conj(input):
    return _conj.core(input) if input.dtype.kind == "c" else input


Tensor.is_conj = lambda self: False  # type: ignore[attr-defined]
Tensor.is_neg = lambda self: False  # type: ignore[attr-defined]


def _tensor(x) -> Tensor:
    if not isinstance(x, Tensor):
        raise WrongArgument(f"expected a Tensor, not {type(x).__name__}", x)
    return x


@operator(out=False)
def resolve_conj(input):
    return _tensor(input)


@operator(out=False)
def resolve_neg(input):
    return _tensor(input)


def _part(index: int):
    def get(self):
        if self.dtype.kind != "c":
            if index:
                raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
            return self
        from .movement import view_as_real
        return view_as_real(self).select(-1, index)

    def put(self, value):
        get(self).copy_(value)
    return property(get, put)


Tensor.real, Tensor.imag = _part(0), _part(1)  # type: ignore[attr-defined]


@operator(method=False, out=False)
def real(input):
    if not isinstance(input, Tensor):
        raise TypeError(f"real(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input.real


@operator(method=False, out=False)
def imag(input):
    if not isinstance(input, Tensor):
        raise TypeError(f"imag(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input.imag


# -- Python's operators ----------------------------------------------------------------------------------------------------------

def _dunder(name: str, core, reverse=None, inplace: str | None = None) -> None:
    def forward(self, other):
        if isinstance(other, Tensor) or is_number(other):
            return core(self, other)
        other = _foreign(other)
        return core(self, other) if other is not None else NotImplemented
    forward.__name__ = f"__{name}__"
    setattr(Tensor, forward.__name__, forward)
    if reverse is not None:
        def backward(self, other):
            if isinstance(other, Tensor) or is_number(other):
                return reverse(other, self)
            other = _foreign(other)
            return reverse(other, self) if other is not None else NotImplemented
        backward.__name__ = f"__r{name}__"
        setattr(Tensor, backward.__name__, backward)
    if inplace:
        def update(self, other):
            return getattr(self, inplace)(other)
        update.__name__ = f"__i{name}__"
        setattr(Tensor, update.__name__, update)


def _foreign(value):
    """A numpy array as an operand; None for what is none."""
    if isinstance(value, np.ndarray):
        from ..tensor import from_numpy
        return from_numpy(value)
    return None


def _over(number, x):
    """number / x: a product with the reciprocal, as PyTorch rounds it."""
    inverse = reciprocal(x)
    return inverse if number.__class__ in (int, float) and number == 1 else mul.core(inverse, number)


_dunder("add", _add.core, _add.core, "add_")
_dunder("sub", sub.__wrapped__, sub.__wrapped__, "sub_")
_dunder("mul", mul.core, lambda number, x: mul.core(x, number), "mul_")
_dunder("truediv", _true_divide.core, _over, "div_")
_dunder("floordiv", floor_divide.core, floor_divide.core, "floor_divide_")
_dunder("mod", remainder.core, remainder.core, "remainder_")
_dunder("pow", pow, pow, "pow_")
_dunder("and", bitwise_and.core, lambda other, x: bitwise_and.core(x, other), "bitwise_and_")
_dunder("or", bitwise_or.core, lambda other, x: bitwise_or.core(x, other), "bitwise_or_")
_dunder("xor", bitwise_xor.core, lambda other, x: bitwise_xor.core(x, other), "bitwise_xor_")
_dunder("lshift", bitwise_left_shift.core, bitwise_left_shift.core, "bitwise_left_shift_")
_dunder("rshift", bitwise_right_shift.core, bitwise_right_shift.core, "bitwise_right_shift_")
for _name, _core in (("eq", eq.core), ("ne", ne.core), ("lt", lt.core), ("le", le.core), ("gt", gt.core), ("ge", ge.core)):
    _dunder(_name, _core)

Tensor.__rdiv__ = Tensor.__rtruediv__  # type: ignore[attr-defined]
Tensor.__div__, Tensor.__idiv__ = Tensor.__truediv__, Tensor.__itruediv__  # type: ignore[attr-defined]
Tensor.__hash__ = object.__hash__
Tensor.__neg__ = lambda self: neg(self)  # type: ignore[attr-defined]
Tensor.__pos__ = lambda self: positive(self)  # type: ignore[attr-defined]
Tensor.__abs__ = lambda self: abs(self)  # type: ignore[attr-defined]
Tensor.__invert__ = lambda self: bitwise_not(self)  # type: ignore[attr-defined]
