"""Arithmetic composites: short functions over the elementwise operators and reductions."""

from __future__ import annotations

import math

import numpy as np

from .. import dtypes, engine
from ..dtypes import bool_
from ..graph import Affine, Contraction, infer_elementwise, primitive, type_of
from ..tensor import Tensor, from_node, wrap_dim
from . import elementwise as ew
from .compose import with_rule
from .elementwise import where
from .record import WrongArgument, element, elementwise, finish, is_number, only, only_tensors, operator, result_type
from .scan import cumsum


def _number(value, like: Tensor) -> Tensor:
    return from_node(engine.scalar(value, like.dtype))


def _once(function, *tensors):
    """In the type that all promote to; half precisions are computed in float32 and rounded once."""
    d = result_type(*tensors)
    wide = dtypes.float32 if d.kind == "f" and d.itemsize == 2 else d
    return function(*[x.to(wide) for x in tensors]).to(d)


@operator(inplace=True, takes="uifc")
def addcmul(input, tensor1, tensor2, *, value=1):
    value = element(value, result_type(input, tensor1, tensor2))
    return _once(lambda a, b, c: a + (b * c if value == 1 else b * c * value), input, tensor1, tensor2)


@operator(inplace=True)
def addcdiv(input, tensor1, tensor2, *, value=1):
    if tensor1.dtype.kind in "biu" and tensor2.dtype.kind in "biu":
        raise RuntimeError("Integer division with addcdiv is no longer supported, and in a future release addcdiv will perform a "
                           "true division of tensor1 and tensor2: use (input + value * torch.trunc(tensor1 / tensor2))")
    return _once(lambda a, b, c: a + (b / c if value == 1 else b / c * value), input, tensor1, tensor2)


@operator(inplace=True, takes="fc")
def lerp(input, end, weight):
    only_tensors("lerp", end=end)
    if end.dtype is not input.dtype:
        raise RuntimeError(f"expected dtype {input.dtype} for `end` but got dtype {getattr(end, 'dtype', type(end).__name__)}")
    if isinstance(weight, Tensor):
        if weight.dtype is not input.dtype and weight.dim():
            raise RuntimeError(f"expected dtype {input.dtype} for `weight` but got dtype {weight.dtype}")
    else:
        weight = element(weight, input.dtype)
    if input.dtype.name in ("float16", "bfloat16"):
        w = weight.to(dtypes.float32) if isinstance(weight, Tensor) else weight
        return _lerp(input.to(dtypes.float32), end.to(dtypes.float32), w).to(input.dtype)
    return _lerp(input, end, weight)


def _lerp(a, b, w):
    if not isinstance(w, Tensor):
        return a + (b - a) * w if abs(w) < 0.5 else b - (b - a) * (1 - w)
    small = (w.abs() if w.dtype.kind != "c" else ew.abs(w)) < 0.5
    d = b - a
    return where(small, a + d * w, b - d * (1 - w))


@operator(method=True)
def logaddexp(input, other):
    return _logaddexp(input, other, _log_sum)


@operator(method=True)
def logaddexp2(input, other):
    only("logaddexp2", "buif", input, other)
    return _logaddexp(input, other, _log2_sum)


def _log_of_sum(exp, log1p):
    def function(input, other):
        m = ew.maximum(input, other)
        d = -(input - other).abs()
        return where(m.isinf() & (input == other), m, m + log1p(exp(d)))
    return function


def _log_of_sum_rule(exp):
    return dict(input=lambda g, input, other: g / (1 + exp(other - input)),
                other=lambda g, input, other: g / (1 + exp(input - other)))


_log_sum = operator("logaddexp.real", method=False, out=False, inputs=("input", "other"), grad=_log_of_sum_rule(ew.exp))(
    _log_of_sum(ew.exp, ew.log1p))
_log2_sum = operator("logaddexp2.real", method=False, out=False, inputs=("input", "other"), grad=_log_of_sum_rule(ew.exp2))(
    _log_of_sum(ew.exp2, lambda x: ew.log1p(x) / math.log(2)))


