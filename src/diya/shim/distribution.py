"""What `importlib.metadata` says about the package ``torch`` while diya stands in for it."""

from __future__ import annotations

from importlib.metadata import Distribution
from pathlib import Path

from . import PATH, shown_version


class Torch(Distribution):
    """diya under PyTorch's name."""

    def read_text(self, filename: str) -> str | None:
        return {"METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {shown_version()}\n",
                "top_level.txt": "torch\n"}.get(filename)

    def locate_file(self, path):
        return Path(PATH) / path
