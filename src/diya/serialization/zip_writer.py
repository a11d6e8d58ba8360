"""Writes zip archives of uncompressed entries whose bytes begin at multiples of 64.

The output is a function of the content alone (no times, no modes), is written front to back without seeking, and has
64-bit fields only where they are needed (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3 and 4.5).
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

ALIGNMENT = 64
LIMIT32 = 0xFFFFFFFF
LIMIT16 = 0xFFFF
_UTF8 = 0x0800       # general purpose bit 11: names are UTF-8
_DATE = 0x0021       # 1980-01-01, the first day that the format knows
_PADDING = b"FB"     # the id of the extra field that pads, as PyTorch writes it


class ZipWriter:
    """Writes entries to ``stream`` (an object with ``write``), each under ``folder``."""

    def __init__(self, stream: Any, folder: str):
        self.stream, self.folder = stream, folder
        self.at = 0
        self.directory: list[bytes] = []

    def add(self, name: str, data: Any) -> None:
        """Writes one entry; ``data`` is anything with the buffer protocol, and is not copied."""
        view = memoryview(data).cast("B")
        path = f"{self.folder}/{name}".encode()
        size, start, crc = view.nbytes, self.at, zlib.crc32(view)
        large, far = size >= LIMIT32, start >= LIMIT32
        version = 45 if large or far else 20

        extra = struct.pack("<2H2Q", 1, 16, size, size) if large else b""
        padding = -(start + 30 + len(path) + len(extra) + 4) % ALIGNMENT
        extra += _PADDING + struct.pack("<H", padding) + b"Z" * padding
        short = LIMIT32 if large else size
        about = struct.pack("<4H3L", _UTF8, 0, 0, _DATE, crc, short, short)
        self.write(b"PK\3\4" + struct.pack("<H", version) + about + struct.pack("<2H", len(path), len(extra)) + path
                   + extra)
        self.write(view)

        fields = ((size, size) if large else ()) + ((start,) if far else ())
        extra = struct.pack(f"<2H{len(fields)}Q", 1, 8 * len(fields), *fields) if fields else b""
        self.directory.append(b"PK\1\2" + struct.pack("<2H", version, version) + about
                              + struct.pack("<5H2L", len(path), len(extra), 0, 0, 0, 0, LIMIT32 if far else start)
                              + path + extra)

    def close(self) -> None:
        """Writes the directory. Without it the file is not an archive."""
        start, count = self.at, len(self.directory)
        self.write(b"".join(self.directory))
        size = self.at - start
        if start >= LIMIT32 or size >= LIMIT32 or count >= LIMIT16:
            end = self.at
            self.write(b"PK\6\6" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, count, count, size, start))
            self.write(b"PK\6\7" + struct.pack("<LQL", 0, end, 1))
        count, size, start = min(count, LIMIT16), min(size, LIMIT32), min(start, LIMIT32)
        self.write(b"PK\5\6" + struct.pack("<4H2LH", 0, 0, count, count, size, start, 0))

    def write(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        self.at += view.nbytes
        while view.nbytes:
            written = self.stream.write(view)
            if written is None:  # streams that are not io objects take everything and say nothing
                break
            view = view[written:]