def _logaddexp(a, b, real):
    for name, x in (("input", a), ("other", b)):
        if not isinstance(x, Tensor):
            raise WrongArgument(f"logaddexp(): argument '{name}' must be Tensor, not {type(x).__name__}", x)
    d = result_type(a, b)
    if d.kind not in "fc":
        raise NotImplementedError(f"\"logaddexp_cpu\" not implemented for {d}")
    if d.kind == "c":
        m = where(a.real >= b.real, a, b)
        low = where(a.real >= b.real, b, a)
        return m + ew.log(1 + ew.exp(low - m))
    from .movement import broadcast_tensors
    if d.itemsize == 2:  # rounded once
        return _logaddexp(a.to(d).to(dtypes.float32), b.to(d).to(dtypes.float32), real).to(d)
    return real(*broadcast_tensors(a.to(d), b.to(d)))


@operator("angle.real", method=False, out=False, grad=dict(input=lambda g: g * 0))
def _angle_of_real(input):
    return where(input.isnan(), input, where(input < 0, _number(math.pi, input), _number(0, input)))


@operator()
def angle(input):
    if input.dtype.kind == "c":
        return ew.atan2(input.imag, input.real)
    x = input if input.dtype.kind == "f" else input.to(dtypes.default_dtype)
    return _angle_of_real(x)


@operator(method=False)
def complex(real, imag):
    if real.dtype is not imag.dtype or real.dtype.name not in ("float16", "float32", "float64"):
        raise RuntimeError(f"Expected both inputs to be Half, Float or Double tensors of one dtype but got {real.dtype} and "
                           f"{imag.dtype}")
    from .movement import broadcast_tensors, copied, stack, view_as_complex
    from .record import _layout_order
    a, b = broadcast_tensors(real, imag)
    out = view_as_complex(stack([a.contiguous(), b.contiguous()], -1))
    order = _layout_order(out.shape, (real, imag))
    return out if order is None else copied(out, order)


@operator(method=False)
def polar(abs, angle):
    for name, x in (("abs", abs), ("angle", angle)):
        if not isinstance(x, Tensor):
            raise WrongArgument(f"polar(): argument '{name}' must be Tensor, not {type(x).__name__}", x)
    if abs.dtype is not angle.dtype or abs.dtype.kind != "f" or abs.dtype.itemsize == 2:
        raise RuntimeError(f"Expected both inputs to be Float or Double tensors of one dtype but got {abs.dtype} and {angle.dtype}")
    from .movement import broadcast_tensors
    return _polar(*broadcast_tensors(abs, angle))


def _polar_grad(g, out, abs):
    """PyTorch's convention for a negative or no modulus: along the direction of the result."""
    turned = (g.conj() * out)
    return (g.conj() * out.sgn()).real, -turned.imag


_polar = operator("polar.same", method=False, out=False, inputs=("abs", "angle"), grad=_polar_grad)(
    lambda abs, angle: complex(abs * angle.cos(), abs * angle.sin()))


@operator(inplace=True)
def deg2rad(input):
    if input.dtype.kind == "c":
        raise RuntimeError("deg2rad is not supported for complex tensors.")
    return input * (math.pi / 180)


@operator(inplace=True)
def rad2deg(input):
    if input.dtype.kind == "c":
        raise RuntimeError("rad2deg is not supported for complex tensors.")
    return input * (180 / math.pi)


@operator(inplace=True, aliases=())
def nan_to_num(input, nan=0.0, posinf=None, neginf=None):
    for argument, value in (("nan", nan), ("posinf", posinf), ("neginf", neginf)):
        if value is not None and (not isinstance(value, (int, float))):
            raise TypeError(f"nan_to_num(): argument '{argument}' must be float, not {type(value).__name__}")
    if input.dtype.kind not in "fc":
        return input.clone()
    if input.dtype.kind == "c":
        return complex(nan_to_num(input.real, nan, posinf, neginf), nan_to_num(input.imag, nan, posinf, neginf))
    info = _limits(input.dtype)
    high = info if posinf is None else posinf
    low = -info if neginf is None else neginf
    out = where(input.isnan(), _number(nan, input), input)
    out = where(input == math.inf, _number(high, input), out)
    return where(input == -math.inf, _number(low, input), out)


