"""Activations of neural networks, and softmax.

Most are short compositions of elementwise primitives, so that the compiler fuses them with what stands around them, with
a gradient of their own that saves one tensor. Half precisions are computed in float32 and rounded once, as PyTorch does.
"""

from __future__ import annotations

import math
from functools import wraps

from ..tensor import Tensor, check_inplace, wrap_dim
from .compose import also, number, require_float, shown_as, widened, with_rule
from .elementwise import erf, exp, expm1, log1p, maximum, minimum, sigmoid, tanh, where
from .random import slopes
from .record import OPERATORS, _long_name, _node_name, element, operator, snapshot, write_inplace
from .reduce import amax

# -- making them --------------------------------------------------------------------------------------------------------


def activation(name: str, *, grad=None, node: str | None = None, top: bool = False, method: bool = False, underscore: bool = False,
               inplace: bool = False, out: bool = False, kinds: str = "f", stepwise: bool = False):
    """Makes ``nn.functional.<name>`` of a function of a tensor and numbers.

    ``top``: it is ``torch.<name>`` too; ``method``: and a method of Tensor; ``inplace``: it has an ``inplace`` argument;
    ``underscore``: its in-place form is a function as well, in each of these places. ``kinds``: dtypes that it takes; ``out``: it
    takes ``out=``; ``stepwise``: half precisions are rounded after each step, not once.
    """
    def decorate(compute):
        core = with_rule(node or _node_name(name), grad, ("input",))(compute) if grad is not None else compute
        parameters = compute.__code__.co_argcount - 1

        @wraps(compute)
        def run(input, *args, **kwargs):
            if not isinstance(input, Tensor):
                raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
            require_float(name, input, kinds)
            x = input if stepwise else widened(input)
            return core(x, *args, **kwargs) if x is input else core(x, *args, **kwargs).to(input.dtype)

        @wraps(compute)
        def update(input, *args, **kwargs):
            check_inplace(input)
            return write_inplace(input, run(snapshot(input), *args, **kwargs))

        @wraps(compute)
        def choose(input, *args, inplace=False, **kwargs):
            if len(args) > parameters:
                *args, inplace = args
            return (update if inplace else run)(input, *args, **kwargs)

        update.__name__ = update.__qualname__ = name + "_"
        public = operator("nn.functional." + name, method=False, out=out)(choose if inplace else run)
        places = ["nn.functional." + name + "_"] if underscore else []
        if top:
            operator(name, method=method, inplace=method)(run)
            places += [name + "_"] if underscore else []
        for path in places:
            operator(path, method=False, out=False)(update)
        return public
    return decorate


def _zero(like: Tensor) -> Tensor:
    return number(0, like)


# -- rectifiers ----------------------------------------------------------------------------------------------------------


@activation("relu", grad=dict(input=lambda g, out: where(out <= 0, 0, g)), top=True, method=True, underscore=True,
            inplace=True, kinds="fiu")
def relu(input):
    """max(x, 0)."""
    return maximum.core(input, 0)


def _clipped(input, low, high):
    return minimum(maximum(input, number(low, input)), number(high, input))


def _inside(g, input, min_val, max_val):
    return where((input <= min_val) | (input >= max_val), _zero(g), g)


@activation("hardtanh", grad=dict(input=_inside), inplace=True, underscore=True, kinds="fi")
def hardtanh(input, min_val=-1.0, max_val=1.0):
    """x bounded by ``min_val`` and ``max_val``."""
    if min_val > max_val:
        raise ValueError(f"min_val cannot be greater than max_val, got {min_val} > {max_val}")
    return _clipped(input, element(min_val, input.dtype), element(max_val, input.dtype))


@activation("relu6", node="Hardtanh", inplace=True, kinds="fiu",
            grad=dict(input=lambda g, input: where((input <= 0) | (input >= 6), _zero(g), g)))
def relu6(input):
    """min(max(x, 0), 6)."""
    return _clipped(input, 0, 6)


@activation("leaky_relu", grad=dict(input=lambda g, input, negative_slope: where(input > 0, g, g * negative_slope)),
            inplace=True, underscore=True)
def leaky_relu(input, negative_slope=0.01):
    """x where it is positive, ``negative_slope`` · x elsewhere."""
    return where(input > 0, input, input * negative_slope)


