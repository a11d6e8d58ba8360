"""LLVM text to callable addresses, compiled at most once: a memory cache before a disk cache before LLVM.

The unit is a module: the text that defines one kernel. Its key is a hash of the text, the target and the version of
LLVM, so an entry never becomes stale. Modules that must be compiled are shared out over threads (LLVM runs without the
interpreter lock).
"""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from weakref import WeakValueDictionary

from . import features, image, llvm, store, system
from .features import Target

MEMORY_LIMIT = 64 << 20  # bytes of code that no program uses, kept mapped in case one does again


class Counters:
    """What loading has done so far."""

    __slots__ = ("compiled", "disk_hits", "memory_hits")

    def __init__(self):
        self.compiled = self.disk_hits = self.memory_hits = 0

    def __repr__(self):
        return f"Counters(compiled={self.compiled}, disk_hits={self.disk_hits}, memory_hits={self.memory_hits})"


counters = Counters()


class Code:
    """Code mapped into the process, until nothing refers to it."""

    __slots__ = ("symbols", "address", "nbytes", "__weakref__")

    def __init__(self, linked: image.Image):
        self.nbytes = -(-len(linked.code) // system.PAGE) * system.PAGE
        self.address = system.map_memory(self.nbytes)
        code = bytearray(linked.code)
        for at, name in linked.externals:
            code[at:at + 8] = system.symbol(name).to_bytes(8, "little")
        for at, target in linked.bases:
            code[at:at + 8] = (self.address + target).to_bytes(8, "little")
        system.ctypes.memmove(self.address, bytes(code), len(code))
        system.seal(self.address, self.nbytes)
        self.symbols = linked.symbols

    def entry(self, symbol: str) -> Entry:
        try:
            made = Entry(self.address + self.symbols[symbol])
        except KeyError:
            raise KeyError(f"module defines {', '.join(self.symbols)}, not {symbol}") from None
        made.code = self
        return made

    def __del__(self, unmap=system.unmap, ending=sys.is_finalizing):
        if not ending() and hasattr(self, "symbols"):
            unmap(self.address, self.nbytes)


class Entry(int):
    """The address of a function. Its code stays mapped while this object lives."""

    code: Code


_lock = threading.Lock()
_all: WeakValueDictionary[str, Code] = WeakValueDictionary()  # all code that is mapped
_recent: OrderedDict[str, Code] = OrderedDict()  # what is kept though nobody may use it; last used last
_recent_bytes = 0
_pending: dict[str, threading.Event] = {}  # being compiled by some thread


def load(codes: Sequence[tuple[str, str]], target: Target | None = None) -> list[Entry]:
    """The addresses of functions, each given by its name and the text of the module that defines it.

    Raises `llvm.CompileError` if LLVM refuses a text.
    """
    target = target or features.host()
    keys = [module_key(text, target) for _, text in codes]
    wanted = dict(zip(keys, (text for _, text in codes), strict=True))
    found: dict[str, Code] = {}
    while len(found) < len(wanted):
        mine, others = [], []
        with _lock:
            for key in wanted:
                if key in found:
                    continue
                code = _all.get(key)
                if code is not None:
                    counters.memory_hits += 1
                    found[key] = code
                    _keep(key, code)
                elif key in _pending:
                    others.append(_pending[key])
                else:
                    _pending[key] = threading.Event()
                    mine.append(key)
        try:
            for key, code in _fetch(mine, wanted, target):
                with _lock:
                    _all[key] = found[key] = code
                    _keep(key, code)
        finally:
            with _lock:
                for key in mine:
                    _pending.pop(key).set()
        for event in others:  # then looked up again; if that thread failed, it is our turn to fail
            event.wait()
    return [found[key].entry(symbol) for key, (symbol, _) in zip(keys, codes, strict=True)]


def module_key(text: str, target: Target) -> str:
    """The name of a module's code in the caches."""
    return store.key(text, target.triple, target.cpu, target.features, *features.llvmlite_version(), llvm.PIPELINE,
                     image.FORMAT)


def assembly(text: str, target: Target | None = None) -> str:
    """The assembly that a module becomes, for ``explain`` and to check targets that are not the host."""
    return llvm.assembly(text, target or features.host())


def optimised(text: str, target: Target | None = None) -> str:
    """A module's text after LLVM's passes."""
    return llvm.optimised(text, target or features.host())


def forget() -> None:
    """Empties the memory cache (code in use stays mapped and is no longer found)."""
    global _recent_bytes
    with _lock:
        _recent.clear()
        _all.clear()
        _recent_bytes = 0


def _after_fork() -> None:
    """In a forked child: no other thread is compiling or holds the lock."""
    global _lock
    _lock = threading.Lock()
    _pending.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _keep(key: str, code: Code) -> None:
    """Marks code as used last, and lets the code go that was used longest ago if there is too much."""
    global _recent_bytes
    if key in _recent:
        _recent.move_to_end(key)
        return
    _recent[key] = code
    _recent_bytes += code.nbytes
    while _recent_bytes > MEMORY_LIMIT and len(_recent) > 1:
        _, old = _recent.popitem(last=False)
        _recent_bytes -= old.nbytes


def _fetch(keys: list[str], texts: dict[str, str], target: Target) -> Iterable[tuple[str, Code]]:
    missing = []
    for key in keys:
        packed = store.read(key)
        if packed is None:
            missing.append(key)
        else:
            counters.disk_hits += 1
            yield key, Code(image.Image.unpack(packed))
    yield from zip(missing, _in_parallel(lambda key: _compile(key, texts[key], target), missing), strict=True)


def _compile(key: str, text: str, target: Target) -> Code:
    linked = image.link(llvm.object_code(text, target))
    with _lock:
        counters.compiled += 1
    store.write(key, linked.pack())
    return Code(linked)


def _in_parallel(function: Callable, items: list) -> list:
    """``[function(x) for x in items]`` on as many threads as there are cores; the first exception is raised."""
    workers = min(len(items), features.cores())
    if workers <= 1:
        return [function(x) for x in items]
    results, errors, queue = [None] * len(items), [], iter(range(len(items)))

    def work():
        for i in queue:  # the interpreter lock makes this shared iterator safe
            try:
                results[i] = function(items[i])
            except BaseException as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers - 1)]
    for t in threads:
        t.start()
    work()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    return results
