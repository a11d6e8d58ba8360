"""Printing, under PyTorch's private names."""

from .printing import _append as _add_suffixes_to
from .printing import contents_str as _tensor_str
from .printing import printoptions as printoptions
from .printing import set_printoptions as set_printoptions
from .printing import tensor_str

__all__ = ["_add_suffixes", "_str", "_str_intern", "_tensor_str", "printoptions", "set_printoptions"]


def _str(self, *, tensor_contents: str | None = None) -> str:
    return tensor_str(self, tensor_contents)


def _str_intern(inp, *, tensor_contents: str | None = None) -> str:
    return tensor_str(inp, tensor_contents)


def _add_suffixes(tensor_str: str, suffixes: list[str], indent: int, force_newline: bool) -> str:
    return _add_suffixes_to(tensor_str, suffixes, indent)
