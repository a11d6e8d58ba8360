"""Printing, under PyTorch's private names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from .printing import _append as _add_suffixes_to
from .printing import contents_str as _tensor_str
from .printing import get_printoptions, tensor_str
from .printing import printoptions as printoptions
from .printing import set_printoptions as set_printoptions

__all__ = ["_add_suffixes", "_str", "_str_intern", "_tensor_str", "printoptions", "set_printoptions"]


def __getattr__(name: str) -> Any:
    if name == "PRINT_OPTS":
        return SimpleNamespace(**get_printoptions())
    raise AttributeError(f"module 'torch._tensor_str' has no attribute {name!r}")


def _str(self, *, tensor_contents: str | None = None) -> str:
    return tensor_str(self, tensor_contents)


def _str_intern(inp, *, tensor_contents: str | None = None) -> str:
    return tensor_str(inp, tensor_contents)


def _add_suffixes(tensor_str: str, suffixes: list[str], indent: int, force_newline: bool) -> str:
    return _add_suffixes_to(tensor_str, suffixes, indent)
