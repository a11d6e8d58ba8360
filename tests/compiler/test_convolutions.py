"""Convolutions through the whole line: compiled against interpreted, with gradients and gradients of those."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import diya
from diya import engine


@pytest.mark.parametrize("stride,padding,dilation,groups,kernel", [
    (1, 1, 1, 1, 3), (2, 1, 1, 1, 3), (2, 0, 1, 1, 1), (3, 1, 1, 1, 2), (2, 2, 2, 1, 3), (1, 1, 1, 4, 3), (2, 1, 1, 4, 3)])
def test_compiled_as_interpreted(stride, padding, dilation, groups, kernel):
    def gradients(tier):
        rng = np.random.default_rng(0)
        with engine.Tier(tier):
            x = diya.tensor(rng.standard_normal((2, 4, 9, 13)).astype("f"), requires_grad=True)
            w = diya.tensor(rng.standard_normal((8, 4 // groups, kernel, kernel)).astype("f"), requires_grad=True)
            y = diya.nn.functional.conv2d(x * 2, w, None, stride, padding, dilation, groups)
            g, = diya.autograd.grad((y.tanh() * y).sum(), x, create_graph=True)
            (g * g).sum().backward()
            return [t.detach().numpy() for t in (y, g, x.grad, w.grad)]

    for want, got in zip(gradients(0), gradients(1), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())
