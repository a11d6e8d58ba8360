"""The thread pool: Python threads that live in a native loop, asleep until a step is shared out.

They are started when the first program large enough for them runs, hold no interpreter lock, and end with the process.
A forked child has none and starts its own when it needs them. How many threads share a step never changes results: the
ranges that a step may be cut into are fixed by its shapes (see `native`).
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from functools import cache

from . import features, load, native, system

WATCH_NS = 8_000  # the longest that an idle worker watches for work before it sleeps

_lock = threading.Lock()
_count: int | None = None
_workers = 0


def get_num_threads() -> int:
    """How many threads may share the work of an operation; ``DIYA_NUM_THREADS`` or ``OMP_NUM_THREADS`` set the first
    value, otherwise it is the number of cores that this process may use."""
    global _count
    if _count is None:
        _count = next((int(v) for v in map(os.environ.get, ("DIYA_NUM_THREADS", "OMP_NUM_THREADS"))
                       if v and v.isdigit() and int(v) > 0), None) or features.cores()
    return _count


def set_num_threads(n: int) -> None:
    """Sets how many threads may share the work of an operation. Results do not depend on it.

    Raises TypeError unless ``n`` is an int, RuntimeError unless it is positive.
    """
    global _count
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"set_num_threads expects an int, but got {type(n).__name__}")
    if n <= 0:
        raise RuntimeError(f"set_num_threads expects a positive integer, but got {n}")
    _count = n


@cache
def functions() -> dict[str, load.Entry]:
    """The native functions of `native`, loaded."""
    names = ("diya_replay", "diya_work", "diya_pause")
    module = native.text(features.host().arch)
    return dict(zip(names, load.load([(name, module) for name in names]), strict=True))


@cache
def pool() -> int:
    """The address of the pool: one for the process, never unmapped, as workers may sleep on it to the very end."""
    address = system.map_memory(-(-native.POOL_BYTES // system.PAGE) * system.PAGE)
    _initialise(address)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)
    return address


def _initialise(address: int) -> None:
    if sys.platform == "win32":
        calls = ("AcquireSRWLockExclusive", "ReleaseSRWLockExclusive", "SleepConditionVariableSRW",
                 "WakeConditionVariable")
    else:
        calls = ("pthread_mutex_lock", "pthread_mutex_unlock", "pthread_cond_wait", "pthread_cond_signal")
    ctypes.memset(address, 0, native.POOL_BYTES)
    words = (ctypes.c_int64 * 4).from_address(address)
    words[:] = [system.symbol(name) for name in calls]
    if sys.platform != "win32":  # Windows' locks and conditions are ready when zero
        initialise = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        initialise(system.symbol("pthread_mutex_init"))(address + native.MUTEX, None)
        for at in (native.WORK, native.DONE):
            initialise(system.symbol("pthread_cond_init"))(address + at, None)
    ctypes.c_int64.from_address(address + native.WATCH).value = _pauses(WATCH_NS)


@cache
def _pauses(ns: int) -> int:
    """How many of the processor's pause instructions take about ``ns`` (a few cycles or 140, by model)."""
    import time

    pause = ctypes.CFUNCTYPE(None, ctypes.c_int64)(functions()["diya_pause"])
    taken = []
    for _ in range(3):
        start = time.perf_counter_ns()
        pause(500)
        taken.append(max(time.perf_counter_ns() - start, 1))
    return max(500 * ns // min(taken), 8)


def start_workers(threads: int) -> None:
    """Makes sure that there are workers for ``threads`` threads in all, the caller among them."""
    global _workers
    if _workers >= threads - 1:
        return
    import _thread

    address = pool()
    work = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(functions()["diya_work"])
    with _lock:
        while _workers < threads - 1:
            try:
                _thread.start_new_thread(work, (address,))
            except RuntimeError:
                return  # no more threads to be had (a limit, or the interpreter is ending): those there are will do
            _workers += 1


def workers() -> int:
    """How many workers have been started in this process."""
    return _workers


def _after_fork() -> None:
    """In a forked child: the workers stayed behind, perhaps with the mutex locked or a step half done."""
    global _workers, _lock
    _workers, _lock = 0, threading.Lock()
    _initialise(pool())
