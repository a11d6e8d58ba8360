"""``torch.autograd.forward_ad``: dual tensors."""

import numpy as np
import pytest

import diya as torch
from diya.autograd import forward_ad
from diya.autograd.forward_ad import dual_level, make_dual, unpack_dual


def sample(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).standard_normal(shape))


def close(a, b):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-12)


X, T, W = sample(3), sample(3, seed=1), sample(2, 3, seed=2)


def test_tangents():
    with dual_level() as level:
        assert level == 0
        d = make_dual(X, T)
        primal, tangent = unpack_dual(d)
        close(primal, X)
        close(tangent, T)
        assert unpack_dual(X).tangent is None
        out = unpack_dual(torch.tanh(W @ d))
        close(out.tangent, (1 - torch.tanh(W @ X) ** 2) * (W @ T))
        assert not out.primal.requires_grad and not out.tangent.requires_grad
        a, b = make_dual(X, T), make_dual(T, X)
        close(unpack_dual(a * b).tangent, T * T + X * X)
        c = d.clone()
        c.mul_(2)
        c[0] = 1
        close(unpack_dual(c).tangent, torch.cat([torch.zeros(1, dtype=T.dtype), 2 * T[1:]]))
        assert unpack_dual(d.detach()).tangent is None
    assert unpack_dual(d).tangent is None


def test_forward_mode_does_not_ask_whether_gradients_are_recorded():
    with torch.no_grad():
        with dual_level():
            close(unpack_dual(make_dual(X, T).exp()).tangent, X.exp() * T)
        assert not torch.is_grad_enabled()
    with dual_level():
        d = make_dual(X, T)
        with torch.no_grad():
            close(unpack_dual((d * d).sum()).tangent, 2 * (X * T).sum())


def test_forward_over_reverse():
    with dual_level():
        d = make_dual(X.clone().requires_grad_(), T)
        g, = torch.autograd.grad((d ** 3).sum(), d)
        close(g, 3 * X * X)
        close(unpack_dual(g).tangent, 6 * X * T)


def test_reverse_over_forward():
    w = W.clone().requires_grad_()
    with dual_level():
        tangent = unpack_dual((w @ make_dual(X, T)).sin()).tangent
    tangent.sum().backward()
    wanted, = torch.autograd.grad(((w @ X).cos() * (w @ T)).sum(), w)
    close(w.grad, wanted)


def test_modules():
    linear = torch.nn.Linear(3, 2).double()
    with dual_level():
        params = {k: make_dual(p, torch.ones_like(p)) for k, p in linear.named_parameters()}
        out = unpack_dual(torch.func.functional_call(linear, params, X))
    close(out.primal, linear(X))
    close(out.tangent, (X.sum() + 1).expand(2))


def test_errors():
    with pytest.raises(RuntimeError, match="no level exists"):
        make_dual(X, T)
    with dual_level():
        with pytest.raises(RuntimeError, match="Nested forward mode AD"):
            forward_ad.enter_dual_level()
        with pytest.raises(RuntimeError, match="same size"):
            make_dual(X, T[:2])
        with pytest.raises(RuntimeError, match="same dtype"):
            make_dual(X, T.float())
        with pytest.raises(ValueError, match="floating point or complex"):
            make_dual(torch.arange(3), T)
        with pytest.raises(TypeError, match="must be Tensor"):
            make_dual(X, 1.0)
    with pytest.raises(RuntimeError, match="not the last one"):
        forward_ad.exit_dual_level()
