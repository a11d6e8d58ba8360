"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Any]:
    """A binary file to write to, which takes the place of ``path`` when the block ends without an error.

    The bytes go to a new file beside it and are on disk before it is renamed, so a full disk, a kill or a power cut
    leaves what was there before. Links are followed, permissions kept. What is not a regular file (a pipe, a device) is
    written to directly. Raises RuntimeError if the folder does not exist.
    """
    target = os.path.realpath(os.fspath(path))
    folder, name = os.path.split(target)
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {folder} does not exist: create it with os.makedirs first")
    mode = None
    if os.path.exists(target):
        mode = os.stat(target).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(f"{target} is a directory: give the name of a file in it")
        if not stat.S_ISREG(mode):
            with open(target, "wb") as file:
                yield file
            return
    temporary = os.path.join(folder, f".{name[:100]}.{os.getpid()}-{os.urandom(6).hex()}.tmp")
    file = open(temporary, "xb")
    try:
        with file:
            yield file
            file.flush()
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Makes the rename itself survive a power cut, where folders can be synced (not on Windows)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems cannot; the file itself is complete
    finally:
        os.close(handle)