def _limits(d) -> float:
    return 3.3895313892515355e38 if d is dtypes.bfloat16 else float(np.finfo(d.numpy).max)


@operator(inplace=True)
def xlogy(input, other):
    ew._one_tensor(input, other)
    only("xlogy", "buif", input, other)
    a, b = _float_pair(input, other)
    edge = (a == 0) & ~((b > 0) & (b < math.inf))
    return where(edge, where(b.isnan(), b, _zero(b)), a * where(edge, _one(b), b).log())


@operator("special.xlog1py", method=False)
def xlog1py(input, other):
    ew._one_tensor(input, other)
    only("xlog1py", "buif", input, other)
    a, b = _float_pair(input, other)
    edge = (a == 0) & ~((b > -1) & (b < math.inf))
    return where(edge, where(b.isnan(), b, _zero(b)), a * where(edge, _zero(b), b).log1p())


def _zero(x: Tensor) -> Tensor:
    return from_node(engine.scalar(0, x.dtype))


def _one(x: Tensor) -> Tensor:
    return from_node(engine.scalar(1, x.dtype))


def _float_pair(a, b) -> tuple[Tensor, Tensor]:
    d = result_type(a, b)
    d = d if d.kind in "fc" else dtypes.default_dtype
    return tuple(x.to(d) if isinstance(x, Tensor) else from_node(engine.scalar(x, d)) for x in (a, b))  # type: ignore[return-value]


def _logit_grad(g, input, eps):
    low = 0 if eps is None else eps
    outside = _number(math.nan if eps is None else 0, g)
    return where((input < low) | (input > 1 - low), outside, g / (input * (1 - input)))


@operator(inplace=True, grad=dict(input=_logit_grad))
def logit(input, eps=None):
    only("logit", "buif", input)
    x = input if input.dtype.kind == "f" else input.to(dtypes.default_dtype)
    if eps is not None:
        x = where(x < eps, eps, where(x > 1 - eps, 1 - eps, x))  # the lower bound wins where they cross
    return (x / (1 - x)).log()


_SINC = primitive("sinc", "elementwise", infer_elementwise, interpret=lambda attrs, x: np.sinc(x).astype(x.dtype))


def _sinc_grad(g, input):
    x = input * math.pi
    safe = where(input == 0, _one(input), input)
    return g * where(input == 0, _zero(input), ((x * x.cos() - x.sin()) / (safe * safe * math.pi)).conj())


sinc = elementwise("sinc", _SINC, kind="int_to_float", grad=dict(input=_sinc_grad))


@operator(inplace=True)
def heaviside(input, values):
    if input.dtype is not values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    nan = input.isnan() if input.dtype.kind == "f" else input != input
    return where(input == 0, values, where((input < 0) | nan, _zero(input), _one(input)))


@operator(inplace=True)
def ldexp(input, other):
    only_tensors("ldexp", input=input, other=other)
    if input.dtype.kind == "f":
        only("ldexp_cpu_exp", "uifc", other)
    if input.dtype.kind == "f" and other.dtype.kind in "ui":  # the power alone may not fit the input's type
        wide, power = input.to(dtypes.float64), other.to(dtypes.float64).clamp(-2100, 2100)
        first = ew.floor(power * 0.5)
        return (wide * ew.pow(2.0, first) * ew.pow(2.0, power - first)).to(input.dtype)
    d = other.dtype if other.dtype.kind == "f" else dtypes.default_dtype
    return input * ew.pow(other.new_full((), 2.0, dtype=d), other)


def _frexp(attrs, x):
    m, e = np.frexp(x)
    return m, e.astype(np.int32)


