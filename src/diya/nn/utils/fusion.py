"""Batch norm folded into the layer before it, for inference."""

from __future__ import annotations

import copy

import diya

from ...tensor import Tensor
from ..parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]


def fuse_conv_bn_eval(conv, bn, transpose: bool = False):
    """One convolution that does what ``bn(conv(x))`` does in evaluation mode."""
    if conv.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    fused = copy.deepcopy(conv)
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")
    fused.weight, fused.bias = fuse_conv_bn_weights(fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps,
                                                    bn.weight, bn.bias, transpose)
    return fused


def _scale_and_shift(bias: Tensor | None, mean: Tensor, var: Tensor, eps: float, weight: Tensor | None,
                     shift: Tensor | None) -> tuple[Tensor, Tensor]:
    """The factor on the layer's weight, and its new bias."""
    bias = diya.zeros_like(mean) if bias is None else bias
    weight = diya.ones_like(mean) if weight is None else weight
    shift = diya.zeros_like(mean) if shift is None else shift
    inverse = diya.rsqrt(var + eps)
    return weight * inverse, (bias - mean) * inverse * weight + shift


def fuse_conv_bn_weights(conv_w: Tensor, conv_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float,
                         bn_w: Tensor | None, bn_b: Tensor | None,
                         transpose: bool = False) -> tuple[Parameter, Parameter]:
    """Weight and bias of `fuse_conv_bn_eval`'s convolution."""
    scale, bias = _scale_and_shift(conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
    shape = [1] * conv_w.dim()
    shape[1 if transpose else 0] = -1
    fused = (conv_w * scale.reshape(shape)).to(dtype=conv_w.dtype)
    bias_dtype = conv_b.dtype if conv_b is not None else conv_w.dtype
    return (Parameter(fused, conv_w.requires_grad),
            Parameter(bias.to(dtype=bias_dtype), conv_b.requires_grad if conv_b is not None else False))


def fuse_linear_bn_eval(linear, bn):
    """One linear layer that does what ``bn(linear(x))`` does in evaluation mode."""
    if linear.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    fused = copy.deepcopy(linear)
    if not (linear.out_features == bn.num_features or bn.num_features == 1):
        raise AssertionError("To fuse, linear.out_features == bn.num_features or bn.num_features == 1")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")
    fused.weight, fused.bias = fuse_linear_bn_weights(fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps,
                                                      bn.weight, bn.bias)
    return fused


def fuse_linear_bn_weights(linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float,
                           bn_w: Tensor, bn_b: Tensor) -> tuple[Parameter, Parameter]:
    """Weight and bias of `fuse_linear_bn_eval`'s layer."""
    scale, bias = _scale_and_shift(linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
    bias_dtype = linear_b.dtype if linear_b is not None else linear_w.dtype
    return (Parameter((linear_w * scale.unsqueeze(-1)).to(dtype=linear_w.dtype), linear_w.requires_grad),
            Parameter(bias.to(dtype=bias_dtype), linear_b.requires_grad if linear_b is not None else False))