@operator("nn.functional.prelu", method="prelu", out=False)
@shown_as("PreluKernel")
def prelu(input, weight):
    """As `leaky_relu`, with a learned slope: one for all, or one for each channel (dimension 1)."""
    if input.dtype is not weight.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {input.dtype} and {weight.dtype}: convert one with .to()")
    channels = input.shape[1] if input.dim() > 1 else 1
    if weight.dim() > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.dim()}")
    if weight.numel() != 1:
        if not input.dim():
            raise RuntimeError("Not allow zero-dim input tensor.")
        if weight.numel() != channels:
            raise RuntimeError(f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {weight.numel()} "
                               f"and channel size = {channels}.")
    require_float("prelu_cpu", input)
    w = weight.reshape(() if weight.numel() == 1 else [-1 if d == 1 else 1 for d in range(input.dim())])
    x = widened(input)
    return where(x > 0, x, x * widened(w)).to(input.dtype)


also("prelu", prelu)


@operator("nn.functional.rrelu", method=False, out=False)
@shown_as("RreluWithNoise")
def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False):
    """`leaky_relu` with a slope drawn from [lower, upper) for each element not above 0 in training, their mean otherwise."""
    if not lower <= upper:
        raise RuntimeError(f"Lower bound should be less than or equal to the upper bound, got {lower} and {upper}")
    require_float("rrelu", input)
    if inplace:
        check_inplace(input)
    else:
        input = input.contiguous()
    if training:
        out = (snapshot(input) if inplace else input) * slopes(input.detach(), lower, upper)
    else:
        out = leaky_relu(snapshot(input) if inplace else input, (lower + upper) / 2)
    if not inplace:
        return out
    return write_inplace(input, out)


@operator("nn.functional.rrelu_", method=False, out=False)
def _rrelu_update(input, lower=1.0 / 8, upper=1.0 / 3, training=False):
    """`rrelu`, in place."""
    return rrelu(input, lower, upper, training, True)


also("rrelu", rrelu)
also("rrelu_", _rrelu_update)


# -- exponential units -----------------------------------------------------------------------------------------------------


def _elu(input, alpha, scale, input_scale):
    low = expm1(minimum(input, number(0, input)) * input_scale) * (alpha * scale)
    return where(input > 0, input * scale if scale != 1 else input, low)


def _elu_grad(g, input, alpha, scale, input_scale):
    low = exp(where(input < 0, input, number(0, input)) * input_scale) * (alpha * scale * input_scale)
    return g * where(input <= 0, low, number(scale, g))


_elu_core = with_rule("Elu", dict(input=_elu_grad), ("input",))(_elu)
_celu_core = with_rule("Celu", dict(input=_elu_grad), ("input",))(_elu)


@activation("elu", inplace=True, underscore=True)
def elu(input, alpha=1.0):
    """x where it is positive, ``alpha`` (eˣ − 1) elsewhere."""
    return _elu_core(input, alpha, 1.0, 1.0)


@activation("selu", inplace=True, underscore=True, top=True)
def selu(input):
    """The scaled exponential unit that keeps mean 0 and variance 1 (Klambauer et al., arXiv:1706.02515)."""
    return _elu_core(input, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0)


@activation("celu", inplace=True, underscore=True, top=True)
def celu(input, alpha=1.0):
    """max(x, 0) + min(0, ``alpha`` (e^(x/alpha) − 1))."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _celu_core(input, alpha, 1.0, 1.0 / alpha)


# -- smooth units ----------------------------------------------------------------------------------------------------------

_HALF_ROOT = math.sqrt(0.5)
_TANH_SCALE, _TANH_CUBE = math.sqrt(2 / math.pi), 0.044715


def _gelu_erf_grad(g, input):
    normal = exp(input * input * -0.5) * (1 / math.sqrt(2 * math.pi))
    return g * ((erf(input * _HALF_ROOT) + 1) * 0.5 + input * normal)


def _gelu_tanh_grad(g, input):
    square = input * input
    t = tanh((input + input * square * _TANH_CUBE) * _TANH_SCALE)
    slope = (square * (3 * _TANH_CUBE) + 1) * _TANH_SCALE
    return g * ((t + 1) * 0.5 + input * 0.5 * (1 - t * t) * slope)


_gelu_erf = with_rule("Gelu", dict(input=_gelu_erf_grad), ("input",))(
    lambda input: input * 0.5 * (erf(input * _HALF_ROOT) + 1))
_gelu_tanh = with_rule("Gelu", dict(input=_gelu_tanh_grad), ("input",))(
    lambda input: input * 0.5 * (tanh((input + input * input * input * _TANH_CUBE) * _TANH_SCALE) + 1))


@activation("gelu", out=True)
def gelu(input, approximate="none"):
    """x Φ(x), with the normal distribution's Φ by erf ("none") or by its "tanh" approximation (arXiv:1606.08415)."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"approximate argument must be either none or tanh, got {approximate!r}")
    return _gelu_erf(input) if approximate == "none" else _gelu_tanh(input)


