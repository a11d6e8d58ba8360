"""The loader: batches of a dataset, made in this process or in workers, in the order that PyTorch gives them."""

from __future__ import annotations

import itertools
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ...random import Generator, default_generator
from ._utils.collate import default_collate as default_collate
from ._utils.collate import default_convert as default_convert
from ._utils.fetch import IterableFetcher, MapFetcher
from ._utils.worker import Exhausted, Failure, Restart, Settings, Task
from ._utils.worker import get_worker_info as get_worker_info
from .dataset import Dataset, IterableDataset
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed

if TYPE_CHECKING:
    from ._utils.pool import Pool

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

T_co = TypeVar("T_co", covariant=True)


class _DatasetKind:
    Map = 0
    Iterable = 1


class _InfiniteConstantSampler(Sampler[None]):
    """The keys of a stream, which has none."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


class DataLoader(Generic[T_co]):
    """Iterates over a dataset in batches, anew with every ``iter``.

    ``batch_size=None`` turns batching off: samples (or what ``sampler`` and ``batch_sampler`` select) pass through
    ``collate_fn`` as they are. With ``num_workers`` processes, batches are made ahead, ``prefetch_factor`` for each
    worker, and arrive in order (unless ``in_order=False``); worker ``i`` is seeded with ``base_seed + i``, where
    ``base_seed`` is drawn from ``generator`` at the start of every pass. ``pin_memory`` is accepted; CPU memory has
    nothing to pin it for.

    Raises ValueError for options that contradict each other. An exception in a worker is raised here with the worker's
    traceback in its message; a worker that dies, or a batch that takes longer than ``timeout`` seconds, is a
    RuntimeError.
    """

    _iterator: _MultiProcessingDataLoaderIter | None = None
    _initialized = False
    _fixed = frozenset({"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"})

    def __init__(self, dataset: Dataset[T_co], batch_size: int | None = 1, shuffle: bool | None = None,
                 sampler: Sampler | Iterable | None = None, batch_sampler: Sampler[list] | Iterable[list] | None = None,
                 num_workers: int = 0, collate_fn: Callable[[Any], Any] | None = None, pin_memory: bool = False,
                 drop_last: bool = False, timeout: float = 0, worker_init_fn: Callable[[int], None] | None = None,
                 multiprocessing_context: Any = None, generator: Generator | None = None, *,
                 prefetch_factor: int | None = None, persistent_workers: bool = False, pin_memory_device: str = "",
                 in_order: bool = True):
        if num_workers < 0:
            raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError("prefetch_factor option could only be specified in multiprocessing. "
                             "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None.")
        if prefetch_factor is not None and prefetch_factor < 0:
            raise ValueError("prefetch_factor option should be non-negative")
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        streams = isinstance(dataset, IterableDataset)
        if streams:
            for name, value, unset in (("shuffle", shuffle, not shuffle), ("sampler", sampler, sampler is None),
                                       ("batch_sampler", batch_sampler, batch_sampler is None)):
                if not unset:
                    raise ValueError(f"DataLoader with IterableDataset: expected unspecified {name} option, "
                                     f"but got {name}={value}")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and "
                                 "drop_last")
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")

        if sampler is None:
            if streams:
                sampler = _InfiniteConstantSampler()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)  # type: ignore[arg-type]
            else:
                sampler = SequentialSampler(dataset)  # type: ignore[arg-type]
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate

        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        self.collate_fn = collate_fn
        self.persistent_workers = persistent_workers
        self._dataset_kind = _DatasetKind.Iterable if streams else _DatasetKind.Map
        self._IterableDataset_len_called: int | None = None
        self._initialized = True
        self.check_worker_number_rationality()

    def __setattr__(self, attr: str, value: Any) -> None:
        if self._initialized and attr in self._fixed:
            raise ValueError(f"{attr} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(attr, value)

    @property
    def multiprocessing_context(self) -> Any:
        """How workers are started: None for the platform's way, else a context of ``multiprocessing``."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: Any) -> None:
        if context is not None:
            if self.num_workers == 0:
                raise ValueError("multiprocessing_context can only be used with multi-process loading "
                                 f"(num_workers > 0), but got num_workers={self.num_workers}")
            import multiprocessing
            from multiprocessing.context import BaseContext

            if isinstance(context, str):
                methods = multiprocessing.get_all_start_methods()
                if context not in methods:
                    raise ValueError("multiprocessing_context option should specify a valid start method in "
                                     f"{methods!r}, but got multiprocessing_context={context!r}")
                context = multiprocessing.get_context(context)
            if not isinstance(context, BaseContext):
                raise TypeError("multiprocessing_context option should be a valid context object or a string "
                                f"specifying the start method, but got multiprocessing_context={context}")
        self._context = context

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> Iterator[Any]:
        if self.num_workers == 0:
            return _SingleProcessDataLoaderIter(self)
        if not self.persistent_workers:
            return _MultiProcessingDataLoaderIter(self)
        if self._iterator is None or not self._iterator.restart(self):
            self._iterator = _MultiProcessingDataLoaderIter(self)
        return self._iterator

    def __len__(self) -> int:
        """The number of batches. Raises TypeError if the dataset or the sampler does not know its length."""
        if self._dataset_kind == _DatasetKind.Map:
            return len(self._index_sampler)
        length = self._IterableDataset_len_called = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else math.ceil(length / self.batch_size)

    def check_worker_number_rationality(self) -> None:
        """Warns if there are more workers than cores to run them."""
        if self.num_workers == 0:
            return
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        if cores is not None and self.num_workers > cores:
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. Our suggested max number "
                f"of worker in current system is {cores}, which is smaller than what this DataLoader is going to "
                "create. Please be aware that excessive worker creation might get DataLoader running slow or even "
                "freeze, lower the worker number to avoid potential slowness/freeze if necessary.", stacklevel=3)


