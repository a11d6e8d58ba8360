"""Normalisation: values brought to mean 0 and variance 1 over some of their dimensions, then scaled and shifted.

Batch, layer, group and instance normalisation are one function, `standardised`, that differs in the dimensions that the
statistics are taken over. Its gradient is written out, and shares what the parts need; it saves the input and two
numbers for each mean. Half precisions are computed in float32 and rounded once.
"""

from __future__ import annotations

import math

from ..autograd.modes import modes, no_grad
from ..autograd.tape import Rule, track
from ..dtypes import bfloat16, float16, float32, float64
from ..tensor import Tensor, from_node, wrap_dim
from .compose import also, number, require_float, show, widened
from .elementwise import maximum, rsqrt
from .movement import laid_like, sizes_of
from .norm import norm
from .record import _long_name, not_int, operator
from .ruled import ABSENT

# -- the core ------------------------------------------------------------------------------------------------------------


def _statistics(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over ``dims``, kept as dimensions of size 1."""
    mean = x.mean(dims, True)
    return mean, (x - mean).square().mean(dims, True)


def _standardise_grad(g, input, weight, mean, scale, dims, eps):
    """With x̂ = (x − mean)·scale and h = g·weight: dx = scale·(h − mean(h) − x̂·mean(h·x̂))."""
    if modes.grad:  # a second derivative goes through the statistics, too
        mean, variance = _statistics(input, dims)
        scale = rsqrt(variance + eps)
    normal = (input - mean) * scale
    h = g if weight is None else g * weight
    dx = scale * (h - h.mean(dims, True) - normal * (h * normal).mean(dims, True))
    return dx, g * normal, g, None, None


_STANDARDISE = Rule("NativeNorm", ("input", "weight", "bias", "mean", "scale"), _standardise_grad, broadcasts=True)


def standardised(x: Tensor, dims: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: float,
                 name: str = "NativeNorm") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(x − mean)/√(variance + eps)·weight + bias over ``dims``; the mean, the variance and 1/√(variance + eps) with it.

    ``weight`` and ``bias`` broadcast to ``x``. The statistics are off the tape.
    """
    given = (x, weight, bias)
    nodes = tuple(None if t is None else t._value() for t in given)
    with no_grad():
        plain, w, b = (None if n is None else from_node(n) for n in nodes)  # read once: memory that numpy shares is copied
        mean, variance = _statistics(plain, dims)
        scale = rsqrt(variance + eps)
        out = (plain - mean) * scale
        out = out if w is None else out * w
        out = out if b is None else out + b
    if modes.grad and any(t is not None and t.requires_grad for t in given):
        rule = _named(name)
        absent = ABSENT
        present = tuple(absent if t is None else t for t in given)
        track(rule, (out,), (*present, mean, scale), (*nodes, mean._value(), scale._value()),
              {"dims": dims, "eps": eps, **({"weight": None} if weight is None else {})})
    return out, mean, variance, scale


_rules = {"NativeNorm": _STANDARDISE}


def _named(name: str) -> Rule:
    found = _rules.get(name)
    if found is None:
        found = _rules[name] = Rule(name, _STANDARDISE.inputs, _STANDARDISE.grad, broadcasts=True)
    return found


def _wide(t: Tensor | None, shape=None) -> Tensor | None:
    """A parameter in the type computed in, in a shape that broadcasts."""
    if t is None:
        return None
    t = widened(t)
    return t if shape is None else t.reshape(shape)


# -- batch and instance ----------------------------------------------------------------------------------------------------


def _check_channels(channels: int, **parameters: Tensor | None) -> None:
    for argument, t in parameters.items():
        if t is not None and (t.numel() != channels or t.dim() > 1 and argument.startswith("running")):
            what = t.numel() if t.dim() == 1 else f"a tensor of size {list(t.shape)}"
            raise RuntimeError(f"{argument} should contain {channels} elements not {what}")


def _check_types(input: Tensor, *parameters: Tensor | None) -> None:
    """Parameters are all of the input's dtype, or all float32 beside a half precision."""
    given = [t for t in parameters if t is not None]
    if not given:
        return
    expected = input.dtype if given[0].dtype is input.dtype else float32
    for t in given:
        if t.dtype is not expected:
            raise RuntimeError(f"expected scalar type {_long_name(expected)} but found {_long_name(t.dtype)}: parameters and "
                               f"running statistics have the input's dtype, or float32 beside a half-precision input")
    if expected is not input.dtype and input.dtype not in (bfloat16, float16):
        raise RuntimeError(f"mixed dtype (CPU): all inputs must share same datatype, got {input.dtype} with "
                           f"parameters of {expected}")


def _blend(running: Tensor, new: Tensor, momentum: float) -> None:
    """running ← (1 − momentum)·running + momentum·new, in place."""
    with no_grad():
        old = widened(running)
        running.copy_(old * (1 - momentum) + new.reshape(running.shape).to(old.dtype) * momentum)


def _update_running(running_mean, running_var, mean: Tensor, variance: Tensor, n: int, momentum: float) -> None:
    """Brings running statistics nearer to a batch's; the variance is the unbiased one."""
    if running_mean is not None:
        _blend(running_mean, mean, momentum)
    if running_var is not None:
        _blend(running_var, variance * (n / (n - 1) if n > 1 else math.nan), momentum)


def _statistics_type(input: Tensor, *parameters: Tensor | None):
    """PyTorch keeps the statistics of half precisions in float32 only where the parameters are that wide."""
    wide = any(t is not None and t.dtype is not input.dtype for t in parameters)
    return float32 if wide and input.dtype in (bfloat16, float16) else input.dtype


def _per_channel(rank: int) -> list[int]:
    return [-1 if d == 1 else 1 for d in range(rank)]


def _batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps):
    """The result in the input's dtype, and the batch's mean and 1/√(variance + eps) (empty when not training)."""
    if input.dim() < 2 and input.numel():
        raise RuntimeError(f"batch_norm expects an input of at least 2 dimensions (N, C, …), got size {list(input.shape)}")
    require_float("batch_norm", input)
    if input.dim() < 2:
        return input.clone(), input.new_zeros(0), input.new_zeros(0)
    channels = input.shape[1]
    if training and (running_mean is None) != (running_var is None):
        raise RuntimeError("running_mean and running_var must either both be None or neither be None")
    _check_channels(channels, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    _check_types(input, weight, bias, running_mean, running_var)
    shape = _per_channel(input.dim())
    x, w, b = widened(input), _wide(weight, shape), _wide(bias, shape)
    if training:
        dims = (0, *range(2, input.dim()))
        out, mean, variance, scale = standardised(x, dims, w, b, eps, "NativeBatchNorm")
        if running_mean is not None or running_var is not None:
            n = input.numel() // channels if channels else 0
            _update_running(running_mean, running_var, mean, variance, n, momentum)
        kept = _statistics_type(input, weight, bias, running_mean, running_var)
        return out.to(input.dtype), mean.reshape(-1).to(kept), scale.reshape(-1).to(kept)
    if running_mean is None or running_var is None:
        raise RuntimeError("Expected running_mean and running_var to be defined when training=False")
    mean, variance = (_wide(t, shape) for t in (running_mean, running_var))
    scale = rsqrt(variance + eps)
    scale = scale if w is None else scale * w
    out = (x - mean) * scale
    out = show((out if b is None else out + b).to(input.dtype), "NativeBatchNorm", input)
    return out, input.new_zeros(0), input.new_zeros(0)


def _check_batch(shape) -> None:
    n = shape[0] * math.prod(shape[2:])
    if n == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {shape}")


@operator("nn.functional.batch_norm", method=False, out=False)
def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """Normalises each channel over the batch (training; the running statistics follow in place), or by the running
    statistics (https://arxiv.org/abs/1502.03167)."""
    if eps < 0 or training and not eps:
        raise ValueError(f"batch_norm eps must be {'positive during training' if training else 'non-negative'}, but got {eps}")
    if training:
        _check_batch(input.shape)
    out = _batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)[0]
    return out if input.is_contiguous() else laid_like(input, out)


