"""A captured call: its guards, what it records, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, product
from typing import Any, NamedTuple

from .. import engine
from ..autograd import walk
from ..autograd.modes import modes, set_grad_enabled
from ..autograd.tape import SECOND_TIME, NodeBase, _sequence, edge_of
from ..engine import NotCapturable
from ..graph import Node, Type
from ..recording import Recording, cut
from ..storage import Storage
from ..tensor import Tensor, from_node
from .evaluator import Evaluator
from .outside import Input, Outside, strides_of

MAX_OUTPUTS = 3  # for which every choice of gradients that may be there is captured; of more, each alone and all


class Session:
    """While a function is captured: nothing runs, no value is known, and random numbers are drawn later."""

    def __init__(self):
        self.outside = Outside()
        self.draws: list[tuple[Callable, tuple, Node]] = []
        self.leaves: set[Node] = set()    # values in memory that were made inside
        self.touched: dict | None = None  # generators that a trial draw moved, and where they were

    def __enter__(self) -> Session:
        engine._lock.acquire()
        self.mark = engine.position()
        self.sealed, engine.sealed = engine.sealed, self.outside.sealed  # type: ignore[assignment]
        engine.capturing = engine.drawing = self
        return self

    def __exit__(self, *_) -> None:
        engine.capturing = engine.drawing = None
        engine.sealed = self.sealed
        engine.discard(self.mark, self.outside.sealed)
        engine._lock.release()

    def drawn(self, shape: tuple, draw: Callable[[tuple], Tensor]) -> Tensor:
        """Stands for random numbers that every later call draws."""
        self.touched = {}
        try:
            sample = draw(shape)
        finally:
            touched, self.touched = self.touched, None
            for generator, state in touched.items():
                generator.set_state_bytes(state)
        if sample._strides is not None:
            raise NotCapturable("draws random numbers with strides")
        node = self.outside.placeholder(sample._type)
        self.draws.append((draw, shape, node))
        return from_node(node)

    def draws_from(self, generator: Any) -> None:
        """A generator is about to move."""
        if self.touched is None:
            raise NotCapturable("draws random numbers that depend on values")
        if generator not in self.touched:
            self.touched[generator] = None  # asking for the state must not ask again
            self.touched[generator] = generator.get_state_bytes()


class Output(NamedTuple):
    """A returned tensor: which result is its memory, and how it lies there."""

    result: int
    type: Type
    strides: tuple[int, ...] | None
    offset: int
    differentiable: bool


class Region:
    """``run`` records the captured work on the tensors that the guards found."""

    met = 0  # how often it was found again

    guard: Callable
    grad: bool
    hidden: bool                                  # whether nobody asked for it: the tape must look as written
    forward: Recording
    draws: list[tuple[Callable, tuple]]
    outputs: list[Output]
    plain: bool                                   # whether each output is the whole of a memory of its own
    build: Callable[[list, tuple], Any]           # the returned value, from the tensors made and the inputs
    writes: list[tuple[int, int, int]]            # input, result, versions
    apart: bool                                   # whether nothing that is returned depends on what is written to
    backward: dict[tuple[bool, ...], tuple[Recording, list[int]]]  # by which gradients are there
    targets: list[int]                            # inputs that get a gradient
    saved: list[int]                              # results that backward needs
    kept: list[int]                               # inputs that backward needs
    shared: list[set[int]]                        # by output with a gradient: those whose backward needs the same saved values

    def run(self, nodes: list[Node], tensors: tuple, call: Callable) -> Any:
        """``call()`` is the same as it is written."""
        drawn = [draw(shape)._value() for draw, shape in self.draws]
        nodes += drawn
        made = self.forward.replay(nodes)
        versions = [(tensors[i]._storage, tensors[i]._storage.version) for i in self.kept]
        for i, k, changes in self.writes:
            storage = tensors[i]._storage
            storage.write(made[k])
            storage.version += changes - 1
        outs = [from_node(made[o.result]) for o in self.outputs] if self.plain else self._views(made)
        if self.backward:
            fn = CompiledBackward(self, [made[k] for k in self.saved], versions, tuple([edge_of(tensors[i]) for i in self.targets]),
                                  (call, tensors, drawn))
            nr = 0
            for t, o in zip(outs, self.outputs, strict=True):
                if o.differentiable:
                    t._rg, t._fn = True, fn
                    if nr:
                        t._nr = nr
                    nr += 1
        return self.build(outs, tensors)

    def _views(self, made: list[Node]) -> list[Tensor]:
        storages: dict[int, Storage] = {}
        outs = []
        for k, type, strides, offset, _ in self.outputs:
            t = object.__new__(Tensor)
            t._storage, t._type = storages.setdefault(k, Storage(made[k])), type
            if strides is not None:
                t._strides, t._offset = strides, offset
            outs.append(t)
        return outs


class CompiledBackward(NodeBase):
    """The backward of a region, on the tape. Where somebody asks for what the nodes of the tape would have been, or for more than
    was captured (the derivative of a gradient), the call is made again as it is written."""

    captured = True

    def __init__(self, region: Region, saved: list[Node], versions: list, edges: tuple, origin: tuple):
        self.region, self.versions, self.edges = region, versions, edges
        self.saved: list[Node] | None = saved
        self.origin: Any = origin
        self.outputs = sum(o.differentiable for o in region.outputs)
        self.sequence = next(_sequence)
        self.used: list[int] = []     # outputs whose gradients the last backward had
        self.spent: set[int] = set()  # outputs whose saved values are gone
        self.stands_for_others = region.hidden

    def name(self) -> str:
        return "CompiledFunctionBackward"

    def release(self) -> None:
        self.spent = self.spent.union(*[self.region.shared[k] for k in self.used or range(self.outputs)])
        if len(self.spent) == self.outputs:
            self.saved, self.versions, self.origin, self.written = None, [], None, None

    def work(self) -> Any:
        unchanged = all([storage.version == version for storage, version in self.versions])
        return self.region if unchanged and self.outputs == 1 and self.written is None else None

    def apply(self, grads: tuple) -> tuple:
        there = tuple([g is not None for g in grads])
        self.used = [k for k, g in enumerate(grads) if g is not None]
        if self.saved is None or not self.spent.isdisjoint(self.used):
            raise RuntimeError(SECOND_TIME)
        for storage, version in self.versions:
            if storage.version != version:
                raise RuntimeError(f"one of the variables needed for gradient computation has been modified by an inplace "
                                   f"operation: an input of a compiled function is at version {storage.version}; "
                                   f"expected version {version} instead")
        found = self.region.backward.get(there)
        if found is None:
            return self._apply_as_written(grads)
        recording, positions = found
        made = recording.replay([*self.saved, *[g._value() for g in grads if g is not None]])
        return tuple([None if p < 0 else from_node(made[p]) for p in positions])

    def _apply_as_written(self, grads: tuple) -> tuple:
        pairs = [(t, g) for t, g in zip(self._outputs_as_written(), grads, strict=True) if g is not None]
        results: list[Any] = [None] * len(self.edges)
        captures: dict = {}
        for i, e in enumerate(self.edges):
            captures.setdefault(e, [i])  # once, where several inputs have one place on the tape
        ends = frozenset([e[0] for e in self.edges])
        walk.run([edge_of(t) for t, _ in pairs], [g for _, g in pairs], False, True, captures, results, False, ends)  # type: ignore[misc]
        return tuple(results)

    def as_written(self, nr: int) -> tuple[NodeBase, int]:
        if self.saved is None:
            return self, nr
        return edge_of(self._outputs_as_written()[nr])  # type: ignore[return-value]

    def _outputs_as_written(self) -> list[Tensor]:
        if self.written is None:
            call, tensors, drawn = self.origin
            region = self.region
            if not region.apart:
                raise RuntimeError("torch.compile does not support double backward of a function that returns what it wrote to its "
                                   "arguments: call it without torch.compile where you pass create_graph=True")
            storages = [tensors[i]._storage for i, _, _ in region.writes]
            before = [(s, s.node, s.version) for s in storages]
            try:
                with set_grad_enabled(True), Redrawn(drawn):
                    result = call()
            finally:
                for storage, node, version in before:
                    storage.node, storage.version = node, version
            made: dict[int, Tensor] = {}
            _collect(result, tensors, made)
            self.written = [t for t, o in zip(made.values(), region.outputs, strict=True) if o.differentiable]
            for kept in ("tensor_hooks", "retained"):
                for nr, hooks in (getattr(self, kept) or {}).items():
                    fn, own = edge_of(self.written[nr])  # type: ignore[misc]
                    setattr(fn, kept, {**(getattr(fn, kept) or {}), own: hooks})
                setattr(self, kept, None)
        return self.written


def _collect(value: Any, inputs: tuple, made: dict[int, Tensor]) -> None:
    """The tensors of a returned value in the order of `_spelled`."""
    if isinstance(value, Tensor):
        if not any(value is x for x in inputs):
            made.setdefault(id(value), value)
    elif isinstance(value, (tuple, list, dict)):
        for x in value.values() if isinstance(value, dict) else value:
            _collect(x, inputs, made)


class Redrawn:
    """While a call is made again: random numbers are those that were drawn, and nothing else is captured."""

    capturing = 0  # how many are on

    def __init__(self, drawn: list[Node]):
        self.drawn_before = iter(drawn)

    def __enter__(self) -> None:
        engine._lock.acquire()
        Redrawn.capturing += 1
        self.outer, engine.drawing = engine.drawing, self

    def __exit__(self, *_) -> None:
        engine.drawing = self.outer
        Redrawn.capturing -= 1
        engine._lock.release()

    def drawn(self, shape: tuple, draw: Callable) -> Tensor:
        return from_node(next(self.drawn_before))


def capture(function: Any, args: tuple, kwargs: dict, hidden: bool = False) -> Region:
    """Evaluates one call. Raises NotCapturable, and whatever the function raises; nothing outside has changed then."""
    with Session() as session:
        outside = session.outside
        evaluator = Evaluator(outside)
        outside.check(f"len(args) == {len(args)}")
        outside.check(f"tuple(kwargs) == {outside.constant(tuple(kwargs))}")
        values = tuple([outside.load(f"args[{i}]", x, False) for i, x in enumerate(args)])
        named = {k: outside.load(f"kwargs[{k!r}]", x, False) for k, x in kwargs.items()}
        grad = modes.grad
        try:
            evaluator.outside.load(outside.constant(function), function, True)
            result = evaluator.call(function, values, named)
            if modes.grad is not grad:
                raise NotCapturable("leaves gradients switched on or off")
        finally:
            modes.grad = grad
        return _region(session, result, hidden)


def _region(session: Session, result: Any, hidden: bool) -> Region:
    outside = session.outside
    region = Region()
    region.hidden = hidden
    region.grad = modes.grad
    made: dict[int, Tensor] = {}   # by id, in order
    text = _spelled(result, outside, made, set())
    for x in outside.inputs:
        s = x.stand_in
        if s._rg is not x.layout.requires_grad or s._fn is not None or s._grad is not None or s._type is not x.tensor._type:
            raise NotCapturable("changes what autograd knows of a tensor from outside")
        if strides_of(s) != x.layout.strides or s._offset:
            raise NotCapturable("changes how a tensor from outside lies in memory")
    storages: dict[int, Any] = {}
    for t in made.values():
        storage = t._storage
        if storage.exports is not None or any(storage is x.stand_in._storage for x in outside.inputs) or \
                t._rg and storages.get(id(storage)) is not None:
            raise NotCapturable("returns a view of a tensor that others see")
        storages[id(storage)] = storage
        if t._rg and not region.grad:
            raise NotCapturable("returns a tensor with a gradient from under no_grad")
        if type(t) is not Tensor or t._hooks or t._retains:
            raise NotCapturable("returns a tensor of another class, or with hooks")
    written = [(i, x) for i, x in enumerate(outside.inputs) if x.stand_in._storage.version]
    for _, x in written:
        if not x.regular or x.tensor._storage.exports is not None or \
                x.stand_in._storage.node.type.nbytes != x.node.type.nbytes:
            raise NotCapturable("writes to a view of a tensor from outside, or to memory that numpy sees")
        outside.whole(x)
    if written:
        _distinct(outside)

    roots = [t for t in made.values() if t._rg]
    backwards, needed = _backwards(session, roots, outside.inputs) if roots else ({}, [])
    region.shared = _sharing(roots)
    forward_results = [x.node for x in storages.values()] + [x.stand_in._storage.node for _, x in written]
    region.apart = not written or _is_apart(session, [x.node for x in storages.values()] + needed, [x.node for _, x in written])
    nodes = [x.node for x in outside.inputs] + [n for _, _, n in session.draws]
    given = {id(n): i for i, n in enumerate(nodes)}
    forward = cut(engine.recorded_since(session.mark), nodes, [*forward_results, *needed], session.leaves)
    if forward is None:
        raise NotCapturable("computes with values from elsewhere")
    region.forward = forward
    region.draws = [(draw, shape) for draw, shape, _ in session.draws]
    order = list(storages)
    region.outputs = [Output(order.index(id(t._storage)), t._type, t._strides, t._offset, t._rg) for t in made.values()]
    region.plain = len(order) == len(made) and all(t._strides is None and t._storage.node.type is t._type for t in made.values())
    region.writes = [(i, len(order) + k, x.stand_in._storage.version) for k, (i, x) in enumerate(written)]
    region.saved = [len(forward_results) + k for k in range(len(needed))]
    region.targets = [i for i, x in enumerate(outside.inputs) if x.layout.requires_grad] if roots else []
    region.kept = [given[id(n)] for n in needed if id(n) in given and given[id(n)] < len(outside.inputs)
                   and given[id(n)] not in [i for i, _ in written]]
    region.backward = backwards
    region.guard = outside.guard()
    region.build = _builder(text, outside)
    return region


def _is_apart(session: Session, results: list[Node], written: list[Node]) -> bool:
    """Whether results do not depend on some values from outside."""
    seen: set[Node] = set()
    stack = list(results)
    while stack:
        n = stack.pop()
        if n not in seen:
            seen.add(n)
            stack += n.inputs
    return seen.isdisjoint(written)


def _sharing(roots: list[Tensor]) -> list[set[int]]:
    """For each root, those whose backward needs values that its own lets go of."""
    reached = []
    for t in roots:
        seen: set[Any] = set()
        stack = [edge_of(t)]
        while stack:
            e = stack.pop()
            if e is not None and e[0] not in seen:
                seen.add(e[0])
                stack += e[0].edges
        reached.append({n for n in seen if n.saved or getattr(n, "saved_out", None) is not None})
    return [{j for j, other in enumerate(reached) if j == i or own & other} for i, own in enumerate(reached)]


def _distinct(outside: Outside) -> None:
    """What is written to must not be the memory of another input."""
    if len({id(x.tensor._storage) for x in outside.inputs}) != len(outside.inputs):
        raise NotCapturable("writes to memory that several inputs share")
    names = ", ".join(f"id({x.name}._storage)" for x in outside.inputs)
    outside.lines.append(f"if len({{{names}}}) != {len(outside.inputs)}: return")


def _backwards(session: Session, roots: list[Tensor], inputs: list[Input]) -> tuple[dict, list[Node]]:
    """For each choice of gradients that may be there: the work from what is saved and those gradients to each input's gradient
    (its position among the results, or -1). And what is saved."""
    wanted = [x.stand_in for x in inputs if x.layout.requires_grad]
    edges = [edge_of(t) for t in wanted]
    n = len(roots)
    choices = {(True,) * n} | {tuple(i == k for i in range(n)) for k in range(n)} if n > MAX_OUTPUTS else \
        {c for c in product((True, False), repeat=n) if any(c)}
    found, saved = {}, {}
    for choice in choices:
        mark = engine.position()
        chosen = [t for t, there in zip(roots, choice, strict=True) if there]
        grads = [session.outside.placeholder(t._type) for t in chosen]
        results: list[Any] = [None] * len(edges)
        captures: dict = {}
        for i, e in enumerate(edges):
            captures.setdefault(e, []).append(i)
        walk.run([(t._fn, t._nr) if t._fn is not None else edge_of(t) for t in chosen], [from_node(g) for g in grads],  # type: ignore[misc]
                 False, True, captures, results, False)
        ends = [None if r is None else r._value() for r in results]
        recorded = engine.recorded_since(mark)
        found[choice] = recorded, grads, ends
        inside = {id(x) for x in recorded} | {id(g) for g in grads}  # type: ignore[union-attr]
        for x in [y for r in recorded for y in r.inputs] + [e for e in ends if e is not None]:  # type: ignore[union-attr]
            if id(x) not in inside and x.value is None:
                saved.setdefault(id(x), x)
    needed = list(saved.values())
    out = {}
    for choice, (recorded, grads, ends) in found.items():
        places = count()
        positions = [-1 if e is None else next(places) for e in ends]
        recording = cut(recorded, [*needed, *grads], [e for e in ends if e is not None], session.leaves)
        if recording is None:
            raise NotCapturable("has a gradient that depends on values from elsewhere")
        out[choice] = recording, positions
    return out, needed


def _spelled(value: Any, outside: Outside, made: dict[int, Tensor], above: set[int]) -> str:
    """The returned value as an expression over ``outs`` and ``tensors``. ``above``: containers that were met before."""
    if isinstance(value, Tensor):
        source = outside.input_of(value)
        if source is not None:
            return f"tensors[{outside.inputs.index(source)}]"
        made.setdefault(id(value), value)
        return f"outs[{list(made).index(id(value))}]"
    kind = type(value)
    known = outside.name_of(value)
    if known:
        if known[1]:
            return outside.constant(value)
        raise NotCapturable(f"returns a {kind.__name__} from outside")
    if kind in (tuple, list, dict) or isinstance(value, tuple) and hasattr(kind, "_make"):
        if id(value) in above and kind in (list, dict):
            raise NotCapturable(f"returns a {kind.__name__} in two places")
        above.add(id(value))
        parts = [_spelled(x, outside, made, above) for x in (value.values() if isinstance(value, dict) else value)]
        if isinstance(value, dict):
            return "{" + ", ".join([f"{_key(k, outside)}: {x}" for k, x in zip(value, parts, strict=True)]) + "}"
        text = "".join([x + ", " for x in parts])
        return f"[{text}]" if kind is list else f"({text})" if kind is tuple else f"{outside.constant(kind)}._make(({text}))"
    from ..dtypes import dtype as DType
    from ..graph import Size
    if value is None or isinstance(value, (int, float, complex, str, bytes, DType, Size)):
        return outside.constant(value)
    raise NotCapturable(f"returns an object of class {kind.__name__}")


def _key(key: Any, outside: Outside) -> str:
    if isinstance(key, (Tensor, tuple)):
        raise NotCapturable(f"returns a dict with a {type(key).__name__} as a key")
    return outside.constant(key)


def _builder(text: str, outside: Outside) -> Callable:
    scope = dict(outside.scope)
    exec(compile(f"def build(outs, tensors): return {text}", "<result>", "exec"), scope)
    return scope["build"]

