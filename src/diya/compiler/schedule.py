"""Stage 1: which values are stored, and which are computed together.

A value is *stored* (a root) or recomputed where it is read (inline). Inline values cost no memory: a chain of
elementwise operations, casts, views and broadcasts is one expression of index maps over the stored values that it
reads. Roots over one domain are then gathered into groups; a group is one kernel, a group's reductions are read by its
other members in registers.

Passes, in order:

    aliases    views that change no position share their base's buffer
    roots      what must be stored, or is dearer to recompute than to store
    compose    every inline view's index map must compose down to stored values; where it does not, store the value
    group      kernels: producers with consumers, and siblings that read the same data
    order      topological, readers of an old version before the write that replaces it
"""

from __future__ import annotations

from typing import NamedTuple

from .. import views
from ..graph import LEAF, SCALAR, Graph, broadcast_shapes, contiguous_strides
from .support import COSTS, HEAVY, native

MAX_BUFFERS = 24     # of one kernel
MAX_OPS = 160
MAX_DEPTH = 48       # of an expression; the stages recurse along it
MAX_EPILOGUE = 24    # ops after a contraction, before its store
MAX_INPUTS = 6       # arrays that they read
MAX_ROW = 1 << 15    # elements of a row that one kernel may pass over several times


class Read(NamedTuple):
    """A stored value read at a map over a domain; ``strides`` is None where it is read at positions held in data."""

    value: int
    strides: tuple[int, ...] | None
    offset: int = 0


class Store(NamedTuple):
    """Value ``source`` stored into the buffer of ``target``: densely, or at a view's (strides, offset).

    ``how``: "set", "zero" (source is ignored), or what is done with the element that is there: "add", "prod", "amax",
    "amin". ``at``: an instruction whose indices, held in data, say where (see `Positions`), or -1.
    """

    target: int
    source: int
    strides: tuple[int, ...] | None = None
    offset: int = 0
    how: str = "set"
    at: int = -1


class Step(NamedTuple):
    """``kind``: "loops" (a kernel), "contract", "host" (run by the interpreter).

    ``shape`` is the domain without dimensions of size 1, ``dims`` those of it that are reduced, ``members`` the roots
    that are computed. ``base`` is, for the copy that begins a write, the value that the write replaces: when the plan
    can let the write have its base's buffer, the step is dropped.
    """

    kind: str
    members: tuple[int, ...]
    reads: tuple[Read, ...]
    stores: tuple[Store, ...]
    shape: tuple[int, ...] = ()
    dims: tuple[int, ...] = ()
    base: int = -1


class Schedule(NamedTuple):
    graph: Graph
    steps: tuple[Step, ...]
    alias: tuple[int, ...]       # of each value: the value whose buffer it is
    roots: frozenset[int]

    def __str__(self):
        lines = []
        for s in self.steps:
            names = ", ".join(f"%{m} {self.graph.code[m].op}" for m in s.members)
            stores = ", ".join(f"%{x.target}" + ("" if x.strides is None else f"[{list(x.strides)}; {x.offset}]") +
                               ("" if x.how == "set" else f" {x.how}") for x in s.stores)
            reads = ", ".join(f"%{r.value}" + ("[data]" if r.strides is None else
                                               f"[{', '.join(map(str, r.strides))}; {r.offset}]") for r in s.reads)
            over = f" over {list(s.shape)}" + (f" reducing {list(s.dims)}" if s.dims else "") if s.kind == "loops" else ""
            copy = f" (copy of %{s.base})" if s.base >= 0 else ""
            lines.append(f"{s.kind}{over}{copy}: {names}\n    reads {reads}\n    stores {stores}")
        return "\n".join(lines)

    def verify(self) -> Schedule:
        """Checks that every value is stored before it is read; returns the schedule."""
        done = {i for i, n in enumerate(self.graph.code) if n.op is LEAF or n.op is SCALAR}
        for s in self.steps:
            for r in s.reads:
                if r.value not in done and r.value not in s.members:
                    raise AssertionError(f"schedule: %{r.value} is read before it is stored, by {s.members}")
            done.update(x.target for x in s.stores)
        for j in self.graph.outputs:
            if self.alias[j] not in done and j not in done:
                raise AssertionError(f"schedule: output %{j} is never stored")
        return self


