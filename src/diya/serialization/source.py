"""Where a file's bytes come from: something that can seek, or a memory map."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..runtime.buffer import ALIGNMENT, allocate
from .errors import CheckpointError


class StreamSource:
    """The bytes of a seekable binary file object from where it stands to its end."""

    copies = True

    def __init__(self, stream: Any):
        self.stream = stream
        try:
            self.start = stream.tell()
            self.size = stream.seek(0, os.SEEK_END)
            if self.size is None:
                self.size = stream.tell()
        except (AttributeError, OSError) as error:
            raise AttributeError(f"{error}. diya.load needs a file object that can read, seek and tell: read the data "
                                 "into an io.BytesIO and load from that") from error
        self.size -= self.start

    def read(self, offset: int, n: int) -> bytes:
        """Exactly ``n`` bytes, which must lie inside the file."""
        check(self, offset, n)
        self.stream.seek(self.start + offset)
        data = self.stream.read(n)
        if len(data) != n:
            raise CheckpointError(f"only {len(data)} of {n} bytes could be read: the file shrank while it was read")
        return data

    def array(self, offset: int, n: int) -> np.ndarray:
        """The same as a writable uint8 array, aligned for any dtype."""
        check(self, offset, n)
        array = allocate(n).array
        self.stream.seek(self.start + offset)
        done = 0
        readinto = getattr(self.stream, "readinto", None)
        while done < n:
            if readinto is not None:
                got = readinto(array[done:].data)
            else:
                piece = self.stream.read(min(n - done, 1 << 24))
                got = len(piece)
                array[done:done + got] = np.frombuffer(piece, np.uint8)
            if not got:
                raise CheckpointError(f"only {done} of {n} bytes could be read: the file shrank while it was read")
            done += got
        return array


class MappedSource:
    """A file mapped into memory: pages are read when they are first touched, and writes stay in this process.

    The arrays keep the map alive. The file must not be shortened in place while they live; replacing it, as `diya.save`
    does, is safe.
    """

    copies = False

    def __init__(self, path: str):
        import mmap
        with open(path, "rb") as file:
            self.size = os.fstat(file.fileno()).st_size
            if not self.size:
                raise CheckpointError("the file is empty")
            self.bytes = np.frombuffer(mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_COPY), np.uint8)

    def read(self, offset: int, n: int) -> bytes:
        check(self, offset, n)
        return self.bytes[offset:offset + n].tobytes()

    def array(self, offset: int, n: int) -> np.ndarray:
        check(self, offset, n)
        view = self.bytes[offset:offset + n]
        if offset % ALIGNMENT and n:  # not written by PyTorch or diya: what computes on it relies on alignment
            array = allocate(n).array
            array[:] = view
            return array
        return view


def check(source: StreamSource | MappedSource, offset: int, n: int) -> None:
    if offset < 0 or n < 0 or offset + n > source.size:
        raise CheckpointError(f"{n} bytes at {offset} lie outside of the file, which has {source.size}: it is cut "
                              "short or damaged")