@operator("batch_norm", method=False, out=False)
def _torch_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled=False):
    return _batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)[0]


@operator("native_batch_norm", method=False, out=False)
def native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps):
    """`batch_norm`'s result with the batch's mean and 1/√(variance + eps)."""
    return _batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)


@operator("_native_batch_norm_legit", method=False, out=False)
def _native_batch_norm_legit(input, weight, bias, *rest, running_mean=None, running_var=None, training=None, momentum=None,
                             eps=None):
    if len(rest) == 5:
        running_mean, running_var, training, momentum, eps = rest
    elif rest:
        training, momentum, eps = rest
    return _batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)


@operator("nn.functional.instance_norm", method=False, out=False)
def instance_norm(input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1,
                  eps=1e-5):
    """Normalises each channel of each sample (https://arxiv.org/abs/1607.08022)."""
    require_float("instance_norm", input)
    if input.dim() < 2:
        raise RuntimeError(f"instance_norm expects an input of at least 2 dimensions (N, C, …), got size {list(input.shape)}")
    if any(t is not None and t.dim() > 1 for t in (weight, bias)):
        raise RuntimeError("instance_norm expects weight and bias of one dimension, the number of channels")
    if use_input_stats and math.prod(input.shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.shape}")
    if not use_input_stats:
        return _batch_norm(input, weight, bias, running_mean, running_var, False, momentum, eps)[0]
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    _check_channels(input.shape[1], running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    _check_types(input, weight, bias, running_mean, running_var)
    shape = _per_channel(input.dim())
    out, mean, variance, _ = standardised(widened(input), tuple(range(2, input.dim())), _wide(weight, shape), _wide(bias, shape),
                                          eps, "NativeBatchNorm")
    if running_mean is not None or running_var is not None:
        n = math.prod(input.shape[2:])
        _update_running(running_mean, running_var, mean.mean(0), variance.mean(0), n, momentum)
    return out.to(input.dtype)


@operator("instance_norm", method=False, out=False)
def _torch_instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled=False):
    return instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


