"""Unusual compositions of transforms, and what they refuse: PyTorch's results (2.13)."""

import pytest
from numpy.testing import assert_allclose

import diya as torch
from diya.func import (
    functional_call,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    vjp,
    vmap,
)

X = torch.arange(1.0, 7.0).reshape(2, 3) / 3
V = torch.tensor([0.5, -1.0, 2.0])


def in_place(t):
    u = t.clone()
    u.mul_(2)
    u[0] = u[1] * t[2]
    u.add_(t.sin())
    return u


def pieces(t):
    z = torch.zeros_like(t)
    z[1:] = t[1:]**2
    z[0] += t[0]
    return z


JACOBIANS = [[[0.94496, 2, 1.33333], [0, 2.78589, 0], [0, 0, 2.5403]], [[0.23524, 4, 3.33333], [0, 1.90428, 0], [0, 0, 1.58385]]]


def test_forward_mode_of_writes_in_place():
    """What was written over is still known: forward mode needs the values of the moment."""
    assert_allclose(vmap(jacfwd(in_place))(X).numpy(), JACOBIANS, atol=1e-4)
    assert_allclose(jacfwd(vmap(in_place))(X)[0, :, 0].numpy(), JACOBIANS[0], atol=1e-4)
    second = torch.zeros(3, 3, 3)
    second[0, 0, 0], second[0, 1, 2], second[0, 2, 1], second[1, 1, 1], second[2, 2, 2] = -0.47943, 2, 2, 0.84147, -0.9093
    assert_allclose(jacfwd(jacfwd(in_place))(V).numpy(), second.numpy(), atol=1e-4)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        jacrev(in_place)(V)
    for transform in (jacrev, jacfwd):
        assert_allclose(vmap(transform(pieces))(X)[0].numpy(), [[1, 0, 0], [0, 4 / 3, 0], [0, 0, 2]], rtol=1e-6)


def test_functional_call_leaves_further_names_alone():
    module = torch.nn.Linear(3, 2)
    expected = module(V)
    assert torch.equal(functional_call(module, {"more": V}, (V,)), expected)
    assert not hasattr(module, "more")
    with pytest.raises(RuntimeError, match="Unexpected key"):
        functional_call(module, {"more": V}, (V,), strict=True)


def total(t):
    return (t**2).sum()


@pytest.mark.parametrize("call, error", [
    (lambda: grad(total, argnums=0.0)(V), RuntimeError), (lambda: grad(total, argnums=())(V), RuntimeError),
    (lambda: grad(total, argnums=(0, 0))(V), RuntimeError), (lambda: grad(total)(3.0), ValueError),
    (lambda: grad(lambda d: d["a"].sum())({"a": V, "b": 3}), ValueError), (lambda: vjp(total, 3.0), ValueError),
    (lambda: jacrev(total)(3), ValueError), (lambda: vjp(torch.sin, V)[1]((V,)), RuntimeError),
    (lambda: vjp(lambda t: (t, t.sum()), V)[1](V), RuntimeError), (lambda: jvp(total, (V,), torch.ones(3)), RuntimeError),
    (lambda: jvp(total, (V,), (torch.ones(3), V)), RuntimeError),
    (lambda: jvp(total, (torch.tensor([1, 2]),), (torch.tensor([1, 2]),)), ValueError),
    (lambda: jacfwd(torch.sin)(torch.tensor([1, 2])), ValueError), (lambda: jacrev(torch.sin)(torch.tensor([1, 2])), RuntimeError),
    (lambda: linearize(torch.sin, V)[1](V.double()), RuntimeError), (lambda: linearize(torch.sin, V)[1](), RuntimeError),
    (lambda: linearize(torch.sin, V)[1](V, V), RuntimeError), (lambda: linearize(torch.sin, V)[1](V[:2]), RuntimeError),
])
def test_what_is_refused(call, error):
    with pytest.raises(error) as raised:
        call()
    assert isinstance(raised.value, error) and not isinstance(raised.value, NotImplementedError)


def test_structures():
    out, pull = vjp(lambda t: {"a": t * 2}, V)
    assert pull({"a": V})[0].tolist() == (2 * V).tolist() and out["a"].tolist() == (2 * V).tolist()
    assert linearize(lambda d: {"o": d["a"]**2}, {"a": V})[1]({"a": V})["o"].tolist() == (2 * V * V).tolist()
    assert jvp(lambda d: d["a"]**2, ({"a": V},), ({"a": torch.ones(3)},))[1].tolist() == (2 * V).tolist()
    assert_allclose(vmap(linearize(torch.sin, V)[1])(torch.eye(3)).numpy(), torch.diag(V.cos()).numpy())
    assert_allclose(vmap(hessian(lambda t: (t**3).sum()))(X)[1].numpy(), torch.diag(6 * X[1]).numpy(), rtol=1e-6)


X6 = torch.arange(1.0, 7.0).reshape(2, 3) / 9


@pytest.mark.parametrize("function, expected, following", [
    (lambda t: torch.bernoulli(t, 0.5), [[0, 0, 1], [0, 0, 0]], 0.022325754),
    (lambda t: torch.bernoulli(t), [[0, 0, 1], [1, 1, 1]], 0.49009341),
    (lambda t: torch.nn.functional.dropout(t, 0.5), [[0, 0, 2 / 3], [0, 0, 0]], 0.022325754),
    (lambda t: torch.poisson(t * 9), [[2, 3, 3], [4, 5, 6]], 0.153456926),
    (lambda t: torch.nn.functional.gumbel_softmax(t), [[0.088416, 0.281738, 0.629846], [0.173704, 0.475147, 0.351149]],
     0.022325754),
    (lambda t: torch.zeros_like(t).uniform_(), [[0.496257, 0.768222, 0.088477], [0.132030, 0.307423, 0.634079]], 0.490093410)])
def test_random_numbers_in_a_batch_are_pytorchs(function, expected, following):
    for _ in range(3):  # whether the operators are known or not
        torch.manual_seed(0)
        assert_allclose(vmap(function, randomness="different")(X6).numpy(), expected, atol=1e-5)
        assert torch.rand(1).item() == pytest.approx(following, abs=1e-6)
    with pytest.raises(RuntimeError, match="randomness"):
        vmap(lambda t: function(t) + torch.rand(3))(X6)


def test_variables_of_backward_must_not_be_written_to():
    def written(t):
        t.mul_(2)
        return t.sin()

    def view_written(t):
        t[:2].mul_(2)
        return t.sin().sum()
    for call in (lambda: jacrev(written)(V.clone()), lambda: vjp(written, V.clone()), lambda: grad(view_written)(V.clone()),
                 lambda: hessian(lambda t: written(t).sum())(V.clone()),
                 lambda: vmap(grad(lambda t: written(t).sum()))(X.clone())):
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad is being used in an in-place operation"):
            call()
    x = V.clone()
    assert_allclose(jacfwd(written)(x).numpy(), torch.diag(2 * (2 * V).cos()).numpy(), rtol=1e-6)
    assert x.tolist() == (2 * V).tolist()
    assert_allclose(jvp(written, (V.clone(),), (torch.ones(3),))[1].numpy(), (2 * (2 * V).cos()).numpy(), rtol=1e-6)
    assert_allclose(grad(lambda t: written(t * 1).sum())(V).numpy(), (2 * (2 * V).cos()).numpy(), rtol=1e-6)
