"""torch.fx: tracing, graphs, modules of graphs, interpreters, patterns."""

import copy
import operator
import pickle

import pytest

import diya as torch
from diya import fx, nn
from diya.nn import functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.tail = nn.Linear(4, 5), nn.Sequential(nn.ReLU(), nn.Linear(5, 2))
        self.scale = nn.Parameter(torch.ones(5))
        self.register_buffer("shift", torch.arange(5.0))

    def forward(self, x, divisor=2.0, *, unused=None):
        y = self.first(x) * self.scale + self.shift
        a, b = torch.split(y, [2, 3], dim=-1)
        z = F.relu(torch.cat([b, a], 1)).clamp(min=0.1)
        z = F.softmax(z + y.mean(dim=-1, keepdim=True), dim=-1) / divisor
        z = z.reshape(x.shape[0], -1)[:, :5]
        return {"out": self.tail(z), "parts": [z.sum(), 1 - z, z > 0.1]}


def names(graph):
    return [node.name for node in graph.nodes]


def test_a_traced_module_computes_the_same():
    torch.manual_seed(0)
    net, x = Net(), torch.randn(3, 4)
    traced = fx.symbolic_trace(net)
    want, got = net(x), traced(x)
    assert torch.allclose(want["out"], got["out"]) and all(map(torch.allclose, want["parts"], got["parts"]))
    assert torch.allclose(net(x, 3.0)["out"], traced(x, 3.0)["out"])
    assert {name for name, _ in traced.named_parameters()} == {name for name, _ in net.named_parameters()}
    traced(x)["out"].sum().backward()
    assert net.scale.grad is not None and traced.scale is net.scale
    traced.graph.lint()


def test_names_and_code():
    traced = fx.symbolic_trace(Net())
    assert names(traced.graph)[:12] == ["x", "divisor", "unused", "first", "scale", "mul", "shift", "add", "split", "getitem",
                                        "getitem_1", "cat"]
    assert "relu = torch.nn.functional.relu(cat);  cat = None" in traced.code
    assert "getattr_1 = x.shape" in traced.code
    assert traced.code.strip().startswith("def forward(self, x, divisor = 2.0, unused = None):")
    assert "%mul : [num_users=1] = call_function[target=operator.mul](args = (%first, %scale), kwargs = {})" in str(traced.graph)


def test_functions_and_operators():
    def f(x, y):
        z = (x @ y.T)[0, 1:] - 2 ** x[0, 0] // 3
        z += -abs(y).sum()
        loss = F.cross_entropy(x, torch.zeros(2, dtype=torch.int64))
        return z, x.dtype, torch.zeros_like(z), loss, F.pad(x, (1, 1)), x.new_zeros(2)
    x, y = torch.rand(2, 3) + 1, torch.rand(4, 3)
    traced = fx.symbolic_trace(f)
    for a, b in zip(traced(x, y), f(x, y), strict=True):
        assert a == b if not isinstance(a, torch.Tensor) else torch.allclose(a, b)


def test_rewriting():
    traced = fx.symbolic_trace(Net())
    relu = next(n for n in traced.graph.nodes if n.target is F.relu)
    with traced.graph.inserting_after(relu):
        new = traced.graph.call_function(torch.tanh, relu.args)
    assert relu.replace_all_uses_with(new) and not relu.users
    with pytest.raises(RuntimeError, match="still had"):
        traced.graph.erase_node(new)
    traced.graph.erase_node(relu)
    traced.recompile()
    assert "tanh" in traced.code and "relu(" not in traced.code
    with traced.graph.inserting_before(new):
        traced.graph.call_function(operator.neg, relu.args or new.args)
    count = len(traced.graph.nodes)
    assert traced.graph.eliminate_dead_code() and len(traced.graph.nodes) < count


def test_a_graph_made_by_hand():
    graph = fx.Graph()
    x, w = graph.placeholder("x"), graph.get_attr("inner.w")
    graph.output(graph.call_method("relu", (graph.call_function(torch.matmul, (x, w)),)))
    made = fx.GraphModule({"inner.w": nn.Parameter(torch.ones(3, 2))}, graph)
    assert torch.equal(made(torch.ones(1, 3)), torch.full((1, 2), 3.0))
    assert [name for name, _ in made.named_parameters()] == ["inner.w"]
    proxy = fx.Proxy(graph.nodes.__iter__().__next__())
    assert (proxy + 1).node.target is operator.add


def test_copies():
    net, x = Net(), torch.rand(2, 4)
    traced = fx.symbolic_trace(net)
    want = traced(x)["out"]
    for again in (copy.deepcopy(traced), copy.copy(traced), pickle.loads(pickle.dumps(traced))):
        assert torch.allclose(again(x)["out"], want) and isinstance(again, fx.GraphModule)
    assert copy.deepcopy(traced).scale is not net.scale


def test_interpreter_and_transformer():
    traced, x = fx.symbolic_trace(Net()), torch.rand(2, 4)

    class Doubled(fx.Interpreter):
        def call_function(self, target, args, kwargs):
            return super().call_function(operator.add if target is operator.mul else target, args, kwargs)

    class NoDivision(fx.Transformer):
        def call_function(self, target, args, kwargs):
            return args[0] if target is operator.truediv else super().call_function(target, args, kwargs)
    assert torch.allclose(fx.Interpreter(traced).run(x)["out"], traced(x)["out"])
    assert not torch.equal(Doubled(traced).run(x)["out"], traced(x)["out"])
    assert torch.allclose(NoDivision(traced).transform()(x, 5.0)["out"], traced(x, 1.0)["out"])


def test_patterns():
    def f(x, y):
        return torch.add(x, y).relu() + torch.add(y, x).relu()
    traced = fx.symbolic_trace(f)
    found = fx.replace_pattern(traced, lambda a, b: torch.add(a, b).relu(), lambda a, b: torch.mul(a, b).sigmoid())
    assert len(found) == 2
    assert torch.equal(traced(torch.ones(2), torch.zeros(2)), torch.ones(2))


def test_leaves_and_wrapped_functions():
    class Leaves(fx.Tracer):
        def is_leaf_module(self, m, path):
            return isinstance(m, nn.Sequential) or super().is_leaf_module(m, path)
    graph = Leaves().trace(Net())
    assert [n.target for n in graph.nodes if n.op == "call_module"] == ["first", "tail"]
    assert [n.op for n in fx.symbolic_trace(uses_it).graph.nodes] == ["placeholder", "call_function", "output"]


def length_of(x):
    return len(x) + int(x.sum())


fx.wrap("length_of")


def uses_it(x):
    return length_of(x)


def test_arguments_that_are_fixed():
    def f(x, n, add=True):
        return x + n if add else x * n
    traced = fx.symbolic_trace(f, concrete_args={"add": False})
    assert traced(2, 3, False) == 6
    with pytest.raises(AssertionError, match="specialized"):
        traced(2, 3, True)


@pytest.mark.parametrize("function", [lambda x: x if x.sum() > 0 else -x, lambda x: [y for y in x], lambda x: 1 in x])
def test_what_cannot_be_traced(function):
    with pytest.raises(ValueError, match="control flow|iterated|asks"):
        fx.symbolic_trace(function)


def test_an_error_leaves_no_trace():
    with pytest.raises(ZeroDivisionError):
        fx.symbolic_trace(lambda x: 1 / 0)
    assert isinstance(nn.Linear(2, 2)(torch.ones(2)), torch.Tensor)
