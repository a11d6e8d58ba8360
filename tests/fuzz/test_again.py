"""Random programs run again and again with other values: calls that are remembered give what the operators' functions give.
``DIYA_FUZZ`` as in test_programs.py."""

import os
import random

import numpy as np
import pytest

import diya as torch
from diya import engine

F = torch.nn.functional
MANY = int(os.environ.get("DIYA_FUZZ", "0"))
SHAPES = [(3, 4), (4, 4), (2, 4), (1, 4), (4, 1), (4, 3), (0, 4)]
OF_ONE = [
    lambda x, d: F.softmax(x, d), lambda x, d: x.std(d), lambda x, d: F.layer_norm(x, (x.shape[-1],)), lambda x, d: x.t(),
    lambda x, d: x.transpose(0, 1), lambda x, d: x.reshape(-1), lambda x, d: x.unsqueeze(d), lambda x, d: x.squeeze(),
    lambda x, d: x.clamp(min=0.3), lambda x, d: F.gelu(x), lambda x, d: x.max(d), lambda x, d: x.sort(d), lambda x, d: x.topk(1, d),
    lambda x, d: x.unbind(d), lambda x, d: x.chunk(2, d), lambda x, d: x[:, 0], lambda x, d: x[..., 1:], lambda x, d: x[None],
    lambda x, d: x[::2], lambda x, d: x.expand(2, *x.shape), lambda x, d: x.repeat(2, 1), lambda x, d: x.flip(0),
    lambda x, d: F.normalize(x, dim=d), lambda x, d: x.sum(d, keepdim=True), lambda x, d: x.diagonal(), lambda x, d: x.contiguous(),
    lambda x, d: x.float(), lambda x, d: x.detach(), lambda x, d: F.pad(x, (1, 0)), lambda x, d: x.masked_fill(x > 0.5, 0.0),
    lambda x, d: x.unfold(0, 2, 1), lambda x, d: torch.full_like(x, 2.0), lambda x, d: x.nonzero(), lambda x, d: x.argmax(d),
    lambda x, d: x.index_select(0, torch.tensor([1, 0])), lambda x, d: x[torch.tensor([0, 1]), torch.tensor([1, 1])],
    lambda x, d: F.cross_entropy(x, torch.tensor([0] * len(x))), lambda x, d: F.embedding(torch.tensor([0, 1]), x),
    lambda x, d: torch.eye(4, dtype=x.dtype), lambda x, d: F.dropout(x, 0.5, False), lambda x, d: x.view(-1)]
OF_TWO = [
    lambda x, y: x @ y.t(), lambda x, y: x @ y, lambda x, y: torch.cat([x, y]), lambda x, y: torch.stack([x, y]),
    lambda x, y: torch.lerp(x, y, 0.3), lambda x, y: F.smooth_l1_loss(x, y), lambda x, y: F.linear(x, y),
    lambda x, y: torch.einsum("ij,kj->ik", x, y), lambda x, y: torch.cdist(x, y), lambda x, y: F.cosine_similarity(x, y),
    lambda x, y: x - y, lambda x, y: x.sub(y, alpha=2), lambda x, y: torch.broadcast_tensors(x, y), lambda x, y: torch.kron(x, y),
    lambda x, y: x.view_as(y), lambda x, y: F.scaled_dot_product_attention(x, y, y), lambda x, y: torch.addmm(x, y, y.t())]
WRITES = [
    lambda x: x.mul_(1.5), lambda x: x[0].fill_(0.25), lambda x: x.t_(), lambda x: x.copy_(x.flip(0)), lambda x: x.unsqueeze_(0),
    lambda x: x.numpy().__setitem__(..., 0.75), lambda x: x.zero_()]


def step(r, count):
    """One operation on a list of tensors, which gives some more."""
    i, j, d, kind = r.randrange(count), r.randrange(count), r.choice([0, 1, -1]), r.random()
    if kind < 0.55:
        f = r.choice(OF_ONE)
        return lambda pool: f(pool[i], d)
    if kind < 0.85:
        g = r.choice(OF_TWO)
        return lambda pool: g(pool[i], pool[j])
    h = r.choice(WRITES)
    return lambda pool: (h(pool[i]), ())[1]


def observed(program, arrays, gradients):
    """All that can be seen of what a program makes: kinds, layouts, histories, gradients, values."""
    leaves = [torch.tensor(a).requires_grad_(gradients and n % 2 == 0) for n, a in enumerate(arrays)]
    pool, seen = [x * 1.0 if x.requires_grad else x for x in leaves], []
    for f in program:
        try:
            out = f(pool)
        except (RuntimeError, IndexError, ValueError) as error:
            seen.append(type(error).__name__)
            continue
        pool += [o for o in (out if isinstance(out, (list, tuple)) else [out]) if isinstance(o, torch.Tensor)]
    seen += [(tuple(x.shape), x.stride(), x.dtype, x.requires_grad, x.is_leaf) for x in pool]
    tracked = [x for x in pool if x.requires_grad]
    total = sum((x * torch.arange(1, x.numel() + 1, dtype=x.dtype).reshape(x.shape)).sum().double() for x in tracked)
    if isinstance(total, torch.Tensor):
        try:
            found = torch.autograd.grad(total, [x for x in leaves if x.requires_grad], allow_unused=True)
            seen += [None if g is None else g.numpy().copy() for g in found]
        except RuntimeError as error:
            seen.append(str(error)[:60])
    return seen + [x.detach().numpy().copy() for x in pool]


def same(a, b):
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.shape == b.shape and np.allclose(a, b, rtol=1e-6 if a.dtype == np.float32 else 1e-9,
                                                                               atol=1e-9, equal_nan=True)
    return a == b


@pytest.mark.parametrize("seed", range(max(MANY, 60)))
def test_remembered_calls_are_calls(seed):
    r, rng = random.Random(seed), np.random.default_rng(seed)
    shapes = [r.choice(SHAPES) for _ in range(3)] if r.random() < 0.4 else [r.choice(SHAPES)] * 3
    program, gradients = [step(r, 3 + n) for n in range(r.randint(3, 9))], r.random() < 0.5
    program = [lambda pool, f=f: f(pool + pool[-1:] * 9) for f in program]  # some steps give nothing
    data = [[rng.random(s) for s in shapes] for _ in range(5)]
    with np.errstate(all="ignore"):
        for arrays in data[:4]:
            observed(program, arrays, gradients)
        got = observed(program, data[4], gradients)
        with engine.Lines():  # keeps lines, and so remembers nothing
            want = observed(program, data[4], gradients)
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert same(a, b), (a, b)
