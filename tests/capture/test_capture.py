"""`torch.compile`: what is captured gives what the function gives, and notices when something it read has changed."""

# ruff: noqa: E731
import functools
from dataclasses import dataclass

import pytest

import diya as torch
from diya import nn
from diya.capture import Compiled
from diya.nn import functional as F

from .programs import language

SCALE = 2.0
TABLE = {"bias": 1.0}


class Watched:
    """``Compiled`` with PyTorch's way of calling it."""

    def __init__(self, function, whole=True):
        self.compiled = Compiled(function, whole)

    def __call__(self, *args, **kwargs):
        return self.compiled(args, kwargs)

    @property
    def captures(self):
        return len(self.compiled.regions)


def agree(function, *args, times=2, **kwargs):
    """Calls it captured and as it is written; the captured one."""
    watched = Watched(function)
    for _ in range(times):
        same(watched(*args, **kwargs), function(*args, **kwargs))
    assert watched.captures == 1
    return watched


def same(a, b):
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert a.dtype is b.dtype and a.shape == b.shape and a.requires_grad == b.requires_grad and torch.equal(a, b)
    elif isinstance(a, (tuple, list)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for k in a:
            same(a[k], b[k])
    else:
        assert a == b


def chain(x, y):
    for _ in range(20):
        x = x + y
    return x


@dataclass
class Settings:
    scale: float = 3.0
    names: tuple = ("a", "b")


def test_language():
    x, y = torch.randn(4, 5), torch.randn(4, 5)
    agree(language, x, y, x, scale=3, k=y)
    agree(language, torch.randn(6), scale=1)


def test_small_functions():
    x, y = torch.randn(7), torch.randn(7)
    agree(chain, x, y)
    agree(lambda x: (x, x + 1), x)
    agree(lambda d: d["x"] * d["k"] + sum(d["l"]), {"x": x, "k": 2, "l": [x, y]})
    agree(lambda s, x: x * s.scale + len(s.names), Settings(), x)
    agree(functools.partial(lambda a, b, *, c: a * b + c, x, c=2.0).func, x, y, c=2.0)
    agree(lambda x: F.pad(torch.cat([x, torch.arange(3.0), torch.tensor([1.0, 2.0])]), (1, 1)), x)
    agree(lambda x: [torch.zeros(3), torch.ones_like(x), x.dtype, x.shape], x)
    agree(lambda x: torch.einsum("i,j->ij", x, x).T.reshape(-1), x)
    agree(lambda x: {"loss": x.mean(), "n": x.numel(), None: None}, x)


def test_views_and_layouts():
    x = torch.randn(8, 6)
    f = lambda a: (a * 2).sum(0)
    agree(f, x.T)
    agree(f, x[1:, ::2])
    agree(f, x[2:5])
    agree(f, torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last))
    watched = Watched(f)
    for i in range(3):  # another part of the same memory is the same call
        same(watched(x[i:i + 2]), f(x[i:i + 2]))
    assert watched.captures == 1
    same(watched(x.T), f(x.T))
    assert watched.captures == 2
    a = x.numpy()
    same(watched(torch.from_numpy(a)), f(x))
    a[:] = 3
    same(watched(torch.from_numpy(a)), f(torch.full((8, 6), 3.0)))


def test_guards():
    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(2)])
            self.drop = nn.Dropout(0.5)
            self.table, self.flag, self.shift = {"k": 1.0}, False, None

        def forward(self, x, mode="a"):
            for layer in self.layers:
                x = layer(x)
            if self.flag or mode == "b":
                x = -x
            if self.shift is not None:
                x = x + self.shift
            return self.drop(x) * self.table["k"] * SCALE + TABLE["bias"]

    global SCALE
    m = Module().eval()
    watched, x = Watched(m), torch.randn(2, 3)

    def check(captures, x=x, **named):
        same(watched(x, **named), m(x, **named))
        same(watched(x, **named), m(x, **named))
        assert watched.captures == captures

    check(1)
    with torch.no_grad():
        m.layers[0].weight.mul_(2)  # values are no guards
    m.layers[1].bias.data = torch.ones(3)
    check(1)
    m.flag = True
    check(2)
    m.table["k"] = 5.0
    check(3)
    check(4, mode="b")
    m.shift = torch.ones(3)
    check(5)
    SCALE = 3.0
    try:
        check(6)
    finally:
        SCALE = 2.0
    m.layers.append(nn.Linear(3, 3))
    check(7)
    watched.compiled.forget()
    check(1, torch.randn(5, 3))
    check(2, torch.randn(5, 3).requires_grad_())
    m.layers[0].weight.requires_grad_(False)
    check(3)
    m.layers[0].weight = nn.Parameter(torch.ones(3, 3))
    check(4)
    with torch.no_grad():
        check(5)
    m.double()
    check(6, x.double())
    m.forward = lambda x: x * 7.0
    check(7, x.double())


