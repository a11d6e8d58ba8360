"""What is other than when a call was captured is noticed: arguments that are nearly equal, functions and classes that were changed,
memory that lies otherwise or is shared."""

# ruff: noqa: E731
import collections
import enum
import functools
from dataclasses import dataclass, field

import numpy as np
import pytest

import diya as torch
from diya import nn

from .test_capture import Watched, same


class Name(str):
    pass


class Meters(float):
    def __rmul__(self, other):
        return other * 100

    __mul__ = __rmul__


class Settings(dict):
    def get(self, key, default=None):
        return 100

    def __contains__(self, key):
        return True

    def __len__(self):
        return 7


class Steps(list):
    def __iter__(self):
        return iter([10, 20])


def through(x, r):
    for i in r:
        x = x + i
    return x


def factor(x, k):
    return x * k


def kind_of(x, k):
    return x + (1 if type(k) is str else 2)


def identity(x, p, q):
    return x + 1 if p is q else x - 1


def equality(x, p, q):
    return x + 1 if p == q else x - 1


def applied(x, f):
    return f(x)


A, B = object(), object()
L, M = [1], [1]
X = torch.arange(6.0)


@pytest.mark.parametrize(("function", "arguments"), [
    (factor, [2, torch.arange(6.0), torch.tensor(2), np.full(6, 3, np.float32), True, 2.0, 2]),
    (factor, [np.float64(2), np.float64(3), 2.0]),
    (factor, [0.0, -0.0, 0, False]),
    (factor, [complex(1, 0.0), complex(1, -0.0), 1j]),
    (factor, [2.0, Meters(2), Meters(3)]),
    (kind_of, ["abc", Name("abc"), "abc"]),
    (lambda x, d: [k for k in d], [{1: 0, 0: 1}, {True: 0, False: 1}, {"a": 1}]),
    (through, [range(2), range(4), range(0), range(4, 0, -2)]),
    (lambda x, s: x[s] * 2, [slice(0, 2), slice(1, 3), slice(0, 4, 2), 1]),
    (applied, [functools.partial(torch.add, other=2), functools.partial(torch.add, other=3), functools.partial(factor, k=3),
               lambda t: t * 9, A.__class__]),
    (lambda x, c: x + c.get("k", 1), [{"k": 2}, {}, Settings(k=3)]),
    (lambda x, c: x + len(c), [{"k": 2}, {}, Settings(k=3), Steps([1, 2])]),
    (lambda x, c: x + 1 if "z" in c else x - 1, [{"k": 2}, Settings(k=3), {"z": 1}]),
    (lambda x, c: x + sum(c), [[1, 2], Steps([1, 2]), (1, 2)]),
    (lambda x, c: x + c["k"], [{"k": 2}, collections.Counter(), collections.Counter(k=1)]),
])
def test_arguments_of_other_kinds(function, arguments):
    watched = Watched(function, whole=False)
    for k in arguments:
        for _ in range(2):
            assert_same_call(lambda k=k: watched(X, k), lambda k=k: function(X, k))


def assert_same_call(captured, written):
    try:
        want = written()
    except Exception as error:
        with pytest.raises(type(error)):
            captured()
    else:
        same(captured(), want)


@pytest.mark.parametrize("function", [identity, equality])
def test_which_objects_are_one(function):
    watched = Watched(function, whole=False)
    for p, q in ((A, B), (A, A), (B, B), (L, M), (L, L), (M, L), (A, L)):
        for _ in range(2):
            same(watched(X, p, q), function(X, p, q))


class Slots:
    __slots__ = ("a",)


def test_a_slot_that_is_filled_later():
    watched, slots = Watched(lambda x, s: x + getattr(s, "a", 1)), Slots()
    for _ in range(2):
        same(watched(X, slots), X + 1)
    slots.a = 2
    for _ in range(2):
        same(watched(X, slots), X + 2)
    del slots.a
    same(watched(X, slots), X + 1)


def test_a_missing_key_is_made_once():
    made = []

    def make():
        made.append(1)
        return torch.zeros(6)
    watched = Watched(lambda x, d: x + d["k"], whole=False)
    for n in (1, 2):
        d = collections.defaultdict(make)
        for _ in range(3):
            same(watched(X, d), X + 0)
            assert len(made) == n and list(d) == ["k"]


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    @property
    def scale(self):
        return 2.0

    @classmethod
    def shift(cls, x):
        return x + 1

    @staticmethod
    def twist(x):
        return x + 2

    def forward(self, x):
        return self.twist(self.shift(self.linear(x).sigmoid() * self.scale))


