"""The part of a dataset that is a process's own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized

from ... import sampling
from ...random import Generator
from .sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler[int]):
    """Every ``num_replicas``-th index of a common order, from ``rank`` on.

    All ranks get equally many: indices from the beginning are repeated at the end, or the tail is left out with
    ``drop_last``. Call ``set_epoch`` before every epoch, or each has the order of the first.
    """

    def __init__(self, dataset: Sized, num_replicas: int | None = None, rank: int | None = None, shuffle: bool = True,
                 seed: int = 0, drop_last: bool = False):
        if num_replicas is None:
            num_replicas = int(_distributed().get_world_size())
        if rank is None:
            rank = int(_distributed().get_rank())
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0
        share = len(dataset) // num_replicas if drop_last else math.ceil(len(dataset) / num_replicas)
        self.num_samples = share
        self.total_size = share * num_replicas

    def __iter__(self) -> Iterator[int]:
        n = len(self.dataset)
        if self.shuffle:
            indices = sampling.randperm(Generator().manual_seed(self.seed + self.epoch), n).tolist()
        else:
            indices = list(range(n))
        if n and len(indices) < self.total_size:
            indices *= math.ceil(self.total_size / n)
        return iter(indices[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of an epoch, the same on every rank."""
        self.epoch = epoch


def _distributed():
    try:
        from ... import distributed
    except ImportError:
        distributed = None
    if distributed is None or not distributed.is_available():
        raise RuntimeError("Requires distributed package to be available: pass num_replicas and rank")
    return distributed
