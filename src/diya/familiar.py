"""Which programs need no interpreting although they are new: those that are like one which the compiler has seen.

Kernels do not depend on sizes, so a program that is another one in other sizes (the last batch of an epoch) has its code
already. The second step of a training loop is not quite the first, which makes the optimizer's state, but all that it does
was in the first. Both are told from what was met before, never from what a cache holds, so that the same program takes the
same path each time.
"""

from __future__ import annotations

from .graph import Graph

MAX_KNOWN = 1 << 18
NEW = 10  # one instruction in so many may be new: compiling those takes less time than interpreting all the others

_forms: set[int] = set()     # hashes: of programs without their sizes
_parts: set[int] = set()     # of instructions with the types of their operands


class Likeness:
    """What a program has in common with others."""

    __slots__ = ("graph", "_form", "_parts")

    def __init__(self, graph: Graph):
        self.graph = graph
        self._form: int | None = None
        self._parts: list[int] | None = None

    @property
    def form(self) -> int:
        if self._form is None:
            self._form = _form(self.graph)
        return self._form

    @property
    def parts(self) -> list[int]:
        if self._parts is None:
            self._parts = _instructions(self.graph)
        return self._parts

    def note(self) -> None:
        """The compiler is given this program, and what it is made of is known from now on."""
        if len(_parts) > MAX_KNOWN:
            _parts.clear()
            _forms.clear()
        _forms.add(self.form)
        _parts.update(self.parts)
        self._parts = None

    def familiar(self, observed: bool) -> bool:
        """Whether a program's code was made, or nearly so, for those met before. A program that only somebody's look caused
        must be one of them in other sizes; a step of a loop may also be made of parts of them, nearly all of it."""
        if self.form in _forms:
            return True
        return not observed and sum([p not in _parts for p in self.parts]) * NEW <= len(self.parts)


def _instructions(graph: Graph) -> list[int]:
    code = graph.code
    return [hash((n.op, n.attrs, n.type, *[code[j].type for j in n.inputs])) for n in code if n.inputs]


def _form(graph: Graph) -> int:
    return hash((graph.outputs, graph.donated, *[(n.op, n.inputs, _sizeless(n.attrs), _kind(n.type)) for n in graph.code]))


def _kind(type):
    return tuple([_kind(t) for t in type]) if isinstance(type, tuple) else (type.dtype, len(type.shape))


def _sizeless(attrs):
    """Attributes without the numbers that may be sizes."""
    if isinstance(attrs, tuple):
        return tuple([_sizeless(x) for x in attrs])
    return "n" if isinstance(attrs, int) and not -2 < attrs < 8 else attrs
