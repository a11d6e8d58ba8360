"""Depthwise convolutions among the contractions, and their gradients: one filter to a plane (emit/depthwise.py).

Such a contraction has no rows: all indices of the output that are not shared belong to one operand, the image. Another
operand is the filter, of which every index of the sum meets a position of the output in a coordinate of the image (a
correlation); or it is the output's gradient, and every index of the output meets one of the sum (a weight's gradient).
"""

from __future__ import annotations

from functools import partial
from math import ceil, prod

from ..dtypes import float32, float64
from ..graph import Contraction
from .emit.contraction import Access, Tile
from .emit.depthwise import Planes, kernel
from .operands import Epilogue, Operand, Problem, Stream, classify, merge, steps_of, streams_of, walks

TAPS = 1024       # of a filter, at most
SHARED = 7        # of them above one another, whose factors are kept in registers
AT_ONCE = 8       # sums that hide the latency of one another
ROW_ELEMENTS = 1 << 14  # outputs of a task, about


def plan(c: Contraction, a: Operand, b: Operand, out: Operand, epilogue: Epilogue | None, vector_bytes: int,
         kept: frozenset | set = frozenset()) -> tuple[Problem, bool] | None:
    """As `contraction.plan`, for a depthwise convolution; None for any other contraction."""
    if a.dtype is not b.dtype or a.dtype not in (float32, float64) or 0 in c.sizes:
        return None
    z, own_a, own_b, k = ([v for v in g if c.sizes[v] > 1 or v in kept] for g in classify(c))
    if bool(own_a) == bool(own_b) or not k:
        return None
    swapped = bool(own_a)  # the image is b
    image, filter_, own = (a, b, own_a) if swapped else (b, a, own_b)
    coordinates, others = (c.a, c.b) if swapped else (c.b, c.a)
    windows = [{v for v, q in affine.terms if q} for affine in coordinates]

    def meets(vs: list[int], them: list[int]) -> bool:
        return all(any(v in w and w & set(them) for w in windows) for v in vs)

    slides, slid = meets(k, own), meets(own, k)
    if slides and slid:  # a single plane: the larger side is the plane
        slides = prod(c.sizes[v] for v in own) >= prod(c.sizes[v] for v in k)
    if not slides and not slid:
        return None
    plane, taps = (own, k) if slides else (k, own)
    sb, sa = streams_of(c, coordinates, image), streams_of(c, others, filter_)
    pad = (0,) * (len(c.sizes) - c.n_out)
    written = [Stream((*x.strides, *pad), x.offset) for x in (out, *(epilogue.inputs if epilogue else ()))]

    order = written[0] if slides else sa[0]
    plane.sort(key=lambda v: -abs(order.steps[v]))
    lane = plane[-1]
    inner = [v for v in taps if any({v, lane} <= w for w in windows)]
    outer = [v for v in taps if v not in inner]
    lanes = [s for s in sb[1:] if s.steps[lane]]
    rows = [s for s in sb[1:] if not s.steps[lane]]
    if (len(sa) > 1 or any(s.steps[v] for s in lanes for v in (*plane[:-1], *outer)) or any(s.steps[v] for s in rows for v in inner)
            or prod(c.sizes[v] for v in taps) > TAPS or sb[0].steps[lane] <= 0 or not slides and sa[0].steps[lane] != 1):
        return None
    step = sb[0].steps[lane]
    step = step if step <= 2 and all(s.steps[lane] == step for s in lanes) else 0

    checked = [sb[0], *rows, *lanes]
    shared = 0
    if slides and len(plane) > 1 and len(outer) == 1 and all(s.steps[plane[-2]] == s.steps[outer[0]] for s in (sb[0], *rows)):
        shared = c.sizes[outer[0]] if c.sizes[outer[0]] <= SHARED else 0
    if shared:  # a tile's rows are neighbours: all other indices of the plane are a batch's
        z, plane = z + plane[:-2], plane[-2:]
    axes, streams = {}, {}
    for g, vs in (("z", z), ("m", plane[:-1]), ("n", [lane]), ("k", outer), ("t", inner)):
        side = g in "mn"
        streams[g] = [*(sa if g == "z" or side != slides else []), *checked, *(written if g == "z" or side == slides else [])]
        axes[g] = merge([v for v in sorted(vs, key=lambda v: -abs(order.steps[v]))], c.sizes, streams[g], kept)
    size = {g: prod(n for n, _ in axes[g]) for g in axes}
    accumulator, width = a.dtype, vector_bytes // a.dtype.itemsize
    vectors = 1 if not slides or size["n"] <= width else 2
    tile = Tile(width, vectors, ((2 if shared else 1) * AT_ONCE // vectors if slides else 1,))
    across = min(size["t"], AT_ONCE)
    high = min(size["k"], max(1, 2 * AT_ONCE // across))
    access = [Access(x.dtype, "splat" if t and not s.steps[lane] else steps_of(axes["n"], len(checked) + t)) if slides
              else Access(x.dtype, "unit")
              for t, (x, s) in enumerate(zip((out, *(epilogue.inputs if epilogue else ())), written, strict=True))]
    form = Planes(tile, accumulator, tuple(len(axes[g]) for g in "zmnkt"), step, len(rows), len(lanes), tuple(access),  # pyright: ignore[reportArgumentType]
                  epilogue, None if slides else (high, across), shared)

    chunk = size["m"]
    if slides:
        parts = ceil(chunk / max(tile.height, ROW_ELEMENTS // size["n"]))
        chunk = ceil(ceil(chunk / parts) / tile.height) * tile.height
    moved = [q * (n - 1) for n, steps in axes["t"] for q in steps[streams["t"].index(sb[0]):][:1]]
    before, after = -sum(q for q in moved if q < 0), sum(q for q in moved if q > 0)
    span = (tile.width if slides else ceil(size["n"] / width) * width) * max(sb[0].steps[lane], 1)
    numbers = {"M": size["m"], "N": size["n"], "K": size["k"], "T": size["t"], "m.chunk": chunk,
               "m.tasks": ceil(size["m"] / chunk) if slides else ceil(size["k"] / high),
               "zeros": before + span + after + 2 * width, "zeros.first": before}
    at = 0
    masks = size["t"] * form.words * (vectors if slides else ceil(size["n"] / width))
    for name, nbytes in (
            *((g, (count + 2 * width) * 4 * len(form.streams(g)) if form.tabulated(g) else 0)
              for g, count in (("m", chunk), ("k", size["k"]), ("t", size["t"]))),
            ("weights", size["k"] * size["t"] * accumulator.itemsize), ("masks", masks * 4),
            ("zeros", (numbers["zeros"] + width) * accumulator.itemsize)):
        numbers[f"scratch.{name}"] = at
        at += (nbytes + 63) // 64 * 64
    numbers.update({f"b.{d}.size": s.size for d, s in enumerate((*rows, *lanes))})
    numbers.update(walks(form, streams, axes))
    tasks = size["z"] * numbers["m.tasks"]
    return Problem(form, numbers, tasks, at, prod(c.sizes) / (width * 2.0), partial(kernel, form)), swapped  # pyright: ignore[reportArgumentType]

