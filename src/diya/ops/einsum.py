"""``einsum``: index notation, as a chain of contractions in a greedy order."""

from __future__ import annotations

import string

from ..graph import Affine, Contraction
from ..tensor import Tensor
from .contraction import contract
from .record import operator, result_type


def _parse(equation: str, operands: list[Tensor]) -> tuple[list[list[str]], list[str]]:
    """Labels of every dimension of each operand, and of the output. Ellipsis dimensions get labels of their own."""
    equation = equation.replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise RuntimeError(f"einsum(): {'more' if len(terms) < len(operands) else 'fewer'} operands were provided than specified in "
                           f"the equation: {len(operands)} operands, {len(terms)} subscripts")
    widest = 0
    for term, x in zip(terms, operands, strict=True):
        named = term.replace("...", "", 1)
        for c in named:
            if c not in string.ascii_letters:
                raise RuntimeError(f"einsum(): invalid subscript given at index {term.index(c)} in the equation string, subscripts "
                                   f"must be in [a-zA-Z]")
        if "..." in term:
            widest = max(widest, x.dim() - len(named))
        if len(named) > x.dim() or "..." not in term and len(named) != x.dim():
            raise RuntimeError(f"einsum(): the number of subscripts in the equation ({len(named)}) does not match the number of "
                               f"dimensions ({x.dim()}) for operand {terms.index(term)} and no ellipsis was given")
    labels = []
    for term, x in zip(terms, operands, strict=True):
        head, dots, tail = term.partition("...")
        n = x.dim() - len(head) - len(tail) if dots else 0
        labels.append([*head, *[f".{k}" for k in range(widest - n, widest)], *tail])
    ellipsis = [f".{k}" for k in range(widest)]
    if arrow:
        head, dots, tail = right.partition("...")
        out = [*head, *(ellipsis if dots else []), *tail]
        for c in [*head, *tail]:
            if out.count(c) > 1:
                raise RuntimeError(f"einsum(): output subscript {c} appears more than once in the output")
            if not any(c in term for term in labels):
                raise RuntimeError(f"einsum(): output subscript {c} does not appear in the equation for any input operand")
    else:
        counts: dict[str, int] = {}
        for term in labels:
            for c in term:
                counts[c] = counts.get(c, 0) + 1
        out = ellipsis + sorted(c for c, n in counts.items() if n == 1 and not c.startswith("."))
    return labels, out


def _diagonals(x: Tensor, labels: list[str]) -> tuple[Tensor, list[str]]:
    """Repeated labels of one operand are its diagonal."""
    for c in dict.fromkeys(labels):
        while labels.count(c) > 1:
            i = labels.index(c)
            j = labels.index(c, i + 1)
            if x.shape[i] != x.shape[j]:
                raise RuntimeError(f"einsum(): subscript {c} is repeated for an operand but the sizes don't match, {x.shape[j]} != "
                                   f"{x.shape[i]}")
            x = x.diagonal(0, i, j)
            labels = [k for d, k in enumerate(labels) if d not in (i, j)] + [c]
    return x, labels


def _sum_out(x: Tensor, labels: list[str], keep: set[str]) -> tuple[Tensor, list[str]]:
    gone = [d for d, c in enumerate(labels) if c not in keep]
    if gone:
        x = x.sum(gone, dtype=x.dtype)
        labels = [c for c in labels if c in keep]
    return x, labels


