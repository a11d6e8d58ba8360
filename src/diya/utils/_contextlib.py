"""Context managers that are decorators too, for libraries that derive theirs from PyTorch's."""

from __future__ import annotations

from typing import Any

from ..autograd.modes import _Switch as _DecoratorContextManager


class _NoParamDecoratorContextManager(_DecoratorContextManager):
    """One without parameters, which decorates by its bare name too."""

    def __new__(cls, orig_func: Any = None) -> Any:
        return super().__new__(cls) if orig_func is None else cls()(orig_func)
