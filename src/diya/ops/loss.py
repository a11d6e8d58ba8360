"""Losses: what training minimises. Each is `nn.functional`'s, with its ``reduction`` ("none", "mean", "sum").

Half precisions are computed in float32 and rounded once, after the reduction.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from .. import engine
from ..autograd.modes import modes
from ..autograd.tape import Rule, track
from ..dtypes import bfloat16, can_cast, float16, int64, uint8
from ..graph import Type, broadcast_shapes, primitive, type_of
from ..runtime.buffer import Buffer
from ..tensor import Tensor, from_node
from .activation import log_softmax, logsigmoid
from .compose import number, require_float, show, shown_as, widened, with_rule
from .creation import arange
from .elementwise import exp, log, log1p, maximum, minimum, where
from .record import _long_name, only, operator, result_type, snapshot
from .reduce import amax
from .scan import cumprod
from .sort import pick_outputs

# -- reduction ---------------------------------------------------------------------------------------------------------


def reduction_of(reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """The reduction that the arguments name; the two that it replaced are understood with a warning."""
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        warnings.warn(f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
                      UserWarning, stacklevel=4)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction: expected 'none', 'mean' or 'sum'")
    return reduction


def reduced(loss: Tensor, reduction: str, dtype=None) -> Tensor:
    """``loss`` summed or averaged, in ``dtype``."""
    if reduction != "none":
        loss = loss.mean() if reduction == "mean" else loss.sum()
    return loss if dtype is None or loss.dtype is dtype else loss.to(dtype)


def _pair(name: str, input, target, warn: bool = True, wide: bool = True) -> tuple[Tensor, Tensor]:
    """Input and target in the type computed in; a warning where they only fit by broadcasting. Not ``wide``: half
    precisions are rounded after each step, as PyTorch's are."""
    for argument, x in (("input", input), ("target", target)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}(): argument '{argument}' must be Tensor, not {type(x).__name__}")
    if warn and target.shape != input.shape:
        warnings.warn(f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). This will "
                      f"likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
                      UserWarning, stacklevel=4)
    if not wide:
        return input, target
    d = input._type.dtype
    if d is target._type.dtype and d.kind == "f" and d.itemsize > 2:
        return input, target
    d = result_type(input, target)
    return widened(input.to(d)), widened(target.to(d))


def _check_fits(name: str, result, into: Tensor) -> None:
    """Raises where PyTorch, which computes in the place of ``into``, cannot keep a result of that dtype there."""
    if not can_cast(result, into.dtype):
        raise RuntimeError(f"{name}: result type {_long_name(result)} can't be cast to the desired output type "
                           f"{_long_name(into.dtype)}")


def _half(*tensors: Tensor):
    """The half precision that a loss of these tensors is rounded to, None where there is none."""
    d = result_type(*tensors)
    return d if d is bfloat16 or d is float16 else None


# -- distances ---------------------------------------------------------------------------------------------------------


def _weighted(loss: Tensor, input: Tensor, weight, reduction: str, dtype, average_by_weight: bool) -> Tensor:
    if weight is None:
        return reduced(loss, reduction, dtype)
    if weight.shape != input.shape:
        raise ValueError(f"Weights and input must have the same size: got {list(weight.shape)} and {list(input.shape)}")
    w = widened(weight)
    if reduction == "mean" and average_by_weight:
        return ((loss * w).sum() / w.sum()).to(dtype or w.dtype)
    return reduced(loss * w, reduction, dtype)


@operator("nn.functional.l1_loss", method=False, out=False)
def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """|input − target|."""
    reduction = reduction_of(reduction, size_average, reduce)
    for t in (input, target):
        if isinstance(t, Tensor) and t.dtype.kind == "b":
            raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported: l1_loss expects numbers")
    x, y = _pair("l1_loss", input, target)
    return _weighted((x - y).abs(), input, weight, reduction, _half(input, target), True)


def _mse(input, target, reduction):
    return reduced((input - target).square(), reduction)


def _mse_grad(g, input, target, reduction):
    difference = input - target
    slope = difference * ((g / max(difference.numel(), 1) if reduction == "mean" else g) * 2)
    return slope, -slope


_mse = with_rule("MseLoss", _mse_grad, ("input", "target"), broadcasts=True)(_mse)


@operator("nn.functional.mse_loss", method=False, out=False)
def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """(input − target)²."""
    reduction = reduction_of(reduction, size_average, reduce)
    x, y = _pair("mse_loss", input, target)
    if weight is not None:
        return _weighted((x - y).square(), input, weight, reduction, _half(input, target), True)
    only("mse_cpu", "f", x)
    out, half = _mse(x, y, reduction), _half(input, target)
    return out if half is None else out.to(half)


@operator("nn.functional.smooth_l1_loss", method=False, out=False)
@shown_as("SmoothL1Loss")
def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """A parabola where |input − target| < ``beta``, a line beyond (Girshick, arXiv:1504.08083)."""
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta, got {beta}")
    reduction = reduction_of(reduction, size_average, reduce)
    x, y = _pair("smooth_l1_loss", input, target)
    only("smooth_l1_cpu", "f", x)
    z = (x - y).abs()
    loss = z if beta == 0 else where(z < beta, z * z * (0.5 / beta), z - 0.5 * beta)
    return reduced(loss, reduction, _half(input, target))