FREXP = primitive("frexp", "host", lambda a, x: (x, type_of(x.shape, dtypes.int32)), interpret=_frexp)


@operator()
def frexp(input):
    if input.dtype.kind != "f":
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    from .sort import pick_outputs
    m, e = pick_outputs(engine.record(FREXP, (input.detach()._value(),), None))
    exponent, mantissa = finish(e, input), finish(m, input)
    if input.requires_grad:
        mantissa = input / ew.pow(input.new_full((), 2.0), exponent.to(input.dtype))
    from collections import namedtuple
    return namedtuple("frexp", ["mantissa", "exponent"])(mantissa, exponent)


gcd = elementwise("gcd", primitive("gcd", "elementwise", infer_elementwise, interpret=lambda a, x, y: np.gcd(x, y)),
                  ("input", "other"), only="ui", numbers="none")


def _lcm(x, y):
    """Small integers wrap around only at the end, as C computes with them."""
    wide = np.int32 if x.dtype.itemsize < 4 else x.dtype
    return np.abs(np.lcm(x.astype(wide), y.astype(wide))).astype(x.dtype)


lcm = elementwise("lcm", primitive("lcm", "elementwise", infer_elementwise, interpret=lambda a, x, y: _lcm(x, y)),
                  ("input", "other"), only="ui", numbers="none")


def _real_only(name: str, x: Tensor) -> None:
    if x.dtype.kind == "c":
        raise RuntimeError(f"{name} does not support complex inputs.")


@operator(method=True, differentiable=False)
def isneginf(input):
    _real_only("isneginf", input)
    return input == -math.inf if input.dtype.kind == "f" else ew.isnan(input)


@operator(method=True, differentiable=False)
def isposinf(input):
    _real_only("isposinf", input)
    return input == math.inf if input.dtype.kind == "f" else ew.isnan(input)


@operator(method=True, differentiable=False, out=False)
def isreal(input):
    from .creation import ones_like
    return input.imag == 0 if input.dtype.kind == "c" else ones_like(input, dtype=bool_)


@operator(differentiable=False, out=False)
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype} did not match {other.dtype}: isclose expects tensors of one dtype")
    for name, x in (("rtol", rtol), ("atol", atol)):
        if not x >= 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {x}")
    close = input == other
    if equal_nan and input.dtype.kind in "fc":
        close = close | (input.isnan() & other.isnan())
    if rtol == 0 and atol == 0:
        return close
    a, b = (x if x.dtype.kind in "fc" else x.to(dtypes.default_dtype) for x in (input, other))
    difference = (a - b).abs()
    return close | (difference.isfinite() & (difference <= atol + (b * rtol).abs()))


@operator(differentiable=False, out=False)
def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


@operator(differentiable=False, out=False)
def equal(input, other):
    if input.shape != other.shape:
        return False
    return bool((input == other).all())


@operator()
def dist(input, other, p=2):
    from .norm import norm
    only_tensors("dist", input=input, other=other)
    if not is_number(p):
        raise TypeError(f"dist(): argument 'p' (position 3) must be Number, not {type(p).__name__}")
    return norm(input - other, p)


@operator()
def diff(input, n=1, dim=-1, prepend=None, append=None):
    from .movement import cat, slice_dim
    if not input.dim():
        raise RuntimeError("diff expects input to be at least one-dimensional")
    dim = wrap_dim(dim, input.dim())
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    parts = [x for x in (prepend, input, append) if x is not None]
    for x in parts:
        only_tensors("diff", **{"append" if x is append else "prepend": x})
        if x.dim() != input.dim():
            raise RuntimeError(f"diff expects prepend or append to be the same dimension as input, got {x.dim()} and {input.dim()}")
    if n == 0:
        return input.clone()
    x = cat(parts, dim) if len(parts) > 1 else input
    for _ in range(min(n, x.shape[dim])):
        high, low = slice_dim(x, dim, 1, None), slice_dim(x, dim, 0, -1)
        x = ew.logical_xor(high, low) if x.dtype is bool_ else high - low
    return x


