"""Helpers of PyTorch's that libraries borrow (``torch._utils``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .ops.movement import cat
from .tensor import Tensor, _from_storage


def _flatten_dense_tensors(tensors: Iterable[Tensor]) -> Tensor:
    """All elements of all tensors, in one vector."""
    return cat([t.reshape(-1) for t in tensors])


def _unflatten_dense_tensors(flat: Tensor, tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """A vector's elements as tensors of these shapes."""
    parts, at = [], 0
    for t in tensors:
        parts.append(flat[at:at + t.numel()].view(t.shape))
        at += t.numel()
    return tuple(parts)


def _get_available_device_type() -> None:
    """The kind of accelerator that is present: none."""


def _element_size(dtype: Any) -> int:
    """The bytes of an element."""
    return dtype.itemsize


def _get_device_index(device: Any, optional: bool = False, allow_cpu: bool = False) -> int:
    if allow_cpu and str(device) == "cpu":
        return -1
    raise ValueError(f"Expected a torch.device with a specified index or an integer, but got: {device}: there is only the CPU")


class ExceptionWrapper:
    """An exception on its way from another process or thread."""

    def __init__(self, exc_info: Any = None, where: str = "in background"):
        import sys
        import traceback
        kind, value, where_from = exc_info or sys.exc_info()
        self.exc_type, self.where = kind, where
        self.exc_msg = "".join(traceback.format_exception(kind, value, where_from))

    def reraise(self) -> None:
        """Raises an exception of its class with the traceback as its message."""
        raise self.exc_type(f"Caught {self.exc_type.__name__} {self.where}.\nOriginal {self.exc_msg}")  # type: ignore[misc]


# What plain pickles of tensors name, PyTorch's and here.


def _rebuild_tensor(storage: Any, storage_offset: int, size: tuple, stride: tuple) -> Tensor:
    return _from_storage(storage.untyped(), storage.dtype, size, stride, storage_offset)


def _rebuild_tensor_v2(storage: Any, storage_offset: int, size: tuple, stride: tuple, requires_grad: bool, backward_hooks: Any,
                       metadata: Any = None) -> Tensor:
    """A tensor on a storage."""
    if metadata:
        raise NotImplementedError("a conjugated or negated tensor in a plain pickle is not supported: save it with torch.save")
    return _rebuild_tensor(storage, storage_offset, size, stride).requires_grad_(requires_grad)


def _rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks: Any) -> Tensor:
    from .nn import Parameter
    return Parameter(data, requires_grad)


def _rebuild_parameter_with_state(data: Tensor, requires_grad: bool, backward_hooks: Any, state: Any) -> Tensor:
    made = _rebuild_parameter(data, requires_grad, backward_hooks)
    for name, value in (state or {}).items():
        setattr(made, name, value)
    return made
