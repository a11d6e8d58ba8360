"""Grouping of tensor lists by device and dtype, as optimisers outside of PyTorch do it."""

from __future__ import annotations

from typing import Any

Indices = list[int]
TensorListList = list[list[Any]]


def _get_foreach_kernels_supported_devices() -> list[str]:
    return []


def _get_fused_kernels_supported_devices() -> list[str]:
    return []


def _group_tensors_by_device_and_dtype(tensorlistlist: TensorListList, with_indices: bool = False) -> dict:
    """``{(device, dtype): (lists, indices)}``: every list of ``tensorlistlist`` is split as the first one's tensors fall."""
    if not tensorlistlist or not tensorlistlist[0]:
        return {}
    groups: dict[tuple, tuple[TensorListList, Indices]] = {}
    for index, first in enumerate(tensorlistlist[0]):
        lists, indices = groups.setdefault((first.device, first.dtype), ([[] for _ in tensorlistlist], []))
        for group, column in zip(lists, tensorlistlist, strict=True):
            if column:
                group.append(column[index])
        if with_indices:
            indices.append(index)
    return groups


def _device_has_foreach_support(device) -> bool:
    return False


def _has_foreach_support(tensors: list, device) -> bool:
    """False: there are no kernels over lists of tensors; a list's operations are compiled into one program anyway."""
    return False
