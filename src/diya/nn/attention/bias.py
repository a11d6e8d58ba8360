"""Causal masks for `scaled_dot_product_attention` where queries and keys differ in number."""

from __future__ import annotations

from enum import IntEnum, auto

import diya

from ...tensor import Tensor

__all__ = ["CausalVariant", "causal_lower_right", "causal_upper_left"]


class CausalVariant(IntEnum):
    """Which corner of the matrix of scores the diagonal goes through."""

    UPPER_LEFT = auto()
    LOWER_RIGHT = auto()


def causal_upper_left(*size: int) -> Tensor:
    """A mask of (queries, keys), True where a query may see a key: query i sees the keys up to i."""
    return _mask(size, lower_right=False)


def causal_lower_right(*size: int) -> Tensor:
    """As `causal_upper_left`, but the last query sees all keys, each before it one less."""
    return _mask(size, lower_right=True)


def _mask(size: tuple[int, ...], lower_right: bool) -> Tensor:
    if len(size) != 2:
        raise RuntimeError(f"a causal bias is a matrix of (queries, keys), got {len(size)} sizes")
    return diya.ones(*size, dtype=diya.bool).tril(size[1] - size[0] if lower_right else 0)
