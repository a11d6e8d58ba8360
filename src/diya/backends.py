"""``torch.backends``: switches of PyTorch's libraries. None of those libraries is here; the switches are accepted."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Backend(ModuleType):
    """A backend that is not there."""

    def __init__(self, name: str, **flags: Any):
        super().__init__(f"{__name__}.{name}")
        self.__dict__.update(flags)
        sys.modules[self.__name__] = self

    def is_available(self) -> bool:
        return False

    def is_built(self) -> bool:
        return False


cudnn = _Backend("cudnn", benchmark=False, deterministic=True, enabled=False, allow_tf32=False, version=lambda: None)
cuda = _Backend("cuda", matmul=ModuleType("matmul"))
cuda.matmul.allow_tf32 = False  # type: ignore[attr-defined]
mps = _Backend("mps")
mkl = _Backend("mkl")
mkldnn = _Backend("mkldnn", enabled=False)
openmp = _Backend("openmp")
opt_einsum = _Backend("opt_einsum", enabled=False, strategy=None)
