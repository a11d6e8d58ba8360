"""``torch.hub``: no repository and no weights are fetched. The cache's folder is real, and files in it are loaded."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.error import HTTPError as HTTPError
from urllib.parse import urlparse as urlparse

from ._absent import absent

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")
_dir: str | None = None


def _get_torch_home() -> str:
    return os.path.expanduser(os.getenv("TORCH_HOME") or os.path.join(os.getenv("XDG_CACHE_HOME", "~/.cache"), "torch"))


def get_dir() -> str:
    """``$TORCH_HOME/hub``, or ``~/.cache/torch/hub``, or what `set_dir` said."""
    return _dir if _dir is not None else os.path.join(_get_torch_home(), "hub")


def set_dir(d: str) -> None:
    global _dir
    _dir = os.path.expanduser(d)


def load_state_dict_from_url(url: str, model_dir: str | None = None, map_location=None, progress: bool = True,
                             check_hash: bool = False, file_name: str | None = None, weights_only: bool = False):
    """Loads the file of that name from the cache. Raises NotImplementedError if it would have to be downloaded."""
    folder = model_dir or os.path.join(get_dir(), "checkpoints")
    path = os.path.join(folder, file_name or os.path.basename(urlparse(url).path))
    if not os.path.exists(path):
        raise NotImplementedError(f"torch.hub does not download: put the file of {url} at {path}")
    from .serialization import load
    return load(path, map_location=map_location, weights_only=weights_only)


class _Progress:
    """What ``tqdm`` is without the package of that name: an iterable and counter that shows nothing."""

    def __init__(self, iterable: Any = None, total: int | None = None, **options: Any):
        self.iterable, self.total, self.n = iterable, total, 0

    def __iter__(self):
        return iter(self.iterable)

    def update(self, n: int = 1) -> None:
        self.n += n

    def close(self) -> None:
        """Nothing is shown."""

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exc) -> None:
        pass


def __getattr__(name: str) -> Any:
    if name == "tqdm":
        try:
            from tqdm import tqdm
        except ModuleNotFoundError:
            return _Progress
        return tqdm
    return _find(name)


_find = absent(__name__, "load list help download_url_to_file", "diya does not download code or weights")
