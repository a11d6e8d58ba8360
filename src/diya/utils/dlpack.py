"""``torch.utils.dlpack``: exchange of memory with other array libraries."""

from __future__ import annotations

from typing import Any

from ..ops.creation import from_dlpack as _from_dlpack


class _Capsule:
    """A capsule that says what it holds, as numpy asks."""

    def __init__(self, capsule: Any):
        self.capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # the CPU


def from_dlpack(ext_tensor: Any) -> Any:
    """A tensor on the memory of an array of another library, or of a capsule."""
    return _from_dlpack(ext_tensor if hasattr(ext_tensor, "__dlpack__") else _Capsule(ext_tensor))


def to_dlpack(tensor):
    """A capsule that other libraries' ``from_dlpack`` takes."""
    return tensor.__dlpack__()
