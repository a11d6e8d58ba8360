"""Contractions: from index expressions to a blocked matrix product.

Each index variable falls into one of four groups by where it appears: in the output and both operands (``z``, batch),
in the output and one operand (rows ``m`` and columns ``n``), or not in the output (``k``, the depth). Columns are the
variables of the operand that owns the output's innermost dimension, so that tiles are stored along memory. Variables
that are neighbours in every address merge. What is left — ranks, whether neighbours are unit apart, which coordinates
can leave their operand — is the `Form` of the code (emit/contraction.py); sizes, strides and blocks are arguments.

The strategy follows from shapes alone: packed panels by default; b read where it lies for few rows (a matrix's rows, a
narrow convolution's windows); dot products along the depth for few rows, or few columns of a large matrix, of which both
operands are contiguous there (straight.py sees to it); operands spread out by zeros as one contraction for each remainder
(`phases`); long sums in parts (split.py). Depthwise convolutions have kernels of their own (depthwise.py).
"""

from __future__ import annotations

from functools import lru_cache, partial
from itertools import product
from math import ceil, gcd, prod

from ..dtypes import dtype, float32, float64
from ..graph import Affine, Contraction
from . import depthwise
from .emit.contraction import Access, Form, Reading, Tile, kernel, tile_of
from .loops import Launch
from .operands import Epilogue, Operand, Problem, Stream, classify, merge, run_length, steps_of, streams_of, walks

# Up to so many rows a product is bound by reading b.
SKINNY = 16

# Of a matrix of so many bytes also up to four times as many rows, since it stays in the second cache.
WITHIN_L2 = 1 << 20

# Up to so many rows b's rows are read from end to end, if they are long.
STREAMED = 4

# Up to so many columns b's rows are read whole: the fewer pieces, the nearer to the memory's speed.
WHOLE = 8192

# Up to so many rows windows of b are read where they lie.
VIEWED = 48

# Up to so many columns a product of so many rows and so long a depth is one of dot products (see straight.py).
NARROW, WIDE, DOTTED = 8, 256, 256

# Bytes of b that are packed at a time where all of a's rows stay in the second cache.
STRIP = 1 << 18

# Operand types that packing converts to float32 while it copies.
SUPPORTED = ("float32", "float64", "float16", "bfloat16")


def task_count(c: Contraction) -> int:
    """About how many tasks the kernel of a contraction has."""
    z, *sides, _ = classify(c)
    m, n = sorted(prod(c.sizes[v] for v in g) for g in sides)
    return prod(c.sizes[v] for v in z) * ceil(m / (10 * 14)) * ceil(n / _columns(m, n))


def reads_whole_rows(c: Contraction) -> bool:
    """Whether a contraction is a few rows times a large matrix whose rows one task reads from end to end."""
    z, m, n, k = classify(c)
    if z or len(n) != 1 or len(k) != 1 or prod(c.sizes[v] for v in m) > STREAMED:
        return False
    columns, depth = c.sizes[n[0]], c.sizes[k[0]]
    return columns <= WHOLE and columns * depth >= 1 << 18 and c.b == (Affine(((k[0], 1),), 0), Affine(((n[0], 1),), 0))


def _columns(m: int, n: int) -> int:
    """The most columns of a task: few rows share what is packed of them with few columns."""
    return max(128, min(2048, ceil(n / 4))) if m <= 4 * SKINNY else 1024