@operator()
def logcumsumexp(input, dim):
    """log of the running Σ exp, in numpy's pairwise log-add so that nothing overflows."""
    only("logcumsumexp_out_cpu", "fc", input)
    return _lcse(input, wrap_dim(dim, input.dim()))


def _complex_lcse(dim: int, x: np.ndarray) -> np.ndarray:
    """Term by term around the larger real part, so that the imaginary part goes on across the branch cut."""
    out = np.moveaxis(x.copy(), dim, 0)
    for i in range(1, len(out)):
        swap = out[i - 1].real > out[i].real
        high, low = np.where(swap, out[i - 1], out[i]), np.where(swap, out[i], out[i - 1])
        out[i] = np.log1p(np.exp(low - high)) + high
    return np.moveaxis(out, 0, dim)


LCSE = primitive("logcumsumexp", "scan", lambda a, x: x, interpret=lambda dim, x: (
    np.logaddexp.accumulate(x, axis=dim) if x.dtype.kind == "f" else _complex_lcse(dim, x)) if x.ndim else x)


def _lcse_forward(input, dim):
    return from_node(engine.record(LCSE, (input._value(),), dim))


def _lcse_grad(g, input, out, dim):
    from .movement import flip
    if not input.dim():
        return g
    if input.dtype.kind == "c":
        shift = out.detach().real.amax(dim, True)  # taken out, so that nothing overflows
        return flip(cumsum(flip(g * (shift - out).exp().conj(), dim), dim), dim) * (input - shift).exp().conj()
    return _lcse_pull(g, input, out, dim)


def _signed(f, slope):
    """A linear function of ``slope`` that is computed for the logarithms of its positive and negative parts apart."""
    def part(size):
        present = size > 0
        return f(where(present, where(present, size, _one(size)).log(), size.new_full((), -math.inf)))
    return part(slope) - part(-slope)


def _exponential(logs):
    some = logs > -math.inf
    return where(some, where(some, logs, _zero(logs)).exp(), _zero(logs))


def _lcse_pull(slope, input, total, dim):
    """Σ over j ≥ i of slope_j · exp(input_i − total_j)."""
    from .movement import flip
    present = total > -math.inf
    shift = where(present, total, _zero(total))

    def scan(logs):
        return _exponential(flip(_lcse(flip(where(present, logs, -math.inf) - shift, dim), dim), dim) + input)
    return _signed(scan, slope)


def _lcse_push(slope, input, total, dim):
    """Σ over i ≤ j of slope_i · exp(input_i − total_j): what `_lcse_pull` is the transpose of."""
    present = total > -math.inf
    shift = where(present, total, _zero(total))
    return _signed(lambda logs: where(present, _exponential(_lcse(logs + input, dim) - shift), _zero(total)), slope)


_lcse_pull = with_rule("LogcumsumexpPull", dict(
    slope=lambda g, input, total, dim: _lcse_push(g, input, total, dim), input=lambda g, out: g * out,
    total=lambda g, slope, input, total, dim: -slope * _lcse_push(g, input, total, dim)), ("slope", "input", "total"))(_lcse_pull)
_lcse_push = with_rule("LogcumsumexpPush", dict(
    slope=lambda g, input, total, dim: _lcse_pull(g, input, total, dim),
    input=lambda g, slope, input, total, dim: slope * _lcse_pull(g, input, total, dim),
    total=lambda g, out: -g * out), ("slope", "input", "total"))(_lcse_push)
_lcse = operator("logcumsumexp.float", method=False, out=False, grad=dict(input=_lcse_grad))(_lcse_forward)


