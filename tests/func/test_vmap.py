"""`torch.func.vmap`: dimensions, structures, nesting, randomness, writes in place, errors."""

import numpy as np
import pytest

import diya as torch
from diya.func import grad, jacfwd, jacrev, jvp, vjp, vmap

F = torch.nn.functional


def sample(*shape, seed=0, dtype=np.float64):
    return torch.tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


def close(a, b, **kwargs):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), **({"rtol": 1e-6, "atol": 1e-12} | kwargs))


def test_dimensions():
    x, y = sample(4, 3, 2), sample(2, 4, seed=1)
    close(vmap(lambda a: a * 2, in_dims=1, out_dims=-1)(x), x.movedim(1, -1) * 2)
    close(vmap(lambda a, b: a @ b, in_dims=(-1, 0))(x.permute(1, 0, 2), y), torch.einsum("abk,kb->ka",
                                                                                        x.permute(1, 0, 2), y))
    a, b = vmap(lambda v: (v.sum(), v), out_dims=(0, 1))(x)
    close(a, x.sum((1, 2)))
    close(b, x.transpose(0, 1))
    close(vmap(lambda a, b: a + b, in_dims=(0, None))(x, y[:, 0]), x + y[:, 0])
    close(vmap(lambda v: (v,), out_dims=(1,))(x)[0], x.transpose(0, 1))


def test_structures():
    x, y = sample(4, 3), sample(4, 3, seed=1)
    close(vmap(lambda d: d["a"] + d["b"], in_dims=({"a": 0, "b": None},))({"a": x, "b": y[0]}), x + y[0])
    close(vmap(lambda a, p: a + p[0] * p[1], in_dims=(0, (0, None)))(x, (y, y[0])), x + y * y[0])
    close(vmap(lambda a, b: a + b, in_dims=(0, None))(x, 2.0), x + 2)
    close(vmap(lambda a, *, k: a * k)(x, k=y[0]), x * y[0])
    out = vmap(lambda v: v.max(0))(x)
    assert type(out).__name__ == "max" and out.indices.tolist() == x.max(1).indices.tolist()
    total, same = vmap(lambda v: (v.sum(), y), out_dims=(0, None))(x)
    assert same is y and total.shape == (4,)


def test_a_result_that_does_not_depend_on_the_batch_is_repeated():
    assert vmap(lambda v: torch.arange(2))(sample(3, 2)).tolist() == [[0, 1]] * 3


def test_nested():
    x, y = sample(4, 3), sample(5, 3, seed=1)
    close(vmap(lambda a: vmap(lambda b: a @ b)(y))(x), x @ y.T)
    close(vmap(vmap(lambda a, b: a * b, in_dims=(None, 0)), in_dims=(0, None))(x[:, 0], y[:, 0]), torch.outer(x[:, 0], y[:, 0]))
    close(vmap(lambda a: vmap(lambda b: vmap(lambda c: a.sum() + b.sum() * c)(a))(y))(x),
          x.sum(1)[:, None, None] + y.sum(1)[None, :, None] * x[:, None, :])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_chunks(size):
    x = sample(7, 3)
    a, b = vmap(lambda v: (v.sum(), v * 2), out_dims=(0, 1), chunk_size=size)(x)
    close(a, x.sum(1))
    close(b, x.T * 2)


def test_an_empty_batch():
    assert vmap(lambda v: v.sum() + v @ v)(sample(0, 3)).shape == (0,)
    assert vmap(lambda v: v[:2].reshape(2, 1))(sample(0, 3)).shape == (0, 2, 1)


def test_writes_in_place():
    x = sample(4, 3)
    z = x.clone()
    assert vmap(lambda v: v.add_(1))(z).tolist() == z.tolist() == (x + 1).tolist()
    z = x.clone()
    vmap(lambda v: v[0].mul_(5), in_dims=1)(z)
    assert z[0].tolist() == (x[0] * 5).tolist() and z[1:].tolist() == x[1:].tolist()

    def swapped(v):
        w = v.clone()
        w[0], w[1] = v[1], v[0]
        return w
    assert vmap(swapped)(x).tolist() == x[:, [1, 0, 2]].tolist()

    def filled(v):
        w = torch.zeros(2, dtype=v.dtype)
        w[1] = v.sum()
        return w
    close(vmap(filled)(x), torch.stack([x.sum(1) * 0, x.sum(1)], 1))


def test_a_write_to_what_is_outside_is_an_error():
    x, total = sample(4, 3), torch.zeros(3, dtype=torch.float64)
    norm = torch.nn.BatchNorm1d(3).double()
    for f in (lambda v: total.add_(v), lambda v: total.__setitem__(0, v[0]), lambda v: norm(v.reshape(1, 3).expand(2, 3))):
        with pytest.raises(RuntimeError, match="same for the whole batch"):
            vmap(f)(x)
    assert total.tolist() == norm.running_mean.tolist() == [0, 0, 0]


