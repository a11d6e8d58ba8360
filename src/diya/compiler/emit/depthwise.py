"""The kernels of depthwise convolutions as LLVM IR: one filter slides over one plane, nothing is packed.

With a single output channel to a group a convolution is no matrix product worth the name: each product is used once,
so the time is that of reading the image. Vectors run along the image's rows (group ``n``); the other positions of the
output are rows (``m``); the filter's taps fall into those that move along a row (``t``) and the rest (``k``).

    correlation:  for each filter (z), for each chunk of rows:     out[m, n] = Σ_k Σ_t a[k, t] · b[m + k, n + t]
    gradient:     for each filter (z), for some taps at a time:    out[k, t] = Σ_m Σ_n a[m, n] · b[m + k, n + t]

A row outside of the image is read from a row of zeros; the lanes of a row that are outside are masked, and the masks
depend on the column and the tap alone, so they are tabulated. Streams and their tables are those of `contraction`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...dtypes import dtype
from .contraction import Access, Kernel, Tile, _Along, _Map, walk_names
from .llvm import Value


class Planes(NamedTuple):
    """All that the code of a depthwise kernel depends on.

    ``tile``: lanes, vectors and rows that are computed at once. ``ranks``: variables of z, m, n, k and t.
    ``step``: how far apart neighbours of a row are read: 1, 2 (every other element of two vectors) or 0, as an argument.
    ``row_checks, lane_checks``: how many of b's bounded coordinates rows move, and lanes.
    ``taps``: for a gradient, how many of k and t are summed at once.
    ``shared``: so many taps of k lie above one another, and a row of the image is read once for all of them (0: for each).
    """

    tile: Tile
    accumulator: dtype
    ranks: tuple[int, int, int, int, int]
    step: int
    row_checks: int
    lane_checks: int
    c: tuple[Access, ...]
    epilogue: Any = None
    taps: tuple[int, int] | None = None
    shared: int = 0

    padded = ragged = False  # as `contraction.Form` has them
    lines = 0

    @property
    def key(self) -> str:
        ranks = "".join(f"{g}{r}" for g, r in zip("zmnkt", self.ranks, strict=True))
        c = ", ".join(f"{x.dtype.name} {x.steps}" for x in self.c)
        what = "gradient " + "x".join(map(str, self.taps)) if self.taps else f"tile {self.tile.rows[0]}x{self.tile.vectors}"
        what += f" shared {self.shared}" if self.shared else ""
        return (f"depthwise {ranks} step {self.step}, checks {self.row_checks} {self.lane_checks} -> "
                f"{self.accumulator.name} {c}; {what}x{self.tile.lanes}{f'; {self.epilogue.key}' if self.epilogue else ''}")

    @property
    def words(self) -> int:
        """Words of mask to a vector."""
        return 2 if self.step == 2 else 1

    def streams(self, group: str) -> list[str]:
        a = group == "z" or (group in "kt") != bool(self.taps)
        c = group == "z" or (group in "mn") != bool(self.taps)
        b = ["b", *(f"b{d}" for d in range(self.row_checks + self.lane_checks))]
        return ["a"] * a + b + [f"c{t}" for t in range(len(self.c)) if c]

    def tabulated(self, group: str) -> bool:
        return self.ranks["zmnkt".index(group)] > 1

    def arguments(self) -> list[str]:
        """The names of the kernel's ``args``, in order."""
        names = ["M", "N", "K", "T", "m.chunk", "m.tasks", "zeros", "zeros.first"]
        names += [f"scratch.{x}" for x in ("m", "k", "t", "weights", "masks", "zeros")]
        names += [f"b.{d}.size" for d in range(self.row_checks + self.lane_checks)]
        return names + walk_names(self)


