"""Datasets, samplers, collation: PyTorch's items, orders and errors."""

import collections
import json
import lzma
import pathlib
import warnings

import numpy as np
import pytest

import diya as torch
from diya.utils import data
from diya.utils.data._utils.collate import collate, collate_tensor_fn, default_collate_fn_map

RECORDED = json.loads(lzma.decompress(
    (pathlib.Path(__file__).parent.parent / "random" / "recorded.json.xz").read_bytes()))["values"]


class Stream(data.IterableDataset):
    def __init__(self, *items):
        self.items = items

    def __iter__(self):
        return iter(self.items)

    def __len__(self):
        return len(self.items)


Point = collections.namedtuple("Point", "x y")


# ---- datasets


def test_tensor_dataset():
    ds = data.TensorDataset(torch.arange(4), torch.arange(8).reshape(4, 2))
    assert len(ds) == 4 and ds[1][0].item() == 1 and ds[1][1].tolist() == [2, 3]
    assert [t.tolist() for t in ds[1:3]] == [[1, 2], [[2, 3], [4, 5]]]
    with pytest.raises(AssertionError, match="Size mismatch"):
        data.TensorDataset(torch.arange(4), torch.arange(3))


def test_concat_and_chain():
    ds = data.Subset(range(3), [0, 1, 2]) + data.Subset(range(10, 12), [0, 1])
    assert [ds[i] for i in range(-5, 5)] == [0, 1, 2, 10, 11] * 2 and ds.cumulative_sizes == [3, 5]
    with pytest.raises(ValueError, match="absolute value of index"):
        ds[-6]
    with pytest.raises(AssertionError, match="empty iterable"):
        data.ConcatDataset([])
    with pytest.raises(AssertionError, match="does not support IterableDataset"):
        data.ConcatDataset([Stream(1)])
    chain = Stream(1, 2) + Stream(3)
    assert list(chain) == [1, 2, 3] and len(chain) == 3
    with pytest.raises(AssertionError, match="only supports IterableDataset"):
        list(data.ChainDataset([range(3)]))


def test_stack():
    assert data.StackDataset(range(3), range(3, 6))[1] == (1, 4)
    ds = data.StackDataset(a=range(3), b=data.Subset(range(9), [8, 7, 6]))
    assert ds[2] == {"a": 2, "b": 6} and len(ds) == 3
    assert ds.__getitems__([0, 2]) == [{"a": 0, "b": 8}, {"a": 2, "b": 6}]
    for arguments, named in (((), {}), ((range(2), range(3)), {}), ((range(2),), {"a": range(2)})):
        with pytest.raises(ValueError):
            data.StackDataset(*arguments, **named)


def test_subset_uses_getitems_and_guards_its_subclasses():
    class Many(data.Dataset):
        def __getitems__(self, indices):
            return [-i for i in indices]

    assert data.Subset(Many(), [5, 6, 7]).__getitems__([0, 2]) == [-5, -7]

    class Half(data.Subset):
        def __getitem__(self, i):
            return 0

    with pytest.raises(NotImplementedError, match="__getitems__"):
        Half(range(3), [0])
    with pytest.raises(NotImplementedError):
        data.Dataset()[0]


def test_random_split():
    for seed, expected in RECORDED["random_split(range(10),[7,3]) order"].items():
        torch.manual_seed(int(seed))
        parts = data.random_split(range(10), [7, 3])
        assert [i for part in parts for i in part] == expected and [len(p) for p in parts] == [7, 3]
    parts = data.random_split(range(11), [0.5, 0.25, 0.25], generator=torch.Generator().manual_seed(0))
    assert [len(p) for p in parts] == [6, 3, 2] and sorted(i for p in parts for i in p) == list(range(11))
    with pytest.raises(ValueError, match="Sum of input lengths"):
        data.random_split(range(10), [3, 3])
    with pytest.raises(ValueError, match="Fraction at index"):
        data.random_split(range(10), [1.5, -0.5])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        data.random_split(range(1), [0.9, 0.1])


# ---- samplers


