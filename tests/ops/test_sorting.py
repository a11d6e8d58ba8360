"""Sorting, selecting and sets against definitions that a page of numpy holds."""

from __future__ import annotations

import numpy as np
import pytest

import diya as torch

RNG = np.random.default_rng(3)
NAN, INF = float("nan"), float("inf")
SPECIAL = np.array([0.0, -0.0, NAN, INF, -INF, 1.0, -1.0, 5e-324, -NAN, 0.0, -0.0, 1.0])
ARRAYS = {
    "float32": RNG.standard_normal((3, 70)).astype(np.float32),
    "float32 special": SPECIAL.astype(np.float32)[RNG.integers(0, 12, (4, 50))],
    "float64": RNG.standard_normal((2, 40)),
    "float64 ties": RNG.integers(0, 4, (5, 33)).astype(np.float64),
    "float64 special": SPECIAL[RNG.integers(0, 12, (4, 50))],
    "float16": RNG.integers(-3, 3, (2, 30)).astype(np.float16),
    "int64": RNG.integers(-9, 9, (3, 50)),
    "int64 extremes": RNG.choice(np.array([2**63 - 1, -2**63, 0, -1, 1]), (3, 50)),
    "int32": RNG.integers(-2**31, 2**31, (3, 50)).astype(np.int32),
    "int32 extremes": RNG.choice(np.array([2**31 - 1, -2**31, 0]), (3, 50)).astype(np.int32),
    "int8": RNG.integers(-128, 128, (2, 300)).astype(np.int8),
    "uint8": RNG.integers(0, 256, (2, 300)).astype(np.uint8),
    "bool": RNG.integers(0, 2, (2, 30)).astype(bool),
}


def stable(a: np.ndarray, descending: bool) -> np.ndarray:
    """The permutation of each row; NaN is the largest. Ranks, so that equal elements keep their order."""
    out = np.empty(a.shape, np.int64)
    for at in np.ndindex(*a.shape[:-1]):
        row = a[at].tolist()
        out[at] = sorted(range(len(row)), key=lambda i: (row[i] != row[i], row[i] if row[i] == row[i] else 0), reverse=False) \
            if not descending else sorted(range(len(row)), key=lambda i: (row[i] == row[i], -row[i] if row[i] == row[i] else 0))
    return out


def same(got, want: np.ndarray) -> None:
    np.testing.assert_array_equal(got.numpy(), want, strict=True)
    if want.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(got.numpy())[want == 0], np.signbit(want)[want == 0])


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("descending", [False, True])
def test_sort_is_stable(name, descending):
    a = ARRAYS[name]
    want = stable(a, descending)
    values, indices = torch.tensor(a).sort(descending=descending, stable=True)
    same(indices, want)
    same(values, np.take_along_axis(a, want, -1))
    same(torch.tensor(a).argsort(descending=descending, stable=True), want)
    turned = torch.tensor(np.ascontiguousarray(a.T))
    same(turned.sort(0, descending=descending, stable=True)[0], np.take_along_axis(a, want, -1).T)
    same(turned.argsort(0, descending=descending, stable=True), want.T)


@pytest.mark.parametrize("name", [n for n in ARRAYS if n != "bool"])
@pytest.mark.parametrize("largest", [False, True])
def test_topk_and_kthvalue(name, largest):
    a = ARRAYS[name]
    for k in (0, 1, 7, a.shape[1]):
        want = stable(a, largest)[:, :k]
        values, indices = torch.tensor(a).topk(k, largest=largest)
        np.testing.assert_array_equal(values.numpy(), np.take_along_axis(a, want, -1))
        same(values, np.take_along_axis(a, indices.numpy(), -1))
        assert all(len(set(row)) == k for row in indices.tolist())
    at = stable(a, False)[:, 4]
    values, indices = torch.tensor(a).kthvalue(5, -1)
    np.testing.assert_array_equal(values.numpy(), np.take_along_axis(a, at[:, None], -1)[:, 0])
    same(values, np.take_along_axis(a, indices.numpy()[:, None], -1)[:, 0])


