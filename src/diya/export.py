"""``torch.export``: no ahead-of-time export. Refused where used."""

from __future__ import annotations

from typing import Any


class ExportedProgram:
    """No object is one."""


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)

    def refuse(*args, **kwargs):
        raise NotImplementedError(f"torch.export.{name} is not supported: diya compiles what runs and exports no programs")
    return refuse
