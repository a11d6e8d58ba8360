"""Every operator inside of `torch.func.vmap` against a loop, and in forward mode against backward, on PyTorch's recorded
samples. ``DIYA_FULL=1`` takes all samples, in all dtypes; otherwise one of each operator is taken."""

import os
import warnings

import numpy as np
import pytest
from ops.samples import calls, direction, operators

import diya
from diya.engine import DataDependent, Tier
from diya.func import grad, jvp, vjp, vmap

from .batches import another, batch, sample, written

FULL = bool(int(os.environ.get("DIYA_FULL", "0") or 0))
PLAIN = {"allclose": "its result is a bool", "equal": "its result is a bool", "item": "its result is a number"}
ROUNDS = ("bfloat16", "half", "chalf")  # their gradients are rounded to few bits


def chosen(op: str, *dtypes: str) -> list[dict]:
    found = [c for dtype in dtypes for c in calls(op, dtype)]
    return found if FULL else found[:1]


@pytest.fixture(autouse=True)
def interpreted():
    with Tier(0), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def same(got, want, where: str) -> None:
    assert (got.shape, got.dtype) == (want.shape, want.dtype), where
    a, b = ((x.cfloat() if x.dtype is diya.complex32 else x).detach().numpy() for x in (got, want))
    rtol, atol = (1e-3, 1e-3) if a.dtype == np.complex64 else (2e-6, 1e-8)
    np.testing.assert_allclose(a, b, rtol, atol, err_msg=where)


def seeded(f):
    def call(*xs):
        diya.manual_seed(0)
        return f(*xs)
    return call


@pytest.mark.parametrize("op", [op for op in operators() if chosen(op, "float64", "int64", "complex64")])
def test_a_batch_is_a_loop(op):
    if op in PLAIN:
        pytest.skip(PLAIN[op])
    for call in chosen(op, "float64", "int64", "complex64"):
        f, tensors = sample(call)
        if not tensors:
            continue
        n = len(tensors)
        ways = [[True] * n] + ([[k == i for k in range(n)] for i in range(n)] if n > 1 else [])
        writes = written(seeded(f), tensors)
        for which in ways:
            if any(w and not c for w, c in zip(writes, which, strict=True)):
                continue
            xs = batch(tensors, which)
            loop = [seeded(f)(*[x[b].clone() if c else x for x, c in zip(xs, which, strict=True)]) for b in range(2)]
            if [o.shape for o in loop[0]] != [o.shape for o in loop[1]]:
                continue  # no function of a batch: the shape of its result depends on values
            if any(o.dtype is diya.bfloat16 for o in loop[0]):
                continue
            try:
                got = vmap(seeded(f), tuple(0 if c else None for c in which), randomness="same")(*xs)
            except DataDependent:
                if op == "__getitem__":
                    continue  # a mask as index
                raise
            for k, o in enumerate(got):
                same(o, diya.stack([outs[k] for outs in loop]), f"{op}, sample {call['sample']}, batched {which}, output {k}")


def differentiable(call: dict, rng):
    """(f, inputs, cotangents): f maps the floating-point tensors of a call to its differentiable outputs; None without any."""
    f, tensors = sample(call)
    if any(written(f, tensors)):
        return None
    places = [i for i, t in enumerate(tensors) if t.dtype.is_floating_point or t.dtype.is_complex]
    inputs = [tensors[i] for i in places]

    def all_outputs(*xs):
        given = list(tensors)
        for i, x in zip(places, xs, strict=True):
            given[i] = x
        diya.manual_seed(0)
        return f(*given)
    outs = all_outputs(*[x.clone().requires_grad_() for x in inputs])
    kept = [k for k, o in enumerate(outs) if o.requires_grad]
    if not kept:
        return None

    def g(*xs):
        outs = all_outputs(*xs)
        return [outs[k] for k in kept]
    return g, inputs, [diya.tensor(direction(rng, outs[k]), dtype=outs[k].dtype) for k in kept]


def dot(xs, ys) -> float:
    return sum(float(np.real(np.conj(x.detach().numpy()) * y.detach().numpy()).sum()) for x, y in zip(xs, ys, strict=True))


DIFFERENTIABLE = [op for op in operators() if op not in ROUNDS and not op.startswith("resize_") and calls(op, "float64")]


@pytest.mark.parametrize("op", DIFFERENTIABLE)
def test_derivatives(op):
    """Of a batch, in a batch, and along a direction."""
    rng = np.random.default_rng(0)
    for call in chosen(op, "float64", "complex64"):
        try:
            made = differentiable(call, rng)
            if made is None:
                continue
            f, inputs, cotangents = made
            n = len(inputs)
            reference = vjp(f, *inputs)[1](cotangents)
        except NotImplementedError:
            continue  # no derivative; test_gradients knows them
        where = f"{op}, sample {call['sample']}"
        tangents = [diya.tensor(direction(rng, x), dtype=x.dtype) for x in inputs]
        _, pushed = jvp(f, tuple(inputs), tuple(tangents))
        left, right = dot(cotangents, pushed), dot(reference, tangents)
        tolerance = 1e-3 if call["dtype"] == "complex64" else 5e-6
        assert np.isclose(left, right, tolerance, tolerance) or np.isnan([left, right]).any(), f"{where}: jvp {left}, vjp {right}"

        def pull(*values):
            return vjp(f, *values[:n])[1](list(values[n:]))  # noqa: B023
        batches = [diya.stack([x, another(x)]) for x in [*inputs, *cotangents]]
        loop = [pull(*[x[b].clone() for x in batches]) for b in range(2)]
        for k, g in enumerate(vmap(pull, randomness="same")(*batches)):
            same(g, diya.stack([part[k] for part in loop]), f"{where}: gradient {k} in a batch")
        loop = [pull(*inputs, *[c[b] for c in batches[n:]]) for b in range(2)]
        for k, g in enumerate(vmap(lambda *c: vjp(f, *inputs)[1](list(c)))(*batches[n:])):  # noqa: B023
            same(g, diya.stack([part[k] for part in loop]), f"{where}: gradient {k} of a batch of cotangents")

        def total(outs):
            return sum((o * c.conj()).real.sum() if o.dtype.is_complex else (o * c).sum() for o, c in
                       zip(outs, batches[n:], strict=True))  # noqa: B023
        for k in range(n):  # one input in a batch, the others are from outside
            def batched(*xs, k=k):
                return total(vmap(lambda x: f(*xs[:k], x, *xs[k + 1:]), randomness="same")(xs[k]))  # noqa: B023

            def looped(*xs, k=k):
                columns = zip(*[f(*xs[:k], xs[k][b].clone(), *xs[k + 1:]) for b in range(2)], strict=True)  # noqa: B023
                return total([diya.stack(c) for c in columns])
            given = [*inputs[:k], batches[k], *inputs[k + 1:]]
            numbers = tuple(range(n))
            for i, (a, b) in enumerate(zip(grad(batched, numbers)(*given), grad(looped, numbers)(*given), strict=True)):
                same(a, b, f"{where}: gradient {i} through a batch of input {k}")
