"""Which values are stored: the first half of scheduling.

Passes, in order: ``find_aliases``, ``find_live``, ``find_outputs``, ``find_roots``, ``compose``. What is not stored is
inline: recomputed by every kernel that reads it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import views
from ..graph import LEAF, SCALAR, Graph, contiguous_strides
from .access import (
    PUTS,
    Positions,
    Read,
    Uncomposable,
    broadcast_map,
    contracted,
    index_map,
    operand_map,
    position_map,
    positions,
    spread,
    squeeze,
    value_of_put,
)
from .support import COSTS, HEAVY, faults, native

FEW = 8              # how much larger data is than what is taken of it, to be much
MAX_DEPTH = 48       # of an expression; the stages recurse along it


class Traced(NamedTuple):
    """A root's domain (without dimensions of size 1), the stored values that it reads, and how many ops it takes."""

    domain: tuple[int, ...]
    reads: list[Read]
    ops: int


class Roots:
    """The decision for one graph. ``alias``: of each value the one whose buffer it is; ``roots``: the values that are
    computed by a step of their own; ``needed``: those of them whose buffer somebody wants as such; ``copies``: outputs
    that are another name of a buffer that is taken; ``traced``: of each root what it reads."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.code: Any = graph.code
        count = len(self.code)
        self.can = [native(graph, i) for i in range(count)]
        self.alias = list(range(count))
        self.live = [False] * count
        self.inline = [False] * count
        self.roots: set[int] = set()
        self.needed: set[int] = set()
        self.copies: list[int] = []
        self.find_aliases()
        self.find_live()
        self.find_outputs()
        self.find_roots()
        self.traced = self.compose()

    # -- aliases ------------------------------------------------------------------------------------------------------
    def find_aliases(self) -> None:
        """Views of all elements in order, and reductions over nothing, are their operand."""
        alias = self.alias
        may_fail: list[bool] = []   # and so must be computed, even if its result is overwritten whole
        for i, n in enumerate(self.code):
            may_fail.append(n.op.faults or faults(self.graph, i) or any(may_fail[j] for j in n.inputs))
            if not self.can[i]:
                continue  # a copy of it would be a kernel
            if n.op.kind == "view" and n.op.name == "view":
                shape, strides, offset = n.attrs
                if offset == 0 and n.type.numel == self.code[n.inputs[0]].type.numel and \
                        views.is_contiguous(shape, strides):
                    alias[i] = alias[n.inputs[0]]
            elif n.op.kind == "write":
                shape, strides, offset = n.attrs
                if offset == 0 and n.type.numel == self.code[n.inputs[1]].type.numel and n.type.numel and \
                        views.is_contiguous(shape, strides) and not may_fail[n.inputs[0]]:
                    alias[i] = alias[n.inputs[1]]       # nothing of what was there remains
            elif n.op.kind == "reduce" and n.type.numel == self.code[n.inputs[0]].type.numel and \
                    n.op.name in ("sum", "prod", "amax", "amin") and n.type.numel:
                alias[i] = alias[n.inputs[0]]

    # -- roots --------------------------------------------------------------------------------------------------------
    def find_live(self) -> None:
        for j in self.graph.outputs:
            self.live[j] = True
        for i in range(len(self.code) - 1, -1, -1):
            if self.live[i]:
                for j in self.inputs(i) if self.alias[i] == i else (self.alias[i],):
                    self.live[j] = True

    def find_outputs(self) -> None:
        code, alias = self.code, self.alias
        outputs = set(self.graph.outputs)
        taken: set[int] = set()
        for j in self.graph.outputs:
            base = alias[j]
            if code[base].op is LEAF and base == j:
                continue
            if base in taken or code[base].op is LEAF or code[base].op is SCALAR or (base != j and base in outputs):
                self.copies.append(j)
            else:
                taken.add(base)
            if code[base].op is not LEAF and code[base].op is not SCALAR:
                self.store(base)

    def find_roots(self) -> None:
        code, alias, roots, needed, inline = self.code, self.alias, self.roots, self.needed, self.inline
        uses = [0] * len(code)
        cost = [0] * len(code)
        reads = [0] * len(code)      # stored values that a value is computed from, and those of them that are as large as it
        large = [0] * len(code)
        depth = [0] * len(code)
        # An alias that is not wanted itself passes its uses on to what it stands for.
        for i in range(len(code)):
            if self.live[i] and alias[i] == i:
                for j in set(self.inputs(i)):
                    uses[alias[j]] += 1
        for i, n in enumerate(code):
            if not self.live[i] or alias[i] != i or n.op is LEAF:
                continue
            if n.op is SCALAR:
                inline[i] = True
                continue
            kind, name = n.op.kind, n.op.name
            if self.opaque(i):
                self.store(i)
                for j in n.inputs:
                    self.store(alias[j])
                continue
            if kind == "scan":
                self.store(i)
                self.store(alias[n.inputs[0]])
                continue
            put = name in PUTS
            if put or kind in ("write", "contract", "fold", "reduce"):
                roots.add(i)
                if kind != "reduce":
                    needed.add(i)
                if kind == "write" or put:
                    self.store(alias[n.inputs[0]])
                if kind == "contract":
                    for a, *_ in contracted(self.graph, alias, (), i):
                        self.store(a)
                continue
            inline[i] = True
            if kind == "index" or name == "bitcast" and kind == "view":
                data = alias[n.inputs[0]]
                self.store(data)
                if code[data].op is not LEAF and uses[data] > 1 and n.type.numel * FEW <= code[data].type.numel:
                    roots.add(i)  # a few elements of much: taken at once, so that it can be overwritten by what reads it next
            total, touched, whole, deep = COSTS.get(name, 1), 0, 0, 0
            if kind == "view":
                total = 0
            numel = n.type.numel
            for j in n.inputs:
                a = alias[j]
                size = code[a].type.numel
                if inline[a] and a not in roots:
                    # A value that is read over and over along a broadcast is stored, unless it is nearly free.
                    if 1 < size < numel and cost[a] > 1 or 1 < size and kind == "view" and numel > 2 * size and cost[a]:
                        roots.add(a)
                        touched += 1
                        whole += size >= numel
                    else:
                        total += cost[a]
                        touched += reads[a]
                        whole += large[a] if size >= numel else 0
                        deep = max(deep, depth[a])
                elif size > 1:
                    touched += 1
                    whole += size >= numel
            cost[i], reads[i], large[i], depth[i] = total, touched, whole, deep + 1
            if uses[i] > 1 and touched and kind != "view" and (total > 2 or whole > 1) and numel > 1:
                roots.add(i)
            elif total > HEAVY and uses[i] > 1 or deep >= MAX_DEPTH:
                roots.add(i)

    def opaque(self, i: int) -> bool:
        """Whether an instruction is no loop: the interpreter's, or about no element at all."""
        n = self.code[i]
        return not self.can[i] or n.type.numel == 0 or n.op.name == "empty" or \
            n.op.kind == "reduce" and self.code[n.inputs[0]].type.numel == 0

    def inputs(self, i: int) -> tuple[int, ...]:
        """What an instruction reads; a contraction looks through the zeros between elements."""
        n = self.code[i]
        if n.op.kind != "contract" or not self.can[i]:
            return n.inputs
        found = [spread(self.graph, self.alias, i, which) for which in (0, 1)]
        return tuple([x[0] if x else j for x, j in zip(found, n.inputs, strict=True)])

    def store(self, i: int) -> None:
        if self.code[i].op is not LEAF and self.code[i].op is not SCALAR:
            self.roots.add(i)
            self.needed.add(i)

    # -- compose ------------------------------------------------------------------------------------------------------
    def compose(self) -> dict[int, Traced]:
        """Of each root the stored values that it reads; stores those that do not compose."""
        traced: dict[int, Traced] = {}
        todo = sorted(self.roots)
        while todo:
            i = todo.pop()
            try:
                traced[i] = self.trace_root(i)
            except Uncomposable as failed:
                if failed.value in self.roots:
                    raise AssertionError(f"%{failed.value} does not compose with itself") from None
                self.roots.add(failed.value)
                todo += [i, failed.value]
        # What reads a value that was stored only now is traced once more.
        return {i: self.trace_root(i) for i in sorted(self.roots)}

    def trace_root(self, i: int) -> Traced:
        n = self.code[i]
        kind = n.op.kind
        if kind == "contract" and self.can[i]:
            read = dict.fromkeys(a for a, *_ in contracted(self.graph, self.alias, self.roots, i))
            return Traced((), [Read(a, None) for a in read], 0)
        if self.opaque(i) or kind == "scan":
            return Traced((), [Read(self.alias[j], None) for j in dict.fromkeys(n.inputs)], 0)
        reads: dict[Read, None] = {}
        seen: set = set()
        if n.op.name in PUTS:
            at = positions(self.graph, i)
            domain = squeeze(at.shape)
            dense = contiguous_strides(domain)
            self.trace_indices(i, at, domain, dense, 0, reads, seen)
            v = value_of_put(n)
            self.trace(v, domain, *broadcast_map(self.graph, i, at.shape, v, domain, dense, 0), reads, seen)
            return Traced(domain, list(reads), len(seen))
        start = {"reduce": n.inputs[:1], "write": n.inputs[1:], "fold": n.inputs}.get(kind)
        start = start[0] if start else None
        domain = squeeze(n.type.shape if start is None else self.code[start].type.shape)
        strides = contiguous_strides(domain)
        if start is None:
            self.trace_operands(i, domain, strides, 0, reads, seen)
        else:
            self.trace(start, domain, strides, 0, reads, seen)
        return Traced(domain, list(reads), len(seen))

    def trace(self, j: int, domain, strides, offset, reads, seen) -> None:
        a = self.alias[j]
        op = self.code[a].op
        if a in self.roots or op is LEAF:
            reads[Read(a, tuple(strides), offset)] = None
        elif op is SCALAR:
            reads[Read(a, (0,) * len(domain), 0)] = None
        elif (a, strides, offset) not in seen:
            seen.add((a, strides, offset))
            self.trace_operands(a, domain, strides, offset, reads, seen)

    def trace_operands(self, i, domain, strides, offset, reads, seen) -> None:
        n = self.code[i]
        kind = n.op.kind
        if faults(self.graph, i) and not _covers(domain, strides, n.type.numel):
            raise Uncomposable(i)  # what may fail is computed whole, whoever reads a part of it
        if kind == "index":
            at = positions(self.graph, i)
            position_map(at, i, domain, strides, offset)
            reads[Read(self.alias[n.inputs[0]], None)] = None
            self.trace_indices(i, at, domain, strides, offset, reads, seen)
        elif n.op.name == "bitcast" and kind == "view":
            reads[Read(self.alias[n.inputs[0]], None)] = None
        elif kind == "source":
            for j in n.inputs:
                self.trace(j, domain, (0,) * len(domain), 0, reads, seen)
        else:
            for j in n.inputs:
                self.trace(j, domain, *operand_map(self.graph, i, j, domain, strides, offset), reads, seen)

    def trace_indices(self, i, at: Positions, domain, strides, offset, reads, seen) -> None:
        for j in at.indices:
            self.trace(j, domain, *index_map(self.graph, i, at, j, domain, strides, offset), reads, seen)


def _covers(domain, strides, numel: int) -> bool:
    """Whether a map reads every element of a value."""
    walked = [(n, abs(s)) for n, s in zip(domain, strides, strict=True) if s]
    count = 1
    for n, _ in walked:
        count *= n
    return count == numel and not views.overlaps_itself([n for n, _ in walked], [s for _, s in walked])
