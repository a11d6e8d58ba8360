"""The pool of buffers: alignment, reuse, lifetime of views, bounds, the account."""

from __future__ import annotations

import gc
import os
import threading

import numpy as np
import pytest

from diya.runtime import buffer
from diya.runtime.buffer import Buffer, Pool


def test_buffers_are_aligned_and_exact():
    pool = Pool()
    for n in (0, 1, 63, 64, 65, 1000, 1 << 16, (1 << 20) + 1, 5 << 20):
        b = pool.allocate(n)
        assert b.nbytes == b.array.nbytes == n and b.address % 64 == 0
        if n:
            assert b.array.ctypes.data == b.address
            b.array[:] = 7
            assert b.array[-1] == 7
    assert pool.allocate(5 << 20).address % (2 << 20) == 0


def test_memory_is_used_again():
    pool = Pool()
    b = pool.allocate(100_000)
    address = b.address
    del b
    assert pool.allocate(99_000).address == address
    assert pool.stats()["reserved_bytes.current"] == pool.stats()["reserved_bytes.peak"]


@pytest.mark.parametrize("view", [lambda b: b.array[10:20], lambda b: b.typed((25,), np.dtype("f4"))[3:].T,
                                  lambda b: memoryview(b.array), lambda b: b.array, lambda b: np.asarray(b.array)[::2]])
def test_memory_is_not_used_again_while_a_view_lives(view):
    pool = Pool()
    b = pool.allocate(100)
    address, v = b.address, view(b)
    del b
    gc.collect()
    assert pool.allocate(100).address != address
    assert pool.stats()["allocation.current"] == 1
    del v
    gc.collect()
    assert pool.stats()["allocated_bytes.current"] == 0


def test_the_account():
    pool = Pool()
    a, b = pool.allocate(1 << 20), pool.allocate(1 << 20)
    s = pool.stats()
    assert s["allocated_bytes.current"] == s["allocated_bytes.peak"] == 2 << 20 == s["reserved_bytes.current"]
    assert s["allocation.current"] == s["allocation.allocated"] == 2
    del a
    s = pool.stats()
    assert (s["allocated_bytes.current"], s["allocated_bytes.peak"]) == (1 << 20, 2 << 20)
    pool.reset_peak()
    assert pool.stats()["allocated_bytes.peak"] == 1 << 20
    pool.empty_cache()
    assert pool.stats()["reserved_bytes.current"] == 1 << 20
    del b


def test_changing_sizes_do_not_grow_without_bound():
    pool = Pool()
    rng = np.random.default_rng(0)
    for _ in range(3000):
        held = [pool.allocate(int(n)) for n in rng.integers(1 << 20, 40 << 20, 3)]
    peak = pool.stats()["allocated_bytes.peak"]
    assert pool.stats()["reserved_bytes.peak"] <= max(3 * peak // 2, 64 << 20)
    del held


def test_out_of_memory_names_the_size_and_leaves_all_usable():
    kept = buffer.allocate(1000)
    kept.array[:] = 3
    with pytest.raises(MemoryError, match=r"could not allocate 1,125,899,906,842,624 bytes on the CPU"):
        buffer.allocate(1 << 50)
    with pytest.raises(MemoryError):
        buffer.allocate(1 << 62)
    assert (kept.array == 3).all() and buffer.allocate(1000).nbytes == 1000


def test_threads_share_a_pool():
    pool, errors = Pool(), []

    def work(seed):
        rng = np.random.default_rng(seed)
        held = []
        for _ in range(1500):
            b = pool.allocate(int(rng.integers(1, 5000)))
            b.array[:] = seed
            held.append(b)
            if len(held) > 20:
                old = held.pop(int(rng.integers(20)))
                if not (old.array == seed).all():
                    errors.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    gc.collect()
    assert not errors and pool.stats()["allocated_bytes.current"] == 0


def test_finalizers_may_allocate():
    pool = Pool()

    class Cycle:
        def __init__(self):
            self.me, self.buffer = self, pool.allocate(100)

        def __del__(self):
            pool.allocate(50)

    for _ in range(2000):
        Cycle()
    gc.collect()
    assert pool.stats()["allocated_bytes.current"] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_write_to_its_parent():
    b = buffer.allocate(4 << 20)
    b.array[:] = 1
    child = os.fork()
    if child == 0:
        b.array[:] = 2
        os._exit(0 if buffer.allocate(100).nbytes == 100 else 1)
    assert os.waitpid(child, 0)[1] == 0 and (b.array == 1).all()


def test_borrowed_memory_is_aliased():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    b = Buffer.of(x)
    b.typed((12,), np.dtype("f4"))[0] = 99
    assert x[0, 0] == 99 and b.address == x.ctypes.data
    assert Buffer.of(x.T).address != x.ctypes.data


def test_an_interpreted_program_leaves_little_behind():
    stats = buffer.stats
    blocks = [buffer.allocate(40 << 20) for _ in range(4)]
    del blocks
    assert stats()["reserved_bytes.current"] - stats()["allocated_bytes.current"] >= 160 << 20
    buffer.after_a_first_run()
    assert stats()["reserved_bytes.current"] - stats()["allocated_bytes.current"] <= 64 << 20


def test_workspaces():
    a = buffer.workspace("test", 1000)
    b = buffer.workspace("test", 1000)  # as by a program that runs while another does
    assert a is not b and a.nbytes >= 1000
    buffer.put_back("test", a)
    assert buffer.workspace("test", 500) is a
    buffer.put_back("test", a)
    assert buffer.workspace("test", 5000).nbytes >= 5000
    buffer.put_back("test", buffer.allocate(buffer.KEPT + 1))
    assert buffer.workspace("test", 10).nbytes < buffer.KEPT
