"""A cache that is bounded by what its values weigh."""

from __future__ import annotations

from typing import Any


class Bounded:
    """Values by key; when all together weigh more than ``most``, those that were not used for longest go, down to three quarters
    of that. The latest always stays."""

    __slots__ = ("most", "weight", "entries", "clock")

    def __init__(self, most: int):
        self.most, self.weight, self.clock = most, 0, 0
        self.entries: dict[Any, list] = {}  # value, weight, when it was used

    def get(self, key) -> Any:
        """The value of a key, which counts as used now; None if there is none. Hashes the key, which may be long, once."""
        found = self.entries.get(key)
        if found is None:
            return None
        self.clock += 1
        found[2] = self.clock
        return found[0]

    def put(self, key, value, weight: int) -> None:
        self.drop(key)
        self.clock += 1
        self.entries[key] = [value, weight, self.clock]
        self.weight += weight
        if self.weight > self.most:
            oldest = sorted(list(self.entries.items()), key=lambda item: item[1][2])
            for other, _ in oldest[:-1]:
                if 4 * self.weight <= 3 * self.most:
                    break
                self.drop(other)

    def drop(self, key) -> None:
        self.weight -= self.entries.pop(key, (None, 0))[1]

    def clear(self) -> None:
        self.entries.clear()
        self.weight = 0

    def values(self) -> list:
        return [entry[0] for entry in list(self.entries.values())]

    def __len__(self) -> int:
        return len(self.entries)