def test_of_equal_elements_those_come_first_that_do_in_pytorch():
    """PyTorch's answers, which follow from each step of the C++ library's algorithms."""
    x = torch.tensor(np.arange(40) * 7 % 5)
    assert x.sort()[1].tolist() == x.argsort().tolist() == [
        10, 20, 25, 15, 30, 35, 5, 0, 33, 8, 28, 13, 3, 38, 23, 18, 31, 1, 36, 26, 21, 6, 16, 11, 39, 19, 4, 34, 9, 29, 14, 24,
        12, 27, 32, 7, 17, 37, 2, 22]
    assert x.sort(descending=True)[1].tolist() == [
        17, 2, 37, 22, 7, 32, 27, 12, 9, 24, 14, 29, 19, 34, 4, 39, 21, 1, 26, 31, 36, 16, 11, 6, 18, 23, 38, 13, 28, 3, 8, 33,
        0, 20, 5, 35, 10, 30, 15, 25]
    assert x.topk(6)[1].tolist() == [22, 12, 27, 32, 7, 37]
    assert x.topk(6, largest=False)[1].tolist() == [15, 35, 30, 10, 25, 20]
    assert torch.tensor(np.arange(300) * 7 % 5).topk(4)[1].tolist() == [12, 7, 17, 2]
    assert (x.kthvalue(20)[1].item(), x.mode()[1].item(), x.median(0)[1].item()) == (11, 0, 16)


@pytest.mark.parametrize("kind", ["plain", "ties", "nan"])
def test_topk_of_long_rows(kind):
    a = RNG.standard_normal((2, 9000)).astype(np.float32)
    if kind == "ties":
        a = np.round(a)
    if kind == "nan":
        a[RNG.random(a.shape) < 0.1] = NAN
    for largest in (False, True):
        same(torch.tensor(a).topk(50, largest=largest)[1], stable(a, largest)[:, :50])


def test_large_sorts_of_each_path():
    n = 1 << 17
    wide = RNG.integers(-2**63, 2**63 - 1, n)
    for a in (RNG.standard_normal(n).astype(np.float32), RNG.standard_normal(n), np.round(RNG.standard_normal(n), 2), wide,
              wide % 1000):
        values, indices = torch.tensor(a).sort()
        want = np.argsort(a, kind="stable")
        same(indices, want)
        same(values, a[want])


def test_gradient_of_sort_reaches_where_values_came_from():
    x = torch.tensor([2.0, 1.0, 2.0, 0.0], requires_grad=True)
    values, indices = x.sort()
    (values * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert x.grad.tolist() == [3.0, 2.0, 4.0, 1.0]
    assert indices.tolist() == [3, 1, 0, 2]
    x.grad = None
    x.topk(2)[0].sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 1.0, 0.0]


def test_numpy_memory_is_read_when_the_operator_is_called():
    a = RNG.standard_normal(1 << 19).astype(np.float32)
    x = torch.from_numpy(a)
    want = np.sort(a), np.argsort(a, kind="stable")
    values, order, top = x.sort()[0], x.argsort(), x.topk(3)[0]
    a[:] = 0
    same(values, want[0])
    same(order, want[1])
    same(top, want[0][-3:][::-1].copy())


@pytest.mark.parametrize("name", ["int64", "float64 ties", "int8", "bool"])
def test_mode_takes_the_smallest_of_the_commonest(name):
    a = ARRAYS[name]
    values, indices = torch.tensor(a).mode()
    for row, value, index in zip(a, values.numpy(), indices.numpy(), strict=True):
        found, counts = np.unique(row, return_counts=True)
        assert value == found[counts.argmax()]
        assert row[index] == value


@pytest.mark.parametrize("name", ["int64", "float64 special", "float64 ties"])
def test_running_extremes(name):
    a = ARRAYS[name]
    for run, better in ((torch.cummax, np.greater_equal), (torch.cummin, np.less_equal)):
        values, indices = run(torch.tensor(a), 1)
        for r, row in enumerate(a):
            best = 0
            for i, x in enumerate(row):
                if x != x or row[best] == row[best] and better(x, row[best]):
                    best = i
                assert indices[r, i].item() == best
                np.testing.assert_equal(values[r, i].item(), row[best])


@pytest.mark.parametrize("name", [n for n in ARRAYS if "special" not in n])
def test_unique(name):
    a = ARRAYS[name]
    values, inverse, counts = torch.tensor(a).unique(return_inverse=True, return_counts=True)
    want = np.unique(a)
    same(values, want)
    same(torch.tensor(a).unique(), want)
    same(torch.tensor(a), want[inverse.numpy()])
    same(counts, np.bincount(inverse.numpy().ravel()))


def test_every_nan_is_unique():
    assert torch.tensor([NAN, 1.0, NAN, 1.0]).unique().numel() == 3
    assert torch.tensor([]).unique(return_counts=True)[1].tolist() == []
