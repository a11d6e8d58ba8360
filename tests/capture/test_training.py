"""Whole training steps given to `torch.compile`: gradients, optimizers' state and parameters are as if they were not."""

from __future__ import annotations

import pytest

import diya as torch
from diya import nn
from diya.nn import functional as F

OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True, weight_decay=1e-2, maximize=True),
    "AdamW": lambda p: torch.optim.AdamW([{"params": p[:1], "lr": 0.02}, {"params": p[1:]}], lr=0.01),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
}


def parts(optimizer="Adam"):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    return model, OPTIMIZERS[optimizer](list(model.parameters()))


def batches(n=8):
    torch.manual_seed(1)
    return [(torch.randn(5, 3), torch.randn(5, 2)) for _ in range(n)]


def ordinary(model, optimizer):
    def step(x, y):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss
    return step


def train(make_step, optimizer="Adam", between=lambda i, model, optimizer: None, compiled=True):
    """Everything that training leaves behind, and how many calls were captured."""
    model, opt = parts(optimizer)
    step = make_step(model, opt)
    run = torch.compile(step) if compiled else step
    losses = []
    for i, batch in enumerate(batches()):
        between(i, model, opt)
        losses.append(run(*batch))
    state = {f"{k}/{name}": v for k, (_, entries) in enumerate(opt.state.items()) for name, v in entries.items()}
    left = {"losses": torch.stack([x.detach() for x in losses]), **{f"p{i}": p.detach() for i, p in enumerate(model.parameters())},
            **{f"g{i}": p.grad for i, p in enumerate(model.parameters()) if p.grad is not None}, **state}
    regions = run.__dict__["_diya_compiled"].regions if compiled else ()
    return {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in left.items()}, sum(r.met for r in regions), losses, model


def agree(make_step, optimizer="Adam", between=lambda i, model, optimizer: None, met=5):
    plain, *_ = train(make_step, optimizer, between, False)
    found, times, *_ = train(make_step, optimizer, between)
    assert plain.keys() == found.keys()
    for k, v in plain.items():
        if isinstance(v, torch.Tensor):
            torch.testing.assert_close(found[k], v, rtol=1e-5, atol=1e-6, msg=k)
    assert times >= met


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer(optimizer):
    agree(ordinary, optimizer)


def test_gradients_that_are_zeroed_where_they_are():
    def make(model, optimizer):
        def step(x, y):
            optimizer.zero_grad(set_to_none=False)
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            return loss
        return step
    agree(make)


def test_gradients_that_add_up():
    def make(model, optimizer):
        def step(x, y):
            F.mse_loss(model(x), y).backward()
            (model(x * 2) ** 2).mean().backward()
            optimizer.step()
            return model(x).sum()
        return step
    agree(make, "momentum")


def test_gradients_that_are_clipped_by_hand():
    def make(model, optimizer):
        weights = list(model.parameters())

        def step(x, y):
            for p in weights:
                p.grad = None
            loss = F.mse_loss(model(x), y)
            loss.backward()
            for p in weights:
                p.grad.clamp_(-0.01, 0.01)
            optimizer.step()
            return loss.detach(), model(x).detach()
        return lambda x, y: step(x, y)[0]
    agree(make)


def test_a_learning_rate_that_changes_captures_nothing_new():
    def slower(i, model, optimizer):
        optimizer.param_groups[0]["lr"] = 0.1 / (i + 1)
    agree(ordinary, "Adam", slower)
    agree(ordinary, "SGD", slower)


def scheduled(optimizer):
    """A scheduler's step, which is made between calls."""
    return torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)


@pytest.mark.parametrize("inside", [False, True])
def test_a_scheduler(inside):
    schedulers = {}

    def make(model, optimizer):
        schedulers[id(optimizer)] = scheduler = scheduled(optimizer)
        inner = ordinary(model, optimizer)

        def step(x, y):
            loss = inner(x, y)
            if inside:
                scheduler.step()
            return loss
        return step

    def between(i, model, optimizer):
        if i and not inside:
            schedulers[id(optimizer)].step()
    agree(make, "Adam", between, met=0 if inside else 5)


def test_options_that_change():
    def other(i, model, optimizer):
        optimizer.param_groups[0]["weight_decay"] = 0.1 if i > 4 else 0.0
        optimizer.param_groups[0]["maximize"] = i == 6
    agree(ordinary, "Adam", other, 3)
    agree(ordinary, "SGD", other, 3)


def test_state_that_is_loaded():
    def loaded(i, model, optimizer):
        if i == 4:
            optimizer.load_state_dict(optimizer.state_dict())
    agree(ordinary, "Adam", loaded, 4)


def test_parameters_that_are_frozen_and_freed():
    def freeze(i, model, optimizer):
        model[0].weight.requires_grad_(i not in (3, 4))
    agree(ordinary, "Adam", freeze, 3)


def test_hooks_that_come_later():
    seen = []

    def hooked(i, model, optimizer):
        if i == 3:
            optimizer.register_step_post_hook(lambda *_: seen.append(i))
        if i == 4:
            model[0].weight.register_hook(lambda g: g * 2)
        if i == 5:
            model[0].bias.register_post_accumulate_grad_hook(lambda p: seen.append("bias"))
    agree(ordinary, "Adam", hooked, 1)
    assert seen == [3, 3, 3, "bias", 3, "bias", 3, "bias"] * 2 or len(seen) == 16


