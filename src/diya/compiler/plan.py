"""Stage 4: where every value lives.

A value that is stored has a buffer; values may share one: a write takes the buffer of what it replaces (the copy that
would begin it is then dropped), and an elementwise result takes that of an operand read for the last time at the same
positions. A buffer is an argument's, a program output's, or a range of the program's one arena, packed by when each is
alive. Everything is a function of the launches, so the plan of a program never changes from run to run.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..graph import LEAF, SCALAR
from .loops import Launch
from .lower import FAULT
from .schedule import Schedule

ARENA, SCALARS, FAULTS, FIRST = 0, 1, 2, 3   # slots: base addresses that a run fills in
ALIGN = 64


class Place(NamedTuple):
    """``slot`` is a base address of the run (see ARENA ...), ``offset`` in bytes from it."""

    slot: int
    offset: int


class Plan(NamedTuple):
    """``places`` of values; ``outputs``: of each output its slot; ``made``: slots to allocate, with their bytes;
    ``given``: slots that host steps fill. ``dropped``: positions of launches that need not run."""

    places: dict[int, Place]
    arena: int
    slots: int
    outputs: tuple[int, ...]
    made: tuple[tuple[int, int], ...]
    given: dict[int, int]
    dropped: frozenset[int]
    total: int

    def __str__(self):
        lines = [f"arena of {self.arena:,} bytes ({self.total:,} without reuse), {len(self.dropped)} copies dropped"]
        names = {ARENA: "arena", SCALARS: "scalars", FAULTS: "faults"}
        for v, p in sorted(self.places.items()):
            lines.append(f"  %{v}: {names.get(p.slot, f'slot {p.slot}')} + {p.offset}")
        return "\n".join(lines)


class _Buffer:
    __slots__ = ("nbytes", "birth", "death", "argument", "output", "host", "offset")

    def __init__(self, nbytes, birth):
        self.nbytes, self.birth, self.death = nbytes, birth, birth
        self.argument = self.output = self.host = -1
        self.offset = 0


def plan(schedule: Schedule, launches: list[Launch]) -> Plan:
    graph, alias = schedule.graph, schedule.alias
    code: Any = graph.code
    arguments = graph.arguments
    slot_of_argument = {i: FIRST + k for k, i in enumerate(arguments)}
    donated = set(graph.donated)
    end = len(launches)
    copied = _copied_outputs(schedule)
    outputs = {}                      # value that holds the output -> positions among the outputs
    for k, j in enumerate(graph.outputs):
        outputs[j if j in copied else alias[j]] = k

    last: dict[int, int] = {}
    for s, launch in enumerate(launches):
        for v in launch.values:
            last[v] = s
    for v in outputs:
        last[v] = end

    owner: dict[int, _Buffer] = {}
    for i in arguments:
        if code[i].op is LEAF:
            owner[i] = b = _Buffer(code[i].type.nbytes, -1)
            b.argument = i
    dying: dict[int, list[int]] = {}
    for v, s in last.items():
        dying.setdefault(s, []).append(v)
    shared: dict[int, int] = {}       # values alive in a buffer, by its id
    for b in owner.values():
        shared[id(b)] = 1
    buffers: list[_Buffer] = []
    dropped = set()

    # What fails is run again by the interpreter, so no argument is overwritten before all that may fail has run.
    whole = max((s for s, launch in enumerate(launches) if not launch.key or FAULT in launch.values), default=-1)

    def takes(v, s) -> bool:
        """Whether step ``s`` is the last to read ``v``, and its buffer may be overwritten."""
        b = owner.get(v)
        return b is not None and last[v] == s and shared[id(b)] == 1 and \
            (b.argument < 0 or b.argument in donated and s > whole)

    def share(v, target):
        owner[target] = b = owner[v]
        shared[id(b)] += 1
        b.death = max(b.death, last[target] if target in last else b.death)

    for s, launch in enumerate(launches):
        step = launch.step
        size = dict(launch.temporaries)
        if step is not None and step.base >= 0:
            target = step.members[0]
            if takes(step.base, s):
                share(step.base, target)
                dropped.add(s)
        for w in launch.writes:
            v = launch.values[w]
            if v in owner:
                continue
            for a, r in launch.inplace:
                x = launch.values[r]
                if a == w and x != v and x >= 0 and launch.values.count(x) == 1 and takes(x, s) and \
                        owner[x].nbytes == _nbytes(code, v, size):
                    share(x, v)
                    break
            else:
                owner[v] = b = _Buffer(_nbytes(code, v, size), s)
                shared[id(b)] = 1
                b.death = last.get(v, s)
                buffers.append(b)
                if step is not None and step.kind == "host":
                    b.host = v
        for v in dying.get(s, ()):
            b = owner.get(v)
            if b is not None:
                shared[id(b)] -= 1
                b.death = max(b.death, s)

    for v in outputs:
        owner[v].output = v
    slots = FIRST + len(arguments)
    made, given, slot_of = [], {}, {}
    placed: list[_Buffer] = []
    total = 0
    for b in buffers:
        if b.host >= 0:
            given[b.host] = slot_of[id(b)] = slots
            slots += 1
        elif b.output >= 0:
            slot_of[id(b)] = slots
            made.append((slots, b.nbytes))
            slots += 1
        else:
            placed.append(b)
            total += -(-b.nbytes // ALIGN) * ALIGN
    arena = _pack(placed)
    places: dict[int, Place] = {FAULT: Place(FAULTS, 0)}
    scalars = 0
    for i in arguments:
        if code[i].op is SCALAR:
            places[i] = Place(SCALARS, 8 * scalars)
            scalars += 1
    for v, b in owner.items():
        if b.argument >= 0:
            places[v] = Place(slot_of_argument[b.argument], 0)
        elif id(b) in slot_of:
            places[v] = Place(slot_of[id(b)], 0)
        else:
            places[v] = Place(ARENA, b.offset)
    where = tuple([places[j if j in copied else alias[j]].slot for j in graph.outputs])
    return Plan(places, arena, slots, where, tuple(made), given, frozenset(dropped), total)


def _copied_outputs(schedule: Schedule) -> set[int]:
    """Outputs with a buffer of their own although they are another name of a value."""
    alias = schedule.alias
    return {s.members[0] for s in schedule.steps if s.members and alias[s.members[0]] != s.members[0]}


def _nbytes(code, v, temporaries) -> int:
    if v in temporaries:
        return temporaries[v]
    type = code[v].type
    return 0 if isinstance(type, tuple) else type.nbytes


def _pack(buffers: list[_Buffer]) -> int:
    """Offsets in the arena, first fit by birth; returns the arena's size."""
    free: list[list[int]] = []          # [offset, size], by offset
    alive: list[_Buffer] = []
    top = 0
    for b in sorted(buffers, key=lambda b: b.birth):
        rest = []
        for a in alive:
            if a.death < b.birth:
                _release(free, a.offset, -(-a.nbytes // ALIGN) * ALIGN)
            else:
                rest.append(a)
        alive = rest
        size = -(-b.nbytes // ALIGN) * ALIGN
        best = None
        for hole in free:
            if hole[1] >= size and (best is None or hole[1] < best[1]):
                best = hole
        if best is not None:
            b.offset = best[0]
            best[0] += size
            best[1] -= size
            if not best[1]:
                free.remove(best)
        else:
            if free and free[-1][0] + free[-1][1] == top:   # the last hole grows
                b.offset = free[-1][0]
                free.pop()
            else:
                b.offset = top
            top = b.offset + size
        alive.append(b)
    return top


def _release(free: list[list[int]], offset: int, size: int) -> None:
    if not size:
        return
    k = next((k for k, hole in enumerate(free) if hole[0] > offset), len(free))
    free.insert(k, [offset, size])
    if k + 1 < len(free) and offset + size == free[k + 1][0]:
        free[k][1] += free.pop(k + 1)[1]
    if k and free[k - 1][0] + free[k - 1][1] == offset:
        free[k - 1][1] += free.pop(k)[1]