def _silu_grad(g, input):
    s = sigmoid(input)
    return g * (s * (input * (1 - s) + 1)).conj()


@activation("silu", grad=dict(input=_silu_grad), inplace=True, kinds="fc")
def silu(input):
    """x · sigmoid(x)."""
    return input * sigmoid(input)


def _mish_grad(g, input):
    t = tanh(_softplus(input, 1, 20))
    return g * (t + input * sigmoid(input) * (1 - t * t))


@activation("mish", grad=dict(input=_mish_grad), inplace=True)
def mish(input):
    """x · tanh(softplus(x)) (arXiv:1908.08681)."""
    return input * tanh(_softplus(input, 1, 20))


def _softplus(input, beta, threshold):
    z = input * beta if beta != 1 else input
    low = log1p(exp(minimum(z, number(threshold, z))))
    return where(z > threshold, input, low / beta if beta != 1 else low)


def _softplus_grad(g, input, beta, threshold):
    z = input * beta if beta != 1 else input
    return where(z > threshold, g, g * sigmoid(z))


@activation("softplus", out=True, grad=dict(input=_softplus_grad))
def softplus(input, beta=1, threshold=20):
    """log(1 + e^(beta · x)) / beta; x itself where beta · x exceeds ``threshold``."""
    return _softplus(input, beta, threshold)


@activation("logsigmoid", out=True, node="LogSigmoid", grad=dict(input=lambda g, input: g * sigmoid(-input)))
def logsigmoid(input):
    """log sigmoid(x), computed so that it neither over- nor underflows."""
    input = input.contiguous()
    return minimum(input, number(0, input)) - log1p(exp(-input.abs()))


@activation("softsign", kinds="fciub", stepwise=True)
def softsign(input):
    """x / (1 + |x|)."""
    return input / (input.abs() + 1)


@activation("tanhshrink", kinds="fciub", stepwise=True)
def tanhshrink(input):
    """x − tanh(x)."""
    return input - tanh(input)


