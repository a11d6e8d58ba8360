"""Reads zip archives of uncompressed entries, and believes nothing in them that it can check.

Every entry must lie inside the file, must not overlap another or the directory, must be described in the same way by
its own header and by the directory, and must match its checksum. So what an archive can make its reader allocate is at
most its own size. Compressed entries, which could break that, are not read: checkpoints never have any.
"""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .errors import CheckpointError
from .source import MappedSource, StreamSource

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_LIMIT32, _LIMIT16 = 0xFFFFFFFF, 0xFFFF
_ENCRYPTED, _SIZES_FOLLOW = 0x0001, 0x0008  # general purpose bits


class Entry(NamedTuple):
    """Where an entry's bytes are, and the CRC-32 of its content; ``method`` is 0 unless they are compressed."""

    name: str
    offset: int
    size: int
    crc: int
    method: int


class ZipReader:
    """The entries of an archive. Raises CheckpointError if any of it is not as it should be."""

    def __init__(self, source: StreamSource | MappedSource):
        self.source = source
        self.entries: dict[str, Entry] = {}
        start, size, count = self._find_directory()
        self._read_directory(source.read(start, size), count, start)
        # PyTorch can be told to write no checksums; it then writes zeros for all entries
        self.checksums = any(entry.crc for entry in self.entries.values())

    def read(self, name: str) -> bytes:
        """The bytes of a small entry, checked."""
        entry = self._entry(name)
        data = self.source.read(entry.offset, entry.size)
        self._verify(entry, data)
        return data

    def array(self, name: str) -> np.ndarray:
        """The bytes of an entry as a writable uint8 array: checked, unless the file is memory-mapped (checking would
        read all of it)."""
        entry = self._entry(name)
        data = self.source.array(entry.offset, entry.size)
        if self.source.copies:
            self._verify(entry, data)
        return data

    def _entry(self, name: str) -> Entry:
        entry = self.entries[name]
        if entry.method:
            raise CheckpointError(f"entry {name!r:.120} is compressed, which checkpoints never are: extract the "
                                  "archive and write it again without compression")
        return entry

    def _verify(self, entry: Entry, data) -> None:
        if self.checksums and zlib.crc32(data) != entry.crc:
            raise CheckpointError(f"entry {entry.name!r:.120} does not match its checksum: the file is damaged")

    # -- the directory -----------------------------------------------------------------------------------------------

    def _find_directory(self) -> tuple[int, int, int]:
        """(offset, size, number of entries) of the central directory, from the record at the end of the file."""
        source = self.source
        tail_size = min(source.size, _END.size + _LIMIT16)
        tail_start = source.size - tail_size
        tail = source.read(tail_start, tail_size)
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < _END.size:
            raise CheckpointError("the archive has no directory: the file is cut short or damaged")
        _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(tail, at)
        if at + _END.size + comment != len(tail):
            raise CheckpointError("the archive's end record does not stand at the end of the file")
        end = tail_start + at
        if end >= _LOCATOR.size:
            magic, disk64, end64, _ = _LOCATOR.unpack(source.read(end - _LOCATOR.size, _LOCATOR.size))
            if magic == b"PK\6\7":
                if end64 + _END64.size > end - _LOCATOR.size:
                    raise CheckpointError("the archive's 64-bit end record lies outside of the file")
                record = _END64.unpack(source.read(end64, _END64.size))
                if record[0] != b"PK\6\6":
                    raise CheckpointError("the archive's 64-bit end record is damaged")
                disk, first_disk, here, count, size, start = disk64 | record[4], *record[5:]
                end = end64
        if disk or first_disk or here != count:
            raise CheckpointError("archives in several parts are not supported")
        if start + size != end:
            raise CheckpointError(f"the archive's directory ({size} bytes at {start}) does not end where its end "
                                  f"record begins ({end}): the file is damaged")
        return start, size, count

    def _read_directory(self, directory: bytes, count: int, end: int) -> None:
        """Reads and checks ``count`` entries; their bytes must lie before ``end``."""
        at = 0
        spans = []
        for _ in range(count):
            if len(directory) - at < _CENTRAL.size:
                raise CheckpointError("the archive's directory is cut short")
            (magic, _, _, flags, method, _, _, crc, stored, size, name_size, extra_size, comment_size, disk, _, _,
             header) = _CENTRAL.unpack_from(directory, at)
            at += _CENTRAL.size
            if magic != b"PK\1\2" or len(directory) - at < name_size + extra_size + comment_size:
                raise CheckpointError("the archive's directory is damaged")
            raw_name = directory[at:at + name_size]
            extra = directory[at + name_size:at + name_size + extra_size]
            at += name_size + extra_size + comment_size
            name = _check_name(raw_name)
            if name in self.entries:
                raise CheckpointError(f"the archive has two entries named {name!r:.120}")
            stored, size, header = _wide_fields(extra, (stored, size, header))
            if flags & _ENCRYPTED or disk or (stored != size and not method):
                raise CheckpointError(f"entry {name!r:.120} is encrypted, in another part of the archive, or damaged")
            start = self._check_header(header, raw_name, method, stored, size, crc)
            if start + stored > end:
                raise CheckpointError(f"entry {name!r:.120} ({stored} bytes at {start}) lies outside of the archive's "
                                      "data: the file is cut short or damaged")
            spans.append((header, start + stored, name))
            self.entries[name] = Entry(name, start, stored, crc, method)
        if at != len(directory):
            raise CheckpointError("the archive's directory holds more than its entries")
        spans.sort()
        for (_, before, a), (after, _, b) in pairwise(spans):
            if after < before:
                raise CheckpointError(f"entries {a!r:.120} and {b!r:.120} overlap")

    def _check_header(self, header: int, name: bytes, *expected: int) -> int:
        """Checks an entry's own header against what the directory says; returns where its bytes begin."""
        magic, _, flags, method, _, _, crc, stored, size, name_size, extra_size = _LOCAL.unpack(
            self.source.read(header, _LOCAL.size))
        agrees = magic == b"PK\3\4" and method == expected[0] and not flags & _ENCRYPTED and name_size == len(name)
        if agrees and not flags & _SIZES_FOLLOW:
            agrees = crc == expected[3] and stored in (expected[1], _LIMIT32) and size in (expected[2], _LIMIT32)
        if not agrees or self.source.read(header + _LOCAL.size, name_size) != name:
            raise CheckpointError(f"the header of entry {name!r:.120} disagrees with the archive's directory")
        return header + _LOCAL.size + name_size + extra_size


def _check_name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise CheckpointError("an entry's name is not UTF-8") from None
    if not name or name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"):
        raise CheckpointError(f"an entry is named {name!r:.120}, which is not a plain relative path")
    return name


def _wide_fields(extra: bytes, fields: tuple[int, ...]) -> tuple[int, ...]:
    """(stored size, size, header offset), with 64-bit values in place of those that do not fit in 32 bits."""
    if _LIMIT32 not in fields:
        return fields
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        body = extra[at + 4:at + 4 + length]
        at += 4 + length
        if kind == 1:
            stored, size, header = fields
            order = [size, stored, header]  # as the field stores them, those present only
            wide = iter(struct.unpack(f"<{len(body) // 8}Q", body[:len(body) // 8 * 8]))
            try:
                size, stored, header = (next(wide) if value == _LIMIT32 else value for value in order)
            except (StopIteration, RuntimeError, ValueError):
                break
            return stored, size, header
    raise CheckpointError("the archive's directory is damaged: a 64-bit field is missing")
