"""Calls of transforms that come again are captured: they give what the function gives as it is written, whatever has changed."""

import functools

import pytest
from numpy.testing import assert_allclose

import diya as torch
from diya import capture
from diya.func import (
    functional_call,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    stack_module_state,
    vjp,
    vmap,
)
from diya.nn import functional as F

scale = 2.0
net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3))
norm = torch.nn.BatchNorm1d(3)
seen = []


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)

    def forward(self, x):
        return self.b(self.a(x))


tied = Tied()


def of_module(p, x):
    return functional_call(net, p, (x,)).pow(2).sum()


def state():
    return {k: v.detach().clone() for k, v in net.named_parameters()}


def with_write(t, u):
    z = t.clone()
    z[0] = u[1]
    return z.mul_(u) * scale


def noted(t):
    seen.append(1)
    return t * 2


def normalised(t):
    return functional_call(norm, {k: v.clone() for k, v in norm.named_buffers()}, (t,))


CALLS = {
    "vmap": (vmap(lambda t, u: (t * u).sin()), lambda: (torch.rand(4, 3), torch.rand(4, 3))),
    "in_dims": (vmap(lambda t, u: t @ u, in_dims=(1, None)), lambda: (torch.rand(3, 4), torch.rand(3, 2))),
    "trees": (vmap(lambda d, u: {"s": d["a"] + d["b"][0], "m": (u,)}, in_dims=({"a": 0, "b": [None]}, 0), out_dims=0),
              lambda: ({"a": torch.rand(4, 3), "b": [torch.rand(3)]}, torch.rand(4))),
    "nested": (vmap(vmap(torch.mul, in_dims=(0, None)), in_dims=(None, 0)), lambda: (torch.rand(4), torch.rand(3))),
    "chunks": (vmap(grad(lambda t: t.sin().sum() * t.sum()), chunk_size=2), lambda: (torch.rand(5, 3),)),
    "write": (vmap(with_write), lambda: (torch.rand(4, 3), torch.rand(4, 3))),
    "argument written": (vmap(lambda t: t.mul_(2).sum()), lambda: (torch.rand(4, 3),)),
    "branch": (vmap(lambda t, flag: t.sin() if flag else t.cos(), in_dims=(0, None)), lambda: (torch.rand(4), len(seen) % 2 == 0)),
    "global": (vmap(lambda t: t * scale), lambda: (torch.rand(4),)),
    "effect": (vmap(noted), lambda: (torch.rand(4),)),
    "where": (vmap(lambda t: torch.where(t > 0.5, t, -t)), lambda: (torch.rand(4, 3),)),
    "grad": (grad(lambda t, u: (t * u).sin().sum(), argnums=(0, 1)), lambda: (torch.rand(3), torch.rand(3))),
    "aux": (grad_and_value(lambda t: ((t**3).sum(), {"k": t * 2}), has_aux=True), lambda: (torch.rand(3),)),
    "per sample": (vmap(grad(of_module), in_dims=(None, 0)), lambda: (state(), torch.rand(4, 3))),
    "jacrev": (vmap(jacrev(of_module, argnums=1), in_dims=(None, 0)), lambda: (state(), torch.rand(4, 3))),
    "jacfwd": (jacfwd(with_write), lambda: (torch.rand(3), torch.rand(3))),
    "hessian": (hessian(lambda t: (t.sin() * t.prod()).sum()), lambda: (torch.rand(3),)),
    "vjp inside": (vmap(lambda t: vjp(lambda s: s.sin(), t)[1](t)[0]), lambda: (torch.rand(4, 3),)),
    "jvp inside": (vmap(lambda t: jvp(lambda s: (s * scale).sin(), (t,), (t,))), lambda: (torch.rand(4, 3),)),
    "linearize inside": (vmap(lambda t: linearize(torch.sin, t)[1](t)), lambda: (torch.rand(4, 3),)),
    "different": (vmap(lambda t: F.dropout(t, 0.5), randomness="different"), lambda: (torch.rand(4, 3),)),
    "same": (vmap(lambda t: t + torch.rand(3), randomness="same"), lambda: (torch.rand(4, 3),)),
    "buffers": (grad(lambda t: normalised(t).pow(3).sum()), lambda: (torch.rand(5, 3),)),
    "tied": (grad(lambda p, x: functional_call(tied, p, (x,)).sum()), lambda: ({"a.weight": torch.rand(3, 3)}, torch.rand(3))),
    "keyword": (grad(lambda t, *, power=2: (t**power).sum()), lambda: (torch.rand(3),)),
    "sizes": (vmap(lambda t: t.sin() / t.shape[0]), lambda: (torch.rand(4 + len(seen) % 3, 3),)),
}


CAPTURED = {"chunks", "write", "grad", "aux", "per sample", "jacrev", "jacfwd", "hessian", "jvp inside", "keyword"}


