"""The disk cache: immutable entries named by a hash of all that they depend on.

Entries are written to a temporary file and renamed, so a reader sees a whole entry or none and concurrent writers of
one entry write the same bytes. A checksum finds what a crash or a full disk left behind. The directory is kept below
a size by dropping the entries that were used longest ago. Nothing here raises: a cache that cannot be read or written
(a read-only or full file system) is a cache that misses.
"""

from __future__ import annotations

import os
import sys

LIMIT = 256 << 20
_MAGIC = b"diya-1\n"
_SUFFIX = ".bin"
_RECENT = 86400.0  # a hit refreshes the time of use at most once a day
_written = 0  # bytes since the directory was last measured


def directory() -> str:
    """``DIYA_CACHE_DIR``, or ``diya`` in the user's cache directory of this platform."""
    given = os.environ.get("DIYA_CACHE_DIR")
    if given:
        return given
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~\\AppData\\Local")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "diya")


def key(*parts: str) -> str:
    """The name of the entry that depends on exactly these texts."""
    from hashlib import blake2b

    h = blake2b(digest_size=20)
    for part in parts:
        data = part.encode()
        h.update(len(data).to_bytes(8, "little"))
        h.update(data)
    return h.hexdigest()


def read(name: str) -> bytes | None:
    """The entry's bytes; None if there is none, or if it is damaged (it is then removed)."""
    path = os.path.join(directory(), name + _SUFFIX)
    try:
        with open(path, "rb") as f:
            data = f.read()
            used = os.fstat(f.fileno()).st_mtime
    except OSError:
        return None
    payload = _checked(data)
    try:
        if payload is None:
            os.unlink(path)
        else:
            import time

            if time.time() - used > _RECENT:
                os.utime(path)
    except OSError:
        pass
    return payload


def write(name: str, payload: bytes) -> bool:
    """Stores an entry; False if the directory cannot be written."""
    global _written
    where = directory()
    temporary = os.path.join(where, f"{name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        os.makedirs(where, mode=0o700, exist_ok=True)
        with open(temporary, "wb") as f:
            f.write(_MAGIC + _digest(payload) + payload)
        os.replace(temporary, os.path.join(where, name + _SUFFIX))
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        return False
    if not _written or _written > LIMIT >> 4:
        trim(LIMIT)
        _written = 0
    _written += len(payload) + 1
    return True


def trim(limit: int) -> int:
    """Removes the entries used longest ago until ``limit`` bytes are kept; returns the bytes kept."""
    entries = []
    try:
        with os.scandir(directory()) as found:
            for e in found:
                if e.name.endswith((_SUFFIX, ".tmp")):
                    status = e.stat()
                    entries.append((status.st_mtime, status.st_size, e.path))
    except OSError:
        return 0
    total = sum(size for _, size, _ in entries)
    if total <= limit:
        return total
    for _, size, path in sorted(entries):
        try:
            os.unlink(path)
        except OSError:
            continue
        total -= size
        if total <= limit * 3 // 4:  # some slack, so that a full cache is not measured at every write
            break
    return total


def _digest(payload: bytes) -> bytes:
    from hashlib import blake2b

    return blake2b(payload, digest_size=16).digest()


def _checked(data: bytes) -> bytes | None:
    head = len(_MAGIC) + 16
    if data[:len(_MAGIC)] != _MAGIC or data[len(_MAGIC):head] != _digest(data[head:]):
        return None
    return data[head:]
