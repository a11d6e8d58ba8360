"""Contractions through BLAS: sums of products over index variables as matrix products of strided views.

Each operand is a strided array with one dimension for each index variable that it reads. Variables fall into four groups:
those of the output in both operands (batch), in one of them (rows, columns), and those that are summed (depth). A matrix
that is no view in memory is copied, along its longest run, into a buffer that serves again for every matrix of its kind.
"""

from __future__ import annotations

from math import lcm, prod
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..graph import Affine, Contraction
from ..runtime.arrays import empty

MAX_COPY = 1 << 21     # elements of a copied matrix; above, its leading variable becomes a loop
MIN_PRODUCT = 1 << 17  # multiplications of a matrix product that is worth a turn of a loop in Python
MIN_PART = 1 << 20     # multiplications of one that is worth adding to others


class _Operand(NamedTuple):
    """A strided array and the index variable of each of its dimensions."""

    array: np.ndarray
    variables: tuple[int, ...]

    def at(self, fixed: dict[int, int]) -> _Operand:
        """The part of it where some variables have given values."""
        if not any(v in fixed for v in self.variables):
            return self
        return _Operand(self.array[tuple([fixed.get(v, slice(None)) for v in self.variables])],
                        tuple([v for v in self.variables if v not in fixed]))

    def size(self, v: int) -> int:
        return self.array.shape[self.variables.index(v)]


