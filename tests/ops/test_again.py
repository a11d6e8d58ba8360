"""Calls that are recorded again without running their operator's Python: nothing but time may tell that they are."""

import gc
import threading
import warnings

import numpy as np
import pytest

import diya as torch
from diya import engine
from diya.ops import again

F = torch.nn.functional


@pytest.fixture
def known(monkeypatch):
    """How often a call was recorded again."""
    seen = []
    original = again.Known.again
    monkeypatch.setattr(again.Known, "again", lambda self, tensors: (seen.append(self), original(self, tensors))[1])
    return seen


CALLS = {
    "layer_norm": lambda x: F.layer_norm(x, (4,)), "std": lambda x: x.std(0), "matmul": lambda x: x @ x.t(),
    "cat": lambda x: torch.cat([x, x * 2], 1), "stack": lambda x: torch.stack([x, x + 1]), "softmax": lambda x: F.softmax(x, -1),
    "normalize": F.normalize, "einsum": lambda x: torch.einsum("ij,kj->ik", x, x), "clamp": lambda x: x.clamp(min=0.25),
    "cosine_similarity": lambda x: F.cosine_similarity(x, x.flip(0)), "sort": lambda x: x.sort(0), "max": lambda x: x.max(1),
    "unbind": lambda x: x.unbind(1), "views": lambda x: x.reshape(2, -1)[0].unsqueeze(1), "triu": torch.triu,
    "masked_fill": lambda x: x.masked_fill(x > 0.5, -1.0)}


@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients_are_those_of_the_function(name, known):
    call = CALLS[name]
    w = torch.rand(3, 4, dtype=torch.float64)

    def run(x):
        x.requires_grad_()
        outs = call(x)
        outs = [o for o in (outs if isinstance(outs, tuple) else [outs]) if o.requires_grad]
        total = sum((o * torch.linspace(1, 2, o.numel(), dtype=o.dtype).reshape(o.shape)).sum() for o in outs)
        grad, = torch.autograd.grad(total, x, create_graph=True)
        second, = torch.autograd.grad((grad * w).sum(), x, allow_unused=True) if grad.requires_grad else (None,)
        return [o.tolist() for o in outs], [o.stride() for o in outs], [o.grad_fn.name() for o in outs], grad.tolist(), \
            [] if second is None else second.tolist()

    inputs = [torch.rand(3, 4, dtype=torch.float64) for _ in range(4)]
    for x in inputs[:3]:
        run(x.clone())
    count = len(known)
    got = run(inputs[3].clone())
    assert len(known) > count
    count = len(known)
    with engine.Lines():  # keeps lines, and so runs everything
        want = run(inputs[3].clone())
    assert len(known) == count
    for a, b in zip(got, want, strict=True):
        assert a == b or np.allclose(np.concatenate([np.ravel(v) for v in a]), np.concatenate([np.ravel(v) for v in b]), rtol=1e-12)


def test_a_call_that_looks_at_values_looks_each_time():
    for n in (2, 5, 3, 4):
        assert torch.nonzero(torch.ones(n)).shape == (n, 1)
        assert F.one_hot(torch.tensor([0, n])).shape == (2, n + 1)
        assert torch.repeat_interleave(torch.arange(2), torch.tensor([n, 1])).tolist() == [0] * n + [1]


def test_what_is_out_of_range_raises_at_the_call():
    table = torch.rand(4, 2)
    for _ in range(4):
        F.embedding(torch.tensor([0, 3]), table)
        F.cross_entropy(table, torch.tensor([0, 1, 1, 0]))
        table.index_select(0, torch.tensor([3, 0]))
    with pytest.raises(IndexError):
        F.embedding(torch.tensor([0, 4]), table)
    with pytest.raises(IndexError):
        F.cross_entropy(table, torch.tensor([0, 1, 2, 0]))
    with pytest.raises(IndexError):
        table.index_select(0, torch.tensor([3, 4]))
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        for v in (0.5, 0.5, 0.5, 1.5):
            F.binary_cross_entropy(torch.tensor([v]), torch.tensor([1.0]))


def test_random_numbers_are_drawn_each_time():
    x = torch.ones(64)
    drawn = [tuple(F.dropout(x, 0.5).tolist()) for _ in range(5)] + [tuple(torch.rand(3).tolist()) for _ in range(5)]
    assert len(set(drawn)) == 10


