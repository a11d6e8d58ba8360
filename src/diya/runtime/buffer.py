"""Buffers: bytes in memory at a known address, owned or borrowed; and the pool that owned ones come from.

Fresh memory is slow (the system zeroes each page when it is first touched), so blocks are used again. A block returns
to the pool when the last array over it is gone, not when the `Buffer` is: numpy views of a tensor may outlive it.
Sizes are rounded up to one of eight in each power of two. Blocks of 2 MB and more lie on huge pages where the system
has them. What is live plus what is kept free stays within one and a half times the most that was ever live at once, and
a large block takes the place of free ones where it would exceed that most.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections import deque
from typing import Any
from weakref import ref

import numpy as np

ALIGNMENT = 64
HUGE = 2 << 20
_FLOOR = 64 << 20  # bytes that may be kept however little was live


_new = object.__new__


class Buffer:
    """``nbytes`` bytes at ``address``. ``array`` is a uint8 numpy array over exactly them, and keeps them alive.

    ``whole`` is the buffer that this one is a part of, if any: it counts as in use while the part lives. ``span``: of a
    buffer whose array nobody has asked for yet, the array that it lies in, and where.
    """

    __slots__ = ("array", "address", "nbytes", "whole", "span", "__weakref__")

    def __getattr__(self, name: str):
        if name != "array":
            raise AttributeError(f"'Buffer' object has no attribute {name!r}")
        array, start = self.span
        self.array = array = array[start:start + self.nbytes]
        return array

    def __init__(self, array: np.ndarray, address: int | None = None, whole: Buffer | None = None):
        self.array = array
        self.whole = whole
        self.nbytes = array.nbytes
        self.address = array.__array_interface__["data"][0] if address is None else address

    @staticmethod
    def of(array: np.ndarray) -> Buffer:
        """The buffer of an array's own memory (a copy only if it is not C-contiguous)."""
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
        return Buffer(array.reshape(-1).view(np.uint8))

    def part(self, start: int, nbytes: int) -> Buffer:
        """``nbytes`` of this buffer's memory from byte ``start`` on."""
        b = _new(Buffer)
        b.address, b.nbytes, b.whole, b.span = self.address + start, nbytes, self, (self.array, start)
        return b

    def split(self, spans: list[tuple[int, int]]) -> list[Buffer]:
        """Buffers of their own over disjoint (start, bytes) of this one's memory, which lives as long as one of them."""
        made = []
        array, address = self.array, self.address
        for start, nbytes in spans:
            b = _new(Buffer)
            b.address, b.nbytes, b.whole, b.span = address + start, nbytes, None, (array, start)
            made.append(b)
        return made

    def typed(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return np.ndarray(shape, dtype, self.array)


class _Block:
    """Memory of one size class; ``view`` keeps it alive."""

    __slots__ = ("view", "address", "nbytes")

    def __init__(self, nbytes: int):
        memory: Any
        if nbytes >= HUGE:
            memory, align = _mapped(nbytes + HUGE), HUGE
        else:
            memory, align = np.empty(nbytes + ALIGNMENT, np.uint8), ALIGNMENT
        base = np.frombuffer(memory, np.uint8).__array_interface__["data"][0]
        start = -base % align
        self.view = memoryview(memory)[start:start + nbytes]
        self.address, self.nbytes = base + start, nbytes


def _mapped(nbytes: int) -> mmap.mmap:
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, nbytes)
    memory = mmap.mmap(-1, nbytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # Python's default is shared with children
    if hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            memory.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            pass  # a kernel without them
    return memory


class _Lease(ref):
    """An array over a block, watched: when it goes, the block is free."""

    __slots__ = ("block",)


_sizes: dict[int, int] = {}  # of a class, by the bytes wanted


def _size_class(nbytes: int) -> int:
    step = 1 << max((nbytes - 1).bit_length() - 4, 6)
    if len(_sizes) > 4096:
        _sizes.clear()
    _sizes[nbytes] = size = -(-nbytes // step) * step or step
    return size


class Pool:
    """Blocks by size, and the account of them. Thread-safe; a lease that ends only notes so (`_ended.append` runs at
    any point of any thread), and the note is read at the next call."""

    def __init__(self):
        self._lock = threading.RLock()  # reentrant: a finalizer that runs while it is held may allocate
        self._free: dict[int, list[_Block]] = {}
        self._leases: dict[int, _Lease] = {}
        self._ended: deque[_Lease] = deque()
        self.live = self.peak = self.reserved = self.reserved_peak = self.allocations = 0

    def allocate(self, nbytes: int) -> Buffer:
        size = _sizes.get(nbytes) or _size_class(nbytes)
        with self._lock:
            if self._ended:
                self._collect()
            free = self._free.get(size)
            block = free.pop() if free else self._fresh(size, nbytes)
            array = np.frombuffer(block.view, np.uint8, nbytes) if nbytes else np.empty(0, np.uint8)
            lease = _Lease(array, self._ended.append)
            lease.block = block
            self._leases[id(lease)] = lease
            self.allocations += 1
            self.live = live = self.live + size
            if live > self.peak:
                self.peak = live
        b = _new(Buffer)
        b.array, b.address, b.nbytes, b.whole = array, block.address, nbytes, None
        return b

    def _fresh(self, size: int, nbytes: int) -> _Block:
        """A new block of a size class; room for it is made first among those kept free."""
        kept = max(self.peak, self.live + size)
        self._release(max(_FLOOR, kept if size >= _FLOOR else 3 * kept // 2) - size)  # a large one takes the place of others
        try:
            block = _Block(size)
        except (MemoryError, OSError, OverflowError, ValueError):
            self._release(0)
            try:
                block = _Block(size)
            except (MemoryError, OSError, OverflowError, ValueError):
                raise MemoryError(f"out of memory: could not allocate {nbytes:,} bytes on the CPU "
                                  f"({self.live:,} bytes are live in tensors)") from None
        self.reserved += size
        self.reserved_peak = max(self.reserved, self.reserved_peak)
        return block

    def _collect(self) -> None:
        while self._ended:
            lease = self._ended.popleft()
            del self._leases[id(lease)]
            block = lease.block
            size = block.nbytes
            self.live -= size
            free = self._free.get(size)
            if free is None:
                self._free[size] = [block]
            else:
                free.append(block)

    def _release(self, reserved: int) -> None:
        """Gives free blocks back to the system until ``reserved`` bytes are held, those of the oldest sizes first."""
        for size in list(self._free):
            if self.reserved <= reserved:
                return
            blocks = self._free[size]
            while blocks and self.reserved > reserved:
                blocks.pop()
                self.reserved -= size
            if not blocks:
                del self._free[size]  # so that it counts as new when it comes again

    def empty_cache(self, kept: int = 0) -> None:
        with self._lock:
            self._collect()
            self._release(self.live + kept if kept else 0)

    def stats(self) -> dict[str, int]:
        with self._lock:
            self._collect()
            return {"allocated_bytes.current": self.live, "allocated_bytes.peak": self.peak,
                    "reserved_bytes.current": self.reserved, "reserved_bytes.peak": self.reserved_peak,
                    "allocation.current": len(self._leases), "allocation.allocated": self.allocations}

    def reset_peak(self) -> None:
        with self._lock:
            self._collect()
            self.peak, self.reserved_peak = self.live, self.reserved

    def _after_fork(self) -> None:
        self._lock = threading.RLock()  # a thread that the child does not have may have held it


_pool = Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool._after_fork)


def allocate(nbytes: int) -> Buffer:
    """An uninitialised buffer, aligned for vector loads. Raises MemoryError, naming the size, if there is none."""
    return _pool.allocate(nbytes)


KEPT = 1 << 18  # bytes of a workspace that a thread keeps


class _Workspaces(threading.local):
    """Of each thread: memory that programs used until they ended, for the next one."""

    def __init__(self):
        self.kept: dict[str, Buffer] = {}


_workspaces = _Workspaces()


def workspace(purpose: str, nbytes: int) -> Buffer:
    """At least so many bytes, to be given back by `put_back` when the program has ended."""
    found = _workspaces.kept.pop(purpose, None)
    return found if found is not None and found.nbytes >= nbytes else allocate(nbytes)


def put_back(purpose: str, buffer: Buffer) -> None:
    """Keeps a workspace for the thread's next program, if it is small."""
    if buffer.nbytes <= KEPT:
        _workspaces.kept[purpose] = buffer


def empty_cache() -> None:
    """Gives memory that no tensor uses back to the system."""
    _pool.empty_cache()


def after_a_first_run() -> None:
    """Gives most of what no tensor uses back: an interpreted program needs memory of other sizes than compiled ones."""
    if _pool.reserved - _pool.live > _FLOOR:
        _pool.empty_cache(_FLOOR // 4)
        from .cpu.system import trim
        trim()


def stats() -> dict[str, int]:
    """Bytes in use (``allocated_bytes``) and held from the system (``reserved_bytes``), current and peak, and counts;
    named as by ``torch.cuda.memory_stats``. Sizes are those of blocks."""
    return _pool.stats()


def reset_peak() -> None:
    """Starts the peaks of `stats` anew at what is current."""
    _pool.reset_peak()