@operator("nn.functional.huber_loss", method=False, out=False)
@shown_as("HuberLoss")
def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """A parabola where |input − target| ≤ ``delta``, a line of slope ``delta`` beyond."""
    if not delta > 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta, got {delta}")
    reduction = reduction_of(reduction)
    x, y = _pair("huber_loss", input, target)
    _check_fits("huber_loss", result_type(input, target), input)
    only("huber_cpu", "f", x)
    z = (x - y).abs()
    loss = z * z * 0.5
    if delta < math.inf:
        loss = where(z < delta, loss, (z - 0.5 * delta) * delta)
    return _weighted(loss, input, weight, reduction, input.dtype if input.dtype.kind == "f" else None, False)


# -- binary classification -----------------------------------------------------------------------------------------------


def _bce(input, target):
    return -(target * maximum(log(input), number(-100, input)) + (1 - target) * maximum(log1p(-input), number(-100, input)))


_bce = with_rule("BinaryCrossEntropy", dict(
    input=lambda g, input, target: g * (input - target) / maximum((1 - input) * input, number(1e-12, input)),
    target=lambda g, input: g * (log1p(-input) - log(input))), ("input", "target"))(_bce)


def _check_probabilities(input: Tensor) -> None:
    if input.numel() and input.dtype.numpy == input.dtype.compute:
        a = input._array_of(input._storage.node)
        if not ((a >= 0) & (a <= 1)).all():
            raise RuntimeError(f"all elements of input should be between 0 and 1, got values from {a.min()} to {a.max()}: apply "
                               f"sigmoid first, or use binary_cross_entropy_with_logits")


@operator("nn.functional.binary_cross_entropy", method=False, out=False, takes="f")
@shown_as("BinaryCrossEntropy")
def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """−(y log x + (1 − y) log(1 − x)) of probabilities x, with logarithms no lower than −100."""
    reduction = reduction_of(reduction, size_average, reduce)
    if target.shape != input.shape:
        raise ValueError(f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) is "
                         f"deprecated. Please ensure they have the same size.")
    if target.dtype is not input.dtype:
        raise RuntimeError(f"Found dtype {_long_name(target.dtype)} but expected {_long_name(input.dtype)}: convert the target "
                           f"with .to(input.dtype)")
    x, y = _pair("binary_cross_entropy", input, target)
    engine.checked(input, _check_probabilities, needed=False)
    loss = _bce(x, y).to(input.dtype)
    if weight is not None:
        _check_fits("binary_cross_entropy", weight.dtype, input)
        if broadcast_shapes(weight.shape, input.shape) != tuple(input.shape):
            raise RuntimeError(f"output with shape {list(input.shape)} doesn't match the broadcast shape "
                               f"{list(broadcast_shapes(weight.shape, input.shape))}: weight broadcasts to input")
    return reduced(loss if weight is None else loss * weight, reduction, input.dtype)


@operator("nn.functional.binary_cross_entropy_with_logits", method=False, out=False)
@shown_as("BinaryCrossEntropyWithLogits")
def binary_cross_entropy_with_logits(input, target, weight=None, size_average=None, reduce=None, reduction="mean",
                                     pos_weight=None):
    """`binary_cross_entropy` of sigmoid(input), computed without over- or underflow. Half precisions round at each step."""
    reduction = reduction_of(reduction, size_average, reduce)
    if target.shape != input.shape:
        raise ValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    low = logsigmoid(input)
    loss = (1 - target) * input - (low if pos_weight is None else ((pos_weight - 1) * target + 1) * low)
    _check_fits("binary_cross_entropy_with_logits", loss.dtype, target)
    loss = loss.to(target.dtype)
    return reduced(loss if weight is None else loss * weight, reduction)


@operator("nn.functional.soft_margin_loss", method=False, out=False, takes="fc")
@shown_as("SoftMarginLoss")
def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """log(1 + exp(−target · input)), for targets of 1 and −1."""
    reduction = reduction_of(reduction, size_average, reduce)
    x, y = _pair("soft_margin_loss", input, target, warn=False, wide=False)
    _check_fits("soft_margin_loss", result_type(x, y), x)
    if broadcast_shapes(x.shape, y.shape) != tuple(x.shape):
        raise RuntimeError(f"output with shape {list(x.shape)} doesn't match the broadcast shape "
                           f"{list(broadcast_shapes(x.shape, y.shape))}: soft_margin_loss's target broadcasts to its input")
    z = -x * y
    return reduced(log1p(exp(z.to(x.dtype) if x.dtype.kind == "f" else z)), reduction)


@operator("nn.functional.multilabel_soft_margin_loss", method=False, out=False)
def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """The mean over classes of the binary cross entropy of each."""
    reduction = reduction_of(reduction, size_average, reduce)
    x, y = _pair("multilabel_soft_margin_loss", input, target, warn=False, wide=False)
    loss = -(y * logsigmoid(x) + (1 - y) * logsigmoid(-x))
    if weight is not None:
        loss = loss * weight
    classes = input.dim() - 1
    return reduced(loss.sum(classes) / input.shape[classes], reduction)


@operator("nn.functional.hinge_embedding_loss", method=False, out=False)
def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None, reduction="mean"):
    """input where target is 1, max(0, margin − input) where it is −1."""
    reduction = reduction_of(reduction, size_average, reduce)
    x, y = _pair("hinge_embedding_loss", input, target, warn=False, wide=False)
    zero = number(0, x)
    loss = where(y != 1, (margin - x).clamp_min(0), zero) + where(y != -1, x, zero)
    return reduced(loss.to(input.dtype), reduction)


