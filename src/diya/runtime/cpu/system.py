"""What the operating system gives: executable memory, hints for large memory, addresses of C functions."""

from __future__ import annotations

import ctypes
import mmap
import sys
from functools import cache

_WINDOWS = sys.platform == "win32"
PAGE = mmap.PAGESIZE


@cache
def _libraries() -> list:
    if _WINDOWS:
        names = ("kernel32", "ucrtbase", "ntdll")
        return [ctypes.WinDLL(n, use_last_error=True) for n in names]  # pyright: ignore
    found = [ctypes.CDLL(None)]
    if sys.platform.startswith("linux"):
        try:
            found.append(ctypes.CDLL("libm.so.6"))
        except OSError:
            pass  # musl: all of it is in libc
    return found


@cache
def symbol(name: str) -> int:
    """The address of a C function of this process. Raises NotImplementedError if there is none of that name."""
    for library in _libraries():
        try:
            return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
        except AttributeError:
            continue
    raise NotImplementedError(f"generated code calls {name}, which the C library of this system does not have")


@cache
def _calls():
    word, pointer = ctypes.c_size_t, ctypes.c_void_p
    library = _libraries()[0]
    if _WINDOWS:
        reserve, protect, release = library.VirtualAlloc, library.VirtualProtect, library.VirtualFree
        reserve.argtypes, reserve.restype = (pointer, word, ctypes.c_uint32, ctypes.c_uint32), pointer
        protect.argtypes = (pointer, word, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32))
        release.argtypes = (pointer, word, ctypes.c_uint32)
    else:
        reserve, protect, release = library.mmap, library.mprotect, library.munmap
        reserve.argtypes = (pointer, word, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
        reserve.restype = pointer
        protect.argtypes, release.argtypes = (pointer, word, ctypes.c_int), (pointer, word)
    return reserve, protect, release


def trim() -> None:
    """Has the C library give free memory back to the system, where it has a function for that."""
    call = getattr(_libraries()[0], "malloc_trim", None)
    if call is not None:
        call(ctypes.c_size_t(0))


def map_memory(nbytes: int) -> int:
    """Fresh zeroed pages of our own. Raises MemoryError."""
    reserve, _, _ = _calls()
    if _WINDOWS:
        address = reserve(None, nbytes, 0x3000, 0x04)  # MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE
    else:
        address = reserve(None, nbytes, 3, 0x1002 if sys.platform == "darwin" else 0x22, -1, 0)
        address = None if address == ctypes.c_size_t(-1).value else address
    if not address:
        raise MemoryError(f"out of memory: could not map {nbytes:,} bytes")
    return address


def seal(address: int, nbytes: int) -> None:
    """Makes mapped pages executable and no longer writable. Raises OSError where the system forbids that."""
    _, protect, _ = _calls()
    if _WINDOWS:
        old = ctypes.c_uint32()
        if not protect(address, nbytes, 0x20, ctypes.byref(old)):  # PAGE_EXECUTE_READ
            raise ctypes.WinError(ctypes.get_last_error())  # pyright: ignore
        library = _libraries()[0]
        library.FlushInstructionCache(ctypes.c_void_p(-1), ctypes.c_void_p(address), ctypes.c_size_t(nbytes))
        return
    if protect(address, nbytes, 5):
        raise OSError("the system does not allow executable memory (a hardened kernel or SELinux): compiled programs "
                      "cannot run here; set DIYA_TIER=0 to interpret")
    if sys.platform == "darwin":  # Linux itself flushes fresh pages that become executable
        ctypes.CDLL(None).sys_icache_invalidate(ctypes.c_void_p(address), ctypes.c_size_t(nbytes))


def unmap(address: int, nbytes: int) -> None:
    release = _calls()[2]
    if _WINDOWS:
        release(address, 0, 0x8000)  # MEM_RELEASE
    else:
        release(address, nbytes)


def advise_huge(address: int, nbytes: int) -> None:
    """Asks for huge pages over whole 2 MB blocks of a range, where the system has them."""
    if sys.platform.startswith("linux"):
        start = -(-address >> 21) << 21
        length = (address + nbytes - start) >> 21 << 21
        if length > 0:
            _madvise()(start, length, 14)  # MADV_HUGEPAGE


@cache
def _madvise():
    call = _libraries()[0].madvise
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return call
