"""A worker process of the loader: takes the indices of batches from a pipe and sends the batches back.

Batches go through the pipe as bytes, arrays apart from the rest and without a copy, so a process that is killed leaves
nothing behind in shared memory.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["WorkerInfo", "get_worker_info"]


class WorkerInfo(NamedTuple):
    """Who a worker process is: its ``id`` of ``num_workers``, its ``seed`` and its own copy of the ``dataset``."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker process, who it is; elsewhere None."""
    return _worker_info


class Settings(NamedTuple):
    """What a worker needs to know, sent once."""

    dataset: Any
    make_fetcher: Callable[..., Any]
    auto_collation: bool
    collate_fn: Callable[..., Any]
    drop_last: bool
    init_fn: Callable[[int], None] | None
    base_seed: int
    num_workers: int


class Task(NamedTuple):
    """Make batch ``number`` of a pass over the dataset."""

    epoch: int
    number: int
    index: Any


class Restart(NamedTuple):
    """Begin another pass."""


class Exhausted(NamedTuple):
    """The worker's stream has ended."""


class Failure(NamedTuple):
    """An exception in a worker: its class and its traceback as text."""

    kind: type
    text: str
    worker: int

    def reraise(self) -> None:
        """Raises an exception of the same class with the worker's traceback in its message."""
        message = f"Caught {self.kind.__name__} in DataLoader worker process {self.worker}.\nOriginal {self.text}"
        if self.kind is KeyError:
            message = _Unquoted(message)
        try:
            error = self.kind(message)
        except Exception:  # its constructor wants something else
            error = RuntimeError(message)
        try:
            raise error
        finally:
            del error  # or the traceback would hold the frame that holds the error, and the workers with it


class _Unquoted(str):
    """A message that KeyError, which shows the repr of its argument, shows readably."""

    def __repr__(self) -> str:
        return str(self)


def failure(error: BaseException, worker: int) -> Failure:
    """Describes an exception so that another process can raise it."""
    import pickle
    import traceback

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    kind = type(error)
    try:
        pickle.dumps(kind)
    except Exception:  # a local class, which the other process cannot find
        kind = RuntimeError
    if kind is StopIteration:  # raised by next(), it would end the loop over the batches without a word
        kind = RuntimeError
    return Failure(kind, text, worker)


def run(worker: int, settings: Settings, pipe: Any, inherited: list[Any]) -> None:
    """The life of a worker: until the pipe closes, do what it says."""
    global _worker_info
    import signal

    for other in inherited:  # a fork's copies of ends that are the parent's, and would outlive it
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it closes the pipe
    _exit_with_parent()
    seed = settings.base_seed + worker
    _seed_everything(settings.base_seed, worker)
    _one_thread()
    _worker_info = WorkerInfo(worker, settings.num_workers, seed, settings.dataset)
    try:
        _serve(worker, settings, pipe)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent is done with us


def _serve(worker: int, settings: Settings, pipe: Any) -> None:
    def fresh() -> Any:
        return settings.make_fetcher(settings.dataset, settings.auto_collation, settings.collate_fn, settings.drop_last)

    fetcher, broken = None, None
    try:
        if settings.init_fn is not None:
            settings.init_fn(worker)
        fetcher = fresh()
    except Exception as error:
        broken = failure(error, worker)
    while (task := receive(pipe)) is not None:
        result: Any
        if isinstance(task, Restart):
            try:
                fetcher = fresh()
            except Exception as error:
                broken = failure(error, worker)
            continue
        try:
            if broken is None:
                assert fetcher is not None
                result = fetcher.fetch(task.index)
            else:
                result = broken
        except StopIteration as error:
            from .fetch import IterableFetcher
            result = Exhausted() if isinstance(fetcher, IterableFetcher) else failure(error, worker)
        except Exception as error:
            result = failure(error, worker)
        try:
            frames = dump((task.epoch, task.number, result))
        except Exception as error:  # the batch cannot be pickled
            frames = dump((task.epoch, task.number, failure(error, worker)))
        del result
        send(pipe, frames)


def _generate_state(base_seed: int, worker_id: int) -> list[int]:
    """What numpy's generator of a worker is seeded with."""
    entropy = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    return np.random.SeedSequence(entropy).generate_state(4).tolist()


def _seed_everything(base_seed: int, worker: int) -> None:
    """Seeds Python's, numpy's and our generator, each worker differently."""
    import random

    from ....random import manual_seed

    random.seed(base_seed + worker)
    manual_seed(base_seed + worker)
    np.random.seed(_generate_state(base_seed, worker))


def _one_thread() -> None:
    from ....runtime.cpu.threads import set_num_threads

    set_num_threads(1)


def _exit_with_parent() -> None:
    """Ends this process soon after its parent, even while the dataset is busy or a sibling holds the pipe open."""
    import threading
    import time

    parent = os.getppid()  # the loader's process, or the fork server, which ends with it

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(2.0)
        os._exit(1)

    if os.name == "posix":  # elsewhere no pipe is inherited, so its end is notice enough
        threading.Thread(target=watch, name="diya_parent_watch", daemon=True).start()


# Messages: a header (the number of frames and the size of each), then the frames: the pickle, and the memory of the
# arrays in it.
_SIZE = struct.Struct("<Q")


def dump(message: Any) -> list[Any]:
    """A message as frames of bytes."""
    import io
    import pickle
    from multiprocessing.reduction import ForkingPickler

    arrays: list[pickle.PickleBuffer] = []
    body = io.BytesIO()
    ForkingPickler(body, 5, True, arrays.append).dump(message)
    return [body.getbuffer(), *(a.raw() for a in arrays)]


def send(pipe: Any, frames: list[Any]) -> None:
    """Sends frames; the other end may read while they are written."""
    pipe.send_bytes(struct.pack(f"<{len(frames)}Q", *(f.nbytes for f in frames)))
    for frame in frames:
        _write(pipe, frame)


def receive(pipe: Any) -> Any:
    """The next message. Raises EOFError or OSError when the other end is gone."""
    import pickle

    header = pipe.recv_bytes()
    sizes = struct.unpack(f"<{len(header) // 8}Q", header)
    frames: list[Any] = [_read(pipe, size) for size in sizes]
    body, *arrays = frames
    return pickle.loads(body, buffers=arrays)


if os.name == "posix":  # straight from and to the arrays, which Connection's methods would copy

    def _write(pipe: Any, frame: memoryview) -> None:
        descriptor, rest = pipe.fileno(), frame
        while rest.nbytes:
            rest = rest[os.write(descriptor, rest) :]

    def _read(pipe: Any, size: int) -> np.ndarray:
        out: Any = np.empty(size, np.uint8)  # bytearray would write zeros first
        descriptor, rest = pipe.fileno(), memoryview(out)
        while rest.nbytes:
            n = os.readv(descriptor, [rest])
            if n == 0:
                raise EOFError("the other end of the pipe is gone")
            rest = rest[n:]
        return out

else:

    def _write(pipe: Any, frame: memoryview) -> None:
        pipe.send_bytes(frame)

    def _read(pipe: Any, size: int) -> np.ndarray:
        out = np.empty(size, np.uint8)
        pipe.recv_bytes_into(out)
        return out
