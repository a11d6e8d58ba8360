"""Operators that libraries ship in PyTorch's binary form, as diya's own: `load_library` loads these in their place."""

from __future__ import annotations

import os

_STAND_INS = {("torchvision", "_C"): "vision", ("torchvision", "image"): "images"}  # by folder and name


def load_library(path: str | os.PathLike) -> None:
    """``torch.ops.load_library``. Raises OSError for a library of whose operators diya has none of its own."""
    from importlib import import_module

    folder, file = os.path.split(os.fspath(path))
    found = _STAND_INS.get((os.path.basename(folder), file.partition(".")[0]))
    if found is None:
        raise OSError(f"{path}: diya loads no libraries of compiled operators")
    import_module(f"{__name__}.{found}")
