"""Index maps: how a value is read through views, broadcasts and indices, as strides over the domain of its reader.

A map over a domain is (strides, offset): the domain's index ``i`` reads ``flat[offset + Σ i·strides]`` of a dense
value. Reading an inline value through a map means reading its operands through maps that are composed here; where two
maps do not compose (an index would cross a dimension of what is between them), the value must be stored.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import views
from ..graph import Graph, broadcast_shapes, contiguous_strides


def code_of(graph: Graph) -> Any:
    """The instructions. (Their types are tuples only where an instruction has several results; none that gets here.)"""
    return graph.code


class Read(NamedTuple):
    """A stored value read at a map over a domain; ``strides`` is None where it is read at positions held in data."""

    value: int
    strides: tuple[int, ...] | None
    offset: int = 0


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


def operand_map(graph: Graph, i: int, j: int, shape, strides, offset):
    """The map through which operand ``j`` is read when ``i``, elementwise or a view over it, is read through a map."""
    n, x = code_of(graph)[i], code_of(graph)[j].type
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
    the data's element at ``Σ i·spread + Σ index·stride``. ``where``: for each of ``indices`` (size, stride, what is
    added to a negative one: the size where they wrap, else 0)."""

    shape: tuple[int, ...]
    spread: tuple[int, ...]
    where: tuple[tuple[int, int, int], ...]
    indices: tuple[int, ...]
    walked: tuple[int, ...]     # dimensions of shape along which the indices vary


def positions(graph: Graph, i: int) -> Positions:
    n = code_of(graph)[i]
    x = code_of(graph)[n.inputs[0]].type
    if n.op.name in ("gather", "scatter"):
        dim = n.attrs if n.op.name == "gather" else n.attrs[0]
        shape = code_of(graph)[n.inputs[1]].type.shape
        if not x.shape:
            return Positions(shape, (0,) * len(shape), ((1, 0, 0),), n.inputs[1:2], (dim,) if shape else ())
        spread = tuple([0 if d == dim else st for d, st in enumerate(x.strides)])
        return Positions(shape, spread, ((x.shape[dim], x.strides[dim], 0),), n.inputs[1:2], (dim,))
    indices = n.inputs[1:] if n.op.name == "index" else n.inputs[2:]
    k = len(indices)
    head = broadcast_shapes(*[code_of(graph)[j].type.shape for j in indices])
    return Positions(head + tuple(x.shape[k:]), (0,) * len(head) + tuple(x.strides[k:]),
                     tuple(zip(x.shape[:k], x.strides[:k], x.shape[:k], strict=True)), indices, tuple(range(len(head))))


def position_map(at: Positions, i: int, shape, strides, offset):
    """What of an element's position does not come from data, as a map over a domain."""
    found = views.compose(at.shape, at.spread, 0, shape, strides, offset)
    if found is None:
        raise Uncomposable(i)
    return found


def broadcast_map(graph: Graph, i: int, whole, j: int, shape, strides, offset, rest: int = 0):
    """The map through which ``j``, broadcast to ``whole`` without its last ``rest`` dimensions, is read."""
    x = code_of(graph)[j].type
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
    rest = len(at.shape) - len(at.walked) if code_of(graph)[i].op.name in ("index", "index_put") else 0
    return broadcast_map(graph, i, at.shape, j, shape, strides, offset, rest)


def viewed(graph: Graph, alias, roots, j: int):
    """An operand of a contraction as a strided view of a stored value: (value, strides, offset), looking through views
    down to the first value among ``roots``, or that is no view."""
    t = code_of(graph)[j].type
    strides, offset = t.strides, 0
    a = alias[j]
    while code_of(graph)[a].op.name == "view" and a not in roots:
        n = code_of(graph)[a]
        shape, inner, start = n.attrs
        found = views.compose(shape, inner, start, t.shape, strides, offset)
        if found is None:
            break
        strides, offset = found
        a = alias[n.inputs[0]]
    return a, strides, offset


def spread(graph: Graph, alias, i: int, which: int):
    """An operand of contraction ``i`` that is a value with zeros between its elements (a ``fold``): the value, and how
    far apart they are in each dimension. None if it is anything else, or if the contraction cannot be split up into
    ones that leave the zeros out: that takes a coordinate that one index of the sum moves, at most."""
    c, j = code_of(graph)[i].attrs, code_of(graph)[i].inputs[which]
    n = code_of(graph)[alias[j]]
    if n.op.kind != "fold" or n.type.shape != code_of(graph)[j].type.shape:
        return None
    shape, (inner, strides, offset) = n.attrs
    if offset or len(inner) != len(shape) or inner != code_of(graph)[n.inputs[0]].type.shape:
        return None
    steps = [1 if size == 1 else stride // whole for size, stride, whole in
             zip(inner, strides, contiguous_strides(shape), strict=True)]
    for size, k, whole, stride, dense in zip(inner, steps, shape, strides, contiguous_strides(shape), strict=True):
        if k < 1 or not size or (size - 1) * k + 1 != whole or size > 1 and stride != k * dense:
            return None
    for (terms, _), k in zip(c[2 + which], steps, strict=True):
        if sum(v >= c.n_out and q % k != 0 for v, q in terms) > 1:
            return None
    return n.inputs[0], tuple(steps)


def contracted(graph: Graph, alias, roots, i: int):
    """The operands of a contraction: for each the stored value that holds it, its shape, strides and offset there, and
    how far apart the contraction sees its elements (see `spread`)."""
    for which, j in enumerate(code_of(graph)[i].inputs):
        j, steps = spread(graph, alias, i, which) or (j, ())
        yield *viewed(graph, alias, roots, j), tuple(code_of(graph)[j].type.shape), steps


PUTS = ("index_put", "scatter")


def value_of_put(n) -> int:
    """What an ``index_put`` or ``scatter`` writes."""
    return n.inputs[1] if n.op.name == "index_put" else n.inputs[2]
