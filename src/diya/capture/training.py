"""Whole training steps: what a captured function does to gradients and, through an optimizer, to parameters.

`backward` runs on the tape of the capture and leaves gradients at the stand-ins of leaves. `Optimizer.step` is the rule of the
update on what the optimizer's state holds. The numbers of an update (the count of steps, what the learning rate makes of it)
are made anew by the guards of each call, as arguments of the program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import engine
from ..autograd import _roots, walk
from ..autograd.modes import modes, no_grad
from ..autograd.tape import SECOND_TIME, AccumulateGrad, NodeBase, _sequence
from ..engine import NotCapturable
from ..graph import SCALAR, Node, type_of
from ..tensor import Tensor, from_node
from .outside import Input

if TYPE_CHECKING:
    from .objects import Objects


class TooEarly(NotCapturable):
    """What would be captured is not there yet: the state that an optimizer makes in its first step."""


class Spent(NodeBase):
    """On the tape: stands for nodes whose backward ran inside of a captured call."""

    def __init__(self, name: str):
        self.written_name, self.sequence = name, next(_sequence)

    def name(self) -> str:
        return self.written_name

    def release(self) -> None:
        pass

    def apply(self, grads: tuple) -> tuple:
        raise RuntimeError(SECOND_TIME)


class Training(NamedTuple):
    """What a capture knows of gradients and updates. ``found``: ids of the stand-ins whose ``grad`` is known, with what it was
    ``before`` if somebody looked; ``spent``: nodes of the tape whose backward has run; ``numbers``: what stands for the numbers
    of updates; ``counters``: tensors that count steps, and which of the guards' counts they get; ``flushes``: optimizers that
    made a step."""

    found: set[int]
    before: dict[int, Tensor | None]
    spent: set[NodeBase]
    numbers: list[Node]
    counters: list[tuple[Tensor, int]]
    flushes: list[str]

    @staticmethod
    def none() -> Training:
        return Training(set(), {}, set(), [], [], [])

    def effects(self, inputs: list[Input], returned: dict[int, Tensor], results: list[Node]) -> Effects | None:
        """What the call does, if anything; gradients that it leaves behind are added to its ``results``."""
        gradients = []
        for i, x in enumerate(inputs):
            at, now = id(x.stand_in), x.stand_in._grad
            if at not in self.found or at in self.before and self.before[at] is now:
                continue
            if now is not None and (type(now) is not Tensor or now._strides is not None or now._rg or id(now) in returned
                                    or now._storage.node.type is not now._type):
                raise NotCapturable("leaves a gradient that is no plain tensor of its own")
            gradients.append((i, -1, 0) if now is None else (i, len(results), now._storage.version))
            if now is not None:
                results.append(now._storage.node)
        spent = [(i, t._fn.name()) for i, t in enumerate(returned.values()) if t._fn is not None and t._fn in self.spent]
        if not (gradients or spent or self.counters or self.flushes):
            return None
        return Effects(gradients, self.counters, spent, bool(self.flushes))


class Effects(NamedTuple):
    """What a call does to gradients and optimizers. ``gradients``: input, result (-1: none), version; ``spent``: returned tensors
    whose backward has run, with the names of their nodes; ``flushes``: whether what is pending runs at the end, as after a step."""

    gradients: list[tuple[int, int, int]]
    counters: list[tuple[Tensor, int]]
    spent: list[tuple[int, str]]
    flushes: bool

    def happen(self, tensors: tuple, made: list[Node], counts: tuple, outs: list[Tensor]) -> None:
        from ..optim.optimizer import replace
        for i, k, version in self.gradients:
            grad = tensors[i]._grad = None if k < 0 else from_node(made[k])
            if grad is not None and version:
                grad._storage.version = version
        for counter, k in self.counters:
            replace(counter, counts[k])
        for i, name in self.spent:
            outs[i]._rg, outs[i]._fn = True, Spent(name)


# -- gradients -------------------------------------------------------------------------------------------------------------

def gradient(objects: Objects, source: Input) -> Tensor | None:
    """``grad`` of a tensor from outside: what is there at the first look, then what the capture has made of it."""
    known = objects.training
    stand_in = source.stand_in
    if id(stand_in) not in known.found:
        known.found.add(id(stand_in))
        there = source.tensor._grad
        if there is not None and (there._rg or there._base is not None):
            raise NotCapturable("finds a gradient that is on the tape itself")
        if there is None:
            objects.outside.check(f"{source.name}._grad is None")
        else:
            stand_in._grad = objects.outside.load(f"{source.name}._grad", there, False)
        known.before[id(stand_in)] = stand_in._grad
    return stand_in._grad


def set_gradient(objects: Objects, source: Input, value: Any) -> None:
    """``tensor.grad = value``."""
    if value is not None and (not isinstance(value, Tensor) or objects.outside.input_of(value) or value._rg or
                              value._type is not source.stand_in._type or value._strides is not None):
        raise NotCapturable("gives a tensor from outside a gradient that is not of its own")
    objects.training.found.add(id(source.stand_in))
    source.stand_in._grad = value


def backward(objects: Objects, t: Tensor, gradient_of: Any = None, retain_graph: Any = None, create_graph: bool = False,
             inputs: Any = None) -> None:
    """``t.backward()``."""
    if retain_graph or create_graph or inputs is not None:
        raise NotCapturable("runs backward with retain_graph, create_graph or inputs")
    if not modes.grad or t._fn is None:
        raise NotCapturable("runs backward on what is not on the tape of the call")
    outside = objects.outside
    for source in list(outside.inputs):
        if source.layout.requires_grad:
            if source.tensor._fn is not None or source.tensor._hooks or source.tensor._post_accumulate_hooks:
                raise NotCapturable("runs backward into a graph from outside, or to a tensor with hooks")
            name = source.name
            outside.check(f"{name}._fn is None and not {name}._hooks and not {name}._post_accumulate_hooks")
            gradient(objects, source)
    edges, grads = _roots((t,), (gradient_of,))
    reached = {n for n in walk._reachable([n for n, _ in edges], False) if not isinstance(n, AccumulateGrad)}
    if not objects.training.spent.isdisjoint(reached):
        raise NotCapturable("runs backward a second time")
    walk.run(edges, grads, False, False)
    objects.training.spent.update(reached)


# -- optimizers ------------------------------------------------------------------------------------------------------------

def call(objects: Objects, function: Callable, args: tuple, kwargs: dict) -> Any:
    """A call of a function of `diya.optim`."""
    from ..optim.optimizer import Optimizer, RuleOptimizer
    if function is Optimizer.zero_grad:
        return _zero_grad(objects, *args, **kwargs)
    if getattr(function, "_wrapped_by_lr_sched", False):  # notes that the optimizer has made a step
        optimizer = function._optimizer()  # type: ignore[attr-defined]
        known = objects.outside.name_of(optimizer)
        if known is None or not getattr(optimizer, "_opt_called", False):
            raise TooEarly("runs the first step of an optimizer that has a scheduler")
        objects.outside.check(f"{known[0]}._opt_called is True")
        return call(objects, function.__wrapped__, (optimizer, *args), kwargs)  # type: ignore[attr-defined]
    if getattr(function, "__wrapped__", None) is RuleOptimizer.step and len(args) == 1 and not kwargs:
        return _step(objects, args[0])
    raise NotCapturable(f"calls {function.__module__}.{function.__qualname__}")


def _parameters(objects: Objects, group: dict) -> list[tuple[Tensor, Input]]:
    found = []
    for p in objects.iterate(objects.item(group, "params")):
        source = objects.outside.input_of(p)
        if source is None:
            raise NotCapturable("optimizes a tensor that was made inside")
        found.append((p, source))
    return found


def _groups(objects: Objects, optimizer: Any) -> list[dict]:
    return list(objects.iterate(objects.attribute(optimizer, "param_groups")))


def _zero_grad(objects: Objects, optimizer: Any, set_to_none: bool = True) -> None:
    for group in _groups(objects, optimizer):
        for _, source in _parameters(objects, group):
            if set_to_none:
                set_gradient(objects, source, None)
            else:
                there = gradient(objects, source)
                if there is not None:
                    with no_grad():
                        there.zero_()  # pyright: ignore[reportAttributeAccessIssue]


def _step(objects: Objects, optimizer: Any) -> None:
    from ..optim import optimizer as shared
    outside = objects.outside
    text, _ = outside.name_of(optimizer) or ("", False)
    if not text or optimizer._numbers or optimizer.defaults.get("differentiable"):
        raise NotCapturable(f"runs a step of {type(optimizer).__name__}, whose numbers are more than a count")
    if optimizer._counts and text in objects.training.flushes:
        raise NotCapturable("runs two steps of an optimizer that counts them")
    for hooks in (shared._global_optimizer_pre_hooks, shared._global_optimizer_post_hooks):
        outside.check(f"not {outside.constant(hooks)}")
    for name in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"):
        outside.check(f"not {text}.{name}")
    if shared._global_optimizer_pre_hooks or shared._global_optimizer_post_hooks or optimizer._optimizer_step_pre_hooks \
            or optimizer._optimizer_step_post_hooks:
        raise NotCapturable("runs a step of an optimizer that has hooks")
    for group in _groups(objects, optimizer):
        with no_grad():
            _update(objects, optimizer, text, group)
    objects.training.flushes.append(text)


def _update(objects: Objects, optimizer: Any, text: str, group: dict) -> None:
    """The update of a group of parameters: `RuleOptimizer._update_group` on stand-ins."""
    from ..optim.optimizer import replace
    outside, known = objects.outside, objects.training
    for name, option in group.items():
        if isinstance(option, Tensor):
            raise NotCapturable(f"runs a step of an optimizer whose {name} is a tensor")
        if option is None or isinstance(option, (bool, str)):
            objects.item(group, name)
    plans: dict[tuple, tuple] = {}
    for p, source in _parameters(objects, group):
        grad = gradient(objects, source)
        if grad is None:
            continue
        if type(grad) is not Tensor or p._type.dtype.kind != "f":
            raise NotCapturable("updates parameters that are complex, or by a sparse gradient")
        state = optimizer.state.get(source.tensor)
        if state is None and optimizer._counts:
            raise TooEarly("runs the first step of an optimizer")
        targets, dtype = [p], p._type.dtype
        if state is not None:
            entries = outside.constant(state)
            outside.check(f"{text}.state.get({source.name}) is {entries}")
            keys = {id(x): k for k, x in state.items()}
            for x in optimizer.tensors(source.tensor, state, group)[1:]:
                targets.append(outside.load(f"{entries}[{keys[id(x)]!r}]", x, True))
        counter = state["step"] if state is not None and optimizer._counts else None
        count = 0.0 if counter is None else _count_of(counter)
        if count is None:
            raise TooEarly("runs the first step of an optimizer whose state was loaded")
        kind = count, dtype, None if counter is None else counter._type
        plan = plans.get(kind)
        if plan is None:
            plan = plans[kind] = _plan(objects, optimizer, group, counter, count, dtype)
        flags, numbers, first, following = plan
        if counter is not None:
            if counter._storage.exports is not None:
                raise NotCapturable("runs a step of an optimizer whose count numpy sees")
            outside.check(f"{entries}['step'] is {outside.constant(counter)}")
            outside.check(f"count_of({outside.constant(counter)}) == {first}")
            known.counters.append((counter, outside.counts.index(following)))
        made = optimizer.rule(flags, numbers, grad._value(), *[t._value() for t in targets])
        if len(made) != len(targets):
            raise TooEarly("runs the first step of an optimizer")
        for target, value in zip(targets, made, strict=True):
            replace(target, value)


def _plan(objects: Objects, optimizer: Any, group: dict, counter: Tensor | None, count: float, dtype: Any) -> tuple:
    """(flags, what stands for the numbers, the count before and the next one in the guards) of an update."""
    outside = objects.outside
    (text, _), (group_name, _) = outside.name_of(optimizer), outside.name_of(group)  # type: ignore[misc]
    flags, values, _ = optimizer.plan(group, count + 1 if counter is not None else 0.0)
    scope = outside.scope
    scope["scalar"], scope["count_of"] = engine.scalar, _count_of
    k = len(outside.numbers)
    first, following, step = f"a{k}", f"w{k}", "0.0"
    if counter is not None:
        outside.lines += [f"{first} = count_of({outside.constant(counter)})", f"if {first} is None: return",
                          f"{following} = scalar({first} + 1, {outside.constant(counter._type.dtype)})"]
        outside.counts.append(following)
        step = f"{first} + 1"
    outside.lines += [f"f{k}, q{k}, _ = {text}.plan({group_name}, {step})",
                      f"if f{k} != {outside.constant(flags)}: return",
                      f"k{k} = [scalar(x, {outside.constant(dtype)}) for x in q{k}]"]
    outside.numbers.append(f"*k{k}")
    numbers = [outside.placeholder(type_of((), dtype)) for _ in values]
    objects.training.numbers.extend(numbers)
    return flags, numbers, first, following


def _count_of(counter: Tensor) -> float | None:
    """What a tensor that counts steps holds, if that is known without running anything."""
    node = counter._storage.node
    return node.value if node.signature.op is SCALAR and node.type is counter._type else None  # type: ignore[return-value]
