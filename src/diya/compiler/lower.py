"""Stage 2: steps to loop IR.

Each step of the schedule becomes one kernel over its whole domain: kept dimensions first, then the reduced ones, every
stored value that it reads a load at its map, every inline value the op that makes it. Nothing is chosen here; the order
of loops, vectors and tasks are `optimise`'s.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..dtypes import bool_, int64
from ..graph import LEAF, PRIMITIVES, SCALAR, Graph, contiguous_strides
from .access import broadcast_map, contracted, index_map, kept_strides, operand_map, position_map, positions, squeeze
from .loops import STORES, Kernel, Map, Op, Phase
from .operands import Epilogue, Operand, dense
from .schedule import Schedule, Step
from .support import DIVISIONS

FAULT = -1  # the value that stands for the program's fault record


class Lowered(NamedTuple):
    """A step's kernel and the values that its buffers are (None for steps that are no loops)."""

    step: Step
    kernel: Kernel | None = None
    values: tuple[int, ...] = ()
    contraction: tuple | None = None   # the arguments of `lower_contraction`

    def __str__(self):
        if self.contraction is not None:
            c, a, b, out, epilogue, values = self.contraction
            lines = [f"contract {c}", *[f"  {name} %{v} {x}" for name, v, x in zip("ab", values, (a, b), strict=False)],
                     f"  out %{values[2]} {out}"]
            if epilogue is not None:
                lines += [epilogue.key, *[f"  i{k} %{v} {x}" for k, (v, x) in
                                          enumerate(zip(values[3:], epilogue.inputs, strict=True))]]
            return "\n".join(lines)
        if self.kernel is None:
            return f"{self.step.kind} {', '.join(f'%{m}' for m in self.step.members)}"
        names = ", ".join(f"b{i} = " + ("fault" if v == FAULT else f"%{v}") for i, v in enumerate(self.values))
        return f"{self.kernel}\n  where {names}"


def lower(schedule: Schedule) -> tuple[Lowered, ...]:
    return tuple([Lowered(s, *_Lowering(schedule, s).kernel()) if s.kind == "loops" else
                  lower_contract(schedule, s) if s.kind == "contract" else Lowered(s) for s in schedule.steps])


def lower_contract(schedule: Schedule, step: Step) -> Lowered:
    """A contraction: its operands as strided views of stored values, and what follows it as the epilogue."""
    graph = schedule.graph
    code: Any = graph.code
    i, result = step.members[0], step.members[-1]
    n = code[i]
    operands, values = [], []
    for a, strides, offset, shape, spread in contracted(graph, schedule.alias, schedule.roots, i):
        operands.append(Operand(code[a].type.dtype, shape, tuple(strides), offset, spread))
        values.append(a)
    out = dense(code[result].type.dtype, n.type.shape)
    epilogue = None
    if result != i:
        shape = n.type.shape
        domain = squeeze(shape)
        after = step._replace(shape=domain, dims=(), members=(result,), stores=step.stores)
        kernel, buffers = _Lowering(schedule, after).kernel()
        ops, d = kernel.ops, n.type.dtype
        inputs: dict[int, int] = {}          # loads of anything but the sum: their place among the inputs
        loads = []
        for k, op in enumerate(ops):
            if op.name == "load" and buffers[op.attr[0]] != i:
                inputs[k] = len(loads)
                steps = iter(op.attr[1].strides)
                strides = tuple([0 if s == 1 else next(steps) for s in shape])
                loads.append(Operand(op.dtype, tuple(shape), strides, op.attr[1].offset))
                values.append(buffers[op.attr[0]])
        key = "\n".join([f"  sum {d.name}"] + [
            f"  %{k} = " + (f"i{inputs[k]} {op.dtype.name}" if k in inputs else "sum" if op.name == "load" else
                            " ".join([op.name, op.dtype.name, *([str(op.attr[1])] if op.name != "store" and
                                                               op.attr[1] is not None else []),
                                      *[f"%{j}" for j in op.inputs]])) for k, op in enumerate(ops)])

        def emit(b, total, *given):
            made = []
            for k, op in enumerate(ops):
                if k in inputs:
                    made.append(given[inputs[k]])
                elif op.name == "load":
                    made.append(b.cast(total, d))
                elif op.name == "store":
                    return made[op.inputs[0]]
                else:
                    made.append(b.apply(op.attr[0], op.attr[1], [made[j] for j in op.inputs]))
        epilogue = Epilogue(key, emit, tuple(loads))
    values.insert(2, result)
    return Lowered(step, contraction=(n.attrs, *operands, out, epilogue, tuple(values)))


