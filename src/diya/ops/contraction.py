"""The contraction and what is made of it: matrix products, einsum's core, convolution.

A contraction sums products of two operands over some indices, each operand read at affine coordinates
(`diya.graph.Contraction`). Its gradients are contractions again, so that they, too, run on the one kernel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from .. import engine
from ..autograd.modes import modes, no_grad
from ..autograd.tape import Rule, track
from ..graph import Affine, Contraction, Type, contiguous_strides, primitive, type_of
from ..numerics.contract import contract as contract_arrays
from ..tensor import Tensor, from_node

# -- the primitive -----------------------------------------------------------------------------------------------------


def _infer(spec: Contraction, a: Type, b: Type) -> Type:
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a.dtype} != {b.dtype}")
    if len(spec.a) != len(a.shape) or len(spec.b) != len(b.shape):
        raise RuntimeError(f"contraction of {a} and {b}: coordinates are given for {len(spec.a)} and {len(spec.b)} dimensions")
    return type_of(spec.sizes[:spec.n_out], a.dtype)


CONTRACT = primitive("contract", "contract", _infer, interpret=contract_arrays)


# -- its gradient --------------------------------------------------------------------------------------------------------


class _Gradient(NamedTuple):
    """How the gradient of an operand is computed: steps of the zeros put between the elements of ``g`` and of the other
    operand, dimension by dimension (None where all are 1), and the contraction of the two."""

    g_steps: tuple[int, ...] | None
    other_steps: tuple[int, ...] | None
    spec: Contraction


def _solve(coords: tuple[Affine, ...], sizes, n_out: int) -> list[tuple[int, int] | None]:
    """For each coordinate of an operand, the index variable (and its coefficient) to express through the others: one that
    the output has, if there is one, since the gradient of the output is what will be read there."""
    taken: set[int] = set()
    solved: list[tuple[int, int] | None] = []
    for terms, _ in coords:
        free = [t for t in terms if t[0] not in taken]
        if terms and not free:
            raise NotImplementedError("contract: the gradient of an operand that reads one index in two dimensions")
        candidates = [t for t in free if t[0] < n_out] or free
        found = max(candidates, key=lambda t: (sizes[t[0]], abs(t[1]))) if candidates else None
        if found is not None:
            taken.add(found[0])
        solved.append(found)
    return solved


@lru_cache(4096)
def _plan_gradient(spec: Contraction, which: str, shape: tuple[int, ...]) -> _Gradient:
    """The gradient of one operand, of ``shape``, as a contraction of the output's gradient with the other operand.

    A coordinate that is one plain index stays. A coordinate such as oh·s + kh·d − p is turned round: the gradient at h
    takes g at oh = (h + p − kh·d) / s, so g is spread out by s with zeros between and read at h + p − kh·d, which is
    affine again. Reads outside of g are zero, which keeps oh in its range.
    """
    mine, theirs = (spec.a, spec.b) if which == "a" else (spec.b, spec.a)
    sizes, n_out = spec.sizes, spec.n_out
    solved = _solve(mine, sizes, n_out)
    taken = {item[0] for item in solved if item is not None}
    others = [v for v in range(len(sizes)) if v not in taken]
    place = {v: Affine(((len(shape) + k, 1),)) for k, v in enumerate(others)}  # old variable -> in the new variables
    spread: dict[int, int] = {}
    used = {v for terms, _ in theirs for v, _ in terms}
    for d, ((terms, const), item) in enumerate(zip(mine, solved, strict=True)):
        if item is None:
            continue
        var, coeff = item  # coeff·var = index of this dimension − const − the other terms
        total = {d: 1}
        constant = -const
        for v, c in terms:
            if v != var:
                for nv, nc in place[v].terms:
                    total[nv] = total.get(nv, 0) - c * nc
                constant -= c * place[v].const
        sign = 1 if coeff > 0 else -1
        place[var] = Affine(tuple(sorted((v, sign * c) for v, c in total.items() if c)), sign * constant)
        if abs(coeff) != 1:
            spread[var] = abs(coeff)
        if var >= n_out and var not in used:
            raise NotImplementedError("contract: an index that is summed over one operand alone has no affine gradient")

    def rewritten(coords) -> tuple[Affine, ...]:
        out = []
        for terms, const in coords:
            if len(terms) > 1 and any(v in spread for v, _ in terms):
                raise NotImplementedError("contract: this combination of strides has no affine gradient")
            total: dict[int, int] = {}
            for v, c in terms:
                for nv, nc in place[v].terms:
                    total[nv] = total.get(nv, 0) + c * nc
                const += c * place[v].const
            out.append(Affine(tuple(sorted((v, c) for v, c in total.items() if c)), const))
        return tuple(out)

    def steps(coords) -> tuple[int, ...] | None:
        found = tuple(spread.get(terms[0][0], 1) if len(terms) == 1 else 1 for terms, _ in coords)
        if any(step != 1 and (terms[0][1] != 1 or const) for step, (terms, const) in zip(found, coords, strict=True)):
            raise NotImplementedError("contract: this combination of strides has no affine gradient")
        return found if any(step != 1 for step in found) else None
    output = tuple(Affine(((v, 1),)) for v in range(n_out))
    made = Contraction(tuple(shape) + tuple(sizes[v] for v in others), len(shape), rewritten(output), rewritten(theirs))
    return _Gradient(steps(output), steps(theirs), made)


def _spread(x: Tensor, steps: tuple[int, ...] | None) -> Tensor:
    """``x`` with ``step - 1`` zeros between its elements along each dimension."""
    if steps is None:
        return x
    from .movement import fold
    wide = [(s - 1) * k + 1 if s else 0 for s, k in zip(x.shape, steps, strict=True)]
    dense = contiguous_strides(wide)
    return fold(x, wide, (tuple(x.shape), tuple(st * k for st, k in zip(dense, steps, strict=True)), 0))


def operand_gradient(g: Tensor, other: Tensor, spec: Contraction, which: str, shape, name: str = "") -> Tensor:
    """The gradient of operand ``which``, of ``shape``, of a contraction. It is linear in both tensors, and its own gradients
    are the contraction and the other operand's gradient: neither meets the zeros that are put between elements here."""
    plan = _plan_gradient(spec, which, tuple(shape))

    def compute(x: Tensor, y: Tensor) -> Tensor:
        return contract(_spread(x, plan.g_steps), _spread(y.conj(), plan.other_steps), plan.spec)
    if not (modes.grad and (g._rg or other._rg)):
        return compute(g, other)
    nodes = g._value(), other._value()
    with no_grad():
        out = compute(*(from_node(n) for n in nodes))
    track(_named(name, _OPERAND_RULE), (out,), (g, other), nodes, {"spec": spec, "which": which, "other_shape": other.shape})
    return out


