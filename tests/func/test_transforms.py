"""`torch.func`'s derivatives, and ``torch.autograd.functional`` over them."""

import numpy as np
import pytest

import diya as torch
from diya.autograd import functional
from diya.func import (
    functional_call,
    functionalize,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    replace_all_batch_norm_modules_,
    stack_module_state,
    vjp,
    vmap,
)

nn = torch.nn


def sample(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).standard_normal(shape))


def close(a, b, **kwargs):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), **({"rtol": 1e-6, "atol": 1e-12} | kwargs))


X, Y, W = sample(4, 3), sample(4, 3, seed=1), sample(3, 3, seed=2)


def test_grad():
    close(grad(lambda a: a.sin().sum())(X), X.cos())
    a, b = grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(X, Y)
    close(a, Y)
    close(b, X)
    close(grad(lambda a, b: (a * b).sum(), argnums=-1)(X, Y), X)
    g = grad(lambda p: (p["a"] @ p["b"]).sum())({"a": X, "b": W})
    close(g["b"], X.sum(0)[:, None].expand(3, 3))
    g, aux = grad(lambda a: (a.sin().sum(), {"cos": a.cos()}), has_aux=True)(X)
    close(g, aux["cos"])
    g, (value, aux) = grad_and_value(lambda a: (a.sin().sum(), a), has_aux=True)(X)
    close(value, X.sin().sum())
    assert not g.requires_grad and not value.requires_grad and not aux.requires_grad
    unused = grad(lambda a, b: a.sum(), argnums=1)(X, Y)
    assert unused.tolist() == torch.zeros(4, 3).tolist()


def test_levels_do_not_mix():
    three = torch.tensor(3.0)
    assert grad(lambda a: a * grad(lambda b: a + b)(torch.ones(())))(three).item() == 1
    assert grad(lambda a: grad(lambda b: a * b * b)(a))(three).item() == 12
    assert grad(grad(grad(lambda a: a ** 4)))(three).item() == 72
    assert jvp(lambda a: jvp(lambda b: a * b * b, (a,), (torch.ones(()),))[1], (three,), (torch.ones(()),))[1].item() == 12
    close(grad(lambda a: (a * a.detach()).sum())(X), X)


def test_what_is_around_still_differentiates():
    w = W.clone().requires_grad_()
    g = grad(lambda a: (a @ w).sin().sum())(X)
    assert g.requires_grad
    g.sum().backward()
    close(w.grad, jacrev(lambda w: grad(lambda a: (a @ w).sin().sum())(X).sum())(W))
    with torch.no_grad():
        assert not grad(lambda a: (a @ w).sin().sum())(X).requires_grad
    assert not grad(lambda a: (a @ W).sin().sum())(X).requires_grad


def test_vjp_and_jvp():
    out, pull = vjp(lambda a, b: (a @ W + b, a.sum(1)), X, Y)
    a, b = pull((torch.ones_like(X), torch.ones(4, dtype=X.dtype)))
    close(a, W.sum(1).expand(4, 3) + 1)
    close(b, torch.ones_like(X))
    assert isinstance(vjp(lambda a: a, X)[1](X), tuple) and not out[0].requires_grad
    out, pull, aux = vjp(lambda a: (a * a, a), X, has_aux=True)
    close(pull(Y)[0], 2 * X * Y)
    close(pull(X)[0], 2 * X * X)
    value, tangent = jvp(lambda p: {"o": p["a"] @ p["b"]}, ({"a": X, "b": W},), ({"a": Y, "b": W},))
    close(tangent["o"], Y @ W + X @ W)
    value, tangent, aux = jvp(lambda a: (a * a, a.sum()), (X,), (Y,), has_aux=True)
    close(tangent, 2 * X * Y)
    assert jvp(lambda a: torch.ones(2), (X,), (Y,))[1].tolist() == [0, 0]
    out, push = linearize(lambda a: a.sin() @ W, X)
    close(push(Y), (X.cos() * Y) @ W)
    close(push(X), (X.cos() * X) @ W)
    z, t = torch.tensor([1 + 1j]), torch.tensor([2 - 1j])
    close(jvp(lambda z: z * z.conj() * 2j, (z,), (t,))[1], 2j * (t * z.conj() + z * t.conj()))


