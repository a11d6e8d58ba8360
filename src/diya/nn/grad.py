"""Gradients of convolutions, as functions."""

from __future__ import annotations

from collections.abc import Callable

import diya

from ..tensor import Tensor
from . import functional as F


def _input_gradient(conv: Callable, input_size, weight: Tensor, grad_output: Tensor, *options) -> Tensor:
    with diya.enable_grad():
        x = diya.zeros(tuple(input_size), dtype=weight.dtype, device=weight.device).requires_grad_()
        return diya.autograd.grad(conv(x, weight.detach(), None, *options), x, grad_output)[0]


def _weight_gradient(conv: Callable, input: Tensor, weight_size, grad_output: Tensor, *options) -> Tensor:
    with diya.enable_grad():
        w = diya.zeros(tuple(weight_size), dtype=input.dtype, device=input.device).requires_grad_()
        return diya.autograd.grad(conv(input.detach(), w, None, *options), w, grad_output)[0]


def conv1d_input(input_size, weight: Tensor, grad_output: Tensor, stride=1, padding=0, dilation=1,
                 groups: int = 1) -> Tensor:
    """The gradient of `F.conv1d` with respect to its input."""
    return _input_gradient(F.conv1d, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv1d_weight(input: Tensor, weight_size, grad_output: Tensor, stride=1, padding=0, dilation=1,
                  groups: int = 1) -> Tensor:
    """The gradient of `F.conv1d` with respect to its weight."""
    return _weight_gradient(F.conv1d, input, weight_size, grad_output, stride, padding, dilation, groups)


def conv2d_input(input_size, weight: Tensor, grad_output: Tensor, stride=1, padding=0, dilation=1,
                 groups: int = 1) -> Tensor:
    """The gradient of `F.conv2d` with respect to its input."""
    return _input_gradient(F.conv2d, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv2d_weight(input: Tensor, weight_size, grad_output: Tensor, stride=1, padding=0, dilation=1,
                  groups: int = 1) -> Tensor:
    """The gradient of `F.conv2d` with respect to its weight."""
    return _weight_gradient(F.conv2d, input, weight_size, grad_output, stride, padding, dilation, groups)


def conv3d_input(input_size, weight: Tensor, grad_output: Tensor, stride=1, padding=0, dilation=1,
                 groups: int = 1) -> Tensor:
    """The gradient of `F.conv3d` with respect to its input."""
    return _input_gradient(F.conv3d, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv3d_weight(input: Tensor, weight_size, grad_output: Tensor, stride=1, padding=0, dilation=1,
                  groups: int = 1) -> Tensor:
    """The gradient of `F.conv3d` with respect to its weight."""
    return _weight_gradient(F.conv3d, input, weight_size, grad_output, stride, padding, dilation, groups)
