"""Optimizers and schedulers on a small problem: cases for `nn.parity`."""

from __future__ import annotations

import copy

OPTIONS = {
    "SGD": ({}, {"lr": 0.1, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
            {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "maximize": True}),
    "Adam": ({}, {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1}, {"betas": (0.3, 0.9), "maximize": True}),
    "AdamW": ({}, {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1}),
    "Adamax": ({}, {"weight_decay": 0.1, "maximize": True}),
    "NAdam": ({}, {"weight_decay": 0.1}, {"decoupled_weight_decay": True, "weight_decay": 0.1, "maximize": True}),
    "RAdam": ({}, {"weight_decay": 0.1, "decoupled_weight_decay": True, "betas": (0.9, 0.9)}, {"weight_decay": 0.1}),
    "RMSprop": ({}, {"centered": True, "momentum": 0.9, "weight_decay": 0.1}, {"momentum": 0.5}),
    "Rprop": ({}, {"maximize": True}),
    "Adagrad": ({}, {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    "Adadelta": ({}, {"weight_decay": 0.1}),
    "ASGD": ({}, {"weight_decay": 0.1, "t0": 2, "lambd": 0.1}),
    "Adafactor": ({}, {"weight_decay": 0.1, "lr": 0.1, "maximize": True}),
}


def cases(torch):
    """(name, function) of every case."""
    for part in (optimizers, behaviour, errors, schedulers, averages):
        yield from part(torch, torch.nn, torch.optim)


def train(torch, make, model=None, steps=6, closure=False, dtype=None):
    """Losses, parameters and state of a few steps."""
    nn = torch.nn
    model = model or nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    dtype = dtype or torch.float32
    model.to(dtype)
    optimizer = make(model.parameters())
    x = torch.linspace(-1, 1, 24).reshape(8, 3).to(dtype)
    y = torch.linspace(-1, 1, 16).reshape(8, 2).sin().to(dtype)
    losses = []

    def evaluate():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        return loss

    for _ in range(steps):
        if closure:
            losses.append(optimizer.step(evaluate).item())
        else:
            losses.append(evaluate().item())
            optimizer.step()
    return losses, list(model.parameters()), optimizer


def optimizers(torch, nn, optim):
    def whole(make, **kwargs):
        losses, parameters, optimizer = train(torch, make, **kwargs)
        return losses, parameters, optimizer.state_dict(), repr(optimizer)

    for name, variants in OPTIONS.items():
        for options in variants:
            yield f"{name} {options}", lambda name=name, options=options: whole(
                lambda ps: getattr(optim, name)(ps, **options))
    yield "Adam float64", lambda: whole(optim.Adam, dtype=torch.float64)
    yield "Adam lr tensor", lambda: whole(lambda ps: optim.Adam(ps, lr=torch.tensor(0.01)))
    yield "LBFGS", lambda: train(torch, lambda ps: optim.LBFGS(ps, lr=0.1, max_iter=4), steps=3, closure=True)[:2]
    yield "LBFGS strong_wolfe", lambda: train(
        torch, lambda ps: optim.LBFGS(ps, line_search_fn="strong_wolfe", max_iter=5), steps=2, closure=True)[:2]


def behaviour(torch, nn, optim):
    def groups():
        m = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        return repr(optim.SGD([{"params": m[0].parameters(), "lr": 0.5}, {"params": m[1].parameters()}], lr=0.1))

    def resumed():
        x, seen = torch.linspace(-1, 1, 12).reshape(4, 3), []
        m = nn.Linear(3, 2)
        o = optim.Adam(m.parameters(), lr=0.1)

        def run(m, o, steps):
            for _ in range(steps):
                o.zero_grad()
                m(x).square().sum().backward()
                o.step()

        run(m, o, 3)
        n = nn.Linear(3, 2)
        n.load_state_dict(copy.deepcopy(m.state_dict()))
        p = optim.Adam(n.parameters(), lr=0.5)
        p.load_state_dict(copy.deepcopy(o.state_dict()))
        for module, optimizer in ((m, o), (n, p)):
            run(module, optimizer, 2)
            seen.append([list(module.parameters()), optimizer.state_dict()])
        return seen

    def hooks():
        w, log = nn.Parameter(torch.ones(3)), []
        o = optim.SGD([w], lr=0.0)
        o.register_step_pre_hook(lambda *args: log.append("pre"))
        o.register_step_post_hook(lambda *args: log.append("post"))
        o.register_state_dict_post_hook(lambda optimizer, state: {**state, "z": 1})
        w.grad = torch.ones(3)
        o.step()
        return log, list(o.state_dict())

    def complex_numbers():
        p = nn.Parameter(torch.tensor([1 + 2j, 3 - 1j]))
        o = optim.Adam([p], lr=0.1)
        for _ in range(3):
            o.zero_grad()
            (p * p.conj()).real.sum().backward()
            o.step()
        return p

    def differentiable():
        p = torch.linspace(-1, 1, 3).requires_grad_()
        q = p.clone()
        o = optim.SGD([q], lr=0.1, momentum=0.9, differentiable=True)
        q.grad = (p ** 2).clone()
        o.step()
        q.sum().backward()
        return q, p.grad

    yield from {"groups": groups, "resumed": resumed, "hooks": hooks, "complex": complex_numbers,
                "differentiable": differentiable,
                "names": lambda: [g["param_names"] for g in
                                  optim.Adam(nn.Linear(2, 3).named_parameters()).state_dict()["param_groups"]]}.items()


def errors(torch, nn, optim):
    w, other = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(1))
    two_groups = [{"params": [w]}, {"params": [other]}]
    rates = optim.lr_scheduler

    def sgd(**kwargs):
        return optim.SGD([w], lr=0.1, **kwargs)

    yield from {
        "a tensor": lambda: optim.SGD(w), "nothing": lambda: optim.SGD([]), "lr": lambda: optim.SGD([w], lr=-1.0),
        "nesterov": lambda: optim.SGD([w], nesterov=True), "no leaf": lambda: optim.SGD([w * 2], lr=1.0),
        "no tensor": lambda: optim.SGD([3]), "in two groups": lambda: optim.SGD([{"params": [w]}, {"params": [w]}]),
        "a set": lambda: optim.SGD([{"params": {w}}]), "beta": lambda: optim.Adam([w], betas=(1.0, 0.9)),
        "eps": lambda: optim.Adam([w], eps=-1), "no group": lambda: optim.Adam([w]).add_param_group(3),
        "number of groups": lambda: optim.Adam([w]).load_state_dict(optim.Adam(two_groups).state_dict()),
        "size of group": lambda: optim.Adam([w]).load_state_dict(optim.Adam([w, other]).state_dict()),
        "fused": lambda: optim.Adam([w], fused=True, differentiable=True), "alpha": lambda: optim.RMSprop([w], alpha=-1),
        "LBFGS groups": lambda: optim.LBFGS(two_groups), "Muon rank": lambda: optim.Muon([w]),
        "Adafactor lr": lambda: optim.Adafactor([w], lr=-1.0), "etas": lambda: optim.Rprop([w], etas=(2, 3)),
        "rho": lambda: optim.Adadelta([w], rho=2.0), "no optimizer": lambda: rates.StepLR(3, 3),
        "initial_lr": lambda: rates.StepLR(sgd(), 3, last_epoch=2),
        "lambdas": lambda: rates.LambdaLR(sgd(), [1, 2]), "OneCycleLR steps": lambda: rates.OneCycleLR(sgd(), 1.0),
        "OneCycleLR total": lambda: rates.OneCycleLR(sgd(), 1.0, total_steps=-1),
        "OneCycleLR pct": lambda: rates.OneCycleLR(sgd(), 1.0, total_steps=10, pct_start=3),
        "CyclicLR mode": lambda: rates.CyclicLR(sgd(), 0.1, 1.0, mode="x"),
        "CyclicLR momentum": lambda: rates.CyclicLR(optim.Rprop([w]), 0.1, 1.0),
        "SequentialLR": lambda: rates.SequentialLR(sgd(), [], []),
        "LinearLR factor": lambda: rates.LinearLR(sgd(), 0.0),
        "plateau mode": lambda: rates.ReduceLROnPlateau(sgd(), "x"),
        "restarts T_0": lambda: rates.CosineAnnealingWarmRestarts(sgd(), 0),
        "SWALR strategy": lambda: optim.swa_utils.SWALR(sgd(), 0.1, anneal_strategy="x"),
    }.items()


def schedulers(torch, nn, optim):
    rates = optim.lr_scheduler
    makers = {
        "StepLR": lambda o: rates.StepLR(o, 3, 0.5), "MultiStepLR": lambda o: rates.MultiStepLR(o, [3, 5, 5, 9], 0.5),
        "ConstantLR": lambda o: rates.ConstantLR(o, 0.5, 4), "LinearLR": lambda o: rates.LinearLR(o, 0.3, 0.8, 7),
        "ExponentialLR": lambda o: rates.ExponentialLR(o, 0.9), "PolynomialLR": lambda o: rates.PolynomialLR(o, 8, 2.0),
        "CosineAnnealingLR": lambda o: rates.CosineAnnealingLR(o, 7, 0.01),
        "LambdaLR": lambda o: rates.LambdaLR(o, [lambda e: 0.9 ** e, lambda e: 1 / (e + 1)]),
        "MultiplicativeLR": lambda o: rates.MultiplicativeLR(o, lambda e: 0.9),
        "CosineAnnealingWarmRestarts": lambda o: rates.CosineAnnealingWarmRestarts(o, 4, 2, 0.001),
        "CyclicLR": lambda o: rates.CyclicLR(o, 0.01, 0.1, 4, 3, mode="triangular2"),
        "CyclicLR exp_range": lambda o: rates.CyclicLR(o, 0.01, [0.1, 0.2], 4, mode="exp_range", gamma=0.9),
        "OneCycleLR": lambda o: rates.OneCycleLR(o, [1.0, 0.5], total_steps=30),
        "OneCycleLR three phases": lambda o: rates.OneCycleLR(o, 1.0, epochs=3, steps_per_epoch=10, three_phase=True,
                                                              anneal_strategy="linear"),
        "SequentialLR": lambda o: rates.SequentialLR(
            o, [rates.LinearLR(o, 0.1, 1.0, 5), rates.CosineAnnealingLR(o, 10), rates.ExponentialLR(o, 0.5)], [5, 15]),
        "ChainedScheduler": lambda o: rates.ChainedScheduler([rates.ConstantLR(o, 0.1, 4), rates.ExponentialLR(o, 0.9)]),
        "nested": lambda o: rates.SequentialLR(
            o, [rates.ChainedScheduler([rates.ConstantLR(o, 0.1, 4), rates.ExponentialLR(o, 0.9)]),
                rates.SequentialLR(o, [rates.StepLR(o, 2), rates.LinearLR(o)], [3])], [6]),
        "SWALR": lambda o: optim.swa_utils.SWALR(o, 0.05, 5),
    }

    def follow(make, kind="SGD", lr=0.1):
        parameters = [nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))]
        options = {"momentum": 0.9} if kind == "SGD" else {}
        o = getattr(optim, kind)([{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.02}],
                                 lr=torch.tensor(lr) if kind == "tensor" else lr, **options)
        scheduler = make(o)
        rates = [[float(g["lr"]) for g in o.param_groups]]
        for _ in range(25):
            o.step()
            scheduler.step()
            rates.append([[float(g["lr"]), g.get("momentum", g.get("betas"))] for g in o.param_groups])
        state = scheduler.state_dict()
        again = make(o)
        again.load_state_dict(dict(state))
        for _ in range(3):
            o.step()
            again.step()
            rates.append([float(g["lr"]) for g in o.param_groups])
        return rates, {k: str(v) if k in ("milestones", "_schedule_phases") else v for k, v in state.items()}

    for name, make in makers.items():
        yield name, lambda make=make: follow(make)
    for name in ("OneCycleLR", "CyclicLR"):
        yield f"{name} Adam", lambda name=name: follow(makers[name], "Adam")

    def continued(name, epochs=None):
        """Resumed at epoch 3; or set to epochs out of order."""
        o = optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
        seen = []
        if epochs is None:
            o.param_groups[0]["initial_lr"] = 0.2
            scheduler = single[name](o, 3)
            for _ in range(6):
                seen.append(o.param_groups[0]["lr"])
                o.step()
                scheduler.step()
        else:
            scheduler = single[name](o, -1)
            o.step()
            for epoch in epochs:
                scheduler.step(epoch)
                seen.append(o.param_groups[0]["lr"])
        return seen

    single = {
        "StepLR": lambda o, e: rates.StepLR(o, 2, last_epoch=e),
        "MultiStepLR": lambda o, e: rates.MultiStepLR(o, [4, 6], last_epoch=e),
        "ConstantLR": lambda o, e: rates.ConstantLR(o, 0.5, 5, last_epoch=e),
        "LinearLR": lambda o, e: rates.LinearLR(o, 0.5, 1.0, 6, last_epoch=e),
        "ExponentialLR": lambda o, e: rates.ExponentialLR(o, 0.9, last_epoch=e),
        "PolynomialLR": lambda o, e: rates.PolynomialLR(o, 8, last_epoch=e),
        "CosineAnnealingLR": lambda o, e: rates.CosineAnnealingLR(o, 7, last_epoch=e),
        "LambdaLR": lambda o, e: rates.LambdaLR(o, lambda n: 0.9 ** n, last_epoch=e),
        "CosineAnnealingWarmRestarts": lambda o, e: rates.CosineAnnealingWarmRestarts(o, 4, last_epoch=e),
    }
    for name in single:
        yield f"{name} resumed", lambda name=name: continued(name)
        yield f"{name} epochs", lambda name=name: continued(name, (1, 5, 2, 0, 7))

    def plateau(**kwargs):
        o = optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
        scheduler = rates.ReduceLROnPlateau(o, patience=2, cooldown=1, **kwargs)
        seen = []
        for metric in (1, 0.9, 0.9, 0.95, 0.9, 0.9, 0.9, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8):
            scheduler.step(torch.tensor(metric))
            seen.append(o.param_groups[0]["lr"])
        return seen, {k: str(v) for k, v in scheduler.state_dict().items()}

    yield "ReduceLROnPlateau", plateau
    yield "ReduceLROnPlateau max", lambda: plateau(mode="max", threshold_mode="abs", threshold=0.01, factor=0.5,
                                                   min_lr=0.01)


def averages(torch, nn, optim):
    def averaged():
        x = torch.linspace(-1, 1, 8).reshape(4, 2)
        m, swa = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), optim.swa_utils
        mean = swa.AveragedModel(m)
        moving = swa.AveragedModel(m, multi_avg_fn=swa.get_ema_multi_avg_fn(0.9), use_buffers=True)
        for _ in range(3):
            m(x)
            with torch.no_grad():
                for p in m.parameters():
                    p.add_(1.0)
            mean.update_parameters(m)
            moving.update_parameters(m)
        swa.update_bn([x, x * 2], mean)
        return dict(mean.state_dict()), dict(moving.state_dict()), repr(mean)

    yield "AveragedModel", averaged
