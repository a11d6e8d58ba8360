"""The loader's worker processes: order, seeds, errors, death, and what is left behind (nothing)."""

import gc
import multiprocessing
import os
import pathlib
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import diya as torch
from diya.utils import data

POSIX = os.name == "posix"
fork = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the platform has no fork")
posix = pytest.mark.skipif(not POSIX, reason="sends POSIX signals")


class Calls(data.Dataset):
    """Items made by a function of the index."""

    def __init__(self, function, n=12):
        self.function, self.n = function, n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return self.function(i)


class Shards(data.IterableDataset):
    def __iter__(self):
        info = data.get_worker_info()
        if info is None:
            return iter(range(7))
        return iter(range(10 * info.id, 10 * info.id + 7 - 3 * info.id))


def same(i):
    return i


def where(i):
    info = data.get_worker_info()
    return (i, info.id, info.num_workers, info.seed, random.random(), np.random.rand(), torch.rand(1).item())


def images(i):
    return torch.full((3, 64, 64), float(i)), {"index": i, "mask": np.arange(5) < i}, f"name {i}"


def five_fails(i):
    if i == 5:
        raise KeyError("five")
    return i


def five_is_killed(i):
    if i == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return i


def five_exits(i):
    if i == 5:
        os._exit(3)
    return i


def sleeps(i):
    time.sleep(60)


def plain(batch):
    return batch


@pytest.fixture(autouse=True)
def nothing_left():
    shared = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
    threads = threading.active_count()
    yield
    gc.collect()
    deadline = time.monotonic() + 10
    while (multiprocessing.active_children() or threading.active_count() > threads) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not multiprocessing.active_children()
    assert threading.active_count() <= threads
    if os.path.isdir("/dev/shm"):
        assert not [name for name in set(os.listdir("/dev/shm")) - shared if "diya" in name]


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_batches_are_those_of_one_process(workers):
    def run(n):
        generator = torch.Generator().manual_seed(1)
        loader = data.DataLoader(Calls(images), batch_size=5, shuffle=True, generator=generator, num_workers=n)
        return [(x.tolist(), d["index"].tolist(), d["mask"].tolist(), names) for x, d, names in loader]

    assert run(workers) == run(0)


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_start_methods(method):
    loader = data.DataLoader(data.TensorDataset(torch.arange(5), torch.rand(5, 2)), batch_size=2, num_workers=1,
                             multiprocessing_context=method)
    assert [x.tolist() for x, _ in loader] == [[0, 1], [2, 3], [4]]


@fork
def test_dtypes_and_gradients_cross():
    def items(i):
        return [torch.ones(2, dtype=d) for d in (torch.bfloat16, torch.float16, torch.bool, torch.complex64)] + [
            torch.empty(0, 3), torch.tensor(3), torch.nn.Parameter(torch.ones(1))]

    (out,) = data.DataLoader(Calls(items, 1), batch_size=None, num_workers=1)
    assert [t.dtype for t in out[:4]] == [torch.bfloat16, torch.float16, torch.bool, torch.complex64]
    assert out[4].shape == (0, 3) and out[5].item() == 3 and out[6].requires_grad
    assert isinstance(out[6], torch.nn.Parameter)
    out[0].add_(1)  # memory of its own, to write to
    assert out[0].tolist() == [2, 2]


def test_seeds():
    def run():
        loader = data.DataLoader(Calls(where), batch_size=None, num_workers=2,
                                 generator=torch.Generator().manual_seed(7))
        return list(loader)

    samples = run()
    base = torch.empty((), dtype=torch.int64).random_(generator=torch.Generator().manual_seed(7)).item()
    assert [s[:4] for s in samples] == [[i, i % 2, 2, base + i % 2] for i in range(12)]
    assert samples[0][4] == random.Random(base).random()
    assert samples[0][6] == torch.rand(1, generator=torch.Generator().manual_seed(base)).item()
    assert len({s[5] for s in samples}) == 12 and run() == samples
    assert data.get_worker_info() is None


@fork
def test_worker_init():
    def init(worker):
        random.seed(worker + 100)
        data.get_worker_info().dataset.n = worker

    loader = data.DataLoader(Calls(lambda i: random.random(), 2), batch_size=None, num_workers=2, worker_init_fn=init,
                             multiprocessing_context="fork")
    assert list(loader) == [random.Random(100).random(), random.Random(101).random()]


@pytest.mark.parametrize(("options", "expected"), [
    ({"batch_size": 3}, [[0, 1, 2], [10, 11, 12], [3, 4, 5], [13], [6]]),
    ({"batch_size": 3, "drop_last": True}, [[0, 1, 2], [10, 11, 12], [3, 4, 5]]),
    ({"batch_size": None}, [0, 10, 1, 11, 2, 12, 3, 13, 4, 5, 6]),
])
def test_streams(options, expected):
    loader = data.DataLoader(Shards(), num_workers=2, persistent_workers=True, **options)
    for _ in range(2):
        assert [b if isinstance(b, int) else b.tolist() for b in loader] == expected