class _BaseDataLoaderIter:
    """One pass over the dataset. It holds what it needs of its loader, not the loader, which may hold it."""

    def __init__(self, loader: DataLoader):
        self._dataset = loader.dataset
        self._sampler = loader._index_sampler
        self._num_workers = loader.num_workers
        self._base_seed = draw_seed(loader.generator or default_generator)
        self._make_fetcher = IterableFetcher if loader._dataset_kind == _DatasetKind.Iterable else MapFetcher
        self._start(loader)

    def _start(self, loader: DataLoader) -> None:
        self._indices = iter(self._sampler)
        self._yielded = 0
        self._promised = loader._IterableDataset_len_called

    def __iter__(self) -> Iterator[Any]:
        return self

    def __len__(self) -> int:
        return len(self._sampler)

    def __next__(self) -> Any:
        batch = self._next_batch()
        self._yielded += 1
        if self._promised is not None and self._yielded > self._promised:
            hint = ("For multiprocessing data-loading, this could be caused by not properly configuring the "
                    "IterableDataset replica at each worker: split the work by get_worker_info().")
            warnings.warn(f"Length of IterableDataset {self._dataset} was reported to be {self._promised} (when "
                          f"accessing len(dataloader)), but {self._yielded} samples have been fetched. "
                          f"{hint if self._num_workers else ''}", stacklevel=2)
        return batch

    def _next_batch(self) -> Any:
        raise NotImplementedError

    def __getstate__(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} cannot be pickled: it is at work")


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """Makes a batch when it is asked for."""

    def __init__(self, loader: DataLoader):
        super().__init__(loader)
        self._fetcher = self._make_fetcher(loader.dataset, loader._auto_collation, loader.collate_fn, loader.drop_last)

    def _next_batch(self) -> Any:
        return self._fetcher.fetch(next(self._indices))


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """Batch ``n`` is task ``n``. Tasks are dealt to the workers in turn, ``prefetch_factor`` for each ahead of what was
    asked for; batches that come early wait in ``_early``."""

    _pool: Pool | None = None

    def __init__(self, loader: DataLoader):
        from ._utils.pool import Pool

        super().__init__(loader)
        settings = Settings(loader.dataset, self._make_fetcher, loader._auto_collation, loader.collate_fn,
                            loader.drop_last, loader.worker_init_fn, self._base_seed, loader.num_workers)
        self._in_order, self._timeout, self._persistent = loader.in_order, loader.timeout, loader.persistent_workers
        self._ahead = max(loader.prefetch_factor or 0, 1) * loader.num_workers
        self._epoch = 0
        self._pool = Pool(settings, loader.num_workers, loader.multiprocessing_context)
        self._deal()

    def restart(self, loader: DataLoader) -> bool:
        """Begins another pass with the same workers, if they are there. What is still under way is dropped."""
        if self._pool is None:
            return False
        self._epoch += 1
        self._start(loader)
        for number in range(self._num_workers):
            self._pool.send(number, Restart())
        self._deal()
        return True

    def _deal(self) -> None:
        self._sent = self._wanted = 0  # the next task to send, the next batch to give
        self._owner: dict[int, int] = {}  # the worker of every task that is under way
        self._early: dict[int, Any] = {}
        self._active = [True] * self._num_workers
        self._turn = itertools.cycle(range(self._num_workers))
        for _ in range(self._ahead):
            self._send_next()

    def _send_next(self) -> None:
        try:
            index = next(self._indices)
        except StopIteration:
            return
        worker = self._next_worker()
        if worker is not None and self._pool is not None:
            self._pool.send(worker, Task(self._epoch, self._sent, index))
            self._owner[self._sent] = worker
            self._sent += 1

    def _next_worker(self) -> int | None:
        busy = list(self._owner.values())
        for worker in itertools.islice(self._turn, self._num_workers):
            if self._active[worker] and (self._in_order or busy.count(worker) < self._ahead // sum(self._active)):
                return worker
        return None

    def _next_batch(self) -> Any:
        while True:
            while self._wanted < self._sent and self._wanted not in self._owner and self._wanted not in self._early:
                self._wanted += 1  # given already, or its worker's stream had ended
            if self._wanted in self._early:
                return self._give(self._early.pop(self._wanted))
            if not self._owner:
                if not self._persistent:
                    self._close()
                raise StopIteration
            epoch, number, batch = self._receive()
            if epoch != self._epoch or number not in self._owner:
                continue
            worker = self._owner.pop(number)
            if isinstance(batch, Exhausted):
                self._active[worker] = False
                self._owner = {t: w for t, w in self._owner.items() if w != worker}  # it has no other answer to these
                self._send_next()
            elif number == self._wanted or not self._in_order:
                return self._give(batch)
            else:
                self._early[number] = batch

    def _receive(self) -> tuple[int, int, Any]:
        if self._pool is None:
            raise RuntimeError("the workers of this DataLoader iterator have ended: begin another pass over the loader")
        try:
            return self._pool.next(self._timeout)
        except BaseException:
            self._close(patience=0.0)
            raise

    def _give(self, batch: Any) -> Any:
        self._send_next()
        if isinstance(batch, Failure):
            batch.reraise()
        return batch

    def _close(self, **how: float) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close(**how)

    def __del__(self) -> None:
        self._close()


_collate_fn_t = Callable[[list], Any]
_worker_init_fn_t = Callable[[int], None]