@operator("nn.functional.glu", method=False, out=False)
@shown_as("Glu")
def glu(input, dim=-1):
    """The first half along ``dim`` times the sigmoid of the second."""
    if not input.dim():
        raise RuntimeError("glu does not support 0-dimensional tensors")
    dim = wrap_dim(dim, input.dim())
    size = input.shape[dim]
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {size}")
    require_float("glu_cpu", input)
    x = widened(input)
    return (x.narrow(dim, 0, size // 2) * sigmoid(x.narrow(dim, size // 2, size // 2))).to(input.dtype)


# -- piecewise -------------------------------------------------------------------------------------------------------------


def _hardswish_grad(g, input):
    return where(input < 3, where(input <= -3, _zero(g), g * (input / 3 + 0.5)), g)


@activation("hardswish", grad=dict(input=_hardswish_grad), inplace=True)
def hardswish(input):
    """x · relu6(x + 3) / 6 (arXiv:1905.02244)."""
    return input * _clipped(input + 3, 0, 6) / 6


@activation("hardsigmoid", grad=dict(input=lambda g, input: where((input > -3) & (input < 3), g / 6, _zero(g))), inplace=True)
def hardsigmoid(input):
    """relu6(x + 3) / 6."""
    return _clipped(input + 3, 0, 6) / 6


@activation("threshold", grad=dict(input=lambda g, input, threshold: where(input <= threshold, _zero(g), g)), inplace=True,
            underscore=True, top=True, kinds="fiu")
def threshold(input, threshold, value):
    """x where it exceeds ``threshold``, ``value`` elsewhere."""
    threshold, value = element(threshold, input.dtype), element(value, input.dtype)
    return where(input <= threshold, number(value, input), input)


@activation("softshrink", out=True,
            grad=dict(input=lambda g, input, lambd: where((input >= -lambd) & (input <= lambd), _zero(g), g)))
def softshrink(input, lambd=0.5):
    """x brought towards 0 by ``lambd``; 0 where it is nearer than that."""
    if not lambd >= 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    shifted = where(input > lambd, input - lambd, input + lambd)
    return where((input >= -lambd) & (input <= lambd), number(0, input), shifted)


@activation("hardshrink", out=True, top=True, method=True,
            grad=dict(input=lambda g, input, lambd: where((input >= -lambd) & (input <= lambd), _zero(g), g)))
def hardshrink(input, lambd=0.5):
    """x, or 0 where |x| ≤ ``lambd``."""
    return where((input >= -lambd) & (input <= lambd), number(0, input), input)


for _name in ("tanh", "sigmoid"):
    also("nn.functional." + _name, OPERATORS[_name].function)


# -- softmax ---------------------------------------------------------------------------------------------------------------


def _softmax(input, dim):
    if not input.numel():
        return input.clone()
    e = exp(input - amax(input, dim, True))
    return e * e.sum(dim, True).reciprocal()  # a division for each row, not for each element


def _log_softmax(input, dim):
    if not input.numel():
        return input.clone()
    z = input - amax(input, dim, True)
    return z - exp(z).sum(dim, True).log()


def _softmax_grad(g, out, dim):
    weighted = g * out
    return weighted - out * weighted.sum(dim, True)


softmax_core = with_rule("Softmax", dict(input=_softmax_grad), ("input",))(_softmax)
log_softmax_core = with_rule("LogSoftmax", dict(input=lambda g, out, dim: g - exp(out) * g.sum(dim, True)), ("input",))(
    _log_softmax)


def _along(name: str, core, input, dim, dtype):
    """A softmax in ``dtype``: half precisions are computed in float32 and rounded once."""
    if dtype is not None and dtype is not input.dtype:
        input = input.to(dtype)
    require_float(name + "_lastdim_kernel_impl", input)
    dim = wrap_dim(dim, input.dim())
    input = input.contiguous()
    x = widened(input)
    if not x.dim():
        out = core(x.reshape(1), 0).reshape(())
    else:
        out = core(x, dim)
    return out if x is input else out.to(input.dtype)


@operator("softmax")
def softmax(input, dim, dtype=None):
    """eˣ / Σ eˣ along ``dim``."""
    return _along("softmax", softmax_core, input, dim, dtype)


@operator("log_softmax")
def log_softmax(input, dim, dtype=None):
    """log of `softmax`, computed without its underflow."""
    return _along("log_softmax", log_softmax_core, input, dim, dtype)


def _implicit_dim(name: str, rank: int) -> int:
    import warnings
    warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an "
                  f"argument.", UserWarning, stacklevel=4)
    return 0 if rank in (0, 1, 3) else 1


@operator("nn.functional.softmax", method=False, out=False)
def _functional_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """eˣ / Σ eˣ along ``dim``."""
    return softmax(input, _implicit_dim("softmax", input.dim()) if dim is None else dim, dtype)


@operator("nn.functional.log_softmax", method=False, out=False)
def _functional_log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """log of `softmax`."""
    return log_softmax(input, _implicit_dim("log_softmax", input.dim()) if dim is None else dim, dtype)


@operator("nn.functional.softmin", method=False, out=False)
def softmin(input, dim=None, _stacklevel=3, dtype=None):
    """`softmax` of −x."""
    return softmax(-input, _implicit_dim("softmin", input.dim()) if dim is None else dim, dtype)


@operator("_softmax_backward_data", method=False, out=False, takes="f")
def _softmax_backward_data(grad_output, output, dim, input_dtype):
    """The gradient of `softmax`, from the result; on the CPU ``input_dtype`` changes nothing."""
    if grad_output.shape != output.shape:
        raise RuntimeError(f"Expected tensor for argument #1 'grad' to have same size as tensor for argument #2 'output'; but "
                           f"{list(grad_output.shape)} does not equal {list(output.shape)} (while checking softmax_backward)")
    if grad_output.dtype is not output.dtype:
        raise RuntimeError(f"expected scalar type {_long_name(grad_output.dtype)} but found {_long_name(output.dtype)}")
    return _softmax_grad(widened(grad_output), widened(output), dim).to(grad_output.dtype)