def test_what_others_may_write_to_is_read_each_time():
    a = np.ones((2, 3), np.float32)
    x = torch.from_numpy(a)
    for k in range(5):
        a[:] = k
        assert x.std().item() == 0 and torch.cat([x, x]).sum().item() == 12 * k and x.mean(0).tolist() == [k] * 3
    own = torch.ones(2, 3)
    for k in range(5):
        own.numpy()[:] = k
        assert torch.stack([own, own]).sum().item() == 12 * k


def test_writes_between_calls_are_seen():
    x = torch.zeros(3, 4)
    for k in range(6):
        view = x.unsqueeze(0)
        view[0, 0, 0] = k
        assert x[0, 0].item() == k and x.transpose(0, 1)[0, 0].item() == k and F.softmax(x, 1).sum().item() == pytest.approx(3)


def test_views_take_part_in_gradients_of_what_is_written_in_place():
    for _ in range(5):
        x = torch.ones(2, 2, requires_grad=True)
        y = x * 2
        row = y.unsqueeze(0)
        y.mul_(3)
        row.sum().backward()
        assert x.grad.tolist() == [[6, 6], [6, 6]] and row.grad_fn is not None
    for _ in range(5):
        x = torch.ones(3, requires_grad=True)
        y = F.softmax(x, 0)
        y.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_leaves_and_aliases_are_new_or_the_same_each_time():
    made = [torch.ones(2, requires_grad=True) for _ in range(5)]
    assert all(t.requires_grad and t.is_leaf for t in made) and len({id(t) for t in made}) == 5
    x = torch.ones(2, 3)
    assert all(x.contiguous() is x and x.to(torch.float32) is x and F.dropout(x, 0.5, training=False) is x for _ in range(5))
    assert all(x.t()._base is x and x.view(6)._is_view() for _ in range(5)) and not any(x.sum(0)._is_view() for _ in range(5))


def test_a_warning_comes_each_time():
    a, b = torch.ones(2, 1), torch.ones(2)
    for _ in range(5):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            F.mse_loss(a, b)
        assert len(seen) == 1 and seen[0].filename == __file__


def test_numbers_that_are_equal_are_told_apart():
    x = torch.tensor([1, 2, 3])
    for _ in range(4):
        assert (x ** 2).dtype is torch.int64 and (x ** 2.0).dtype is torch.float32
        assert torch.full((1,), True).dtype is torch.bool and torch.full((1,), 1).dtype is torch.int64
        assert torch.copysign(torch.ones(1), -0.0).item() == -1 and torch.copysign(torch.ones(1), 0.0).item() == 1


def test_modes_are_seen():
    x = torch.rand(3, 4, requires_grad=True)
    for _ in range(5):
        assert F.softmax(x, 1).requires_grad and x.t().requires_grad and x.std(0).requires_grad
        with torch.no_grad():
            assert not F.softmax(x, 1).requires_grad and not x.t().requires_grad and not x.std(0).requires_grad
        with torch.inference_mode():
            assert not x.std(0).requires_grad and x.t().is_inference()
    seen = []
    for _ in range(5):
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (seen.append(t), t)[1], lambda t: t):
            F.softmax(x, 1)
    assert len(seen) == 5


def test_threads_may_meet_in_a_call():
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for k in range(60):
            a = rng.random((3 + k % 3, 4)).astype(np.float32)
            x = torch.tensor(a).requires_grad_()
            y = F.layer_norm(x, (4,)) @ x.t()
            y.sum().backward()
            z = (a - a.mean(1, keepdims=True)) / np.sqrt(a.var(1, keepdims=True) + 1e-5)
            if not np.allclose(y.detach().numpy(), z @ a.T, atol=1e-4) or x.grad is None:
                wrong.append((seed, k))
    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong and engine.watching is None


def test_what_is_remembered_holds_no_memory():
    from diya.runtime import buffer

    def step():
        x = torch.rand(512, 512, requires_grad=True)
        y = F.smooth_l1_loss(F.layer_norm(x.std(0, keepdim=True) * x, (512,)), x.t().softmax(1))
        y.backward()
        return x.grad.sum().item()
    gc.collect()
    before = buffer.stats()["allocated_bytes.current"]
    for _ in range(6):
        step()
    gc.collect()
    assert buffer.stats()["allocated_bytes.current"] - before < 1 << 20


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(again, "MAX_WEIGHT", 2000)
    for n in range(1, 120):
        x = torch.rand(n, 4)
        for _ in range(4):
            y = F.layer_norm(x, (4,))
        assert y.shape == (n, 4)
    assert again._weight <= 2000 and sum(len(calls) for calls in again._memories) < 2000