def test_hooks_and_changed_methods():
    m = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    watched, x = Watched(m, whole=False), torch.randn(2, 3)
    watched(x)
    seen = []
    handle = m[0].register_forward_hook(lambda module, args, out: seen.append(1))
    watched(x)
    assert seen == [1]
    handle.remove()
    same(watched(x), m(x))
    assert watched.captures == 1

    class Other(nn.Module):
        def forward(self, x):
            return x + 1
    o = Other()
    watched = Watched(o)
    same(watched(x), x + 1)
    Other.forward = lambda self, x: x + 2
    same(watched(x), x + 2)


def test_gradients():
    torch.manual_seed(0)
    m = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3))
    x, y = torch.randn(5, 4, requires_grad=True), torch.randint(3, (5,))

    def gradients(f):
        m.zero_grad()
        x.grad = None
        loss = f(x * 2, y)
        loss.backward()
        return [loss.detach(), x.grad, *(p.grad for p in m.parameters())]
    f = lambda x, y: F.cross_entropy(m(x), y)
    watched = Watched(f)
    for _ in range(3):
        same(gradients(watched), gradients(f))
    assert watched.captures == 1
    loss = watched(x, y)
    assert loss.grad_fn.name() == "CompiledFunctionBackward" and not loss.is_leaf
    loss.backward(retain_graph=True)
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()
    first, = torch.autograd.grad(watched(x, y), x, create_graph=True)
    second, = torch.autograd.grad(first.square().sum(), x)
    want, = torch.autograd.grad(f(x, y), x, create_graph=True)
    torch.testing.assert_close(first, want)
    torch.testing.assert_close(second, torch.autograd.grad(want.square().sum(), x)[0])


def test_some_outputs_get_no_gradient():
    w = torch.randn(3, requires_grad=True)
    f = lambda a: (a * w, (a + w).sum(), a.detach() * 2, [w.exp()])
    a = torch.randn(3, requires_grad=True)
    watched = Watched(f)
    for pick in (lambda o: o[0].sum(), lambda o: o[1], lambda o: o[3][0].sum(), lambda o: o[0].sum() + o[1] * 2):
        want = torch.autograd.grad(pick(f(a)), [a, w], allow_unused=True)
        got = torch.autograd.grad(pick(watched(a)), [a, w], allow_unused=True)
        for x, y in zip(want, got, strict=True):
            if x is None:
                assert y is None or not y.any()
            else:
                torch.testing.assert_close(x, y)
    assert watched.captures == 1


def test_a_change_between_forward_and_backward_is_an_error():
    w = torch.randn(3, requires_grad=True)
    watched = Watched(lambda a: (a * w).sum())
    a = torch.randn(3)
    watched(a).backward()
    out = watched(a)
    a.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def test_state_of_modules_moves_on():
    torch.manual_seed(0)
    make = lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    a, x = make(), torch.randn(3, 2, 6, 6)
    a(x)
    b = make()
    b(x)
    b.load_state_dict(a.state_dict())
    watched = Watched(a)
    for _ in range(3):
        same(watched(x), b(x))
        same(dict(a.state_dict()), dict(b.state_dict()))
    assert watched.captures == 1 and a[1].num_batches_tracked == 4


def test_writes_to_arguments():
    def f(x, y):
        x.add_(1)
        y[0] = x[1]
        return x * 2
    watched = Watched(f)
    x, y, x2, y2 = (torch.zeros(3) for _ in range(4))
    for _ in range(3):
        version = x._version
        same(watched(x, y), f(x2, y2))
        same(x, x2)
        same(y, y2)
        assert x._version == version + 1
    watched.compiled.whole = False
    same(watched(x, x[:]), f(x2, x2[:]))
    same(x, x2)


def test_random_numbers():
    f = lambda x: F.dropout(x, 0.3) + torch.rand(4) + torch.randn_like(x)
    x = torch.ones(4)
    watched = Watched(f)
    torch.manual_seed(3)
    want = [f(x) for _ in range(4)] + [torch.rand(2)]
    torch.manual_seed(3)
    same([watched(x) for _ in range(4)] + [torch.rand(2)], want)
    assert watched.captures == 1