def test_jacobians():
    for transform in (jacrev, jacfwd):
        close(transform(lambda a: a @ W)(X[0]), W.T)
        s, p = transform(lambda a: (a.sum(0), a.prod(1)))(X)
        assert s.shape == (3, 4, 3) and p.shape == (4, 4, 3)
        close(p.sum(1), X.prod(1, keepdim=True) / X)
        j = transform(lambda a, b: {"s": (a * b).sum(), "m": a - b}, argnums=(0, 1))(X[0], Y[0])
        close(j["s"][0], Y[0])
        close(j["m"][1], -torch.eye(3, dtype=X.dtype))
        j, aux = transform(lambda a: (a.sin(), a.cos()), has_aux=True)(X[0])
        close(j, aux.diag())
        assert transform(lambda a: a * 2)(X[:0]).shape == (0, 3, 0, 3)
        with pytest.raises(RuntimeError, match="to be real"):
            transform(lambda a: a)(torch.ones(2) + 0j)
    close(jacrev(lambda a: a.sin(), chunk_size=2)(X[0]), X[0].cos().diag())
    h = hessian(lambda a: (a @ W @ a).sin())(X[0])
    close(h, jacrev(jacrev(lambda a: (a @ W @ a).sin()))(X[0]))
    h = hessian(lambda a, b: (a @ W @ b).sum(), argnums=(0, 1))(X[0], Y[0])
    close(h[0][1], W)
    close(h[1][0], W.T)


@pytest.mark.parametrize("call", [
    lambda: grad(lambda a: a)(X), lambda: grad(lambda a: a.float().sum())(torch.arange(3)),
    lambda: grad(lambda a: a.sum(), argnums=3)(X),
    lambda: grad(lambda a: 3.0)(X), lambda: grad(lambda a: a.sum(), has_aux=True)(X),
    lambda: vjp(lambda a: a, X)[1](X[0]), lambda: jvp(lambda a: a, (X,), (X[0],)), lambda: jvp(lambda a: a, X, X),
    lambda: jvp(lambda a: 1, (X,), (X,)), lambda: grad(lambda a, b: a.sum(), argnums=(0, 0))(X, X)])
def test_errors(call):
    with pytest.raises(RuntimeError):
        call()


def test_modules():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    params = dict(model.named_parameters())
    close(functional_call(model, params, X), model(X))
    doubled = {k: p.detach() * 2 for k, p in params.items()}
    close(functional_call(model, (doubled, {}), (X,)), torch.tanh(X @ doubled["0.weight"].T + doubled["0.bias"])
          @ doubled["2.weight"].T + doubled["2.bias"])
    g = grad(lambda p: functional_call(model, p, (X,)).square().sum())(doubled)
    assert g.keys() == params.keys() and g["0.weight"].shape == (4, 3)
    with pytest.raises(ValueError, match="multiple dictionaries"):
        functional_call(model, (params, params), X)
    models = [nn.Linear(3, 2).double() for _ in range(3)]
    stacked, buffers = stack_module_state(models)
    assert stacked["weight"].shape == (3, 2, 3) and stacked["weight"].is_leaf and stacked["weight"].requires_grad
    out = vmap(lambda p, b, x: functional_call(models[0], (p, b), (x,)), in_dims=(0, 0, None))(stacked, buffers, X)
    close(out, torch.stack([m(X) for m in models]))
    with pytest.raises(RuntimeError, match="at least one model"):
        stack_module_state([])
    norm = replace_all_batch_norm_modules_(nn.Sequential(nn.BatchNorm1d(3)))
    assert norm[0].running_mean is None and not norm[0].track_running_stats
    assert functionalize(lambda a: a.clone().add_(1))(X).tolist() == (X + 1).tolist()


def test_a_batch_of_grad_outputs():
    x = X[0].clone().requires_grad_()
    g, = torch.autograd.grad(x.sin(), x, torch.eye(3, dtype=x.dtype), is_grads_batched=True)
    close(g, x.cos().diag())
    y = Y[0].clone().requires_grad_()
    a, b = torch.autograd.grad(x.sin(), (x, y), torch.eye(3, dtype=x.dtype), is_grads_batched=True, allow_unused=True)
    assert b is None and a.shape == (3, 3)