def plan(c: Contraction, a: Operand, b: Operand, out: Operand, epilogue: Epilogue | None, vector_bytes: int,
         arch: str, kept: frozenset | set = frozenset()) -> tuple[Problem, bool]:
    """The matrix product, and whether b's variables became the rows (the operands are exchanged). Variables of one
    value take no part, but those in ``kept``."""
    accumulator = float64 if float64 in (a.dtype, b.dtype) else float32
    tile = tile_of(accumulator, vector_bytes, arch)
    z, m, n, k = classify(c)
    empty = any(c.sizes[v] == 0 for v in k)
    if empty:
        k = []
    swapped = _exchange(c, m, n, out)
    if swapped:
        a, b, m, n = b, a, n, m
    read = [(b, c.b), (a, c.a)] if not swapped else [(b, c.a), (a, c.b)]
    sb, sa = (streams_of(c, coordinates, x) for x, coordinates in read)
    pad = (0,) * (len(c.sizes) - c.n_out)
    written = [Stream((*x.strides, *pad), x.offset) for x in (out, *(epilogue.inputs if epilogue else ()))]

    order = sorted(range(c.n_out), key=lambda v: -abs(out.strides[v]))
    k, z, m, n = _depth_order(k, c.sizes, sa[0], sb[0]), *([v for v in order if v in g] for g in (z, m, n))
    streams = {"z": [*sa, *sb, *written], "m": [*sa, *written], "n": [*sb, *written], "k": [*sa, *sb], "t": sb[1:]}
    axes = {g: merge(vs, c.sizes, streams[g], kept) for g, vs in (("z", z), ("m", m), ("n", n), ("k", k), ("t", []))}
    rows, wide = prod(size for size, _ in axes["m"]), vector_bytes == 64
    reading_b = _reading(b.dtype, len(sb) - 1, axes["n"], 0, axes["k"], len(sa), tile.lanes)
    ragged = _ragged(rows, axes["k"], len(sa), len(sb) > 1 and _taps(n, c.sizes, sb[1:], kept) is None, tile.lanes)
    narrow = prod(size for size, _ in axes["n"]) <= NARROW and rows >= WIDE and prod(size for size, _ in axes["k"]) >= DOTTED
    dots = ragged or (rows <= SKINNY or narrow) and len(sa) == len(sb) == 1 and [steps for _, steps in axes["k"]] == [[1, 1]]
    if dots:
        reading_b = reading_b._replace(along="depth")
    elif wide and b.dtype is accumulator is float32 and run_length(axes["k"], len(sa)) < 16 and _every_other(axes["n"], 0):
        reading_b = Reading(b.dtype, len(sb) - 1, "lanes", "other")

    g, vs = ("k", k) if reading_b.along == "lanes" else ("n", n)
    tap = _taps(vs, c.sizes, sb[1:], kept)
    if tap is not None:
        streams[g].append(tap)
        axes[g] = merge(vs, c.sizes, streams[g], kept)
        axes["t"] = merge([v for v in vs if tap.steps[v]], c.sizes, streams["t"], kept)
    runs = wide and reading_b.along == "lanes" and reading_b.steps == "runs"
    windowed = rows <= VIEWED and b.dtype is accumulator and (
        runs and len(sb) == 1 or tap is not None and (runs or wide and reading_b[2:] == ("lanes", "unit")))
    valid = _pad(axes["n"], rows, tile.lanes) if runs else 0

    reading_a = _reading(a.dtype, len(sa) - 1, axes["m"], 0, axes["k"], 0, tile.lanes)
    access = []
    for t, x in enumerate((out, *(epilogue.inputs if epilogue else ()))):
        steps = [s[len(sb) + t] for _, s in axes["n"]]
        every_other = wide and x.dtype is accumulator is float32 and _every_other(axes["n"], len(sb) + t)
        access.append(Access(x.dtype, "splat" if t and not any(steps) else
                             "other" if every_other else steps_of(axes["n"], len(sb) + t)))
    spill = out.dtype is not accumulator or access[0].steps != "unit"
    one = rows == 1 and not any(size > 1 for size, _ in axes["m"]) and tile.lanes >= 4
    down = 0 if not dots else 1 if one or ragged and rows == 1 else 4 if tile.lanes >= 8 else 2
    if dots:
        tile = Tile(tile.lanes, 2, (SKINNY,))
    elif wide and rows <= SKINNY:
        tile = Tile(tile.lanes, 3, (8,)) if rows > 4 else Tile(tile.lanes, 6, (4,) if rows > 1 else (1,))
    if ragged:  # the depth counts vectors
        inner, steps = axes["k"][-1]
        axes["k"] = [(size, [*x, 0]) for size, x in axes["k"][:-1]] + [
            (ceil(inner / tile.lanes), [x * tile.lanes for x in (*steps, 1)])]
    form = Form(tile, accumulator, tuple(len(axes[g]) for g in "zmnkt"), reading_a, reading_b, tuple(access), spill,
                epilogue, down, ragged, windowed, valid > 0)
    if form.in_place and rows <= STREAMED and prod(size for size, _ in axes["n"]) > form.tile.width:
        form = form._replace(streamed=True)
    sizes = {g: prod(size for size, _ in axes[g]) for g in "zmnkt"}
    if empty:
        sizes["k"] = 0
    numbers, tasks, scratch = _blocks(form, sizes)
    numbers.update({"n.valid": valid, "k.valid": 0})
    if form.in_place and sum(size * steps[len(sa)] for size, steps in axes["k"]) * b.dtype.itemsize <= 32768:
        numbers["b.in_place"] = 1  # all of b's rows fit L1 where they are
    if ragged:
        numbers["k.valid"] = inner
        numbers.update({f"b{d}.lane": steps[len(sa) + 1 + d] for d in range(len(sb) - 1)})
    for x, checked in (("a", sa[1:]), ("b", sb[1:])):
        numbers.update({f"{x}.{d}.size": s.size for d, s in enumerate(checked)})
    numbers.update(walks(form, streams, axes))
    work = max(prod(c.sizes) / (tile.lanes * 4.0), sizes["z"] * sizes["n"] * sizes["k"] * b.dtype.itemsize / 32.0)
    # nanoseconds: at two thirds of two vectors of products a cycle, at 32 bytes of b
    return Problem(form, numbers, tasks, scratch, work, partial(kernel, form)), swapped


