"""A narrow operand of a long product is copied so that its depth is contiguous, as that of the other operand is.

A matrix of thousands of rows times eight columns is read once: what it takes is the time of reading it. In its rows' own
direction it is read as it lies, for dot products (see contraction.py); the columns have to lie in that direction, too. They
are few, so that copying them costs next to nothing, while packing the matrix would cost more than its products.
"""

from __future__ import annotations

from ..graph import Affine, Contraction
from .contraction import DOTTED, NARROW, WIDE
from .loops import Kernel, Launch, Map, Op, Phase
from .lower import Lowered
from .operands import Operand, classify
from .optimise import optimise


def straighten(lowered: Lowered, target, temporaries: list[int]) -> tuple[list[Launch], tuple]:
    """The launches that copy an operand, and what is left for `lower_contraction`."""
    assert lowered.contraction is not None
    c, a, b, out, epilogue, values = lowered.contraction
    z, m, n, k = classify(c)
    if z or [len(m), len(n), len(k)] != [1, 1, 1] or a.dtype is not b.dtype or c.sizes[k[0]] < DOTTED:
        return [], lowered.contraction
    for at, narrow, wide, mine, others in ((0, a, b, m[0], n[0]), (1, b, a, n[0], m[0])):
        along, across = _strides(c, at, narrow, k[0], mine), _strides(c, 1 - at, wide, k[0], others)
        if not along or not across or c.sizes[mine] > NARROW or c.sizes[others] < WIDE or across[0] != 1 or along[0] == 1:
            continue
        d, depth, columns, copy = narrow.dtype, c.sizes[k[0]], c.sizes[mine], temporaries[0]
        temporaries[0] += 1
        kernel = Kernel((columns, depth), 2, (d, d), (Phase((
            Op("load", d, (), (0, Map((along[1], along[0]), narrow.offset))), Op("store", d, (0,), (1, Map((depth, 1)), "set")))),))
        first, *rest = optimise(lowered._replace(kernel=kernel, values=(values[at], copy)), target, temporaries)
        made = narrow._replace(strides=tuple([1 if s == (k[0], 1) else depth for (s,), _ in (c.a, c.b)[at]]), offset=0)
        launches = [first._replace(temporaries=((copy, columns * depth * d.itemsize),)), *rest]
        a, b = (made, b) if at == 0 else (a, made)
        return launches, (c, a, b, out, epilogue, (*values[:at], copy, *values[at + 1:]))
    return [], lowered.contraction


def _strides(c: Contraction, at: int, x: Operand, *variables: int) -> list[int] | None:
    """An operand's strides along variables that are its coordinates; None if they are not."""
    coordinates = (c.a, c.b)[at]
    found = [x.strides[coordinates.index(Affine(((v, 1),)))] for v in variables if Affine(((v, 1),)) in coordinates]
    return found if len(found) == len(variables) == len(coordinates) and not any(s != 1 for s in x.spread) else None
