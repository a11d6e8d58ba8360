"""Types that TorchScript annotations name."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple, TypeVar, Union  # noqa: UP035

T = TypeVar("T")
__all__ = ["BroadcastingList1", "BroadcastingList2", "BroadcastingList3", "Dict", "List", "Optional", "Tuple", "Union"]


class _Broadcasting:
    """``BroadcastingList2[int]``: one or a tuple of them, in any case the item's type to Python."""

    def __getitem__(self, item):
        return item


BroadcastingList1 = BroadcastingList2 = BroadcastingList3 = _Broadcasting()
