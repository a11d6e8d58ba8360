"""Composites with a gradient of their own: they run off the tape, and their rule stands for all that they record.

What such a function records depends on the dtypes and shapes of its tensors and on its other arguments, so what the second
call of a kind records is recorded again by later ones, without running the function (`diya.recording`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from operator import itemgetter
from typing import Any

from .. import dtypes, engine, recording
from ..autograd.modes import modes
from ..autograd.tape import Parameters, Rule, track
from ..tensor import Tensor, from_node
from .again import MAX_CALLS, UNMET


class _Absent:
    """Stands for an optional tensor that was not given."""

    _rg = False

    class _type:
        shape = ()
        dtype = dtypes.float32


ABSENT: Any = _Absent()


MET: Any = object()    # once: what such a call records is not known yet


class _Call:
    """What is known of the calls with one key. ``zeros``: positions of float zeros, whose sign equality does not see."""

    __slots__ = ("recording", "made", "parameters", "zeros")


def with_rule(function: Callable, rule: Rule) -> Callable:
    """``function`` off the tape, with ``rule`` on it."""
    code = function.__code__
    names = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
    count = code.co_argcount
    if code.co_flags & 0x0C:
        raise TypeError(f"{function.__name__}: an operator with a rule takes no *args or **kwargs")
    inputs = [names.index(k) for k in rule.inputs]
    others = [i for i in range(len(names)) if i not in inputs]
    tensors_of, others_of = _getter(inputs), _getter(others)
    other_names = [names[i] for i in others]
    keywords = names[count:]
    calls: dict[tuple, _Call | None] = recording.memory()

    def plain(values: tuple):
        return function(*values[:count], **dict(zip(keywords, values[count:], strict=True)))

    def untaped(values: tuple):
        grad, modes.grad = modes.grad, False
        try:
            return plain(values)
        finally:
            modes.grad = grad

    def run(values: tuple):
        tensors = tensors_of(values)
        rest = others_of(values)
        types, nodes = [], []
        differentiable = False
        regular = not modes.inference
        for t in tensors:
            if t is None:
                types.append(None)
                nodes.append(None)
            elif isinstance(t, Tensor):
                nodes.append(t._value())
                types.append(t._type)
                if t._strides is not None:
                    regular = False
                if t._rg:
                    differentiable = True
            else:
                types.append(None)
                nodes.append(None)
                regular = False
        call = result = None
        if regular and len(set(nodes)) == len(nodes):
            try:
                key = (*types, *rest, *map(type, rest))
                call = calls.get(key, UNMET)
                if call is UNMET:  # sizes that depend on data may never come again
                    if len(calls) >= MAX_CALLS:
                        calls.clear()
                    calls[key] = MET
                    call = None
                elif call is MET:
                    call, result = learn(nodes, values, rest)
                    calls[key] = call
            except TypeError:
                pass  # an argument that is no key, or a wrong one: the function will say so
        tape = differentiable and modes.grad
        if call is not None and call.zeros and any(math.copysign(1, rest[i]) < 0 for i in call.zeros):
            call = None
        if call is None:
            if result is None:
                result = untaped(values) if tape else plain(values)
            if not tape:
                return result
            outs = tuple(result) if isinstance(result, tuple) else (result,)
            parameters: dict = dict(zip(other_names, rest, strict=True))
        else:
            made = call.recording.replay([n for n in nodes if n is not None] if None in nodes else nodes)
            if call.made is None:
                result = from_node(made[0])
                outs = (result,)
            else:
                outs = tuple([from_node(n) for n in made])
                result = call.made(outs)
            if not tape:
                return result
            parameters = call.parameters
        if None in nodes:
            tensors = tuple([ABSENT if n is None else t for n, t in zip(nodes, tensors, strict=True)])
            if call is None:
                parameters |= {k: values[i] for k, i, n in zip(rule.inputs, inputs, nodes, strict=True) if n is None}
        track(rule, outs, tensors, tuple(nodes), parameters)
        return result

    def learn(nodes: list, values: tuple, rest: tuple) -> tuple[_Call | None, Any]:
        """Runs the function on stand-ins for its tensors, and remembers what it records. (None, the result) if that may depend on
        more, such as random numbers; (None, None) if the function must see the tensors themselves."""
        frozen = recording.frozen(rest)
        if frozen is None or any(isinstance(x, tuple) and 0.0 in x and any(y.__class__ is float for y in x) for x in rest):
            return None, None
        batched = engine.carries_batch(nodes)
        generator = state = None
        if batched and engine.drawing is not None:  # a draw that is only tried out would be captured too
            return None, None
        if batched:  # one element is only tried out: what it draws is put back
            from ..func.batching import first_elements
            from ..random import default_generator as generator
            state = generator.get_state_bytes()
            nodes = first_elements(nodes)  # type: ignore[assignment]
            if nodes is None:
                return None, None
        stand_ins = [None if n is None else from_node(n) for n in nodes]
        given = list(values)
        for i, t in zip(inputs, stand_ins, strict=True):
            given[i] = t
        capture = recording.Capture([n for n in nodes if n is not None])
        with capture:
            result = untaped(tuple(given))
        if generator is not None and (generator.get_state_bytes() != state).any():
            generator.set_state_bytes(state)  # type: ignore[arg-type]
            return None, None
        outs = result if isinstance(result, tuple) else (result,)
        storages = {id(t._storage): t for t in stand_ins if t is not None}
        for t in outs:
            if type(t) is not Tensor or t._strides is not None or t._base is not None or id(t._storage) in storages \
                    or t._storage.node.type is not t._type or t._storage.exports is not None:
                return None, None
            storages[id(t._storage)] = t
        if any(t is not None and t._storage.version for t in stand_ins):
            return None, None
        made = capture.recording([t._storage.node for t in outs])
        zeros = [i for i, x in enumerate(rest) if x.__class__ is float and x == 0]
        if made is None or any(math.copysign(1, rest[i]) < 0 for i in zeros):
            return None, None if batched else result
        call = _Call()
        call.recording = made
        call.made = None if not isinstance(result, tuple) else tuple if type(result) is tuple else type(result)._make  # type: ignore[attr-defined]
        absent = {k: None for k, n in zip(rule.inputs, nodes, strict=True) if n is None}
        call.parameters = Parameters(dict(zip(other_names, rest, strict=True)) | absent)
        call.zeros = zeros
        return call, None

    bind: Callable | None = None

    @wraps(function)
    def call(*args, **kwargs):
        nonlocal bind
        if bind is None:
            bind = _binder(function, names, count)
        return run(bind(*args, **kwargs))
    return call


def _getter(places: list[int]) -> Callable[[tuple], tuple]:
    """Those elements of a tuple, as a tuple."""
    if len(places) > 1:
        return itemgetter(*places)  # type: ignore[return-value]
    return (lambda values: (values[places[0]],)) if places else lambda values: ()


def _binder(function: Callable, names: tuple[str, ...], count: int) -> Callable[..., tuple]:
    """A function with the same parameters that returns the arguments in order."""
    defaults = dict(zip(names[count - len(function.__defaults__ or ()):count], function.__defaults__ or (), strict=True))
    defaults |= function.__kwdefaults__ or {}
    head = [k if k not in defaults else f"{k}=_defaults[{k!r}]" for k in names]
    if names[count:]:
        head.insert(count, "*")
    scope: dict[str, Any] = {"_defaults": defaults}
    name = function.__name__ if function.__name__.isidentifier() else "call"
    text = f"def {name}({', '.join(head)}): return ({''.join(k + ', ' for k in names)})"
    exec(compile(text, __file__, "exec"), scope)
    return scope[name]
