"""Einstein summation: sums of products over named indices, two operands at a time, each pair one contraction."""

from __future__ import annotations

import math
from typing import Any

from ..dtypes import int64
from ..graph import Affine, Contraction
from ..tensor import Tensor
from .contraction import contract
from .record import operator

Labels = tuple[Any, ...]  # an index is a letter, a number, or ("…", k) for the k-th dimension from the right of an ellipsis


def _parse(equation: str, operands: list[Tensor]) -> tuple[list[Labels], Labels | None]:
    """The labels of each operand and, if the equation has an arrow, of the result."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise RuntimeError(f"einsum(): {'more' if len(terms) < len(operands) else 'fewer'} operands were provided than specified "
                           f"in the equation: {len(operands)} operands, {len(terms)} terms in {equation!r}")

    def labels(term: str, what: str) -> list:
        out: list = []
        k = 0
        while k < len(term):
            if term[k] == ".":
                if term[k:k + 3] != "..." or ... in out:
                    raise RuntimeError(f"einsum(): found '.' for {what} that is not part of any ellipsis" if ... not in out else
                                       f"einsum(): found multiple ellipses for {what}")
                out.append(...)
                k += 3
            elif term[k].isalpha():
                out.append(term[k])
                k += 1
            else:
                raise RuntimeError(f"einsum(): invalid subscript given at index {equation.find(term) + k} in the equation string "
                                   f"{equation!r}, subscripts must be in [a-zA-Z]")
        return out
    return ([labels(t, f"operand {i}") for i, t in enumerate(terms)],  # type: ignore[misc]
            labels(right, "the output") if arrow else None)


def _spread(labels: list, rank: int, what: str) -> Labels:
    """The ellipsis written out as the dimensions that it stands for."""
    n = rank - sum(x is not ... for x in labels)
    if n < 0 or (n and ... not in labels):
        raise RuntimeError(f"einsum(): the number of subscripts in the equation ({len(labels)}) "
                           f"{'does not match' if ... not in labels else 'is more than'} the number of dimensions ({rank}) for "
                           f"{what}" + ("" if ... in labels else " and no ellipsis was given"))
    out: list = []
    for x in labels:
        out += [("…", k) for k in range(n - 1, -1, -1)] if x is ... else [x]
    return tuple(out)


def _diagonal(x: Tensor, labels: Labels, what: str) -> tuple[Tensor, Labels]:
    """Dimensions of one label brought together."""
    labels_left = list(labels)
    for label in labels:
        while labels_left.count(label) > 1:
            i = labels_left.index(label)
            j = labels_left.index(label, i + 1)
            if x.shape[i] != x.shape[j]:
                raise RuntimeError(f"einsum(): subscript {label} is repeated for {what} but the sizes don't match, {x.shape[j]} != "
                                   f"{x.shape[i]}")
            x = x.diagonal(0, i, j)
            labels_left = [y for k, y in enumerate(labels_left) if k not in (i, j)] + [label]
    return x, tuple(labels_left)


def _sum_out(x: Tensor, labels: Labels, keep) -> tuple[Tensor, Labels]:
    gone = [d for d, label in enumerate(labels) if label not in keep]
    if not gone:
        return x, labels
    return x.sum(gone), tuple(label for label in labels if label in keep)


def _drop_ones(x: Tensor, labels: Labels, keep) -> tuple[Tensor, Labels]:
    """Without the dimensions of one element that nobody needs: of several operands they are not summed, so that integers keep
    their type."""
    gone = [d for d, label in enumerate(labels) if label not in keep and x.shape[d] == 1]
    return (x.squeeze(gone), tuple(label for d, label in enumerate(labels) if d not in gone)) if gone else (x, labels)


def _pair(a: Tensor, la: Labels, b: Tensor, lb: Labels, keep, order: Labels | None) -> tuple[Tensor, Labels]:
    """The product of two operands, summed over what nobody needs any more."""
    sizes: dict = {}
    for x, labels in ((a, la), (b, lb)):
        for n, label in zip(x.shape, labels, strict=True):
            sizes[label] = n if sizes.get(label, 1) == 1 else sizes[label]
    # a dimension of size 1 that meets a larger one is dropped: it broadcasts
    for which in (0, 1):
        x, labels = ((a, la), (b, lb))[which]
        ones = [d for d, label in enumerate(labels) if x.shape[d] == 1 and sizes[label] != 1]
        if ones:
            x = x.squeeze(ones)
            labels = tuple(label for d, label in enumerate(labels) if d not in ones)
        if which == 0:
            a, la = x, labels
        else:
            b, lb = x, labels
    a, la = _sum_out(*_drop_ones(a, la, {*keep, *lb}), {*keep, *lb})
    b, lb = _sum_out(*_drop_ones(b, lb, {*keep, *la}), {*keep, *la})
    if a.dtype is not b.dtype:  # small integers are summed in int64
        a, b = a.to(int64), b.to(int64)
    if order is None:
        shared = [label for label in la if label in lb and label in keep]
        order = (*shared, *[label for label in la if label in keep and label not in lb],
                 *[label for label in lb if label in keep and label not in la])
    out = tuple(label for label in order if label in la or label in lb)
    summed = [label for label in la if label in lb and label not in keep]
    variables = {label: i for i, label in enumerate((*out, *summed))}
    spec = Contraction(tuple(sizes[label] for label in variables), len(out),
                       tuple(Affine(((variables[label], 1),)) for label in la),
                       tuple(Affine(((variables[label], 1),)) for label in lb))
    return contract(a, b, spec, "Bmm"), out


def _greedy(labels: list[Labels], sizes: dict, out: Labels) -> list[tuple[int, int]]:
    """Which pairs to contract, in order: each time the one whose result is smallest compared with what it replaces."""
    left = [(i, set(x)) for i, x in enumerate(labels)]
    path = []
    number = len(left)

    def volume(names) -> int:
        return math.prod(sizes[n] for n in names)
    while len(left) > 1:
        best: tuple | None = None
        for p in range(len(left)):
            for q in range(p + 1, len(left)):
                a, b = left[p][1], left[q][1]
                needed = set(out).union(*(x for k, (_, x) in enumerate(left) if k not in (p, q)))
                result = (a | b) & needed
                cost = (volume(result) - volume(a) - volume(b), volume(a | b), p, q)
                if best is None or cost < best[0]:
                    best = (cost, result)
        assert best is not None
        (_, _, p, q), result = best
        path.append((left[p][0], left[q][0]))
        left = [x for k, x in enumerate(left) if k not in (p, q)] + [(number, result)]
        number += 1
    return path


@operator("einsum", method=False, out=False)
def einsum(*args):
    """``einsum("bij,bjk->bik", a, b)``, or with numbered indices ``einsum(a, [0, 1], b, [1, 2], [0, 2])``.

    Operands are contracted in pairs, the order of three or more chosen greedily by the size of the intermediate results.
    """
    if not args:
        raise TypeError("einsum() missing 1 required positional arguments: 'equation'")
    out: Any
    if isinstance(args[0], str):
        operands = list(args[1][:] if len(args) == 2 and isinstance(args[1], (tuple, list)) else args[1:])
        if not operands:
            raise RuntimeError("einsum(): must provide at least one operand")
        given, out = _parse(args[0], operands)
    else:
        operands = list(args[:-1:2] if len(args) % 2 else args[::2])
        given = [list(x) for x in (args[1:-1:2] if len(args) % 2 else args[1::2])]  # type: ignore[misc]
        out = list(args[-1]) if len(args) % 2 else None
    for i, x in enumerate(operands):
        if not isinstance(x, Tensor):
            raise TypeError(f"einsum(): operand {i} must be Tensor, not {type(x).__name__}")
    labels = [_spread(list(x), t.dim(), f"operand {i}") for i, (x, t) in enumerate(zip(given, operands, strict=True))]
    dots = max((sum(isinstance(y, tuple) for y in x) for x in labels), default=0)
    ellipsis = tuple(("…", k) for k in range(dots - 1, -1, -1))
    if out is None:
        counts = [y for x in labels for y in x if not isinstance(y, tuple)]
        out = (*ellipsis, *sorted(y for y in set(counts) if counts.count(y) == 1))
    else:
        out = tuple(z for y in out for z in (ellipsis if y is ... else (y,)))
    sizes: dict = {}
    for i, (x, names) in enumerate(zip(operands, labels, strict=True)):
        for n, name in zip(x.shape, names, strict=True):
            if sizes.get(name, 1) not in (1, n) and n != 1:
                raise RuntimeError(f"einsum(): subscript {name} has size {n} for operand {i} which does not broadcast with "
                                   f"previously seen size {sizes[name]}")
            sizes[name] = n if sizes.get(name, 1) == 1 else sizes[name]
    for y in out:
        if out.count(y) > 1:
            raise RuntimeError(f"einsum(): output subscript {y} appears more than once in the output")
        if y not in sizes:
            raise RuntimeError(f"einsum(): output subscript {y} does not appear in the equation for any input operand")
    return _run(operands, labels, sizes, out)


def _run(operands: list[Tensor], labels: list[Labels], sizes: dict, out: Labels) -> Tensor:
    from .record import result_type
    held: dict[int, tuple[Tensor, Labels]] = {}
    d = result_type(*operands)
    if all(name in out for names in labels for name in names):  # nothing is summed: products promote
        operands = [x.to(d) for x in operands]
    for i, (x, names) in enumerate(zip(operands, labels, strict=True)):
        if x.dtype is not d:
            raise RuntimeError(f"expected scalar type {d} but found {x.dtype}: einsum's operands must have one dtype where "
                               f"something is summed")
        x, names = _diagonal(x, names, f"operand {i}")
        elsewhere = set(out).union(*(other for k, other in enumerate(labels) if k != i))
        if len(operands) > 1:
            x, names = _drop_ones(x, names, elsewhere)
        held[i] = _sum_out(x, names, elsewhere)
    path = [(0, 1)] if len(held) == 2 else _greedy([held[i][1] for i in range(len(held))], sizes, out)
    number = len(held)
    for i, j in path:
        (a, la), (b, lb) = held.pop(i), held.pop(j)
        keep = set(out).union(*(names for _, names in held.values()))
        held[number] = _pair(a, la, b, lb, keep, out if not held else None)
        number += 1
    x, names = held.popitem()[1]
    return x if names == out else x.permute([names.index(y) for y in out])
