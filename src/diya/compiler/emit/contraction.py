"""The kernel of a contraction as LLVM IR: packing, the register tile, the store of tiles.

A contraction is a matrix product whose row, column and depth numbers (groups ``m``, ``n``, ``k``; ``z`` is the batch)
each stand for several index variables. What a group adds to an address or to a bounded coordinate is a *stream*: a sum
of digit times stride. A group of one variable multiplies; a group of several tabulates its streams for the block at
hand, so the code depends on ranks and never on sizes. The streams are ``a`` and ``b`` (the operands' addresses),
``a0, a1 …`` and ``b0 …`` (their bounded coordinates), ``c0`` (the output) and ``c1 …`` (what the epilogue reads).

    for each slab of the task range: (batch, block of columns)
      for each stripe of rows, for each block of the depth, for each strip of columns (one, if a stripe has several chunks):
        pack b: panels of n columns   [panel][k][column]      out of bounds → 0, converted to the accumulator's type
        for each chunk of the stripe:
          pack a: panels of m rows    [panel][k][row]         (once for all strips)
          for each panel of columns, for each panel of rows:  tile = Σ_k a[k]·b[k] in registers; store it

Where few rows would reuse a packed panel, b is read in place: rows of a matrix (`Form.in_place`, and ``streamed`` for
very few), windows of a convolution through a table of offsets and masks (``windowed``), or both operands along the depth
(``dots``).

Every output element sums its products in one order (blocks of the depth in turn, k ascending within), whatever range
of tasks a call is given: results do not depend on the number of threads.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

from ...dtypes import bool_, dtype, float64
from .llvm import MEMORY, Builder, Value
from .text import Function


class Tile(NamedTuple):
    """The register tile: ``vectors`` of ``lanes`` elements wide; ``rows`` high, or one of ``rows`` ascending."""

    lanes: int
    vectors: int
    rows: tuple[int, ...]

    @property
    def width(self) -> int:
        return self.lanes * self.vectors

    @property
    def height(self) -> int:
        return self.rows[-1]


def tile_of(accumulator: dtype, vector_bytes: int, arch: str) -> Tile:
    """The tile that fills the registers: 32 of 64 bytes (AVX-512), 16 of 32 (AVX2), 32 of 16 (AArch64), 16 of 16."""
    lanes = vector_bytes // accumulator.itemsize
    if vector_bytes == 64:
        return Tile(lanes, 2, (8, 12, 14))
    if vector_bytes == 32:
        return Tile(lanes, 2, (6,))
    return Tile(lanes, 3, (8,)) if arch == "aarch64" else Tile(lanes, 2, (6,))


class Reading(NamedTuple):
    """How packing reads an operand: vectors run along its ``lanes`` (rows or columns) or along its ``depth`` (and are
    transposed), where neighbours are ``unit`` apart, in ``runs`` that are, in runs of every ``other`` element, or
    ``strided``."""

    dtype: dtype
    checks: int
    along: str
    steps: str


class Access(NamedTuple):
    """How a tile's row meets an array of the output's index space: ``steps`` as in `Reading`, or ``splat`` where the
    columns share one element."""

    dtype: dtype
    steps: str


class Form(NamedTuple):
    """All that the code of a kernel depends on.

    ``ranks``: the number of index variables of z, m, n, k and t, the taps: those of k (of n, if b's vectors run along
    the depth) that move b's bounded coordinates; their masks are kept in a table.
    ``c``: the output and the arrays that the epilogue reads.
    ``spill``: partial sums of the depth's blocks wait in scratch memory (else in the output).
    ``dots``: few rows and both operands contiguous along the depth, so that nothing is packed and vectors run along
    the depth, for so many rows at once (0: no).
    ``ragged``: then the depth counts vectors, each within a run of its innermost variable (the stream ``v``).
    ``windowed``: tiles read b where it lies though its rows are windows, wherever a vector is one run: each row of
    the depth has its offset, each tap its masks.
    ``padded``: the innermost variable of n (the stream ``v``) counts on to whole vectors, so that no vector wraps.
    ``streamed``: very few rows of many columns: b's rows are read where they lie, several at a time from end to end, and
    sums wait in scratch memory.
    """

    tile: Tile
    accumulator: dtype
    ranks: tuple[int, int, int, int, int]
    a: Reading
    b: Reading
    c: tuple[Access, ...]
    spill: bool
    epilogue: Any = None
    dots: int = 0
    ragged: bool = False
    windowed: bool = False
    padded: bool = False
    streamed: bool = False

    @property
    def key(self) -> str:
        """A name that is equal where the code is."""
        def reading(r: Reading) -> str:
            return f"{r.dtype.name}/{r.checks} {r.steps} along {r.along}"
        t, ranks = self.tile, "".join(f"{g}{r}" for g, r in zip("zmnkt", self.ranks, strict=True))
        c = ", ".join(f"{x.dtype.name} {x.steps}" for x in self.c)
        flags = {"spill": self.spill, f"dots{self.dots}": self.dots, "ragged": self.ragged,
                 "windowed": self.windowed, "padded": self.padded, "streamed": self.streamed}
        shape = " ".join([f"tile {t.rows}x{t.vectors}x{t.lanes}", *(name for name, on in flags.items() if on)])
        return (f"contract {ranks} a {reading(self.a)}, b {reading(self.b)} -> {self.accumulator.name} {c}; {shape}"
                f"{f'; {self.epilogue.key}' if self.epilogue else ''}")

    @property
    def in_place(self) -> bool:
        """Whether tiles can read b where it lies: rows of memory are rows of a panel."""
        b = self.b
        return (b.steps == "unit" and b.along == "lanes" and not b.checks and b.dtype is self.accumulator
                and self.ranks[3] <= 1 and not self.dots and not self.windowed)

    def near(self) -> list[tuple[int, Access]]:
        """The arrays of the output's index space that a tile's row meets in few lines."""
        return [(t, c) for t, c in enumerate(self.c) if c.steps in ("unit", "runs")]

    @property
    def lines(self) -> int:
        """At least the lines of those that a tile meets, a power of two."""
        row = sum(self.lines_of_row(c) for _, c in self.near())
        return 1 << (self.tile.height * row - 1).bit_length() if row else 0

    def lines_of_row(self, c: Access) -> int:
        """Of an array, what a row of the tile meets."""
        return -(-self.tile.width * c.dtype.itemsize // 64)

    def streams(self, group: str) -> list[str]:
        """The streams that a group's index variables have a part in; ``t`` is the number of the tap."""
        if group == "t":
            return [f"b{d}" for d in range(self.b.checks)]
        a = ["a", *(f"a{d}" for d in range(self.a.checks))] if group != "n" else []
        b = ["b", *(f"b{d}" for d in range(self.b.checks))] if group != "m" else []
        c = [f"c{t}" for t in range(len(self.c))] if group != "k" else []
        tapped = self.ranks[4] and group == ("k" if self.b.along == "lanes" else "n")
        ends = group == "n" and self.padded or group == "k" and self.ragged
        return a + b + c + ["t"] * bool(tapped) + ["v"] * ends

    def tabulated(self, group: str) -> bool:
        """Whether a group's streams are tables, not products."""
        return self.ranks["zmnkt".index(group)] > 1 or group == "k" and self.windowed

    def arguments(self) -> list[str]:
        """The names of the kernel's ``args``, in order."""
        names = ["M", "N", "K", "rows", "m.block", "n.block", "n.strip", "m.stripe", "m.chunk", "k.block", "k.pitch", "m.tasks",
                 "n.tasks", "k.blocks", "b.in_place", "taps", "n.valid", "k.valid"]
        names += [f"b{d}.lane" for d in range(self.b.checks) if self.ragged]
        names += [f"scratch.{x}" for x in ("a", "b", "partial", "m", "n", "k", "t", "masks")]
        names += [f"{x}.{d}.size" for x, r in (("a", self.a), ("b", self.b)) for d in range(r.checks)]
        return names + walk_names(self)


def walk_names(form) -> list[str]:
    """The names, among a kernel's ``args``, of what `operands.walks` gives."""
    names = [f"{s}.first" for s in form.streams("z")]
    for group, rank in zip("zmnkt", form.ranks, strict=True):
        for axis in range(rank):
            names.append(f"{group}{axis}")
            names += [f"{s}.{group}{axis}" for s in form.streams(group)]
    return names


