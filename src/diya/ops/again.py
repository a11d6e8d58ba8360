"""Calls like one that was made before: what it recorded is recorded again, without running the operator's Python.

What an operator records depends on the dtypes, shapes and layouts of its tensors and on its other arguments, unless it looks at
values or draws random numbers (see `engine.looked`). The third call of a kind is watched: if its results are views of a tensor
among the arguments, or follow from their values, such calls are known from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import get_ident
from typing import Any

from .. import engine, recording
from ..autograd import stencil
from ..autograd.modes import modes
from ..autograd.tape import GradNode, _sequence, edge_of, lasting
from ..device import device as Device
from ..dtypes import dtype as DType
from ..graph import Node, Size
from ..runtime.buffer import Buffer
from ..tensor import Tensor, from_node

MAX_CALLS = 1024        # that are remembered of one operator
MAX_WEIGHT = 100_000    # nodes, on the tape or not, that are recorded again by all that is known: some 40 MB
MAX_CONSTANT = 1 << 14  # bytes of a value that a call makes of nothing and that is kept
TRIES = 4               # calls that turned out not to be repeatable, after which an operator is left alone

PATIENCE = 2            # calls of a kind before one is watched: sizes that depend on data may come twice and never again

UNMET: Any = object()
_memories: list[dict] = []

modes_on = False  # whether somebody takes the calls that an operator makes: autocast, say

_new = object.__new__
_OF_RESULTS = frozenset(("_storage", "_type", "_strides", "_base", "_rebases", "_fn", "_nr", "_rg"))  # all that a result may have
_plain = frozenset((int, bool, str, type(None)))
FIXED = {DType, Device, type(Ellipsis)}  # classes whose objects are equal only if they are one; `memory_format` joins
TENSORS: set[type] = {Tensor}            # classes whose objects are no more than tensors; `Parameter` joins


def describe(items, key: list, tensors: list[Tensor]) -> bool:
    """Appends what a call depends on to its key, and the tensors among its arguments to a list. False if it cannot be said."""
    for x in items:
        kind = x.__class__
        if kind in TENSORS:
            storage = x._storage
            for k, t in enumerate(tensors):
                if t._storage is storage:
                    key.append(~k)
                    if t is x:
                        break
            else:
                tensors.append(x)
                if x._base is not None:
                    x._refresh_autograd()
                type, strides = x._type, x._strides
                key.append((type, x._rg) if strides is None and storage.node.type is type else
                           (type, x._rg, strides, x._offset, storage.node.type))
        elif kind in _plain:
            key.append(kind)
            key.append(x)
        elif kind is float:
            key.append(kind)
            key.append(x if x else str(x))
        elif kind is tuple or kind is list or kind is Size:
            key.append(kind)
            key.append(len(x))
            if not describe(x, key, tensors):
                return False
        elif kind is slice:
            key.append(kind)
            if not describe((x.start, x.stop, x.step), key, tensors):
                return False
        elif kind in FIXED:
            key.append(x)
        else:
            return False
    return True


def remembering(function: Callable) -> Callable[[tuple, dict], Any]:
    """``recall(args, kwargs)``: the result of ``function``, recorded again, or UNMET if it is to be called."""
    calls: dict[tuple, Any] = recording.memory()
    _memories.append(calls)
    failures = 0

    def recall(args: tuple, kwargs: dict):
        nonlocal failures
        if failures >= TRIES or modes_on or engine.batched or engine.capturing is not None or engine.debug_lines:
            return UNMET
        key: list = []
        tensors: list[Tensor] = []
        if not describe(args, key, tensors):
            return UNMET
        if kwargs:
            key += kwargs
            if not describe(kwargs.values(), key, tensors):
                return UNMET
        tracked = False
        for t in tensors:
            if t._rg:
                tracked = modes.grad
                break
        if tracked and (modes.saved_hooks or modes.levels or modes.anomaly):
            return UNMET
        key.append(tracked)
        known = calls.get(name := tuple(key), UNMET)
        if known.__class__ is Known:
            return known.again(tensors)
        if known is UNMET:
            if len(calls) >= MAX_CALLS:
                calls.clear()
            calls[name] = 1
        elif known.__class__ is int and engine.drawing is None and not modes.dual and not modes.levels:
            if known < PATIENCE:
                calls[name] = known + 1
                return UNMET
            with engine._lock:
                result, known = watched(function, args, kwargs, tensors, tracked)
                failures = failures + 1 if known is None else -1 << 40
                _make_room(known)
                calls[name] = known
            return result
        return UNMET
    return recall


_weight = 0  # of all that is known


def _make_room(known: Any) -> None:
    """Before something more is remembered: too much, of all operators together, is forgotten at once."""
    global _weight
    _weight += known.weight if isinstance(known, Known) else 1
    if _weight > MAX_WEIGHT:
        _weight = 0
        for calls in _memories:
            calls.clear()


def remembered(function: Callable) -> Callable:
    """A function whose calls are recorded again, if they are like one before."""
    recall = remembering(function)

    @wraps(function)
    def call(*args, **kwargs):
        known = recall(args, kwargs)
        return known if known is not UNMET else function(*args, **kwargs)
    return call


class Known:
    """What calls with one key give: ``views``; or ``fresh`` tensors (type and strides of each), whose storages hold the first
    results of ``recording``, from the content of the arguments' storages (``distinct``: of which, where some are one).
    ``wrap`` makes a call's result of several tensors."""

    __slots__ = ("views", "recording", "distinct", "fresh", "wrap", "stencil", "checks", "only")

    def __init__(self, wrap, views=None, recording=None, distinct=None, fresh=(), stencil=None, checks=()):
        self.views, self.recording, self.distinct, self.fresh = views, recording, distinct, fresh
        self.wrap, self.stencil, self.checks = wrap, stencil, checks
        self.only = views is None and wrap is None and stencil is None and not checks and fresh[0][1] is None

    @property
    def weight(self) -> int:
        return 2 + len(self.recording.steps if self.recording is not None else self.views) \
            + (3 * len(self.stencil.steps) if self.stencil is not None else 0)

    def again(self, tensors: list[Tensor]):
        """The results for other tensors; UNMET if the function is to be called after all."""
        views = self.views
        if views is not None:
            return views[0].of(tensors[0]) if self.wrap is None else self.wrap([v.of(tensors[0]) for v in views])
        nodes = []
        for t in tensors:
            storage = t._storage
            node = storage.node
            if storage.exports is not None or t._offset and node.value is not None:
                return UNMET
            nodes.append(node)
        for k, shown, check, needed in self.checks:
            if nodes[k].value.__class__ is not Buffer and needed:
                return UNMET
            engine.checked(tensors[k] if shown is None else shown.of(tensors[k]), check, needed)
        made = self.recording.replay(nodes if self.distinct is None else [nodes[k] for k in self.distinct])
        if engine.watching is not None:
            engine.watching.constants.update(self.recording.constants)
        if self.only:
            return from_node(made[0])
        outs = []
        for node, (type, strides) in zip(made, self.fresh, strict=False):  # `made` goes on with what the tape keeps
            t = from_node(node)
            if strides is not None:
                t._type, t._strides = type, strides
            outs.append(t)
        if self.stencil is not None:
            self.stencil.leave(tensors, outs, nodes + made)
        return outs[0] if self.wrap is None else self.wrap(outs)


