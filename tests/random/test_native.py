"""Compiled draws are the interpreted ones, from the same words: samples by rejection, normal numbers, permutations."""

import numpy as np
import pytest

import diya as torch
from diya import engine, random, rejection, sampling
from diya.runtime.cpu import scalar

pytestmark = pytest.mark.skipif(engine.compiler() is None, reason="needs llvmlite")


def draws(seed, n, dtype, scale):
    g = torch.Generator().manual_seed(seed)
    a = torch.rand(n, dtype=dtype, generator=g) * scale
    a[0] = 0
    g.manual_seed(seed)
    torch.randn(seed % 2, generator=g)  # so that a normal number is left over, or not
    samples = [torch._standard_gamma(a, generator=g), torch._sample_dirichlet(a.reshape(-1, 2) + 1e-6, generator=g),
               torch.poisson(a, generator=g), torch.binomial(a.round(), a / scale, generator=g)]
    return [s.numpy() for s in samples], g.get_state().numpy()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.01, 1, 25, 3e4])
def test_both_tiers_draw_the_same(dtype, scale, monkeypatch):
    monkeypatch.setattr(rejection, "NATIVE_FROM", 0)
    for seed in range(20):
        n = (2, 10, 700)[seed % 3]
        with engine.Tier(0):
            expected, state = draws(seed, n, dtype, scale)
        found, after = draws(seed, n, dtype, scale)
        assert all(np.array_equal(f, e) for f, e in zip(found, expected, strict=True)), seed
        assert np.array_equal(after, state), seed


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_normal_numbers_and_permutations_agree(dtype, monkeypatch):
    monkeypatch.setattr(sampling, "_NATIVE_FROM", 0)
    for seed, n in enumerate((4096, 4097, 5007, 20000)):
        values = []
        for tier in (0, None):
            g = torch.Generator().manual_seed(seed)
            with engine.Tier(tier):
                x = torch.empty(n, dtype=dtype).normal_(*((0, 1) if seed % 2 else (1.5, 0.3)), generator=g)
                order = torch.randperm(n, generator=g)
            values.append((x.float().numpy().copy(), order.numpy().copy(), g.get_state().numpy()))
        assert all(np.array_equal(a, b) for a, b in zip(*values, strict=True)), n
    g = torch.Generator().manual_seed(5)  # PyTorch 2.13
    x = torch.randn(10007, generator=g)
    assert x.double().sum().item() == pytest.approx(-132.00573036890273, rel=1e-12)
    assert x[[0, 9999, 10006]].tolist() == [1.8423298597335815, 0.004383518360555172, -0.24487556517124176]
    assert torch.randperm(10000, generator=g)[[0, 17, 9999]].tolist() == [3389, 7741, 292]


@pytest.mark.parametrize("before", [0, 1, 623, 624, 700])
def test_words_agree(before, monkeypatch):
    monkeypatch.setattr(random, "NATIVE_FROM", 0)
    monkeypatch.setattr(random, "_CHUNK", 1)
    for n in (1, 7, 8, 100, 624, 625, 5000, 20001):
        found = []
        for tier in (0, None):
            with engine.Tier(tier):
                g = torch.Generator().manual_seed(n)
                g.words32(before)
                found.append([g.words32(n), g.words64(n), g.floats(n), g.doubles(n), g.get_state_bytes()])
        assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(*found, strict=True)), n


def test_no_words_leave_a_fresh_generator_untouched(monkeypatch):
    monkeypatch.setattr(rejection, "NATIVE_FROM", 0)
    g = torch.Generator().manual_seed(1)
    before = g.get_state().numpy().copy()
    torch.poisson(torch.zeros(5), generator=g)
    assert np.array_equal(g.get_state().numpy(), before)


# PyTorch 2.13: seed 11, a = rand(5000) * 30; sum of the samples (float64), the next normal number.
RECORDED = {"gamma": (75641.57422886533, 0.8755159378051758), "poisson": (75019.0, 0.01653886027634144),
            "binomial": (37309.0, -0.5988221168518066)}


@pytest.mark.parametrize("name", RECORDED)
def test_many_samples_are_pytorchs(name):
    g = torch.Generator().manual_seed(11)
    a = torch.rand(5000, generator=g) * 30
    p = torch.rand(5000, generator=g)
    samples = {"gamma": lambda: torch._standard_gamma(a, generator=g), "poisson": lambda: torch.poisson(a, generator=g),
               "binomial": lambda: torch.binomial(a.round(), p, generator=g)}[name]()
    total, following = RECORDED[name]
    assert samples.double().sum().item() == pytest.approx(total, rel=1e-12)
    assert torch.randn(1, generator=g).item() == pytest.approx(following, rel=1e-6)


def test_multinomial_of_many_rows_is_pytorchs():
    g = torch.Generator().manual_seed(3)
    weights = torch.rand(6, 7, generator=g)
    assert torch.multinomial(weights, 5, replacement=True, generator=g).tolist() == [
        [5, 1, 4, 4, 2],
        [2, 3, 3, 4, 4], [1, 0, 1, 2, 6], [1, 1, 3, 6, 3], [3, 3, 3, 3, 3], [5, 5, 3, 0, 5]]


def untranslatable(stream, x):
    return sum(range(x))


def test_what_is_not_understood_says_so():
    with pytest.raises(NotImplementedError, match="untranslatable"):
        scalar.module(untranslatable, 1)