seen: list = []


class Counter:
    total = 0


@pytest.mark.parametrize("function", [
    lambda x: print(x.shape) or x + 1,
    lambda x: seen.append(1) or x + 1,
    lambda x: x + 1 if x.sum() > 0 else x,
    lambda x: x + x.item(),
    lambda x: setattr(Counter, "total", Counter.total + 1) or x,
    lambda x: x.register_hook(print) and x,
    lambda x: torch.tensor(x.tolist()),
    lambda x: x.view(-1),
    lambda x: x.unsqueeze(0),
    lambda x: torch.multinomial(x.softmax(0), 1),
    lambda x: x.requires_grad_() * 2,
    lambda x: x.backward(),
], ids=["print", "append", "branch", "item", "setattr", "hook", "tolist", "view", "unsqueeze", "multinomial", "requires_grad_",
        "backward"])
def test_what_cannot_be_captured_runs_as_it_is(function):
    watched = Watched(function, whole=False)
    torch.manual_seed(0)
    x = torch.ones(3)
    try:
        want = function(torch.ones(3))
    except RuntimeError:
        with pytest.raises(RuntimeError):
            watched(x)
        return
    seen.clear()
    torch.manual_seed(0)
    got = watched(x)
    assert not watched.captures and watched.compiled.reason is not None
    assert len(seen) < 2
    torch.manual_seed(0)
    seen.clear()
    want = function(torch.ones(3))
    same(got.detach(), want.detach())
    with pytest.raises(RuntimeError, match="cannot be captured"):
        Watched(function)(torch.ones(3))


def test_errors_are_the_functions_own():
    def f(x, y):
        return x @ y
    watched = Watched(f, whole=False)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="mat1 and mat2"):
            watched(torch.ones(2, 3), torch.ones(2, 3))
    same(watched(torch.ones(2, 3), torch.ones(3, 2)), torch.full((2, 2), 3.0))
    with pytest.raises(TypeError):
        watched(torch.ones(2))


def test_the_same_tensor_twice():
    f = lambda a, b: (a * b + a, a is b)
    x, y = torch.randn(3), torch.randn(3)
    watched = Watched(f)
    for args in ((x, x), (x, y), (y, y), (y, x)):
        same(watched(*args), f(*args))
    assert watched.captures == 2


def test_public_face():
    m = nn.Linear(3, 2)
    c = torch.compile(m)
    x = torch.randn(4, 3)
    same(c(x), m(x))
    assert c._orig_mod is m and list(c.state_dict()) == ["_orig_mod.weight", "_orig_mod.bias"] and c.in_features == 3
    c.eval()
    assert not m.training and not c.training
    c.train()
    assert m.training
    c.extra = 5
    assert m.extra == 5
    m.compile()
    same(m(x), F.linear(x, m.weight, m.bias))

    @torch.compile
    def f(a, k=2):
        "doc"
        return a * k
    assert f.__name__ == "f" and f.__doc__ == "doc"
    same(f(x, k=3), x * 3)
    same(torch.compile(lambda a: f(a) + 1, fullgraph=True)(x), x * 2 + 1)
    same(torch.compile(c, mode="max-autotune")(x), m(x))
    with pytest.raises(RuntimeError, match="Invalid backend"):
        torch.compile(f, backend="unknown")
    with pytest.raises(NotImplementedError, match="backend"):
        torch.compile(f, backend=lambda gm, inputs: gm)

    @torch.compiler.disable
    def apart(a):
        return a + 1
    with pytest.raises(RuntimeError, match="compiling is disabled"):
        torch.compile(lambda a: apart(a), fullgraph=True)(x)
    torch._dynamo.reset()
    same(f(x), x * 2)


def count(module):
    """The regions that a module remembers without having been asked to."""
    remembered = module._remembered
    return len(remembered.regions) if remembered else 0


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1))


def test_modules_are_remembered():
    m, x = net(), torch.randn(6, 4)
    torch.manual_seed(1)
    want = [m._call_as_written(x) for _ in range(4)]
    torch.manual_seed(1)
    got = [m(x) for _ in range(4)]
    assert count(m) == 1
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)
        assert a.grad_fn.name() == b.grad_fn.name() == "AddmmBackward0"
    chain = [fn.name() for fn in walk(got[3].grad_fn)]
    assert chain == [fn.name() for fn in walk(want[3].grad_fn)] and "TanhBackward0" in chain
    copied = __import__("copy").deepcopy(m)
    assert count(copied) == 0
    with torch.no_grad():
        for _ in range(3):
            assert not m.eval()(x).requires_grad


