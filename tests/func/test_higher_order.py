"""Operators that take functions."""

import pytest

import diya as torch
from diya._higher_order_ops.associative_scan import associative_scan
from diya._higher_order_ops.map import map as tmap
from diya._higher_order_ops.scan import scan


def linear(a, b):
    return a[0] * b[0], a[1] * b[0] + b[1]


@pytest.mark.parametrize("mode", ["pointwise", "generic"])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("reverse", [False, True])
def test_associative_scan_is_the_recurrence(mode, count, reverse):
    torch.manual_seed(0)
    a, b = torch.rand(2, count, 3, dtype=torch.float64, requires_grad=True), torch.rand(2, count, 3, dtype=torch.float64)
    h, wanted = torch.zeros(2, 3, dtype=torch.float64), []
    for i in reversed(range(count)) if reverse else range(count):
        h = h * a[:, i] + b[:, i]
        wanted.append(h)
    wanted = torch.stack(wanted[::-1] if reverse else wanted, 1)
    found = associative_scan(linear, (a, b), 1, reverse=reverse, combine_mode=mode)[1]
    assert torch.allclose(found, wanted)
    if count > 1:
        assert torch.allclose(torch.autograd.grad(found.sum(), a)[0], torch.autograd.grad(wanted.sum(), a)[0])


def test_scan_and_map():
    carry, ys = scan(lambda c, x: (c + x, c * x), torch.zeros(2), torch.arange(6.0).view(3, 2))
    assert carry.tolist() == [6, 9] and ys.tolist() == [[0, 0], [0, 3], [8, 20]]
    assert scan(lambda c, x: (c + x, c.clone()), torch.zeros(()), torch.arange(3.0), reverse=True)[1].tolist() == [3, 2, 0]
    assert tmap(lambda x, k: x * k, torch.arange(3.0), 2).tolist() == [0, 2, 4]


def test_cond_and_while_loop():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.cond(x.sum() > 2, lambda x: x.sin(), lambda x: x.cos(), (x,))
    assert torch.equal(y, x.sin())
    y.sum().backward()
    assert torch.equal(x.grad, x.cos())
    assert torch.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), (torch.tensor(0), torch.ones(1)))[1].tolist() == [8]
    with pytest.raises(RuntimeError, match="single-element"):
        torch.cond(x > 1, lambda: 1, lambda: 2)