class _Vectors(Builder):
    """The builder with gathers and scatters by 32-bit offsets, which reach twice as many lanes an instruction."""

    def memory(self, d: dtype) -> str:
        return MEMORY[d]

    def _spread(self, what: str, d: dtype, pointer: str, offsets: str) -> tuple[str, str, str]:
        n, elem = self.lanes, MEMORY[d]
        at = self.f(f"getelementptr {elem}, ptr {pointer}, <{n} x i32> {offsets}")
        short = {"half": "f16", "float": "f32", "double": "f64"}.get(elem, elem)
        return f"<{n} x {elem}>", f"<{n} x ptr> align {d.itemsize} {at}", f"llvm.masked.{what}.v{n}{short}.v{n}p0"

    def gather32(self, pointer: str, offsets: str, d: dtype, mask: str) -> Value:
        n = self.lanes
        ty, at, name = self._spread("gather", d, pointer, offsets)
        self.f.declared.add(f"declare {ty} @{name}(<{n} x ptr>, <{n} x i1>, {ty})")
        return self._loaded(self.f(f"call {ty} @{name}({at}, <{n} x i1> {mask}, {ty} zeroinitializer)"), d, n)

    def scatter32(self, x: Value, pointer: str, offsets: str, mask: str) -> None:
        n = self.lanes
        raw = self._stored(x, n)
        ty, at, name = self._spread("scatter", x.dtype, pointer, offsets)
        self.f.declared.add(f"declare void @{name}({ty}, <{n} x ptr>, <{n} x i1>)")
        self.f.do(f"call void @{name}({ty} {raw}, {at}, <{n} x i1> {mask})")


class _Along(NamedTuple):
    """A vector of neighbouring index values of one group, as one stream sees them."""

    mask: str
    coordinates: list[str]
    steps: str
    where: Any  # unit: the first offset; runs: the list of runs; strided: the vector of offsets


class _Map:
    """A group's block of index values: what each adds to a stream."""

    def __init__(self, kernel: Kernel, group: str, start, count, table: str, capacity):
        self.kernel, self.group, self.start = kernel, group, start
        self.rank = kernel.form.ranks["zmnkt".index(group)]
        self.tables = {}
        f = kernel.f
        if kernel.form.tabulated(group):
            for j, s in enumerate(kernel.form.streams(group)):
                self.tables[s] = f.at("i32", table, f.mul(capacity, j))
            self._tabulate(count)

    def _tabulate(self, count) -> None:
        """Fills the tables, counting through the variables' digits: the innermost a vector at a time."""
        k, f, g = self.kernel, self.kernel.f, self.group
        sizes = [k.arg[f"{g}{axis}"] for axis in range(self.rank)] or [count]
        steps = {s: [k.arg[f"{s}.{g}{axis}"] for axis in range(self.rank)] or [0] for s in self.tables}
        ramps = {s: f(f"mul {k.ints} {k.iota}, {k.splat32(x[-1])}") for s, x in steps.items()}
        digits, rest = [], self.start
        for size in reversed(sizes[1:]):
            digits.insert(0, f.rem(rest, size))
            rest = f.div(rest, size)
        digits.insert(0, rest)
        with f.when(f.compare("sgt", count, 0)), f.repeat(carry=[("i64", 0), *[("i64", d) for d in digits]]) as turn:
            at, *digits = turn.state
            length = f.min(f.sub(sizes[-1], digits[-1]), f.sub(count, at))
            bases = {s: 0 for s in self.tables}
            for s in self.tables:
                for digit, step in zip(digits, steps[s], strict=True):
                    bases[s] = f.add(bases[s], f.mul(digit, step))
            with f.loop(0, length, k.lanes) as inner:  # what is written past the end is written again, or spare
                for s, table in self.tables.items():
                    first = k.splat32(f.add(bases[s], f.mul(inner.i, steps[s][-1])))
                    values = f(f"add {k.ints} {first}, {ramps[s]}")
                    f.store(k.ints, values, f.at("i32", table, f.add(at, inner.i)), 4)
            turn.next[0], carry = f.add(at, length), 1
            turn.next[-1] = 0
            for axis in reversed(range(len(digits) - 1)):
                raised = f.add(digits[axis], carry)
                over = f.compare("eq", raised, sizes[axis])
                turn.next[1 + axis] = f.select(over, "i64", 0, raised)
                carry = f(f"zext i1 {over} to i64")
            turn.again = f.compare("slt", turn.next[0], count)

    def scalar(self, stream: str, i):
        """The stream's value at an index of the block (i64)."""
        f = self.kernel.f
        if self.tables:
            return f(f"sext i32 {f.load('i32', f.at('i32', self.tables[stream], i))} to i64")
        if self.rank == 0:
            return 0
        return f.mul(f.add(self.start, i), self.kernel.arg[f"{stream}.{self.group}0"])

    def vector(self, stream: str, i) -> str:
        """The stream's values at neighbouring indices of the block (i32)."""
        k = self.kernel
        if self.tables:
            return k.f.load(k.ints, k.f.at("i32", self.tables[stream], i), 4)
        first = k.splat32(self.scalar(stream, i))
        if self.rank == 0:
            return first
        step = k.f(f"mul {k.ints} {k.iota}, {k.splat32(k.arg[f'{stream}.{self.group}0'])}")
        return k.f(f"add {k.ints} {first}, {step}")


def prefetch(f: Function, address: str, write: int, locality: int) -> None:
    """Calls a line to the cache: near (locality 3) or only to the second level (2)."""
    f.declared.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
    f.do(f"call void @llvm.prefetch.p0(ptr {address}, i32 {write}, i32 {locality}, i32 1)")