class Depthwise(Kernel):
    """One kernel being written."""

    form: Planes

    def text(self) -> str:
        f, form = self.f, self.form
        self.part = {x: f.at("i8", "%scratch", self.arg[f"scratch.{x}"]) for x in ("m", "k", "t", "weights", "masks", "zeros")}
        self.zeros = f.at(self.real, self.part["zeros"], self.arg["zeros.first"])
        self.fma = f"llvm.fmuladd.v{self.lanes}f{form.accumulator.itemsize * 8}"
        if form.row_checks:
            with f.loop(0, self.arg["zeros"], self.lanes) as i:
                f.store(self.vec, "zeroinitializer", f.at(self.real, self.part["zeros"], i.i), form.accumulator.itemsize)
        with f.loop("%begin", "%end") as task:
            part = f.rem(task.i, self.arg["m.tasks"])
            share = self._batch(f.div(task.i, self.arg["m.tasks"]))
            operands = [("a", form.accumulator), ("b", form.accumulator), *((f"c{t}", c.dtype) for t, c in enumerate(form.c))]
            self.at = {s: f.at(self.b.memory(d), buffer, share[s])
                       for (s, d), buffer in zip(operands, self.buffers, strict=True)}
            self.share = share
            self.outer, self.inner = self._map("k", 0, self.arg["K"]), self._map("t", 0, self.arg["T"])
            self.columns = self._map("n", 0, self.arg["N"])
            if form.taps:
                self._gradient(part)
            else:
                self._correlation(part)
        f.do("ret void")
        return "\n\n".join(["\n".join(sorted(f.declared)), str(f)]) + "\n"

    def _map(self, group: str, start, count) -> _Map:
        capacity = self.arg["m.chunk"] if group == "m" else count
        return _Map(self, group, start, count, self.part.get(group, ""), self.f.add(capacity, 2 * self.lanes))

    # -- masks --------------------------------------------------------------------------------------------------------
    def _note_masks(self, column, number) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Tabulates the masks of a vector of columns, the ``number``-th of its kind, for every tap of its row."""
        f, form, word = self.f, self.form, f"i{self.lanes}"
        left = f.sub(self.arg["N"], column)
        with f.loop(0, self.arg["T"]) as tap:
            for half in range(form.words):
                on = half * self.lanes
                mask = self.below(left if form.step != 2 else f.sub(f.mul(left, 2), on + 1))
                for d in range(form.row_checks, form.row_checks + form.lane_checks):
                    first = f.add(f.add(self.share[f"b{d}"], self.columns.scalar(f"b{d}", column)),
                                  f.add(self.inner.scalar(f"b{d}", tap.i), on))
                    step = self.arg[f"b{d}.n0"] if form.step == 0 else 1
                    at = f(f"add {self.ints} {self.splat32(first)}, {f(f'mul {self.ints} {self.iota}, {self.splat32(step)}')}")
                    inside = f(f"icmp ult {self.ints} {at}, {self.splat32(self.arg[f'b.{d}.size'])}")
                    mask = f(f"and {self.bools} {mask}, {inside}")
                f.store(word, f(f"bitcast {self.bools} {mask} to {word}"), self._mask_at(number, tap.i, half))

    def _mask_at(self, number, tap, half: int) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        f = self.f
        vector = f.add(f.mul(number, self.arg["T"]), tap)
        return f.at("i32", self.part["masks"], f.add(f.mul(vector, self.form.words), half))

    def _masks(self, number, tap) -> list[str]:
        f, word = self.f, f"i{self.lanes}"
        return [f(f"bitcast {word} {f.load(word, self._mask_at(number, tap, half))} to {self.bools}")
                for half in range(self.form.words)]

    # -- reading the image --------------------------------------------------------------------------------------------
    def _place(self, rows: _Map, row, tap, here=0):
        """Where a row of the output reads the image for an outer tap, from ``here`` on; zeros if that is outside."""
        f = self.f
        at = f.at(self.real, self.at["b"], f.add(rows.scalar("b", row), self.outer.scalar("b", tap)))
        inside = None
        for d in range(self.form.row_checks):
            coordinate = f.add(self.share[f"b{d}"], f.add(rows.scalar(f"b{d}", row), self.outer.scalar(f"b{d}", tap)))
            ok = f.compare("ult", coordinate, self.arg[f"b.{d}.size"])
            inside = ok if inside is None else f(f"and i1 {inside}, {ok}")
        at = f.at(self.real, at, here)
        return at if inside is None else f.select(inside, "ptr", at, self.zeros)

    def _image(self, at: str, masks: list[str]) -> str:
        """A vector of the image."""
        f, b, n, d = self.f, self.b, self.lanes, self.form.accumulator
        if self.form.step == 0:
            offsets = f(f"mul {self.ints} {self.iota}, {self.splat32(self.arg['b.n0'])}")
            return b.gather32(at, offsets, d, masks[0]).text
        parts = [b.load(f.at(self.real, at, half * n), d, n, mask).text for half, mask in enumerate(masks)]
        if len(parts) == 1:
            return parts[0]
        even = ", ".join(f"i32 {2 * i}" for i in range(n))
        return f(f"shufflevector {self.vec} {parts[0]}, {self.vec} {parts[1]}, {self.ints} <{even}>")

    def _splat(self, x: str) -> str:
        one = self.f(f"insertelement {self.vec} poison, {self.real} {x}, i32 0")
        return self.f(f"shufflevector {self.vec} {one}, {self.vec} poison, {self.ints} zeroinitializer")

    # -- the loops ----------------------------------------------------------------------------------------------------
    def _correlation(self, chunk) -> None:
        f, arg, form = self.f, self.arg, self.form
        height, vectors = form.tile.height, form.tile.vectors
        begin = f.mul(chunk, arg["m.chunk"])
        count = f.min(f.sub(arg["M"], begin), arg["m.chunk"])
        rows = self._map("m", begin, count)
        with f.loop(0, arg["K"]) as k, f.loop(0, arg["T"]) as t:
            value = f.load(self.real, f.at(self.real, self.at["a"],
                                           f.add(self.outer.scalar("a", k.i), self.inner.scalar("a", t.i))))
            f.store(self.real, value, f.at(self.real, self.part["weights"], f.add(f.mul(k.i, arg["T"]), t.i)))
        with f.loop(0, arg["N"], form.tile.width) as j:
            for v in range(vectors):
                self._note_masks(f.add(j.i, v * self.lanes), v)
            alongs = [[self.along(self.columns, f"c{t}", c.steps, f.add(j.i, v * self.lanes),
                                  f.sub(arg["N"], f.add(j.i, v * self.lanes))) for v in range(vectors)]
                      for t, c in enumerate(form.c)]
            here = self.columns.scalar("b", j.i)
            apart = f.mul(arg["b.n0"], self.lanes) if form.step == 0 else form.step * self.lanes
            with f.loop(0, count, height) as i:
                numbers = [f.min(f.add(i.i, r), f.sub(count, 1)) for r in range(height)]
                if form.shared:
                    sums = self._rows_shared(rows, i.i, count, here, apart)
                else:
                    sums = self._rows_apart(rows, numbers, here, apart)
                for r in range(height):
                    with f.when(f.compare("slt", f.add(i.i, r), count)):
                        bases = [f.at(self.b.memory(c.dtype), self.at[f"c{t}"], rows.scalar(f"c{t}", numbers[r]))
                                 for t, c in enumerate(form.c)]
                        for v in range(vectors):
                            self._finish(sums[r * vectors + v], bases, [x[v] for x in alongs])

    def _rows_apart(self, rows: _Map, numbers: list, here, apart) -> list[str]:
        """The sums of some rows of the output, each read for itself."""
        f, arg, vectors = self.f, self.arg, self.form.tile.vectors
        sums = [(self.vec, "zeroinitializer")] * (len(numbers) * vectors)
        with f.loop(0, arg["K"], carry=sums) as k:
            places = [self._place(rows, row, k.i, here) for row in numbers]
            weights = f.at(self.real, self.part["weights"], f.mul(k.i, arg["T"]))
            with f.loop(0, arg["T"], carry=[(self.vec, x) for x in k.state]) as t:
                weight = self._weight(weights, t.i)
                off = self.inner.scalar("b", t.i)
                for v in range(vectors):
                    masks = self._masks(v, t.i)
                    for r, place in enumerate(places):
                        x = self._image(f.at(self.real, place, f.add(off, f.mul(apart, v))), masks)
                        n = r * vectors + v
                        t.next[n] = f.call(self.vec, self.fma, f"{self.vec} {weight}", f"{self.vec} {x}",
                                           f"{self.vec} {t.state[n]}")
            k.next = list(t.state)
        return k.state

    def _rows_shared(self, rows: _Map, first, count, here, apart) -> list[str]:
        """The sums of neighbouring rows of the output: a row of the image is read once for all that it has a part in."""
        f, form, arg = self.f, self.form, self.arg
        height, vectors, high = form.tile.height, form.tile.vectors, form.shared
        last = f.add(f.sub(f.sub(count, 1), first), high - 1)  # rows past the end are the last again
        places = [self._place(rows, first, f.min(j, last), here) for j in range(height + high - 1)]
        with f.loop(0, arg["T"], carry=[(self.vec, "zeroinitializer")] * (height * vectors)) as t:
            weights = [self._weight(f.at(self.real, self.part["weights"], f.mul(arg["T"], k)), t.i) for k in range(high)]
            off, t.next = self.inner.scalar("b", t.i), list(t.state)
            for v in range(vectors):
                masks = self._masks(v, t.i)
                for j, place in enumerate(places):
                    x = self._image(f.at(self.real, place, f.add(off, f.mul(apart, v))), masks)
                    for k in range(max(0, j - height + 1), min(high, j + 1)):
                        n = (j - k) * vectors + v
                        t.next[n] = f.call(self.vec, self.fma, f"{self.vec} {weights[k]}", f"{self.vec} {x}",
                                           f"{self.vec} {t.next[n]}")
        return t.state

    def _weight(self, weights: str, t) -> str:
        return self._splat(self.f.load(self.real, self.f.at(self.real, weights, t), self.form.accumulator.itemsize))

    def _gradient(self, part) -> None:
        f, arg, form = self.f, self.arg, self.form
        high, wide = form.taps  # pyright: ignore[reportGeneralTypeIssues]
        rows = self._map("m", 0, arg["M"])
        with f.loop(0, arg["N"], self.lanes) as j:
            self._note_masks(j.i, f.div(j.i, self.lanes))
        first = f.mul(part, high)
        outer = [f.min(f.add(first, u), f.sub(arg["K"], 1)) for u in range(high)]  # past the end the last again
        with f.loop(0, arg["T"], wide) as t:
            inner = [f.min(f.add(t.i, u), f.sub(arg["T"], 1)) for u in range(wide)]
            offsets = [self.inner.scalar("b", tap) for tap in inner]
            with f.loop(0, arg["M"], carry=[(self.vec, "zeroinitializer")] * (high * wide)) as m:
                left = f.at(self.real, self.at["a"], rows.scalar("a", m.i))
                places = [self._place(rows, m.i, tap) for tap in outer]
                with f.loop(0, arg["N"], self.lanes, carry=[(self.vec, x) for x in m.state]) as j:
                    mask = self.below(f.sub(arg["N"], j.i))
                    x = self.b.load(f.at(self.real, left, j.i), form.accumulator, self.lanes, mask).text
                    here, number = self.columns.scalar("b", j.i), f.div(j.i, self.lanes)
                    for w in range(wide):
                        masks = self._masks(number, inner[w])
                        for h, place in enumerate(places):
                            y = self._image(f.at(self.real, place, f.add(here, offsets[w])), masks)
                            n = h * wide + w
                            j.next[n] = f.call(self.vec, self.fma, f"{self.vec} {x}", f"{self.vec} {y}",
                                               f"{self.vec} {j.state[n]}")
                m.next = list(j.state)
            for h in range(high):
                for w in range(wide):
                    wanted = f.compare("slt", f.add(first, h), arg["K"])
                    wanted = f(f"and i1 {wanted}, {f.compare('slt', f.add(t.i, w), arg['T'])}")
                    with f.when(wanted):
                        self._finish_sum(m.state[h * wide + w], outer[h], inner[w])

    def _finish_sum(self, sums: str, k, t) -> None:
        """Adds up the lanes of a tap's sum and stores it."""
        f, bits = self.f, self.form.accumulator.itemsize * 8
        name = f"llvm.vector.reduce.fadd.v{self.lanes}f{bits}"
        f.declared.add(f"declare {self.real} @{name}({self.real}, {self.vec})")
        total = f(f"call reassoc {self.real} @{name}({self.real} 0.0, {self.vec} {sums})")
        bases = [f.at(self.b.memory(c.dtype), self.at[f"c{n}"], f.add(self.outer.scalar(f"c{n}", k), self.inner.scalar(f"c{n}", t)))
                 for n, c in enumerate(self.form.c)]
        one = _Along(self.below(1), [], "unit", 0)
        self._finish(self._splat(total), bases, [one] * len(bases))

    def _finish(self, value: str, bases: list[str], alongs: list[_Along]) -> None:
        """What follows the sum, and the store."""
        form, b = self.form, self.b
        result = Value(value, form.accumulator, self.lanes)
        inputs = [self.load(c.dtype, base, along, along.mask)
                  for c, base, along in list(zip(form.c, bases, alongs, strict=True))[1:]]
        if form.epilogue is not None:
            result = form.epilogue.emit(b, result, *inputs)
        self.store(b.cast(result, form.c[0].dtype), bases[0], alongs[0])


def kernel(form: Planes, symbol: str) -> str:
    """The LLVM IR of a depthwise convolution's kernel."""
    return Depthwise(form, symbol).text()  # pyright: ignore[reportArgumentType]