def contract(spec: Contraction, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The value of a contraction (see `diya.graph`)."""
    sizes, n_out = spec.sizes, spec.n_out
    if a.dtype.kind == "b":
        return contract(spec, a.astype(np.int64), b.astype(np.int64)) != 0
    if 0 in sizes:
        return np.zeros(sizes[:n_out], a.dtype)
    x = _windows(np.asarray(a, order="C"), spec.a, sizes)
    y = _windows(np.asarray(b, order="C"), spec.b, sizes)
    mine, other = set(x.variables), set(y.variables)
    scale = prod(sizes[v] for v in range(n_out, len(sizes)) if v not in mine and v not in other)
    x, y = _sum_alone(x, other, n_out), _sum_alone(y, mine, n_out)
    depth = tuple([v for v in x.variables if v >= n_out])
    given = [v for v in range(n_out) if v in mine or v in other]
    out = _products(x, y, given, depth, sizes)
    if scale != 1:
        out *= out.dtype.type(scale)
    if len(given) < n_out:  # an output index that neither operand has
        out = np.broadcast_to(out.reshape([sizes[v] if v in given else 1 for v in range(n_out)]), sizes[:n_out])
    return out


def contract_spread(attrs: tuple[Contraction, tuple[int, ...], tuple[int, ...]], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A contraction of operands that are to be read with zeros between their elements, every ``step``-th along a dimension
    being one: the sum over the remainders of the index variables for which there are elements at all."""
    spec, *steps = attrs
    n_out = spec.n_out
    split: dict[int, int] = {}
    for coordinates, each in zip((spec.a, spec.b), steps, strict=True):
        for (terms, _), step in zip(coordinates, each, strict=True):
            for v, c in terms:
                if c % step:
                    split[v] = lcm(split.get(v, 1), step)
    out = empty(spec.sizes[:n_out], a.dtype)
    out.fill(0)
    for remainders in np.ndindex(*split.values()):
        part = _part(spec, steps, split, dict(zip(split, remainders, strict=True)))
        if part is not None:
            place = dict(zip(split, remainders, strict=True))
            out[tuple([slice(place.get(v, 0), None, split.get(v, 1)) for v in range(n_out)])] += contract(part, a, b)
    return out


def _part(spec: Contraction, steps, split: dict[int, int], remainders: dict[int, int]) -> Contraction | None:
    """The contraction over the values of split variables with given remainders; None if it reads nothing but zeros."""
    sizes = [-(-(n - remainders.get(v, 0)) // split.get(v, 1)) for v, n in enumerate(spec.sizes)]
    if min(sizes, default=1) <= 0:
        return None
    made = []
    for coordinates, each in zip((spec.a, spec.b), steps, strict=True):
        found = []
        for (terms, const), step in zip(coordinates, each, strict=True):
            const += sum(c * remainders.get(v, 0) for v, c in terms)
            if const % step:
                return None
            found.append(Affine(tuple([(v, c * split.get(v, 1) // step) for v, c in terms]), const // step))
        made.append(tuple(found))
    return Contraction(tuple(sizes), spec.n_out, *made)


def _windows(x: np.ndarray, coordinates: tuple[Affine, ...], sizes) -> _Operand:
    """``x`` with one dimension for each index variable that its coordinates use; it reads as zero outside."""
    pads = []
    for size, (terms, const) in zip(x.shape, coordinates, strict=True):
        low = const + sum(c * (sizes[v] - 1) for v, c in terms if c < 0)
        high = const + sum(c * (sizes[v] - 1) for v, c in terms if c > 0)
        pads.append((max(0, -low), max(0, high - size + 1)))
    if any(p != (0, 0) for p in pads):
        padded = empty([before + size + after for size, (before, after) in zip(x.shape, pads, strict=True)], x.dtype)
        padded.fill(0)
        padded[tuple([slice(before, before + size) for size, (before, _) in zip(x.shape, pads, strict=True)])] = x
        x = padded
    used = sorted({v for terms, _ in coordinates for v, _ in terms})
    strides = dict.fromkeys(used, 0)
    start = 0
    for stride, (before, _), (terms, const) in zip(x.strides, pads, coordinates, strict=True):
        start += (const + before) * stride
        for v, c in terms:
            strides[v] += c * stride
    flat = x.reshape(-1)[start // x.itemsize:]
    return _Operand(as_strided(flat, [sizes[v] for v in used], [strides[v] for v in used]), tuple(used))


def _sum_alone(x: _Operand, others: set[int], n_out: int) -> _Operand:
    """The operand without the summed variables that the other one does not read."""
    alone = [v for v in x.variables if v >= n_out and v not in others]
    if not alone:
        return x
    return _Operand(x.array.sum(axis=tuple([x.variables.index(v) for v in alone]), dtype=x.array.dtype),
                    tuple([v for v in x.variables if v not in alone]))


def _products(x: _Operand, y: _Operand, order: list[int], depth: tuple[int, ...], sizes) -> np.ndarray:
    """The sum over ``depth`` with the remaining variables in ``order``.

    The last variables of the order that one operand has alone are the columns; those before them that the other one has
    alone are the rows; all before those are loops, so that every product is written where it belongs.
    """
    kind = {v: (v in x.variables) - (v in y.variables) for v in order}  # 1: of x alone, -1: of y alone, 0: of both
    last = len(order)
    while last and kind[order[last - 1]] and kind[order[last - 1]] == kind[order[-1]]:
        last -= 1
    columns = order[last:]
    first = last
    while first and columns and kind[order[first - 1]] == -kind[columns[0]]:
        first -= 1
    rows, loops = order[first:last], order[:first]
    if columns and kind[columns[0]] > 0:
        x, y = y, x
    left, right = _Matrices(rows, depth, sizes), _Matrices(depth, columns, sizes)
    shape = (left.shape[0], right.shape[1])
    if loops and prod(shape) * left.shape[1] < MIN_PRODUCT and (not columns or any(kind[v] for v in loops)):
        return _transposed(x, y, order, depth, sizes)
    out = empty([sizes[v] for v in order], x.array.dtype)
    p, q = left.stack(x, loops), right.stack(y, loops)
    if p is not None and q is not None:
        np.matmul(p, q, out=out.reshape([sizes[v] for v in loops] + [*shape]))
        return out
    outer, inner = _split(x, y, rows, columns, depth, sizes, loops)
    left, right = _Matrices(rows, inner, sizes), _Matrices(inner, columns, sizes)
    if (loops or outer) and prod(shape) * left.shape[1] < MIN_PRODUCT:
        return _transposed(x, y, order, depth, sizes)
    fixed: dict[int, int] = {}
    partial = None
    for place in np.ndindex(*[sizes[v] for v in loops]):
        target = out[(*place, ...)].reshape(shape)
        fixed.update(zip(loops, place, strict=True))
        for turn, part in enumerate(np.ndindex(*[sizes[v] for v in outer])):
            fixed.update(zip(outer, part, strict=True))
            p, q = left.of(x.at(fixed)), right.of(y.at(fixed))
            if not turn:
                np.matmul(p, q, out=target)
            else:
                partial = np.matmul(p, q, out=partial)
                target += partial
    return out


def _transposed(x: _Operand, y: _Operand, order: list[int], depth: tuple[int, ...], sizes) -> np.ndarray:
    """As `_products` where there would be too many loops: one batch of matrix products, brought into order at the end."""
    batch = [v for v in order if v in x.variables and v in y.variables]
    rows, columns = ([v for v in order if v in z.variables and v not in batch] for z in (x, y))

    def stack(z: _Operand, *groups) -> np.ndarray:
        axes = [z.variables.index(v) for group in groups for v in group]
        return z.array.transpose(axes).reshape([prod(sizes[v] for v in group) for group in groups])
    made = batch + rows + columns
    out = np.matmul(stack(x, batch, rows, depth), stack(y, batch, depth, columns)).reshape([sizes[v] for v in made])
    return out.transpose([made.index(v) for v in order])


def _split(x: _Operand, y: _Operand, rows, columns, depth, sizes, loops) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Depth as (variables that are looped over, variables of the matrices): the first is looped over if a matrix that must
    be copied would be large."""
    if len(depth) < 2 or prod(sizes[v] for v in (*rows, *columns, *depth[1:])) < MIN_PART:
        return (), depth
    for z, groups in ((x, (rows, depth)), (y, (depth, columns))):
        inside = z.at(dict.fromkeys(loops, 0))
        if inside.array.size > MAX_COPY and _Matrices(*groups, sizes).stack(inside, ()) is None:
            return depth[:1], depth[1:]
    return (), depth


class _Matrices:
    """Makes matrices of operands, all of the same layout."""

    def __init__(self, rows, columns, sizes):
        self.rows, self.columns = tuple(rows), tuple(columns)
        self.shape = prod(sizes[v] for v in rows), prod(sizes[v] for v in columns)
        self.buffer: np.ndarray | None = None
        self.known: tuple[_Operand | None, np.ndarray | None] = None, None

    def of(self, z: _Operand) -> np.ndarray:
        """The matrix, copied if need be."""
        if self.known[0] is not z or self.known[1] is None:
            made = self.stack(z, ())
            self.known = z, self.copied(z) if made is None else made
        assert self.known[1] is not None
        return self.known[1]

    def stack(self, z: _Operand, loops) -> np.ndarray | None:
        """The matrices for all values of some variables, where they lie; None if BLAS cannot read them there."""
        strides = dict(zip(z.variables, z.array.strides, strict=True))
        item, (height, width) = z.array.itemsize, self.shape
        down, across = self.step(z, self.rows), self.step(z, self.columns)
        if down is None or across is None:
            return None
        across = across if width > 1 else item if down != item or height == 1 else height * item
        down = down if height > 1 else width * item if across == item else item
        if not (across == item and down >= width * item or down == item and across >= height * item):
            return None
        outside = [z.size(v) if v in strides else 1 for v in loops]
        return as_strided(z.array, (*outside, height, width), (*[strides.get(v, 0) for v in loops], down, across))

    def step(self, z: _Operand, group) -> int | None:
        """The stride of variables as one dimension; None if they are none."""
        wide = [z.variables.index(v) for v in group if z.size(v) > 1]
        strides, shape = z.array.strides, z.array.shape
        if any(strides[d] != strides[e] * shape[e] for d, e in zip(wide, wide[1:], strict=False)):
            return None
        return strides[wide[-1]] if wide else 0

    def copied(self, z: _Operand) -> np.ndarray:
        """The matrix in a buffer, with the group outside whose last variable makes the shorter run."""
        turned = self.run(z, self.rows) > self.run(z, self.columns)
        order = self.columns + self.rows if turned else self.rows + self.columns
        if self.buffer is None:
            self.buffer = empty((self.shape[0] * self.shape[1],), z.array.dtype)
        source = z.array.transpose([z.variables.index(v) for v in order])
        np.copyto(self.buffer.reshape(source.shape), source)
        return self.buffer.reshape(self.shape[::-1]).T if turned else self.buffer.reshape(self.shape)

    def run(self, z: _Operand, group) -> int:
        """How many elements the last variable of a group has close to one another."""
        wide = [v for v in group if z.size(v) > 1]
        if not wide:
            return 1
        stride = abs(z.array.strides[z.variables.index(wide[-1])])
        return z.size(wide[-1]) if stride <= 4 * z.array.itemsize else 0
