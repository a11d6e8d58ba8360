"""Making a batch of samples: a list of structures becomes one structure of tensors."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from ....dtypes import bfloat16
from ....tensor import Tensor, _from_array

np_str_obj_array_pattern = re.compile(r"[SaUO]")  # dtypes that make no tensors

__all__ = ["collate", "default_collate", "default_collate_fn_map", "default_convert"]

FnMap = dict[Any, Callable[..., Any]]


def default_convert(data: Any) -> Any:
    """Turns the numpy arrays and scalars in a nested structure into tensors and leaves the rest as it is."""
    from .... import as_tensor

    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return data if data.dtype.kind in "SUO" else as_tensor(data)
    if isinstance(data, Mapping):
        return _rebuilt_mapping(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple):
        parts = [default_convert(d) for d in data]
        return type(data)(*parts) if hasattr(data, "_fields") else parts
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _rebuilt_sequence(data, [default_convert(d) for d in data])
    return data


def collate(batch: Sequence[Any], *, collate_fn_map: FnMap | None = None) -> Any:
    """Makes one structure of a list of equal structures.

    Leaves go to the function that ``collate_fn_map`` has for their type, or else for a type that they are an instance
    of; it is called as ``fn(batch, collate_fn_map=...)``. Mappings, named tuples and sequences are gone into. Raises
    TypeError for a leaf of any other type, RuntimeError for sequences of different lengths.
    """
    first = batch[0]
    functions = collate_fn_map or {}
    function = functions.get(type(first))
    if function is None:
        function = next((f for kind, f in functions.items() if isinstance(first, kind)), None)
    if function is not None:
        return function(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        return _rebuilt_mapping(
            first, {key: collate([d[key] for d in batch], collate_fn_map=collate_fn_map) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(collate(parts, collate_fn_map=collate_fn_map) for parts in zip(*batch, strict=False)))
    if isinstance(first, Sequence) and not isinstance(first, (str, bytes)):
        lengths = {len(sample) for sample in batch}
        if len(lengths) > 1:
            raise RuntimeError(f"each element in list of batch should be of equal size, got sizes {sorted(lengths)}: "
                               "pass a collate_fn that pads them")
        parts = [collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch, strict=True)]
        return parts if isinstance(first, tuple) else _rebuilt_sequence(first, parts)
    raise TypeError("default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
                    f"found {type(first)}: convert it in the dataset, or pass a collate_fn")


def default_collate(batch: Sequence[Any]) -> Any:
    """Stacks samples along a new first dimension: tensors, arrays, numbers (float as float64) in nested structures.

    Strings stay lists. ``default_collate_fn_map`` may be extended with further types.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def _rebuilt_mapping(like: Mapping, items: dict) -> Any:
    """``items`` in a mapping like another, keeping what else that has; a dict where its type does not allow this."""
    try:
        if isinstance(like, MutableMapping):
            clone = copy.copy(like)
            clone.update(items)
            return clone
        return type(like)(items)  # type: ignore[call-arg]
    except TypeError:
        return items


def _rebuilt_sequence(like: Sequence, parts: list) -> Any:
    try:
        if isinstance(like, MutableSequence):
            clone = copy.copy(like)
            for i, part in enumerate(parts):
                clone[i] = part
            return clone
        return type(like)(parts)  # type: ignore[call-arg]
    except TypeError:
        return parts


def collate_tensor_fn(batch: Sequence[Tensor], *, collate_fn_map: FnMap | None = None) -> Tensor:
    """Stacks tensors. Without gradients numpy does it: a program with a node for every sample would be recorded, and
    compiled, for every batch size, and there is nothing to fuse."""
    from ....ops.movement import stack

    first = batch[0]
    shapes = {t.shape for t in batch}
    if len(shapes) > 1:
        other = next(t.shape for t in batch if t.shape != first.shape)
        raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 and "
                           f"{list(other)} later: samples of a batch must have one shape, or pass a collate_fn")
    if any(t.requires_grad or t.dtype is not first.dtype or t._results_keep_class and type(t) is not Tensor for t in batch):
        return stack(list(batch), 0)
    if first.dtype is bfloat16:
        return _from_array(np.stack([t._to_array() for t in batch]), bfloat16)
    return _from_array(np.stack([t.numpy() for t in batch]), first.dtype)


def collate_numpy_array_fn(batch: Sequence[np.ndarray], *, collate_fn_map: FnMap | None = None) -> Any:
    """Stacks arrays into a tensor. Raises TypeError for arrays of strings or objects."""
    from .... import as_tensor

    if batch[0].dtype.kind in "SUO":
        raise TypeError("default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
                        f"found {batch[0].dtype}: convert it in the dataset, or pass a collate_fn")
    return collate([as_tensor(a) for a in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch: Sequence[Any], *, collate_fn_map: FnMap | None = None) -> Tensor:
    from .... import as_tensor

    return as_tensor(np.array(batch))


def collate_float_fn(batch: Sequence[float], *, collate_fn_map: FnMap | None = None) -> Tensor:
    from .... import float64, tensor

    return tensor(list(batch), dtype=float64)


def collate_int_fn(batch: Sequence[int], *, collate_fn_map: FnMap | None = None) -> Tensor:
    from .... import tensor

    return tensor(list(batch))


def collate_str_fn(batch: Sequence[Any], *, collate_fn_map: FnMap | None = None) -> Sequence[Any]:
    return batch


default_collate_fn_map: FnMap = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}
