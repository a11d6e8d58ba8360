"""Parameters are updated in their own memory, and nobody who looks at the old values sees it."""

import pytest

import diya
from diya import engine

compiled = pytest.mark.skipif(engine.compiler() is None, reason="needs llvmlite")


def train(w, keep):
    loss = ((diya.ones(4, 6) @ w.t()).tanh() ** 2).sum()
    loss.backward()
    keep(w)
    with diya.no_grad():
        w -= 0.1 * w.grad
        w.grad = None
    engine.flush()


@compiled
def test_a_parameter_keeps_its_memory():
    w = diya.randn(5, 6).requires_grad_()
    for _ in range(3):
        train(w, lambda w: None)
    address = w.data_ptr()
    for _ in range(3):
        train(w, lambda w: None)
    assert w.data_ptr() == address


@pytest.mark.parametrize("look", [lambda w: w.detach().clone(), lambda w: w.detach()[1:3] + 0, lambda w: w.detach().t() * 1,
                                  lambda w: (w.detach() * 2)])
def test_what_was_read_before_the_update_stays(look):
    w = diya.randn(5, 6).requires_grad_()
    for _ in range(4):
        before = look(w).tolist()
        seen = []
        train(w, lambda w, seen=seen: seen.append(look(w)))
        assert seen[0].tolist() == before
        assert look(w).tolist() != before
