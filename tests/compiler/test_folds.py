"""Gradients of parts: those that do not overlap are written side by side instead of added up amid zeros."""

import numpy as np
import pytest

import diya as torch
from diya import engine
from diya.compiler.folds import join_folds


def chunks(x):
    return sum((c * (i + 1)).sin().sum() for i, c in enumerate(x.chunk(3, -1)))


def steps(x):
    return sum((c * (i + 1)).cos().sum() for i, c in enumerate(x.unbind(0)))


def part_and_whole(x):
    return (x[1:3] * 2).sin().sum() + x.exp().sum()


def two_parts(x):
    return (x[1:3] * 2).sin().sum() + (x[4:, 2:] * 3).sin().sum()


def overlapping(x):
    return (x[1:] * 2).sin().sum() + (x[:-1] * 3).sin().sum()


def interleaved(x):
    return (x[::2] * 2).sin().sum() + (x[1::2] * 3).sin().sum()


@pytest.mark.parametrize("function, joined", [(chunks, True), (steps, True), (part_and_whole, True), (two_parts, True),
                                              (overlapping, False), (interleaved, False)])
def test_parts(function, joined):
    graphs, results = [], []
    x = torch.randn(8, 5, 9, dtype=torch.float64)
    engine.listeners.append(graphs.append)
    try:
        for tier in (0, 1):
            t = x.clone().requires_grad_()
            with engine.Tier(tier):
                function(t).backward()
                results.append(t.grad.numpy())
    finally:
        engine.listeners.pop()
    np.testing.assert_allclose(*results, rtol=1e-12)
    graph = max(graphs, key=lambda g: len(g.code))
    assert (join_folds(graph) is not graph) == joined
    join_folds(graph).verify()
