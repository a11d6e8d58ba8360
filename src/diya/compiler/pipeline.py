"""The line: a graph to a program, stage by stage.

    graph ▶ join folds ▶ split sums ▶ schedule ▶ lower ▶ optimise ▶ plan memory ▶ emit ▶ load ▶ run

Every stage is a pure function from one printable value to the next; `Program.stages` shows them all. Memory is planned
once the kernels are known, because only their index maps say which buffers may be shared.

A program's kernels depend on ranks, dtypes and stride patterns, never on sizes, so a graph that differs from an earlier
one in sizes alone goes through the line in Python and compiles nothing: its kernels' keys are found in `_entries`.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections import OrderedDict
from contextlib import suppress
from typing import Any

from .. import interpret
from ..counters import counters
from ..graph import SCALAR, Graph
from ..runtime.blas import Threads
from ..runtime.buffer import Buffer, allocate, put_back, workspace
from ..runtime.cpu import features, load, replay
from ..runtime.cpu.threads import get_num_threads
from . import lower as lowering
from . import optimise as optimisation
from . import schedule as scheduling
from .contraction import lower_contraction
from .folds import join_folds
from .loops import Launch
from .plan import ARENA, FAULTS, FIRST, SCALARS, Plan, plan
from .scan import lower_scan
from .schedule import Schedule, Step
from .split import split_sums
from .straight import straighten

MAX_ENTRIES = 4096   # kernels kept by key
SMALL = 4096         # bytes of outputs that share one allocation, and the most that they share
SHARED = 16 * SMALL

_entries: OrderedDict[tuple, load.Entry] = OrderedDict()
VERIFY = False       # tests turn it on: every stage's verifier runs
watch: Any = None    # watch(program, arguments) gives the segments that a run goes through (see profiler/timing.py)


def launches_of(schedule: Schedule, target: features.Target) -> list[Launch]:
    """Lowers and optimises every step; a step that is no kernel becomes a launch without code."""
    temporaries = [len(schedule.graph.code)]
    out: list[Launch] = []
    for lowered in lowering.lower(schedule):
        if lowered.kernel is not None:
            if VERIFY:
                lowered.kernel.verify()
            out += optimisation.optimise(lowered, target, temporaries)
        elif lowered.contraction is not None:
            copies, (c, a, b, result, epilogue, values) = straighten(lowered, target, temporaries)
            out += copies
            out += [x._replace(step=lowered.step) for x in lower_contraction(c, a, b, result, epilogue, target, values)]
        elif lowered.step.kind == "scan":
            out.append(lower_scan(schedule, lowered.step, target))
        else:
            step = lowered.step
            reads = tuple(dict.fromkeys(r.value for r in step.reads))
            out.append(Launch("", str, reads + step.members, (), 0, tuple(range(len(reads), len(reads) + len(step.members))),
                              step=step))
    return out


def symbol_of(key: str) -> str:
    return "diya_" + hashlib.blake2b(key.encode(), digest_size=10).hexdigest()


def load_kernels(launches: list[Launch], target: features.Target) -> dict[str, load.Entry]:
    """The code of every kernel by key; writes and compiles those that are not known yet."""
    found: dict[str, load.Entry] = {}
    new: list[tuple[str, str, str]] = []
    for launch in launches:
        key = launch.key
        if key and key not in found:
            entry = _entries.get((target, key))
            if entry is None:
                symbol = symbol_of(key)
                new.append((key, symbol, launch.text(symbol)))
                found[key] = None  # type: ignore[assignment]
            else:
                found[key] = entry
                with suppress(KeyError):  # another thread has let it go
                    _entries.move_to_end((target, key))
    if new:
        before = load.counters.compiled
        entries = load.load([(symbol, text) for _, symbol, text in new], target)
        counters.kernels_compiled += load.counters.compiled - before
        for (key, _, _), entry in zip(new, entries, strict=True):
            found[key] = _entries[target, key] = entry
        while len(_entries) > MAX_ENTRIES:
            _entries.popitem(last=False)
    return found


def compile_graph(graph: Graph, target: features.Target | None = None) -> Program:
    """A graph as a program of native kernels. Pure but for the caches of code; safe in any thread."""
    graph = split_sums(join_folds(graph))
    if VERIFY:
        graph.verify()
    target = target or features.host()
    schedule = scheduling.schedule(graph)
    if VERIFY:
        schedule.verify()
    launches = launches_of(schedule, target)
    planned = plan(schedule, launches)
    counters.bytes_planned += planned.total
    entries = load_kernels(launches, target)
    return Program(schedule, launches, planned, entries, target)


class _HostFailure(Exception):
    """A host step refused its data."""


class Program:
    """Compiled steps and where their buffers are. `run` may be called from several threads at once.

    It keeps no earlier stage, as there may be many programs: `schedule` and `launches` are made again when asked for.
    """

    def __init__(self, schedule: Schedule, launches: list[Launch], planned: Plan, entries: dict, target):
        self.plan, self.target, self.alias = planned, target, schedule.alias
        self.graph = graph = schedule.graph
        code: Any = graph.code
        self.segments: list[Any] = []   # a Replay, or the Step of a host step
        pending: list[replay.Step] = []
        kernels = 0
        for s, launch in enumerate(launches):
            if s in planned.dropped or launch.step is not None and launch.step.kind == "empty":
                continue
            if launch.key:
                refs = tuple([planned.places[v] for v in launch.values])
                pending.append(replay.Step(entries[launch.key], launch.tasks, refs, launch.args, launch.scratch,
                                           launch.work))
                kernels += 1
            else:
                if pending:
                    self.segments.append(replay.Replay(pending))
                    pending = []
                self.segments.append(launch.step)
        if pending:
            self.segments.append(replay.Replay(pending))
        arguments = graph.arguments
        self._scalars = [k for k, i in enumerate(arguments) if code[i].op is SCALAR]
        self._scalar_types = [code[arguments[k]].type for k in self._scalars]
        formats = [_FORMATS.get(t.dtype.name, "") for t in self._scalar_types]
        self._pack = struct.Struct("=" + "".join(formats)).pack_into if all(formats) else None
        self._positions = {i: k for k, i in enumerate(arguments)}
        # Copied by every run: the scalars and the fault record after them, and what is made (by slot after the arguments').
        self._block = array("q", bytes(8 * (len(self._scalars) + 8)))
        self._first = first = FIRST + len(arguments)
        self._made: list[Buffer | None] = [None] * (planned.slots - first)
        self._outputs = [slot - first if slot >= first else ~(slot - FIRST) for slot in planned.outputs]  # ~k: argument k
        self._large, self._small, self._spans = [], [], []
        start = 0
        for slot, nbytes in planned.made:
            if nbytes <= SMALL and start < SHARED:
                self._small.append(slot - first)
                self._spans.append((start, nbytes))
                start += -(-nbytes // 64) * 64
            else:
                self._large.append((slot - first, nbytes))
        self._shared = start
        if len(self._small) == 1:
            self._large.append((self._small.pop(), self._spans.pop()[1]))
        self.counts = {"kernels": kernels, "host steps": sum(isinstance(s, Step) for s in self.segments),
                       "arena bytes": planned.arena, "bytes planned": planned.total,
                       "outputs bytes": sum(n for _, n in planned.made)}

    def run(self, arguments: list) -> list:
        """Outputs for arguments (a Buffer for a leaf, a number for a scalar). A value that a fault keeps from being
        computed is the exception."""
        planned = self.plan
        counters.kernels_launched += self.counts["kernels"]
        block = self._block[:]
        base = block.buffer_info()[0]
        arena = workspace("arena", planned.arena) if planned.arena else None
        if self._scalars:
            self._write_scalars(block, [arguments[k] for k in self._scalars])
        made = self._made[:]
        for k, nbytes in self._large:
            made[k] = allocate(nbytes)
        if self._small:
            parts = iter(allocate(self._shared).split(self._spans))
            for k in self._small:
                made[k] = next(parts)
        slots = array("q", [0 if arena is None else arena.address, base, base + 8 * len(self._scalars),
                            *[a.address if a.__class__ is Buffer else 0 for a in arguments],
                            *[0 if b is None else b.address for b in made]])
        address = slots.buffer_info()[0]
        try:
            for segment in self.segments if watch is None else watch(self, arguments):
                if isinstance(segment, Step):
                    self._host(segment, arguments, arena, made, slots)
                else:
                    segment.run(address)
        except (replay.Fault, _HostFailure):
            # Something in the data is wrong. The interpreter says what, and computes what does not depend on it.
            return interpret.run(self.graph, arguments)
        if arena is not None:
            put_back("arena", arena)
        return [made[k] if k >= 0 else arguments[~k] for k in self._outputs]

    def _write_scalars(self, block: array, values: list) -> None:
        if self._pack is not None:
            try:
                self._pack(block, 0, *values)
                return
            except (struct.error, OverflowError, TypeError):
                pass  # a number that does not fit its type as it is: converted as the interpreter does
        bits = bytearray(8 * len(values))
        for k, (value, type) in enumerate(zip(values, self._scalar_types, strict=True)):
            one = interpret.scalar_array(value, type).tobytes()[:8]  # complex128 has more, but no kernel reads it
            bits[8 * k:8 * k + len(one)] = one
        block[:len(values)] = array("q", bytes(bits))

    def _host(self, step: Step, arguments, arena, made, slots) -> None:
        i = step.members[0]
        code: Any = self.graph.code
        n = code[i]
        types = [code[j].type for j in n.inputs]
        inputs: list[Any] = [self._value(self.alias[j], arguments, arena, made) for j in n.inputs]
        if n.op.kind == "pick":
            result = inputs[0][n.attrs]
        else:
            try:
                with Threads(get_num_threads()):
                    result = interpret.evaluate(n.op, n.attrs, types, n.type, inputs)
            except MemoryError:
                raise
            except Exception as error:
                raise _HostFailure from error
        slot = self.plan.given.get(i)
        if slot is not None:
            made[slot - self._first] = result
            if isinstance(result, Buffer):
                slots[slot] = result.address

    def _value(self, v: int, arguments, arena, made) -> Any:
        k = self._positions.get(v)
        if k is not None:
            return arguments[k]
        place = self.plan.places[v]
        if place.slot == ARENA:
            if arena is None:   # of values without elements alone
                return allocate(0)
            code: Any = self.graph.code
            return Buffer(arena.array[place.offset:place.offset + code[v].type.nbytes])
        if place.slot >= self._first:
            return made[place.slot - self._first]
        return arguments[place.slot - FIRST]

    @property
    def schedule(self) -> Schedule:
        return scheduling.schedule(self.graph)

    @property
    def launches(self) -> list[Launch]:
        return launches_of(self.schedule, self.target)

    @property
    def stages(self) -> dict[str, str]:
        """Every stage of the line, printed."""
        from .explain import stages
        return stages(self)


_FORMATS = {"bool": "?7x", "uint8": "B7x", "int8": "b7x", "int16": "h6x", "uint16": "H6x", "int32": "i4x", "uint32": "I4x",
            "int64": "q", "uint64": "Q", "float32": "f4x", "float64": "d"}
assert (ARENA, SCALARS, FAULTS, FIRST) == (0, 1, 2, 3)  # as `Program.run` lays out the slots