def _exchange(c: Contraction, m: list[int], n: list[int], out: Operand) -> bool:
    """Whether a's variables should be the columns: those that the output's innermost dimension belongs to."""
    inner = min((v for v in m + n if c.sizes[v] > 1), key=lambda v: abs(out.strides[v]), default=None)
    return inner is not None and inner in m


def _ragged(rows: int, depth: list[tuple[int, list[int]]], b: int, unbounded: bool, lanes: int) -> bool:
    """Whether a product of few rows is a sum of dot products of runs: a weight's gradient of a narrow convolution.
    ``b``: b's address among the depth's streams; ``unbounded``: b's bounds have no masks."""
    if rows > SKINNY or not depth or b != 1 or unbounded:
        return False
    size, steps = depth[-1]
    whole = ceil(size / lanes) * lanes
    return steps[0] == steps[b] == 1 and size >= 8 and (len(depth) > 1 or len(steps) > 2) and whole <= 2 * size


def _pad(axes: list[tuple[int, list[int]]], rows: int, lanes: int) -> int:
    """Rounds the innermost of the columns' variables up to whole vectors, where that spoils less than vectors that wrap
    from one row of windows to the next: few rows reuse what is read. Returns the true size, 0 for no change."""
    size = axes[-1][0]
    whole = ceil(size / lanes) * lanes
    if len(axes) < 2 or whole == size or size < 8 or whole > size * (1.65 if rows <= SKINNY else 1.2) or rows > VIEWED:
        return 0
    axes[:] = [(n, [*steps, 0]) for n, steps in axes[:-1]] + [(whole, [*axes[-1][1], 1])]
    return size


def _taps(variables: list[int], sizes, checks: list[Stream], kept) -> Stream | None:
    """The number of the tap as a stream over the depth (or columns), if b has bounded coordinates and few taps."""
    moving = [v for v in variables if (sizes[v] > 1 or v in kept) and any(check.steps[v] for check in checks)]
    if not moving or not prod(sizes[v] for v in moving) <= 128:
        return None
    steps, weight = [0] * len(sizes), 1
    for v in reversed(moving):
        steps[v], weight = weight, weight * sizes[v]
    return Stream(tuple(steps), 0)


def _depth_order(k: list[int], sizes, sa: Stream, sb: Stream) -> list[int]:
    """The depth's variables with one that is contiguous in b, else in a, innermost."""
    for stream in (sb, sa):
        unit = [v for v in k if stream.steps[v] == 1 and sizes[v] > 1]
        if unit:
            return [v for v in k if v != unit[-1]] + [unit[-1]]
    return k


def _reading(d: dtype, checks: int, lanes, stream: int, depth, depth_stream: int, width: int) -> Reading:
    """Vectors run along whichever of an operand's own group and the depth is contiguous for longer."""
    here, there = (min(run_length(g, s), width) for g, s in ((lanes, stream), (depth, depth_stream)))
    if there > here and there >= 4:
        return Reading(d, checks, "depth", steps_of(depth, depth_stream))
    return Reading(d, checks, "lanes", steps_of(lanes, stream))


def _every_other(lanes: list[tuple[int, list[int]]], stream: int) -> bool:
    """Whether vectors run along every other element of rows, as in a convolution of stride 2 and its gradients."""
    return bool(lanes) and lanes[-1][0] >= 8 and lanes[-1][1][stream] == 2


