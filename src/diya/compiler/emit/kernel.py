"""Loop IR to LLVM IR: one `Template` becomes one function.

    void kernel(ptr buffers, ptr args, i64 begin, i64 end, ptr scratch)

The loops stand in this order, and every op is written at the outermost one at which all that it depends on is known:

    entry                     scalars
      task, row               the kept dimensions but a vectorised last one, as one counter
        vector                chunks of the last kept dimension, when that is the vector dimension
          phase: r0, r1 ...   the reduced dimensions; the last in vectors, when that is the vector dimension

The vector loop runs unmasked over whole vectors; what is left is one masked vector.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from ...dtypes import bool_, float32, int32, int64
from ..loops import HEAD, STORES, Op, Template, maps_of
from ..support import COSTS, DIVISIONS
from .llvm import HALVES, MEMORY, Builder, Value, literal
from .text import Function

HEAVY = 64  # ops above which the tail shares the (masked) body of the vector loop, to halve the code


def emit(template: Template, symbol: str, gathers: bool = True, halves: bool = True) -> str:
    """The LLVM text of a kernel: its definition, and declarations of what it calls."""
    return _Emitter(template, symbol, gathers, halves).run()


class _Emitter:
    def __init__(self, template: Template, symbol: str, gathers: bool, halves: bool):
        self.t, self.k = template, template.kernel
        self.f: Any = Function(symbol, [("ptr", "buffers"), ("ptr", "args"), ("i64", "begin"), ("i64", "end"),
                                   ("ptr", "scratch")])
        self.b = Builder(self.f, self.k.lanes, gathers, halves)
        self.rank, self.kept = len(self.k.dims), self.k.kept
        self.ops = self.k.ops
        self.values: dict[int, Value] = {}
        vector_kept = self.k.vector == "kept"
        # The level of each dimension: 0 entry, 1 row, 2 the vectorised kept dimension, then kept dimensions that are
        # written out (all at one level), then the reduced ones.
        self.written = [d for d in self.k.unrolled if d < self.kept]
        self.row_dims = [d for d in range(self.kept - vector_kept - self.k.tile) if d not in self.written]
        self.kept_level = 1 + vector_kept + bool(self.written) + self.k.tile
        self.level_of = [self.kept_level if d in self.written else 1 for d in range(self.kept - vector_kept)] + \
            [2 + self.k.tile] * vector_kept + [self.kept_level + 1 + d for d in range(self.rank - self.kept)]
        if self.k.tile:
            self.level_of[self.kept - 2] = 2
        self.offsets: list[dict[int, str]] = []  # of each map, by level
        self.mask: str | None = None
        self.last = 0                       # of the dimensions that are written out, the last one's index
        self.first: dict[Op, Value] = {}    # what a store of every other element has put off (see `zip`)
        self.index: Any = 0         # of the first lane, in the vectorised kept dimension
        self.left: Any = None       # lanes that remain, where there is a mask

    # -- arguments ----------------------------------------------------------------------------------------------------
    def argument(self, i: int) -> str:
        return self.f.load("i64", self.f.at("i64", "%args", i))

    def run(self) -> str:
        f, t = self.f, self.t
        self.rows_per_task, self.chunks, self.chunk, mode, pieces, self.piece = [self.argument(i) for i in range(HEAD)]
        self.sizes = [self.k.dims[d] if d in self.k.unrolled else self.argument(HEAD + d) for d in range(self.rank)]
        starts, at = t.layout()
        self.strides: list[list] = []
        for start, pattern in zip(starts, t.patterns, strict=True):
            self.offsets.append({0: self.argument(start)})
            row, n = [], start + 1
            for c in pattern:
                if c == "*":
                    row.append(self.argument(n))
                    n += 1
                else:
                    row.append(int(c))
            self.strides.append(row)
        self.gathers: dict[int, list[list[str]]] = {}
        for i, op in enumerate(self.ops):
            if op.name in ("gather", "put"):
                self.gathers[i] = []
                for _ in op.attr[2]:
                    self.gathers[i].append([self.argument(at + k) for k in range(3)])
                    at += 3
        self.pointers = [f.load("ptr", f.at("ptr", "%buffers", i)) for i in range(len(self.k.buffers) - self.k.rows)] + \
            ["%scratch"] * self.k.rows
        self.bases = list(self.pointers)
        self.levels = self._levels()
        self.checked: dict[int, tuple[str, Value | None]] = {}  # of gathers and puts: where, now that the indices are known
        self.place(range(len(self.ops)), 0)
        rows = 1
        for d in self.row_dims:
            rows = f.mul(rows, self.sizes[d])
        if self.k.split:
            self.partial, self.combining = f.compare("eq", mode, 1), f.compare("eq", mode, 2)
            self.pieces = f.select(self.partial, "i64", pieces, 1)
            self.all_pieces = pieces
            self.kept_size = f.mul(rows, self.sizes[self.kept - 1] if self.k.vector == "kept" else 1)
        with f.loop("%begin", "%end") as task:
            block = task.i
            if self.k.split:
                block, self.part = f.div(task.i, self.pieces), f.rem(task.i, self.pieces)
            if self.k.vector == "kept":
                block, piece = f.div(block, self.chunks), f.rem(block, self.chunks)
                self.low = f.mul(piece, self.chunk)
                self.high = f.min(f.add(self.low, self.chunk), self.sizes[self.kept - 1 - self.k.tile])
            self.start_columns(task.i)
            if self.row_dims:
                first = f.mul(block, self.rows_per_task)
                index, rest = {}, first
                for d in reversed(self.row_dims[1:]):
                    index[d], rest = f.rem(rest, self.sizes[d]), f.div(rest, self.sizes[d])
                index[self.row_dims[0]] = rest
                with f.loop(first, f.min(f.add(first, self.rows_per_task), rows),
                            carry=[("i64", index[d]) for d in self.row_dims]) as row:
                    self.row(row.i, dict(zip(self.row_dims, row.state, strict=True)))
                    row.next = self.next_row(row.state)
            else:
                self.row(0, {})
        f.do("ret void")
        return "\n".join([*sorted(f.declared), str(f)])

    def start_columns(self, task) -> None:
        """Column sums of a task are rows of their buffers, and start from 0."""
        f, size = self.f, 1
        columns = self.k.columns
        for d in range(self.kept, self.rank) if columns else ():
            size = f.mul(size, self.sizes[d])
        for b in columns:
            d = self.k.buffers[b]
            self.pointers[b] = f.at(MEMORY[d], self.bases[b], f.mul(task, size))
            with f.loop(0, size) as turn:
                f.store(MEMORY[d], literal(0, d), f.at(MEMORY[d], self.pointers[b], turn.i))

    def _levels(self) -> list[int]:
        """Of each op, the level at which it is written."""
        levels = []
        n = 0
        for phase in self.k.phases:
            for full, part in enumerate(phase):
                for op in part:
                    level = max((levels[j] for j in op.inputs), default=0)
                    for m in maps_of(op):
                        pattern = self.t.patterns[self.t.map(m)]
                        level = max([level, *[self.level_of[d] for d, c in enumerate(pattern) if c != "0"]])
                    if op.name == "reduce":
                        level = self.kept_level
                    elif op.name in STORES:
                        level = self.level_of[-1] if full else self.kept_level
                    levels.append(level)
                    n += 1
        return levels

    # -- loops --------------------------------------------------------------------------------------------------------
    def advance(self, level: int, dims: dict[int, str | int]) -> None:
        """The offset of every map, now that the indices of ``dims`` are known."""
        f = self.f
        for m, offsets in enumerate(self.offsets):
            value = self.offset(m, level - 1)
            for d, i in dims.items():
                value = f.add(value, f.mul(i, self.strides[m][d]))
            offsets[level] = value

    def offset(self, m: int, level: int) -> str:
        offsets = self.offsets[m]
        while level not in offsets:
            level -= 1
        return offsets[level]

    def next_row(self, index: list) -> list:
        """The indices of the row after this one: the last counts up, and carries into the ones before it."""
        f, new, carry = self.f, list(index), None
        for at in range(len(index) - 1, -1, -1):
            more = f.add(index[at], 1)
            if carry is not None:
                more = f.select(carry, "i64", more, index[at])
            if at:
                over = f.compare("eq", more, self.sizes[self.row_dims[at]])
                more = f.select(over, "i64", 0, more)
                carry = over if carry is None else f(f"and i1 {carry}, {over}")
            new[at] = more
        return new

    def row(self, r, indices: dict) -> None:
        self.row_index = r
        self.advance(1, indices)
        everything = range(len(self.ops))
        if self.k.tile:
            self.place(everything, 1)
            self.tiles(everything)
        elif self.k.vector == "kept":
            self.place(everything, 1)  # nothing at this level depends on a reduction

            def body(state):
                if self.written:
                    self.place(everything, 2)
                self.write_out()
                return []
            self.vectors(self.kept - 1, 2, self.low, self.high, [], body, len(self.ops))
        else:
            self.write_out()

    def tiles(self, ops: range) -> None:
        """Whole tiles, the columns that are left of them, and the rows that are left."""
        f, w, v = self.f, self.k.lanes, self.kept - 1
        columns = self.sizes[v]
        whole = f.sub(columns, f.rem(columns, w))

        def row(r, low) -> None:
            def body(state):
                self.place(ops, 3)
                return []
            self.advance(2, {v - 1: r})
            self.place(ops, 2)
            self.vectors(v, 3, low, columns, [], body, len(ops))
        last = f.sub(self.high, f.rem(f.sub(self.high, self.low), w))
        with f.loop(self.low, last, w) as block:
            with f.loop(0, whole, w) as turn:
                self.tile(ops, block.i, turn.i)
            with f.loop(block.i, f.add(block.i, w)) as turn:
                row(turn.i, whole)
        with f.loop(last, self.high) as turn:
            row(turn.i, 0)

    def tile(self, ops: range, r, c) -> None:
        """One tile: what lies along its rows' dimension is loaded so, and transposed."""
        w, v = self.k.lanes, self.kept - 1
        self.index = c
        self.advance(2, {v - 1: r})
        self.advance(3, {v: c})
        ready = {}
        for i in ops:
            op = self.ops[i]
            if op.name == "load" and self.t.patterns[self.t.map(op.attr[1])][v - 1:] == "1*":
                ready[i] = self.transposed(op)
        for k in range(w):
            self.advance(2, {v - 1: self.f.add(r, k)})
            self.advance(3, {v: c})
            for level in (2, 3):
                for i in ops:
                    if i in ready:
                        self.values[i] = ready[i][k]
                    elif self.levels[i] == level:
                        self.op(i, self.ops[i], level)

    def transposed(self, op: Op) -> list[Value]:
        """Of a tile, the vectors along the lanes' dimension of a load that is contiguous along the other."""
        f, b, w = self.f, self.b, self.k.lanes
        m = self.t.map(op.attr[1])
        stride, start = self.strides[m][self.kept - 1], self.offset(m, 3)
        pointer = self.pointers[op.attr[0]]
        return b.transpose([b.load(f.at(MEMORY[op.dtype], pointer, f.add(start, f.mul(stride, k))), op.dtype, w)
                            for k in range(w)])

    def write_out(self) -> None:
        """The body, once for every index of the kept dimensions that are unrolled."""
        if not self.written:
            self.body()
            return
        for index in product(*[range(self.k.dims[d]) for d in self.written]):
            self.advance(self.kept_level, dict(zip(self.written, index, strict=True)))
            self.last = index[-1]
            self.body()

    def vectors(self, dim: int, level: int, low, high, carry, body, ops: int, abreast: int = 1, fresh=(),
                join: Any = None) -> list[str]:
        """Runs ``body(state)`` for each vector of a dimension; the state is what `carry` starts and the body returns.

        ``ops``: how many the body has. ``abreast`` vectors have a state of their own as long as so many are left (all but
        the first start from ``fresh``); then ``join(one, other)`` makes one state of two.
        """
        f, w = self.f, self.k.lanes

        def step(i, state, mask):
            self.mask = mask
            self.index = i
            self.advance(level, {dim: i})
            new = body(state)
            self.mask = None
            return new

        def lanes_left(i):
            self.left = Value(f(f"trunc i64 {f.sub(high, i)} to i32"), int32)
            return self.mask_of(w, self.left)

        if w == 1:
            with f.loop(low, high, carry=carry) as turn:
                turn.next = step(turn.i, turn.state, None)
            return turn.state
        if ops > HEAVY:
            with f.loop(low, high, w, carry=carry) as turn:
                turn.next = step(turn.i, turn.state, lanes_left(turn.i))
            return turn.state
        if abreast > 1:
            n, size = abreast * w, len(carry)
            most = f.sub(high, f.rem(f.sub(high, low), n))
            with f.loop(low, most, n, carry=[*carry, *list(fresh) * (abreast - 1)]) as turn:
                turn.next = [x for k in range(abreast)
                             for x in step(f.add(turn.i, k * w), turn.state[k * size:(k + 1) * size], None)]
            states = [turn.state[k * size:(k + 1) * size] for k in range(abreast)]
            while len(states) > 1:
                half = len(states) // 2
                states = [join(a, b) for a, b in zip(states[:half], states[half:], strict=True)]
            low, carry = most, [(c[0], s) for c, s in zip(carry, states[0], strict=True)]
        whole = f.sub(high, f.rem(f.sub(high, low), w))
        with f.loop(low, whole, w, carry=carry) as turn:
            turn.next = step(turn.i, turn.state, None)
        with f.loop(whole, high, w, carry=[(c[0], s) for c, s in zip(carry, turn.state, strict=True)]) as tail:
            tail.next = step(tail.i, tail.state, lanes_left(tail.i))
        return tail.state

    def mask_of(self, lanes: int, count: Value) -> str:
        """The first ``count`` of so many lanes."""
        ids = ", ".join(f"i32 {n}" for n in range(lanes))
        return self.f(f"icmp slt <{lanes} x i32> <{ids}>, {self.b.operand(count, lanes)}")

    def body(self) -> None:
        """All phases at one index of the kept dimensions."""
        n = 0
        for p, phase in enumerate(self.k.phases):
            kept = range(n, n + len(phase.kept))
            full = range(kept.stop, kept.stop + len(phase.full))
            n = full.stop
            self.place(kept, self.kept_level)
            if p == 0 and self.k.split:
                self.split_reduce(full, range(n, len(self.ops)))
                return
            if phase.full:
                self.place(full, self.kept_level)
                self.reduce(full)

    def split_reduce(self, full: range, after: range) -> None:
        """The reductions of a kernel that may run in pieces, and what follows them (see `Kernel.split`)."""
        f, b = self.f, self.b
        at = self.row_index
        if self.k.vector == "kept":
            at = f.add(f.mul(at, self.sizes[self.kept - 1]), self.index)
        f._count += 1
        n = f._count
        f.do(f"br i1 {self.combining}, label %combine{n}, label %elements{n}")
        f.label(f"elements{n}")
        self.place(full, self.kept_level)
        begin = f.mul(self.part, self.piece)
        length = self.sizes[self.kept]
        self.range = (begin, f.select(self.partial, "i64", f.min(f.add(begin, self.piece), length), length))
        reduced = self.reduce(full)
        made, block = [v for parts in reduced for v in parts], f.block
        f.do(f"br label %reduced{n}")
        f.label(f"combine{n}")
        kinds = [b.type(v.dtype, v.lanes) for v in made]
        start = [b.operand(x, v.lanes) for x, v in zip(self.identities(full), made, strict=True)]
        with f.loop(0, self.all_pieces, carry=list(zip(kinds, start, strict=True))) as turn:
            where = f.add(f.mul(turn.i, self.kept_size), at)
            old = [Value(t, v.dtype, v.lanes) for t, v in zip(turn.state, made, strict=True)]
            new = []
            for old_v, buffer in zip(old, self.k.partials, strict=True):
                d = self.k.buffers[buffer]
                got = b.load(f.at(MEMORY[d], self.pointers[buffer], where), d, old_v.lanes,
                             self.mask if old_v.lanes > 1 else None)
                new.append(Value(got.text, old_v.dtype, got.lanes))
            mixed, k = [], 0
            for i, parts in zip(self.reductions(full), reduced, strict=True):
                mixed += self.combine(self.ops[i].attr, old[k:k + len(parts)], new[k:k + len(parts)])
                k += len(parts)
            turn.next = [v.text for v in mixed]
        other = f.block
        f.do(f"br label %reduced{n}")
        f.label(f"reduced{n}")
        joined = [Value(f(f"phi {kind} [{v.text}, %{block}], [{t}, %{other}]"), v.dtype, v.lanes)
                  for kind, v, t in zip(kinds, made, turn.state, strict=True)]
        f.do(f"br i1 {self.partial}, label %partial{n}, label %whole{n}")
        f.label(f"partial{n}")
        where = f.add(f.mul(self.part, self.kept_size), at)
        for v, buffer in zip(joined, self.k.partials, strict=True):
            d = self.k.buffers[buffer]
            b.store(Value(v.text, d, v.lanes), f.at(MEMORY[d], self.pointers[buffer], where), v.lanes,
                    self.mask if v.lanes > 1 else None)
        f.do(f"br label %done{n}")
        f.label(f"whole{n}")
        k = 0
        for i, parts in zip(self.reductions(full), reduced, strict=True):
            k += len(parts)
            self.finish(i, joined[k - 1])
        self.place(after, self.kept_level)
        f.do(f"br label %done{n}")
        f.label(f"done{n}")

    def reductions(self, ops: range) -> list[int]:
        return [i for i in ops if self.ops[i].name == "reduce"]

    def identities(self, full: range) -> list[Value]:
        """What the accumulators of a loop start from, all reductions' in a row."""
        out = []
        for i in self.reductions(full):
            op = self.ops[i]
            out.append(identity(op.attr, self.ops[op.inputs[0]].dtype))
            if op.attr.startswith("arg"):
                out.append(self.b.const(0, int64))  # where every element is what it starts from
        return out

    def reduce(self, full: range) -> list[list[Value]]:
        """The loops of one phase over the reduced dimensions. Returns the accumulators of each reduction."""
        reductions = self.reductions(full)
        wide = self.k.vector == "reduced"
        lanes = []
        for i in reductions:
            n = self.k.lanes if wide or self.lanes_of(i) else 1
            lanes += [n] * (1 + self.ops[i].attr.startswith("arg"))
        start = [Value(self.b.operand(v, n), v.dtype, n) for v, n in zip(self.identities(full), lanes, strict=True)]
        kinds = [self.b.type(v.dtype, v.lanes) for v in start]

        def values(texts):
            return [Value(t, v.dtype, v.lanes) for t, v in zip(texts, start, strict=True)]

        def combine(texts):
            old, new, at = values(texts), [], 0
            for i in reductions:
                op = self.ops[i]
                parts = old[at:at + 1 + op.attr.startswith("arg")]
                at += len(parts)
                mixed = self.combine(op.attr, parts, [self.b.splat(self.values[j], parts[0].lanes) for j in op.inputs],
                                     in_order=True)
                if self.mask is not None and wide:
                    mask = Value(self.mask, bool_, self.k.lanes)
                    mixed = [self.b.where(mask, m, o) for m, o in zip(mixed, parts, strict=True)]
                new += [m.text for m in mixed]
            return new

        def join(one, other):
            old, new, joined, at = values(one), values(other), [], 0
            for i in reductions:
                n = 1 + self.ops[i].attr.startswith("arg")
                joined += self.combine(self.ops[i].attr, old[at:at + n], new[at:at + n])
                at += n
            return [v.text for v in joined]

        def nest(d, texts):
            if d == self.rank:
                return combine(texts)
            level, low, high = self.level_of[d], 0, self.sizes[d]
            if d == self.kept and self.k.split:
                low, high = self.range
            carry = list(zip(kinds, texts, strict=True))
            if d in self.k.unrolled:
                for i in range(high):
                    self.advance(level, {d: i})
                    self.place(full, level)
                    texts = nest(d + 1, texts)
                return texts

            def inner(texts):
                self.place(full, level)
                return nest(d + 1, texts)
            if wide and d == self.rank - 1:
                return self.vectors(d, level, low, high, carry, inner, len(full), self.abreast(full),
                                    list(zip(kinds, [v.text for v in start], strict=True)), join)
            with self.f.loop(low, high, carry=carry) as turn:
                self.advance(level, {d: turn.i})
                turn.next = inner(turn.state)
            return turn.state

        last = values(nest(self.kept, [v.text for v in start]))
        out, at = [], 0
        for i in reductions:
            name = self.ops[i].attr
            parts = last[at:at + 1 + name.startswith("arg")]
            at += len(parts)
            out.append(self.across(name, parts) if wide else parts)
            self.finish(i, out[-1][-1])
        return out

    def abreast(self, full: range) -> int:
        """How many vectors of a loop run side by side, to hide the latency of what its accumulators wait for."""
        if not self.reductions(full):
            return 1
        weight = sum(COSTS.get(self.ops[i].name, 1) for i in full)
        return 4 if weight <= 12 else 2 if weight <= 24 else 1

    def finish(self, i: int, result: Value) -> None:
        """The value of a reduction, from its accumulator."""
        d = self.ops[i].dtype
        if d in HALVES:
            result = self.b.round_half(Value(result.text, float32, result.lanes), d)
        self.values[i] = Value(result.text, d, result.lanes)

    def lanes_of(self, i: int) -> bool:
        """Whether an op's value differs between lanes of a vectorised kept dimension."""
        if self.k.vector != "kept":
            return False
        seen = set()

        def varies(j):
            if j in seen:
                return False
            seen.add(j)
            op = self.ops[j]
            return any(self.t.patterns[self.t.map(m)][self.kept - 1] != "0" for m in maps_of(op)) or \
                any(varies(x) for x in op.inputs)
        return varies(i)

    def across(self, name: str, parts: list[Value]) -> list[Value]:
        """The lanes of accumulators combined into one, halving their number."""
        lanes = parts[0].lanes
        while lanes > 1:
            lanes //= 2
            halves = [[], []]
            for v in parts:
                ty = self.b.type(v.dtype, v.lanes)
                for side in (0, 1):
                    picks = ", ".join(f"i32 {side * lanes + n}" for n in range(lanes))
                    text = self.f(f"extractelement {ty} {v.text}, i32 {side}") if lanes == 1 else \
                        self.f(f"shufflevector {ty} {v.text}, {ty} poison, <{lanes} x i32> <{picks}>")
                    halves[side].append(Value(text, v.dtype, lanes))
            parts = self.combine(name, halves[0], halves[1])
        return parts

    def combine(self, name: str, old: list[Value], new: list[Value], in_order: bool = False) -> list[Value]:
        """Two accumulators (or an accumulator and an element) as one; ``in_order``: the new index is the higher one."""
        b = self.b
        x, y = old[0], new[0]
        if x.dtype in HALVES:
            x, y = Value(x.text, float32, x.lanes), Value(y.text, float32, y.lanes)
        if name.startswith("arg"):  # the first NaN, else the first of the extremes
            better = b.gt(y, x) if name == "argmax" else b.lt(y, x)
            if x.dtype.kind == "f":
                better = b.and_(b.or_(better, b.isnan(y)), b.not_(b.isnan(x)))
            if not in_order:
                tie = b.eq(x, y)
                if x.dtype.kind == "f":
                    tie = b.or_(tie, b.and_(b.isnan(x), b.isnan(y)))
                better = b.or_(better, b.and_(tie, b.lt(new[1], old[1])))
            return [Value(b.where(better, y, x).text, old[0].dtype, x.lanes), b.where(better, new[1], old[1])]
        rule = {"sum": b.add, "prod": b.mul, "amax": b.maximum, "amin": b.minimum, "any": b.or_, "all": b.and_}[name]
        return [Value(rule(x, y).text, old[0].dtype, x.lanes)]

    # -- ops ----------------------------------------------------------------------------------------------------------
    def place(self, ops: range, level: int) -> None:
        """Writes the ops of a range that belong at a level, and checks the positions that are known there."""
        for i in ops:
            op = self.ops[i]
            if op.name in ("gather", "put"):
                indices = op.inputs[op.name == "put":]
                if max(self.levels[j] for j in indices) == level:
                    self.checked[i] = self.positions(i, [self.values[j] for j in indices])
            if self.levels[i] == level and op.name != "reduce":
                self.op(i, op, level)

    def op(self, i: int, op: Op, level: int) -> None:
        b = self.b
        inputs = [self.values[j] for j in op.inputs]
        if op.name == "const":
            self.values[i] = b.const(op.attr, op.dtype)
        elif op.name == "load":
            self.values[i] = self.load(op, level)
        elif op.name == "gather":
            self.values[i] = self.gather(i, op, level)
        elif op.name == "index":
            self.values[i] = self.flat(self.t.map(op.attr), level)
        elif op.name == "store":
            self.store(op, level, inputs[0])
        elif op.name == "put":
            self.put(i, op, level, inputs[0])
        elif op.name == "column":
            self.store(op._replace(attr=(*op.attr, "add")), level, inputs[0])
        elif op.name == "philox":
            self.values[i] = b.philox(*inputs)
        else:
            if op.name in DIVISIONS:
                self.report(b.eq(inputs[1], b.const(0, inputs[1].dtype)))
            self.values[i] = b.apply(op.attr[0], op.attr[1], inputs)

    def along(self, m: int):
        """A map's stride in the vector dimension (0 outside of vectors)."""
        v = self.k.vector_dim
        return 0 if v < 0 or self.k.lanes == 1 else self.strides[m][v]

    def ids(self, stride) -> Value:
        """0, stride, 2·stride ... for the lanes."""
        w = self.k.lanes
        ids = Value("<" + ", ".join(f"i64 {n}" for n in range(w)) + ">", int64, w)
        return ids if stride == 1 else self.b.mul(ids, Value(str(stride), int64))

    def flat(self, m: int, level: int) -> Value:
        base = Value(str(self.offset(m, level)), int64)
        stride = self.along(m)
        return base if stride == 0 else self.b.add(base, self.ids(stride))

    def pointer(self, op: Op, level: int) -> str:
        buffer, m = op.attr[0], self.t.map(op.attr[1])
        return self.f.at(MEMORY[self.k.buffers[buffer]], self.pointers[buffer], self.offset(m, level))

    def load(self, op: Op, level: int) -> Value:
        stride = self.along(self.t.map(op.attr[1]))
        at = self.pointer(op, level)
        if stride == 0:
            return self.b.load(at, op.dtype, 1)
        if stride == 1:
            return self.b.load(at, op.dtype, self.k.lanes, self.mask)
        if stride == 2 and op.dtype.itemsize >= 4:
            return self.every_other(op, at)
        return self.b.gather(at, self.ids(stride), op.dtype, self.mask)

    def every_other(self, op: Op, at: str) -> Value:
        """Two neighbouring vectors without their last element, which may be outside of the buffer; the even ones."""
        b, w = self.b, self.k.lanes
        if self.mask is None:
            mask = "<" + ", ".join(["i1 true"] * (2 * w - 1) + ["i1 false"]) + ">"
        else:
            mask = self.mask_of(2 * w, b.sub(b.shl(self.left, 1), b.const(1, int32)))
        both = b.load(at, op.dtype, 2 * w, mask)
        ty = b.type(op.dtype, 2 * w)
        even = ", ".join(f"i32 {2 * n}" for n in range(w))
        return Value(self.f(f"shufflevector {ty} {both.text}, {ty} poison, <{w} x i32> <{even}>"), op.dtype, w)

    def positions(self, i: int, indices: list[Value]) -> tuple[str, Value | None]:
        """How far from its map an op reads or writes at indices held in data: in all lanes, and beyond that in each. One
        out of range sets the fault and counts as 0."""
        b, f = self.b, self.f
        base, offsets, bad = "0", None, b.const(False, bool_)
        for x, (size, step, wrap) in zip(indices, self.gathers[i], strict=True):
            if x.lanes == 1:
                scaled = f.mul(self.position(x.text, size, wrap), step)
                base = f.add(base, scaled) if base != "0" else scaled
                continue
            n, zero = Value(size, int64), b.const(0, int64)
            wrapped = b.where(b.lt(x, zero), b.add(x, Value(wrap, int64)), x)
            outside = b.or_(b.lt(wrapped, zero), b.ge(wrapped, n))
            scaled = b.mul(b.where(outside, zero, wrapped), Value(step, int64))
            offsets = scaled if offsets is None else b.add(offsets, scaled)
            bad = outside if bad.constant else b.or_(bad, outside)
        if offsets is not None:
            self.report(bad)
        return base, offsets

    def position(self, x: str, size: str, wrap: str) -> str:
        """One index, wrapped and checked. Most are in range as they are, which one comparison says."""
        f = self.f
        before, odd = f.block, f.call("i1", "llvm.expect.i1", f"i1 {f.compare('uge', x, size)}", "i1 false")
        with f.when(odd):
            wrapped = f.add(x, wrap)
            bad = f.compare("uge", wrapped, size)
            self.set_fault(bad)
            there, after = f.select(bad, "i64", 0, wrapped), f.block
        return f(f"phi i64 [{x}, %{before}], [{there}, %{after}]")

    def report(self, bad: Value) -> None:
        """Sets the fault where any lane is bad."""
        f = self.f
        if self.mask is not None and bad.lanes > 1:
            bad = self.b.and_(bad, Value(self.mask, bool_, bad.lanes))
        self.set_fault(bad.text if bad.lanes == 1 else f.call("i1", f"llvm.vector.reduce.or.v{bad.lanes}i1",
                                                              f"<{bad.lanes} x i1> {bad.text}"))

    def set_fault(self, bad: str) -> None:
        with self.f.when(bad):
            self.f.store("i64", 1, self.pointers[self.k.fault], 8)

    def reached(self, i: int, op: Op, level: int) -> tuple[str, Value | None, bool]:
        """The address of what a gather or put reads or writes, the offsets of its lanes if they do not lie side by side,
        and whether they do."""
        base, offsets = self.checked[i]
        stride = self.along(self.t.map(op.attr[1]))
        if offsets is not None and stride != 0:
            offsets = self.b.add(offsets, self.ids(stride))
        elif stride not in (0, 1):
            offsets = self.ids(stride)
        at = self.f.at(MEMORY[self.k.buffers[op.attr[0]]], self.pointer(op, level), base)
        return at, offsets, stride == 1

    def gather(self, i: int, op: Op, level: int) -> Value:
        at, offsets, contiguous = self.reached(i, op, level)
        if offsets is not None:
            return self.b.gather(at, offsets, op.dtype, self.mask)
        return self.b.load(at, op.dtype, self.k.lanes if contiguous else 1, self.mask if contiguous else None)

    def put(self, i: int, op: Op, level: int, value: Value) -> None:
        at, offsets, contiguous = self.reached(i, op, level)
        self.update(value, at, self.k.lanes if contiguous else 1, offsets, op.dtype, op.attr[3])

    def store(self, op: Op, level: int, value: Value) -> None:
        m = self.t.map(op.attr[1])
        stride = self.along(m)
        if stride == 2 and op.attr[2] == "set" and self.written and self.k.dims[self.written[-1]] == 2 and \
                self.t.patterns[m][self.written[-1]] == "1":
            self.zip(op, level, value)
            return
        self.update(value, self.pointer(op, level), 1 if stride == 0 else self.k.lanes,
                    None if stride in (0, 1) else self.ids(stride), op.dtype, op.attr[2])

    def zip(self, op: Op, level: int, value: Value) -> None:
        """Every other element in one turn, and those between in the next: stored together then."""
        f, b, w = self.f, self.b, self.k.lanes
        if self.last == 0:
            self.first[op] = value
            return
        even, odd = b.operand(self.first.pop(op), w), b.operand(value, w)
        ty = b.type(op.dtype, w)
        order = ", ".join(f"i32 {n // 2 + n % 2 * w}" for n in range(2 * w))
        both = Value(f(f"shufflevector {ty} {even}, {ty} {odd}, <{2 * w} x i32> <{order}>"), op.dtype, 2 * w)
        mask = None if self.mask is None else self.mask_of(2 * w, b.shl(self.left, 1))
        even = f.sub(self.offset(self.t.map(op.attr[1]), level), 1)
        at = f.at(MEMORY[self.k.buffers[op.attr[0]]], self.pointers[op.attr[0]], even)
        b.store(both, at, 2 * w, mask)

    def update(self, value: Value, at: str, lanes: int, offsets: Value | None, d, how: str) -> None:
        """Stores a value, alone or combined with what is there."""
        b = self.b
        mask = self.mask if lanes > 1 or offsets is not None else None
        if how != "set":
            old = b.load(at, d, lanes, mask) if offsets is None else b.gather(at, offsets, d, mask)
            value = b.accumulate(old, value, how)
        if offsets is None:
            b.store(value, at, lanes, mask)
        else:
            b.scatter(value, at, offsets, mask)


def identity(name: str, d) -> Value:
    """What a reduction starts from."""
    if name in ("sum", "any"):
        value = 0
    elif name in ("prod", "all"):
        value = 1
    else:
        low = name in ("amax", "argmax")
        if d.kind == "f":
            value = float("-inf") if low else float("inf")
        elif d.kind == "b":
            value = not low
        else:
            bits, signed = d.itemsize * 8, d.kind == "i"
            value = (-(1 << bits - 1) if signed else 0) if low else (1 << bits - signed) - 1
    return Value(literal(value, d), d, 1, True)
