"""Sizes that are not known: there are none, so every question about one has its plain answer."""

from __future__ import annotations

from ..._symbolic import is_symbolic as is_symbolic


def guard_size_oblivious(expr: bool) -> bool:
    return bool(expr)


guard_or_false = guard_or_true = statically_known_true = guard_size_oblivious


def has_free_symbols(value) -> bool:
    return False
