"""Pieces of recorded work that can be recorded again, on other inputs, without running the Python that recorded them.

A `Capture` encloses that Python. What it appended is cut down to what its results need; if all of that depends on the given
inputs and on numbers alone, it is a `Recording`. Whoever keeps recordings must use as key all that the Python
may have looked at: dtypes and shapes of the inputs, which of them are one, and every argument; and keep it in a `memory`,
which is emptied when a setting changes that any Python may look at (the default dtype).
"""

from __future__ import annotations

import math
from collections.abc import Container
from operator import itemgetter
from typing import Any

from . import engine
from .graph import CALL, PRIMITIVES, SCALAR, LocatedNode, Node, Signature

SPELLED = 2  # so many nodes more than results are recorded one by one: a call would not be less

_new = object.__new__
_memories: list[dict] = []


def memory(kind=dict) -> Any:
    """An empty dict (of a kind) to keep recordings in."""
    _memories.append(kind())
    return _memories[-1]


def forget() -> None:
    """Empties every memory."""
    for m in _memories:
        m.clear()


def frozen(value):
    """An argument as part of a key, in which 1, 1.0 and True differ, and 0.0 and -0.0; None for what cannot be one because
    it may change."""
    kind = value.__class__
    if kind is int or kind is bool or kind is str or kind is float and value:
        return kind, value
    if kind is tuple or kind is list:
        parts = tuple([frozen(x) for x in value])
        return None if None in parts else (kind, parts)
    if value is None:
        return ()
    if kind is float:
        return kind, value, math.copysign(1.0, value)
    made = getattr(kind, "frozen", None)  # an object that never changes says what it is
    if made is not None:
        return kind, made(value)
    return value if kind.__module__ in ("diya.dtypes", "diya.graph") or kind.__name__ == "_Absent" else None


class Recording:
    """``steps``: for each node its signature, how to get its operands from what is there so far (inputs, constants, nodes),
    and whether it keeps the user's line. ``results`` are positions there; ``made`` those of them that the steps make, each
    once: what a call gives, of ``types``."""

    __slots__ = ("steps", "constants", "results", "made", "types", "which", "call", "picks", "located")

    def __init__(self, steps: list, constants: list[Node], results: list[int], inputs: int):
        self.steps, self.constants, self.results = steps, constants, results
        first = inputs + len(constants)
        self.made = list(dict.fromkeys([k for k in results if k >= first]))
        self.types = tuple([steps[k - first][0].type for k in self.made])
        # Each result, and which of what a call gives it is.
        self.which = [(k, self.made.index(k) if k >= first else -1) for k in results]
        self.call = Signature(CALL, self, self.types)
        pick = PRIMITIVES["pick"]
        self.picks = [Signature(pick, i, t) for i, t in enumerate(self.types)]
        self.located = any(located for _, _, located in steps)

    def replay(self, inputs: list[Node]) -> list[Node]:
        """Records the work on ``inputs``; the results. Much work is one node, a call, and a pick for each result."""
        if engine.carries_batch(inputs):
            return engine.replay_batched(self, inputs)
        if self.types and len(self.steps) > len(self.types) + SPELLED:
            return self._replay_call(inputs)
        made = inputs + self.constants
        count = len(made)
        lines = engine.debug_lines
        for signature, operands, located in self.steps:
            if located or lines:
                node = LocatedNode(signature, operands(made), engine.user_line())
            else:
                node = _new(Node)
                node.signature = signature
                node.type = signature.type
                node.inputs = operands(made)
                node.value = None
            made.append(node)
        engine.extend(made[count:], 0)
        return [made[k] for k in self.results]

    def _replay_call(self, inputs: list[Node]) -> list[Node]:
        made = inputs + self.constants
        if self.located or engine.debug_lines:
            call: Node = LocatedNode(self.call, tuple(made), engine.user_line())
        else:
            call = Node(self.call, self.types, tuple(made))
        picks = [Node(s, s.type, (call,)) for s in self.picks]
        engine.extend([call, *picks], len(self.steps))
        return [made[k] if i < 0 else picks[i] for k, i in self.which]

    def unfolded(self, call: Node) -> list[Node]:
        """What the results of a call are, as nodes that are not pending."""
        made = list(call.inputs)
        for signature, operands, _ in self.steps:
            made.append(LocatedNode(signature, operands(made), call.where))
        return [made[k] for k in self.made]


class Capture:
    """``with Capture(inputs) as capture:`` encloses the Python whose work is to be recorded again on other inputs."""

    __slots__ = ("inputs", "mark", "outer")

    def __init__(self, inputs: list[Node]):
        self.inputs = inputs

    def __enter__(self) -> Capture:
        self.mark = engine.position()
        self.outer = engine.sealed
        engine.sealed = self.outer.union(self.inputs)
        return self

    def __exit__(self, *_) -> None:
        engine.sealed = self.outer

    def recording(self, results: list[Node], constants: Container[Node] = ()) -> Recording | None:
        """What was recorded for ``results``; None if it depends on more than the inputs, numbers and ``constants``."""
        return cut(engine.recorded_since(self.mark), self.inputs, results, constants)


def cut(recorded: list[Node] | None, inputs: list[Node], results: list[Node], constants: Container[Node] = ()) -> Recording | None:
    """The part of what was recorded that leads from ``inputs``, numbers and ``constants`` (values in memory that nobody writes to)
    to ``results``. None if they depend on more, or if what was recorded has run."""
    if recorded is None:
        return None
    at = {id(n): i for i, n in enumerate(recorded)}
    given = {id(n): i for i, n in enumerate(inputs)}
    needed = [False] * len(recorded)
    fixed: dict[int, Node] = {}
    stack = list(results)
    while stack:
        n = stack.pop()
        if id(n) in given:
            continue
        i = at.get(id(n))
        if i is None:
            if n.value is None or n.signature.op is not SCALAR and n not in constants:
                return None
            fixed[id(n)] = n
        elif not needed[i]:
            if n.signature.op.kind == "source" and n.inputs:  # random numbers: their place in the stream is drawn each time
                return None
            needed[i] = True
            stack.extend(n.inputs)
    place = dict(given)
    for k in fixed:
        place[k] = len(place)
    steps = []
    for n, wanted in zip(recorded, needed, strict=True):
        if wanted:
            place[id(n)] = len(place)
            steps.append((n.signature, _operands([place[id(x)] for x in n.inputs]), n.signature.op.faults))
    return Recording(steps, list(fixed.values()), [place[id(n)] for n in results], len(inputs))


def _operands(places: list[int]):
    if len(places) > 1:
        return itemgetter(*places)
    if not places:
        return _none
    only, = places
    return lambda made: (made[only],)


def _none(made):
    return ()
