"""What update rules are written against.

A rule is a function of values to new values. With `NODES` it appends to the graph directly, with no tensors in between:
that is what a step does. With `TENSORS` it runs on tensors and so on the tape, for optimizers made with
``differentiable=True``.
"""

from __future__ import annotations

import diya

from ..engine import append
from ..engine import scalar as scalar_node
from ..graph import PRIMITIVES, Node

_ADD, _SUB, _MUL, _DIV = (PRIMITIVES[name] for name in ("add", "sub", "mul", "div"))
_NEG, _ABS, _SIGN, _SQRT, _MAXIMUM, _MINIMUM = (PRIMITIVES[name]
                                                for name in ("neg", "abs", "sign", "sqrt", "maximum", "minimum"))
_WHERE, _GT, _LT = (PRIMITIVES[name] for name in ("where", "gt", "lt"))


class Nodes:
    """Arithmetic on graph nodes of one dtype; they broadcast."""

    @staticmethod
    def scalar(value: float, dtype) -> Node:
        """A number as an argument of the program."""
        return scalar_node(value, dtype)

    @staticmethod
    def add(a, b):
        return append(_ADD, (a, b))

    @staticmethod
    def sub(a, b):
        return append(_SUB, (a, b))

    @staticmethod
    def mul(a, b):
        return append(_MUL, (a, b))

    @staticmethod
    def div(a, b):
        return append(_DIV, (a, b))

    @staticmethod
    def detach(a):
        return a

    @staticmethod
    def neg(a):
        return append(_NEG, (a,))

    @staticmethod
    def abs(a):
        return append(_ABS, (a,))

    @staticmethod
    def sign(a):
        return append(_SIGN, (a,))

    @staticmethod
    def sqrt(a):
        return append(_SQRT, (a,))

    @staticmethod
    def maximum(a, b):
        return append(_MAXIMUM, (a, b))

    @staticmethod
    def minimum(a, b):
        return append(_MINIMUM, (a, b))

    @staticmethod
    def where(condition, a, b):
        return append(_WHERE, (condition, a, b))

    @staticmethod
    def gt(a, b):
        return append(_GT, (a, b))

    @staticmethod
    def lt(a, b):
        return append(_LT, (a, b))


class Tensors:
    """The same on tensors."""

    @staticmethod
    def scalar(value: float, dtype) -> float:
        return value

    @staticmethod
    def add(a, b):
        return a + b

    @staticmethod
    def sub(a, b):
        return a - b

    @staticmethod
    def mul(a, b):
        return a * b

    @staticmethod
    def div(a, b):
        return a / b

    @staticmethod
    def detach(a):
        return a.detach()

    @staticmethod
    def neg(a):
        return -a

    @staticmethod
    def abs(a):
        return a.abs()

    @staticmethod
    def sign(a):
        return a.sign()

    @staticmethod
    def sqrt(a):
        return a.sqrt()

    @staticmethod
    def maximum(a, b):
        return a.clamp(min=b) if isinstance(b, (int, float)) else a.maximum(b)

    @staticmethod
    def minimum(a, b):
        return a.clamp(max=b) if isinstance(b, (int, float)) else a.minimum(b)

    @staticmethod
    def where(condition, a, b):
        return diya.where(condition, a, b)

    @staticmethod
    def gt(a, b):
        return a > b

    @staticmethod
    def lt(a, b):
        return a < b


NODES, TENSORS = Nodes(), Tensors()