# -- divergences ---------------------------------------------------------------------------------------------------------


def _kl(input, target):
    return where(target == 0, number(0, target), target * log(target)) - target * input


def _kl_target_grad(g, input, target):
    return where(target > 0, g * (log(target) + 1 - input), g * 0)


_kl = with_rule("KlDiv", dict(input=lambda g, target: -g * target, target=_kl_target_grad), ("input", "target"),
                broadcasts=True)(_kl)


@operator("nn.functional.kl_div", method=False, out=False, takes="f")
def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """target · (log target − input), where ``input`` (and the target, with ``log_target``) are logarithms.

    "batchmean" divides the sum by the size of the first dimension, which is what the mathematics calls the mean.
    """
    batch = reduction == "batchmean"
    if not batch:
        if reduction == "mean" and size_average is None and reduce is None:
            warnings.warn("reduction: 'mean' divides the total loss by both the batch size and the support size. 'batchmean' "
                          "divides only by the batch size, and aligns with the KL div math definition.", UserWarning,
                          stacklevel=3)
        reduction = reduction_of(reduction, size_average, reduce)
    x, y = _pair("kl_div", input, target, warn=False, wide=input.dtype is target.dtype)
    if target.dtype.kind != "f":
        what = "Complex" if target.dtype.kind == "c" else "Integral"
        raise RuntimeError(f"kl_div: {what} inputs not supported, got {target.dtype}")
    loss = exp(y) * (y - x) if log_target else _kl(x, y)
    if batch:
        loss = loss.sum()
        return reduced(loss / input.shape[0] if input.dim() else loss, "none", _half(input, target))
    return reduced(loss, reduction, _half(input, target))


@operator("nn.functional.poisson_nll_loss", method=False, out=False)
def poisson_nll_loss(input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None, reduction="mean"):
    """The negative log likelihood of Poisson counts, with Stirling's approximation of log target! if ``full``."""
    reduction = reduction_of(reduction, size_average, reduce)
    x, y = _pair("poisson_nll_loss", input, target, warn=False, wide=False)
    loss = exp(x) - y * x if log_input else x - y * log(x + eps)
    if full:
        safe = where(y > 1, y, number(1, y))
        stirling = safe * log(safe) - safe + 0.5 * log(safe * (2 * math.pi))
        loss = loss + where(y > 1, stirling, number(0, stirling)).to(loss.dtype)
    return reduced(loss, reduction)


def _check_variance(var: Tensor) -> None:
    if var.numel() and var.dtype.numpy == var.dtype.compute and (var._array_of(var._storage.node) < 0).any():
        raise ValueError("var has negative entry/entries")


@operator("nn.functional.gaussian_nll_loss", method=False, out=False)
def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """The negative log likelihood of a normal distribution with mean ``input`` and variance ``var`` (at least ``eps``)."""
    if not isinstance(var, (float, Tensor)):
        raise TypeError(f"gaussian_nll_loss(): argument 'var' must be Tensor or float, not {type(var).__name__}")
    if isinstance(var, Tensor) and var.dtype.kind != "f":
        raise RuntimeError(f"gaussian_nll_loss: result type Float can't be cast to the desired output type {_long_name(var.dtype)}")
    if isinstance(input, Tensor) and result_type(input, target, var).kind not in "fc":
        raise RuntimeError(f"gaussian_nll_loss: result type Float can't be cast to {input.dtype}: use floating-point tensors")
    if isinstance(var, (int, float)):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = input.new_full(input.shape, float(var))
    engine.checked(var, _check_variance, needed=False)
    if var.shape != input.shape:
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif input.dim() != var.dim() or sum(a for a, b in zip(input.shape, var.shape, strict=True) if a != b) != 1 and \
                [b for a, b in zip(input.shape, var.shape, strict=True) if a != b] != [1]:
            raise ValueError(f"var is of incorrect size: {list(var.shape)} for an input of size {list(input.shape)}")
    reduction = reduction_of(reduction)
    x, y, v = widened(input), widened(target), widened(var)
    v = _floor(v, eps)
    loss = 0.5 * (log(v) + (x - y).square() / v)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction, _half(input, target, var))


# The lower bound keeps the variance in range without taking part in the gradient.
_floor = with_rule("Floor", dict(input=lambda g: g), ("input",))(lambda input, low: maximum(input, number(low, input)))


# -- classification --------------------------------------------------------------------------------------------------------


def _pick(input, target, dim):
    return input.gather(dim, target.unsqueeze(dim)).squeeze(dim)


def _pick_grad(g, target, shape, dim):
    """Elementwise, so that it fuses with what follows: the class numbers are compared, nothing is scattered."""
    classes = arange(shape[dim]).reshape([-1 if d == dim else 1 for d in range(len(shape))])
    return where(classes == target.unsqueeze(dim), g.unsqueeze(dim), number(0, g))


_pick = with_rule("Gather", dict(input=_pick_grad), ("input", "target"))(_pick)


def _check_bounds(target: Tensor, classes: int, ignore_index: int) -> None:
    if not target.numel():
        return
    a = target._array_of(target._storage.node)
    if a.dtype == np.int64 and int(a.view(np.uint64).max()) < classes:  # one pass: negative ones are huge as unsigned
        return
    bad = a[((a < 0) | (a >= classes)) & (a != ignore_index)]
    if bad.size:
        raise IndexError(f"Target {int(bad[0])} is out of bounds: there are {classes} classes, numbered from 0 "
                         f"(ignore_index is {ignore_index})")


