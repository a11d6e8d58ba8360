"""The worker processes of one iterator, and the threads that collect what they send."""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import Any, NoReturn, cast

from . import worker

CHECK_SECONDS = 5.0  # how often a wait for a batch looks whether the workers are alive
EXIT_SECONDS = 5.0  # how long workers may take to finish what they are at before they are terminated


class Gone:
    """What a collecting thread reports when its worker's pipe has closed."""


class Pool:
    """Workers 0 .. n - 1, each behind a pipe of its own: no lock is shared, so none is held by one that was killed."""

    def __init__(self, settings: worker.Settings, count: int, context: Any):
        import multiprocessing
        import weakref

        context = context or multiprocessing.get_context()
        forks = context.get_start_method() == "fork"
        self._pipes: list[Any] = []
        self.processes: list[Any] = []
        self._arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._parts = os.getpid(), self._pipes, self.processes, self._threads
        self._finalizer = weakref.finalize(self, _close, *self._parts)
        try:
            for number in range(count):
                here, there = context.Pipe()
                inherited = [*self._pipes, here] if forks else []
                self._pipes.append(here)
                process = context.Process(target=worker.run, daemon=True, name=f"DataLoader-{number}",
                                          args=(number, settings, there, inherited))
                process.start()
                there.close()
                self.processes.append(process)
                thread = threading.Thread(target=_collect, args=(number, here, self._arrived), daemon=True,
                                          name=f"diya_data_{number}")
                thread.start()
                self._threads.append(thread)
        except BaseException:
            self.close(0.0)
            raise

    def send(self, number: int, task: Any) -> None:
        """Hands a worker a task. One that is gone is found out when its batch is waited for."""
        try:
            worker.send(self._pipes[number], worker.dump(task))
        except OSError:
            pass

    def next(self, timeout: float) -> tuple[int, int, Any]:
        """The next (epoch, number, batch) to arrive.

        Raises RuntimeError when a worker has ended without being told to, or after ``timeout`` seconds (0: never).
        """
        deadline = time.monotonic() + timeout if timeout > 0 else None
        while True:
            wait = CHECK_SECONDS if deadline is None else min(CHECK_SECONDS, max(deadline - time.monotonic(), 0.0))
            try:
                number, message = cast(tuple[int, Any], self._arrived.get(timeout=wait))
            except queue.Empty:
                dead = [p for p in self.processes if not p.is_alive()]
                if dead:
                    self._report(dead)
                if deadline is not None and time.monotonic() >= deadline:
                    raise RuntimeError(f"DataLoader timed out after {timeout} seconds") from None
                continue
            if isinstance(message, Gone):
                process = self.processes[number]
                process.join(1.0)
                self._report([process])
            if isinstance(message, BaseException):
                raise message
            return message

    def _report(self, dead: list[Any]) -> NoReturn:
        pids = ", ".join(str(p.pid) for p in dead)
        raise RuntimeError(" ".join([*(_obituary(p) for p in dead),
                                     f"DataLoader worker (pid(s) {pids}) exited unexpectedly"]))

    def close(self, patience: float = EXIT_SECONDS) -> None:
        """Ends the workers, by force those that do not end by themselves within ``patience`` seconds."""
        if self._finalizer.detach() is not None:
            _close(*self._parts, patience)


def _close(owner: int, pipes: list[Any], processes: list[Any], threads: list[threading.Thread],
           patience: float = EXIT_SECONDS) -> None:
    if os.getpid() != owner:  # a fork's copy
        return
    for pipe in pipes:
        try:
            worker.send(pipe, worker.dump(None))
        except OSError:
            pass
    deadline = time.monotonic() + patience
    for process in processes:
        process.join(max(deadline - time.monotonic(), 0.0))
    for process in processes:
        if process.is_alive():
            process.terminate()
    for process in processes:
        process.join(1.0)
        if process.is_alive():
            process.kill()
            process.join()
    for i, pipe in enumerate(pipes):  # a thread meets the end of its pipe when the worker is gone
        if i < len(threads) and threads[i] is not threading.current_thread():
            threads[i].join(1.0)
            if threads[i].is_alive():
                continue
        pipe.close()


def _collect(number: int, pipe: Any, arrived: queue.SimpleQueue) -> None:
    """Takes a worker's messages as they come, so that it never waits for the training loop to read them."""
    while True:
        try:
            arrived.put((number, worker.receive(pipe)))
        except (EOFError, OSError):
            break
        except Exception as error:  # a message that does not unpickle here
            arrived.put((number, error))
    arrived.put((number, Gone()))


def _obituary(process: Any) -> str:
    import signal

    code = process.exitcode
    if code is None:
        return f"DataLoader worker (pid {process.pid}) closed its pipe."
    if code < 0:
        name = signal.strsignal(-code) or signal.Signals(-code).name
        hint = " The system may be out of memory." if -code == getattr(signal, "SIGKILL", 9) else ""
        return f"DataLoader worker (pid {process.pid}) is killed by signal: {name}.{hint}"
    return (f"DataLoader worker (pid {process.pid}) exited unexpectedly with exit code {code}. Details are lost due to "
            "multiprocessing. Rerunning with num_workers=0 may give better error trace.")
