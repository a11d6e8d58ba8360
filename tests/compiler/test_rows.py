"""Kernels that pass over rows: what one pass computes serves the next, and sums over all rows are taken on the way."""

import numpy as np
import pytest

import diya as torch
from diya import engine
from diya.compiler import pipeline
from diya.counters import counters

F = torch.nn.functional


def layer_norm(x, w, b):
    return F.layer_norm(x, x.shape[-1:], w, b)


def rms_norm(x, w, b):
    return F.rms_norm(x, x.shape[-1:], w) + b


def softmax(x, w, b):
    return F.softmax(x * w + b, -1)


def cross_entropy(x, w, b):
    y = torch.arange(x.shape[0]) % x.shape[-1]
    return F.cross_entropy(F.layer_norm(x.reshape(-1, x.shape[-1])[:x.shape[0]], w.shape, w, b), y)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", [(1, 5), (3, 7), (17, 33), (2, 9, 16), (100, 1000), (2000, 40), (5, 300, 129), (70, 1)])
@pytest.mark.parametrize("function", [layer_norm, rms_norm, softmax, cross_entropy])
def test_gradients(function, shape, threads, monkeypatch):
    """Tiers agree, and threads change nothing."""
    monkeypatch.setattr(pipeline, "VERIFY", True)
    for dtype, rtol in ((torch.float32, 2e-3), (torch.float64, 1e-9)):
        results = []
        for n, tier in ((1, 0), (1, 1), (2, 1)):
            threads(n)
            torch.manual_seed(0)
            x, w, b = (torch.randn(*s, dtype=dtype, requires_grad=True) for s in (shape, shape[-1:], shape[-1:]))
            with engine.Tier(tier):
                y = function(x, w, b)
                (y * torch.randn(*shape, dtype=dtype) if y.dim() else y).sum().backward()
                results.append([t.grad.numpy() for t in (x, w, b)])
        want, one, two = results
        for p, q, r in zip(want, one, two, strict=True):
            np.testing.assert_array_equal(q, r)
            np.testing.assert_allclose(q, p, rtol=rtol, atol=rtol / 10)


def test_one_pass():
    """Layer normalisation and its gradients are a kernel, and two for the sums that its tasks leave."""
    x, w, b = torch.randn(64, 96, requires_grad=True), torch.randn(96, requires_grad=True), torch.randn(96, requires_grad=True)
    g = torch.randn(64, 96)

    def step():
        x.grad = w.grad = b.grad = None
        (layer_norm(x, w, b) * g).sum().backward()
        engine.flush()
    step()
    before = counters.kernels_launched
    with engine.Tier(1):
        step()
    assert counters.kernels_launched - before <= 3
