"""The tape that a captured call would have left, for where somebody looks at it, or asks it for more than was captured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ..autograd.stencil import NotRepeatable, check_repeatable, kept
from ..autograd.tape import GradNode, NodeBase, SavedOutputs, SavedTensor, edge_of
from ..engine import NotCapturable
from ..graph import Node
from ..recording import Recording
from ..storage import Storage
from ..tensor import Tensor


class Place(NamedTuple):
    """Memory of an input or an output, at a version."""

    kind: str
    position: int
    version: int


class Tape:
    """What evaluation left between its results and the stand-ins. ``saved`` are the values that it keeps; ``recording`` makes them
    from the inputs of a call and those of the values kept for its backward that are ``given``."""

    recording: Recording
    given: list[int]

    def __init__(self, roots: list[Tensor], targets: list[Tensor], storages: dict[int, tuple[str, int]]):
        """``targets``: the stand-ins that get gradients. ``storages`` by id: of an input or an output, and of which."""
        self.roots: list[Any] = [edge_of(t) for t in roots]
        self.ends: dict[Any, int] = {}
        for i, t in enumerate(targets):
            self.ends.setdefault(edge_of(t), i)
        self.nodes: list[GradNode] = sorted(self.reach(range(len(roots))), key=lambda fn: fn.sequence)
        self.plain = not any(fn.levels for fn in self.nodes)  # whether it can be made again for other values
        if self.plain:
            for fn in self.nodes:
                try:
                    check_repeatable(fn)
                except NotRepeatable as error:
                    raise NotCapturable(str(error)) from None
        saved = [s for fn in self.nodes for s in kept(fn)]
        self.saved = list(dict.fromkeys([s.node for s in saved]))
        self.places = {s: Place(*storages[id(s.storage)], s.version) for s in saved if id(s.storage) in storages}
        self.watched = sorted(dict.fromkeys(self.places.values()))  # memory that must not be written to before backward

    def reach(self, outputs: Iterable[int]) -> set:
        """The nodes behind some outputs."""
        found: set[Any] = set()
        stack = [self.roots[k] for k in outputs]
        while stack:
            edge = stack.pop()
            if edge is not None and edge not in self.ends and edge[0] not in found:
                found.add(edge[0])
                stack += edge[0].edges
        return found

    def shared(self) -> list[set[int]]:
        """For each output: those whose backward needs values that its own lets go of."""
        keeping = [{fn for fn in self.reach([k]) if kept(fn)} for k in range(len(self.roots))]
        return [{j for j, other in enumerate(keeping) if own & other} for own in keeping]

    def again(self, values: list[Node], versions: list[tuple[Storage, int, int]], edges: tuple, sequence: int,
              gone: set) -> list[tuple[NodeBase, int]]:
        """The outputs' edges on such a tape. ``values`` are those that it keeps, ``versions`` of the memory that it watches,
        ``edges`` where it goes on, ``gone`` the nodes that have let go of their values."""
        value_of = dict(zip(self.saved, values, strict=True)) if values else {}
        version_at = dict(zip(self.watched, versions, strict=True)) if values else {}
        made: dict[Any, NodeBase] = {}

        def edge(e: Any) -> Any:
            return None if e is None else edges[self.ends[e]] if e in self.ends else (made[e[0]], e[1])

        def copied(s: SavedTensor) -> SavedTensor:
            copy = object.__new__(SavedTensor)
            copy.node, copy.type, copy.edge, copy.hooks = value_of[s.node], s.type, edge(s.edge), None
            copy.layout = s.layout
            found = version_at.get(self.places.get(s))  # type: ignore[arg-type]
            copy.storage, copy.version, copy.hidden = found or (Storage(copy.node), 0, 0)
            return copy

        for i, fn in enumerate(self.nodes):
            copy = made[fn] = object.__new__(GradNode)
            copy.__dict__.update(fn.__dict__)
            copy.sequence = sequence + i / len(self.nodes)  # type: ignore[assignment]  # before what was recorded afterwards
            copy.edges = tuple([edge(e) for e in fn.edges])
            if fn in gone:
                copy.release()
                continue
            copy.saved = [(k, copied(s)) for k, s in fn.saved]
            if isinstance(fn.saved_out, SavedOutputs):
                copy.saved_out = object.__new__(SavedOutputs)
                copy.saved_out.items = [copied(s) for s in fn.saved_out.items]
            elif fn.saved_out is not None:
                copy.saved_out = copied(fn.saved_out)
        return [edge(e) for e in self.roots]
