"""What was captured goes with the module or function that it was captured of."""

import gc
import weakref

import diya as torch
from diya import capture, nn


def used(net=None):
    net = net or nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.1), nn.Linear(4, 4))
    for _ in range(5):  # as written, captured, and its backward walked and recorded
        net(torch.ones(2, 4)).sum().backward()
    return net


def test_a_module_that_is_gone():
    net = used()
    assert not capture.compiled.enabled or net._remembered.regions
    refs = [weakref.ref(net), weakref.ref(net[0].weight)]
    del net
    gc.collect()
    assert [r() for r in refs] == [None, None]


def trained():
    """References to what a compiled training step was for."""
    net = nn.Linear(4, 4)
    optimizer = torch.optim.Adam(net.parameters())

    @torch.compile
    def step(x):
        optimizer.zero_grad()
        loss = net(x).pow(2).sum()
        loss.backward()
        optimizer.step()
        return loss
    for _ in range(5):
        step(torch.ones(2, 4))
    assert step._diya_compiled.regions
    return [weakref.ref(net), weakref.ref(net.weight)]


def test_a_compiled_training_step_that_is_gone():
    refs = trained()
    gc.collect()
    assert [r() for r in refs] == [None, None]


def test_many_modules_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(capture.compiled, "MAX_HELD", 2000)
    alive = weakref.WeakSet()
    for _ in range(100):
        alive.add(used())
    assert len(alive) < 30  # each has 160 bytes of parameters
