"""Reads that lie across the lanes: square tiles are transposed in registers."""

import numpy as np
import pytest

import diya as torch
from diya import engine

SHAPES = [((5, 7), (1, 0)), ((16, 16), (1, 0)), ((33, 47), (1, 0)), ((100, 200), (1, 0)), ((3, 40, 50), (2, 0, 1)),
          ((3, 40, 50), (2, 1, 0)), ((2, 3, 17, 33), (0, 2, 3, 1)), ((2, 33, 17, 3), (0, 3, 1, 2)), ((300, 1), (1, 0)),
          ((4, 5, 6, 70), (3, 1, 0, 2)), ((1000, 33), (1, 0))]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "int16", "bool", "float16"])
def test_permuted(dtype):
    numbers = np.random.default_rng(0)
    for shape, order in SHAPES:
        a = (numbers.normal(size=shape) * 20).astype(dtype)
        b = np.ascontiguousarray((numbers.normal(size=shape) * 20).astype(dtype).transpose(order))
        x, y = torch.tensor(a), torch.tensor(b)
        with engine.Tier(1):
            copied, both, part = x.permute(order).contiguous(), x.permute(order) + y, x[..., 1:].permute(order).contiguous()
            np.testing.assert_array_equal(copied.numpy(), a.transpose(order))
            np.testing.assert_array_equal(both.numpy(), a.transpose(order) + b)
            np.testing.assert_array_equal(part.numpy(), a[..., 1:].transpose(order))


@pytest.mark.parametrize("shape", [(1, 2, 4, 4), (2, 3, 9, 7), (3, 4, 32, 34), (2, 2, 4, 66), (2, 3, 64, 96)])
@pytest.mark.parametrize("pool", ["max_pool2d", "avg_pool2d"])
def test_interleaved(pool, shape):
    """The gradient of a pool's windows of two is stored side by side."""
    x, results = torch.randn(*shape), []
    for tier in (0, 1):
        with engine.Tier(tier):
            t = x.clone().requires_grad_()
            y = getattr(torch.nn.functional, pool)(t, 2)
            (y * y).sum().backward()
            results.append(t.grad.numpy())
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-6)
