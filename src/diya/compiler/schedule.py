"""Stage 1: which values are stored, and which are computed together.

A value is *stored* (a root) or recomputed where it is read (inline). Inline values cost no memory: a chain of
elementwise operations, casts, views and broadcasts is one expression of index maps over the stored values that it
reads (`roots`, `access`). Roots over one domain are then gathered into groups; a group is one kernel, in which members
read one another in registers:

    a value and what is computed from it at the same positions (both are stored, or the first is not needed at all)
    reductions of one domain over the same dimensions, and what follows them over the dimensions that remain
    a row that is passed over again with what was reduced from it (softmax, layer normalisation)
    sums over all rows of what is computed along them (the gradients of a layer normalisation's weight and bias)
    a contraction and the elementwise expression that alone reads it

Groups are ordered topologically, readers of an old version before the write that replaces it.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from .. import views
from ..dtypes import float32, float64
from ..graph import LEAF, SCALAR, Graph, contiguous_strides
from .access import PUTS, Read, kept_strides, positions, squeeze, value_of_put
from .roots import Roots, Traced

MAX_BUFFERS = 24     # of one kernel
MAX_OPS = 160
MAX_SIBLINGS = 8     # groups that read the same data, tried from the latest
MAX_EPILOGUE = 24    # ops after a contraction, before its store
MAX_INPUTS = 6       # arrays that they read
MAX_ROW = 1 << 15    # elements of a row that one kernel may pass over several times


class Store(NamedTuple):
    """Value ``source`` stored into the buffer of ``target``: densely, or at a view's (strides, offset).

    ``how``: "set", "zero" (source is ignored), or what is done with the element that is there: "add", "prod", "amax",
    "amin"; "column": the source is summed over the dimensions that the step does not reduce. ``at``: an instruction
    whose indices, held in data, say where (see `Positions`), or -1.
    """

    target: int
    source: int
    strides: tuple[int, ...] | None = None
    offset: int = 0
    how: str = "set"
    at: int = -1


class Step(NamedTuple):
    """``kind``: "loops" (a kernel), "contract", "scan", "host" (run by the interpreter).

    ``shape`` is the domain without dimensions of size 1, ``dims`` those of it that are reduced, ``members`` the roots
    that are computed. ``base`` is, for the copy that begins a write, the value that the write replaces: when the plan
    can let the write have its base's buffer, the step is dropped. ``over``: the value that the step reads in the buffer
    that it writes (``x[1:] += 1`` reads the elements of x that it replaces, each before it is replaced), or -1.
    """

    kind: str
    members: tuple[int, ...]
    reads: tuple[Read, ...]
    stores: tuple[Store, ...]
    shape: tuple[int, ...] = ()
    dims: tuple[int, ...] = ()
    base: int = -1
    over: int = -1


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


def schedule(graph: Graph) -> Schedule:
    return _Scheduler(graph).run()


class _Group:
    __slots__ = ("members", "reads", "shape", "dims", "ops", "kind", "stores", "base", "over", "columns")

    def __init__(self, kind, members, reads, shape=(), dims=(), stores=(), ops=0, base=-1, over=-1):
        self.kind, self.members, self.reads, self.shape, self.dims = kind, members, reads, shape, dims
        self.stores, self.ops, self.base = list(stores), ops, base
        self.over = over
        self.columns: set[int] = set()   # members that are sums over the dimensions that the others keep


class _Scheduler:
    def __init__(self, graph: Graph):
        self.graph = graph
        self.code: Any = graph.code
        self.chosen = chosen = Roots(graph)
        self.alias, self.roots = chosen.alias, chosen.roots
        self.outputs = {self.alias[j] for j in graph.outputs}
        self.groups: list[_Group] = []
        self.before: list[int] = []     # of each group: bits of the groups that must run before it
        self.group_of: dict[int, int] = {}
        self.readers: dict[Read, list[int]] = {}
        self.count = dict.fromkeys(self.roots, 0)   # of each root: how many roots read it
        for traced in chosen.traced.values():
            for v in {r.value for r in traced.reads}:
                if v in self.count:
                    self.count[v] += 1

    def run(self) -> Schedule:
        for i in sorted(self.roots):
            self.add(i, self.chosen.traced[i])
        return Schedule(self.graph, tuple(self.ordered()), tuple(self.alias), frozenset(self.roots))

    # -- group --------------------------------------------------------------------------------------------------------
    def add(self, i: int, traced: Traced) -> None:
        """Puts a root into a group that it fits, or into a new one."""
        n = self.code[i]
        domain, reads, ops = traced
        kind = n.op.kind
        if not self.chosen.can[i]:
            self.new(_Group("host", [i], reads, stores=[Store(i, i)]))
        elif n.op.name == "empty" or n.type.numel == 0:
            self.new(_Group("empty", [i], [], stores=[Store(i, i)]))
        elif self.chosen.opaque(i):
            self.new(_Group("host", [i], reads, stores=[Store(i, i)]))
        elif kind in ("contract", "scan"):
            self.new(_Group(kind, [i], reads, stores=[Store(i, i)]))
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
        base = self.alias[n.inputs[0]]
        own = [r for r in reads if r.value == base]
        over = base if own and all(r.strides == where and r.offset == offset for r in own) else -1
        if over >= 0:
            reads = [r._replace(value=i) if r.value == base else r for r in reads]
        g = self.new(_Group("loops", [i], reads, domain, stores=[Store(i, n.inputs[1], where, offset)], ops=ops, over=over))
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
        self.merge_groups(domain, reads)
        candidates = dict.fromkeys(self.group_of[r.value] for r in reads if r.value in self.group_of)
        for r in reads:
            if r.strides is not None and any(r.strides):
                candidates.update(dict.fromkeys(self.readers.get(r, ())[-MAX_SIBLINGS:]))
        if dims and self.sums_rows(i, domain, dims, reads):
            return
        for g in candidates:
            column = bool(dims) and self.is_column(i, g, domain, dims)
            along = self.groups[g].dims if column else dims
            if self.fits(g, domain, along, reads, ops):
                self.join(g, i, domain, along, reads, ops)
                if column:
                    self.groups[g].columns.add(i)
                return
        g = self.new(_Group("loops", [i], reads, domain, dims, ops=ops))

    def follows_contraction(self, i: int, domain, reads, ops) -> bool:
        """Makes an elementwise root the epilogue of the contraction that only it reads, if there is one."""
        dense = contiguous_strides(domain)
        for r in reads:
            g = self.group_of.get(r.value)
            if g is None or self.groups[g].kind != "contract" or len(self.groups[g].members) > 1 or \
                    self.count[r.value] != 1 or r.value in self.outputs or r.strides != dense or r.offset or \
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
            self.depend(g, self.must_precede(g, others))
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

    def is_column(self, i: int, g: int, domain, dims) -> bool:
        """Whether a reduction is a sum over just those dimensions that a group of rows keeps."""
        group, n = self.groups[g], self.code[i]
        kept = len(domain) - len(group.dims)
        return group.shape == domain and bool(group.dims) and dims == tuple(range(kept)) and \
            group.dims == tuple(range(kept, len(domain))) and n.op.name == "sum" and n.type.dtype in (float32, float64)

    def sums_rows(self, i: int, domain, dims, reads) -> bool:
        """Makes a sum over all rows of a value that is seen in another shape a column sum of the value's own group, if it
        can be one."""
        n = self.code[i]
        a = self.alias[n.inputs[0]]
        g = self.group_of.get(a)
        own = squeeze(self.code[a].type.shape)
        if g is None or own == domain or len(own) < 2 or reads != [Read(a, contiguous_strides(domain))] or \
                dims != tuple(range(len(dims))) or prod(domain[len(dims):]) != prod(own[1:]):
            return False
        reads = [Read(a, contiguous_strides(own))]
        along = self.groups[g].dims
        if not self.is_column(i, g, own, (0,)) or not self.fits(g, own, along, reads, 0):
            return False
        self.join(g, i, own, along, reads, 0)
        self.groups[g].columns.add(i)
        return True

    def fits(self, g: int, domain, dims, reads, ops) -> bool:
        group = self.groups[g]
        if group.kind != "loops" or group.stores or group.ops + ops + 1 > MAX_OPS:
            return False
        if self.buffers(g, reads) >= MAX_BUFFERS:
            return False
        if group.shape == domain:
            if dims and group.dims and dims != group.dims:
                return False
        elif dims or not group.dims or domain != tuple([s for d, s in enumerate(group.shape) if d not in group.dims]):
            return False
        return self.readable(g, domain, dims or group.dims, reads)

    def buffers(self, g: int, reads) -> int:
        """About how many buffers a group would have with further reads."""
        group = self.groups[g]
        outside = {r.value for r in (*group.reads, *reads) if self.group_of.get(r.value) != g}
        return len(outside) + sum(m in self.chosen.needed for m in group.members)

    def readable(self, g: int, domain, dims, reads, other: int = -1) -> bool:
        """Whether a root over a domain can read what it reads as a member of a group that reduces ``dims`` (and of one more
        group, whose values it reads already)."""
        group = self.groups[g]
        whole = group.shape == domain
        dense = contiguous_strides(domain)
        over = kept_strides(domain, dims) if whole else dense
        for r in reads:
            h = self.group_of.get(r.value)
            if h is None or h == other:
                continue
            if r.value in group.columns:
                return False
            if h != g:
                # A group over few elements that waits for one over many would keep later work over many from joining it.
                late = len(self.groups[h].shape) > len(group.shape) and not self.before[g] >> h & 1
                if late or self.before[h] >> g & 1:
                    return False
                continue
            kept = self.is_kept(r.value, group)
            if r.offset or r.strides != (over if kept else dense) or not whole and not kept:
                return False
            if whole and kept:  # a row is passed over again with what was reduced from it
                size = 1
                for d in dims:
                    size *= domain[d]
                if size > MAX_ROW or dims != tuple(range(len(domain) - len(dims), len(domain))):
                    return False
        return True

    def merge_groups(self, domain, reads) -> None:
        """Makes groups over one domain whose values meet in a root one group, where that is possible."""
        met = list(dict.fromkeys(g for r in reads if (g := self.group_of.get(r.value)) is not None and
                                 self.groups[g].kind == "loops" and not self.groups[g].stores))
        for k, g in enumerate(met):
            for h in met[:k]:
                if self.groups[h].members and self.groups[h].dims and self.mergeable(*sorted((g, h))):
                    self.merge(*sorted((g, h)))
                    break

    def mergeable(self, g: int, h: int) -> bool:
        """Whether the later group ``h`` can become part of ``g``."""
        one, two = self.groups[g], self.groups[h]
        if one.shape != two.shape or one.dims != two.dims or one.ops + two.ops > MAX_OPS or \
                self.buffers(g, two.reads) + self.buffers(h, ()) >= MAX_BUFFERS or self.before[g] >> h & 1 or \
                any(self.before[h] >> k & 1 and self.before[k] >> g & 1 for k in range(len(self.groups))):
            return False
        for i in two.members:
            domain, reads, _ = self.chosen.traced[i]
            if not self.readable(g, domain, one.dims, reads, h):
                return False
        return True

    def merge(self, g: int, h: int) -> None:
        one, two = self.groups[g], self.groups[h]
        one.members += two.members
        one.reads = list(dict.fromkeys((*one.reads, *two.reads)))
        one.ops += two.ops
        one.columns |= two.columns
        for i in two.members:
            self.group_of[i] = g
        two.members, two.reads, two.kind = [], [], "merged"
        own = 1 << g | 1 << h
        self.depend(g, self.before[h] & ~own)
        for k, bits in enumerate(self.before):
            if bits >> h & 1 and k != g:
                self.before[k] |= self.before[g] | 1 << g
        for r in one.reads:
            self.readers.setdefault(r, []).append(g)

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
        self.depend(g, self.must_precede(g, reads))
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
        self.before[g] = self.must_precede(g, group.reads)
        for r in group.reads:
            self.readers.setdefault(r, []).append(g)
        return g

    def must_precede(self, g: int, reads) -> int:
        """Bits of the groups that compute what is read."""
        bits = 0
        for r in reads:
            h = self.group_of.get(r.value)
            if h is not None and h != g:
                bits |= self.before[h] | 1 << h
        return bits

    def depend(self, g: int, bits: int) -> None:
        """Puts groups before ``g``, and so before all that come after it."""
        before = self.before
        if bits & ~before[g]:
            before[g] |= bits
            for h in range(len(before)):
                if before[h] >> g & 1:
                    before[h] |= bits

    # -- order --------------------------------------------------------------------------------------------------------
    def ordered(self) -> list[Step]:
        before = self.before
        # Readers of what a write replaces go before it, so that it can have the buffer.
        readers: dict[int, list[int]] = {}
        for g, group in enumerate(self.groups):
            for r in group.reads:
                readers.setdefault(r.value, []).append(g)
        for g, group in enumerate(self.groups):
            for h in readers[group.base] if group.base >= 0 else ():
                if h != g and not before[h] >> g & 1:
                    self.depend(g, before[h] | 1 << h)
        for j in self.chosen.copies:
            base = self.alias[j]
            self.new_copy(j, base)
        order: list[int] = []
        done = 0
        # As recorded, what is needed just before it: values that are computed early only to be kept take memory.
        for g in sorted(range(len(self.groups)), key=lambda g: max(self.groups[g].members, default=-1)):
            missing = (before[g] | 1 << g) & ~done
            done |= missing
            needed = [h for h in range(missing.bit_length()) if missing >> h & 1] if missing & ~(1 << g) else [g] * bool(missing)
            order += sorted(needed, key=lambda h: (before[h].bit_count(), h))
        stored_elsewhere: set[int] = set(self.chosen.needed)
        for g, group in enumerate(self.groups):
            for r in group.reads:
                if self.group_of.get(r.value, g) != g:
                    stored_elsewhere.add(r.value)
        steps = []
        for g in order:
            group = self.groups[g]
            if group.kind == "merged":
                continue
            if group.kind == "empty":
                steps.append(Step("empty", tuple(group.members), (), tuple(group.stores)))
                continue
            stores = group.stores or [Store(i, self.code[i].inputs[0], None, 0, "column") if i in group.columns else Store(i, i)
                                      for i in group.members if i in stored_elsewhere]
            steps.append(Step(group.kind, tuple(group.members), tuple(group.reads), tuple(stores), group.shape,
                              group.dims, group.base, group.over))
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