def same(a, b):
    if isinstance(a, torch.Tensor):
        assert a.shape == b.shape and a.dtype is b.dtype and a.requires_grad is b.requires_grad
        assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for k in a:
            same(a[k], b[k])
    else:
        assert type(a) is type(b) and len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)


def copied(args):
    return [{k: v.clone() if isinstance(v, torch.Tensor) else [w.clone() for w in v] for k, v in x.items()} if isinstance(x, dict)
            else x.clone() if isinstance(x, torch.Tensor) else x for x in args]


@pytest.mark.parametrize("name", CALLS)
def test_a_captured_call_is_the_call(name):
    global scale
    call, arguments = CALLS[name]
    for turn in range(6):
        torch.manual_seed(turn)
        args = arguments()
        scale = 3.0 if turn == 4 else 2.0
        if turn == 3:
            tied.b.weight = tied.a.weight
            net[1] = torch.nn.ReLU()
        seen.append(0)
        before, count = copied(args), len(seen)
        torch.manual_seed(turn)
        transform, function = call._diya_transform
        expected = transform(function)(*before)  # one that is new is not captured
        noticed = len(seen) - count
        torch.manual_seed(turn)
        same(call(*args), expected)
        same(tuple(x for x in args if isinstance(x, torch.Tensor)), tuple(x for x in before if isinstance(x, torch.Tensor)))
        assert len(seen) - count == 2 * noticed
    if capture.compiled.enabled and name in CAPTURED:
        remembered = next(c.cell_contents for c in call.__closure__ if isinstance(c.cell_contents, capture.Remembered))
        assert remembered.regions, remembered.reason
    tied.b.weight = torch.nn.Parameter(tied.a.weight.detach().clone())
    net[1] = torch.nn.Tanh()


def test_gradients_through_a_captured_call():
    w = torch.rand(3, 3, requires_grad=True)
    inner = vmap(jacrev(lambda t: (w @ t).sin()))
    x = torch.rand(4, 3)
    found = [torch.autograd.grad(inner(x).pow(2).sum(), w)[0] for _ in range(4)]
    fresh = torch.autograd.grad(vmap(jacrev(lambda t: (w @ t).sin()))(x).pow(2).sum(), w)[0]
    for g in found:
        assert_allclose(g.numpy(), fresh.numpy(), rtol=1e-5)
    twice = torch.autograd.grad(torch.autograd.grad(inner(x).pow(2).sum(), w, create_graph=True)[0].sum(), w)[0]
    assert twice.shape == (3, 3)


def test_errors_are_raised_each_time():
    call = vmap(lambda t: t.item())
    for _ in range(4):
        with pytest.raises(RuntimeError):
            call(torch.rand(3))
    mapped = vmap(torch.sin)
    mapped(torch.rand(3))
    mapped(torch.rand(3))
    with pytest.raises(ValueError, match="dimensionality 0"):
        mapped(torch.tensor(1.0))


def test_whole_transforms_are_captured():
    compiled = torch.compile(vmap(grad(of_module), in_dims=(None, 0)), fullgraph=True)
    p, x = state(), torch.rand(4, 3)
    same(compiled(p, x), vmap(grad(of_module), in_dims=(None, 0))(p, x))
    with torch.no_grad():
        net[0].bias.add_(1)
    del p["0.bias"]
    same(compiled(p, x), vmap(grad(of_module), in_dims=(None, 0))(p, x))


def test_what_wraps_a_compiled_function_is_not_one():
    compiled = torch.compile(lambda t: (t.sin() * 2 + t.cos() * t).sum())
    x = torch.rand(4, 3)
    expected = (x.sin() * 2 + x.cos() * x).sum(1)
    call = vmap(compiled)
    for _ in range(4):
        assert_allclose(call(x).numpy(), expected.numpy(), rtol=1e-6)

    @functools.wraps(compiled)
    def more(t):
        return compiled(t) + 1
    assert_allclose(torch.compile(more, fullgraph=True)(x).item(), expected.sum().item() + 1, rtol=1e-6)


def test_ensembles_are_captured():
    models = [torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)) for _ in range(3)]
    params, buffers = stack_module_state(models)
    x = torch.rand(5, 3)
    forward = vmap(lambda p, b: functional_call(models[0], (p, b), (x,)))
    for _ in range(4):
        found = forward(params, buffers)  # on the tape, where it keeps batched values
        assert_allclose(found.detach().numpy(), torch.stack([m(x) for m in models]).detach().numpy(), atol=1e-6)
    if capture.compiled.enabled:
        remembered = next(c.cell_contents for c in forward.__closure__ if isinstance(c.cell_contents, capture.Remembered))
        assert remembered.regions, remembered.reason
    torch.autograd.grad(found.sum(), list(params.values()))


def test_what_vjp_made_outside_is_not_captured():
    w = torch.ones(3)
    _, pull = vjp(lambda t: t * w, torch.ones(3))
    compiled = torch.compile(lambda g: pull(g)[0])
    for _ in range(3):
        assert torch.equal(compiled(torch.ones(3)), w)
    assert not compiled._diya_compiled.regions
