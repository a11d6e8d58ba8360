"""Running a program: all of its steps by one native call."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..buffer import put_back, workspace
from . import threads as _threads
from .native import FAULT_IR, SHARE

__all__ = ["FAULT_IR", "Fault", "Replay", "Step"]


class Step(NamedTuple):
    """A call of a kernel ``void (ptr buffers, ptr args, i64 begin, i64 end, ptr scratch)`` for tasks [0, ``tasks``).

    ``refs``: (slot, byte offset) of each buffer. ``args``: 64-bit words (sizes, strides). ``scratch``: bytes of
    workspace for a thread. ``work``: roughly how many ns the step takes one core; it decides how many threads share
    it. ``grain``: the fewest tasks worth one call. Holding ``address`` (an `Entry`) keeps the code loaded.
    """

    address: int
    tasks: int
    refs: tuple[tuple[int, int], ...]
    args: tuple[int, ...]
    scratch: int = 0
    work: float = 0.0
    grain: int = 1


class Fault(RuntimeError):
    """A kernel found something wrong in data. ``code``, ``position`` and ``value`` are the kernel's own; ``step`` is
    the index of the step in its `Replay`."""

    def __init__(self, step: int, code: int, position: int, value: int):
        super().__init__(f"step {step} reported fault {code} at position {position} (value {value})")
        self.step, self.code, self.position, self.value = step, code, position, value


class Replay:
    """Steps laid out for the native runner. Immutable: several threads may run one at once, with slots of their own."""

    __slots__ = ("steps", "fault_slot", "_words", "_address", "_scratch", "_parallel")

    def __init__(self, steps: Sequence[Step], fault_slot: int = 2):
        self.steps, self.fault_slot = tuple(steps), fault_slot
        self._scratch = -(-max((s.scratch for s in steps), default=0) // 128) * 128
        self._parallel = max((int(min(s.work // SHARE, s.tasks)) for s in steps), default=1) > 1
        n = len(self.steps)
        refs_at = 6 + 8 * n
        args_at = refs_at + 2 * sum(len(s.refs) for s in steps)
        self._words = words = array("q", bytes(8 * (args_at + sum(len(s.args) for s in steps))))
        self._address = base = words.buffer_info()[0]
        words[0:6] = array("q", (base + 48, n, max((len(s.refs) for s in steps), default=0), fault_slot,
                                 self._scratch, _threads.pool()))
        for i, s in enumerate(self.steps):
            at = 6 + 8 * i
            words[at:at + 8] = array("q", (int(s.address), base + 8 * refs_at, len(s.refs), base + 8 * args_at,
                                           s.tasks, int(min(s.work, 1e18)), max(s.grain, 1), 0))
            for ref in s.refs:
                words[refs_at:refs_at + 2] = array("q", ref)
                refs_at += 2
            words[args_at:args_at + len(s.args)] = array("q", s.args)
            args_at += len(s.args)

    def run(self, slots: int, threads: int | None = None) -> None:
        """Runs all steps. ``slots`` is the address of an array of buffers' addresses, of which ``fault_slot`` is a
        record of 8 words, zero at the start. Raises `Fault`, after the step in which it happened."""
        if self._parallel:
            threads = threads or _threads.get_num_threads()
            _threads.start_workers(threads)
        else:
            threads = 1
        call = _call or _native()
        if self._scratch:
            scratch = workspace("scratch", self._scratch * threads)
            failed = call(self._address, slots, scratch.address, threads)
            put_back("scratch", scratch)
        else:
            failed = call(self._address, slots, 0, threads)
        if failed:
            raise self._fault(slots)

    def _fault(self, slots: int) -> Fault:
        record = ctypes.c_int64.from_address(slots + 8 * self.fault_slot).value
        code, position, value, step = (ctypes.c_int64 * 4).from_address(record)
        return Fault(step, code, position, value)


_call: Any = None


def _native() -> Any:
    global _call
    if _call is None:
        words = [ctypes.c_int64] * 4
        _call = ctypes.CFUNCTYPE(ctypes.c_int64, *words)(_threads.functions()["diya_replay"])
    return _call