# -- layer and group -------------------------------------------------------------------------------------------------------


def _check_normalized(name: str, input: Tensor, normalized_shape, kinds: str = "f",
                      **parameters: Tensor | None) -> tuple[int, ...]:
    shape = sizes_of([normalized_shape])
    if not shape:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but "
                           "got normalized_shape = []")
    for argument, t in parameters.items():
        if t is not None and tuple(t.shape) != shape:
            raise RuntimeError(f"Expected {argument} to be of same shape as normalized_shape, but got {argument} of shape "
                               f"{list(t.shape)} and normalized_shape = {list(shape)}")
    if tuple(input.shape[input.dim() - len(shape):]) != shape or input.dim() < len(shape):
        raise RuntimeError(f"Given normalized_shape={list(shape)}, expected input with shape "
                           f"[*, {', '.join(map(str, shape))}], but got input of size{list(input.shape)}")
    require_float(name, input, kinds)
    return tuple(range(input.dim() - len(shape), input.dim()))


def _layer_norm(input, normalized_shape, weight, bias, eps):
    dims = _check_normalized("LayerNormKernelImpl", input, normalized_shape, weight=weight, bias=bias)
    _check_types(input, weight, bias)
    out, mean, _, scale = standardised(widened(input), dims, _wide(weight), _wide(bias), eps, "NativeLayerNorm")
    return out.to(input.dtype), mean, scale


@operator("nn.functional.layer_norm", method=False, out=False)
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Normalises over the last dimensions, those of ``normalized_shape`` (https://arxiv.org/abs/1607.06450)."""
    return _layer_norm(input, normalized_shape, weight, bias, eps)[0]


@operator("layer_norm", method=False, out=False)
def _torch_layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True):
    return _layer_norm(input, normalized_shape, weight, bias, eps)[0]


@operator("native_layer_norm", method=False, out=False)
def native_layer_norm(input, normalized_shape, weight, bias, eps):
    """`layer_norm`'s result with the means and 1/√(variance + eps)."""
    out, mean, scale = _layer_norm(input, normalized_shape, weight, bias, eps)
    kept = _statistics_type(input, weight, bias)
    return out, mean.to(kept), scale.to(kept)


def _group_norm(input, num_groups, weight, bias, eps):
    if input.dim() < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.dim()}")
    batch, channels = input.shape[:2]
    if num_groups <= 0 or channels % num_groups:
        raise RuntimeError(f"Expected number of channels in input to be divisible by num_groups, but got input of shape "
                           f"{list(input.shape)} and num_groups={num_groups}")
    for argument, t in (("weight", weight), ("bias", bias)):
        if t is not None and tuple(t.shape) != (channels,):
            raise RuntimeError(f"Expected {argument} to be a vector of size equal to the number of channels in input, but got "
                               f"{argument} of shape {list(t.shape)} and input of shape {list(input.shape)}")
    require_float("GroupNormKernelImpl", input)
    _check_types(input, weight, bias)
    size = channels // num_groups
    x = widened(input).reshape(batch, num_groups, size, math.prod(input.shape[2:]))
    out, mean, _, scale = standardised(x, (2, 3), _wide(weight, (num_groups, size, 1)), _wide(bias, (num_groups, size, 1)), eps,
                                       "NativeGroupNorm")
    return show(out.reshape(input.shape).to(input.dtype), "NativeGroupNorm", input), mean, scale, x


