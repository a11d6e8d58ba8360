"""Samples by rejection (Poisson, binomial, gamma, Dirichlet) and their implicit gradients are PyTorch's (``rejection.json.xz``)."""

import json
import lzma
import pathlib

import numpy as np
import pytest
from numpy.testing import assert_allclose

import diya as torch

RECORDED = json.loads(lzma.decompress(pathlib.Path(__file__).with_name("rejection.json.xz").read_bytes()))
SAMPLERS = {
    "poisson": lambda torch, a, g: torch.poisson(a, generator=g),
    "binomial": lambda torch, a, g: torch.binomial(a.round(), (a / 80).clamp(0, 1), generator=g),
    "_standard_gamma": lambda torch, a, g: torch._standard_gamma(a, generator=g),
    "_sample_dirichlet": lambda torch, a, g: torch._sample_dirichlet(a, generator=g),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_are_pytorchs(name):
    for sampler, dtype, scale, transposed, numbers, after in RECORDED["samples"]:
        if sampler != name:
            continue
        g = torch.Generator().manual_seed(scale)
        torch.randn(1, generator=g)
        a = (torch.arange(1, 25, dtype=torch.float64) / 24 * scale).reshape(12, 2).to(getattr(torch, dtype))
        a = a.t().contiguous().t() if transposed else a
        assert_allclose(SAMPLERS[name](torch, a, g).double().numpy(), numbers, rtol=1e-6 if dtype == "float32" else 1e-12)
        assert_allclose(torch.randn(3, generator=g).numpy(), after, rtol=1e-6)


def test_implicit_gradients_are_pytorchs():
    alpha = torch.tensor([0.05, 0.5, 0.9, 3.0, 7.5, 9.0, 40.0, 200.0], dtype=torch.float64)[:, None, None].expand(8, 4, 5)
    beta = torch.tensor([0.1, 2.0, 6.5, 30.0], dtype=torch.float64)[None, :, None]
    x = torch.tensor([0.001, 0.2, 0.5, 0.8, 0.999], dtype=torch.float64)[None, None]
    gamma = torch._standard_gamma_grad(alpha, alpha * (2 * x))
    assert_allclose(gamma.numpy(), RECORDED["gradients"]["gamma"], rtol=1e-9)
    assert_allclose(torch._dirichlet_grad(x, alpha, alpha + beta).numpy(), RECORDED["gradients"]["beta"], rtol=1e-9)


def test_gamma_has_the_implicit_gradient():
    alpha = torch.tensor([0.3, 2.0, 20.0], requires_grad=True)
    sample = torch._standard_gamma(alpha)
    sample.sum().backward()
    assert_allclose(alpha.grad.numpy(), torch._standard_gamma_grad(alpha.detach(), sample.detach()).numpy())


def test_large_draws_leave_the_stream_where_single_ones_do():
    whole = torch.Generator().manual_seed(3)
    parts = torch.Generator().manual_seed(3)
    a = torch.linspace(0.1, 30, 20000, dtype=torch.float64)
    expected = torch.cat([torch._standard_gamma(x, generator=parts) for x in a.split(777)])
    assert np.array_equal(torch._standard_gamma(a, generator=whole).numpy(), expected.numpy())
    assert torch.rand(1, generator=whole).item() == torch.rand(1, generator=parts).item()


def test_moments():
    torch.manual_seed(0)
    n = 20000
    for sample, mean, variance in ((torch.poisson(torch.full((n,), 3.5)), 3.5, 3.5),
                                   (torch.poisson(torch.full((n,), 40.0)), 40, 40),
                                   (torch.binomial(torch.full((n,), 200.0), torch.full((n,), 0.7)), 140, 42),
                                   (torch._standard_gamma(torch.full((n,), 0.4)), 0.4, 0.4)):
        assert abs(sample.mean().item() - mean) < 5 * (variance / n) ** 0.5
        assert abs(sample.var().item() / variance - 1) < 0.1


@pytest.mark.parametrize("call, error", [
    (lambda: torch.poisson(torch.tensor([1, 2])), NotImplementedError),
    (lambda: torch.poisson(torch.tensor([-1.0])), RuntimeError),
    (lambda: torch.binomial(torch.tensor([1, 2]), torch.rand(2)), ValueError),
    (lambda: torch._standard_gamma(torch.ones(2, dtype=torch.float16)), NotImplementedError),
    (lambda: torch.autograd.grad(torch.binomial(torch.ones(2), p := torch.rand(2, requires_grad=True)).sum(), p), RuntimeError),
])
def test_wrong_input(call, error):
    with pytest.raises(error):
        call()
