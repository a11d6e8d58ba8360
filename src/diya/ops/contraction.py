"""The contraction and what is made of it: matrix products, einsum's core, convolution.

A contraction sums products of two operands over some indices, each operand read at affine coordinates
(`diya.graph.Contraction`). Its gradients are contractions again, so that they, too, run on the one kernel.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .. import engine
from ..autograd.modes import modes
from ..autograd.tape import Rule, track
from ..graph import Affine, Contraction, Type, contiguous_strides, primitive, type_of
from ..tensor import Tensor, from_node

# -- the primitive -----------------------------------------------------------------------------------------------------


def _infer(spec: Contraction, a: Type, b: Type) -> Type:
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a.dtype} != {b.dtype}")
    if len(spec.a) != len(a.shape) or len(spec.b) != len(b.shape):
        raise RuntimeError(f"contraction of {a} and {b}: coordinates are given for {len(spec.a)} and {len(spec.b)} dimensions")
    return type_of(spec.sizes[:spec.n_out], a.dtype)


def _windows(x: np.ndarray, coords: tuple[Affine, ...], sizes) -> tuple[np.ndarray, list[int]]:
    """``x`` as a strided array with one dimension for each index variable that its coordinates use, zero outside."""
    pads = []
    for size, (terms, const) in zip(x.shape, coords, strict=True):
        low = const + sum(c * (sizes[v] - 1) for v, c in terms if c < 0)
        high = const + sum(c * (sizes[v] - 1) for v, c in terms if c > 0)
        pads.append((max(0, -low), max(0, high - size + 1)))
    if any(p != (0, 0) for p in pads):
        x = np.pad(x, pads)
    used = sorted({v for terms, _ in coords for v, _ in terms})
    strides = dict.fromkeys(used, 0)
    start = 0
    for st, (before, _), (terms, const) in zip(x.strides, pads, coords, strict=True):
        start += (const + before) * st
        for v, c in terms:
            strides[v] += c * st
    flat = x.reshape(-1)[start // x.itemsize:]
    return as_strided(flat, [sizes[v] for v in used], [strides[v] for v in used]), used


def _interpret(spec: Contraction, a, b):
    """Through BLAS: both operands as (batch, m|k, k|n) matrices over groups of index variables."""
    sizes, n_out = spec.sizes, spec.n_out
    out_shape = sizes[:n_out]
    if 0 in sizes:
        return np.zeros(out_shape, a.dtype)
    if a.dtype.kind == "b":
        return _interpret(spec, a.astype(np.int64), b.astype(np.int64)) != 0
    x, xv = _windows(np.asarray(a, order="C"), spec.a, sizes)
    y, yv = _windows(np.asarray(b, order="C"), spec.b, sizes)
    for v in [v for v in xv if v >= n_out and v not in yv]:  # summed over one operand alone
        x = x.sum(axis=xv.index(v))
        xv.remove(v)
    for v in [v for v in yv if v >= n_out and v not in xv]:
        y = y.sum(axis=yv.index(v))
        yv.remove(v)
    scale = math.prod(sizes[v] for v in range(n_out, len(sizes)) if v not in xv and v not in yv)
    batch = [v for v in range(n_out) if v in xv and v in yv]
    k = [v for v in range(n_out, len(sizes)) if v in xv and v in yv]
    m = [v for v in xv if v not in yv]
    n = [v for v in yv if v not in xv]

    def matrix(z, zv, order, shape):
        return z.transpose([zv.index(v) for v in order]).reshape(shape)

    def size(group):
        return math.prod(sizes[v] for v in group)
    p = matrix(x, xv, batch + m + k, (size(batch), size(m), size(k)))
    q = matrix(y, yv, batch + k + n, (size(batch), size(k), size(n)))
    r = np.matmul(p, q).reshape([sizes[v] for v in batch + m + n])
    made = batch + m + n
    r = r.transpose([made.index(v) for v in range(n_out) if v in made])
    if len(made) < n_out:  # an output index that neither operand has
        r = np.broadcast_to(r.reshape([sizes[v] if v in made else 1 for v in range(n_out)]), out_shape)
    return r * r.dtype.type(scale) if scale != 1 else r


CONTRACT = primitive("contract", "contract", _infer, interpret=_interpret)


# -- its gradient --------------------------------------------------------------------------------------------------------


def _operand_gradient(g: Tensor, other: Tensor, spec: Contraction, which: str, shape) -> Tensor:
    """The gradient of one operand: a contraction of ``g`` with the other one.

    A coordinate that is one plain index is kept as it is. A coordinate such as oh·s + kh·d − p is turned round: the
    gradient at h takes g at oh = (h + p − kh·d) / s, so g is spread out by s with zeros between and read at
    h + p − kh·d, which is affine again.
    """
    mine, theirs = (spec.a, spec.b) if which == "a" else (spec.b, spec.a)
    sizes, n_out = list(spec.sizes), spec.n_out
    new_sizes: list[int] = list(shape)                     # output variables: this operand's dimensions
    place: dict[int, Affine] = {}                          # old variable -> expression in new variables
    spread: dict[int, int] = {}                            # old output variable -> step of the zeros put into g
    taken: set[int] = set()
    rest: list[int] = []
    solved = []
    for d, (terms, const) in enumerate(mine):
        plain = [t for t in terms if t[0] not in taken]
        if not terms:
            solved.append(None)
            continue
        # Solve for an output variable if there is one (g has it), preferring the largest; else for a reduced one.
        candidates = [t for t in plain if t[0] < n_out] or plain
        if not candidates:
            raise NotImplementedError("contract: the gradient of an operand that reads one index in two dimensions")
        var, coeff = max(candidates, key=lambda t: (sizes[t[0]], abs(t[1])))
        taken.add(var)
        solved.append((var, coeff, d))
    keep = [v for v in range(len(sizes)) if v not in taken]
    for v in keep:
        rest.append(v)
        place[v] = Affine(((len(shape) + len(rest) - 1, 1),))
        new_sizes.append(sizes[v])
    guard: list[tuple[int, int]] = []
    for d, item in enumerate(solved):
        terms, const = mine[d]
        if item is None:
            continue
        var, coeff, _ = item
        # coeff·var = d_index − const − Σ others
        expression = {d: 1}
        constant = -const
        for v, c in terms:
            if v != var:
                inner = place[v]
                for nv, nc in inner.terms:
                    expression[nv] = expression.get(nv, 0) - c * nc
                constant -= c * inner.const
        if coeff < 0:
            expression = {v: -c for v, c in expression.items()}
            constant = -constant
        step = abs(coeff)
        if step != 1:
            spread[var] = step
        place[var] = Affine(tuple(sorted((v, c) for v, c in expression.items() if c)), constant)
        guard.append((var, step))

    def rewritten(coords, operand: Tensor, scaled: dict[int, int]):
        out = []
        for terms, const in coords:
            total: dict[int, int] = {}
            constant = const
            for v, c in terms:
                inner = place[v]
                if v in scaled and len(terms) > 1:
                    raise NotImplementedError("contract: this combination of strides has no affine gradient")
                for nv, nc in inner.terms:
                    total[nv] = total.get(nv, 0) + c * nc
                constant += c * inner.const
            out.append(Affine(tuple(sorted((v, c) for v, c in total.items() if c)), constant))
        return tuple(out)
    from .movement import fold
    g_coords = tuple(Affine(((v, 1),)) for v in range(n_out))
    if any(v in spread for v in range(n_out)):
        wide = [(sizes[v] - 1) * spread.get(v, 1) + 1 if sizes[v] else 0 for v in range(n_out)]
        dense = contiguous_strides(wide)
        g = fold(g, wide, (tuple(g.shape), tuple(dense[v] * spread.get(v, 1) for v in range(n_out)), 0))
    used_by_other = {v for terms, _ in theirs for v, _ in terms}
    if any(v in spread for v in used_by_other):
        from .movement import fold as spread_fold
        wide = []
        steps = []
        for d, (terms, const) in enumerate(theirs):
            step = spread.get(terms[0][0], 1) if len(terms) == 1 else 1
            if len(terms) > 1 and any(v in spread for v, _ in terms):
                raise NotImplementedError("contract: this combination of strides has no affine gradient")
            if step != 1 and (terms[0][1] != 1 or const):
                raise NotImplementedError("contract: this combination of strides has no affine gradient")
            wide.append((other.shape[d] - 1) * step + 1 if other.shape[d] else 0)
            steps.append(step)
        dense = contiguous_strides(wide)
        other = spread_fold(other, wide, (tuple(other.shape), tuple(st * k for st, k in zip(dense, steps, strict=True)), 0))
    # A solved variable must lie in its range: g (and the other operand) read as zero outside of theirs, which says so,
    # unless neither reads it.
    for var, _ in guard:
        if var >= n_out and var not in used_by_other:
            raise NotImplementedError("contract: an index that is summed over one operand alone has no affine gradient")
    n_new = len(shape)
    spec_new = Contraction(tuple(new_sizes), n_new, rewritten(g_coords, g, {}), rewritten(theirs, other, {}))
    return contract(g, other.conj() if other.dtype.kind == "c" else other, spec_new)


_RULE = Rule("Contract", ("a", "b"), dict(
    a=lambda g, b, spec, a_shape: _operand_gradient(g, b, spec, "a", a_shape),
    b=lambda g, a, spec, b_shape: _operand_gradient(g, a, spec, "b", b_shape)))


def contract(a: Tensor, b: Tensor, spec: Contraction, name: str = "") -> Tensor:
    """The contraction of two tensors, differentiable. See `diya.graph.Contraction`."""
    x, y = a._value(), b._value()
    out = from_node(engine.record(CONTRACT, (x, y), spec))
    if modes.grad and (a._rg or b._rg):
        track(_named(name), (out,), (a, b), (x, y), {"spec": spec, "a_shape": a.shape, "b_shape": b.shape})
    return out


_rules: dict[str, Rule] = {"": _RULE}


def _named(name: str) -> Rule:
    """The contraction's rule under the name that PyTorch gives a special case of it."""
    found = _rules.get(name)
    if found is None:
        found = _rules[name] = Rule(name, _RULE.inputs, _RULE.grad)
    return found
