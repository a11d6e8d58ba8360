"""What a saved object may look like: shared by the reader and the writer, so that what is written can be read."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 100             # containers in containers; state dicts use fewer than ten
MAX_VALUES = 100_000_000    # counting what is shared each time it is seen: a few shared lists can unfold to 2**100
MAX_INT_BYTES = 255         # the most that PyTorch's own reader takes
MAX_KEY_PARTS = 64

_PLAIN_KEYS = frozenset((str, bytes, bool, float, type(None)))


def check_key(key: object) -> None:
    """Raises TypeError unless ``key`` is a dict key or set member that is cheap to hash: a tuple can be built to cost
    2**100 steps, or a native stack, and big integers and complex numbers can all be chosen to collide."""
    parts: list[Any] = [key]
    seen = 0
    while parts:
        part = parts.pop()
        seen += 1
        kind = type(part)
        if kind in _PLAIN_KEYS:
            continue
        if kind is int:
            if not -(1 << 63) <= part < 1 << 63:
                raise TypeError("an integer key of more than 64 bits")
        elif isinstance(part, tuple):
            parts.extend(part[:MAX_KEY_PARTS])
            if seen + len(part) > MAX_KEY_PARTS or len(parts) > MAX_KEY_PARTS:
                raise TypeError(f"a tuple key of more than {MAX_KEY_PARTS} parts")
        else:
            raise TypeError(f"a key of type {kind.__name__} (keys are str, bytes, int, float, bool, None or tuples of "
                            "these)")
        if seen > MAX_KEY_PARTS:
            raise TypeError(f"a tuple key of more than {MAX_KEY_PARTS} parts")