def _pair(a: Tensor, la: list[str], b: Tensor, lb: list[str], keep: set[str]) -> tuple[Tensor, list[str]]:
    """Two operands to one: labels that nobody else needs are summed in the contraction."""
    a, la = _sum_out(a, la, keep | set(lb))
    b, lb = _sum_out(b, lb, keep | set(la))
    sizes: dict[str, int] = {}
    for x, labels in ((a, la), (b, lb)):
        for s, c in zip(x.shape, labels, strict=True):
            if s != 1 or c not in sizes:
                sizes[c] = s
    # A dimension of size 1 broadcasts: the contraction does not index it.
    gone_a = [d for d, c in enumerate(la) if a.shape[d] == 1 and sizes[c] != 1]
    gone_b = [d for d, c in enumerate(lb) if b.shape[d] == 1 and sizes[c] != 1]
    if gone_a:
        a, la = a.squeeze(gone_a), [c for d, c in enumerate(la) if d not in gone_a]
    if gone_b:
        b, lb = b.squeeze(gone_b), [c for d, c in enumerate(lb) if d not in gone_b]
    shared = [c for c in la if c in lb and c in keep]
    out = shared + [c for c in la if c not in lb and c in keep] + [c for c in lb if c not in la and c in keep]
    summed = [c for c in dict.fromkeys(la + lb) if c not in keep]
    variable = {c: k for k, c in enumerate(out + summed)}

    def at(labels: list[str]) -> tuple[Affine, ...]:
        return tuple(Affine(((variable[c], 1),)) for c in labels)
    spec = Contraction(tuple(sizes[c] for c in out + summed), len(out), at(la), at(lb))
    return contract(a, b, spec, "Bmm"), out


def _sublist(args) -> tuple[str, list[Tensor]]:
    """``einsum(x, [0, 1], y, [1, 2], [0, 2])`` as an equation."""
    def text(numbers) -> str:
        return "".join("..." if n is Ellipsis else string.ascii_letters[26 + n] if n < 26 else string.ascii_letters[n - 26]
                       for n in numbers)
    operands, terms = [], []
    i = 0
    while i + 1 < len(args):
        operands.append(args[i])
        terms.append(text(args[i + 1]))
        i += 2
    equation = ",".join(terms)
    return (equation + "->" + text(args[i]) if i < len(args) else equation), operands


@operator(method=False, out=False)
def einsum(*args):
    """Sums products of elements over the indices that an equation names (``einsum("bij,bjk->bik", a, b)``).

    More than two operands are contracted pair by pair, the pair with the smallest result first.
    """
    if isinstance(args[0], str):
        equation, operands = args[0], list(args[1]) if len(args) == 2 and isinstance(args[1], (list, tuple)) else list(args[1:])
    else:
        equation, operands = _sublist(args)
    if not operands:
        raise RuntimeError("einsum(): must provide at least one operand")
    labels, out = _parse(equation, operands)
    sizes: dict[str, int] = {}
    for x, term in zip(operands, labels, strict=True):
        for s, c in zip(x.shape, term, strict=True):
            if sizes.get(c, 1) != 1 and s not in (1, sizes[c]):
                raise RuntimeError(f"einsum(): subscript {c} has size {s} for operand {''.join(term)}, which does "
                                   f"not broadcast with previously seen size {sizes[c]}")
            sizes[c] = max(sizes.get(c, 1), s) if s else 0
    d = result_type(*operands) if len({x.dtype for x in operands}) > 1 else operands[0].dtype
    if any(x.dtype is not d for x in operands):
        raise RuntimeError(f"einsum(): expected all operands to have the same dtype, got {', '.join(str(x.dtype) for x in operands)}")
    work = [_diagonals(x, term) for x, term in zip(operands, labels, strict=True)]
    while len(work) > 1:
        best = None
        for i in range(len(work)):
            for j in range(i + 1, len(work)):
                others = set(out).union(*(w[1] for k, w in enumerate(work) if k not in (i, j)))
                both = set(work[i][1]) | set(work[j][1])
                size = 1
                for c in both & others:
                    size *= sizes[c]
                if best is None or size < best[0]:
                    best = (size, i, j, others)
        assert best is not None
        _, i, j, others = best
        merged = _pair(*work[i], *work[j], others)
        work = [w for k, w in enumerate(work) if k not in (i, j)] + [merged]
    x, term = _sum_out(*work[0], set(out))
    missing = [c for c in out if c not in term]  # dimensions of size 1 that broadcasting dropped
    x = x.reshape([*x.shape, *[1] * len(missing)]) if missing else x
    term = term + missing
    x = x.permute([term.index(c) for c in out])
    shape = [sizes[c] for c in out]
    return x.expand(shape) if list(x.shape) != shape else x