def test_functional():
    x, y = X[0], Y[0]

    def scalar(a, b):
        return (a @ W @ b).sin()
    for kwargs in ({}, {"vectorize": True}, {"vectorize": True, "strategy": "forward-mode"}):
        close(functional.jacobian(lambda a: (a @ W).sin(), x, **kwargs), jacrev(lambda a: (a @ W).sin())(x))
    (_, b), = functional.jacobian(lambda a, b: (a * b,), (x, y))
    close(b, x.diag())
    h = functional.hessian(scalar, (x, y))
    value, products = functional.hvp(scalar, (x, y), (y, x))
    for k in range(2):
        close(products[k], h[k][0] @ y + h[k][1] @ x)
    _, transposed = functional.vhp(scalar, (x, y), (y, x))
    close(transposed[0], products[0])
    close(value, scalar(x, y))
    out, g = functional.vjp(lambda a: a.sin(), x, y)
    close(g, x.cos() * y)
    out, t = functional.jvp(lambda a: a.sin(), x, y)
    close(t, x.cos() * y)
    assert not t.requires_grad
    z = x.clone().requires_grad_()
    assert functional.jacobian(lambda a: a.exp(), z, create_graph=True).requires_grad


@pytest.mark.parametrize("call, error", [
    (lambda x: functional.jacobian(lambda a: torch.ones(3), x, strict=True), "does not require gradients"),
    (lambda x: functional.jacobian(lambda a, b: a.sin(), (x, x), strict=True), "independent of input 1"),
    (lambda x: functional.hessian(lambda a: a.sum(), x, strict=True), "independent of the input"),
    (lambda x: functional.hvp(lambda a: a.sum(), x, x, strict=True), "independent of the input"),
    (lambda x: functional.vjp(lambda a, b: a * 2, (x, x), x, strict=True), "independent of input 1"),
    (lambda x: functional.jvp(lambda a: torch.ones(3), x, x, strict=True), "does not require gradients"),
    (lambda x: functional.jvp(lambda a: a, x, torch.ones(9)), "invalid size"),
    (lambda x: functional.vjp(lambda a: a, x), "can only be None"),
    (lambda x: functional.hessian(lambda a: a.sin(), x), "single element"),
    (lambda x: functional.jacobian(lambda a: a, x, strict=True, vectorize=True), "not supported together")])
def test_functional_errors(call, error):
    with pytest.raises(RuntimeError, match=error):
        call(X[0])
    with pytest.raises(TypeError, match="Tensor or a tuple of Tensors"):
        functional.jacobian(lambda a: 3, X)
    with pytest.raises(NotImplementedError, match="vectorize=True"):
        functional.jacobian(lambda a: a, X[0], strategy="forward-mode")


class Halves(torch.autograd.Function):
    """sin, with a jvp that says which of both was asked: half of the derivative."""

    @staticmethod
    def forward(ctx, a):
        ctx.save_for_forward(a)
        ctx.save_for_backward(a)
        return a.sin()

    @staticmethod
    def backward(ctx, g):
        return torch.tensor(g.detach().numpy()) * ctx.saved_tensors[0].cos()

    @staticmethod
    def jvp(ctx, t):
        return t * ctx.saved_tensors[0].cos() / 2


def test_a_custom_function_has_its_own_forward_mode():
    x, t = X[0], Y[0]
    for push in (lambda f: jvp(f, (x,), (t,))[1], lambda f: linearize(f, x)[1](t), lambda f: jacfwd(f)(x) @ t):
        close(push(Halves.apply), t * x.cos() / 2)
        close(push(lambda a: Halves.apply(a * 2) * 3), 3 * t * (2 * x).cos())
    close(vjp(Halves.apply, x)[1](t)[0], t * x.cos())
    with torch.autograd.forward_ad.dual_level():
        out = torch.autograd.forward_ad.unpack_dual(Halves.apply(torch.autograd.forward_ad.make_dual(x, t)))
        close(out.tangent, t * x.cos() / 2)


def test_forward_mode_of_what_has_none_is_an_error():
    class Opaque(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            return a * 2

        @staticmethod
        def backward(ctx, g):
            return torch.tensor(g.detach().numpy() * 2)
    assert grad(lambda a: Opaque.apply(a).sum())(X[0]).tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="does not support it"):
        jvp(Opaque.apply, (X[0],), (Y[0],))