def _contract_as(which: str, mine: Tensor, other: Tensor, spec: Contraction) -> Tensor:
    return contract(mine, other, spec) if which == "a" else contract(other, mine, spec)


_OPERAND_RULE = Rule("ContractBackward", ("at", "other"), dict(
    at=lambda g, other, spec, which: _contract_as(which, g, other, spec),
    other=lambda g, at, spec, which, other_shape: operand_gradient(at, g, spec, "b" if which == "a" else "a", other_shape)))


_RULE = Rule("Contract", ("a", "b"), dict(
    a=lambda g, b, spec, a_shape: operand_gradient(g, b, spec, "a", a_shape),
    b=lambda g, a, spec, b_shape: operand_gradient(g, a, spec, "b", b_shape)))


def contract(a: Tensor, b: Tensor, spec: Contraction, name: str = "") -> Tensor:
    """The contraction of two tensors, differentiable. See `diya.graph.Contraction`."""
    if not (modes.grad and (a._rg or b._rg)) and not engine.position()[1]:  # running at once would run what is pending too
        first, second = (a, b) if a._type.nbytes >= b._type.nbytes else (b, a)
        x, volatile = first._borrow(), engine.volatile
        y = second._borrow()
        engine.volatile |= volatile  # the second's may have been recorded, and have ended it
        return from_node(engine.record(CONTRACT, (x, y) if first is a else (y, x), spec))
    x, y = a._value(), b._value()
    out = from_node(engine.record(CONTRACT, (x, y), spec))
    if modes.grad and (a._rg or b._rg):
        track(_named(name, _RULE), (out,), (a, b), (x, y), {"spec": spec, "a_shape": a.shape, "b_shape": b.shape})
    return out


_rules: dict[tuple[str, str], Rule] = {}


def _named(name: str, rule: Rule) -> Rule:
    """A rule under the name that PyTorch gives a special case of it."""
    if not name:
        return rule
    found = _rules.get((name, rule.name))
    if found is None:
        found = _rules[name, rule.name] = Rule(name, rule.inputs, rule.grad)
    return found
