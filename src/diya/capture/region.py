"""A captured call: its guards, what it records, and what it returns."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from itertools import count, product
from threading import get_ident
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
from .direct import Direct
from .evaluator import Evaluator
from .objects import Inside
from .outside import Outside, strides_of
from .tape import Tape
from .training import Effects, Training

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
        self.thread, self.warn = get_ident(), warnings.warn
        engine.capturing = engine.drawing = self
        warnings.warn = Inside(self._warned)  # type: ignore[assignment]
        return self

    def _warned(self, *args, **kwargs) -> None:
        if engine.capturing is self and get_ident() == self.thread:  # somebody may have imported it meanwhile, and keep it
            raise NotCapturable("warns")
        self.warn(*args, **kwargs)

    def __exit__(self, *_) -> None:
        warnings.warn = self.warn
        engine.capturing = engine.drawing = None
        engine.sealed = self.sealed
        engine.discard(self.mark, self.outside.sealed)
        engine._lock.release()

    def checked_later(self, positions: Tensor, check: Callable) -> None:
        """Has later calls check positions that come from outside. Where that raises, they run as they are written."""
        for x in self.outside.inputs:
            if x.stand_in._storage is positions._storage and x.stand_in._type.numel == positions._type.numel:
                self.outside.lines.append(f"{self.outside.constant(check)}({x.name})")

    def drawn(self, shape: tuple, draw: Callable[[tuple], Tensor]) -> Tensor:
        """Stands for random numbers that every later call draws."""
        if get_ident() != self.thread:
            with engine._lock:  # until this is over
                return draw(shape)
        from ..random import default_generator
        self.touched = {}
        with default_generator._lock:  # no other thread draws before its state is back
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
        if get_ident() != self.thread:
            return
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
    version: int
    base: int  # the output that it is a view of, for autograd; -1: none


class Region:
    """``run`` records the captured work on the tensors that the guards found."""

    met = 0  # how often it was found again

    name: object                                  # stands for it in keys, which must not keep alive what it does

    guard: Callable
    grad: bool
    hidden: bool                                  # whether nobody asked for it: the tape must look as written
    forward: Recording
    draws: list[tuple[Callable, tuple]]
    outputs: list[Output]
    plain: bool                                   # whether each output is the whole of a memory of its own
    build: Callable[[list, tuple], Any]           # the returned value, from the tensors made and the inputs
    writes: list[tuple[int, int, int]]            # input, result, versions
    backward: dict[tuple[bool, ...], tuple[Recording, list[int]]]  # by which gradients are there
    targets: list[int]                            # inputs that get a gradient
    saved: list[int]                              # results that backward needs
    tape: Tape | None                             # between outputs and targets, as written; None inside of vmap: see `_made_again`
    kept: list[tuple[int, int]]                   # of which inputs (then outputs) backward needs what memory, at which version
    kept_outputs: list[tuple[int, int]]
    shared: list[set[int]]                        # by output with a gradient: those whose backward needs the same saved values
    effects: Effects | None                       # on gradients and optimizers
    direct: Direct | None = None                  # the program that it is, once it was one

    def run(self, nodes: list[Node], tensors: tuple, counts: tuple, call: Callable) -> Any:
        """``call()`` is the same as it is written; it returns None if the guards hold no more."""
        if self.draws:
            nodes += [draw(shape)._value() for draw, shape in self.draws]
        if self.effects is not None and self.effects.flushes:
            return self._step(nodes, tensors, counts, call)
        return self._happen(nodes, tensors, counts, self.forward.replay(nodes), call)

    def _step(self, nodes: list[Node], tensors: tuple, counts: tuple, call: Callable) -> Any:
        """A call that ends in a flush, as an optimizer's step does. What fails has had no effect, and is made again as it is
        written, to fail where it should."""
        with engine.InterruptsWait():  # what was written over must become what it is then
            made = self.direct and self.direct.run(nodes)
            if made:
                return self._happen(nodes, tensors, counts, made, call)
        if made is None:
            alone = not engine.position()[1]
            made = self.forward.replay(nodes)
            if alone and self.direct is None and engine.position()[1]:
                self.direct = Direct(made, nodes, [(i, k) for i, k, _ in self.writes])
            try:
                engine.flush()
            except BaseException:
                if not any([isinstance(n.value, BaseException) for n in made]):
                    raise
            else:
                return self._happen(nodes, tensors, counts, made, call)
        with Redrawn(nodes[len(nodes) - len(self.draws):]):
            return call()

    def _happen(self, nodes: list[Node], tensors: tuple, counts: tuple, made: list[Node], call: Callable) -> Any:
        """What the call does, now that its results are known; what it returns."""
        versions = [((s := tensors[i]._storage), s.version + version, s.hidden) for i, version in self.kept]
        for i, k, changes in self.writes:
            storage = tensors[i]._storage
            storage.write(made[k])
            storage.version += changes - 1
        outs = [from_node(made[o.result]) for o in self.outputs] if self.plain else self._views(made)
        if self.backward:
            versions += [(outs[i]._storage, version, 0) for i, version in self.kept_outputs]
            fn = CompiledBackward(self, nodes, [made[k] for k in self.saved], versions,
                                  tuple([edge_of(tensors[i]) for i in self.targets]))
            if self.tape is None:
                fn.origin = call, tensors, [t._storage.version for t in tensors]
            nr = 0
            for t, o in zip(outs, self.outputs, strict=True):
                if o.differentiable:
                    t._rg, t._fn = True, fn
                    if nr:
                        t._nr = nr
                    nr += 1
        if self.effects is not None:
            self.effects.happen(tensors, made, counts, outs)
        return self.build(outs, tensors)

    def _views(self, made: list[Node]) -> list[Tensor]:
        storages: dict[int, Storage] = {}
        outs = []
        for k, type, strides, offset, _, version, _ in self.outputs:
            t = object.__new__(Tensor)
            t._storage, t._type = storages.setdefault(k, Storage(made[k])), type
            t._storage.version = version
            if strides is not None:
                t._strides, t._offset = strides, offset
            outs.append(t)
        for t, o in zip(outs, self.outputs, strict=True):
            if o.base >= 0:
                t._base = outs[o.base]
        return outs


class CompiledBackward(NodeBase):
    """The backward of a region, on the tape. Where somebody asks for what the nodes of the tape would have been, or for more than
    was captured (the derivative of a gradient, or what memory that was written to since then held), that tape is made."""

    captured = True
    origin: Any = None  # of a region without a tape: how to make the call again, the inputs, and their versions

    def __init__(self, region: Region, inputs: list[Node], saved: list[Node], versions: list[tuple[Storage, int, int]],
                 edges: tuple):
        self.region, self.inputs, self.versions, self.edges = region, inputs, versions, edges
        self.saved: list[Node] | None = saved
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
            self.saved, self.versions, self.inputs, self.origin = None, [], [], None

    def changed(self) -> bool:
        """Whether somebody has written to what backward needs: then the nodes of the tape know which of them that is."""
        return any([storage.version != version for storage, version, _ in self.versions])

    def work(self) -> Any:
        return self.region.name if self.outputs == 1 and self.written is None and not self.changed() else None

    def apply(self, grads: tuple) -> tuple:
        there = tuple([g is not None for g in grads])
        self.used = [k for k, g in enumerate(grads) if g is not None]
        if self.saved is None or not self.spent.isdisjoint(self.used):
            raise RuntimeError(SECOND_TIME)
        found = self.region.backward.get(there)
        if found is None or self.changed():
            return self._apply_as_written(grads)
        recording, positions = found
        made = recording.replay([*self.saved, *[g._value() for g in grads if g is not None]])
        return tuple([None if p < 0 else from_node(made[p]) for p in positions])

    def _apply_as_written(self, grads: tuple) -> tuple:
        pairs = [(self.as_written(k), g) for k, g in enumerate(grads) if g is not None]
        results: list[Any] = [None] * len(self.edges)
        captures: dict = {}
        for i, e in enumerate(self.edges):
            captures.setdefault(e, [i])  # once, where several inputs have one place on the tape
        ends = frozenset([e[0] for e in self.edges])
        walk.run([e for e, _ in pairs], [g for _, g in pairs], False, True, captures, results, False, ends)
        return tuple(results)

    def as_written(self, nr: int) -> tuple[NodeBase, int]:
        if self.written is None:
            self.written = self._made_again()
            for kept in ("tensor_hooks", "retained"):
                for k, hooks in (getattr(self, kept) or {}).items():
                    fn, own = self.written[k]
                    setattr(fn, kept, {**(getattr(fn, kept) or {}), own: hooks})
                setattr(self, kept, None)
        return self.written[nr]

    def _made_again(self) -> list:
        region, tape = self.region, self.region.tape
        if tape is not None:
            values = [] if self.saved is None else \
                tape.recording.replay([*self.inputs, *[self.saved[k] for k in tape.given]])
            gone = set(tape.nodes) if self.saved is None else tape.reach(self.spent)
            return tape.again(values, self.versions, self.edges, self.sequence, gone)
        if self.origin is None:
            return [(self, k) for k in range(self.outputs)]
        call, tensors, versions = self.origin
        with set_grad_enabled(True), Redrawn(self.inputs[len(tensors):]):
            result = call() if versions == [t._storage.version for t in tensors] else None
        if result is None:
            raise RuntimeError("a grad_fn, or the derivative of a gradient, was asked for of a call of torch.func.vmap whose "
                               "inputs, or the objects that it read, have changed since: ask before they do")
        made: dict[int, Tensor] = {}
        _collect(result, tensors, made)
        return [edge_of(t) for t, o in zip(made.values(), region.outputs, strict=False) if o.differentiable]


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

    def __init__(self, drawn: list[Node]):
        self.drawn_before, self.thread = iter(drawn), get_ident()

    def __enter__(self) -> None:
        engine._lock.acquire()
        self.outer, engine.drawing = engine.drawing, self

    def __exit__(self, *_) -> None:
        engine.drawing = self.outer
        engine._lock.release()

    def drawn(self, shape: tuple, draw: Callable) -> Tensor:
        if get_ident() != self.thread:
            with engine._lock:
                return draw(shape)
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
        return _region(session, result, hidden, evaluator.training)


def _region(session: Session, result: Any, hidden: bool, training: Training) -> Region:
    outside = session.outside
    region = Region()
    region.name = object()
    region.hidden = hidden
    region.grad = modes.grad
    made: dict[int, Tensor] = {}   # by id, in order
    text = _spelled(result, outside, made, set())
    for t in made.values():
        t._refresh_autograd()
    for x in outside.inputs:
        s = x.stand_in
        if s._rg is not x.layout.requires_grad or s._fn is not None or s._type is not x.tensor._type \
                or s._grad is not None and id(s) not in training.found:
            raise NotCapturable("changes what autograd knows of a tensor from outside")
        if strides_of(s) != x.layout.strides or s._offset:
            raise NotCapturable("changes how a tensor from outside lies in memory")
    together = Counter([id(t._storage) for t in made.values()])
    for t in list(made.values()):
        if t._base is not None and together[id(t._storage)] > 1:  # a write to one of them is seen by the others
            made.setdefault(id(t._base), t._base)
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
        if not x.regular or x.tensor._storage.exported() or \
                x.stand_in._storage.node.type.nbytes != x.node.type.nbytes:
            raise NotCapturable("writes to a view of a tensor from outside, or to memory that numpy sees")
        outside.whole(x)
    if written:
        _distinct(outside)

    roots = [t for t in made.values() if t._rg and t._fn not in training.spent]
    targets = [x.stand_in for x in outside.inputs if x.layout.requires_grad] if roots else []
    backwards, needed = _backwards(session, roots, targets) if roots else ({}, [])
    forward_results = [x.node for x in storages.values()] + [x.stand_in._storage.node for _, x in written]
    region.effects = training.effects(outside.inputs, made, forward_results)
    nodes = [x.node for x in outside.inputs] + training.numbers + [n for _, _, n in session.draws]
    forward = cut(engine.recorded_since(session.mark), nodes, [*forward_results, *needed], session.leaves)
    if forward is None:
        raise NotCapturable("computes with values from elsewhere")
    region.forward = forward
    region.draws = [(draw, shape) for draw, shape, _ in session.draws]
    order = list(storages)
    region.outputs = [Output(order.index(id(t._storage)), t._type, t._strides, t._offset, any(t is r for r in roots),
                             t._storage.version, list(made).index(id(t._base)) if id(t._base) in made else -1)
                      for t in made.values()]
    region.plain = len(order) == len(made) and all(t._strides is None and t._storage.node.type is t._type and not t._storage.version
                                                   for t in made.values())
    region.writes = [(i, len(order) + k, x.stand_in._storage.version) for k, (i, x) in enumerate(written)]
    region.saved = [len(forward_results) + k for k in range(len(needed))]
    region.targets = [i for i, x in enumerate(outside.inputs) if x.layout.requires_grad] if roots else []
    of = {id(x.stand_in._storage): ("input", i) for i, x in enumerate(outside.inputs)}
    of |= {id(t._storage): ("output", i) for i, t in enumerate(made.values())}
    tape = Tape(roots, targets, of)
    region.kept = [(p.position, p.version) for p in tape.watched if p.kind == "input"]
    region.kept_outputs = [(p.position, p.version) for p in tape.watched if p.kind == "output"]
    region.shared = tape.shared()
    region.tape = tape if tape.plain else None
    if tape.plain:
        tape.given = [k for k, n in enumerate(needed) if n not in nodes]
        recording = cut(engine.recorded_since(session.mark), [*nodes, *[needed[k] for k in tape.given]], tape.saved,
                        session.leaves)
        if recording is None:
            raise NotCapturable("has a tape that keeps values from elsewhere")
        tape.recording = recording
    elif written:
        raise NotCapturable("writes to its arguments under vmap")
    region.backward = backwards
    region.guard = outside.guard()
    region.build = _builder(text, outside)
    return region


def _distinct(outside: Outside) -> None:
    """What is written to must not be the memory of another input."""
    if len({id(x.tensor._storage) for x in outside.inputs}) != len(outside.inputs):
        raise NotCapturable("writes to memory that several inputs share")
    names = ", ".join(f"{x.name}._storage" for x in outside.inputs)
    outside.lines.append(f"if len({{{names}}}) != {len(outside.inputs)}: return")


def _backwards(session: Session, roots: list[Tensor], targets: list[Tensor]) -> tuple[dict, list[Node]]:
    """For each choice of gradients that may be there: the work from what is saved and those gradients to each input's gradient
    (its position among the results, or -1). And what is saved."""
    edges = [edge_of(t) for t in targets]
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