def test_indexing():
    x, at = sample(4, 3), torch.tensor([[0, 1], [1, 2], [2, 0], [1, 1]])
    close(vmap(lambda v, i: v[i])(x, at), x.gather(1, at))
    close(vmap(lambda i: x[i])(at), x[at])
    close(vmap(lambda v: v[torch.tensor([2, 0])])(x), x[:, [2, 0]])
    close(vmap(lambda v, i: v.index_add(0, i, v[:2]))(x, at),
          torch.stack([v.index_add(0, i, v[:2]) for v, i in zip(x, at, strict=True)]))
    close(vmap(lambda v: torch.where(v > 0, v, 0.0))(x), x.clamp_min(0))


def test_operators_that_look_at_their_operands():
    x = torch.tensor([[1, 2, 2], [3, 0, 1]])
    assert vmap(lambda v: torch.isin(v, v[:1]))(x).tolist() == [[True, False, False], [True, False, False]]
    assert vmap(lambda v: torch.bincount(v, minlength=4)[:4])(x[:1]).tolist() == [[0, 1, 2, 0]]
    with pytest.raises(RuntimeError, match="inside of vmap"):
        vmap(lambda v: torch.unique(v))(x)


@pytest.mark.parametrize("f, kwargs, args, error", [
    (lambda v: v.sum().item(), {}, 1, RuntimeError), (lambda v: v if v.sum() > 0 else -v, {}, 1, RuntimeError),
    (lambda v: v.numpy(), {}, 1, RuntimeError), (lambda v: 3, {}, 1, ValueError), (lambda v: v, {"in_dims": 5}, 1, ValueError),
    (lambda v: v, {"in_dims": 0.5}, 1, ValueError), (lambda v: v, {"in_dims": (0, 0)}, 1, ValueError),
    (lambda a, b: a, {"in_dims": (None, None)}, 2, ValueError), (lambda v: v, {"out_dims": 7}, 1, IndexError),
    (lambda v: v, {"out_dims": (0, 0)}, 1, ValueError), (lambda v: v, {"out_dims": None}, 1, ValueError),
    (lambda: 1, {}, 0, ValueError), (lambda v: v.requires_grad_(), {}, 1, RuntimeError)])
def test_errors(f, kwargs, args, error):
    with pytest.raises(error):
        vmap(f, **kwargs)(*[sample(4, 3)] * args)


def test_errors_of_arguments():
    with pytest.raises(ValueError, match="same size"):
        vmap(lambda a, b: a + b)(sample(4), sample(3))
    with pytest.raises(ValueError, match="non-Tensor"):
        vmap(lambda a, b: a + b)(sample(4), 2.0)
    with pytest.raises(RuntimeError, match="Only allowed values for randomness"):
        vmap(lambda a: a, randomness="some")
    with pytest.raises(ValueError, match="chunk_size"):
        vmap(lambda a: a, chunk_size=0)


DRAWS = [lambda x: torch.rand(8), lambda x: torch.randn_like(x), lambda x: torch.randint(0, 1000, (8,)),
         lambda x: torch.randperm(9), lambda x: torch.bernoulli(torch.full((64,), 0.5)),
         lambda x: torch.multinomial(torch.ones(50), 10), lambda x: F.dropout(torch.ones(64)),
         lambda x: torch.normal(0.0, 1.0, (3,))]


@pytest.mark.parametrize("draw", DRAWS)
def test_randomness(draw):
    x = torch.zeros(3, 4)

    def distinct(**randomness):
        out = vmap(vmap(draw, **randomness), randomness="same")(torch.zeros(2, 3, 4)).reshape(6, -1)
        return len({tuple(row) for row in out.tolist()})
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(draw)(x)
    assert len({tuple(r) for r in vmap(draw, randomness="same")(x).tolist()}) == 1
    assert len({tuple(r) for r in vmap(draw, randomness="different")(x).tolist()}) == 3
    assert distinct(randomness="different") == 3 and distinct(randomness="same") == 1


def test_different_numbers_are_those_of_one_draw():
    torch.manual_seed(1)
    got = vmap(lambda x: torch.randn(2), randomness="different")(torch.zeros(3))
    torch.manual_seed(1)
    assert got.tolist() == torch.randn(3, 2).tolist()
    with pytest.raises(RuntimeError, match="different inplace randomness on an unbatched"):
        vmap(lambda x: torch.zeros(2).uniform_(), randomness="different")(torch.zeros(3))
    with pytest.raises(RuntimeError, match="same randomness with a batched tensor"):
        vmap(torch.bernoulli, randomness="same")(torch.rand(3, 2))


def test_gradients_through_a_batch():
    x, w = sample(4, 3), sample(3, 3, seed=1)

    def batched(w):
        return vmap(lambda a: (a @ w).tanh().prod() * w.sum())(x).sum()

    def looped(w):
        return sum((a @ w).tanh().prod() * w.sum() for a in x)
    for f in (grad, lambda f: jacrev(grad(f)), lambda f: jacfwd(grad(f)), lambda f: jacfwd(jacrev(grad(f)))):
        close(f(batched)(w), f(looped)(w))
    v = w.clone().requires_grad_()
    batched(v).backward()
    close(v.grad, grad(looped)(w))
    u = w.clone().requires_grad_()
    g, = torch.autograd.grad(batched(u), u, create_graph=True)
    g.square().sum().backward()
    close(u.grad, grad(lambda w: grad(looped)(w).square().sum())(w))