def test_parameters_that_numpy_sees():
    def seen(i, model, optimizer):
        if i == 3:
            model.kept = model[0].weight.detach().numpy()
            model.kept[0, 0] = 0.5
        if i > 3:
            assert model.kept[0, 0] == model[0].weight[0, 0].item()
    agree(ordinary, "Adam", seen, 1)


def test_other_weights_in_place_of_the_parameters():
    def other(i, model, optimizer):
        if i == 4:
            model[0].weight.data = torch.full((8, 3), 0.1)
        if i == 6:
            model[2].bias.data.fill_(1.0)
    agree(ordinary, "Adam", other, 4)


def test_dropout_and_batch_norm():
    def make(model, optimizer):
        whole = nn.Sequential(nn.BatchNorm1d(3), model, nn.Dropout(0.5))

        def step(x, y):
            optimizer.zero_grad()
            loss = F.mse_loss(whole(x), y)
            loss.backward()
            optimizer.step()
            return loss
        return step
    agree(make)


def test_two_optimizers():
    def make(model, optimizer):
        other = torch.optim.SGD([model[2].bias], lr=0.5)

        def step(x, y):
            optimizer.zero_grad()
            other.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            other.step()
            return loss
        return step
    agree(make)


def test_what_is_returned_was_differentiated_already():
    _, times, losses, model = train(ordinary)
    assert times
    assert losses[-1].requires_grad and losses[-1].grad_fn.name() == "MseLossBackward0"
    with pytest.raises(RuntimeError, match="second time"):
        losses[-1].backward()
    assert model[0].weight.grad is not None


def test_gradients_are_objects_of_their_own():
    model, optimizer = parts()
    step = torch.compile(ordinary(model, optimizer))
    kept = []
    for batch in batches():
        step(*batch)
        kept.append(model[0].weight.grad)
    assert len({id(g) for g in kept}) == len(kept)
    assert not torch.equal(kept[-1], kept[-2])


def test_versions_count_as_they_would():
    counts = []
    for compiled in (False, True):
        *_, model = train(ordinary, compiled=compiled)
        counts.append([p._version for p in model.parameters()])
    assert counts[0] == counts[1]


def test_fullgraph_waits_for_the_state():
    model, optimizer = parts()
    step = torch.compile(ordinary(model, optimizer), fullgraph=True)
    for batch in batches(3):
        step(*batch)
    assert step.__dict__["_diya_compiled"].regions


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_two_steps_in_one(optimizer):
    def make(model, opt):
        def step(x, y):
            opt.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            opt.step()
            opt.step()
            return loss
        return step
    agree(make, optimizer, met=0)


def test_versions_of_gradients_that_add_up():
    def make(model, opt):
        def step(x, y):
            opt.zero_grad()
            for part in (slice(0, 2), slice(2, 5)):
                F.mse_loss(model(x[part]), y[part]).backward()
            return x.sum()
        return step
    for compiled in (False, True):
        model = train(make, "SGD", compiled=compiled)[3]
        assert {p.grad._version for p in model.parameters()} == {1}


@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_that_fails_changes_nothing_that_it_would_not_change_as_written(compiled):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(6, 8), nn.Linear(8, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss
    run = torch.compile(step) if compiled else step
    good, bad = torch.tensor([0, 1, 2, 3]), torch.tensor([0, 1, 2, 9])
    for _ in range(6):
        run(good, good)
    for x, y in ((bad, good), (good, bad)):
        before = [p.detach().clone() for p in model.parameters()]
        with pytest.raises(IndexError):
            run(x, y)
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
        assert all(p.grad is None for p in model.parameters()) and optimizer.state[model[0].weight]["step"].item() == 6
    assert run(good, good).isfinite() and optimizer.state[model[0].weight]["step"].item() == 7


def test_positions_out_of_range_raise_at_the_call():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 4))
    good, bad = torch.tensor([0, 1, 2, 3]), torch.tensor([0, 1, 2, 9])

    def rows(x, i):
        return x[i] * 2
    looked_up = torch.compile(rows)
    for _ in range(4):
        model(good)
        looked_up(model[0].weight, good)
    assert model.__dict__["_remembered"].regions and looked_up.__dict__["_diya_compiled"].regions
    with pytest.raises(IndexError):
        model(bad)
    with pytest.raises(IndexError):
        looked_up(model[0].weight, bad)
    assert model[1].num_batches_tracked.item() == 4


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_gradients_whose_norm_is_clipped(optimizer):
    def make(model, optimizer):
        def step(x, y):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            return loss
        return step
    agree(make, optimizer)


def test_gradients_whose_values_are_clipped():
    def make(model, optimizer):
        def step(x, y):
            model.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            nn.utils.clip_grad_value_(model.parameters(), 0.01)
            optimizer.step()
            return loss
        return step
    agree(make)


def test_what_fails_has_drawn_once():
    def make(model, opt):
        drop = nn.Dropout(0.5)

        def step(x, y):
            opt.zero_grad()
            loss = F.cross_entropy(drop(model(x)), y)
            loss.backward()
            opt.step()
            return loss
        return step
    left = []
    for compiled in (False, True):
        model, opt = parts()
        step = torch.compile(make(model, opt)) if compiled else make(model, opt)
        for k in (0, 1, 0, 1, 0, 7):
            try:
                step(torch.ones(5, 3), torch.full((5,), k)).item()
            except IndexError:
                left.append((torch.rand(1).item(), [p.detach().clone() for p in model.parameters()]))
    assert left[0][0] == left[1][0]
    torch.testing.assert_close(left[1][1], left[0][1])
