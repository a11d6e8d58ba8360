"""Optimizers and schedulers give what PyTorch gives; a step is one program that no changed number compiles anew."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from nn import parity

import diya
from diya import nn, optim
from optim import optimizer_cases

RECORDED = parity.load(Path(__file__).with_name("recorded.json.xz"))
CASES = dict(optimizer_cases.cases(diya))


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_pytorch(name):
    got = parity.answer(diya, CASES[name])
    loose = 1e-3 if "strong_wolfe" in name else 1e-5  # a line search amplifies the last bit
    differs = parity.difference(got, RECORDED[name], rtol=max(loose, 1e-4), atol=loose)
    assert differs is None, differs


def training_step(optimizer, model, x):
    optimizer.zero_grad()
    model(x).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("make", [lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9), optim.AdamW, optim.RMSprop])
def test_a_step_is_one_program(make):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    optimizer, x = make(model.parameters()), diya.randn(5, 3)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    for _ in range(3):
        training_step(optimizer, model, x)
    before = diya.counters.as_dict()
    for _ in range(4):  # another learning rate and another count in each
        training_step(optimizer, model, x)
        scheduler.step()
    after = diya.counters.as_dict()
    assert after["flushes"] - before["flushes"] == 4
    assert after["programs_met"] == before["programs_met"]


def test_step_count_is_read_without_running_anything():
    w = nn.Parameter(diya.ones(3))
    optimizer = optim.Adam([w])
    for _ in range(3):
        w.grad = diya.ones(3)
        optimizer.step()
    step = optimizer.state[w]["step"]
    assert step.dtype is diya.float32 and step.dim() == 0
    assert optim.optimizer.number(step) == 3.0
    before = diya.counters.flushes
    pending = w * 2
    assert optim.optimizer.number(step) == 3.0 and diya.counters.flushes == before
    del pending
    step += 4  # the user's writes count
    w.grad = diya.ones(3)
    optimizer.step()
    assert step.item() == 8.0


def test_old_state_dicts_with_python_numbers():
    w = nn.Parameter(diya.ones(3))
    optimizer = optim.Adam([w])
    w.grad = diya.ones(3)
    optimizer.step()
    state = optimizer.state_dict()
    state["state"][0]["step"] = 5
    del state["param_groups"][0]["fused"]
    fresh = optim.Adam([w])
    fresh.load_state_dict(state)
    fresh.step()
    assert fresh.state[w]["step"].item() == 6.0 and fresh.param_groups[0]["fused"] is None


def test_steps_bump_versions():
    w = nn.Parameter(diya.ones(3))
    optimizer = optim.SGD([w], lr=0.1)
    y = (w * w).sum()
    w.grad = diya.ones(3)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_scheduler_order_warning():
    scheduler = optim.lr_scheduler.StepLR(optim.SGD([nn.Parameter(diya.ones(1))], lr=0.1), 1)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()
    with pytest.warns(UserWarning, match="get_last_lr"):
        scheduler.get_lr()


def test_sparse_adam_refuses_dense_gradients():
    p = nn.Parameter(diya.ones(1))
    p.grad = diya.ones(1)
    with pytest.raises(RuntimeError, match="dense gradients"):
        optim.SparseAdam([p]).step()


def test_own_optimizers_run_as_one_program():
    class Sign(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @diya.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(p.grad.sign(), alpha=-group["lr"])

    w = nn.Parameter(diya.tensor([1.0, -2.0]))
    optimizer = Sign([w], lr=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (w * w).sum().backward()
        optimizer.step()
    assert w.tolist() == [0.5, -1.5]
