"""Versions that compare as versions (``torch.torch_version``)."""

from __future__ import annotations

import re
from typing import Any


def _order(version: Any) -> tuple:
    """What a version sorts by: its numbers, releases after what precedes them (2.1.0a0, 2.1.0rc1), local parts last."""
    if isinstance(version, (tuple, list)):
        version = ".".join(map(str, version))
    public, _, local = str(version).partition("+")
    found = re.match(r"v?(\d+(?:\.\d+)*)(.*)", public)
    if found is None:
        raise ValueError(f"Invalid version: {version!r}")
    numbers = [int(n) for n in found[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    pre = re.match(r"[-_.]?(a|alpha|b|beta|rc|c|dev)[-_.]?(\d*)", found[2])
    stage = ("dev", "a", "b", "rc").index({"alpha": "a", "beta": "b", "c": "rc"}.get(pre[1], pre[1])) if pre else 4
    return tuple(numbers), stage, int(pre[2] or 0) if pre else 0, local


class TorchVersion(str):
    """A string that compares to other versions (strings, or tuples of numbers) as a version."""

    __hash__ = str.__hash__

    def __lt__(self, other: Any) -> bool:
        return self._compared(other, lambda a, b: a < b, str.__lt__)

    def __le__(self, other: Any) -> bool:
        return self._compared(other, lambda a, b: a <= b, str.__le__)

    def __gt__(self, other: Any) -> bool:
        return self._compared(other, lambda a, b: a > b, str.__gt__)

    def __ge__(self, other: Any) -> bool:
        return self._compared(other, lambda a, b: a >= b, str.__ge__)

    def __eq__(self, other: object) -> bool:
        return self._compared(other, lambda a, b: a == b, str.__eq__)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def _compared(self, other: Any, compare, plain) -> bool:
        try:
            return compare(_order(self), _order(other))
        except ValueError:  # not a version: as strings
            return plain(self, other)
