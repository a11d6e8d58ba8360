"""The tape of a captured call: what somebody sees of it, or asks of it, is what the call as it is written would have left."""

import pytest

import diya as torch
from diya import capture, nn


@pytest.fixture(params=[True, False], ids=["captured", "written"])
def captured(request, monkeypatch):
    """Whether modules are captured: everything here holds either way."""
    monkeypatch.setattr(capture.compiled, "enabled", request.param)


class Net(nn.Module):
    def __init__(self, last=torch.tanh):
        super().__init__()
        self.a, self.drop, self.b, self.last = nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 3), last

    def forward(self, x):
        return self.last(self.b(torch.tanh(self.drop(self.a(x)))))


def calls(module, *args):
    """A module, called often enough to be captured."""
    for _ in range(3):
        module(*args)
    return module


def test_what_is_seen_after_the_module_has_changed(captured):
    torch.manual_seed(0)
    net, x = Net(), torch.ones(2, 3)
    calls(net, x)
    torch.manual_seed(1)
    expected = torch.autograd.grad(net(x).pow(2).sum(), net.a.weight)[0]
    for look in (False, True):
        torch.manual_seed(1)
        y = net(x)
        net.eval()
        if look:
            assert y.grad_fn.name() == "TanhBackward0"
        assert torch.allclose(torch.autograd.grad(y.pow(2).sum(), net.a.weight, create_graph=look)[0], expected)
        net.train()


def test_double_backward_on_the_same_numbers(captured):
    net, x = calls(Net(), torch.ones(2, 3, requires_grad=True)), torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    calls(net.double(), x)
    torch.manual_seed(3)
    y = net(x)
    net.eval()
    first, = torch.autograd.grad(y.sum(), x, create_graph=True)
    second, = torch.autograd.grad(first.pow(2).sum(), x)

    def slope(t):
        torch.manual_seed(3)
        net.train()
        return torch.autograd.grad(net(t).sum(), t)[0].pow(2).sum()
    step = torch.zeros(2, 3, dtype=torch.float64)
    step[1, 2] = 1e-5
    moved = [slope((x + s).detach().requires_grad_()) for s in (step, -step)]
    assert (moved[0] - moved[1]).item() / 2e-5 == pytest.approx(second[1, 2].item(), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("look", [False, True])
def test_memory_that_was_written_to(captured, look):
    net, x = Net(torch.exp), torch.ones(2, 3)
    calls(net, x)

    def after(write):
        y = net(x)
        with torch.no_grad():
            write(y)
        if look:
            assert y.grad_fn is not None
        y.sum().backward()
    for write in (lambda y: y.mul_(2), lambda y: y.detach().zero_(), lambda y: net.b.weight.mul_(2), lambda y: x.add_(1)):
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            after(write)


def test_an_input_that_no_gradient_needs_may_be_written_to(captured):
    class Shift(nn.Module):
        def __init__(self):
            super().__init__()
            self.p, self.rest = nn.Parameter(torch.ones(3)), nn.ModuleList([nn.ReLU() for _ in range(3)])

        def forward(self, x):
            return x * 2 + self.p

    shift, x = Shift(), torch.ones(2, 3)
    calls(shift, x)
    y = shift(x)
    x.add_(1)
    assert y.grad_fn.name() == "AddBackward0"
    for n in (1, 2):  # twice: nothing is kept that could be gone
        y.sum().backward()
        assert shift.p.grad.tolist() == [2 * n] * 3


def test_the_tape_after_backward(captured):
    net, x = Net(), torch.ones(2, 3)
    calls(net, x)
    y = net(x)
    y.sum().backward()
    assert "grad_fn=<TanhBackward0>" in repr(y)
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()
    assert [f.name() for f, _ in y.grad_fn.next_functions] == ["AddmmBackward0"]


def test_a_view_that_is_written_through_before_it_is_returned(captured):
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            self.rest, self.p = nn.ModuleList([nn.ReLU() for _ in range(3)]), nn.Parameter(torch.ones(3))

        def forward(self, x):
            h = self.p * x
            row = h[0]
            h.mul_(3)
            return row
    views, x = Views(), torch.ones(2, 3)
    calls(views, x)
    y = views(x)
    assert y.tolist() == [3] * 3
    y.sum().backward()
    assert views.p.grad.tolist() == [3] * 3


def test_versions_of_what_is_returned(captured):
    class Updates(nn.Module):
        def __init__(self):
            super().__init__()
            self.rest = nn.ModuleList([nn.ReLU() for _ in range(3)])

        def forward(self, x):
            y = x * 2
            y.add_(1).mul_(3)
            return y, y[0], x + 1
    updates, x = Updates(), torch.ones(2, 3)
    calls(updates, x)
    assert [t._version for t in updates(x)] == [2, 2, 0]


def test_memory_that_the_asked_gradient_does_not_need(captured):
    net = nn.Sequential(*[nn.Linear(3, 3) for _ in range(4)])
    calls(net, torch.ones(2, 3))
    loss = net(torch.ones(2, 3)).sum()
    with torch.no_grad():
        net[1].weight.add_(1)
    assert torch.autograd.grad(loss, net[3].bias, retain_graph=True)[0].tolist() == [2] * 3
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(loss, net[0].bias)


def test_inside_of_a_backward(captured):
    net, x = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh()), torch.ones(2, 3, requires_grad=True)
    expected = torch.autograd.grad(net(net(x)).sum(), x)[0]
    for _ in range(4):
        y = x
        for _ in range(2):
            y = torch.utils.checkpoint.checkpoint(net, y, use_reentrant=True)
        x.grad = None
        y.sum().backward()
        assert torch.allclose(x.grad, expected)


def test_views_of_one_memory_that_are_returned_together(captured):
    class Parts(nn.Module):
        def __init__(self):
            super().__init__()
            self.rest = nn.ModuleList([nn.ReLU() for _ in range(3)])

        def forward(self, x):
            y = x * 2
            return y.chunk(2)
    parts, x, p = Parts(), torch.ones(4, 2), torch.ones(2, requires_grad=True)
    calls(parts, x)
    first, second = parts(x)
    first.add_(p)
    assert first.requires_grad and second.requires_grad
    (first * second).sum().backward()
    assert p.grad.tolist() == [4, 4]