def test_gradients_in_a_batch():
    x, w = sample(4, 3), sample(3, 3, seed=1)

    def f(a, w):
        return (a @ w).tanh().prod()
    close(vmap(grad(f, 1), in_dims=(0, None))(x, w), torch.stack([grad(f, 1)(a, w) for a in x]))
    close(vmap(jacrev(lambda a: (a @ w).sin()))(x), torch.stack([jacrev(lambda a: (a @ w).sin())(a) for a in x]))
    close(grad(lambda w: vmap(grad(f), in_dims=(0, None))(x, w).square().sum())(w),
          grad(lambda w: sum(grad(f)(a, w).square().sum() for a in x))(w))
    close(vmap(lambda a, t: jvp(lambda b: (b @ w).sin(), (a,), (t,))[1])(x, x), (x @ w).cos() * (x @ w))


def test_a_gradient_inside_with_respect_to_what_is_outside():
    w = sample(3).requires_grad_()
    with pytest.raises(RuntimeError, match="from outside of vmap"):
        vmap(lambda a: torch.autograd.grad((a * w).sum(), w)[0])(sample(4, 3))


def test_custom_functions():
    class Cube(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(a):
            return a ** 3

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            a, = ctx.saved_tensors
            return 3 * a * a * g
    x, y = sample(4, 3), sample(3, seed=1)
    close(vmap(Cube.apply)(x), x ** 3)
    close(vmap(grad(lambda a: Cube.apply(a).sum()))(x), 3 * x ** 2)
    close(grad(lambda a: vmap(lambda b: Cube.apply(b * a))(x).sum())(y), (3 * (x * y) ** 2 * x).sum(0))
    close(jvp(Cube.apply, (x,), (x,))[1], 3 * x ** 3)


def test_compiled():
    x = sample(4, 3)
    close(torch.compile(vmap(grad(lambda a: a.sin().sum())))(x), x.cos())
    close(vmap(torch.compile(lambda a: a.sin().sum()))(x), x.sin().sum(1))


def test_the_same_function_again_on_other_operands():
    """What is remembered of an operation on x and x is not what it does on x and y."""
    x, y = sample(4, 3), sample(4, 3, seed=1)
    for _ in range(3):
        close(vmap(lambda a, b: a * b)(x, x), x * x)
        close(vmap(lambda a, b: a * b)(x, y), x * y)
        close(vmap(lambda a: a * a)(y), y * y)
        close(vmap(lambda a, b: (a - b) * b, in_dims=(0, None))(x, y[0]), (x - y[0]) * y[0])
        close(vmap(lambda a, b: (a - b) * b, in_dims=(None, 0))(x[0], y), (x[0] - y) * y)
        close(vmap(lambda a, c: vjp(lambda b: b * b, a)[1](c)[0])(x, y), 2 * x * y)


def test_printing():
    seen = []
    vmap(lambda a: (seen.append(repr(a)), a)[1])(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
    assert seen == ["BatchedTensor(lvl=1, bdim=0, value=\n    tensor([[0., 1.],\n            [2., 3.]])\n)"]


def test_a_custom_function_with_a_rule_for_batches():
    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(a):
            return torch.tensor(np.sin(a.numpy()))

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0].cos()

        @staticmethod
        def vmap(info, in_dims, a):
            assert in_dims == (0,) and info.batch_size == a.shape[0] and info.randomness == "error"
            return Sine.apply(a), 0
    x = sample(4, 3)
    close(vmap(Sine.apply)(x), x.sin())
    close(vmap(vmap(Sine.apply))(x), x.sin())
    close(vmap(grad(lambda a: Sine.apply(a * 2).sum()))(x), 2 * (2 * x).cos())
    close(grad(lambda w: vmap(lambda a: Sine.apply(a * w))(x).sum())(x[0]), (x * (x * x[0]).cos()).sum(0))
    close(vmap(lambda a: Sine.apply(x[0]) + a)(x), x[0].sin() + x)


def test_a_tensor_from_outside_of_two_levels():
    a, b, t = sample(3), sample(3, 2, 4, seed=1), sample(3, seed=2)

    def f(a, b):
        return a * a.sum() + 0 * b
    inner = vmap(f, in_dims=(None, -1), out_dims=-1)
    outer = vmap(inner, in_dims=(None, -1), out_dims=-1)
    wanted = (t * a.sum() + a * t.sum())[:, None, None].expand(3, 2, 4)
    close(jvp(lambda a: outer(a, b), (a,), (t,))[1], wanted)
    close(jacfwd(lambda a: outer(a, b))(a) @ t, wanted)
    close(jacrev(lambda a: outer(a, b))(a) @ t, wanted)