class View:
    """A tensor that shows another's memory, or is the other."""

    __slots__ = ("type", "strides", "offset", "rule", "params", "same")

    def __init__(self, of: Tensor, result: Tensor, tracked: bool):
        self.type, self.strides, self.offset = result._type, result._strides, result._offset
        self.rule = self.params = None
        self.same = result is of
        if self.same:
            return
        fn = result._fn
        if tracked and fn is not None:
            stencil.check_repeatable(fn)
            if fn.edges != (edge_of(of),) or fn.saved or fn.saved_out is not None or fn.outputs != 1 or fn.levels:
                raise stencil.NotRepeatable("a view in several steps")
            self.rule, self.params = fn.rule, lasting(fn.params)

    def of(self, t: Tensor) -> Tensor:
        if self.same:
            return t
        v = _new(Tensor)
        v._storage, v._type = t._storage, self.type
        if self.strides is not None:
            v._strides, v._offset = self.strides, self.offset
        if t._hidden is not None:
            v._hidden = t._hidden
        v._base = base = t._base if t._base is not None else t
        v._rebases = base._rebases
        if self.rule is not None:
            v._fn = fn = _new(GradNode)
            v._rg = True
            fn.rule, fn.mask, fn.params, fn.types, fn.saved = self.rule, 1, self.params, (t._type,), []  # pyright: ignore[reportAttributeAccessIssue]
            fn.edges = ((t._fn, t._nr) if t._fn is not None else edge_of(t),)
            fn.sequence = next(_sequence)
        elif modes.inference:
            v._inference = True
        return v


# -- watching ------------------------------------------------------------------------------------------------------------

