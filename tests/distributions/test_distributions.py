"""``torch.distributions`` answers as PyTorch does (``expected.json.xz``, of `cases.py`), and what PyTorch has no answer for."""

import importlib.util
import json
import lzma
import math
import pathlib
import warnings

import numpy as np
import pytest

import diya as torch

HERE = pathlib.Path(__file__).parent
EXPECTED = json.loads(lzma.decompress((HERE / "expected.json.xz").read_bytes()))["answers"]
_SPEC = importlib.util.spec_from_file_location("distribution_cases", HERE / "cases.py")
assert _SPEC and _SPEC.loader
cases = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(cases)
D = torch.distributions


def agrees(ours, theirs) -> bool:
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(agrees, ours, theirs))
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return bool(np.isclose(ours, theirs, rtol=1e-6, atol=1e-7, equal_nan=True))
    return ours == theirs


@pytest.mark.parametrize("group", cases.GROUPS)
def test_answers_are_pytorchs(group):
    expected = EXPECTED[group]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = {name: cases.answer(torch, function) for name, function in cases.GROUPS[group](torch)}
    assert ours.keys() == expected.keys()
    wrong = [f"{name}: {ours[name]} is not {expected[name]}" for name in ours if not agrees(ours[name], expected[name])]
    assert not wrong, "\n".join(wrong[:20])


def test_generalized_pareto():
    """In float32, as PyTorch 2.13 compares its concentration with a float32 zero."""
    d = D.GeneralizedPareto(torch.tensor([0.3, 0.8]), torch.tensor([1.5, 0.7]), torch.tensor([0.2, -0.3]))
    value = torch.tensor([0.9, 1.0])
    assert np.allclose(d.log_prob(value).numpy(), [-0.8672313549249344, 0.1475799069961292], atol=1e-6)
    assert np.allclose(d.icdf(d.cdf(value)).numpy(), value.numpy(), atol=1e-6)
    flat = D.GeneralizedPareto(0.0, 2.0, 0.0)
    assert np.allclose(flat.log_prob(value).numpy(), D.Exponential(0.5).log_prob(value).numpy())


def test_wishart_divergence_with_another_batch_is_not_negative():
    matrix = torch.tensor([[2.0, 0.5], [0.5, 1.5]], dtype=torch.float64)
    p, q = D.Wishart(5.0, matrix), D.Wishart(torch.tensor([4.5, 6.0], dtype=torch.float64), matrix * 1.3)
    torch.manual_seed(0)
    samples = p.sample((4000,)).unsqueeze(1)
    estimate = (p.log_prob(samples) - q.log_prob(samples)).mean(0)
    kl = D.kl_divergence(p, q).detach()
    assert kl.shape == (2,) and bool((kl > 0).all())
    assert np.allclose(kl.numpy(), estimate.numpy(), atol=0.03)


@pytest.mark.parametrize("name", ["Beta", "Gamma", "StudentT", "VonMises", "Gumbel", "Weibull", "NegativeBinomial",
                                  "LogisticNormal"])
def test_samples_have_the_density(name):
    """The mean of p/q over samples of q is 1, for p near q."""
    make = {"LogisticNormal": lambda s: D.LogisticNormal(torch.zeros(2) + s, torch.ones(2)),
            "NegativeBinomial": lambda s: D.NegativeBinomial(4.0, torch.tensor(0.4 + s))}.get(
        name, lambda s: getattr(D, name)(torch.tensor(2.0 + s), torch.tensor(1.5)))
    p, q = make(0.05), make(0.0)
    torch.manual_seed(1)
    x = q.sample((20000,))
    assert abs((p.log_prob(x) - q.log_prob(x)).exp().mean().item() - 1) < 0.02


def test_own_distributions():
    """A subclass needs parameters' constraints, a support and a density; `expand` where it has its own constructor."""
    class Triangle(D.Distribution):
        arg_constraints = {"width": D.constraints.positive}
        support = D.constraints.real

        def __init__(self, width, validate_args=None):
            self.width, = D.utils.broadcast_all(width)
            super().__init__(self.width.shape, validate_args=validate_args)

        def log_prob(self, value):
            self._validate_sample(value)
            return ((1 - value.abs() / self.width) / self.width).log()
    d = Triangle(torch.tensor([1.0, 2.0]))
    assert np.allclose(d.log_prob(torch.tensor(0.0)).numpy(), [0.0, math.log(0.5)])
    assert repr(d) == "Triangle(width: torch.Size([2]))"
    for call in (d.rsample, d.entropy, lambda: d.mean, lambda: d.expand((3, 2))):
        with pytest.raises(NotImplementedError):
            call()
    with pytest.raises(ValueError, match="width"):
        Triangle(-1.0)

    class Shifted(D.Normal):
        def __init__(self, loc):
            super().__init__(loc + 1, 1.0)
    with pytest.raises(NotImplementedError, match="expand"):
        Shifted(torch.zeros(2)).expand((3, 2))

    @D.register_kl(Triangle, D.Normal)
    def kl(p, q):
        return p.width
    assert D.kl_divergence(d, D.Normal(0.0, 1.0)) is d.width


def test_cached_transforms_give_back_what_they_were_given():
    x = torch.randn(3)
    for transform in (D.SigmoidTransform(), D.StickBreakingTransform(), D.AffineTransform(1.0, 2.0),
                      D.ComposeTransform([D.ExpTransform(), D.TanhTransform()])):
        t = transform.with_cache()
        assert t.inv(t(x)) is x
    assert D.AffineTransform(1.0, 2.0) == D.AffineTransform(1.0, 2.0) != D.AffineTransform(1.0, 3.0)


def test_modules_have_pytorchs_names():
    from diya.distributions.multivariate_normal import MultivariateNormal
    from diya.distributions.von_mises import VonMises
    assert MultivariateNormal is D.MultivariateNormal and VonMises is D.VonMises
    assert D.studentT.StudentT is D.StudentT and D.exp_family.ExponentialFamily is D.ExponentialFamily


def test_validation_can_be_turned_off():
    D.Normal(0.0, -1.0, validate_args=False)
    D.Distribution.set_default_validate_args(False)
    try:
        assert bool(D.Normal(0.0, 1.0).log_prob(torch.tensor(float("nan"))).isnan())
        D.Normal(0.0, -1.0)
    finally:
        D.Distribution.set_default_validate_args(True)


def test_one_distribution_gives_several_losses():
    """As in PyTorch: what broadcasting its parameters records keeps nothing, so that each loss goes backward alone."""
    loc, scale = torch.zeros(3, requires_grad=True), torch.ones(3, requires_grad=True)
    d = D.Normal(loc, scale)
    for _ in range(4):
        for loss in (d.log_prob(torch.ones(3)), d.rsample(), d.entropy()):
            gradients = torch.autograd.grad(loss.sum(), [loc, scale], allow_unused=True)
            assert any(g is not None for g in gradients)
    y = (loc * scale).exp()
    y.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


def test_vectors_of_different_dtypes_have_a_divergence():
    wide = D.MultivariateNormal(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
    low = D.LowRankMultivariateNormal(torch.zeros(2), torch.zeros(2, 1), torch.ones(2))
    assert abs(D.kl_divergence(low, wide).item()) < 1e-6
    with pytest.raises(ValueError, match="total_count"):
        D.Multinomial(-1, torch.ones(2), validate_args=False)