def test_samplers():
    generator = torch.Generator().manual_seed(0)
    assert list(data.SequentialSampler("abc")) == [0, 1, 2]
    assert list(data.RandomSampler(range(10), generator=generator)) == RECORDED["randperm(10)"]["0"]
    assert sorted(data.SubsetRandomSampler([3, 5, 7])) == [3, 5, 7]
    twice = list(data.RandomSampler(range(4), num_samples=10))
    assert len(twice) == 10 and sorted(twice[:4]) == sorted(twice[4:8]) == [0, 1, 2, 3]
    drawn = list(data.RandomSampler(range(4), replacement=True, num_samples=70))
    assert len(drawn) == 70 and set(drawn) == {0, 1, 2, 3}
    assert set(data.WeightedRandomSampler([0, 1.0, 0, 1.0], 20)) == {1, 3}
    assert sorted(data.WeightedRandomSampler([1, 2, 3.0], 3, replacement=False)) == [0, 1, 2]
    assert list(data.BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert list(data.BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert len(data.BatchSampler(range(5), 2, False)) == 3 and len(data.BatchSampler(range(5), 2, True)) == 2


def test_a_pass_with_the_default_generator_draws_one_seed():
    torch.manual_seed(0)
    first = list(data.RandomSampler(range(100)))
    after = torch.rand(1).item()
    torch.manual_seed(0)
    seed = torch.empty((), dtype=torch.int64).random_().item()
    assert first == torch.randperm(100, generator=torch.Generator().manual_seed(seed)).tolist()
    assert torch.rand(1).item() == after


@pytest.mark.parametrize(("make", "error"), [
    (lambda: data.RandomSampler([]), ValueError),
    (lambda: data.RandomSampler([1], replacement=1), TypeError),
    (lambda: data.RandomSampler([1], num_samples=0), ValueError),
    (lambda: data.BatchSampler([1], 0, False), ValueError),
    (lambda: data.BatchSampler([1], True, False), ValueError),
    (lambda: data.BatchSampler([1], 1, 0), ValueError),
    (lambda: data.WeightedRandomSampler([1.0], 0), ValueError),
    (lambda: data.WeightedRandomSampler([[1.0]], 1), ValueError),
    (lambda: data.WeightedRandomSampler([1.0], 1, 1), ValueError),
    (lambda: data.DistributedSampler(range(3), 2, 2), ValueError),
])
def test_sampler_errors(make, error):
    with pytest.raises(error):
        make()


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 10, 12])
def test_distributed_sampler_covers_the_dataset(n, drop_last):
    samplers = [data.DistributedSampler(range(n), 3, rank, seed=4, drop_last=drop_last) for rank in range(3)]
    for epoch in (0, 1):
        for s in samplers:
            s.set_epoch(epoch)
        shares = [list(s) for s in samplers]
        assert [len(x) for x in shares] == [len(s) for s in samplers] == [n // 3 if drop_last else -(-n // 3)] * 3
        whole = [i for share in zip(*shares, strict=True) for i in share]
        order = torch.randperm(n, generator=torch.Generator().manual_seed(4 + epoch)).tolist()
        assert whole == (order * 3)[: len(whole)]


# ---- collation


def test_default_collate():
    def item(i):
        return {"a": np.float32(i), "b": [i, np.arange(2) + i], "p": Point(i, str(i)), "t": torch.full((2,), float(i)),
                "f": 1.5, "s": b"x", "g": True, "h": np.ones((1, 2), np.float16)}

    out = data.default_collate([item(0), item(3)])
    assert out["a"].dtype == torch.float32 and out["a"].tolist() == [0, 3]
    assert out["b"][0].dtype == torch.int64 and out["b"][1].tolist() == [[0, 1], [3, 4]]
    assert isinstance(out["p"], Point) and out["p"].x.tolist() == [0, 3] and out["p"].y == ("0", "3")
    assert out["t"].tolist() == [[0, 0], [3, 3]] and out["f"].dtype == torch.float64
    assert out["s"] == [b"x", b"x"] and out["g"].dtype == torch.bool and out["h"].dtype == torch.float16
    assert [t.tolist() for t in data.default_collate([(1, 2), (3, 4)])] == [[1, 3], [2, 4]]
    assert data.default_collate([torch.ones(2, dtype=torch.bfloat16)] * 2).dtype == torch.bfloat16


def test_collate_keeps_gradients():
    x = torch.ones(2, requires_grad=True)
    data.default_collate([x * 2, x * 3]).sum().backward()
    assert x.grad.tolist() == [5, 5]


def test_collate_errors():
    with pytest.raises(TypeError, match="found <class 'object'>"):
        data.default_collate([object()])
    with pytest.raises(TypeError, match="numpy arrays"):
        data.default_collate([np.array(["a"])])
    with pytest.raises(RuntimeError, match="equal size"):
        data.default_collate([[1], [1, 2]])
    with pytest.raises(RuntimeError, match="equal size"):
        data.default_collate([torch.ones(2), torch.ones(3)])


def test_collate_functions_of_ones_own():
    class Word:
        def __init__(self, text):
            self.text = text

    functions = {**default_collate_fn_map, Word: lambda batch, *, collate_fn_map: " ".join(w.text for w in batch)}
    assert collate([{"w": Word("a")}, {"w": Word("b")}], collate_fn_map=functions) == {"w": "a b"}


def test_collate_function_for_tensors_is_asked_for_rows_of_tensors_too(monkeypatch):
    def doubled(batch, *, collate_fn_map=None):
        return collate_tensor_fn(batch) * 2

    monkeypatch.setitem(default_collate_fn_map, torch.Tensor, doubled)
    (batch,) = data.DataLoader(data.TensorDataset(torch.arange(3)), batch_size=3)
    assert batch[0].tolist() == [0, 2, 4]


def test_default_convert():
    out = data.default_convert([1, "a", np.arange(2), {"k": (np.float32(1), 2)}, Point(np.ones(1), 2)])
    assert out[0] == 1 and out[1] == "a" and out[2].tolist() == [0, 1]
    assert out[3]["k"][0].dtype == torch.float32 and isinstance(out[4], Point)


# ---- the loader in this process


def test_recorded_order():
    for seed, expected in RECORDED["DataLoader(arange(20), batch 6, shuffle) order"].items():
        torch.manual_seed(int(seed))
        batches = list(data.DataLoader(torch.arange(20), batch_size=6, shuffle=True))
        assert [i for b in batches for i in b.tolist()] == expected and [len(b) for b in batches] == [6, 6, 6, 2]


def test_a_generator_of_ones_own_gives_the_base_seed_then_the_order():
    generator = torch.Generator().manual_seed(3)
    (batch,) = data.DataLoader(torch.arange(10), batch_size=10, shuffle=True, generator=generator)
    twin = torch.Generator().manual_seed(3)
    torch.empty((), dtype=torch.int64).random_(generator=twin)
    assert batch.tolist() == torch.randperm(10, generator=twin).tolist()


@pytest.mark.parametrize("make", [
    lambda x, y: data.TensorDataset(x, y),
    lambda x, y: data.Subset(data.Subset(data.TensorDataset(x, y), list(range(7))), [6, 5, 4, 3, 2, 1, 0]),
])
def test_rows_of_tensors_are_gathered_as_they_would_be_collated(make):
    x, y = torch.rand(9, 2, 3), torch.arange(9)
    ds = make(x, y)
    for index in ([2, 0, 5], [-1], [1, 1]):
        (got,) = data.DataLoader(ds, batch_sampler=[index])
        expected = data.default_collate([ds[i] for i in index])
        assert [g.tolist() for g in got] == [e.tolist() for e in expected]
        assert [g.dtype for g in got] == [torch.float32, torch.int64]
    got[0].zero_()  # a copy
    assert x.sum().item() > 0
    with pytest.raises(IndexError):
        list(data.DataLoader(ds, batch_sampler=[[9]]))


def test_options():
    x = range(10)
    assert [b.tolist() for b in data.DataLoader(x, batch_size=4, drop_last=True)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert list(data.DataLoader(x, batch_size=None)) == list(x)
    assert [b.tolist() for b in data.DataLoader(x, sampler=[4, 2, 0], batch_size=2)] == [[4, 2], [0]]
    assert [b.tolist() for b in data.DataLoader(x, batch_sampler=[[1], [2, 3]])] == [[1], [2, 3]]
    assert list(data.DataLoader(x, batch_size=5, collate_fn=sum)) == [10, 35]
    assert len(data.DataLoader(x, batch_size=3)) == 4 and len(data.DataLoader(x, batch_size=3, drop_last=True)) == 3
    assert [b.tolist() for b in data.DataLoader(Stream(1, 2, 3), batch_size=2)] == [[1, 2], [3]]
    assert [b.tolist() for b in data.DataLoader(Stream(1, 2, 3), batch_size=2, drop_last=True)] == [[1, 2]]
    assert list(data.DataLoader(Stream(1, 2, 3), batch_size=None)) == [1, 2, 3]
    assert len(data.DataLoader(Stream(1, 2, 3), batch_size=2)) == 2
    assert [b.tolist() for b in data.DataLoader(x, batch_size=5, pin_memory=True)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    loader = data.DataLoader(x, batch_size=3)
    with pytest.raises(ValueError, match="should not be set after DataLoader is initialized"):
        loader.batch_size = 4
    loader.collate_fn = list
    assert next(iter(loader)) == [0, 1, 2]


@pytest.mark.parametrize(("options", "message"), [
    ({"num_workers": -1}, "num_workers option should be non-negative"),
    ({"timeout": -1}, "timeout option"),
    ({"prefetch_factor": 2}, "prefetch_factor option could only"),
    ({"num_workers": 1, "prefetch_factor": -1}, "prefetch_factor option should be non-negative"),
    ({"persistent_workers": True}, "persistent_workers option needs"),
    ({"batch_size": None, "drop_last": True}, "mutually exclusive with drop_last"),
    ({"batch_size": 0}, "batch_size should be a positive integer"),
    ({"shuffle": True, "sampler": [1]}, "mutually exclusive with shuffle"),
    ({"batch_sampler": [[1]], "batch_size": 2}, "batch_sampler option is mutually exclusive"),
    ({"multiprocessing_context": "spawn"}, "can only be used with multi-process loading"),
    ({"num_workers": 1, "multiprocessing_context": "thread"}, "valid start method"),
])
def test_options_that_contradict(options, message):
    with pytest.raises(ValueError, match=message):
        data.DataLoader(range(3), **options)


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": [1]}, {"batch_sampler": [[1]]}])
def test_streams_have_no_order(options):
    with pytest.raises(ValueError, match="DataLoader with IterableDataset: expected unspecified"):
        data.DataLoader(Stream(1), **options)


def test_a_stream_longer_than_it_said_warns():
    class Long(Stream):
        def __len__(self):
            return 1

    loader = data.DataLoader(Long(1, 2), batch_size=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(loader) == [1, 2]  # nobody asked for the length
    len(loader)
    with pytest.warns(UserWarning, match="reported to be 1"):
        list(loader)
