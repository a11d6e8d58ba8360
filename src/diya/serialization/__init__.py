"""Saving and loading: PyTorch's ``.pt`` files, read without a pickle machine, and the safetensors format.

    archive.py       save and load
    unpickler.py     the restricted reader of the pickle language     pickler.py     its writer
    tensors.py       what tensors are in a file, and back             limits.py      what a file may hold
    zip_reader.py    the container, checked before it is believed     zip_writer.py  aligned, deterministic
    source.py        bytes of a file, a stream or a memory map        atomic.py      all of a file or none of it
    safetensors.py   the other format

Nothing in a file is ever called: a file names what it wants made, and a table of a few dozen names says how.
"""

from typing import Any

from .archive import load, save
from .errors import CheckpointError
from .objects import add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals


def location_tag(storage: Any) -> str:
    """Where a file says that a storage was: "cpu"."""
    return str(storage.device)


def normalize_storage_type(storage_type: type) -> type:
    """The class of ``torch`` that stands for a class of storages in a file."""
    import diya
    return getattr(diya, storage_type.__name__)


DEFAULT_PROTOCOL = 2  # of the pickle language in files
MAP_LOCATION = Any  # what ``load(map_location=...)`` takes: a device, its name, a dict of names, or a function

__all__ = ["CheckpointError", "add_safe_globals", "clear_safe_globals", "get_safe_globals", "load", "safe_globals", "save"]
