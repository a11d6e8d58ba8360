"""``torch.multiprocessing``: Python's ``multiprocessing``, with PyTorch's ``spawn``. Tensors travel by value."""

from __future__ import annotations

from multiprocessing import *  # noqa: F403
from multiprocessing import get_context


def get_all_sharing_strategies() -> set[str]:
    return {"file_system"}


def get_sharing_strategy() -> str:
    return "file_system"


def set_sharing_strategy(new_strategy: str) -> None:
    """Accepted if the strategy is known: tensors are copied between processes."""
    if new_strategy not in ("file_system", "file_descriptor"):
        raise AssertionError(f"expected a strategy of 'file_system' and 'file_descriptor', got {new_strategy!r}")


class ProcessException(Exception):
    """A process of `spawn` failed."""

    def __init__(self, msg: str, error_index: int, pid: int):
        super().__init__(msg)
        self.msg, self.error_index, self.pid = msg, error_index, pid


class ProcessExitedException(ProcessException):
    """It ended with a nonzero exit code."""

    def __init__(self, msg: str, error_index: int, error_pid: int, exit_code: int):
        super().__init__(msg, error_index, error_pid)
        self.exit_code = exit_code


class ProcessContext:
    """The processes that `spawn` started."""

    def __init__(self, processes: list):
        self.processes = processes

    def pids(self) -> list[int]:
        return [process.pid for process in self.processes]

    def join(self, timeout: float | None = None) -> bool:
        """Waits. True if all ended well. Raises ProcessExitedException for the first that did not, ending the others."""
        from multiprocessing.connection import wait
        wait([process.sentinel for process in self.processes if process.is_alive()], timeout)
        for index, process in enumerate(self.processes):
            if process.exitcode:
                for other in self.processes:
                    if other.is_alive():
                        other.terminate()
                    other.join()
                raise ProcessExitedException(f"process {index} terminated with exit code {process.exitcode}", index,
                                             process.pid, process.exitcode)
        return all(process.exitcode == 0 for process in self.processes)


SpawnContext = ProcessContext


def start_processes(fn, args=(), nprocs: int = 1, join: bool = True, daemon: bool = False,
                    start_method: str = "spawn") -> ProcessContext | None:
    """Runs ``fn(i, *args)`` in ``nprocs`` processes. Waits for them, or with ``join=False`` returns their context."""
    context = get_context(start_method)
    processes = [context.Process(target=fn, args=(i, *args), daemon=daemon) for i in range(nprocs)]  # pyright: ignore[reportAttributeAccessIssue]
    for process in processes:
        process.start()
    started = ProcessContext(processes)
    if not join:
        return started
    while not started.join():
        pass
    return None


def spawn(fn, args=(), nprocs: int = 1, join: bool = True, daemon: bool = False, start_method: str = "spawn"):
    """`start_processes` with the start method 'spawn'."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)