def squeeze(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([s for s in shape if s != 1])


def kept_strides(shape: tuple[int, ...], dims: tuple[int, ...]) -> tuple[int, ...]:
    """The map of a reduced value over the domain that was reduced: dense over what is kept, 0 elsewhere."""
    out, n = [0] * len(shape), 1
    for d in range(len(shape) - 1, -1, -1):
        if d not in dims:
            out[d] = n
            n *= shape[d]
    return tuple(out)


class Uncomposable(Exception):
    """A value whose operand cannot be read through the map that its reader wants: it must be stored."""

    def __init__(self, value: int):
        self.value = value


def schedule(graph: Graph) -> Schedule:
    return _Scheduler(graph).run()


def operand_map(graph: Graph, i: int, j: int, shape, strides, offset):
    """The map through which operand ``j`` is read when ``i``, elementwise or a view over it, is read through a map."""
    n, x = graph.code[i], graph.code[j].type
    if n.op.kind == "view":
        inner, inner_strides, inner_offset = n.attrs
        found = views.compose(inner, inner_strides, inner_offset, shape, strides, offset)
    elif x.shape == n.type.shape or x.numel == n.type.numel:
        return strides, offset
    elif x.numel == 1:
        return (0,) * len(shape), 0
    else:
        lead = len(n.type.shape) - len(x.shape)
        spread = (0,) * lead + tuple([0 if s == 1 else st for s, st in zip(x.shape, x.strides, strict=True)])
        found = views.compose(n.type.shape, spread, 0, shape, strides, offset)
    if found is None:
        raise Uncomposable(i)
    return found


class Positions(NamedTuple):
    """How ``gather``, ``index``, ``scatter`` and ``index_put`` find an element of their data: for an index of ``shape``,
    the data's element at ``Σ i·spread + Σ index·stride``. ``where``: (size, stride) for each of ``indices``, an operand
    that is read at ``index_spread``."""

    shape: tuple[int, ...]
    spread: tuple[int, ...]
    where: tuple[tuple[int, int], ...]
    indices: tuple[int, ...]
    walked: tuple[int, ...]     # dimensions of shape along which the indices vary


def positions(graph: Graph, i: int) -> Positions:
    n = graph.code[i]
    x = graph.code[n.inputs[0]].type
    if n.op.name in ("gather", "scatter"):
        dim = n.attrs if n.op.name == "gather" else n.attrs[0]
        shape = graph.code[n.inputs[1]].type.shape
        if not x.shape:
            return Positions(shape, (0,) * len(shape), ((1, 0),), n.inputs[1:2], (dim,) if shape else ())
        spread = tuple([0 if d == dim else st for d, st in enumerate(x.strides)])
        return Positions(shape, spread, ((x.shape[dim], x.strides[dim]),), n.inputs[1:2], (dim,))
    indices = n.inputs[1:] if n.op.name == "index" else n.inputs[2:]
    k = len(indices)
    head = broadcast_shapes(*[graph.code[j].type.shape for j in indices])
    return Positions(head + tuple(x.shape[k:]), (0,) * len(head) + tuple(x.strides[k:]),
                     tuple(zip(x.shape[:k], x.strides[:k], strict=True)), indices, tuple(range(len(head))))


def position_map(at: Positions, i: int, shape, strides, offset):
    """What of an element's position does not come from data, as a map over a domain."""
    found = views.compose(at.shape, at.spread, 0, shape, strides, offset)
    if found is None:
        raise Uncomposable(i)
    return found


def broadcast_map(graph: Graph, i: int, whole, j: int, shape, strides, offset, rest: int = 0):
    """The map through which ``j``, broadcast to ``whole`` without its last ``rest`` dimensions, is read."""
    x = graph.code[j].type
    if x.shape == whole:
        return strides, offset
    lead = len(whole) - rest - len(x.shape)
    spread = (0,) * lead + tuple([0 if s == 1 else st for s, st in zip(x.shape, x.strides, strict=True)]) + (0,) * rest
    found = views.compose(whole, spread, 0, shape, strides, offset)
    if found is None:
        raise Uncomposable(i)
    return found


def index_map(graph: Graph, i: int, at: Positions, j: int, shape, strides, offset):
    """The map through which an index operand is read."""
    rest = len(at.shape) - len(at.walked) if graph.code[i].op.name in ("index", "index_put") else 0
    return broadcast_map(graph, i, at.shape, j, shape, strides, offset, rest)


def viewed(graph: Graph, alias, roots, j: int):
    """An operand of a contraction as a strided view of a stored value: (value, strides, offset), looking through views
    down to the first value among ``roots``, or that is no view."""
    t = graph.code[j].type
    strides, offset = t.strides, 0
    a = alias[j]
    while graph.code[a].op.name == "view" and a not in roots:
        n = graph.code[a]
        shape, inner, start = n.attrs
        found = views.compose(shape, inner, start, t.shape, strides, offset)
        if found is None:
            break
        strides, offset = found
        a = alias[n.inputs[0]]
    return a, strides, offset


PUTS = ("index_put", "scatter")


def value_of_put(n) -> int:
    """What an ``index_put`` or ``scatter`` writes."""
    return n.inputs[1] if n.op.name == "index_put" else n.inputs[2]


class _Group:
    __slots__ = ("members", "reads", "shape", "dims", "ops", "kind", "stores", "base", "rows")

    def __init__(self, kind, members, reads, shape=(), dims=(), stores=(), ops=0, base=-1):
        self.kind, self.members, self.reads, self.shape, self.dims = kind, members, reads, shape, dims
        self.stores, self.ops, self.base = list(stores), ops, base
        self.rows = False


class _Scheduler:
    def __init__(self, graph: Graph):
        self.graph, self.code = graph, graph.code
        count = len(self.code)
        self.alias = list(range(count))
        self.roots: set[int] = set()
        self.needed: set[int] = set()   # roots whose buffer somebody needs as such
        self.inline: list[bool] = [False] * count
        self.can = [native(graph, i) for i in range(count)]
        self.groups: list[_Group] = []
        self.before: list[int] = []     # of each group: bits of the groups that must run before it
        self.group_of: dict[int, int] = {}
        self.readers: dict[Read, list[int]] = {}

    def run(self) -> Schedule:
        self.find_aliases()
        self.find_roots()
        traced = self.compose()
        self.needed_outside = {self.alias[j] for j in self.graph.outputs}
        self.count = dict.fromkeys(self.roots, 0)   # roots that read a root
        for _, reads, _ in traced.values():
            for v in {r.value for r in reads}:
                if v in self.count:
                    self.count[v] += 1
        for i in sorted(self.roots):
            self.add(i, traced[i])
        return Schedule(self.graph, tuple(self.ordered()), tuple(self.alias), frozenset(self.roots))

    # -- aliases ------------------------------------------------------------------------------------------------------
    def find_aliases(self) -> None:
        """Views of all elements in order, and reductions over nothing, are their operand."""
        alias = self.alias
        for i, n in enumerate(self.code):
            if n.op.kind == "view" and n.op.name == "view":
                shape, strides, offset = n.attrs
                if offset == 0 and n.type.numel == self.code[n.inputs[0]].type.numel and \
                        views.is_contiguous(shape, strides):
                    alias[i] = alias[n.inputs[0]]
            elif n.op.kind == "write":
                shape, strides, offset = n.attrs
                if offset == 0 and n.type.numel == self.code[n.inputs[1]].type.numel and n.type.numel and \
                        views.is_contiguous(shape, strides):
                    alias[i] = alias[n.inputs[1]]       # nothing of what was there remains
            elif n.op.kind == "reduce" and n.type.numel == self.code[n.inputs[0]].type.numel and \
                    n.op.name in ("sum", "prod", "amax", "amin") and n.type.numel:
                alias[i] = alias[n.inputs[0]]

    # -- roots --------------------------------------------------------------------------------------------------------
    def find_roots(self) -> None:
        code, alias, roots, needed, inline = self.code, self.alias, self.roots, self.needed, self.inline
        uses = [0] * len(code)
        cost = [0] * len(code)
        reads = [0] * len(code)
        depth = [0] * len(code)
        live = [False] * len(code)
        for j in self.graph.outputs:
            live[j] = True
        for i in range(len(code) - 1, -1, -1):
            if live[i]:
                for j in code[i].inputs:
                    live[j] = True
        # An alias that is not wanted itself passes its uses on to what it stands for.
        for i, n in enumerate(code):
            if live[i] and alias[i] == i:
                for j in set(n.inputs):
                    uses[alias[j]] += 1
        outputs = set(self.graph.outputs)
        taken: set[int] = set()
        self.copies: list[int] = []     # outputs that are another name of a buffer that is taken
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
        for i, n in enumerate(code):
            if not live[i] or alias[i] != i or n.op is LEAF:
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
            put = name in PUTS
            if put or kind in ("write", "contract", "fold", "reduce"):
                roots.add(i)
                if kind != "reduce":
                    needed.add(i)
                if kind == "write" or put:
                    self.store(alias[n.inputs[0]])
                if kind == "contract":
                    for j in n.inputs:
                        self.store(viewed(self.graph, alias, (), j)[0])
                continue
            inline[i] = True
            if kind == "index" or name == "bitcast" and kind == "view":
                self.store(alias[n.inputs[0]])
            total, touched, deep = COSTS.get(name, 1), 0, 0
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
                    else:
                        total += cost[a]
                        touched += reads[a]
                        deep = max(deep, depth[a])
                elif size > 1:
                    touched += 1
            cost[i], reads[i], depth[i] = total, touched, deep + 1
            if uses[i] > 1 and touched and kind != "view" and (total > 2 or touched > 1) and numel > 1:
                roots.add(i)
            elif total > HEAVY and uses[i] > 1 or deep >= MAX_DEPTH:
                roots.add(i)

    def opaque(self, i: int) -> bool:
        """Whether an instruction is no loop: the interpreter's, or about no element at all."""
        n = self.code[i]
        return not self.can[i] or n.type.numel == 0 or n.op.name == "empty" or \
            n.op.kind == "reduce" and self.code[n.inputs[0]].type.numel == 0

    def store(self, i: int) -> None:
        if self.code[i].op is not LEAF and self.code[i].op is not SCALAR:
            self.roots.add(i)
            self.needed.add(i)

    # -- compose ------------------------------------------------------------------------------------------------------
    def compose(self) -> dict[int, tuple]:
        """Of each root the stored values that it reads; stores those that do not compose."""
        traced: dict[int, tuple] = {}
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

    def trace_root(self, i: int) -> tuple:
        """(domain, reads, number of ops) of a root."""
        n = self.code[i]
        kind = n.op.kind
        if kind == "contract" and self.can[i]:
            return (), [Read(viewed(self.graph, self.alias, self.roots, j)[0], None) for j in dict.fromkeys(n.inputs)], 0
        if self.opaque(i):
            return (), [Read(self.alias[j], None) for j in dict.fromkeys(n.inputs)], 0
        if n.op.name in PUTS:
            at = positions(self.graph, i)
            domain = squeeze(at.shape)
            reads, seen, dense = {}, set(), contiguous_strides(squeeze(at.shape))
            self.trace_indices(i, at, domain, dense, 0, reads, seen)
            v = value_of_put(n)
            self.trace(v, domain, *broadcast_map(self.graph, i, at.shape, v, domain, dense, 0), reads, seen)
            return domain, list(reads), len(seen)
        start = {"reduce": n.inputs[:1], "write": n.inputs[1:], "fold": n.inputs}.get(kind)
        start = start[0] if start else None
        domain = squeeze(n.type.shape if start is None else self.code[start].type.shape)
        reads: dict[Read, None] = {}
        seen: set = set()
        strides = contiguous_strides(domain)
        if start is None:
            self.trace_operands(i, domain, strides, 0, reads, seen)
        else:
            self.trace(start, domain, strides, 0, reads, seen)
        return domain, list(reads), len(seen)

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

    # -- group --------------------------------------------------------------------------------------------------------
    def add(self, i: int, traced: tuple) -> None:
        """Puts a root into a group that it fits, or into a new one."""
        n = self.code[i]
        domain, reads, ops = traced
        kind = n.op.kind
        if n.op.name == "empty" or n.type.numel == 0:
            self.new(_Group("empty", [i], [], stores=[Store(i, i)]))
        elif self.opaque(i):
            self.new(_Group("host", [i], reads, stores=[Store(i, i)]))
        elif kind == "contract":
            self.new(_Group("contract", [i], reads, stores=[Store(i, i)]))
        elif kind == "write":
            self.add_write(i, domain, reads, ops)
        elif n.op.name in PUTS:
            self.add_put(i, domain, reads, ops)
        elif kind == "fold":
            self.add_fold(i, domain, reads, ops)
        else:
            self.add_loops(i, domain, reads, ops)

    def add_copy(self, i) -> int:
        """The copy of what a write replaces, which begins it."""
        base = self.alias[self.code[i].inputs[0]]
        numel = self.code[base].type.numel
        whole = (numel,) if numel > 1 else ()
        return self.new(_Group("loops", [i], [Read(base, (1,) * len(whole))], whole, stores=[Store(i, base)], base=base))

    def add_write(self, i, domain, reads, ops) -> None:
        n = self.code[i]
        shape, strides, offset = n.attrs
        copy = self.add_copy(i)
        if 0 in shape:
            return
        where = tuple([st for s, st in zip(shape, strides, strict=True) if s != 1])
        g = self.new(_Group("loops", [i], reads, domain, stores=[Store(i, n.inputs[1], where, offset)], ops=ops))
        self.before[g] |= self.before[copy] | 1 << copy

    def add_put(self, i, domain, reads, ops) -> None:
        """Writes at positions held in data. Positions may repeat, so the dimensions along which they vary are walked in
        order, as reduced ones are."""
        n = self.code[i]
        at = positions(self.graph, i)
        copy = self.add_copy(i)
        if 0 in at.shape:
            return
        squeezed = [d for d, s in enumerate(at.shape) if s != 1]
        walked = tuple([k for k, d in enumerate(squeezed) if d in at.walked])
        how = n.attrs[1] if n.op.name == "scatter" else "add" if n.attrs else "set"
        g = self.new(_Group("loops", [i], reads, domain, walked, ops=ops,
                            stores=[Store(i, value_of_put(n), None, 0, "add" if how == "sum" else how, i)]))
        self.before[g] |= self.before[copy] | 1 << copy

    def add_fold(self, i, domain, reads, ops) -> None:
        n = self.code[i]
        shape, (vshape, strides, offset) = n.attrs
        whole = (n.type.numel,) if n.type.numel > 1 else ()
        zero = self.new(_Group("loops", [i], [], whole, stores=[Store(i, i, None, 0, "zero")]))
        if 0 in vshape:
            return
        where = tuple([st for s, st in zip(vshape, strides, strict=True) if s != 1])
        overlap = _overlapping(domain, where)
        how = "add" if overlap else "set"
        g = self.new(_Group("loops", [i], reads, domain, overlap,
                            stores=[Store(i, n.inputs[0], where, offset, how)], ops=ops))
        self.before[g] |= self.before[zero] | 1 << zero

    def add_loops(self, i, domain, reads, ops) -> None:
        n = self.code[i]
        dims: tuple[int, ...] = ()
        if n.op.kind == "reduce":
            which = n.attrs if isinstance(n.attrs, tuple) else (n.attrs,)
            position = -1
            found = []
            for d, s in enumerate(self.code[n.inputs[0]].type.shape):
                if s != 1:
                    position += 1
                    if d in which:
                        found.append(position)
            dims = tuple(found)
        if not dims and self.follows_contraction(i, domain, reads, ops):
            return
        candidates = dict.fromkeys(self.group_of[r.value] for r in reads if r.value in self.group_of)
        for r in reads:
            if r.strides is not None and any(r.strides):
                candidates.update(dict.fromkeys(self.readers.get(r, ())))
        for g in candidates:
            if self.fits(g, domain, dims, reads, ops):
                self.join(g, i, domain, dims, reads, ops)
                return
        g = self.new(_Group("loops", [i], reads, domain, dims, ops=ops))

    def follows_contraction(self, i: int, domain, reads, ops) -> bool:
        """Makes an elementwise root the epilogue of the contraction that only it reads, if there is one."""
        dense = contiguous_strides(domain)
        for r in reads:
            g = self.group_of.get(r.value)
            if g is None or self.groups[g].kind != "contract" or len(self.groups[g].members) > 1 or \
                    self.count[r.value] != 1 or r.value in self.needed_outside or r.strides != dense or r.offset or \
                    squeeze(self.code[r.value].type.shape) != domain or self.graph.code[i].op.kind != "elementwise" or \
                    ops > MAX_EPILOGUE:
                continue
            others = [x for x in reads if x.value != r.value]
            if any(x.strides is None for x in others) or len(others) + 1 != len(reads) or len(others) > MAX_INPUTS:
                continue
            if any(self.before[h] >> g & 1 or h == g for x in others
                   if (h := self.group_of.get(x.value)) is not None):
                continue
            if not self.only_loads(i, set()):
                continue
            group = self.groups[g]
            group.members.append(i)
            group.stores = [Store(i, i)]
            group.reads = [*group.reads, *others]
            self.group_of[i] = g
            self.depend(g, others)
            return True
        return False

    def only_loads(self, i: int, seen: set) -> bool:
        """Whether an expression is of loads and elementwise operations alone (no positions, no indices held in data)."""
        if i in seen:
            return True
        seen.add(i)
        n = self.code[i]
        if n.op.kind not in ("elementwise", "view") or n.op.name == "bitcast":
            return False
        return all(a in self.roots or self.code[a].op in (LEAF, SCALAR) or self.only_loads(a, seen)
                   for a in (self.alias[j] for j in n.inputs))

    def fits(self, g: int, domain, dims, reads, ops) -> bool:
        group = self.groups[g]
        if group.kind != "loops" or group.stores or group.ops + ops + 1 > MAX_OPS:
            return False
        if len({r.value for r in (*group.reads, *reads)}) + len(group.members) >= MAX_BUFFERS:
            return False
        if group.shape == domain:
            if dims and group.dims and dims != group.dims:
                return False
            all_dims = dims or group.dims
            whole = True
        else:
            all_dims = group.dims
            whole = False
            if dims or not all_dims or domain != tuple([s for d, s in enumerate(group.shape) if d not in all_dims]):
                return False
        dense = contiguous_strides(domain)
        over = kept_strides(domain, all_dims) if whole else dense
        for r in reads:
            h = self.group_of.get(r.value)
            if h is None:
                continue
            if h != g:
                if self.before[h] >> g & 1:
                    return False
                continue
            kept = self.is_kept(r.value, group)
            if r.offset or r.strides != (over if kept else dense) or not whole and not kept:
                return False
            if whole and kept:  # a row is passed over again with what was reduced from it
                size = 1
                for d in all_dims:
                    size *= domain[d]
                trailing = tuple(range(len(domain) - len(all_dims), len(domain)))
                if size > MAX_ROW or all_dims != trailing:
                    return False
        return True

    def is_kept(self, i: int, group: _Group) -> bool:
        """Whether a member's value has the domain that remains after the group's reductions."""
        if not group.dims:
            return False
        return squeeze(self.code[i].type.shape) != group.shape

    def join(self, g: int, i: int, domain, dims, reads, ops) -> None:
        group = self.groups[g]
        group.members.append(i)
        group.reads = list(dict.fromkeys((*group.reads, *reads))) if group.shape == domain else \
            [*group.reads, *(Read(r.value, None if r.strides is None else self.widen(r.strides, group), r.offset)
                             for r in reads)]
        group.dims = dims or group.dims
        group.ops += ops + 1
        self.group_of[i] = g
        self.depend(g, reads)
        for r in reads:
            self.readers.setdefault(r, []).append(g)

    def widen(self, strides, group) -> tuple[int, ...]:
        """A map over the kept dimensions as one over all."""
        it = iter(strides)
        return tuple([0 if d in group.dims else next(it) for d in range(len(group.shape))])

    def new(self, group: _Group) -> int:
        g = len(self.groups)
        self.groups.append(group)
        self.before.append(0)
        for i in group.members:
            self.group_of[i] = g
        self.depend(g, group.reads)
        for r in group.reads:
            self.readers.setdefault(r, []).append(g)
        return g

    def depend(self, g: int, reads) -> None:
        before = self.before
        bits = 0
        for r in reads:
            h = self.group_of.get(r.value)
            if h is not None and h != g:
                bits |= before[h] | 1 << h
        if bits & ~before[g]:
            before[g] |= bits
            for h in range(len(before)):
                if before[h] >> g & 1:
                    before[h] |= bits

    # -- order --------------------------------------------------------------------------------------------------------
    def ordered(self) -> list[Step]:
        before = self.before
        # Readers of what a write replaces go before it, so that it can have the buffer.
        for g, group in enumerate(self.groups):
            if group.base >= 0:
                for h, other in enumerate(self.groups):
                    if h != g and not before[h] >> g & 1 and any(r.value == group.base for r in other.reads):
                        before[g] |= before[h] | 1 << h
                        for k in range(len(before)):
                            if before[k] >> g & 1:
                                before[k] |= before[g]
        for j in self.copies:
            base = self.alias[j]
            self.new_copy(j, base)
        first = [min(g.members) for g in self.groups]
        order = sorted(range(len(self.groups)), key=lambda g: (before[g].bit_count(), first[g], g))
        stored_elsewhere: set[int] = set(self.needed)
        for g, group in enumerate(self.groups):
            for r in group.reads:
                if self.group_of.get(r.value, g) != g:
                    stored_elsewhere.add(r.value)
        self.needed = {i for i in stored_elsewhere if i in self.group_of}
        steps = []
        for g in order:
            group = self.groups[g]
            if group.kind == "empty":
                steps.append(Step("empty", tuple(group.members), (), tuple(group.stores)))
                continue
            stores = group.stores or [Store(i, i) for i in group.members if i in self.needed]
            steps.append(Step(group.kind, tuple(group.members), tuple(group.reads), tuple(stores), group.shape,
                              group.dims, group.base))
        return steps

    def new_copy(self, j: int, base: int) -> None:
        n = self.code[base].type
        whole = (n.numel,) if n.numel > 1 else ()
        if n.numel == 0:
            self.new(_Group("empty", [j], [], stores=[Store(j, j)]))
        else:
            self.new(_Group("loops", [j], [Read(base, (1,) * len(whole))], whole, stores=[Store(j, base)]))


def _overlapping(shape, strides) -> tuple[int, ...]:
    """Dimensions to be walked in order so that the others name distinct elements: the fewest, smallest ones."""
    rest, walk = list(range(len(shape))), []
    while views.overlaps_itself([shape[d] for d in rest], [strides[d] for d in rest]):
        d = min(rest, key=lambda d: (strides[d] != 0, shape[d]))
        rest.remove(d)
        walk.append(d)
    return tuple(sorted(walk))
