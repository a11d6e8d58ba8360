"""A pass over loop IR: what one pass over a row has computed, the next ones read instead of computing it again.

Lowering writes every phase out in full, down to the loads. Here equal ops are found (value numbering); within a phase
and among kept ops one of them stays. What a later phase needs of an earlier one it loads, if it is dearer than a load:
from the buffer where the earlier phase stores it anyway, or else from a *row*, thread-private workspace of one row's
elements, which stays in the cache.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from .loops import STORES, Kernel, Map, Op, Phase
from .support import COSTS, DIVISIONS

WORTH = 6          # what recomputing must cost at least for a row to be kept, in additions
ROW_BYTES = 1 << 19
ALIGN = 64
FAULTY = DIVISIONS | {"gather"}     # looked at even where nobody wants the result


class _Place(NamedTuple):
    """Where an op is: its phase, and whether it is in the loop."""

    phase: int
    full: int


def reuse(kernel: Kernel, target) -> Kernel:
    return _Reuse(kernel).run()


class _Reuse:
    def __init__(self, kernel: Kernel):
        self.kernel, self.ops = kernel, kernel.ops
        self.place = [_Place(p, full) for p, phase in enumerate(kernel.phases) for full in (0, 1) for _ in phase[full]]
        self.number = self.numbers()
        self.stored = self.find_stored()
        self.rows: dict[int, Op] = {}        # of an op (by number) that is kept as a row: its load
        self.bytes = 0
        self.buffers = list(kernel.buffers)
        self.out: list[tuple[list[Op], list[Op]]] = [([], []) for _ in kernel.phases]
        self.made: dict[tuple[int, int], tuple[_Place, int]] = {}    # what stands for an op in a phase: place, index there

    def numbers(self) -> list[int]:
        """Of each op the first that computes the same value."""
        written = {op.attr[0] for op in self.ops if op.name in STORES}
        first: dict[tuple, int] = {}
        number: list[int] = []
        for i, op in enumerate(self.ops):
            alone = op.name in STORES or op.name in ("load", "gather") and op.attr[0] in written
            key = (i,) if alone else (op.name, op.dtype, op.attr, *[number[j] for j in op.inputs])
            number.append(first.setdefault(key, i))
        return number

    def cost_of(self, i: int, phase: int) -> int:
        """Additions that computing a value anew in a phase takes, with all that it is computed from."""
        seen: set[int] = set()

        def walk(i: int) -> int:
            i = self.number[i]
            op = self.ops[i]
            if i in seen or not self.place[i].full or op.name == "reduce":
                return 0
            seen.add(i)
            if op.name == "load" or i in self.rows or i in self.stored and self.stored[i][0] < phase:
                return 1
            return COSTS.get(op.name, 1) + sum(walk(j) for j in op.inputs)
        op = self.ops[i]
        return COSTS.get(op.name, 1) + sum(walk(j) for j in op.inputs)

    def find_stored(self) -> dict[int, tuple[int, Op]]:
        """Of values (by number) that a loop stores as they are, one element at each turn: the phase, and a load of them."""
        stores: dict[int, list[int]] = {}
        for i, op in enumerate(self.ops):
            if op.name in STORES:
                stores.setdefault(op.attr[0], []).append(i)
        found = {}
        for i, *more in stores.values():
            op = self.ops[i]
            if more or op.name != "store" or op.attr[2] != "set" or not self.place[i].full or \
                    self.ops[op.inputs[0]].dtype is not op.dtype or not _dense(op.attr[1], self.kernel.dims):
                continue
            found.setdefault(self.number[op.inputs[0]], (self.place[i].phase, Op("load", op.dtype, (), op.attr[:2])))
        return found

    def run(self) -> Kernel:
        for p in range(len(self.kernel.phases)):
            here = [i for i in range(len(self.ops)) if self.place[i].phase == p and self.number[i] == i]
            for i in here:
                if self.ops[i].name in FAULTY:
                    self.emit(i, p)
            anchored = [i for i in here if self.ops[i].name in ("reduce", *STORES)]
            inputs = [[self.emit(j, p) for j in self.ops[i].inputs] for i in anchored]
            for i, read in zip(anchored, inputs, strict=True):  # stores last: what one overwrites has then been read
                self.append((i, -1), self.place[i], self.ops[i]._replace(inputs=read))  # type: ignore[arg-type]
        return self.assembled()

    def emit(self, i: int, phase: int) -> tuple[_Place, int]:
        """Writes an op, and what it needs, for use in a phase; says where it then stands."""
        first = self.number[i]
        op, place = self.ops[first], self.place[first]
        looped = place.full and op.name != "reduce"
        key = (first, phase if looped else -1)
        found = self.made.get(key)
        if found is not None:
            return found
        if looped:
            load = self.kept(first, phase)
            place = _Place(phase, 1)
            if load is not None:
                return self.append(key, place, load)
        inputs = [self.emit(j, place.phase) for j in op.inputs]
        return self.append(key, place, op._replace(inputs=inputs))  # type: ignore[arg-type]

    def append(self, key, place: _Place, op: Op) -> tuple[_Place, int]:
        part = self.out[place.phase][place.full]
        part.append(op)
        made = self.made[key] = (place, len(part) - 1)
        return made

    def kept(self, first: int, phase: int) -> Op | None:
        """A load of what an earlier phase has computed, if that is the cheaper way to it."""
        early = self.place[first].phase
        if early >= phase or self.ops[first].name == "load":
            return None
        stored = self.stored.get(first)
        if first in self.rows:
            return self.rows[first]
        cost = self.cost_of(first, phase)
        if stored is not None and stored[0] < phase and cost > 1:
            return stored[1]
        kernel = self.kernel
        if kernel.vector != "reduced" or cost < WORTH:
            return None
        d = self.ops[first].dtype
        count = prod(kernel.dims[kernel.kept:])
        start = self.bytes
        if start + count * d.itemsize > ROW_BYTES:
            return None
        self.bytes += -(-count * d.itemsize // ALIGN) * ALIGN
        strides = [0] * len(kernel.dims)
        size = 1
        for r in range(len(kernel.dims) - 1, kernel.kept - 1, -1):
            strides[r], size = size, size * kernel.dims[r]
        where = (len(self.buffers), Map(tuple(strides), start // d.itemsize))
        self.buffers.append(d)
        self.out[early][1].append(Op("store", d, [self.emit(first, early)], (*where, "set")))  # type: ignore[arg-type]
        load = self.rows[first] = Op("load", d, (), where)
        return load

    def assembled(self) -> Kernel:
        """The kernel, with operands by their final positions."""
        base: dict[_Place, int] = {}
        at = 0
        for p, parts in enumerate(self.out):
            for full in (0, 1):
                base[_Place(p, full)] = at
                at += len(parts[full])

        def placed(op: Op) -> Op:
            return op._replace(inputs=tuple([base[place] + k for place, k in op.inputs])) if op.inputs else op  # type: ignore
        phases = tuple([Phase(tuple(map(placed, kept)), tuple(map(placed, full))) for kept, full in self.out])
        extra = len(self.buffers) - len(self.kernel.buffers)
        return self.kernel._replace(phases=phases, buffers=tuple(self.buffers), rows=extra, row_bytes=self.bytes)


def _dense(m: Map, dims: tuple[int, ...]) -> bool:
    """Whether a map walks as many elements as there are turns, side by side."""
    size = 1
    for stride, n in sorted(zip(m.strides, dims, strict=True)):
        if stride != size:
            return False
        size *= n
    return True
