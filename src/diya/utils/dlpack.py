"""``torch.utils.dlpack``: exchange of memory with other array libraries."""

from __future__ import annotations

from ..ops.creation import from_dlpack as from_dlpack


def to_dlpack(tensor):
    """A capsule that other libraries' ``from_dlpack`` takes."""
    return tensor.__dlpack__()