def _check_classes(target: Tensor, classes: int, ignore_index: int) -> bool:
    """Raises for class numbers that are out of bounds, if they are known already. Whether they are."""
    if target.dtype is not int64 and target.dtype is not uint8:
        raise RuntimeError(f"expected scalar type Long but found {_long_name(target.dtype)}: class indices are int64 (or uint8), "
                           f"probabilities have the shape of the input")
    if not isinstance(target._storage.node.value, Buffer):
        engine.unknown(target, lambda x: _check_classes(x, classes, ignore_index))
        return False
    engine.checked(target, lambda x: _check_bounds(x, classes, ignore_index))
    return True


def _class_numbers(target: Tensor, classes: int, ignore_index: int, known: bool) -> tuple[Tensor, Tensor]:
    """Class numbers as int64 with 0 for those that are ignored, and which are not. What is out of bounds, unless that is
    ``known`` not to be, raises when it is looked up."""
    kept = target != ignore_index
    at = where(kept, target.to(int64), 0)
    return at if known else where(at < 0, classes, at), kept  # a negative number would count from the end


def _share(at: Tensor, kept: Tensor, weight: Tensor | None, like: Tensor) -> Tensor:
    """What each target counts for: 1 or its class's weight, 0 where it is ignored."""
    if weight is None:
        return kept.to(like.dtype)
    return where(kept, weight.index_select(0, at.reshape(-1)).reshape(at.shape), number(0, like))


def _nll_value(input, target, weight, dim, reduction, ignore_index, known):
    at, kept = _class_numbers(target, input.shape[dim], ignore_index, known)
    loss = where(kept, -input.gather(dim, at.unsqueeze(dim)).squeeze(dim), number(0, input))
    return _weighed(loss, at, kept, weight, reduction)


def _weighed(loss, at, kept, weight, reduction):
    """Losses of single targets, reduced; the mean is over the weights."""
    share = _share(at, kept, weight, loss)
    if weight is not None:
        loss = loss * share
    return loss if reduction == "none" else loss.sum() if reduction == "sum" else loss.sum() / share.sum()


def _slopes(g, at, kept, weight, reduction):
    """The gradients of single targets' losses before they were `_weighed`."""
    share = _share(at, kept, weight, g)
    return (g / share.sum() if reduction == "mean" else g) * share


def _nll_grad(g, target, weight, shape, dim, reduction, ignore_index):
    at, kept = _class_numbers(target, shape[dim], ignore_index, True)
    return _pick_grad(-_slopes(g, at, kept, weight, reduction), at, shape, dim)


_nll_value = with_rule("NllLoss", dict(input=_nll_grad), ("input", "target", "weight"))(_nll_value)


def _softmax_nll_grad(g, input, target, weight, out, shape, dim, reduction, ignore_index):
    """(softmax − 1 at the target)·slope, with no tensor of log probabilities."""
    _, top, total = out
    at, kept = _class_numbers(target, shape[dim], ignore_index, True)
    p = exp(log_softmax(input, dim)) if modes.grad else exp(input - top) * total.reciprocal()
    hit = arange(shape[dim]).reshape([-1 if d == dim else 1 for d in range(len(shape))]) == at.unsqueeze(dim)
    return where(hit, p - 1, p) * _slopes(g[0], at, kept, weight, reduction).unsqueeze(dim), None, None


@with_rule("NllLoss", _softmax_nll_grad, ("input", "target", "weight"))
def _softmax_nll(input, target, weight, dim, reduction, ignore_index, known):
    """(`_nll_value` of `log_softmax`, which is not stored, and two numbers for each row, which the tape keeps instead)."""
    at, kept = _class_numbers(target, input.shape[dim], ignore_index, known)
    top = amax(input, dim, True)
    total = exp(input - top).sum(dim, True)
    loss = log(total) - (input.gather(dim, at.unsqueeze(dim)) - top)
    out = _weighed(where(kept, loss.squeeze(dim), number(0, input)), at, kept, weight, reduction)
    return out, from_node(top._value()), from_node(total._value())


def _nll(input: Tensor, target: Tensor, weight, reduction: str, ignore_index: int, smoothing: float = 0.0,
         from_logits: bool = False) -> Tensor:
    """The loss of log probabilities (of logits, if ``from_logits``) in float32 or float64, classes along dimension 1 (0, for
    a single sample)."""
    dim = 1 if input.dim() > 1 else 0
    classes = input.shape[dim]
    if weight is not None and (weight.dim() != 1 or weight.shape[0] != classes):
        raise RuntimeError(f"weight tensor should be defined either for all {classes} classes or no classes but got weight tensor "
                           f"of shape: {list(weight.shape)}")
    known = _check_classes(target, classes, ignore_index)
    if from_logits and not smoothing and input.numel():
        loss = _softmax_nll(input, target, weight, dim, reduction, ignore_index, known)[0]
        loss = snapshot(loss)  # `loss /= 4` is allowed before backward
    else:
        input = log_softmax(input, dim) if from_logits else input
        loss = _nll_value(input, target, weight, dim, reduction, ignore_index, known)
    if not smoothing:
        return loss if input.dim() < 3 else show(loss, "NllLoss2D")
    at, kept = _class_numbers(target, classes, ignore_index, known)
    spread = input if weight is None else input * weight.reshape([-1 if d == dim else 1 for d in range(input.dim())])
    smooth = where(kept, -spread.sum(dim), number(0, input))
    if reduction != "none":
        smooth = smooth.sum()
        if reduction == "mean":
            smooth = smooth / _share(at, kept, weight, input).sum()
    return loss * (1 - smoothing) + smooth * (smoothing / classes)


