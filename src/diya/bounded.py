"""A cache that is bounded by what its values weigh."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any


class Bounded:
    """Values by key; while all together weigh more than ``most``, the least lately used goes. The latest always stays."""

    __slots__ = ("most", "weight", "entries")

    def __init__(self, most: int):
        self.most, self.weight = most, 0
        self.entries: OrderedDict[Any, tuple[Any, int]] = OrderedDict()

    def get(self, key) -> Any:
        """The value of a key, which counts as used now; None if there is none."""
        found = self.entries.get(key)
        if found is None:
            return None
        try:
            self.entries.move_to_end(key)
        except KeyError:  # another thread has let it go
            pass
        return found[0]

    def put(self, key, value, weight: int) -> None:
        self.drop(key)
        self.entries[key] = value, weight
        self.weight += weight
        while self.weight > self.most and len(self.entries) > 1:
            self.weight -= self.entries.popitem(last=False)[1][1]

    def drop(self, key) -> None:
        self.weight -= self.entries.pop(key, (None, 0))[1]

    def clear(self) -> None:
        self.entries.clear()
        self.weight = 0

    def values(self) -> list:
        return [value for value, _ in self.entries.values()]

    def __len__(self) -> int:
        return len(self.entries)