class Above(Layer):
    def forward(self, x):
        return super().forward(x) * 3


def changed(f, default=5):
    return f


@pytest.mark.parametrize(("owner", "name", "value"), [
    (Layer, "scale", property(lambda self: 3.0)),
    (Layer, "shift", classmethod(lambda cls, x: x + 10)),
    (Layer, "twist", staticmethod(lambda x: x * 10)),
    (Layer, "forward", lambda self, x: x + 5),
    (nn.Linear, "__call__", lambda self, x: x * 7),
    (torch.Tensor, "sigmoid", lambda t: t * 0),
    (nn.Linear, "forward", lambda self, x: x * 8)])
def test_classes_that_are_changed(monkeypatch, owner, name, value):
    module, x = Above(), torch.ones(1, 2)
    watched = Watched(module)

    def check():
        for _ in range(2):
            assert torch.allclose(watched(x), module(x))
    check()
    before = watched(x)
    monkeypatch.setattr(owner, name, value)
    check()
    assert not torch.allclose(watched(x), before)
    monkeypatch.undo()
    check()
    assert torch.allclose(watched(x), before)


def test_backward_is_changed(monkeypatch):
    w, seen = torch.ones(3, requires_grad=True), []
    watched, original = Watched(lambda x: (x * w).sum().backward(), whole=False), torch.Tensor.backward
    for _ in range(2):
        watched(torch.ones(3))
    monkeypatch.setattr(torch.Tensor, "backward", lambda t: (seen.append(1), original(t))[1])
    for _ in range(2):
        watched(torch.ones(3))
    assert seen == [1, 1] and w.grad.tolist() == [4] * 3


def test_every_modules_call_is_changed(monkeypatch):
    module, x, seen = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Flatten(), nn.Tanh()), torch.ones(1, 2), []
    for _ in range(3):
        module(x)
    original = nn.Module.__call__

    def call(self, *args, **kwargs):
        seen.append(type(self).__name__)
        return original(self, *args, **kwargs)
    monkeypatch.setattr(nn.Module, "__call__", call)
    for _ in range(3):
        module(x)
    assert seen == ["Sequential", "Linear", "ReLU", "Flatten", "Tanh"] * 3


def test_functions_that_are_changed():
    def g(x, k=None):
        return x if k is None else x + k

    watched = Watched(lambda x: g(x), whole=False)

    def check(want):
        for _ in range(2):
            same(watched(X), want)
    check(X)
    g.__defaults__ = (3,)
    check(X + 3)
    g.__code__ = (lambda x, k: x * k).__code__
    check(X * 3)


def test_memory_that_numpy_saw_for_a_while():
    net, x = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU()), torch.rand(4, 2)
    watched = Watched(net, whole=False)
    for _ in range(3):
        watched(x)
        assert watched.captures == 1
        array = net[1].running_mean.numpy()
        before = array.copy()
        net(x)
        assert (array != before).all()
        before = array.copy()
        watched(x)
        assert (array != before).all()
        del array


def test_writes_go_where_the_memory_is():
    def add(x):
        x.add_(1)
        return x.sum()

    watched = Watched(add, whole=False)
    for _ in range(2):
        same(watched(torch.zeros(3)), torch.tensor(3.0))
    assert watched.captures == 1
    rows, flat, seen = torch.zeros(4, 3), torch.zeros(6), torch.zeros(3)
    array = seen.numpy()
    for i in range(1, 3):
        watched(rows[1]), watched(flat[2:5]), watched(seen)
        assert rows.tolist() == [[0] * 3, [i] * 3, [0] * 3, [0] * 3] and flat.tolist() == [0, 0, i, i, i, 0]
        assert array.tolist() == [i] * 3
    watched = Watched(lambda x, y: (x.add_(1), y * 2)[1], whole=False)
    for _ in range(2):
        same(watched(torch.zeros(3), torch.zeros(3)), torch.zeros(3))
    array = np.zeros(3, np.float32)  # which two tensors share unseen
    same(watched(torch.from_numpy(array), torch.from_numpy(array)), torch.full((3,), 2.0))


@pytest.mark.parametrize("change", [lambda x: x.t_(), lambda x: x.swapaxes_(0, 1), lambda x: x.unsqueeze_(0),
                                    lambda x: x.as_strided_((2, 2), (1, 2))])
