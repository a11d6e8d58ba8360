"""t[...] against numpy through its quick paths and the parsing one; bounds; memory that numpy shares."""

from __future__ import annotations

import numpy as np
import pytest

import diya as torch
from diya.engine import Tier

RNG = np.random.default_rng(11)
KEYS = [0, -1, 2, slice(1, 3), slice(None, -1), slice(3, 1), slice(0, 9, 2), slice(None), Ellipsis, None, True, (1, 2),
        (slice(None), 1), "index", "negative", "matrix", "empty", "zero-dim", "mask", "rows", "none set"]


def key_of(name, shape):
    """The key as numpy takes it."""
    if not isinstance(name, str):
        return name
    n = shape[0]
    return {"index": np.array([2, 0, 2]), "negative": np.array([-1, 0, -n]), "matrix": RNG.integers(0, n, (2, 3)),
            "empty": np.zeros(0, np.int64), "zero-dim": np.array(1), "mask": RNG.random(shape) < 0.5,
            "rows": RNG.random(n) < 0.5, "none set": np.zeros(shape, bool)}[name]


@pytest.mark.parametrize("tier", [0, 1])
@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("turned", [False, True])
def test_getitem(key, turned, tier):
    a = RNG.standard_normal((4, 5)).astype(np.float32)
    if turned:
        a = np.ascontiguousarray(a.T)
    x = torch.tensor(a)
    if turned:
        a, x = a.T, x.T
    key = key_of(key, a.shape)
    asked = torch.tensor(key) if isinstance(key, np.ndarray) else key
    for known in (True, False):
        with Tier(tier):
            y = x if known else x + 0
            np.testing.assert_array_equal(y[asked].numpy(), a[key])
            if isinstance(asked, torch.Tensor) and asked.dtype == torch.int64:
                np.testing.assert_array_equal(y[asked + 0].numpy(), a[key])


def test_rows_of_a_view_and_of_a_part():
    a = np.arange(24.0).reshape(4, 6)
    x = torch.tensor(a)
    for view, same in ((x[1:], a[1:]), (x[:, 2:5], a[:, 2:5]), (x[::2, ::2], a[::2, ::2])):
        mask = same > same.mean()
        np.testing.assert_array_equal(view[torch.tensor(mask)].numpy(), same[mask])
        np.testing.assert_array_equal(view[1].numpy(), same[1])
        np.testing.assert_array_equal(view[torch.tensor(1)].numpy(), same[1])
    part = torch.arange(10)[3:]
    np.testing.assert_array_equal(x.reshape(-1)[part].numpy(), a.reshape(-1)[3:10])


def test_an_index_by_tensor_is_a_view_where_it_is_a_number():
    x = torch.zeros(3, 2)
    x[torch.tensor(1)] += 1
    assert x.tolist() == [[0, 0], [1, 1], [0, 0]]
    y = x[torch.tensor([1])]
    y += 1
    assert x.sum().item() == 2


@pytest.mark.parametrize("tier", [0, 1])
def test_bounds(tier):
    x = torch.arange(6.0).reshape(3, 2)
    for bad in (torch.tensor([0, 3]), torch.tensor([-4]), torch.tensor(3), 3, -4):
        with Tier(tier), pytest.raises(IndexError, match="out of bounds for dimension 0 with size 3"):
            x[bad]
    for bad in (torch.tensor([0, 2]) + 1, torch.tensor([-3]) - 1):
        with Tier(tier), pytest.raises(IndexError):
            x[bad].numpy()
    good = torch.tensor([0, 2])
    assert x[good].shape == (2, 2)
    with pytest.raises(IndexError):
        x[:2][good]           # found to be right for another size
    good += 1
    with pytest.raises(IndexError):
        x[good].numpy()       # and before it was changed
    shared = np.array([0, 1])
    index = torch.from_numpy(shared)
    assert x[index].shape == (2, 2)
    shared[0] = 7
    with pytest.raises(IndexError):
        x[index]
    for call in (lambda: torch.gather(x, 0, torch.tensor([[-1, 0]])), lambda: x.scatter(0, torch.tensor([[-1, 0]]), 1.0),
                 lambda: x.index_add(0, torch.tensor([3]), torch.ones(1, 2))):
        with pytest.raises(IndexError):
            call()


def test_numpy_memory_is_read_when_the_operator_is_called():
    n = 1 << 19
    a, i = RNG.standard_normal(n).astype(np.float32), RNG.integers(0, n, n)
    b, j = a.copy(), i.copy()
    x, index = torch.from_numpy(a), torch.from_numpy(i)
    taken, gathered, added = x[index], x.gather(0, index), x.index_add(0, index, x)
    put, scattered = x.scatter(0, index, x), torch.zeros(n).scatter_add(0, index, x)
    chosen, running = x[x > 0], x.cumsum(0)
    a[:], i[:] = 0, 0
    np.testing.assert_array_equal(taken.numpy(), b[j])
    np.testing.assert_array_equal(gathered.numpy(), b[j])
    counted = np.bincount(j, b, n)
    np.testing.assert_allclose(added.numpy(), b + counted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(scattered.numpy(), counted, rtol=1e-4, atol=1e-4)
    last = b.copy()
    last[j] = b
    np.testing.assert_array_equal(put.numpy(), last)
    np.testing.assert_array_equal(chosen.numpy(), b[b > 0])
    np.testing.assert_allclose(running.numpy(), np.cumsum(b, dtype=np.float64), rtol=1e-6, atol=1e-4)


def test_gradients_keep_the_index_that_was_used():
    a = np.array([0, 2, 2])
    index, x = torch.from_numpy(a), torch.zeros(4, requires_grad=True)
    y = x[index].sum() + x.gather(0, index).sum()
    a[:] = 3
    y.backward()
    assert x.grad.tolist() == [2, 0, 4, 0]


def test_short_lists_of_keys_are_tuples():
    x = torch.arange(24).reshape(2, 3, 4)
    assert torch.equal(x[[slice(0, 1), slice(1, 3)]], x[0:1, 1:3]) and torch.equal(x[[..., 0]], x[..., 0])
    assert torch.equal(x[[[0, 1], [1, 2]]], x[[0, 1], [1, 2]]) and torch.equal(x[[0, 1]], x)