@operator("nn.functional.group_norm", method=False, out=False)
def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Normalises groups of channels of each sample (https://arxiv.org/abs/1803.08494)."""
    if input.dim() >= 2 and num_groups > 0 and input.shape[1] % num_groups == 0:
        n = input.shape[0] * input.shape[1] // num_groups * math.prod(input.shape[2:])
        if n == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(input.shape)}")
    return laid_like(input, _group_norm(input, num_groups, weight, bias, eps)[0])


@operator("group_norm", method=False, out=False)
def _torch_group_norm(input, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True):
    return _group_norm(input, num_groups, weight, bias, eps)[0]


@operator("native_group_norm", method=False, out=False)
def native_group_norm(input, weight, bias, N, C, HxW, group, eps):
    """`group_norm`'s result with the means and 1/√(variance + eps)."""
    for argument, value in (("N", N), ("C", C), ("HxW", HxW)):
        if not isinstance(value, int):
            not_int("native_group_norm", argument, value)
    for argument, t in (("weight", weight), ("bias", bias)):
        if t is not None and tuple(t.shape) != (C,):
            raise RuntimeError(f"Expected {argument} to be a vector of size equal to the number of channels in input, but got "
                               f"{argument} of shape {list(t.shape)} and C={C}")
    if input.numel() != N * C * HxW:
        raise RuntimeError(f"Expected X.numel() == N * C * HxW, got {input.numel()} and {N} * {C} * {HxW}")
    out, mean, scale, x = _group_norm(input, group, weight, bias, eps)
    if modes.grad and x.requires_grad:  # here they are results, on the tape
        mean, variance = _statistics(x, (2, 3))
        scale = rsqrt(variance + eps)
    kept = _statistics_type(input, weight, bias)
    return out, mean.reshape(N, group).to(kept), scale.reshape(N, group).to(kept)


# -- without a mean ----------------------------------------------------------------------------------------------------------


def _rms(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    return rsqrt(x.square().mean(dims, True) + eps)


def _rms_grad(g, input, weight, scale, dims, eps):
    """With x̂ = x·scale and h = g·weight: dx = scale·(h − x̂·mean(h·x̂))."""
    if modes.grad:
        scale = _rms(input, dims, eps)
    normal = input * scale
    h = g if weight is None else g * weight
    return scale * (h - normal * (h * normal).mean(dims, True)), g * normal, None


_RMS = Rule("RmsNorm", ("input", "weight", "scale"), _rms_grad, broadcasts=True)


@operator("nn.functional.rms_norm", method=False, out=False)
def rms_norm(input, normalized_shape, weight=None, eps=None):
    """x / √(mean(x²) + eps)·weight over the last dimensions (https://arxiv.org/abs/1910.07467).

    ``eps`` is by default the smallest step of the type computed in.
    """
    dims = _check_normalized("rms_norm", input, normalized_shape, "fc", weight=weight)
    x, w = widened(input), _wide(weight)
    if eps is None:
        eps = 2.0**-52 if x.dtype.to_real() is float64 else 2.0**-23
    if x.dtype.kind == "c":
        out = x * _rms(x, dims, eps)
        return out if w is None else out * w
    nodes = (x._value(), None if w is None else w._value())
    with no_grad():
        plain = from_node(nodes[0])
        scale = _rms(plain, dims, eps)
        out = plain * scale
        out = out if w is None else out * from_node(nodes[1])
    if modes.grad and (x.requires_grad or w is not None and w.requires_grad):
        track(_RMS, (out,), (x, ABSENT if w is None else w, scale), (*nodes, scale._value()),
              {"dims": dims, "eps": eps, **({"weight": None} if w is None else {})})
    return out.to(input.dtype)


also("rms_norm", rms_norm)


@operator("nn.functional.local_response_norm", method=False, out=False, takes="lf")
def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """x / (k + alpha·mean of x² over ``size`` neighbouring channels)^beta."""
    from .vision import constant_pad
    if input.dim() < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.dim()} dimensions)")
    if size <= 0:
        raise RuntimeError(f"kernel size should be greater than zero, but got {size}")
    if not input.numel():
        return input
    square = constant_pad((input * input).transpose(1, -1), [size // 2, (size - 1) // 2])
    total = square.unfold(-1, size, 1).sum(-1, dtype=square.dtype).transpose(1, -1)
    near = total / size if input.dtype.kind in "fc" else total.div(size, rounding_mode="trunc")
    return input / (near * alpha + k).pow(beta)


@operator("nn.functional.normalize", method=False, out=True)
def normalize(input, p=2.0, dim=1, eps=1e-12):
    """x / max(its p-norm along ``dim``, ``eps``)."""
    if isinstance(dim, int):
        wrap_dim(dim, input.dim())
    size = norm(input, p, dim, True)
    return input / maximum(size, number(eps, size))