def test_a_layout_that_is_changed_in_place(change):
    watched, x = Watched(lambda x: (change(x), x * 1)[1], whole=False), torch.arange(4.0).view(2, 2)
    for _ in range(3):
        y = x.clone()
        change(y)
        assert watched(x).tolist() == y.tolist() == x.tolist()


@dataclass
class Plain:
    a: float = 1.0
    b: list = field(default_factory=list)


@dataclass
class Counted:
    a: float = 1.0
    b: list = field(default_factory=lambda: (made.append(1), [])[1])


class Pair(collections.namedtuple("Pair", "a b")):
    def __new__(cls, a, b):
        made.append(1)
        return super().__new__(cls, a, b)


class Watchful:
    def __init__(self, a):
        self.a = a

    def __setattr__(self, name, value):
        made.append(1)
        super().__setattr__(name, value)


made: list = []


@pytest.mark.parametrize("make", [Plain, Counted, lambda k: Pair(k, k), Watchful])
def test_objects_that_are_made_inside(make):
    watched = Watched(lambda x: x * make(3.0).a, whole=False)
    for _ in range(3):
        made.clear()
        same(watched(X), X * 3)
        captured = list(made)
        made.clear()
        make(3.0)
        assert captured == made


def test_returned_objects_are_one_where_they_were():
    watched = Watched(lambda x: (lambda a: (a, a))([x * 2]), whole=False)
    for _ in range(3):
        a, b = watched(X)
        assert a is b
    watched = Watched(lambda x: {x: 1}, whole=False)
    for _ in range(3):
        assert next(iter(watched(X))) is X


def test_gradients_that_stay_switched_off():
    def off(x):
        torch.set_grad_enabled(False)
        return x * 2

    watched = Watched(off, whole=False)
    for _ in range(3):
        try:
            watched(X)
            assert not torch.is_grad_enabled()
        finally:
            torch.set_grad_enabled(True)


def test_a_place_that_is_assigned_while_it_is_updated():
    def f(x):
        d, i = [1, 2, 3], 0
        d[(i := i + 1)] += 10
        return x + d[1] + i
    watched = Watched(f, whole=False)
    for _ in range(3):
        same(watched(X), X + 13)


def test_what_warns_warns_at_every_call():
    watched = Watched(lambda a, b: nn.functional.mse_loss(a, b), whole=False)
    for _ in range(4):
        with pytest.warns(UserWarning, match="target size") as caught:
            watched(torch.ones(3), torch.ones(3, 1))
        assert len(caught) == 1


def test_the_default_dtype():
    net, x = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Tanh()), torch.ones(1, 2)
    watched = Watched(lambda x: net(x) + torch.ones(2))
    same(watched(x), net(x) + 1)
    torch.set_default_dtype(torch.float64)
    try:
        assert watched(x).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert watched(x).dtype is torch.float32


def test_attributes_that_hide_parameters():
    net, x = nn.Sequential(nn.Linear(2, 2), nn.Tanh()), torch.ones(1, 2)
    watched = Watched(net)
    for weight in (None, torch.zeros(2, 2), torch.ones(2, 2)):
        if weight is not None:
            object.__setattr__(net[0], "weight", weight)
        for _ in range(2):
            assert torch.allclose(watched(x), net(x))


class Meta(type):
    @property
    def computed(cls):
        made.append("computed")
        return 3.0

    def __instancecheck__(cls, instance):
        made.append("asked")
        return True


class WithMeta(metaclass=Meta):
    pass


class Mode(enum.Enum):
    HALF = 0.5

    @property
    def scale(self):
        made.append("scale")
        return self.value * 3

    def times(self, x):
        return x * self.value


@pytest.mark.parametrize("function", [lambda x: x * WithMeta.computed, lambda x: x * 2 if isinstance(x, WithMeta) else x,
                                      lambda x: x * Mode.HALF.scale, lambda x: Mode.HALF.times(x)])
def test_attributes_that_are_computed(function):
    watched = Watched(function, whole=False)
    for _ in range(3):
        made.clear()
        want = function(X)
        expected = list(made)
        made.clear()
        same(watched(X), want)
        assert made == expected


class Small:
    pass


class Large:
    pass


SIZE = Small()


@pytest.mark.parametrize("function", [
    lambda x: x + 1 if isinstance(SIZE, Small) else x - 1,
    lambda x: x + 1 if type(SIZE) is Small else x - 1])
def test_an_objects_class_that_is_another(function):
    watched = Watched(function)
    for cls in (Small, Large, Small):
        SIZE.__class__ = cls
        for _ in range(2):
            same(watched(X), function(X))