class _Lowering:
    def __init__(self, schedule: Schedule, step: Step):
        self.graph: Graph = schedule.graph
        self.code: Any = schedule.graph.code
        self.alias, self.step = schedule.alias, step
        self.members = frozenset(step.members)
        self.stored = schedule.roots
        rank = len(step.shape)
        self.order = [d for d in range(rank) if d not in step.dims] + list(step.dims)
        self.dims = tuple([step.shape[d] for d in self.order])
        self.kept = rank - len(step.dims)
        self.buffers: dict[tuple, int] = {}
        self.ops: list[Op] = []
        self.place: list[tuple[int, int]] = []   # of each op: its phase, and whether it is full
        self.memo: dict[tuple, int] = {}
        self.phases: dict[int, int] = {}
        self.phase = 0

    def kernel(self) -> tuple[Kernel, tuple[int, ...]]:
        """The step's kernel, and the values that its buffers are."""
        for s in sorted(self.step.stores, key=lambda s: self.phase_of(s.source)):
            self.store(s)
        # Stores last: what one overwrites (the plan may give it an operand's buffer) has then been read.
        order = sorted(range(len(self.ops)), key=lambda i: (self.place[i], self.ops[i].name in STORES))
        new = {old: i for i, old in enumerate(order)}
        count = 1 + max((p for p, _ in self.place), default=0)
        parts: list[tuple[list, list]] = [([], []) for _ in range(count)]
        for i in order:
            op, (phase, full) = self.ops[i], self.place[i]
            parts[phase][full].append(op._replace(inputs=tuple([new[j] for j in op.inputs])) if op.inputs else op)
        kernel = Kernel(self.dims, self.kept, tuple([d for _, d in self.buffers]),
                        tuple([Phase(tuple(k), tuple(f)) for k, f in parts]),
                        fault=self.buffers.get((FAULT, int64), -1))
        return kernel, tuple([v for v, _ in self.buffers])

    def permuted(self, strides) -> tuple[int, ...]:
        return tuple([strides[d] for d in self.order])

    def buffer(self, value: int, d) -> int:
        return self.buffers.setdefault((value, d), len(self.buffers))

    def add(self, name, d, inputs=(), attr=None, varies=False) -> int:
        """Appends an op: to the loop of the current phase if it varies along it, else where its inputs are known."""
        phase, full = 0, varies
        for j in inputs:
            p, f = self.place[j]
            if self.ops[j].name == "reduce":
                p += 1
            else:
                full = full or f
            phase = max(phase, p)
        if full:
            phase = self.phase
        self.ops.append(Op(name, d, tuple(inputs), attr))
        self.place.append((phase, int(full)))
        if name == "reduce":
            self.place[-1] = (self.phase, 1)
        return len(self.ops) - 1

    def varies(self, strides) -> bool:
        return any(strides[self.kept:])

    # -- phases -------------------------------------------------------------------------------------------------------
    def phase_of(self, i: int) -> int:
        """The first loop in which a value can be computed: after those of all reductions that it depends on."""
        a = self.alias[i]
        found = self.phases.get(a)
        if found is None:
            n = self.code[a]
            if n.op is LEAF or n.op is SCALAR or a in self.stored and a not in self.members or n.op.kind == "write":
                found = 0
            else:
                found = max((self.phase_of(j) for j in n.inputs), default=0)
                if a in self.members and self.reduces(a):
                    found += 1
            self.phases[a] = found
        return found

    def store(self, s) -> None:
        step = self.step
        d = self.code[s.target].type.dtype
        self.phase = self.phase_of(s.source) if s.how != "zero" else 0
        dense = self.permuted(contiguous_strides(step.shape))
        if s.how == "zero":
            source = self.add("const", d, (), 0)
            strides = dense
        elif s.at >= 0:
            at, (rest, start), indices = self.positions(s.at, dense, 0)
            source = self.value(s.source, *broadcast_map(self.graph, s.at, at.shape, s.source, self.dims, dense, 0))
            self.add("put", d, (source, *indices), (self.buffer(s.target, d), Map(rest, start), at.where, s.how),
                     bool(step.dims))
            return
        elif s.how == "column":
            source = self.value(s.source, dense, 0)
            along = kept_strides(step.shape, tuple([k for k in range(len(step.shape)) if k not in step.dims]))
            self.add("column", d, (source,), (self.buffer(s.target, d), Map(self.permuted(along))), True)
            return
        elif s.strides is not None or s.source not in self.members:
            source = self.value(s.source, dense, 0)
            strides = dense if s.strides is None else self.permuted(s.strides)
            d = self.ops[source].dtype  # a copy moves its source's elements
        else:
            n = self.code[s.source]
            kept = bool(step.dims) and n.type.numel != _product(step.shape)
            strides = self.permuted(kept_strides(step.shape, step.dims)) if kept else dense
            source = self.member(s.source, strides, 0)
        self.add("store", d, (source,), (self.buffer(s.target, d), Map(strides, s.offset),
                                         "set" if s.how == "zero" else s.how),
                 self.varies(strides) or s.how not in ("set", "zero") and bool(step.dims))

    # -- values -------------------------------------------------------------------------------------------------------
    def value(self, i: int, strides, offset: int) -> int:
        """The op of a value read through a map over the kernel's dimensions."""
        a = self.alias[i]
        op = self.code[a].op
        if op is SCALAR:
            return self.load(a, (0,) * len(self.dims), 0)
        if op is LEAF or a in self.stored and a not in self.members:
            return self.load(a, strides, offset)
        return self.member(a, strides, offset)

    def load(self, a: int, strides, offset, d=None) -> int:
        d = d or self.code[a].type.dtype
        if a == self.step.over:
            a = self.step.members[0]
        full = self.varies(strides)
        key = ("load", a, strides, offset, d, self.phase if full else -1)
        found = self.memo.get(key)
        if found is None:
            found = self.memo[key] = self.add("load", d, (), (self.buffer(a, d), Map(strides, offset)), full)
        return found

    def member(self, a: int, strides, offset) -> int:
        """The op of a value that this kernel computes."""
        n = self.code[a]
        kind, name, d = n.op.kind, n.op.name, n.type.dtype
        if self.reduces(a):
            return self.reduced(a)
        full = self.varies(strides)
        key = (a, strides, offset, self.phase)
        found = self.memo.get(key)
        if found is not None:
            return found
        if kind == "view" and name == "view":
            found = self.value(n.inputs[0], *operand_map(self.graph, a, n.inputs[0], self.dims, strides, offset))
        elif kind == "view":  # a bitcast reads its operand's buffer as its own type
            found = self.load(self.alias[n.inputs[0]], strides, offset, d)
        elif kind == "reduce":  # over dimensions of size 1
            found = self.value(n.inputs[0], strides, offset)
            if name.startswith("arg"):
                found = self.add("const", d, (), 0)
            elif name in ("any", "all"):
                found = self.truth(found)
        elif name == "iota":
            found = self.add("index", int64, (), Map(strides, offset), full)
            if d is not int64:
                found = self.add("cast", d, (found,), (PRIMITIVES["cast"], d))
        elif name == "philox":
            at = self.add("index", int64, (), Map(strides, offset), full)
            zeros = (0,) * len(self.dims)
            found = self.add("philox", d, (*[self.value(j, zeros, 0) for j in n.inputs], at))
        elif kind == "index":
            at, (rest, start), indices = self.positions(a, strides, offset)
            found = self.add("gather", d, indices, (self.buffer(self.alias[n.inputs[0]], d), Map(rest, start), at.where),
                             self.varies(rest))
        else:
            inputs = [self.value(j, *operand_map(self.graph, a, j, self.dims, strides, offset)) for j in n.inputs]
            if name in DIVISIONS:
                self.buffer(FAULT, int64)
            found = self.add(name, d, inputs, (n.op, n.attrs))
        self.memo[key] = found
        return found

    def positions(self, a: int, strides, offset):
        """For an instruction with indices held in data: its `Positions`, the map of the rest, the ops of the indices."""
        at = positions(self.graph, a)
        indices = [self.value(j, *index_map(self.graph, a, at, j, self.dims, strides, offset)) for j in at.indices]
        self.buffer(FAULT, int64)
        return at, position_map(at, a, self.dims, strides, offset), indices

    def reduced(self, a: int) -> int:
        key = ("reduce", a)
        found = self.memo.get(key)
        if found is not None:
            return found
        n = self.code[a]
        x, name = n.inputs[0], n.op.name
        outer, self.phase = self.phase, self.phase_of(x)
        dense = self.permuted(contiguous_strides(self.step.shape))
        source = self.value(x, dense, 0)
        if name in ("any", "all"):
            source = self.truth(source)
        inputs = (source,)
        if name.startswith("arg"):
            along = tuple([0] * self.kept + [1] * len(self.step.dims))
            inputs = (source, self.add("index", int64, (), Map(along, 0), True))
        found = self.memo[key] = self.add("reduce", n.type.dtype, inputs, name, True)
        self.phase = outer
        return found

    def truth(self, i: int) -> int:
        return i if self.ops[i].dtype is bool_ else self.add("cast", bool_, (i,), (PRIMITIVES["cast"], bool_))

    def reduces(self, a: int) -> bool:
        n = self.code[a]
        return n.op.kind == "reduce" and n.type.numel != self.code[n.inputs[0]].type.numel


def _product(shape) -> int:
    n = 1
    for s in shape:
        n *= s
    return n
