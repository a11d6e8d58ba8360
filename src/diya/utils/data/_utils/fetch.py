"""From the indices of a batch to the batch, in whichever process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .... import engine
from ....dtypes import bfloat16
from ....tensor import Tensor, _from_array
from ..dataset import Subset, TensorDataset, items_of
from .collate import collate_tensor_fn, default_collate, default_collate_fn_map


class MapFetcher:
    """Fetches the items of a dataset with keys."""

    def __init__(self, dataset: Any, auto_collation: bool, collate_fn: Callable, drop_last: bool):
        self.dataset, self.auto_collation, self.collate_fn = dataset, auto_collation, collate_fn
        self.gathers = collate_fn is default_collate and default_collate_fn_map.get(Tensor) is collate_tensor_fn

    def fetch(self, index: Any) -> Any:
        if not self.auto_collation:
            return self.collate_fn(self.dataset[index])
        if self.gathers and (batch := _gathered(self.dataset, index)) is not None:
            return batch
        if callable(getattr(self.dataset, "__getitems__", None)):
            return self.collate_fn(items_of(self.dataset, index))
        return self.collate_fn([_settled(self.dataset[i]) for i in index])


def _settled(sample: Any) -> Any:
    """Runs what a sample still has to compute: as one small program that every sample meets again. Left to the batch,
    it would be one as long as the batch, compiled for every batch size."""
    if isinstance(sample, Tensor):
        if sample._storage.node.value is None:
            engine.flush()
    elif isinstance(sample, (tuple, list)):
        for part in sample:
            _settled(part)
    elif isinstance(sample, dict):
        for part in sample.values():
            _settled(part)
    return sample


def _gathered(dataset: Any, indices: Sequence[int]) -> list[Tensor] | None:
    """What default_collate makes of rows of tensors, in one go; None where the dataset has its own idea of items."""
    while type(dataset) is Subset:
        dataset, indices = dataset.dataset, [dataset.indices[i] for i in indices]
    rows = np.asarray(indices)
    if type(dataset) is not TensorDataset or rows.ndim != 1 or rows.dtype.kind != "i":
        return None
    if any(t.requires_grad or t.dtype is bfloat16 for t in dataset.tensors):
        return None
    return [_from_array(t.numpy()[rows], t.dtype) for t in dataset.tensors]


class IterableFetcher:
    """Takes the next samples of a stream. Raises StopIteration at its end."""

    def __init__(self, dataset: Any, auto_collation: bool, collate_fn: Callable, drop_last: bool):
        self.samples = iter(dataset)
        self.auto_collation, self.collate_fn, self.drop_last = auto_collation, collate_fn, drop_last
        self.ended = False

    def fetch(self, index: Any) -> Any:
        if self.ended:
            raise StopIteration
        if not self.auto_collation:
            return self.collate_fn(next(self.samples))
        samples = [_settled(s) for s in itertools.islice(self.samples, len(index))]
        self.ended = len(samples) < len(index)
        if not samples or (self.ended and self.drop_last):
            raise StopIteration
        return self.collate_fn(samples)
