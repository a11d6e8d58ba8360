"""Subclasses of Tensor: their results, and what ``__torch_function__`` is told."""

import copy

import pytest

import diya as torch
from diya import nn
from diya.overrides import handle_torch_function, has_torch_function


class Plain(torch.Tensor):
    pass


class Told(torch.Tensor):
    calls: list = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.calls.append(func)
        return super().__torch_function__(func, types, args, kwargs or {})


@pytest.mark.parametrize("cls", [Plain, Told])
@pytest.mark.parametrize("call", [
    lambda x: x + 1, lambda x: 1 + x, lambda x: torch.ones(4) + x, lambda x: 2 - x, lambda x: x / 2, lambda x: 2 / x,
    lambda x: x ** 2, lambda x: 2 ** x, lambda x: x @ x, lambda x: x[0], lambda x: x[x > 1], lambda x: -x, lambda x: x < 1,
    lambda x: x == x, lambda x: ~(x > 1), lambda x: (x > 1) & (x > 2), lambda x: x // 2, lambda x: x % 2, lambda x: x.sum(),
    lambda x: x.max(0).values, lambda x: x.T, lambda x: torch.cat([x, x]), lambda x: x.new_zeros(2), lambda x: x.data,
    lambda x: x.detach(), lambda x: x.double(), lambda x: x.split(2)[0], lambda x: torch.relu(x),
    lambda x: torch.zeros_like(x), lambda x: copy.copy(x), lambda x: x.requires_grad_(), lambda x: list(x)[0],
    lambda x: x.add_(1),
])
def test_results_keep_the_class(cls, call):
    assert type(call(torch.arange(4.0).as_subclass(cls))) is cls


def test_values_and_gradients_pass():
    x = torch.arange(4.0, requires_grad=True)
    y = (x.as_subclass(Plain) * 3)[1:].sum() - 1
    assert type(y) is Plain and y.item() == 17
    y.backward()
    assert x.grad.tolist() == [0, 3, 3, 3]


def test_the_functions_that_are_told():
    x = torch.arange(4.0).as_subclass(Told)
    for call, func in ((lambda: x + 1, torch.Tensor.add), (lambda: x[0], torch.Tensor.__getitem__),
                       (lambda: x == 1, torch.Tensor.__eq__),
                       (lambda: x.detach(), torch.Tensor.detach), (lambda: x.sum(), torch.Tensor.sum)):
        Told.calls.clear()
        call()
        assert Told.calls == [func]


def test_parameters_are_as_tensors():
    p = nn.Parameter(torch.ones(2))
    assert type(p + 1) is torch.Tensor and type(p[0]) is torch.Tensor and not has_torch_function((p,))

    class Own(nn.Parameter):
        pass
    assert type(Own(torch.ones(2)) * 2) is torch.Tensor
    assert type(p + torch.ones(2).as_subclass(Plain)) is Plain


def test_classes_that_do_not_go_together():
    class Other(torch.Tensor):
        pass
    with pytest.raises(TypeError, match="no implementation found"):
        torch.ones(2).as_subclass(Plain) + torch.ones(2).as_subclass(Other)


def test_a_class_that_disables_the_protocol():
    class Quiet(torch.Tensor):
        __torch_function__ = torch._C._disabled_torch_function_impl
    assert type(torch.ones(2).as_subclass(Quiet) + 1) is torch.Tensor


def test_functions_that_ask():
    def scaled(x, factor, *, offset=0):
        if has_torch_function((x,)):
            return handle_torch_function(scaled, (x,), x, factor, offset=offset)
        return x * factor + offset
    Told.calls.clear()
    got = scaled(torch.ones(2).as_subclass(Told), 3, offset=1)
    assert type(got) is Told and got.tolist() == [4, 4] and scaled in Told.calls


def test_no_torch_function_inside_of_disable():
    x = torch.ones(2).as_subclass(Plain)
    with torch._C.DisableTorchFunctionSubclass():
        assert type(x + 1) is torch.Tensor and type(x[0]) is torch.Tensor and not has_torch_function((x,))


def test_a_leaf_of_a_class_on_memory_that_is_there():
    x = torch.ones(2)
    t = torch.Tensor._make_subclass(Plain, x, True)
    assert type(t) is Plain and t.is_leaf and t.requires_grad and t.data_ptr() == x.data_ptr()
    (t * 3).sum().backward()
    assert t.grad.tolist() == [3, 3]


class Noted:
    """What libraries do that keep notes on tensors: all attributes are handed on at once."""

    def take_notes_of(self, other):
        self.__dict__ = other.__dict__.copy()


class Kept(Noted, torch.Tensor):
    pass


@pytest.mark.parametrize("cls", [Kept, type("Below", (Noted, Plain), {})])
def test_attributes_are_handed_on_without_the_tensor(cls):
    x = torch.arange(3.0).as_subclass(cls)
    x.note = [1]
    assert x.__dict__ == vars(x) == {"note": [1]}
    total = x.sum()
    total.take_notes_of(x)
    assert total.shape == () and total.item() == 3 and total.note is x.note and type(total) is cls
    total.__dict__.update(more=2)
    total.__dict__["last"] = 3
    assert (total.more, total.last) == (2, 3)
    assert total.__dict__.pop("more") == 2 and not hasattr(total, "more")
    del total.last
    assert total.__dict__ == {"note": [1]} and copy.deepcopy(total.__dict__)["note"] is not x.note


def test_a_batch_of_them_is_one():
    batch = torch.utils.data.default_collate([{"x": torch.full((2,), float(k)).as_subclass(Plain)} for k in range(3)])
    assert type(batch["x"]) is Plain and batch["x"].tolist() == [[0, 0], [1, 1], [2, 2]]


def test_objects_that_are_no_tensors_and_override_functions():
    class Wrapped:
        def __init__(self, tensor):
            self.tensor = tensor

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func(*(a.tensor if isinstance(a, cls) else a for a in args), **(kwargs or {}))
    x = Wrapped(torch.tensor([1.0, -2.0]))
    assert torch.abs(x).tolist() == [1, 2] and torch.add(torch.ones(2), x).tolist() == [2, -1]
    assert torch.is_floating_point(x) and not torch.is_complex(x) and torch.numel(x) == 2


def test_a_class_may_unbind_where_it_is_told_of_iterating():
    class Splitting(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if func == torch.Tensor.unbind:
                assert len(torch.unbind(args[0])) == 2
            return super().__torch_function__(func, types, args, kwargs)
    x = torch.ones(2, 3).as_subclass(Splitting)
    assert [type(row) for row in x] == [Splitting] * 2 and len(x.unbind(1)) == 3