class Watch:
    """What the call of an operator does beside recording: ``constants`` are the values that it makes of nothing, ``checks`` what it
    makes sure of. ``looked``: whether it depends on more than its key; ``unknown``: whether it would make sure of what is not
    known."""

    def __init__(self, tensors: list[Tensor]):
        self.tensors, self.looked, self.unknown, self.thread = tensors, False, False, get_ident()
        self.constants: set[Node] = set()
        self.checks: list[tuple[int, View | None, Callable, bool]] = []  # which tensor, what of it, ...

    def note_check(self, tensor: Tensor, check: Callable, needed: bool) -> None:
        node = tensor._storage.node
        for k, t in enumerate(self.tensors):
            if t._storage is tensor._storage or t._storage.node is node:  # a stand-in has the value without the storage
                self.checks.append((k, None if t is tensor else View(t, tensor, False), check, needed))
                self.unknown |= needed and node.value.__class__ is not Buffer
                return
        # What the call has computed itself is never known, what it has made of nothing never wrong.
        self.looked |= node.value is not None and node not in self.constants

    def join(self, inner: Watch) -> None:
        """Adds what a call within the call did."""
        self.constants |= inner.constants
        self.looked |= inner.looked
        for k, shown, check, needed in inner.checks:
            self.note_check(inner.tensors[k] if shown is None else shown.of(inner.tensors[k]), check, needed)


def watched(function: Callable, args: tuple, kwargs: dict, tensors: list[Tensor], tracked: bool) -> tuple[Any, Any]:
    """Calls a function, and what is known from then on of calls like this one (None: that they are not repeatable)."""
    nodes = [t._storage.node for t in tensors]
    versions = [t._storage.version for t in tensors]
    start, warnings = next(_sequence), _Warnings()
    outer, engine.watching = engine.watching, Watch(tensors)
    try:
        with recording.Capture(list(dict.fromkeys(nodes))) as capture, warnings:
            result = function(*args, **kwargs)
    finally:
        watch, engine.watching = engine.watching, outer
    if outer is not None:
        outer.join(watch)
    outs = list(result) if isinstance(result, (tuple, list)) and not isinstance(result, Size) else [result]
    if watch.looked or watch.unknown or warnings.came or not outs or any(type(t) is not Tensor for t in outs) or \
            versions != [t._storage.version for t in tensors]:
        return result, None
    wrap = None if outs[0] is result else type(result) if type(result) in (list, tuple) else getattr(type(result), "_make", None)
    if wrap is None and outs[0] is not result:
        return result, None
    try:
        views = _views(tensors, outs, tracked)
        if views is not None:
            return result, Known(wrap, views)
        if len(set(nodes)) < len({id(t._storage) for t in tensors}):
            return result, PATIENCE  # which of the arguments is read where cannot be told
        return result, _recorded(capture, watch, nodes, outs, start if tracked else None, wrap)
    except stencil.NotRepeatable:
        return result, None


def _views(tensors: list[Tensor], outs: list[Tensor], tracked: bool) -> list[View] | None:
    """The results as views of the one tensor given, if that is what they are."""
    if len(tensors) != 1:
        return None
    of, = tensors
    base = of if of._base is None else of._base
    if any(t is not of and (t._storage is not of._storage or t._base is not base or t._type.dtype is not of._type.dtype)
           for t in outs):
        return None
    return [View(of, t, tracked) for t in outs]


def _recorded(capture: recording.Capture, watch: Watch, nodes: list[Node], outs: list[Tensor], start: int | None,
              wrap: Any) -> Known | None:
    tensors = watch.tensors
    storages = {id(t._storage) for t in tensors}
    # Parts of data are read where they are, for the next one is to be the same program: see `Tensor._view_of`.
    if any(t._storage.exports is not None or t._offset and t._storage.node.value is not None for t in tensors):
        return None
    for t in outs:
        s = t._storage
        if t._offset or id(s) in storages or s.exports is not None or s.version or s.node.type.dtype is not t._type.dtype \
                or t._rg and t._fn is None or not _OF_RESULTS.issuperset(t.__dict__):
            return None
        storages.add(id(s))
    results = [t._storage.node if t._strides is not None else t._value() for t in outs]
    mark = None if start is None or all(t._fn is None for t in outs) else stencil.Stencil(start, tensors, nodes, outs, results)
    small = {n for n in watch.constants if isinstance(n.value, Buffer) and n.value.nbytes <= MAX_CONSTANT}
    made = capture.recording(results if mark is None else results + mark.take_values(), small)
    if made is None:
        return None
    distinct = [nodes.index(n) for n in dict.fromkeys(nodes)]
    return Known(wrap, None, made, None if len(distinct) == len(nodes) else distinct, [(t._type, t._strides) for t in outs], mark,
                 watch.checks)


class _Warnings:
    """Notes whether the block warns: a call that does must go on doing so."""

    came = False

    def __enter__(self):
        import warnings
        self.module, self.warn = warnings, warnings.warn
        warnings.warn = self.note  # pyright: ignore[reportAttributeAccessIssue]

    def note(self, message, category=None, stacklevel=1, *args, **kwargs):
        self.came = True
        self.warn(message, category, stacklevel + 3, *args, **kwargs)  # this function, `recall` and `watched` are not the caller's

    def __exit__(self, *_):
        self.module.warn = self.warn  # pyright: ignore[reportAttributeAccessIssue]