class Kernel:
    """One kernel being written."""

    def __init__(self, form: Form, symbol: str):
        self.form, self.symbol, self.lanes = form, symbol, form.tile.lanes
        self.real = "double" if form.accumulator is float64 else "float"
        self.vec = f"<{self.lanes} x {self.real}>"
        self.ints, self.bools = f"<{self.lanes} x i32>", f"<{self.lanes} x i1>"
        self.iota = "<" + ", ".join(f"i32 {i}" for i in range(self.lanes)) + ">"
        self.attributes = f'nounwind "prefer-vector-width"="{self.lanes * form.accumulator.itemsize * 8}"'
        f = self.f = Function(symbol, [("ptr", "buffers"), ("ptr", "args"), ("i64", "begin"), ("i64", "end"),
                                       ("ptr", "scratch")], attributes=self.attributes)
        self.b = _Vectors(f, self.lanes)
        self.arg = {n: f.load("i64", f.at("i64", "%args", i)) for i, n in enumerate(form.arguments())}
        self.buffers = [f.load("ptr", f.at("ptr", "%buffers", i)) for i in range(2 + len(form.c))]
        slots = form.tile.vectors * (len(form.c) + 1)
        self.tile = f(f"alloca [{form.tile.height * form.tile.width} x {self.real}], align 64")
        self.square = f(f"alloca [{self.lanes * self.lanes} x {self.real}], align 64")
        self.lines = "null"
        if form.lines:
            self.lines = f(f"alloca [{form.lines} x ptr], align 64")
            with f.loop(0, form.lines) as i:
                f.store("ptr", self.lines, f.at("ptr", self.lines, i.i))
        self.runs = [f(f"alloca [{self.lanes + 1} x i64], align 8") for _ in range(slots)]

    def text(self) -> str:
        """The module: the kernel, its tile functions, their declarations."""
        self._tasks()
        self.f.do("ret void")
        tile, tiles = self.form.tile, []
        if not self.form.dots:
            if self.form.streamed:
                tiles = [self._stream_function(tile.height)]
            else:
                tiles = [self._tile_function(rows, tile.vectors) for rows in tile.rows]
                tiles.append(self._tile_function(tile.height, 1))
            if self.form.windowed:
                tiles += [self._view_function(rows) for rows in tile.rows]
            if "depth" in (self.form.a.along, self.form.b.along):
                tiles.append(self._transpose_function())
        declared = sorted(set().union(self.f.declared, *(t.declared for t in tiles)))
        return "\n\n".join(["\n".join(declared), *map(str, tiles), str(self.f)]) + "\n"

    # -- small vectors of integers ------------------------------------------------------------------------------------
    def splat32(self, x) -> str:
        f = self.f
        if isinstance(x, int):
            return f"splat (i32 {x})"
        one = f(f"insertelement {self.ints} poison, i32 {f(f'trunc i64 {x} to i32')}, i32 0")
        return f(f"shufflevector {self.ints} {one}, {self.ints} poison, {self.ints} zeroinitializer")

    def below(self, count) -> str:
        """The mask of the first ``count`` lanes (none if negative, all if there are more)."""
        count = self.f.min(count, self.lanes)
        return self.f(f"icmp slt {self.ints} {self.iota}, {self.splat32(count)}")

    # -- reading and writing vectors ----------------------------------------------------------------------------------
    def along(self, m: _Map, stream: str, steps: str, i, left, checks: int = 0, slot: int = 0) -> _Along:
        """Index values ``i, i + 1, …`` of which ``left`` exist."""
        mask = self.below(left)
        if m.group == "n" and self.form.padded:
            real = self.f(f"icmp slt {self.ints} {m.vector('v', i)}, {self.splat32(self.arg['n.valid'])}")
            mask = self.f(f"and {self.bools} {mask}, {real}")
        coordinates = [m.vector(f"{stream}{d}", i) for d in range(checks)]
        if steps in ("runs", "other"):
            self._find_runs(m.vector(stream, i), m.scalar(stream, i), mask, self.runs[slot], 2 if steps == "other" else 1)
            return _Along(mask, coordinates, steps, self.runs[slot])
        if steps == "splat":
            return _Along(mask, coordinates, steps, 0)
        return _Along(mask, coordinates, steps, (m.scalar if steps == "unit" else m.vector)(stream, i))

    def each_case(self, alongs: list[_Along]):
        """Yields the vectors as they are or, where all that come in runs come in one, as contiguous: code for both."""
        f = self.f
        single = self.single(alongs)
        if single == "true":
            yield alongs
            return
        with f.when(single):
            one = {"runs": "unit", "other": "other unit"}
            yield [x._replace(steps=one[x.steps], where=self.origin(x)) if x.steps in one else x for x in alongs]
        with f.otherwise(single):
            yield alongs

    def single(self, alongs: list[_Along]) -> str:
        """Whether each vector is one run (i1)."""
        f, single = self.f, "true"
        for x in alongs:
            if x.steps in ("runs", "other"):
                single = f(f"and i1 {single}, {f.compare('eq', f.load('i64', x.where), 1)}")
        return single

    def origin(self, along: _Along):
        """The offset of a vector's first lane, if it is one run."""
        return self._run(along.where, 1)[0] if along.steps in ("runs", "other") else along.where

    def _run(self, slot: str, number) -> tuple[str, str]:
        """A run's offset and mask."""
        f, word = self.f, f"i{self.lanes}"
        entry = f.load("i64", f.at("i64", slot, number))
        bits = f(f"trunc i64 {f(f'lshr i64 {entry}, 32')} to {word}")
        offset = f(f"sext i32 {f(f'trunc i64 {entry} to i32')} to i64")
        return offset, f(f"bitcast {word} {bits} to {self.bools}")

    def _find_runs(self, offsets: str, first, mask: str, slot: str, step: int) -> None:
        """Writes the runs of elements that are ``step`` apart among the offsets: their number, then for each its mask (high half)
        and the offset that its lane 0 would have (low half)."""
        f, word = self.f, f"i{self.lanes}"
        every = f(f"bitcast {self.bools} {mask} to {word}")
        f.store("i64", 1, slot)
        same = self._note_run(offsets, first, every, slot, 1, step)
        left = f(f"xor {word} {every}, {same}")
        with f.when(f(f"icmp ne {word} {left}, 0")):
            f.store(self.ints, offsets, self.square, 64)
            with f.repeat(carry=[(word, left), ("i64", 1)]) as turn:
                left, number = turn.state
                lane = f(f"zext {word} {f.call(word, f'llvm.cttz.{word}', f'{word} {left}', 'i1 true')} to i64")
                origin = f.sub(f(f"sext i32 {f.load('i32', f.at('i32', self.square, lane))} to i64"), f.mul(lane, step))
                number = f.add(number, 1)
                same = self._note_run(offsets, origin, left, slot, number, step)
                turn.next = [f(f"xor {word} {left}, {same}"), number]
                turn.again = f(f"icmp ne {word} {turn.next[0]}, 0")
            f.store("i64", turn.state[1], slot)

    def _note_run(self, offsets: str, origin, left: str, slot: str, number, step: int) -> str:
        """Writes the run of those lanes, among ``left``, whose offsets count on from ``origin``; returns its mask."""
        f, word = self.f, f"i{self.lanes}"
        ramp = "<" + ", ".join(f"i32 {i * step}" for i in range(self.lanes)) + ">"
        expected = f(f"add {self.ints} {self.splat32(origin)}, {ramp}")
        same = f(f"bitcast {self.bools} {f(f'icmp eq {self.ints} {offsets}, {expected}')} to {word}")
        same = f(f"and {word} {same}, {left}")
        low = f(f"and i64 {origin}, 4294967295")
        high = f(f"shl i64 {f(f'zext {word} {same} to i64')}, 32")
        f.store("i64", f(f"or i64 {low}, {high}"), f.at("i64", slot, number))
        return same

    @contextmanager
    def _each_run(self, slot: str, carry=()):
        """A loop over runs: the turn (its ``state`` after the run's number), the run's offset and mask."""
        f = self.f
        last = f.load("i64", slot)
        with f.repeat(carry=[("i64", 1), *carry]) as turn:
            yield turn, *self._run(slot, turn.state[0])
            turn.next[0] = f.add(turn.state[0], 1)
            turn.again = f.compare("sle", turn.next[0], last)

    def load(self, d: dtype, base: str, along: _Along, mask: str) -> Value:
        """A vector from ``base`` (the address of the other groups' share); zero outside the mask."""
        f, b = self.f, self.b
        elem = b.memory(d)
        if along.steps == "splat":
            return b.load(f.at(elem, base, along.where), d, 1)
        if along.steps == "unit":
            return b.load(f.at(elem, base, along.where), d, self.lanes, mask)
        if along.steps == "strided":
            return b.gather32(base, along.where, d, mask)
        if along.steps == "other unit":
            return self._every_other(d, f.at(elem, base, along.where), mask)
        ty = b.type(d, self.lanes)
        with self._each_run(along.where, [(ty, "zeroinitializer")]) as (turn, offset, run):
            run = f(f"and {self.bools} {run}, {mask}")
            at = f.at(elem, base, offset)
            part = self._every_other(d, at, run) if along.steps == "other" else b.load(at, d, self.lanes, run)
            turn.next[1] = f(f"select {self.bools} {run}, {ty} {part.text}, {ty} {turn.state[1]}")
        return Value(turn.state[1], d, self.lanes)

    def _every_other(self, d: dtype, at: str, mask: str) -> Value:
        """Of two vectors, the elements of even number: 16 lanes, whose masks are spread out by an instruction."""
        f, b = self.f, self.b
        halves = [b.load(f.at(b.memory(d), at, self.lanes * half), d, self.lanes, spread).text
                  for half, spread in enumerate(self._spread_mask(mask))]
        even = ", ".join(f"i32 {2 * i}" for i in range(self.lanes))
        ty = b.type(d, self.lanes)
        return Value(f(f"shufflevector {ty} {halves[0]}, {ty} {halves[1]}, {self.ints} <{even}>"), d, self.lanes)

    def store(self, x: Value, base: str, along: _Along) -> None:
        f, b = self.f, self.b
        elem = b.memory(x.dtype)
        if along.steps == "unit":
            b.store(x, f.at(elem, base, along.where), self.lanes, along.mask)
        elif along.steps == "other unit":
            self._store_every_other(x, f.at(elem, base, along.where), along.mask)
        elif along.steps == "strided":
            b.scatter32(x, base, along.where, along.mask)
        else:
            put = self._store_every_other if along.steps == "other" else partial(b.store, lanes=self.lanes)
            with self._each_run(along.where) as (_, offset, run):
                put(x, f.at(elem, base, offset), mask=run)

    def _store_every_other(self, x: Value, at: str, mask: str) -> None:
        """The converse of `_every_other`."""
        f, b, ty, lanes = self.f, self.b, self.b.type(x.dtype, self.lanes), self.lanes
        value = b.operand(x, lanes)
        for half, spread in enumerate(self._spread_mask(mask)):
            order = ", ".join(f"i32 {half * lanes // 2 + i // 2}" for i in range(lanes))
            wide = f(f"shufflevector {ty} {value}, {ty} poison, {self.ints} <{order}>")
            b.store(Value(wide, x.dtype, lanes), f.at(b.memory(x.dtype), at, lanes * half), lanes, spread)

    def _spread_mask(self, mask: str) -> list[str]:
        """The masks of two vectors whose elements of even number are the lanes of a mask of 16."""
        f = self.f
        f.declared.add("declare i32 @llvm.x86.bmi.pdep.32(i32, i32)")
        lanes = f(f"zext i16 {f(f'bitcast {self.bools} {mask} to i16')} to i32")
        spread = f(f"call i32 @llvm.x86.bmi.pdep.32(i32 {lanes}, i32 {0x55555555})")
        words = [f(f"trunc i32 {f(f'lshr i32 {spread}, {16 * half}')} to i16") for half in range(2)]
        return [f(f"bitcast i16 {word} to {self.bools}") for word in words]

    # -- packing ------------------------------------------------------------------------------------------------------
    def inside(self, x: str, along: _Along, coordinates: list) -> str:
        """The lanes of a vector that exist and whose coordinates are in bounds."""
        f, mask = self.f, along.mask
        for d, (vector, scalar) in enumerate(zip(along.coordinates, coordinates, strict=True)):
            at = f(f"add {self.ints} {vector}, {self.splat32(scalar)}")
            low = f(f"icmp ult {self.ints} {at}, {self.splat32(self.arg[f'{x}.{d}.size'])}")
            mask = f(f"and {self.bools} {mask}, {low}")
        return mask

    def fetch(self, x: str, base: str, along: _Along, offset, mask: str) -> str:
        """A vector of an operand in the accumulator's type, 0 outside the mask."""
        d = getattr(self.form, x).dtype
        value = self.load(d, self.f.at(self.b.memory(d), base, offset), along, mask)
        if d.kind != "f" or d.itemsize > 4:
            value = self.b.cast(value, self.form.accumulator)
        return self.b.operand(value, self.lanes)

    def pack(self, x: str, base: str, first: list, lanes: _Map, begin, count, depth: _Map, kc, out: str, width):
        """Copies lanes ``begin … count`` of a block into panels of ``width``. ``first``: the batch's share of the
        coordinates.

        A store may run past its row: what it spoils is written afterwards, or lies in the gap between panels."""
        f, reading = self.f, getattr(self.form, x)
        if reading.along == "lanes" and reading.steps != "strided" and not reading.checks:
            with f.loop(0, kc, 32) as rows:  # few rows of memory, hence pages, at a time
                self._pack_panels(x, base, first, lanes, begin, count, depth, rows.i, f.min(f.add(rows.i, 32), kc), out,
                                  width)
        else:
            self._pack_panels(x, base, first, lanes, begin, count, depth, 0, kc, out, width)

    def _pack_panels(self, x, base, first, lanes, begin, count, depth, k, kc, out, width) -> None:
        f, reading = self.f, getattr(self.form, x)
        with f.loop(begin, count, width) as panel:
            left = f.sub(count, panel.i)
            target = f.at(self.real, out, f.mul(panel.i, self.arg["k.pitch"]))
            pack = self._pack_lanes if reading.along == "lanes" else self._pack_depth
            pack(x, base, first, lanes, panel.i, left, depth, k, kc, target, width)

    def _widest(self, x: str) -> int:
        """The most rows or columns of a panel."""
        return self.form.tile.height if x == "a" else self.form.tile.width

    def _shares(self, x: str, first: list, m: _Map, i) -> list:
        return [self.f.add(c, m.scalar(f"{x}{d}", i)) for d, c in enumerate(first)]

    def _pack_lanes(self, x, base, first, lanes, lane, left, depth, k, kc, target, width) -> None:
        """Row by row. The masks of b's bounds are few where few of the depth's variables move them (taps)."""
        f, left = self.f, self.f.min(left, width)
        reading: Reading = getattr(self.form, x)
        parts = [self.along(lanes, x, reading.steps, f.add(lane, v), f.sub(left, v), reading.checks, n)
                 for n, v in enumerate(range(0, self._widest(x), self.lanes))]
        taps = x == "b" and self.form.ranks[4]
        viewed = x == "b" and self.form.windowed
        with f.otherwise(self._viewed(parts)) if viewed else nullcontext():
            if taps:
                self._note_masks(first, parts)
            for case in self.each_case(parts):
                with f.loop(k, kc) as turn:
                    if taps:
                        tap = depth.scalar("t", turn.i)
                        masks = [f.load(f"i{self.lanes}", self._mask_at(v, tap)) for v in range(len(case))]
                        masks = [f(f"bitcast i{self.lanes} {m} to {self.bools}") for m in masks]
                    elif reading.checks:
                        shares = self._shares(x, first, depth, turn.i)
                        masks = [self.inside(x, part, shares) for part in case]
                    else:
                        masks = [part.mask for part in case]
                    self._pack_row(x, base, case, masks, depth, turn.i, target, width)

    def _viewed(self, parts: list[_Along]) -> str:
        """Whether a panel of b is read where it lies."""
        return self.single(parts)

    def _note_masks(self, first: list, parts: list[_Along]) -> None:
        """Tabulates the masks of a panel of b: by tap and vector."""
        f, word = self.f, f"i{self.lanes}"
        with f.loop(0, self.arg["taps"]) as tap:
            shares = self._shares("b", first, self.taps, tap.i) if self.form.ranks[4] else []
            for v, part in enumerate(parts):
                mask = f(f"bitcast {self.bools} {self.inside('b', part, shares)} to {word}")
                f.store(word, mask, self._mask_at(v, tap.i))

    def _mask_at(self, v: int, tap) -> str:
        """Where the mask of a panel's vector for a tap is kept (a word each)."""
        at = self.f.at("i8", "%scratch", self.arg["scratch.masks"])
        return self.f.at("i32", at, self.f.add(self.f.mul(tap, self.form.tile.vectors), v))

    def _pack_row(self, x, base, parts, masks, depth, k, target, width) -> None:
        f, reading = self.f, getattr(self.form, x)
        offset = depth.scalar(x, k)
        row = f.at(self.real, target, f.mul(k, width))
        if parts[0].steps == "unit":
            ahead = f.add(depth.scalar(x, f.add(k, 16)), parts[0].where)
            for line in range(0, self._widest(x) * reading.dtype.itemsize, 64):
                prefetch(f, f.at("i8", f.at(self.b.memory(reading.dtype), base, ahead), line), 0, 3)
        for v, (part, mask) in enumerate(zip(parts, masks, strict=True)):
            value = self.fetch(x, base, part, offset, mask)
            f.store(self.vec, value, f.at(self.real, row, v * self.lanes), self.form.accumulator.itemsize)

    def _pack_depth(self, x, base, first, lanes, lane, left, depth, k, kc, target, width) -> None:
        """Squares of lanes × depth, transposed. Only what lies in memory as it is needed is read from there directly;
        the rest is collected first."""
        f, n = self.f, self.lanes
        reading: Reading = getattr(self.form, x)
        straight = (reading.steps == "unit" and not reading.checks and reading.dtype is self.form.accumulator
                    and lanes.rank <= 1)
        call = "call void @{}.transpose(ptr {}, i64 {}, ptr {}, i64 {})"
        with f.loop(k, kc, n) as turn:
            part = self.along(depth, x, reading.steps, turn.i, f.sub(kc, turn.i), reading.checks)
            last = (self._widest(x) - 1) // n * n
            with f.loop(0, last + 1, n) as back:  # from the right: what runs past a row is the next row's beginning
                v = f.sub(last, back.i)
                to = f.at(self.real, target, f.add(f.mul(turn.i, width), v))
                used = f.max(f.min(f.sub(f.min(left, width), v), n), 0)
                if straight:  # a square may reach into the next panel
                    whole = f(f"and i1 {f.compare('sge', f.sub(kc, turn.i), n)}, {f.compare('sge', f.sub(left, v), n)}")
                    with f.when(whole):
                        at = f.at(self.real, base, f.add(part.where, lanes.scalar(x, f.add(lane, v))))
                        step = self.arg[f"{x}.{lanes.group}0"] if lanes.rank else 0
                        f.do(call, self.symbol, at, step, to, width)
                    collect = f.otherwise(whole)
                else:
                    collect = nullcontext()
                with collect:
                    for case, in self.each_case([part]):
                        with f.loop(0, used) as inner:
                            value = self._lane(x, base, first, lanes, f.add(f.add(lane, v), inner.i), case, turn.i)
                            f.store(self.vec, value, f.at(self.vec, self.square, inner.i), 64)
                    with f.loop(used, n) as inner:
                        f.store(self.vec, "zeroinitializer", f.at(self.vec, self.square, inner.i), 64)
                    f.do(call, self.symbol, self.square, n, to, width)

    def _lane(self, x, base, first, lanes, lane, part: _Along, k) -> str:
        """One row or column along the depth."""
        f = self.f
        if x == "b" and self.form.ranks[4]:
            number = f(f"lshr exact i64 {k}, {self.lanes.bit_length() - 1}")
            mask = self._tap_mask(number, lanes.scalar("t", lane))
        else:
            mask = self.inside(x, part, self._shares(x, first, lanes, lane))
        return self.fetch(x, base, part, lanes.scalar(x, lane), mask)

    def _note_masks_along(self, first: list, depth: _Map, kc) -> None:
        """Tabulates the masks of b's vectors along the depth: by vector and tap."""
        f, word, ragged = self.f, f"i{self.lanes}", self.form.ragged
        with f.loop(0, kc, 1 if ragged else self.lanes) as k:
            if ragged:
                ramps = [f(f"mul {self.ints} {self.iota}, {self.splat32(self.arg[f'b{d}.lane'])}")
                         for d in range(len(first))]
                coordinates = [f(f"add {self.ints} {ramp}, {self.splat32(depth.scalar(f'b{d}', k.i))}")
                               for d, ramp in enumerate(ramps)]
                mask = self.below(f.sub(self.arg["k.valid"], depth.scalar("v", k.i)))
            else:
                coordinates = [depth.vector(f"b{d}", k.i) for d in range(len(first))]
                mask = self.below(f.sub(kc, k.i))
            number = k.i if ragged else f(f"lshr exact i64 {k.i}, {self.lanes.bit_length() - 1}")
            with f.loop(0, self.arg["taps"]) as tap:
                shares = self._shares("b", first, self.taps, tap.i)
                inside = self.inside("b", _Along(mask, coordinates, "", None), shares)
                f.store(word, f(f"bitcast {self.bools} {inside} to {word}"), self._mask_along(number, tap.i))

    def _mask_along(self, number, tap) -> str:
        """Where the mask of a vector along the depth is kept for a tap (a word each)."""
        f = self.f
        at = f.at("i8", "%scratch", self.arg["scratch.masks"])
        return f.at("i32", at, f.add(f.mul(number, self.arg["taps"]), tap))

    # -- the register tile --------------------------------------------------------------------------------------------
    def _tile_function(self, rows: int, vectors: int) -> Function:
        """``tile[rows][vectors] = Σ_k a[k]·b[k·step]``: a panel of a, and of b the panel or, in place, columns of rows
        that are ``step`` apart. Lines of b are called to the cache four rows ahead."""
        tile, ty, real = self.form.tile, self.vec, self.real
        f = self._inner(f"tile{rows}x{vectors}", [
            ("i64", "depth"), ("ptr noalias", "a"), ("i64", "height"), ("ptr noalias", "b"), ("i64", "step"),
            ("ptr noalias", "lines"), ("ptr noalias", "tile")])
        item = self.form.accumulator.itemsize
        fma = f"llvm.fmuladd.v{self.lanes}f{item * 8}"
        cells = [(i, v) for i in range(rows) for v in range(vectors)]
        carry = [("ptr", "%a"), ("ptr", "%b"), *[(ty, "zeroinitializer")] * len(cells)]
        ahead = f.mul("%step", 4)
        with f.loop(0, "%depth", carry=carry) as k:
            a, b = k.state[:2]
            columns = [f.load(ty, f.at(real, b, v * self.lanes), item) for v in range(vectors)]
            for line in range(0, vectors * self.lanes * item, 64):
                prefetch(f, f.at("i8", f.at(real, b, ahead), line), 0, 3)
            self._call_line(f, k.i)
            for i in range(rows):
                one = f(f"insertelement {ty} poison, {real} {f.load(real, f.at(real, a, i))}, i32 0")
                row = f(f"shufflevector {ty} {one}, {ty} poison, {self.ints} zeroinitializer")
                for v in range(vectors):
                    n = 2 + i * vectors + v
                    k.next[n] = f.call(ty, fma, f"{ty} {row}", f"{ty} {columns[v]}", f"{ty} {k.state[n]}")
            k.next[:2] = f.at(real, a, "%height"), f.at(real, b, "%step")
        for (i, v), value in zip(cells, k.state[2:], strict=True):
            f.store(ty, value, f.at(real, "%tile", i * tile.width + v * self.lanes), 64)
        f.do("ret void")
        return f

    def _call_line(self, f: Function, k) -> None:
        """Calls the k-th of the lines that follow the sum to the cache."""
        if self.form.lines:
            line = f(f"and i64 {k}, {self.form.lines - 1}")
            prefetch(f, f.load("ptr", f.at("ptr", "%lines", line)), 0, 3)

    def _view_function(self, rows: int) -> Function:
        """The tile with b where it lies: row k at ``offsets[k]`` from each vector's place, under its tap's mask."""
        tile, ty, real, item = self.form.tile, self.vec, self.real, self.form.accumulator.itemsize
        places = [f"b{v}" for v in range(tile.vectors)]
        f = self._inner(f"view{rows}x{tile.vectors}", [
            ("i64", "depth"), ("ptr noalias", "a"), ("i64", "height"), *[("ptr", p) for p in places],
            ("ptr", "offsets"), ("ptr", "taps"), ("ptr", "masks"), ("ptr noalias", "lines"), ("ptr noalias", "tile")])
        b, word = _Vectors(f, self.lanes), f"i{self.lanes}"
        fma = f"llvm.fmuladd.v{self.lanes}f{item * 8}"
        cells = [(i, v) for i in range(rows) for v in range(tile.vectors)]

        def masks(tap) -> list[str]:
            at = f.at("i32", "%masks", f.mul(tap, tile.vectors))
            words = [f.load(word, f.at("i32", at, v)) for v in range(tile.vectors)]
            return [f(f"bitcast {word} {w} to {self.bools}") for w in words]

        fixed = None if self.form.ranks[4] else masks(0)
        with f.loop(0, "%depth", carry=[("ptr", "%a"), *[(ty, "zeroinitializer")] * len(cells)]) as k:
            offset = f(f"sext i32 {f.load('i32', f.at('i32', '%offsets', k.i))} to i64")
            here = fixed or masks(f(f"sext i32 {f.load('i32', f.at('i32', '%taps', k.i))} to i64"))
            columns = [b.load(f.at(real, f"%{p}", offset), self.form.accumulator, self.lanes, mask).text
                       for p, mask in zip(places, here, strict=True)]
            self._call_line(f, k.i)
            for i in range(rows):
                one = f(f"insertelement {ty} poison, {real} {f.load(real, f.at(real, k.state[0], i))}, i32 0")
                row = f(f"shufflevector {ty} {one}, {ty} poison, {self.ints} zeroinitializer")
                for v in range(tile.vectors):
                    n = 1 + i * tile.vectors + v
                    k.next[n] = f.call(ty, fma, f"{ty} {row}", f"{ty} {columns[v]}", f"{ty} {k.state[n]}")
            k.next[0] = f.at(real, k.state[0], "%height")
        for (i, v), value in zip(cells, k.state[1:], strict=True):
            f.store(ty, value, f.at(real, "%tile", i * tile.width + v * self.lanes), 64)
        f.do("ret void")
        return f

    def _stream_function(self, rows: int) -> Function:
        """``sums[row][column] = Σ_k a[k][row]·b[k][column]``: few rows, so the time is that of reading b. Several of its
        rows are read side by side from end to end, as the processor's own prefetching likes best: a tile that walks
        down a few columns instead reached half of the memory's speed."""
        ty, real, item, n = self.vec, self.real, self.form.accumulator.itemsize, self.lanes
        f = self._inner(f"stream{rows}", [("i64", "depth"), ("ptr noalias", "a"), ("ptr noalias", "b"), ("i64", "step"),
                                          ("i64", "columns"), ("ptr noalias", "sums"), ("i64", "pitch")])
        b, fma = _Vectors(f, n), f"llvm.fmuladd.v{n}f{item * 8}"
        f.do("call void @llvm.memset.p0.i64(ptr %sums, i8 0, i64 {}, i1 false)", f.mul(f.mul("%pitch", rows), item))
        f.declared.add("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
        whole = f.mul(f.div("%columns", n), n)
        rest = f.sub("%columns", whole)
        tail = f(f"insertelement {self.ints} poison, i32 {f(f'trunc i64 {rest} to i32')}, i32 0")
        tail = f(f"shufflevector {self.ints} {tail}, {self.ints} poison, {self.ints} zeroinitializer")
        tail = f(f"icmp slt {self.ints} {self.iota}, {tail}")
        ragged = f.compare("sgt", rest, 0)

        def turn(places, factors, column, mask: str | None) -> None:
            values = [b.load(f.at(real, place, column), self.form.accumulator, n, mask).text for place in places]
            for r in range(rows):
                to = f.at(real, "%sums", f.add(f.mul("%pitch", r), column))
                part = f(f"fmul {ty} {factors[0][r]}, {values[0]}")
                for value, factor in zip(values[1:], factors[1:], strict=True):
                    part = f.call(ty, fma, f"{ty} {factor[r]}", f"{ty} {value}", f"{ty} {part}")
                f.store(ty, f(f"fadd {ty} {f.load(ty, to, item)}, {part}"), to, item)

        many = 8 if rows == 1 else 4
        groups = f.mul(f.div("%depth", many), many)
        for begin, end, count in ((0, groups, many), (groups, "%depth", 1)):
            with f.loop(begin, end, count) as k:
                factors = []
                for q in range(count):
                    row = f.at(real, "%a", f.mul(f.add(k.i, q), rows))
                    ones = [f(f"insertelement {ty} poison, {real} {f.load(real, f.at(real, row, r))}, i32 0")
                            for r in range(rows)]
                    factors.append([f(f"shufflevector {ty} {x}, {ty} poison, {self.ints} zeroinitializer") for x in ones])
                places = [f.at(real, "%b", f.mul(f.add(k.i, q), "%step")) for q in range(count)]
                with f.loop(0, whole, n) as column:
                    turn(places, factors, column.i, None)
                with f.when(ragged):
                    turn(places, factors, whole, tail)
        f.do("ret void")
        return f

    def _inner(self, name: str, parameters: list) -> Function:
        f = Function(f"{self.symbol}.{name}", parameters, attributes=self.attributes + " noinline")
        f.head = f.head.replace("define ", "define internal ")
        return f

    def _transpose_function(self) -> Function:
        """``to[k·width + i] = from[i·step + k]`` for a square of vectors."""
        n = self.lanes
        f = self._inner("transpose", [
            ("ptr noalias", "from"), ("i64", "step"), ("ptr noalias", "to"), ("i64", "width")])
        item = self.form.accumulator.itemsize
        for i in range(n):
            prefetch(f, f.at("i8", f.at(self.real, "%from", f.mul(i, "%step")), 256), 0, 3)
        w = 16 // item  # blocks of w × w, each within 16 bytes of its vectors: gathering the blocks costs loads alone
        for column in range(0, n, w):
            square = []
            for i in range(w):
                parts = [f.load(f"<{w} x {self.real}>", f.at(self.real, f.at(self.real, "%from", f.mul(i + r, "%step")),
                                                             column), item) for r in range(0, n, w)]
                while len(parts) > 1:
                    size = n // len(parts)
                    order = ", ".join(f"i32 {k}" for k in range(2 * size))
                    ty = f"<{size} x {self.real}>"
                    parts = [f(f"shufflevector {ty} {x}, {ty} {y}, <{2 * size} x i32> <{order}>")
                             for x, y in zip(parts[::2], parts[1::2], strict=True)]
                square.append(parts[0])
            step = 1
            while step < w:
                for i in range(w):
                    if not i & step:
                        square[i], square[i + step] = self._swap(f, square[i], square[i + step], step)
                step *= 2
            for i, row in enumerate(square):
                f.store(self.vec, row, f.at(self.real, "%to", f.mul(column + i, "%width")), item)
        f.do("ret void")
        return f

    def _swap(self, f: Function, low: str, high: str, step: int) -> tuple[str, str]:
        """Two vectors with the first's odd blocks of ``step`` lanes and the second's even ones exchanged."""
        n, out = self.lanes, []
        for pick in ([k if not k & step else n + k - step for k in range(n)],
                     [k + step if not k & step else n + k for k in range(n)]):
            order = ", ".join(f"i32 {k}" for k in pick)
            out.append(f(f"shufflevector {self.vec} {low}, {self.vec} {high}, <{n} x i32> <{order}>"))
        return out[0], out[1]

    # -- the loops ----------------------------------------------------------------------------------------------------
    def _tasks(self) -> None:
        f, arg = self.f, self.arg
        slabs = f.ceil_div("%end", arg["m.tasks"])
        with f.loop(f.div("%begin", arg["m.tasks"]), slabs) as slab:
            before = f.mul(slab.i, arg["m.tasks"])
            row = f.mul(f.max(f.sub("%begin", before), 0), arg["m.block"])
            row_end = f.min(f.mul(f.min(f.sub("%end", before), arg["m.tasks"]), arg["m.block"]), arg["M"])
            column = f.mul(f.rem(slab.i, arg["n.tasks"]), arg["n.block"])
            self._slab(f.div(slab.i, arg["n.tasks"]), row, row_end, column)

    def _batch(self, batch) -> dict[str, Any]:
        """The batch's share of every stream."""
        f, share, digits = self.f, {}, []
        for axis in reversed(range(self.form.ranks[0])):
            digits.insert(0, f.rem(batch, self.arg[f"z{axis}"]))
            batch = f.div(batch, self.arg[f"z{axis}"])
        for s in self.form.streams("z"):
            share[s] = self.arg[f"{s}.first"]
            for axis, digit in enumerate(digits):
                share[s] = f.add(share[s], f.mul(digit, self.arg[f"{s}.z{axis}"]))
        return share

    def _slab(self, batch, row, row_end, column) -> None:
        f, arg, form = self.f, self.arg, self.form
        share = self._batch(batch)
        pointers = {}
        for s, d, buffer in zip(["a", "b"] + [f"c{t}" for t in range(len(form.c))],
                                [form.a.dtype, form.b.dtype] + [c.dtype for c in form.c], self.buffers, strict=True):
            pointers[s] = f.at(self.b.memory(d), buffer, share[s])
        part = {x: f.at("i8", "%scratch", arg[f"scratch.{x}"]) for x in ("a", "b", "partial", "m", "n", "k", "t")}
        nc = f.min(f.sub(arg["N"], column), arg["n.block"])
        spare = 2 * self.lanes  # tables may be read past their end
        columns = _Map(self, "n", column, nc, part["n"], f.add(arg["n.block"], spare))
        if form.ranks[4]:
            self.taps = _Map(self, "t", 0, arg["taps"], part["t"], f.add(arg["taps"], spare))
        with f.loop(row, row_end, arg["m.stripe"]) as stripe, f.loop(0, arg["k.blocks"]) as block:
            stripe_end = f.min(f.add(stripe.i, arg["m.stripe"]), row_end)
            k = f.mul(block.i, arg["k.block"])
            kc = f.min(f.sub(arg["K"], k), arg["k.block"])
            depth = _Map(self, "k", k, kc, part["k"], f.add(arg["k.block"], spare))
            begins = f.compare("eq", block.i, 0)
            ends = f.compare("eq", f.add(block.i, 1), arg["k.blocks"])
            first = [share[f"b{d}"] for d in range(form.b.checks)]
            if form.ranks[4] and form.b.along == "depth":
                self._note_masks_along(first, depth, kc)
            with f.loop(0, nc, arg["n.strip"]) as strip:
                end = f.min(f.add(strip.i, arg["n.strip"]), nc)
                packed = f.at(self.real, part["b"], f.sub(0, f.mul(strip.i, arg["k.pitch"])))
                begin = strip.i
                if form.in_place:  # all but a last panel that is not full
                    full = f.mul(f.div(f.sub(end, begin), form.tile.width), form.tile.width)
                    begin = f.add(begin, f.mul(full, arg["b.in_place"]))
                if not form.dots and not form.streamed and not (form.padded and form.windowed):  # padded windows never wrap
                    self.pack("b", pointers["b"], first, columns, begin, end, depth, kc, packed, form.tile.width)
                with f.loop(stripe.i, stripe_end, arg["m.chunk"]) as chunk:
                    mc = f.min(f.sub(stripe_end, chunk.i), arg["m.chunk"])
                    rows = _Map(self, "m", chunk.i, mc, part["m"], f.add(arg["m.chunk"], spare))
                    if not form.dots:
                        with f.when(f.compare("eq", strip.i, 0)):  # there are more strips only if there is one chunk
                            shares = [share[f"a{d}"] for d in range(form.a.checks)]
                            self.pack("a", pointers["a"], shares, rows, 0, mc, depth, kc, part["a"], arg["rows"])
                    kept = f.mul(f.sub(chunk.i, stripe.i), arg["n.block"])
                    here = {**part, "b": packed, "partial": f.at(self.real, part["partial"], kept)}
                    self._tiles(pointers, here, rows, mc, columns, strip.i, end, nc, depth, kc, first, begins, ends)

    def _tiles(self, pointers, part, rows, mc, columns, begin, end, nc, depth, kc, first, begins, ends) -> None:
        f, form, tile = self.f, self.form, self.form.tile
        if form.streamed:
            b = f.at(self.real, pointers["b"], f.add(columns.scalar("b", 0), depth.scalar("b", 0)))
            step = self.arg["b.k0"] if depth.rank else 0
            f.do(f"call void @{self.symbol}.stream{tile.height}(i64 {kc}, ptr {part['a']}, ptr {b}, i64 {step}, i64 {nc}, "
                 f"ptr {part['b']}, i64 {self.arg['n.block']})")
        with f.loop(begin, end, tile.width) as j:
            left = f.sub(nc, j.i)
            panel = None if form.streamed else self._panel(pointers, part, columns, j.i, left, depth)
            view = self._view(pointers, columns, j.i, left, depth, first) if form.windowed else None
            alongs = [[self.along(columns, f"c{t}", c.steps, f.add(j.i, v * self.lanes), f.sub(left, v * self.lanes),
                                  0, t * tile.vectors + v)
                       for v in range(tile.vectors)] for t, c in enumerate(form.c)]
            with f.loop(0, mc, self.arg["rows"]) as i:
                height = f.min(f.sub(mc, i.i), self.arg["rows"])
                if form.streamed:
                    with f.loop(0, height) as r:
                        for v in range(tile.vectors):  # reads may run past a row, what they read is not stored
                            kept = f.add(f.add(f.mul(r.i, self.arg["n.block"]), j.i), v * self.lanes)
                            value = f.load(self.vec, f.at(self.real, part["b"], kept), form.accumulator.itemsize)
                            f.store(self.vec, value, f.at(self.real, self.tile, f.add(f.mul(r.i, tile.width), v * self.lanes)), 64)
                elif form.dots:
                    self._dots(pointers, rows, i.i, height, columns, j.i, f.min(left, tile.width), depth, kc)
                else:
                    strip = f.at(self.real, part["a"], f.mul(i.i, self.arg["k.pitch"]))
                    self._note_lines(pointers, rows, i.i, height, alongs)
                    self._multiply(height, left, kc, strip, panel, view)
                for flat in self.each_case([x for row in alongs for x in row]):
                    cases = [flat[t:t + tile.vectors] for t in range(0, len(flat), tile.vectors)]
                    with f.otherwise(begins), f.loop(0, height) as r:
                        self._add_earlier(pointers, part, rows, f.add(i.i, r.i), r.i, j.i, cases[0])
                    with f.loop(0, height) as r:
                        self._store_row(pointers, part, rows, f.add(i.i, r.i), r.i, j.i, cases, ends)

    def _panel(self, pointers, part, columns, column, left, depth) -> tuple[str, Any]:
        """Where a panel of b lies and how far apart its rows are."""
        f, arg, width = self.f, self.arg, self.form.tile.width
        packed = f.at(self.real, part["b"], f.mul(column, arg["k.pitch"]))
        if not self.form.in_place:
            return packed, width
        there = f.at(self.real, pointers["b"], f.add(columns.scalar("b", column), depth.scalar("b", 0)))
        wanted = f.compare("ne", arg["b.in_place"], 0)
        full = f(f"and i1 {wanted}, {f.compare('sge', left, width)}")
        step = f.select(full, "i64", arg["b.k0"] if depth.rank else 0, width)
        return f.select(full, "ptr", there, packed), step

    def _view(self, pointers, columns, column, left, depth, first) -> tuple[str, str]:
        """Whether a panel of b is read where it lies, and the operands that say where: the place of each vector, the
        offsets and taps of the depth, the masks of the taps."""
        f, form, tile = self.f, self.form, self.form.tile
        slots = len(form.c) * tile.vectors
        parts = [self.along(columns, "b", form.b.steps, f.add(column, v * self.lanes), f.sub(left, v * self.lanes),
                            form.b.checks, slots + v) for v in range(tile.vectors)]
        viewed = self._viewed(parts)
        with f.when(viewed):
            self._note_masks(first, parts)
        places = [f.at(self.real, pointers["b"], self.origin(p)) for p in parts]
        tables = [depth.tables["b"], depth.tables["t"] if form.ranks[4] else "null", self._mask_at(0, 0)]
        return viewed, ", ".join(f"ptr {x}" for x in places + tables)

    def _multiply(self, height, left, kc, strip, panel, view) -> None:
        """Computes a tile with the smallest function that holds it."""
        f, tile = self.f, self.form.tile
        viewed = view[0] if view else "false"
        with f.when(viewed) if view else nullcontext():
            if view:
                operands = f"(i64 {kc}, ptr {strip}, i64 {self.arg['rows']}, {view[1]}, ptr {self.lines}, ptr {self.tile})"
                self._by_rows(height, f"view{{}}x{tile.vectors}{operands}")
        with f.otherwise(viewed) if view else nullcontext():
            operands = (f"(i64 {kc}, ptr {strip}, i64 {self.arg['rows']}, ptr {panel[0]}, i64 {panel[1]}, "
                        f"ptr {self.lines}, ptr {self.tile})")
            thin = f.compare("sle", left, self.lanes)
            with f.when(thin):
                f.do(f"call void @{self.symbol}.tile{tile.height}x1{operands}")
            with f.otherwise(thin):
                self._by_rows(height, f"tile{{}}x{tile.vectors}{operands}")

    def _by_rows(self, height, call: str) -> None:
        f, rows = self.f, self.form.tile.rows
        for below, most in zip((0, *rows), rows, strict=False):
            fits = f(f"and i1 {f.compare('sgt', height, below)}, {f.compare('sle', height, most)}")
            with f.when(fits):
                f.do(f"call void @{self.symbol}.{call.replace('{}', str(most))}")

    def _dots(self, pointers, rows, row, height, columns, column, width, depth, kc) -> None:
        """A tile by dot products: as many sums at once as a vector has lanes, each in a vector of its own."""
        f, n, form = self.f, self.lanes, self.form
        down, across = form.dots, self.lanes // form.dots
        if form.dots == 1 and not form.ragged:
            self._dots_of_row(pointers, rows, row, columns, column, width, depth, kc)
            return
        part = f"<{across} x {self.real}>"
        fma = f"llvm.fmuladd.v{n}f{form.accumulator.itemsize * 8}"

        def pointer(x: str, lanes: _Map, i) -> str:
            return f.at(self.b.memory(getattr(form, x).dtype), pointers[x], lanes.scalar(x, i))

        def turn(k, left, right) -> list[str]:
            ys, xs = ([self._dot_operand(*operand) for operand in x] for x in (right, left))
            return [f.call(self.vec, fma, f"{self.vec} {xs[q // across]}", f"{self.vec} {ys[q % across]}",
                           f"{self.vec} {k.state[q]}") for q in range(n)]

        with f.loop(0, width, across) as c:  # a row or column past the end repeats the last: nobody stores it
            places = [f.add(column, f.min(f.add(c.i, q), f.sub(width, 1))) for q in range(across)]
            right = [pointer("b", columns, i) for i in places]
            taps = [columns.scalar("t", i) if form.ragged and form.ranks[4] else None for i in places]
            with f.loop(0, height, down) as r:
                left = [pointer("a", rows, f.add(row, f.min(f.add(r.i, q), f.sub(height, 1)))) for q in range(down)]
                sums = ["zeroinitializer"] * n
                if form.ragged:
                    with f.loop(0, kc, carry=[(self.vec, x) for x in sums]) as k:
                        a, b = depth.scalar("a", k.i), depth.scalar("b", k.i)
                        mask = self.below(f.sub(self.arg["k.valid"], depth.scalar("v", k.i)))
                        k.next = turn(k, [("a", at, a, mask) for at in left],
                                      [("b", at, b, self._tap_mask(k.i, tap) if tap is not None else mask)
                                       for at, tap in zip(right, taps, strict=True)])
                    sums = k.state
                else:
                    starts = {x: depth.scalar(x, 0) for x in "ab"}
                    whole = f.mul(f.div(kc, n), n)
                    for begin, end in ((0, whole), (whole, kc)):
                        with f.loop(begin, end, n, carry=[(self.vec, x) for x in sums]) as k:
                            mask = self.below(f.sub(kc, k.i)) if begin else None
                            a, b = (f.add(starts[x], k.i) for x in "ab")
                            k.next = turn(k, [("a", at, a, mask) for at in left], [("b", at, b, mask) for at in right])
                        sums = k.state
                sums = [self._lanes_summed(sums)]
                for q in range(down):
                    order = ", ".join(f"i32 {q * across + i}" for i in range(across))
                    some = f(f"shufflevector {self.vec} {sums[0]}, {self.vec} poison, <{across} x i32> <{order}>")
                    at = f.add(f.mul(f.add(r.i, q), form.tile.width), c.i)
                    f.store(part, some, f.at(self.real, self.tile, at), form.accumulator.itemsize)

    def _dots_of_row(self, pointers, rows, row, columns, column, width, depth, kc) -> None:
        """One row: a quarter of a vector's lanes of columns, each read four vectors at a time."""
        f, n, form = self.f, self.lanes, self.form
        times = 4
        across = n // times
        part = f"<{across} x {self.real}>"
        fma = f"llvm.fmuladd.v{n}f{form.accumulator.itemsize * 8}"
        elem = {x: self.b.memory(getattr(form, x).dtype) for x in "ab"}
        starts = {x: depth.scalar(x, 0) for x in "ab"}
        left = f.at(elem["a"], pointers["a"], f.add(rows.scalar("a", row), starts["a"]))
        whole = f.mul(f.div(kc, times * n), times * n)
        with f.loop(0, width, across) as c:  # a column past the end repeats the last: nobody stores it
            places = [f.add(column, f.min(f.add(c.i, q), f.sub(width, 1))) for q in range(across)]
            right = [f.at(elem["b"], pointers["b"], f.add(columns.scalar("b", i), starts["b"])) for i in places]
            sums = ["zeroinitializer"] * n
            for begin, end, count in ((0, whole, times), (whole, kc, 1)):
                with f.loop(begin, end, count * n, carry=[(self.vec, x) for x in sums]) as k:
                    mask = self.below(f.sub(kc, k.i)) if count == 1 else None
                    for t in range(count):
                        at = f.add(k.i, t * n)
                        x = self._dot_operand("a", left, at, mask)
                        for q, place in enumerate(right):
                            y = self._dot_operand("b", place, at, mask)
                            k.next[t * across + q] = f.call(self.vec, fma, f"{self.vec} {x}", f"{self.vec} {y}",
                                                            f"{self.vec} {k.state[t * across + q]}")
                sums = k.state
            sums = [self._lanes_summed(sums)]
            quarters = []
            for t in range(times):
                order = ", ".join(f"i32 {t * across + q}" for q in range(across))
                quarters.append(f(f"shufflevector {self.vec} {sums[0]}, {self.vec} poison, <{across} x i32> <{order}>"))
            while len(quarters) > 1:
                quarters = [f(f"fadd {part} {x}, {y}") for x, y in zip(quarters[::2], quarters[1::2], strict=True)]
            f.store(part, quarters[0], f.at(self.real, self.tile, c.i), form.accumulator.itemsize)

    def _lanes_summed(self, sums: list[str]) -> str:
        """The sums over the lanes of as many vectors as there are lanes, as one vector."""
        f, step = self.f, 1
        while len(sums) > 1:  # pairs become one vector that holds the partial sums of both
            pairs = [self._swap(f, x, y, step) for x, y in zip(sums[::2], sums[1::2], strict=True)]
            sums = [f(f"fadd {self.vec} {x}, {y}") for x, y in pairs]
            step *= 2
        return sums[0]

    def _dot_operand(self, x: str, at: str, offset, mask: str | None) -> str:
        d = getattr(self.form, x).dtype
        value = self.b.load(self.f.at(self.b.memory(d), at, offset), d, self.lanes, mask)
        return self.b.cast(value, self.form.accumulator).text if d is not self.form.accumulator else value.text

    def _tap_mask(self, number, tap) -> str:
        word = f"i{self.lanes}"
        return self.f(f"bitcast {word} {self.f.load(word, self._mask_along(number, tap))} to {self.bools}")

    def _note_lines(self, pointers, rows, row, height, alongs) -> None:
        """Tabulates the lines of the output, and of what the epilogue reads, that a tile will meet: its function calls
        them to the cache one by one, since all at once would have to wait for one another."""
        f, form = self.f, self.form
        near = [(t, c, self.b.memory(c.dtype), self.origin(alongs[t][0])) for t, c in form.near()]
        step = sum(form.lines_of_row(c) for _, c in form.near())
        with f.loop(0, height if near else 0) as r:
            number = f.mul(r.i, step)
            for t, c, elem, first in near:
                base = f.at(elem, pointers[f"c{t}"], f.add(rows.scalar(f"c{t}", f.add(row, r.i)), first))
                for line in range(form.lines_of_row(c)):
                    f.store("ptr", f.at("i8", base, 64 * line), f.at("ptr", self.lines, number))
                    number = f.add(number, 1)

    def _kept(self, part, row, column) -> str:
        """Where the partial sums of a row wait for the next block of the depth."""
        return self.f.at(self.real, part["partial"], self.f.add(self.f.mul(row, self.arg["n.block"]), column))

    def _sums(self, r) -> list[tuple[str, Value]]:
        """A row of the tile: the address and the value of each vector."""
        f, form = self.f, self.form
        places = [f.at(self.real, self.tile, f.add(f.mul(r, form.tile.width), v * self.lanes))
                  for v in range(form.tile.vectors)]
        return [(at, Value(f.load(self.vec, at, 64), form.accumulator, self.lanes)) for at in places]

    def _add_earlier(self, pointers, part, rows, row, r, column, alongs) -> None:
        """Adds to a row of the tile what earlier blocks of the depth left. A pass of its own, since most sums have one
        block, and a load under an empty mask from memory that may not exist takes as long as a fault."""
        f, b, form = self.f, self.b, self.form
        base = f.at(b.memory(form.c[0].dtype), pointers["c0"], rows.scalar("c0", row))
        for v, (at, value) in enumerate(self._sums(r)):
            if form.spill:
                kept = f.at(self.real, self._kept(part, row, column), v * self.lanes)
                before = b.load(kept, form.accumulator, self.lanes, alongs[v].mask)
            else:
                before = self.load(form.accumulator, base, alongs[v], alongs[v].mask)
            f.store(self.vec, b.add(value, before).text, at, 64)

    def _store_row(self, pointers, part, rows, row, r, column, alongs, ends) -> None:
        """A row of the tile to memory: the last block's sum is the result."""
        f, b, form = self.f, self.b, self.form
        bases = [f.at(b.memory(c.dtype), pointers[f"c{t}"], rows.scalar(f"c{t}", row)) for t, c in enumerate(form.c)]
        sums = [value for _, value in self._sums(r)]
        if not form.spill and form.epilogue is None:
            for v, value in enumerate(sums):
                self.store(value, bases[0], alongs[0][v])
            return
        with f.otherwise(ends):
            kept = self._kept(part, row, column)
            for v, value in enumerate(sums):
                if form.spill:
                    b.store(value, f.at(self.real, kept, v * self.lanes), self.lanes)
                else:
                    self.store(value, bases[0], alongs[0][v])
        with f.when(ends):
            for v, value in enumerate(sums):
                inputs = [self.load(c.dtype, base, along[v], along[v].mask)
                          for c, base, along in list(zip(form.c, bases, alongs, strict=True))[1:]]
                if form.epilogue is not None:
                    value = form.epilogue.emit(b, value, *inputs)
                self.store(b.cast(value, form.c[0].dtype), bases[0], alongs[0][v])


def kernel(form: Form, symbol: str) -> str:
    """The LLVM IR of a contraction's kernel."""
    return Kernel(form, symbol).text()


__all__ = ["Access", "Form", "Reading", "Tile", "bool_", "kernel", "tile_of"]
