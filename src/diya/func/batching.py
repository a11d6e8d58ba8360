"""Values with batch dimensions that the program does not see: what `vmap` does to the graph.

Under ``vmap`` a function runs once. The values that differ from one element of the batch to the next are `Batched` nodes:
their ``type`` is that of one element, which is what operators, the tape and the shapes that Python looks at go by, and
``physical`` is an ordinary node that holds all elements, a leading dimension for each level. `apply` records a primitive on
such values: it asks the rule of the primitive's kind for the one that does the same to every element. Since all operators
are made of primitives, the few rules here are all that batching needs, and they nest by having several levels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .. import engine, recording
from ..dtypes import int64
from ..graph import PRIMITIVES, Affine, Contraction, Node, Primitive, Signature, contiguous_strides, type_of

if TYPE_CHECKING:
    from .levels import Level

Levels = tuple  # of Level, in ascending depth


def union(*groups: Levels) -> Levels:
    """All levels of several groups."""
    groups = tuple([g for g in groups if g])
    if not groups or all(g is groups[0] or g == groups[0] for g in groups):
        return groups[0] if groups else ()
    return tuple(sorted({level for g in groups for level in g}, key=lambda level: level.depth))


class Batched(Node):
    """A value of every element of a batch; never pending itself. ``physical`` (a tuple of nodes where the primitive has
    several outputs) has the sizes of ``levels`` before the dimensions of ``type``."""

    __slots__ = ("levels", "physical")

    def __init__(self, signature, inputs: tuple[Node, ...], levels: Levels, physical):
        self.signature, self.type, self.value = signature, signature.type, None
        self.inputs = inputs if signature.op.name == "view" else ()  # a view of it may look through it
        self.levels, self.physical = levels, physical
        engine.batched.add(id(self))

    def __del__(self):
        engine.batched.discard(id(self))


def levels_of(node: Node) -> Levels:
    return node.levels if isinstance(node, Batched) else ()


def _physical(node: Node) -> Node:
    return node.physical if isinstance(node, Batched) else node


def sizes_of(levels: Levels) -> tuple[int, ...]:
    return tuple([level.size for level in levels])


def apply(op: Primitive, inputs: tuple[Node, ...], attrs) -> Node:
    """``op(*inputs)`` where some of the inputs are batched."""
    levels: Levels = ()
    alike, which, bit = True, 0, 1
    operands = []
    for x in inputs:
        if x.__class__ is Batched:
            own = x.levels  # type: ignore[attr-defined]
            if own is not levels and own != levels:
                alike = not levels
                levels = union(levels, own) if levels else own
            x = x.physical  # type: ignore[attr-defined]
            which |= bit
        operands.append(x)
        bit <<= 1
    if op.kind == "pick":
        return Batched(engine.signature(op, attrs, inputs), inputs, levels, operands[0][attrs])
    key = None
    if alike and len(set(operands)) == len(operands):
        key = (op, attrs, len(levels), which, *[x.type for x in operands])
        known = _applied.get(key)
        if known is not None:
            signature, does = known
            append = engine.append_known if not op.faults else _append
            return Batched(signature, inputs, levels, append(does, tuple(operands)))
    signature = engine.signature(op, attrs, inputs)
    rule = RULES.get(op.name) or RULES.get(op.kind) or _one_by_one
    physical = rule(op, attrs, inputs, levels, signature.type)
    if key is not None and isinstance(physical, Node) and list(physical.inputs) == operands and physical.value is None:
        if len(_applied) >= MAX_KNOWN:
            _applied.clear()
        _applied[key] = signature, physical.signature
    return Batched(signature, inputs, levels, physical)


def _append(signature: Signature, inputs: tuple[Node, ...]) -> Node:
    return engine.append(signature.op, inputs, signature.attrs)


# -- what is known already -----------------------------------------------------------------------------------------------
# Work on batched values records the same physical nodes every time that its operands have the same types and levels.


class Known(NamedTuple):
    """``results``: for each its signature and which levels it has, by number; None where it has none."""

    recording: recording.Recording
    results: tuple


MAX_KNOWN = 8192
_applied: dict[tuple, tuple] = {}  # primitives that become one node: their signature, and that node's
_known: dict[tuple, Known | bool] = recording.memory()  # False: met, but it depends on more


def _remember(key: tuple, known: Known | None) -> None:
    if len(_known) >= MAX_KNOWN:
        _known.clear()
    _known[key] = known or False


def _arranged(inputs) -> tuple[Levels, tuple, list[Node]]:
    """(the levels of the inputs, what else of them decides which physical nodes are recorded, the physical operands, each
    once)."""
    groups = [x.levels if x.__class__ is Batched else () for x in inputs]
    levels: Levels = ()
    for own in groups:
        if own and own is not levels:
            levels = union(levels, own) if levels else own
    count = len(levels)
    form: list = [level.size for level in levels]
    form += [len(own) if len(own) in (0, count) else tuple(map(levels.index, own)) for own in groups]
    operands = [x.physical if own else x for x, own in zip(inputs, groups, strict=True)]
    if len(operands) > 1 and len(set(operands)) != len(operands):
        form.append(tuple(map(operands.index, operands)))  # which of them are one
        operands = list(dict.fromkeys(operands))
    return levels, tuple(form), operands


def captured(key: tuple, inputs: list[Node], work: Callable[[], list[Node | None]]) -> list[Node | None]:
    """The results of ``work`` on the inputs, recorded again without running it where ``key`` (which says what else it depends
    on than the inputs' types and levels) is known."""
    levels, form, operands = _arranged(inputs)
    key = (*key, *form)
    known = _known.get(key)
    if isinstance(known, Known):
        made = iter(known.recording.replay(operands))
        return [None if r is None else next(made) if not r[1] else
                Batched(r[0], (), tuple([levels[i] for i in r[1]]), next(made)) for r in known.results]
    capture = recording.Capture([*operands, *[x for x in inputs if x.__class__ is Batched]])
    with capture:
        results = work()
    if known is None:
        found = None
        there = [r for r in results if r is not None]
        if all(set(levels_of(r)) <= set(levels) and not isinstance(_physical(r), tuple) for r in there):
            capture.inputs = operands
            made = capture.recording([_physical(r) for r in there])
            found = made and Known(made, tuple([None if r is None else (
                engine.leaf_signature(r.type), tuple(map(levels.index, levels_of(r)))) for r in results]))
        _remember(key, found)
    return results


def replay(known: recording.Recording, inputs: list[Node]) -> list[Node]:
    """A recording of work on single elements, recorded again on batches of them."""
    def work() -> list[Node | None]:
        made = inputs + known.constants
        for signature, operands, _ in known.steps:
            made.append(engine.append(signature.op, operands(made), signature.attrs))
        return [made[k] for k in known.results]
    return captured((known,), inputs, work)  # type: ignore[return-value]


def first_elements(nodes: list) -> list | None:
    """The values of the first element of every batch, to try something out on; None where a batch is empty."""
    if any(0 in sizes_of(levels_of(n)) for n in nodes if n is not None):
        return None
    return [_view(n.physical, n.type.shape, n.type.strides) if isinstance(n, Batched) else n for n in nodes]


# -- bringing operands together ----------------------------------------------------------------------------------------


def _view(node: Node, shape, strides, offset: int = 0) -> Node:
    """A view of a dense node, or the node itself where that is all of it."""
    shape, strides = tuple(shape), tuple(strides)
    if offset == 0 and shape == node.type.shape and all(
            s == 1 or a == b for s, a, b in zip(shape, strides, node.type.strides, strict=True)):
        return node
    return engine.append(PRIMITIVES["view"], (node,), (shape, strides, offset))


def _spread(x: Node, levels: Levels, shape: tuple[int, ...] | None = None) -> Node:
    """The operand with all of ``levels`` as leading dimensions, repeated along those that it does not have; ``shape``
    is what the dimensions of one element are broadcast to."""
    wanted = tuple(x.type.shape) if shape is None else tuple(shape)
    own = levels_of(x)
    physical = _physical(x)
    if own == levels and wanted == x.type.shape:
        return physical
    strides = physical.type.strides
    at = dict(zip(own, strides, strict=False))
    inner = [0] * (len(wanted) - len(x.type.shape))
    inner += [0 if s == 1 and w != 1 else st for s, st, w in
              zip(x.type.shape, strides[len(own):], wanted[len(inner):], strict=True)]
    return _view(physical, sizes_of(levels) + wanted, (*[at.get(level, 0) for level in levels], *inner))


def _lined_up(x: Node, levels: Levels, rank: int) -> Node:
    """The operand with sizes of 1 where it lacks a level or a dimension, so that operands broadcast as the elements do."""
    if not isinstance(x, Batched):
        return x
    own = x.levels
    if own == levels and len(x.type.shape) == rank:
        return x.physical
    shape = (*[level.size if level in own else 1 for level in levels], *[1] * (rank - len(x.type.shape)), *x.type.shape)
    return _view(x.physical, shape, contiguous_strides(shape))


def _position(levels: Levels, level: Level, rank: int) -> Node:
    """Every element's number along a level, as it broadcasts against operands of ``levels`` and a rank."""
    shape = [1] * (len(levels) + rank)
    shape[levels.index(level)] = level.size
    numbers = engine.append(PRIMITIVES["iota"], (), (level.size, int64))
    return _view(numbers, tuple(shape), contiguous_strides(shape))


# -- rules, by the name of a primitive or by its kind ----------------------------------------------------------------------
# rule(op, attrs, inputs, levels, type) gives the physical node for inputs that have ``levels`` together; ``type`` is that of
# one element's result.

RULES: dict[str, Callable] = {}


def _rule(*names: str) -> Callable:
    def decorate(function: Callable) -> Callable:
        RULES.update(dict.fromkeys(names, function))
        return function
    return decorate


@_rule("elementwise", "frexp")
def _elementwise(op, attrs, inputs, levels, type):
    rank = max(len(x.type.shape) for x in inputs)
    return _outputs(op, tuple([_lined_up(x, levels, rank) for x in inputs]), attrs)


@_rule("reduce")
def _reduce(op, attrs, inputs, levels, type):
    k = len(levels)
    moved = attrs + k if isinstance(attrs, int) else tuple([d + k for d in attrs])
    return engine.append(op, (inputs[0].physical,), moved)


def _window(view, levels: Levels, numel: int) -> tuple:
    """A view's attributes where ``numel`` elements make one element of the batch."""
    shape, strides, offset = view
    sizes = sizes_of(levels)
    return sizes + tuple(shape), tuple([st * numel for st in contiguous_strides(sizes)]) + tuple(strides), offset


@_rule("view")
def _view_rule(op, attrs, inputs, levels, type):
    x, = inputs
    if 0 in sizes_of(levels):
        return _nothing(levels, type)
    return _view(x.physical, *_window(attrs, levels, x.type.numel))


@_rule("bitcast")
def _bitcast(op, attrs, inputs, levels, type):
    return engine.append(op, (inputs[0].physical,), (sizes_of(levels) + tuple(attrs[0]), attrs[1]))


@_rule("write")
def _write(op, attrs, inputs, levels, type):
    x, v = inputs
    return engine.append(op, (_spread(x, levels), _spread(v, levels)), _window(attrs, levels, x.type.numel))


@_rule("fold")
def _fold(op, attrs, inputs, levels, type):
    return engine.append(op, (inputs[0].physical,), (sizes_of(levels) + tuple(attrs[0]),
                                                     _window(attrs[1], levels, math.prod(attrs[0]))))


@_rule("contract")
def _contract(op, spec, inputs, levels, type):
    k = len(levels)

    def coordinates(x: Node, own: tuple[Affine, ...]) -> tuple[Affine, ...]:
        batch = tuple([Affine(((levels.index(level), 1),)) for level in levels_of(x)])
        return batch + tuple([Affine(tuple([(v + k, c) for v, c in terms]), const) for terms, const in own])
    a, b = inputs
    moved = Contraction(sizes_of(levels) + tuple(spec.sizes), spec.n_out + k, coordinates(a, spec.a), coordinates(b, spec.b))
    operands = _physical(a), _physical(b)
    factors = [_factor(x, own, moved) for x, own in zip(operands, (moved.a, moved.b), strict=True)]
    if None not in factors and all(x.type.dtype is type.dtype for x in operands):
        return engine.append(PRIMITIVES["mul"], tuple(factors))  # type: ignore[arg-type]
    return engine.append(op, operands, moved)


def _factor(x: Node, own: tuple[Affine, ...], spec: Contraction) -> Node | None:
    """An operand as it lies along the dimensions of the result, where nothing is summed and nothing read outside: such a
    contraction (the gradient of one sample's weight) is a product of elements."""
    if math.prod(spec.sizes[spec.n_out:]) != 1:
        return None
    strides = [0] * len(spec.sizes)
    for (terms, const), size, stride in zip(own, x.type.shape, x.type.strides, strict=True):
        if const or len(terms) > 1 or any(c != 1 or spec.sizes[v] > size for v, c in terms):
            return None
        for v, _ in terms:
            strides[v] += stride
    return _view(x, spec.sizes[:spec.n_out], strides[:spec.n_out])


@_rule("index")
def _index(op, attrs, inputs, levels, type):
    x, *indices = inputs
    rank = max(len(i.type.shape) for i in indices)
    where = [_position(levels, level, rank) for level in levels_of(x)]
    return engine.append(op, (_physical(x), *where, *[_lined_up(i, levels, rank) for i in indices]), attrs)


@_rule("index_put")
def _index_put(op, attrs, inputs, levels, type):
    x, v, *indices = inputs
    rank = max(len(i.type.shape) for i in indices)
    where = [_position(levels, level, rank) for level in levels]
    return engine.append(op, (_spread(x, levels), _spread(v, levels), *where, *[_lined_up(i, levels, rank) for i in indices]),
                         attrs)


@_rule("gather")
def _gather(op, dim, inputs, levels, type):
    return engine.append(op, tuple([_spread(x, levels) for x in inputs]), dim + len(levels))


@_rule("scatter")
def _scatter(op, attrs, inputs, levels, type):
    x, index, src = inputs
    dim, reduce = attrs
    if src.type.shape:
        src = _spread(src, levels)
    elif isinstance(src, Batched):
        src = _spread(src, levels, index.type.shape)
    return engine.append(op, (_spread(x, levels), _spread(index, levels), src), (dim + len(levels), reduce))


@_rule("scan")
def _scan(op, dim, inputs, levels, type):
    x, = inputs
    return engine.append(op, (x.physical,), dim + len(levels)) if x.type.shape else x.physical


def _outputs(op, operands: tuple[Node, ...], attrs):
    """The primitive, or a node for each of its outputs."""
    made = engine.append(op, operands, attrs)
    if not isinstance(made.type, tuple):
        return made
    return tuple([engine.append(PRIMITIVES["pick"], (made,), i) for i in range(len(made.type))])


@_rule("linalg.lu_factor", "linalg.permutation", "linalg.cholesky_ex", "linalg.cholesky", "linalg.qr", "geqrf", "linalg.eigh",
       "linalg.eig", "linalg.svd", "linalg.ldl_factor", "linalg.ldl_solve", "linalg.solve_ex", "linalg.solve", "linalg.inv_ex",
       "linalg.inv", "linalg.solve_triangular", "linalg.det", "linalg.slogdet", "linalg.cofactor", "linalg.lstsq",
       "linalg.matrix_exp")
def _matrices(op, attrs, inputs, levels, type):
    """Algorithms on matrices take leading dimensions anyway."""
    lead = max(len(x.type.shape) for x in inputs)
    if any(len(x.type.shape) != lead for x in inputs):
        return _one_by_one(op, attrs, inputs, levels, type)
    return _outputs(op, tuple([_spread(x, levels) for x in inputs]), attrs)


@_rule("sorted", "order", "top", "kth", "mode", "cummax", "cummin", "fft.c2c", "fft.r2c", "fft.c2r")
def _along(op, attrs, inputs, levels, type):
    """Algorithms along dimensions, which are (or come first in) the attributes."""
    x, = inputs
    if not x.type.shape:
        return _one_by_one(op, attrs, inputs, levels, type)
    k = len(levels)
    where, *rest = attrs if isinstance(attrs, tuple) else (attrs,)
    moved = tuple([d + k for d in where]) if isinstance(where, tuple) else where + k
    return _outputs(op, (x.physical,), (moved, *rest) if isinstance(attrs, tuple) else moved)


@_rule("searchsorted")
def _search(op, attrs, inputs, levels, type):
    boundaries, values = inputs
    if isinstance(boundaries, Batched) or len(boundaries.type.shape) > 1:
        return _one_by_one(op, attrs, inputs, levels, type)
    return engine.append(op, (boundaries, values.physical), attrs)


def _nothing(levels: Levels, type) -> Node:
    return engine.append(PRIMITIVES["empty"], (), (sizes_of(levels) + tuple(type.shape), type.dtype))


def _one_by_one(op, attrs, inputs, levels, type):
    """Any primitive: applied to each element of the batch in turn."""
    types = type if isinstance(type, tuple) else (type,)
    sizes = sizes_of(levels)
    results = [_nothing(levels, t) for t in types]
    for place in itertools.product(*map(range, sizes)):
        at = dict(zip(levels, place, strict=True))
        operands = []
        for x in inputs:
            if isinstance(x, Batched):
                offset = sum(at[level] * st for level, st in zip(x.levels, x.physical.type.strides, strict=False))
                x = _view(x.physical, x.type.shape, x.type.strides, offset)
            operands.append(x)
        made = _outputs(op, tuple(operands), attrs)
        number = sum(p * st for p, st in zip(place, contiguous_strides(sizes), strict=True))
        for i, (t, value) in enumerate(zip(types, made if isinstance(made, tuple) else (made,), strict=True)):
            results[i] = engine.append(PRIMITIVES["write"], (results[i], value), (tuple(t.shape), t.strides, number * t.numel))
    return tuple(results) if isinstance(type, tuple) else results[0]


# -- in and out of a level -------------------------------------------------------------------------------------------------


def enter(node: Node, dim: int, level: Level) -> Node:
    """A value whose dimension ``dim`` is a level's batch, as the value of each of its elements."""
    own = levels_of(node)
    levels = union(own, (level,))
    physical = _physical(node)
    k, place = len(own), levels.index(level)
    order = [d for d in range(len(physical.type.shape)) if d != k + dim]
    order.insert(place, k + dim)
    shape, strides = physical.type.shape, physical.type.strides
    moved = _view(physical, tuple([shape[d] for d in order]), tuple([strides[d] for d in order]))
    type = type_of(tuple([s for d, s in enumerate(node.type.shape) if d != dim]), node.type.dtype)
    return Batched(engine.leaf_signature(type), (), levels, moved)


def leave(node: Node, dim: int, level: Level) -> Node:
    """The inverse of ``enter``; a value that does not depend on the level is repeated."""
    shape = list(node.type.shape)
    shape.insert(dim, level.size)
    own = levels_of(node)
    if level not in own:
        strides = list(node.type.strides)
        strides.insert(dim, 0)
        return engine.append(PRIMITIVES["view"], (node,), (tuple(shape), tuple(strides), 0))
    assert isinstance(node, Batched)
    place, k = own.index(level), len(own) - 1
    order = [d for d in range(len(node.physical.type.shape)) if d != place]
    order.insert(k + dim, place)
    sizes, strides = node.physical.type.shape, node.physical.type.strides
    moved = _view(node.physical, tuple([sizes[d] for d in order]), tuple([strides[d] for d in order]))
    rest = own[:place] + own[place + 1:]
    return Batched(engine.leaf_signature(type_of(tuple(shape), node.type.dtype)), (), rest, moved) if rest else moved


def check_write(old: Node, new: Node) -> Node:
    """``new``. Raises RuntimeError where what differs between elements is written to a tensor from outside of their level."""
    lacking = [level for level in levels_of(new) if level not in levels_of(old)]
    if lacking:
        made = engine.recorded_since(lacking[0].start)
        if made is None or not any(n is _physical(old) for n in made):
            raise RuntimeError("vmap: a tensor that is the same for the whole batch is written in place with values that differ "
                               "between its elements, which it cannot hold. Use the out-of-place form of the operator, or map over "
                               "that tensor too")
    return new


engine.apply_batched, engine.replay_batched, engine.check_batched_write = apply, replay, check_write