def walk(fn):
    while fn is not None:
        yield fn
        nodes = [e[0] for e in fn.next_functions if e[0] is not None]
        fn = next((n for n in nodes if n.name() not in ("TBackward0", "AccumulateGrad")), None)


def test_the_tape_of_a_remembered_module_is_as_written():
    m, x = net(), torch.randn(6, 4, requires_grad=True)
    results = []
    for f in (m, m._call_as_written):
        torch.manual_seed(2)
        for _ in range(4):
            y = f(x * 1)
            g, = torch.autograd.grad(y.sum(), x, create_graph=True)
            m.zero_grad()
            (g.norm(2, 1) - 1).square().mean().backward()
        results.append([g.detach(), *(p.grad for p in m.parameters() if p.grad is not None)])
    assert count(m) == 1
    torch.testing.assert_close(*results)
    hooked = []
    y = m(x)
    y.register_hook(lambda g: hooked.append(g.clone()))
    y.grad_fn.next_functions[0][0].register_hook(lambda *a: hooked.append(a))
    y.sum().backward()
    assert len(hooked) == 2


def test_outputs_of_a_remembered_module_are_differentiated_one_by_one():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk, self.a, self.b, self.c = (nn.Linear(3, 3) for _ in range(4))

        def forward(self, x, shared):
            h = self.trunk(x).tanh() if shared else x
            return self.a(h), self.b(h).tanh(), {"c": (self.c(h) * 2).exp(), "x": x}
    m, x = Two(), torch.randn(2, 3)
    for _ in range(4):
        a, b, rest = m(x, False)
        m.zero_grad()
        b.sum().backward()
        assert m.a.weight.grad is None and m.b.weight.grad is not None
        a.sum().backward()
        rest["c"].sum().backward()
        assert rest["x"] is x and m.c.weight.grad is not None and m.trunk.weight.grad is None
        with pytest.raises(RuntimeError, match="second time"):
            b.sum().backward()
        a, b, rest = m(x, True)
        b.sum().backward()
        with pytest.raises(RuntimeError, match="second time"):
            a.sum().backward()
    assert count(m) == 2


def test_parameters_that_are_others_each_time_are_not_remembered():
    m, x = net().eval(), torch.randn(2, 4)
    for _ in range(20):
        params = {k: torch.randn_like(v) for k, v in m.named_parameters()}
        got = torch.func.functional_call(m, params, (x,))
        h = (x @ params["0.weight"].T + params["0.bias"]).tanh()
        torch.testing.assert_close(got, h @ params["3.weight"].T + params["3.bias"])
    assert count(m) <= 1


def test_a_module_that_writes_down_what_it_saw_is_not_remembered():
    class Sees(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.calls, self.last = net(), 0, None

        def forward(self, x):
            self.calls += 1
            self.last = self.body(x)
            return self.last
    m = Sees()
    for i in range(5):
        y = m(torch.randn(2, 4))
        assert m.calls == i + 1 and m.last is y


def test_inputs_with_one_place_on_the_tape():
    x = torch.randn(3, requires_grad=True)
    a = x * 2
    b = torch.zeros(3)
    b.copy_(a)
    f = lambda a, b: [a * 1, b * 3, a + b, a.sin(), b.cos()]
    watched = Watched(f)
    for pick in ((0, 1), (0, 2, 3), (4,), (1, 2, 3, 4)):
        got, want = (torch.autograd.grad(sum((g(a, b)[k]).sum() for k in pick), x, retain_graph=True)[0] for g in (watched, f))
        torch.testing.assert_close(got, want)
    assert watched.captures == 1


def test_attributes_of_a_remembered_module_may_move():
    m, x = net().eval(), torch.randn(2, 4)
    for _ in range(3):
        m(x)
    assert count(m) == 1
    other = object.__new__(nn.Sequential)
    other.__dict__.update(m.__dict__)
    other._modules = {"0": nn.Linear(4, 2)}
    for _ in range(3):
        same(other(x), other._modules["0"](x))

    class Doubled(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2
    want = m[3](m[1](m[0](x)) * 1)
    torch.testing.assert_close(m(x), want)
    m[3].__class__ = Doubled
    torch.testing.assert_close(m(x), want * 2)
    copied = __import__("copy").deepcopy(m.__dict__)
    assert copied["_remembered"] is None
