"""A new program that is like one met before runs compiled at once; one that nothing is known of is interpreted."""

import pytest

import diya as torch
from diya import engine
from diya.counters import counters

pytest.importorskip("llvmlite")
pytestmark = pytest.mark.skipif(engine.Tier.pinned is not None, reason="the tier is pinned")


def steps(sizes):
    """How many programs each training step interprets."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    found = []
    for size in sizes:
        x, y = torch.randn(size, 5), torch.randn(size, 3)
        engine.flush()
        before = counters.programs_interpreted
        loss = ((model(x) - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(counters.programs_interpreted - before)
    return found


def test_only_the_first_step_of_a_loop_is_interpreted(monkeypatch):
    monkeypatch.setattr(engine, "PLANNING", 0)
    assert steps([13, 13, 13, 9, 21, 13]) == [1, 0, 0, 0, 0, 0]


def test_where_compiling_takes_longer_than_the_work_a_size_is_interpreted_until_it_comes_again():
    found = steps([15, 15, 15, 15, 11, 11, 11, 11, 23])
    assert found[3] == 0 and found[4] == 1 and found[7] == 0 and found[8] == 1


def test_what_is_looked_at_for_the_first_time_compiles_nothing():
    before = counters.programs_compiled
    x = torch.arange(12.0)
    (x.cos() * 3).sum().item()
    (x.cos() * 3).log1p().cumsum(-1).tolist()
    assert counters.programs_compiled == before