def _class_weight(input: Tensor, weight: Tensor | None) -> Tensor | None:
    """The weights of the classes in the type computed in."""
    if weight is None:
        return None
    if weight.dtype is not input.dtype:
        raise RuntimeError(f"expected scalar type {_long_name(input.dtype)} but found {_long_name(weight.dtype)}: weights have the "
                           f"input's dtype")
    return widened(weight)


def _check_class_shapes(name: str, input: Tensor, target: Tensor) -> None:
    if not input.dim():
        raise ValueError(f"{name}: Expected 1 or more dimensions, got a 0-dimensional input")
    expected = input.shape[:1] + input.shape[2:] if input.dim() > 1 else ()
    if input.dim() == 1 and target.dim() == 1 and target.shape[0] == 1:
        return
    if tuple(target.shape) != tuple(expected):
        if input.dim() > 1 and target.dim() and target.shape[0] != input.shape[0]:
            raise ValueError(f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({target.shape[0]}): input "
                             f"{list(input.shape)}, target {list(target.shape)}")
        raise RuntimeError(f"Expected target size {list(expected)}, got {list(target.shape)}: class indices have the shape of the "
                           f"input without dimension 1 ({list(input.shape)})")


@operator("nn.functional.nll_loss", method=False, out=False)
def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """−input[target], of log probabilities (N, C, …) and classes (N, …), weighted by class."""
    reduction = reduction_of(reduction, size_average, reduce)
    require_float("nll_loss", input)
    _check_class_shapes("nll_loss", input, target)
    if input.dim() == 1 and target.dim() == 1:
        target = target.reshape(()) if reduction != "none" else target
        if target.dim():
            input = input.unsqueeze(0)
    return _nll(widened(input), target, _class_weight(input, weight), reduction, ignore_index).to(input.dtype)