@operator(method=False)
def trapezoid(y, x=None, *, dx=None, dim=-1):
    from .movement import slice_dim
    if x is not None and not isinstance(x, Tensor):
        raise TypeError(f"trapezoid(): argument 'x' must be Tensor, not {type(x).__name__}: a distance is dx=")
    dim = wrap_dim(dim, y.dim())
    if y.dtype is bool_ or x is not None and x.dtype is bool_:
        raise RuntimeError("trapezoid: received a bool input for `x` or `y`, but bool is not supported")
    if not y.shape[dim]:
        return y.sum(dim).to(y.dtype)
    if x is None:
        return (y.sum(dim) - (y.select(dim, 0) + y.select(dim, -1)) * 0.5) * (1 if dx is None else dx)
    step = diff(x, dim=-1 if x.dim() == 1 else dim)
    if x.dim() == 1 and y.dim() > 1:
        step = step.reshape([-1 if d == dim else 1 for d in range(y.dim())])
    return ((slice_dim(y, dim, 1, None) + slice_dim(y, dim, 0, -1)) * step).sum(dim) / 2.0


@operator(method=False)
def trapz(y, x=None, *, dx=None, dim=-1):
    return trapezoid(y, x, dx=dx, dim=dim)


@operator(method=False, takes="uifc")
def cumulative_trapezoid(y, x=None, *, dx=None, dim=-1):
    from .movement import slice_dim
    dim = wrap_dim(dim, y.dim())
    if x is not None:
        step = diff(x, dim=-1 if x.dim() == 1 else dim)
        if x.dim() == 1 and y.dim() > 1:
            step = step.reshape([-1 if d == dim else 1 for d in range(y.dim())])
    else:
        step = 1 if dx is None else dx
    return cumsum((slice_dim(y, dim, 1, None) + slice_dim(y, dim, 0, -1)) * step, dim) / 2.0


@operator(method=True)
def cross(input, other, dim=None):
    if dim is None:
        dim = next((d for d, s in enumerate(input.shape) if s == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    return linalg_cross(input, other, dim=dim)


@operator("linalg.cross", method=False)
def linalg_cross(input, other, *, dim=-1):
    from .movement import broadcast_tensors
    from .shape import roll
    if input.dim() != other.dim():
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    dim = wrap_dim(dim, input.dim())
    if input.shape[dim] != 3 or other.shape[dim] != 3:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[dim]} and "
                           f"{other.shape[dim]}")
    only("cross", "uifc", input)
    if input.dtype is not other.dtype:
        raise RuntimeError(f"linalg.cross: inputs must have the same dtype, got {input.dtype} and {other.dtype}")
    a, b = (x.contiguous() for x in broadcast_tensors(input, other))
    return roll(a, -1, dim) * roll(b, -2, dim) - roll(a, -2, dim) * roll(b, -1, dim)


@operator(method=True)
def kron(input, other):
    n = max(input.dim(), other.dim())
    a = input.reshape([1] * (n - input.dim()) + list(input.shape))
    b = other.reshape([1] * (n - other.dim()) + list(other.shape))
    x = a.reshape([s for d in a.shape for s in (d, 1)]) * b.reshape([s for d in b.shape for s in (1, d)])
    return x.reshape([p * q for p, q in zip(a.shape, b.shape, strict=True)])


@operator(takes="uifc")
def inner(input, other):
    only_tensors("inner", input=input, other=other)
    if not input.dim() or not other.dim():
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(f"inner() the last dimension must match on both input tensors but got shapes {list(input.shape)} and "
                           f"{list(other.shape)}")
    return tensordot(input, other, ([-1], [-1]))


