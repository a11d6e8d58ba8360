"""What recorded answers do not show: identity, laziness, pickling, registration."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest

import diya
from diya import nn
from diya.nn.utils.stateless import _functional_call

pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules")


def test_uninitialised_parameters_refuse_arithmetic():
    weight = nn.LazyLinear(3).weight
    with pytest.raises(ValueError, match="uninitialized parameter"):
        weight + 1
    with pytest.raises(ValueError, match="uninitialized parameter"):
        diya.nn.functional.linear(diya.ones(2, 4), weight)


def test_lazy_modules_take_shapes_from_a_state_dict():
    lazy, source = nn.Sequential(nn.LazyLinear(3)), nn.Sequential(nn.Linear(2, 3))
    lazy.load_state_dict(source.state_dict())
    assert diya.equal(lazy[0].weight, source[0].weight)
    lazy(diya.ones(1, 2))
    assert type(lazy[0]) is nn.Linear and isinstance(lazy[0].weight, nn.Parameter)


def test_lazy_modules_copy_and_pickle():
    for made in (copy.deepcopy(nn.LazyConv2d(3, 2)), pickle.loads(pickle.dumps(nn.LazyConv2d(3, 2)))):
        assert nn.parameter.is_lazy(made.weight)
        assert made(diya.ones(1, 5, 4, 4)).shape == (1, 3, 3, 3)


def test_skip_init_leaves_the_generator_alone():
    diya.manual_seed(3)
    expected = diya.rand(4)
    diya.manual_seed(3)
    assert nn.utils.skip_init(nn.Linear, 5, 7).weight.shape == (7, 5)
    assert diya.equal(diya.rand(4), expected)


def test_tied_weights_survive_deepcopy_and_functional_call():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x))

    module = Tied()
    twin = copy.deepcopy(module)
    assert twin.a.weight is twin.b.weight and twin.a.weight is not module.a.weight
    x = diya.ones(1, 3)
    doubled = _functional_call(module, {"a.weight": 2 * diya.eye(3)}, (x,))
    assert diya.equal(doubled, 4 * x)
    with pytest.raises(ValueError, match="tied"):
        _functional_call(module, {"a.weight": diya.eye(3), "b.weight": 2 * diya.eye(3)}, (x,))


def test_functional_call_gives_gradients_of_the_tensors_given():
    module, w = nn.Linear(3, 2, bias=False), diya.ones(2, 3, requires_grad=True)
    _functional_call(module, {"weight": w}, (diya.ones(1, 3),)).sum().backward()
    assert diya.equal(w.grad, diya.ones(2, 3)) and module.weight.grad is None


def test_parameters_keep_their_identity_through_conversions():
    module = nn.Linear(2, 2)
    optimizer = diya.optim.SGD(module.parameters(), lr=0.1)
    module(diya.ones(1, 2)).sum().backward()
    module.double()
    assert optimizer.param_groups[0]["params"][0] is module.weight
    assert module.weight.dtype is diya.float64 and module.weight.grad.dtype is diya.float64


def test_cached_parametrizations_are_computed_once():
    calls = []

    class Count(nn.Module):
        def forward(self, x):
            calls.append(1)
            return x

    module = nn.Linear(2, 2)
    nn.utils.parametrize.register_parametrization(module, "weight", Count())
    calls.clear()
    with nn.utils.parametrize.cached():
        assert module.weight is module.weight
    assert len(calls) == 1
    with pytest.raises(RuntimeError, match="state_dict"):
        pickle.dumps(module)


def test_compiled_call_and_hooks():
    module, seen = nn.Linear(2, 2), []
    module.register_forward_hook(lambda m, args, output: seen.append(output.shape))
    module.compile()
    module(diya.ones(3, 2))
    assert seen == [(3, 2)]
    assert pickle.loads(pickle.dumps(nn.Linear(2, 2)))._compiled_call_impl is None


def test_unsupported_parts_name_themselves():
    with pytest.raises(AttributeError, match="quantized"):
        nn.quantized  # noqa: B018


def test_a_training_step_warns_of_nothing():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(True), nn.Flatten(), nn.LazyLinear(2))
    model(diya.ones(2, 1, 6, 6))
    optimizer = diya.optim.AdamW(model.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            optimizer.zero_grad()
            loss = nn.CrossEntropyLoss()(model(diya.randn(2, 1, 6, 6)), diya.tensor([0, 1]))
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    assert loss.isfinite()
