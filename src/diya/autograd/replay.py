"""Backward over a tape like one met before: what it recorded then is recorded again, without walking.

The gradients of a training step are the same work every time. A tape's *form* is what its walk depends on: the rules, what
they save and how it is shared, their parameters, the edges and the order in which the operations were recorded. The second
time a form is met, what the walk records becomes a `Recording`.
"""

from __future__ import annotations

from itertools import count
from operator import attrgetter

from .. import engine, recording
from ..bounded import Bounded
from ..graph import Node
from ..recording import frozen
from .modes import modes
from .tape import AccumulateGrad, GradNode, Parameters, SavedOutputs

MAX_STEPS = 100_000  # of all recordings together

FORM = 25            # what a form weighs at least

_MET_ONCE = ()
_recordings = recording.memory(lambda: Bounded(MAX_STEPS))  # by form
_sequence = attrgetter("sequence")


class Tape:
    """The tape that a node reaches, if nothing on it needs the walk: ``nodes`` in the order of their discovery, ``inputs``
    the values that its rules read, and its ``form``."""

    __slots__ = ("nodes", "inputs", "form")

    def __init__(self, nodes, inputs, form):
        self.nodes, self.inputs, self.form = nodes, inputs, form


def read(root: GradNode, nr: int, g) -> Tape | None:
    """The tape behind ``root``, or None if something on it (a hook, a custom function, a modified value) needs the walk."""
    if modes.anomaly or engine.debug_lines:
        return None
    value = g._value()
    inputs: dict[Node, int] = {value: 0}
    share = inputs.setdefault
    nodes: list = [root]
    index: dict = {root: 0}
    form: list = [nr, value.type]
    add = form.append
    for fn in nodes:
        if fn.hooks or fn.pre_hooks or fn.tensor_hooks or fn.retained:
            return None
        if fn.__class__ is AccumulateGrad:
            if fn.variable._hooks or fn.variable._post_accumulate_hooks:
                return None
            add(None)
            continue
        if fn.saved is None:
            return None
        if fn.__class__ is GradNode:
            add(fn.rule)
            add(fn.mask)
            add(fn.types)
            params = fn.params
            if params:
                key = params.key if params.__class__ is Parameters else frozen(tuple(params.items()))
                if key is None:
                    return None
                add(key)
            for _, s in fn.saved:
                if s.hooks is not None or s.storage.version != s.version:
                    return None
                add(share(s.node, len(inputs)))
            kept = fn.saved_out
            if kept is not None:
                for s in kept.items if kept.__class__ is SavedOutputs else (kept,):
                    if s.hooks is not None or s.storage.version != s.version:
                        return None
                    add(s.type)
                    add(share(s.node, len(inputs)))
        else:
            work = fn.work()
            if work is None:
                return None
            add(work)
            form += [share(n, len(inputs)) for n in fn.saved]
        for edge in fn.edges:
            if edge is None:
                add(None)
            else:
                to = edge[0]
                at = index.get(to)
                if at is None:
                    at = index[to] = len(nodes)
                    nodes.append(to)
                add(at)
                add(edge[1])
    # Sums of several gradients are taken in the order of recording.
    order = sorted(zip(map(_sequence, nodes), count()))
    form += [at for _, at in order]
    return Tape(nodes, inputs, tuple(form))


def find(tape: Tape) -> tuple | None | bool:
    """(recording, positions of the nodes that it is for, those that were applied), None if the form is to be recorded now,
    False if it was met for the first time."""
    found = _recordings.get(tape.form)
    if found is None:
        _recordings.put(tape.form, _MET_ONCE, FORM)
        return False
    return found or None


def keep(tape: Tape, capture: recording.Capture, gradients: list[tuple[AccumulateGrad, Node]], applied: list) -> None:
    """Remembers what the walk of a tape recorded."""
    made = capture.recording([g for _, g in gradients])
    if made is None:
        _recordings.drop(tape.form)
        return
    index = {fn: i for i, fn in enumerate(tape.nodes)}
    found = made, [index[a] for a, _ in gradients], [index[fn] for fn in applied]
    _recordings.put(tape.form, found, max(FORM, len(made.steps)))


def again(tape: Tape, found: tuple, retain_graph: bool) -> list[tuple[AccumulateGrad, Node]]:
    """Records a known tape's gradients: where each goes, and its value."""
    made, leaves, applied = found
    nodes = tape.nodes
    gradients = made.replay(list(tape.inputs))
    if not retain_graph:
        for i in applied:
            nodes[i].release()
    return [(nodes[leaves[k]], g) for k, g in enumerate(gradients)]
