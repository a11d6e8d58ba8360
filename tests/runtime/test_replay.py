"""Replay of programs: order, sharing over threads, faults, fork, concurrent use."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from diya.runtime.cpu import load, threads  # noqa: E402
from diya.runtime.cpu.replay import Fault, Replay, Step  # noqa: E402
from runtime import kernels  # noqa: E402

pytestmark = pytest.mark.compiled
BIG = 1e9  # ns: as much work as one could want


@pytest.fixture(autouse=True)
def restore_threads():
    n = threads.get_num_threads()
    yield
    threads.set_num_threads(n)


def entry(name, text):
    return load.load([(name, text)])[0]


def test_steps_run_in_order_with_their_buffers_and_args():
    x, y = np.zeros(64, np.float32), np.zeros(64, np.float32)
    slots = kernels.Slots(x, y)
    one, two = entry("add", kernels.add(1.0)), entry("add", kernels.add(2.0))
    Replay([Step(one, 2, ((0, 0),), (32,)), Step(two, 1, ((1, 128),), (16,)), Step(one, 1, ((0, 64), (1, 0)), (16,))],
           slots.fault_slot).run(slots.address)
    assert (x[:16] == 1).all() and (x[16:32] == 2).all() and (x[32:] == 1).all()
    assert (y[32:48] == 2).all() and (y[:32] == 0).all() and (y[48:] == 0).all()


def test_no_steps_and_no_tasks():
    slots = kernels.Slots()
    Replay([], 0).run(slots.address)
    Replay([Step(entry("empty", kernels.empty()), 0, (), ())], 0).run(slots.address)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_every_task_runs_once(n):
    kernel = entry("count", kernels.count())
    for tasks in (1, 2, 7, 64, 1000, 100_003):
        x = np.zeros(tasks, np.int64)
        slots = kernels.Slots(x)
        program = Replay([Step(kernel, tasks, ((0, 0),), (), scratch=64, work=BIG)] * 5, slots.fault_slot)
        for _ in range(4):
            program.run(slots.address, n)
        assert (x == 20).all()


def test_large_grain_is_respected():
    x = np.zeros(100, np.int64)
    slots = kernels.Slots(x)
    Replay([Step(entry("count", kernels.count()), 100, ((0, 0),), (), 64, BIG, grain=64)], 1).run(slots.address, 3)
    assert (x == 1).all()


def test_small_work_starts_no_workers():
    x = np.zeros(1000, np.int64)
    slots = kernels.Slots(x)
    before = threads.workers()
    Replay([Step(entry("count", kernels.count()), 1000, ((0, 0),), (), 64, work=1000.0)], 1).run(slots.address, 64)
    assert threads.workers() == before and (x == 1).all()


def test_workers_that_sleep_wake_again():
    x = np.zeros(4096, np.int64)
    slots = kernels.Slots(x)
    program = Replay([Step(entry("count", kernels.count()), 4096, ((0, 0),), (), 64, BIG)], 1)
    for i in range(30):
        program.run(slots.address, 4)
        if i % 3 == 0:
            time.sleep(0.002)
    assert (x == 30).all()


def test_many_python_threads_replay_at_once():
    kernel = entry("count", kernels.count())
    arrays = [np.zeros(5000, np.int64) for _ in range(6)]

    def work(x):
        slots = kernels.Slots(x)
        program = Replay([Step(kernel, 5000, ((0, 0),), (), 64, BIG)] * 3, 1)
        for _ in range(50):
            program.run(slots.address, 3)

    running = [threading.Thread(target=work, args=(x,)) for x in arrays]
    for t in running:
        t.start()
    for t in running:
        t.join(60)
        assert not t.is_alive()
    assert all((x == 150).all() for x in arrays)


def test_one_program_by_two_threads_at_once():
    kernel = entry("add", kernels.add(1.0))
    program = Replay([Step(kernel, 64, ((0, 0),), (16,), work=BIG)] * 10, 1)
    arrays = [np.zeros(1024, np.float32) for _ in range(2)]

    def work(x):
        slots = kernels.Slots(x)
        for _ in range(100):
            program.run(slots.address, 2)

    running = [threading.Thread(target=work, args=(x,)) for x in arrays]
    for t in running:
        t.start()
    for t in running:
        t.join(60)
    assert all((x == 1000).all() for x in arrays)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_fault_stops_the_program_and_is_the_same_for_any_thread_count(n):
    x = np.arange(10_000)
    x[[7777, 4321, 9000]] = [-1, -5, -2]
    y = np.zeros(16, np.float32)
    slots = kernels.Slots(x, y)
    fine, bad, after = (entry(n, t) for n, t in (("empty", kernels.empty()), ("faulty", kernels.faulty()),
                                                 ("add", kernels.add(1.0))))
    program = Replay([Step(fine, 1, (), ()), Step(bad, 10_000, ((0, 0), (2, 0)), (), work=BIG),
                      Step(after, 1, ((1, 0),), (16,))], slots.fault_slot)
    with pytest.raises(Fault) as caught:
        program.run(slots.address, n)
    f = caught.value
    assert (f.step, f.code, f.position, f.value) == (1, 7, 4321, -5) and (y == 0).all()
    x[[7777, 4321, 9000]] = 0
    slots.fault[:] = 0
    program.run(slots.address, n)
    assert (y == 1).all()


def test_thread_count_is_checked():
    threads.set_num_threads(3)
    assert threads.get_num_threads() == 3
    with pytest.raises(RuntimeError, match="expects a positive integer, but got 0"):
        threads.set_num_threads(0)
    with pytest.raises(TypeError, match="expects an int, but got float"):
        threads.set_num_threads(2.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own():
    kernel = entry("count", kernels.count())
    x = np.zeros(5000, np.int64)
    slots = kernels.Slots(x)
    program = Replay([Step(kernel, 5000, ((0, 0),), (), 64, BIG)] * 3, 1)
    program.run(slots.address, 3)
    assert threads.workers() >= 2
    stop = threading.Event()

    def busy():  # the pool is in use while the fork happens
        other = kernels.Slots(np.zeros(5000, np.int64))
        while not stop.is_set():
            program.run(other.address, 3)

    running = threading.Thread(target=busy)
    running.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                ok = threads.workers() == 0
                program.run(slots.address, 3)
                ok = ok and threads.workers() == 2 and bool((x == 6).all())
                load.load([("new", kernels.add(9.0, "new"))])
                os._exit(0 if ok else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        running.join()
    program.run(slots.address, 3)
    assert (x == 6).all()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers on this system")
def test_keyboard_interrupt_leaves_everything_usable():
    kernel = entry("add", kernels.add(1.0))
    x = np.zeros(1 << 20, np.float32)
    slots = kernels.Slots(x)
    program = Replay([Step(kernel, 1 << 10, ((0, 0),), (1 << 10,), work=BIG)] * 5, 1)
    old = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for _ in range(5):
            with pytest.raises(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 0.01)
                while True:
                    program.run(slots.address, 2)
    finally:
        signal.signal(signal.SIGALRM, old)
    x[:] = 0
    program.run(slots.address, 2)
    assert (x == 5).all()


def test_a_process_with_workers_ends_quietly():
    """Workers sleep on the pool, and code is still loaded, when the interpreter shuts down."""
    import subprocess
    import sys

    script = ("import numpy as np; from runtime import kernels; from diya.runtime.cpu import load, threads;"
              "from diya.runtime.cpu.replay import Replay, Step;"
              "x = np.zeros(5000, np.int64); slots = kernels.Slots(x);"
              "(k,) = load.load([('count', kernels.count())]);"
              "Replay([Step(k, 5000, ((0, 0),), (), 64, 1e9)] * 3, 1).run(slots.address, 4);"
              "print(threads.workers(), x.min(), x.max())")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", "tests"])}
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", script], env=env, text=True, capture_output=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "3 3 3\n", "")
