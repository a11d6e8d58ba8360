"""One background thread that compiles programs, in the order in which they are met."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any


class Job:
    """A call that runs in the background. ``result()`` waits for it, or runs it now if it has not started."""

    __slots__ = ("call", "value", "error", "done", "claimed", "pid")

    def __init__(self, call: Callable[[], Any]):
        self.call = call
        self.value: Any = None
        self.error: BaseException | None = None
        self.done = threading.Event()
        self.claimed = threading.Lock()
        self.pid = os.getpid()

    def run(self) -> None:
        if not self.claimed.acquire(blocking=False):
            return
        try:
            self.value = self.call()
        except BaseException as error:
            self.error = error
        self.done.set()

    def result(self) -> Any:
        if self.pid != os.getpid() and not self.done.is_set():
            return self.call()  # the thread that had it stayed in the parent
        self.run()
        self.done.wait()
        if self.error is not None:
            raise self.error
        return self.value


_queue: deque[Job] = deque()
_wake = threading.Semaphore(0)
_thread: threading.Thread | None = None
_stopping = False


def submit(call: Callable[[], Any]) -> Job:
    """Queues a call."""
    global _thread
    job = Job(call)
    _queue.append(job)
    if _thread is None or not _thread.is_alive():
        import atexit
        _thread = threading.Thread(target=_work, name="diya-compile", daemon=True)
        _thread.start()
        atexit.register(_stop)
    _wake.release()
    return job


def _work() -> None:
    while not _stopping:
        _wake.acquire()
        try:
            job = _queue.popleft()
        except IndexError:
            continue
        if not _stopping:
            job.run()


def _stop() -> None:
    """At exit: what has not started never does, what has is let finish (native code cannot be left half way)."""
    global _stopping
    _stopping = True
    _queue.clear()
    _wake.release()
    if _thread is not None and _thread.is_alive():
        _thread.join(timeout=30)


def _after_fork() -> None:
    global _thread, _wake, _queue
    _thread, _wake, _queue = None, threading.Semaphore(0), deque()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