@operator("nn.functional.cross_entropy", method=False, out=False)
def cross_entropy(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean",
                  label_smoothing=0.0):
    """`nll_loss` of `log_softmax`; the target may also be probabilities, in the shape of the input (N, C, …)."""
    reduction = reduction_of(reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    require_float("cross_entropy", input)
    if not input.dim():
        raise RuntimeError("cross_entropy: input tensor should be 1D or more, got a 0-dimensional one")
    dim = 1 if input.dim() > 1 else 0
    if target.shape == input.shape:
        if target.dtype.kind != "f":
            raise RuntimeError(f"Expected floating point type for target with class probabilities, got {_long_name(target.dtype)}")
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        logp, y, w = log_softmax(widened(input), dim), widened(target), None if weight is None else widened(weight)
        out = result_type(*[x for x in (input, target, weight) if x is not None])
        classes = input.shape[dim]
        if label_smoothing:
            y = y * (1 - label_smoothing) + label_smoothing / classes
        loss = logp * y
        if w is not None:
            if w.dim() != 1 or w.shape[0] != classes:
                raise RuntimeError(f"cross_entropy: weight tensor should be defined either for all {classes} classes or no classes "
                                   f"but got weight tensor of shape: {list(w.shape)}")
            loss = loss * w.reshape([-1 if d == dim else 1 for d in range(input.dim())])
        loss = -loss.sum(dim)
        if reduction == "mean":
            return (loss.sum() / (input.numel() // max(classes, 1))).to(out)
        return reduced(loss, reduction, out)
    _check_class_shapes("cross_entropy", input, target)
    if input.dim() == 1 and target.dim() == 1:
        input, dim = input.unsqueeze(0), 1
    w = _class_weight(input, weight)
    return _nll(widened(input), target, w, reduction, ignore_index, label_smoothing, True).to(input.dtype)


@operator("nn.functional.linear_cross_entropy", method=False, out=False)
def linear_cross_entropy(input, linear_weight, target, *, linear_bias=None, weight=None, reduction="mean", ignore_index=None,
                         label_smoothing=0.0, options=None):
    """`cross_entropy` of `linear`; further dimensions of ``linear_weight`` (C, …, F) are further dimensions of the loss."""
    from .matmul import linear
    if options is not None:
        raise NotImplementedError("linear_cross_entropy: options= (chunking) is not supported")
    if not 1 <= input.dim() <= 2:
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if linear_weight.dim() < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {linear_weight.dim()}")
    if input.shape[-1] != linear_weight.shape[-1]:
        raise RuntimeError(f"expected equal input and linear_weight last dimensions (in_features), got {input.shape[-1]} and "
                           f"{linear_weight.shape[-1]}, respectively")
    features = tuple(linear_weight.shape[:-1])
    if linear_bias is not None and tuple(linear_bias.shape) != features:
        raise RuntimeError(f"expected linear_bias shape {features}, got {tuple(linear_bias.shape)}")
    if len(features) > 1 and input.dim() == 1:
        raise RuntimeError(f"a linear_weight of size {list(linear_weight.shape)} requires batched input (N, {input.shape[-1]}), "
                           f"got {list(input.shape)}")
    shape = (*input.shape[:-1], *features)
    if tuple(target.shape) == shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, linear_weight.reshape(-1, input.shape[-1]), bias).reshape(shape)
    return cross_entropy(logits, target, weight=weight, reduction=reduction, label_smoothing=label_smoothing,
                         ignore_index=-100 if ignore_index is None else ignore_index)


def _check_long(name: str, target: Tensor) -> None:
    if target.dtype is not int64:
        raise RuntimeError(f"{name}: expected scalar type Long but found {_long_name(target.dtype)}: class numbers are int64")


def _positive(z: Tensor) -> Tensor:
    """``z`` where it is above 0, 0 elsewhere and for NaN."""
    return where(z > 0, z, number(0, z))


@operator("nn.functional.multi_margin_loss", method=False, out=False, takes="w")
@shown_as("MultiMarginLoss")
def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean"):
    """Σ over the classes i other than the target y of max(0, margin − x[y] + x[i])ᵖ / C."""
    reduction = reduction_of(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError(f"only p == 1 and p == 2 supported, got {p}")
    if weight is not None and weight.dim() != 1:
        raise ValueError(f"weight must be one-dimensional, got size {list(weight.shape)}")
    _check_long("multi_margin_loss", target)
    x = widened(input)
    single = x.dim() < 2
    x = x.reshape(1, -1) if single else x
    target_shape = target.shape
    y = target.reshape(-1)
    if x.dim() != 2 or not x.shape[1] or x.shape[0] != y.shape[0] or target.dim() > 1:
        raise RuntimeError(f"inconsistent target size: expected {list(x.shape[:1])}, got {list(target_shape)} for an input of size "
                           f"{list(input.shape)}")
    classes = x.shape[1]
    y = _class_numbers(y, classes, -1 - classes, _check_classes(y, classes, -1 - classes))[0]
    z = _positive(margin - _pick(x, y, 1).unsqueeze(1) + x)
    z = z * z if p == 2 else z
    if weight is not None:
        z = z * _class_weight(input, weight).index_select(0, y).unsqueeze(1)  # type: ignore[union-attr]
    z = where(arange(classes) == y.unsqueeze(1), number(0, z), z)
    loss = z.sum(1) / classes
    if not loss.numel() and reduction == "mean":
        reduction = "sum"
    return reduced(loss.reshape(target_shape) if single else loss, reduction, input.dtype)


@operator("nn.functional.multilabel_margin_loss", method=False, out=False, takes="w")
@shown_as("MultilabelMarginLoss")
def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """Σ over targets y and classes i that are none of max(0, 1 − (x[y] − x[i])) / C.

    A sample's targets are the class numbers in its row of ``target`` up to the first −1.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if target.shape != input.shape or input.dim() > 2:
        raise RuntimeError(f"inconsistent target size: expected {list(input.shape)} (1-D or 2-D), got {list(target.shape)}")
    if input.dim() and not input.shape[-1]:
        raise RuntimeError(f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(input.shape)}")
    _check_long("multilabel_margin_loss", target)
    x, single = widened(input), input.dim() < 2
    x, y = (x.reshape(1, -1), target.reshape(1, -1)) if single else (x, target)
    classes = x.shape[1]
    listed = cumprod((y >= 0).to(int64), 1) != 0
    at = where(listed, y, 0)
    is_target = (listed.unsqueeze(2) & (at.unsqueeze(2) == arange(classes))).any(1)
    z = _positive(1 - x.gather(1, at).unsqueeze(2) + x.unsqueeze(1))
    z = where(listed.unsqueeze(2) & ~is_target.unsqueeze(1), z, number(0, z))
    loss = z.sum((1, 2)) / max(classes, 1)
    return reduced(loss.reshape(()) if single else loss, reduction, input.dtype)


# -- of distances between samples ------------------------------------------------------------------------------------------


@operator("nn.functional.margin_ranking_loss", method=False, out=False)
def margin_ranking_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    """max(0, −target · (input1 − input2) + margin)."""
    reduction = reduction_of(reduction, size_average, reduce)
    if input1.dim() != input2.dim() or input1.dim() != target.dim():
        raise RuntimeError(f"margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: "
                           f"{input1.shape}, input2: {input2.shape}, target: {target.shape} ")
    a, b, y = widened(input1), widened(input2), widened(target)
    return reduced((-y * (a - b) + float(margin)).clamp_min(0), reduction, _half(input1, input2, target))


@operator("nn.functional.cosine_embedding_loss", method=False, out=False)
def cosine_embedding_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    """1 − cos of the angle between the inputs where target is 1, max(0, cos − margin) where it is −1."""
    reduction = reduction_of(reduction, size_average, reduce)
    if target.dim() not in (0, 1):
        raise RuntimeError(f"0D or 1D target tensor expected, multi-target not supported: got size {list(target.shape)}")
    if input1.dim() != target.dim() + 1 or input2.dim() != target.dim() + 1:
        raise RuntimeError(f"{target.dim()}D target tensor expects {target.dim() + 1}D input tensors, but found inputs with sizes "
                           f"{list(input1.shape)} and {list(input2.shape)}.")
    a, b = input1, input2
    cos = (a * b).sum(-1) / (((a * a).sum(-1) + 1e-12) * ((b * b).sum(-1) + 1e-12)).sqrt()
    zero = number(0, cos)
    loss = where(target == 1, 1 - cos, zero) + where(target == -1, (cos - margin).clamp_min(0), zero)
    return reduced(loss, reduction)


def _triplet(anchor, positive, negative, distance, margin, swap, reduction):
    apart = distance(anchor, negative)
    if swap:
        apart = minimum(apart, distance(positive, negative))
    return reduced((margin + distance(anchor, positive) - apart).clamp_min(0), reduction)


def _check_triplet(anchor, positive, negative, margin) -> None:
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(f"The anchor, positive, and negative tensors are expected to have the same number of dimensions, "
                           f"but got anchor {anchor.dim()}D, positive {positive.dim()}D, and negative {negative.dim()}D inputs")


@operator("nn.functional.triplet_margin_loss", method=False, out=False)
def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False, size_average=None, reduce=None,
                        reduction="mean"):
    """max(0, margin + d(anchor, positive) − d(anchor, negative)) with the p-norm's distance d."""
    from .distance import pairwise_distance
    reduction = reduction_of(reduction, size_average, reduce)
    _check_triplet(anchor, positive, negative, margin)
    return _triplet(anchor, positive, negative, lambda x, y: pairwise_distance(x, y, p, eps), margin, swap, reduction)


@operator("nn.functional.triplet_margin_with_distance_loss", method=False, out=False)
def triplet_margin_with_distance_loss(anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False,
                                      reduction="mean"):
    """`triplet_margin_loss` with any distance function of two tensors."""
    from .distance import pairwise_distance
    reduction = reduction_of(reduction)
    _check_triplet(anchor, positive, negative, margin)
    return _triplet(anchor, positive, negative, distance_function or pairwise_distance, margin, swap, reduction)


# -- connectionist temporal classification -----------------------------------------------------------------------------------


def _infer_ctc(blank, log_probs: Type, targets: Type, *lengths: Type) -> tuple[Type, Type]:
    return type_of((log_probs.shape[1],), log_probs.dtype), log_probs


def _log_add(*terms):
    top = np.maximum.reduce(terms)
    safe = np.where(np.isinf(top), 0, top)
    return np.log(sum(np.exp(t - safe) for t in terms)) + top


def _interpret_ctc(blank, log_probs, targets, input_lengths, target_lengths):
    """The loss of each sample by the forward recursion, its gradient by the backward one (Graves et al., 2006).

    A label sequence is read with blanks between and around its labels; ``skip`` marks the labels that a path may reach
    without the blank before them. All samples and all positions advance together, one frame at a time.
    """
    frames, batch, classes = log_probs.shape
    work = log_probs.astype(np.float64)
    n = np.arange(batch)
    labels = np.full((batch, 2 * targets.shape[1] + 1), blank, np.int64)
    labels[:, 1::2] = targets
    width = labels.shape[1]
    skip = np.zeros((batch, width), bool)
    skip[:, 2:] = (labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2])
    ends = 2 * target_lengths
    inside = np.arange(width) <= ends[:, None]
    emit = np.where(inside, work[:, n[:, None], labels], -np.inf)  # (frames, batch, width)

    def shifted(a, by):
        out = np.full_like(a, -np.inf)
        if by > 0:
            out[:, by:] = a[:, :a.shape[1] - by]
        elif by < 0:
            out[:, :by] = a[:, -by:]
        return out
    alpha = np.full((frames, batch, width), -np.inf)
    beta = np.full((frames, batch, width), -np.inf)
    if frames:
        alpha[0, :, :2] = emit[0, :, :2]
    for t in range(1, frames):
        a = alpha[t - 1]
        alpha[t] = _log_add(a, shifted(a, 1), np.where(skip, shifted(a, 2), -np.inf)) + emit[t]
    last = np.maximum(input_lengths - 1, 0)
    final = alpha[last, n] if frames else np.full((batch, width), -np.inf)
    before = np.where(ends > 0, final[n, np.maximum(ends - 1, 0)], -np.inf)
    loss = -_log_add(final[n, ends], before)
    loss = np.where((input_lengths == 0) & (target_lengths == 0), 0, np.where(input_lengths == 0, np.inf, loss))
    tail = (np.arange(width) == ends[:, None]) | (np.arange(width) == ends[:, None] - 1)
    skip_from = np.zeros_like(skip)
    skip_from[:, :-2] = skip[:, 2:]
    for t in range(frames - 1, -1, -1):
        start = (t == input_lengths - 1)[:, None]
        if t + 1 < frames:
            b = beta[t + 1]
            beta[t] = _log_add(b, shifted(b, -1), np.where(skip_from, shifted(b, -2), -np.inf)) + emit[t]
        beta[t] = np.where(start, np.where(tail, emit[t], -np.inf), beta[t])
    # What a frame's label contributes: alpha · beta counts the frame's own probability twice.
    path = alpha + beta
    total = np.full((frames, batch, classes), -np.inf)
    for s in range(width):
        at = labels[:, s]
        total[:, n, at] = np.logaddexp(total[:, n, at], path[:, :, s])
    grad = np.exp(work) - np.exp(total + loss[:, None] - work)
    live = np.arange(frames)[:, None] < input_lengths
    grad = np.where(live[:, :, None], grad, 0)
    return loss.astype(log_probs.dtype), grad.astype(log_probs.dtype)


CTC = primitive("ctc", "host", _infer_ctc, interpret=_interpret_ctc)


def _once_only(*_):
    raise RuntimeError("derivative for aten::_ctc_loss_backward is not implemented")


def _ctc_grad(g, slope, log_probs, zero_infinity, loss):
    out = g.unsqueeze(1) * slope
    if zero_infinity:
        out = where(loss.isinf().unsqueeze(1), number(0, out), out)
    if modes.grad and out._rg:
        return with_rule("CtcLossBackward", dict(input=_once_only), ("input",))(lambda input: input.clone())(out)
    return out


_CTC = Rule("CtcLoss", ("log_probs", "slope", "loss"), dict(
    log_probs=lambda g, slope, loss, zero_infinity: _ctc_grad(g, slope, None, zero_infinity, loss)))


@operator("nn.functional.ctc_loss", method=False, out=False)
def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    """Connectionist temporal classification: −log of the probability of all alignments of a label sequence.

    ``log_probs`` (T, N, C) or (T, C); ``targets`` (N, S) or all labels in a row; "mean" divides by the target lengths.
    """
    from .creation import as_tensor
    from .movement import cat
    reduction = reduction_of(reduction)
    require_float("ctc_loss", log_probs)
    single = log_probs.dim() == 2
    x = log_probs.unsqueeze(1) if single else log_probs
    if x.dim() != 3:
        raise RuntimeError(f"ctc_loss: log_probs must be (T, N, C) or (T, C), got size {list(log_probs.shape)}")
    frames, batch, classes = x.shape
    if not 0 <= blank < classes:
        raise RuntimeError(f"blank must be in label range: got {blank} for {classes} classes")
    lengths = [as_tensor(v, dtype=int64).reshape(-1) for v in (input_lengths, target_lengths)]
    for name, v in zip(("input_lengths", "target_lengths"), lengths, strict=True):
        if v.shape[0] != batch:
            raise RuntimeError(f"{name} must be of size batch_size: expected {batch}, got {v.shape[0]}")
    counts = lengths[1].tolist()  # the shape of the padded targets depends on them
    if lengths[0].numel() and int(lengths[0].max().item()) > frames:
        raise RuntimeError(f"Expected input_lengths to have value at most {frames}, but got value {int(lengths[0].max().item())}")
    labels = targets.to(int64)
    if labels.dim() == 1:
        if sum(counts) > labels.shape[0]:
            raise RuntimeError(f"Expected targets of at least {sum(counts)} labels, got {labels.shape[0]}")
        width, at, rows = max(counts, default=0), 0, []
        for c in counts:
            rows.append(cat([labels.narrow(0, at, c), labels.new_full((width - c,), blank)]))
            at += c
        labels = cat([r.reshape(1, -1) for r in rows]) if rows else labels.reshape(0, 0)
    elif max(counts, default=0) > labels.shape[1]:
        raise RuntimeError(f"Expected tensor targets to have size at least {max(counts)} at dimension 1, but got size "
                           f"{list(targets.shape)}")
    wide = widened(x)
    value = wide._value()
    nodes = pick_outputs(engine.record(CTC, (value, labels._value(), *[v._value() for v in lengths]), blank))
    loss, slope = (from_node(n) for n in nodes)
    plain = loss
    if zero_infinity:
        loss = where(plain.isinf(), number(0, plain), plain)
    if wide._rg and modes.grad:
        track(_CTC, (loss,), (wide, slope, plain), (value, slope._value(), plain._value()), {"zero_infinity": zero_infinity})
    if reduction == "mean":
        loss = (loss / lengths[1].clamp_min(1).to(loss.dtype)).mean()
    elif reduction == "sum":
        loss = loss.sum()
    elif single:
        loss = loss.reshape(())
    return loss.to(log_probs.dtype)


# -- by number ---------------------------------------------------------------------------------------------------------

_REDUCTIONS = ("none", "mean", "sum")


def _numbered(name: str, loss, parameters: tuple[str, ...]) -> None:
    """``torch.<name>``: the loss with its parameters in this order, the reduction as a number."""
    def call(*args, **kwargs):
        given = {**dict(zip(parameters, args, strict=False)), **kwargs}
        reduction = given.get("reduction", 1)
        given["reduction"] = _REDUCTIONS[reduction] if isinstance(reduction, int) else reduction
        return loss(**given)
    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`nn.functional.{name}` with ``reduction`` by number: 0 none, 1 mean, 2 sum."
    operator(name, method=False, out=False)(call)


_numbered("binary_cross_entropy_with_logits", binary_cross_entropy_with_logits,
          ("input", "target", "weight", "pos_weight", "reduction"))
_numbered("cosine_embedding_loss", cosine_embedding_loss, ("input1", "input2", "target", "margin", "reduction"))
_numbered("ctc_loss", ctc_loss, ("log_probs", "targets", "input_lengths", "target_lengths", "blank", "reduction", "zero_infinity"))
_numbered("hinge_embedding_loss", hinge_embedding_loss, ("input", "target", "margin", "reduction"))
_numbered("kl_div", kl_div, ("input", "target", "reduction", "log_target"))
_numbered("margin_ranking_loss", margin_ranking_loss, ("input1", "input2", "target", "margin", "reduction"))
_numbered("poisson_nll_loss", poisson_nll_loss, ("input", "target", "log_input", "full", "eps", "reduction"))
_numbered("triplet_margin_loss", triplet_margin_loss,
          ("anchor", "positive", "negative", "margin", "p", "eps", "swap", "reduction"))