def test_persistent_workers():
    loader = data.DataLoader(Calls(where), batch_size=None, num_workers=2, persistent_workers=True, shuffle=True)
    first = list(loader)
    processes = [p.pid for p in loader._iterator._pool.processes]
    batches = iter(loader)
    next(batches)  # and no more: what is under way is dropped
    second = list(loader)
    assert processes == [p.pid for p in loader._iterator._pool.processes]
    assert sorted(s[0] for s in second) == list(range(12)) and [s[0] for s in first] != [s[0] for s in second]
    assert not {s[4] for s in first} & {s[4] for s in second}
    os.kill(processes[0], signal.SIGTERM)
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        for _ in range(3):
            list(loader)
    assert len(list(loader)) == 12  # with new workers


@fork
def test_out_of_order():
    def slow_first(i):
        time.sleep(0.5 if i == 0 else 0)
        return i

    loader = data.DataLoader(Calls(slow_first), batch_size=None, num_workers=2, in_order=False,
                             multiprocessing_context="fork")
    items = list(loader)
    assert sorted(items) == list(range(12)) and items[0] != 0


def test_iterators_that_are_dropped_end_their_workers():
    batches = iter(data.DataLoader(Calls(same), num_workers=2, prefetch_factor=3))
    processes = batches._pool.processes
    next(batches)
    del batches
    assert not any(p.is_alive() for p in processes)


def test_exceptions_carry_the_workers_traceback():
    batches = iter(data.DataLoader(Calls(five_fails), batch_size=2, num_workers=2))
    assert next(batches).tolist() == [0, 1] and next(batches).tolist() == [2, 3]
    with pytest.raises(KeyError) as caught:
        next(batches)
    text = str(caught.value)
    assert text.startswith("Caught KeyError in DataLoader worker process 0.\nOriginal Traceback (most recent")
    assert "in five_fails" in text and "KeyError: 'five'" in text
    assert next(batches).tolist() == [6, 7]  # the others are not concerned


@fork
def test_exceptions_that_cannot_be_made_again():
    class Odd(Exception):
        def __init__(self, a, b):
            super().__init__(a, b)

    def fails(i):
        raise Odd(1, 2)

    with pytest.raises(RuntimeError, match="(?s)in DataLoader worker process 0.*Odd"):
        list(data.DataLoader(Calls(fails), num_workers=1))
    with pytest.raises(RuntimeError, match="StopIteration"):
        list(data.DataLoader(Calls(lambda i: next(iter(()))), num_workers=1))
    with pytest.raises(Exception, match="(?s)in DataLoader worker process 0.*pickle"):
        list(data.DataLoader(Calls(lambda i: lambda: i), num_workers=1, collate_fn=plain))

    def init(worker):
        raise ValueError("no")

    with pytest.raises(ValueError, match="Caught ValueError in DataLoader worker process 0"):
        list(data.DataLoader(Calls(same), num_workers=1, worker_init_fn=init))
    with pytest.raises(RuntimeError, match="Cowardly refusing"):
        list(data.DataLoader(Calls(lambda i: torch.ones(1, requires_grad=True) * 2), batch_size=None, num_workers=1))


@posix
def test_dead_workers_are_noticed():
    with pytest.raises(RuntimeError, match=r"worker \(pid \d+\) is killed by signal: Killed.*exited unexpectedly"):
        list(data.DataLoader(Calls(five_is_killed), batch_size=2, num_workers=2))
    with pytest.raises(RuntimeError, match=r"exit code 3.*worker \(pid\(s\) \d+\) exited unexpectedly"):
        list(data.DataLoader(Calls(five_exits), batch_size=2, num_workers=2))


def test_timeout():
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match="DataLoader timed out after 0.3 seconds"):
        list(data.DataLoader(Calls(sleeps), num_workers=2, timeout=0.3))
    assert time.monotonic() - begin < 10


def test_more_workers_than_cores_warns():
    with pytest.warns(UserWarning, match="will create 4096 worker processes"):
        data.DataLoader(range(3), num_workers=4096)


SCRIPT = """
    import sys, time
    import diya as torch
    from diya.utils import data

    class Items(data.Dataset):
        def __len__(self):
            return 10**6
        def __getitem__(self, i):
            time.sleep(float(sys.argv[1]))
            return torch.zeros(50_000)

    if __name__ == "__main__":
        batches = iter(data.DataLoader(Items(), batch_size=2, num_workers=2))
        print(*(p.pid for p in batches._pool.processes), flush=True)
        for _ in batches:
            pass
"""


def lives(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes in /proc")
@pytest.mark.parametrize("delay", ["0", "60"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_no_worker_outlives_the_loader(number, delay, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    source = str(pathlib.Path(torch.__file__).parent.parent)
    process = subprocess.Popen([sys.executable, str(script), delay], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True, env={**os.environ, "PYTHONPATH": source})
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert len(workers) == 2
    time.sleep(0.3)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does on Ctrl-C
        errors = process.communicate(timeout=20)[1]
        assert errors.count("Traceback") == 1 and errors.rstrip().endswith("KeyboardInterrupt")
    else:
        process.send_signal(number)
    process.wait(20)
    process.stdout.close()
    process.stderr.close()
    deadline = time.monotonic() + 10
    while any(map(lives, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(lives, workers))