@operator(method=False, takes="uifc")
def tensordot(a, b, dims=2):
    from .contraction import contract
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > a.dim() or dims > b.dim():
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        left, right = list(range(a.dim() - dims, a.dim())), list(range(dims))
    else:
        left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    left, right = [wrap_dim(d, a.dim()) for d in left], [wrap_dim(d, b.dim()) for d in right]
    if len(left) != len(right):
        raise RuntimeError("both dimension lists should have same length")
    for given in (left, right):
        if len(set(given)) != len(given):
            raise RuntimeError(f"tensordot: a dim appears multiple times in the list of dims {given}")
    for i, j in zip(left, right, strict=True):
        if a.shape[i] != b.shape[j]:
            if a.shape[i] == 1 or b.shape[j] == 1:
                a = a.sum(i, keepdim=True, dtype=a.dtype) if b.shape[j] == 1 else a
                b = b.sum(j, keepdim=True, dtype=b.dtype) if a.shape[i] == 1 else b
            else:
                raise RuntimeError(f"contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} and second "
                                   f"has size {b.shape[j]} in dim {j}")
    if a.dtype is not b.dtype:
        raise RuntimeError(f"both inputs should have same dtype, got {a.dtype} and {b.dtype}")
    free_a = [d for d in range(a.dim()) if d not in left]
    free_b = [d for d in range(b.dim()) if d not in right]
    n_out = len(free_a) + len(free_b)
    sizes = [a.shape[d] for d in free_a] + [b.shape[d] for d in free_b] + [a.shape[d] for d in left]
    at_a = {d: i for i, d in enumerate(free_a)} | {d: n_out + i for i, d in enumerate(left)}
    at_b = {d: len(free_a) + i for i, d in enumerate(free_b)} | {d: n_out + i for i, d in enumerate(right)}
    return contract(a, b, Contraction(tuple(sizes), n_out, tuple(Affine(((at_a[d], 1),)) for d in range(a.dim())),
                                      tuple(Affine(((at_b[d], 1),)) for d in range(b.dim()))), "Tensordot")


@operator(inplace=True)
def renorm(input, p, dim, maxnorm):
    """Each slice along ``dim`` scaled down to a ``p``-norm of at most ``maxnorm``."""
    if not p > 0 or not maxnorm >= 0:
        raise RuntimeError(f"renorm: expected {'a positive norm' if not p > 0 else 'maxnorm to be >= 0'} but got "
                           f"{maxnorm if p > 0 else p}")
    if input.dim() < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.dim()} dimensions")
    from .norm import vector_norm
    dim = wrap_dim(dim, input.dim())
    rest = [d for d in range(input.dim()) if d != dim]
    size = vector_norm(input, p, rest, True)
    factor = where(size > maxnorm, maxnorm / (size + 1e-7), _one(size))
    return (input * factor).contiguous()


def _check_weights(name: str, weights, kinds: str, what: str, n: int) -> None:
    """The weights of `cov`'s observations: one for each, none of them negative."""
    if weights.dim() > 1:
        raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got {name} with {weights.dim()} dimensions")
    if weights.dtype.kind not in kinds:
        raise RuntimeError(f"cov(): expected {name} to have {what} dtype but got {name} with {weights.dtype} dtype")
    if weights.numel() != n:
        raise RuntimeError(f"cov(): expected {name} to have the same numel as there are observations in the input but got "
                           f"{weights.numel()} != {n}")
    if n and bool((weights < 0).any()):
        raise RuntimeError(f"cov(): {name} cannot be negative")


@operator(method=True)
def cov(input, *, correction=1, fweights=None, aweights=None):
    if input.dim() > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions but got an input with {input.dim()} dimensions")
    if input.dtype is bool_:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input if input.dim() == 2 else input.reshape(1, -1)
    if x.dtype.kind not in "fc":
        x = x.to(dtypes.default_dtype)
    n = x.shape[1]
    for name, given, kinds, what in (("fweights", fweights, "ui", "integral"), ("aweights", aweights, "f", "floating point")):
        if given is not None:
            _check_weights(name, given, kinds, what, n)
    w = None
    if fweights is not None:
        w = fweights
    if aweights is not None:
        w = aweights if w is None else w * aweights
    total = w.sum() if w is not None else n
    average = (x * w).sum(1, keepdim=True) / total if w is not None else x.mean(1, keepdim=True)
    if w is None or correction == 0:
        norm = total - correction if w is None else total
    elif aweights is None:
        norm = total - correction
    else:
        norm = total - correction * (w * aweights).sum() / total
    norm = max(norm, 0) if not isinstance(norm, Tensor) else norm.clamp(min=0)
    c = x - average
    out = ew._true_divide(((c * w if w is not None else c) @ c.conj().t()), norm)
    return out.squeeze()