def _blocks(form: Form, sizes: dict[str, int]) -> tuple[dict[str, int], int, int]:
    """Block sizes, number of tasks, bytes of scratch: functions of the shapes alone, so results never depend on
    threads. A panel of a (tile height × block of depth) fits L1, packed blocks of both operands L2."""
    tile, item = form.tile, form.accumulator.itemsize
    m, n, k, z = sizes["m"], sizes["n"], sizes["k"], sizes["z"]
    # Where packing b is dear and few rows share it, the sums wait less often for another block of the depth.
    most = 65536 // (tile.width * item) * (2 if m <= 12 * tile.height and not form.in_place else 1)
    k_blocks = max(1, ceil(k / most)) if k > most * 1.2 and not form.dots else 1
    if form.ragged:
        k_blocks = max(1, ceil(k / 128))
    if form.streamed:
        k_blocks = max(1, ceil(k / 16384))
    k_block = max(1, ceil(k / k_blocks))
    n_block = _even(n, _columns(m, n) if not form.streamed else WHOLE, tile.width)
    rows = min(tile.rows, key=lambda r: _height_cost(m, r, tile.rows))
    m_chunk = _even(m, 24 * rows, rows)
    n_strip = n_block
    if m <= m_chunk and not form.streamed and not form.dots:
        n_strip = min(n_block, max(1, STRIP // (k_block * item * tile.width)) * tile.width)
    m_block, m_stripe = _even(m, 10 * rows, rows), 4 * m_chunk
    m_tasks, n_tasks = max(1, ceil(m / m_block)), max(1, ceil(n / n_block))
    numbers = {
        "M": m, "N": n, "K": k, "rows": rows, "m.block": m_block, "n.block": n_block, "n.strip": n_strip, "m.stripe": m_stripe,
        "m.chunk": m_chunk, "k.block": k_block, "k.pitch": k_block + 2, "m.tasks": m_tasks, "n.tasks": n_tasks,
        "k.blocks": k_blocks, "taps": sizes["t"],
        "b.in_place": int(m <= SKINNY or m <= 4 * SKINNY and n * k * item <= WITHIN_L2)}
    at, spare = 0, 4 * tile.lanes * tile.width * item  # packing may run past its last panel
    for name, nbytes in (
            ("a", 0 if form.dots else m_chunk * (k_block + 2) * item + spare),
            ("b", 0 if form.dots else n_strip * (k_block + 2 if not form.streamed else tile.height) * item + spare),
            ("partial", m_stripe * n_block * item if form.spill and k_blocks > 1 else 0),
            *((g, (block + 2 * tile.lanes) * 4 * len(form.streams(g)) if form.tabulated(g) else 0)
              for g, block in (("m", m_chunk), ("n", n_block), ("k", k_block), ("t", sizes["t"]))),
            ("masks", sizes["t"] * max(tile.vectors, k_block if form.ragged else ceil(k_block / tile.lanes)) * 4)):
        numbers[f"scratch.{name}"] = at
        at += (nbytes + 63) // 64 * 64
    return numbers, z * m_tasks * n_tasks, at


def _height_cost(m: int, height: int, heights: tuple[int, ...]) -> float:
    """The time of ``m`` rows in tiles of a height, the last of the least height that holds it."""
    whole, rest = divmod(m, height)
    return whole * (height + 0.4) + (min(h for h in heights if h >= rest) + 0.4 if rest else 0)


def _even(total: int, most: int, step: int) -> int:
    """Blocks of about equal length, a multiple of ``step``, at most ``most``."""
    parts = max(1, ceil(total / most))
    return max(step, ceil(ceil(total / parts) / step) * step)


def lower_contraction(c: Contraction, a: Operand, b: Operand, out: Operand, epilogue: Epilogue | None, target,
                      values: tuple[int, ...]) -> list[Launch]:
    """The launches that compute ``out = epilogue(contraction)``; ``values`` are those of a, b, out and the epilogue's
    inputs. ``out`` has the contraction's output dimensions, in any strides, and must not share memory with the rest."""
    for x in (a, b):
        if x.dtype.name not in SUPPORTED:
            raise NotImplementedError(f"a contraction of {a.dtype.name} and {b.dtype.name} has no compiled kernel")
    if prod(c.sizes[:c.n_out]) == 0:
        return []
    for x in (a, b, out, *(epilogue.inputs if epilogue else ())):
        if sum((n - 1) * abs(stride) for n, stride in zip(x.shape, x.strides, strict=True)) >= 2**31 - 2**16:
            raise NotImplementedError(f"a contraction of {x.dtype.name}{list(x.shape)}: kernels count in 31 bits")
    launches = []
    for phase, x, y, (to, *inputs) in phases(c, a, b, [out, *(epilogue.inputs if epilogue else ())]):
        if prod(phase.sizes[:c.n_out]) == 0:
            continue
        last = epilogue and epilogue._replace(inputs=tuple(inputs))
        whole = frozenset([v for v, (n, part) in enumerate(zip(c.sizes, phase.sizes, strict=False)) if n != part])
        problem, swapped = _planned(phase, x, y, to, last, last and last.inputs, target.vector_bytes, target.arch, whole)
        first = (values[1], values[0]) if swapped else (values[0], values[1])
        launches.append(Launch(
            key=problem.form.key, text=problem.write, values=(*first, *values[2:]),
            args=tuple(problem.numbers[name] for name in problem.form.arguments()), tasks=problem.tasks, writes=(2,),
            work=problem.work, scratch=problem.scratch))
    return launches


@lru_cache(1024)
def _planned(c: Contraction, a: Operand, b: Operand, out: Operand, epilogue: Epilogue | None, inputs, vector_bytes: int, arch: str,
             kept: frozenset) -> tuple[Problem, bool]:
    """`plan`, or that of a depthwise convolution. ``inputs`` are the epilogue's, which equal epilogues may not share."""
    return depthwise.plan(c, a, b, out, epilogue, vector_bytes, kept) or plan(c, a, b, out, epilogue, vector_bytes, arch, kept)


def phases(c: Contraction, a: Operand, b: Operand, written: list[Operand]):
    """The contraction of spread operands as contractions that never meet a zero between elements: one for each
    remainder of the output's indices, over the indices of the sum that fall on elements there. Each writes its share
    of the output. Raises NotImplementedError where several remainders of the sum fall on elements of one output.
    """
    for x, coordinates in ((a, c.a), (b, c.b)):
        for d, step in enumerate(x.spread):
            if step == 1:
                continue
            terms, const = coordinates[d]
            parts = {v: step // gcd(coefficient, step) for v, coefficient in terms if coefficient % step}
            outer, inner = [v for v in parts if v < c.n_out], [v for v in parts if v >= c.n_out]
            if len(inner) > 1:
                raise NotImplementedError(f"contraction: {len(inner)} indices of the sum move one spread coordinate")
            for fixed in product(*(range(parts[v]) for v in outer)):
                remainders = dict(zip(outer, fixed, strict=True))
                hits = [r for r in product(*(range(parts[v]) for v in inner)) if not
                        (const + sum(q * {**remainders, **dict(zip(inner, r, strict=True))}.get(v, 0)
                                     for v, q in terms)) % step]
                if hits:
                    remainders.update(zip(inner, hits[0], strict=True))
                one = _phase(c, a, b, written, parts, remainders, x is a, d, step)
                if not hits:  # nothing falls on an element: an empty sum
                    one = (one[0]._replace(sizes=(*one[0].sizes, 0)), *one[1:])
                yield from phases(*one)
            return
    yield c, a, b, written


def _phase(c: Contraction, a: Operand, b: Operand, written: list[Operand], parts, remainders, of_a: bool, d: int, step):
    """Every index v in ``remainders`` becomes ``parts[v]·v + remainders[v]``; operand a's (or b's) d-th coordinate is
    then counted in elements."""
    def rewritten(coordinates, mine: bool):
        out = []
        for at, (terms, const) in enumerate(coordinates):
            const += sum(q * remainders.get(v, 0) for v, q in terms)
            unit = step if mine and at == d else 1
            terms = tuple((v, q * (parts[v] if v in remainders else 1) // unit) for v, q in terms
                          if v not in parts or v in remainders)
            out.append(Affine(terms, const // unit))
        return tuple(out)

    def plain(x: Operand) -> Operand:
        return x._replace(spread=(*x.spread[:d], 1, *x.spread[d + 1:]))

    sizes = tuple(max(0, -((remainders[v] - n) // parts[v])) if v in remainders else n for v, n in enumerate(c.sizes))
    written = [x._replace(
        strides=tuple(s * parts[v] if v in remainders else s for v, s in enumerate(x.strides)),
        offset=x.offset + sum(s * remainders[v] for v, s in enumerate(x.strides) if v in remainders)) for x in written]
    return (Contraction(sizes, c.n_out, rewritten(c.a, of_a), rewritten(c.b, not of_a)), plain(a) if of_a else a,
            b if of_a else plain(b), written)