@operator(method=True)
def corrcoef(input):
    c = cov(input)
    if not c.dim():
        return c / c
    d = c.diagonal()
    s = (d.real if d.dtype.kind == "c" else d).sqrt()
    out = c / s.unsqueeze(1) / s.unsqueeze(0)
    if out.dtype.kind == "c":
        return complex(out.real.clamp(-1, 1), out.imag.clamp(-1, 1))
    return out.clamp(-1, 1)


@operator(method=False, out=False)
def gradient(input, *, spacing=None, dim=None, edge_order=1):
    from .movement import cat
    dims = list(range(input.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    dims = [wrap_dim(d, input.dim()) for d in dims]
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"gradient(): a dim appears multiple times in the list of dims {list(dims)}")
    if edge_order not in (1, 2):
        raise RuntimeError(f"torch.gradient only supports edge_order=1 and edge_order=2, got {edge_order}")
    if input.dtype is dtypes.uint8:
        raise RuntimeError("torch.gradient does not support uint8 input.")
    spacing = 1 if spacing is None else spacing
    per = list(spacing) if isinstance(spacing, (tuple, list)) else [spacing] * len(dims)
    if isinstance(spacing, (tuple, list)) and any(isinstance(h, Tensor) and h.dim() != 1 for h in per):
        raise RuntimeError("torch.gradient expected each element of spacing to have one dimension, but got one that has not")
    if len(per) != len(dims):
        raise RuntimeError(f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length {len(dims)}")
    out = []
    for d, h in zip(dims, per, strict=True):
        n = input.shape[d]
        if n < edge_order + 1:
            raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
        part = lambda a, k, d=d: input.narrow(d, a, k)  # noqa: E731
        if isinstance(h, Tensor) and h.dim():
            x = h.to(input.dtype)
            gaps = (x[1:] - x[:-1]).reshape([-1 if k == d else 1 for k in range(input.dim())])
            a, b = gaps.narrow(d, 0, n - 2), gaps.narrow(d, 1, n - 2)
            mid = part(0, n - 2) * (-b / (a * (a + b))) + part(1, n - 2) * ((b - a) / (a * b)) \
                + part(2, n - 2) * (a / (b * (a + b)))
            g0, g1 = gaps.narrow(d, 0, 1), gaps.narrow(d, n - 2, 1)
            if edge_order == 1:
                first, last = (part(1, 1) - part(0, 1)) / g0, (part(n - 1, 1) - part(n - 2, 1)) / g1
            else:
                p, q = g0, gaps.narrow(d, 1, 1)
                first = part(0, 1) * (-(2 * p + q) / (p * (p + q))) + part(1, 1) * ((p + q) / (p * q)) \
                    - part(2, 1) * (p / (q * (p + q)))
                p, q = gaps.narrow(d, n - 3, 1), g1
                last = part(n - 3, 1) * (q / (p * (p + q))) - part(n - 2, 1) * ((p + q) / (p * q)) \
                    + part(n - 1, 1) * ((2 * q + p) / (q * (p + q)))
        else:
            h = h.item() if isinstance(h, Tensor) else h
            mid = (part(2, n - 2) - part(0, n - 2)) / (2 * h)
            if edge_order == 1:
                first, last = (part(1, 1) - part(0, 1)) / h, (part(n - 1, 1) - part(n - 2, 1)) / h
            else:
                first = (part(1, 1) * 4 - part(0, 1) * 3 - part(2, 1)) / (2 * h)
                last = (part(n - 1, 1) * 3 - part(n - 2, 1) * 4 + part(n - 3, 1)) / (2 * h)
        out.append(cat([first, mid, last], d))
    return list(out)
