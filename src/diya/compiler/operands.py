"""The operands of contractions, and index variables as axes of theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..dtypes import dtype
from ..graph import Affine, Contraction, contiguous_strides


class Operand(NamedTuple):
    """A buffer as an operand: ``flat[offset + Σ i·strides]``, in elements.

    ``spread``: for each dimension, how far apart a contraction sees the elements, with zeros between (1: as they are).
    Coordinates then are those of the spread array; ``shape`` is that of the elements.
    """

    dtype: dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    spread: tuple[int, ...] = ()


class Stream(NamedTuple):
    """``first + Σ index[var]·steps[var]``: an address, or (``size`` given) a coordinate that may leave its operand."""

    steps: tuple[int, ...]
    first: int
    size: int = 0


class Epilogue(NamedTuple):
    """What happens to a sum on its way to memory: ``emit(b, sum, *inputs) -> Value``; ``inputs`` are arrays over the
    output's dimensions (stride 0 where they broadcast). ``key`` identifies ``emit``'s code."""

    key: str
    emit: Any
    inputs: tuple[Operand, ...] = ()

    def __eq__(self, other):
        return isinstance(other, Epilogue) and self.key == other.key

    def __hash__(self):
        return hash(self.key)


def streams_of(c: Contraction, coordinates: tuple[Affine, ...], x: Operand) -> list[Stream]:
    """An operand's address, then each of its coordinates that can leave it."""
    steps, first, checks = [0] * len(c.sizes), x.offset, []
    for affine, size, stride in zip(coordinates, x.shape, x.strides, strict=True):
        coefficients = [0] * len(c.sizes)
        low = high = affine.const
        for var, coefficient in affine.terms:
            coefficients[var] += coefficient
        for var, coefficient in enumerate(coefficients):
            reach = coefficient * (c.sizes[var] - 1)
            low, high = low + min(0, reach), high + max(0, reach)
            steps[var] += coefficient * stride
        first += affine.const * stride
        if low < 0 or high >= size:
            checks.append(Stream(tuple(coefficients), affine.const, size))
    return [Stream(tuple(steps), first), *checks]


def appears(coordinates: tuple[Affine, ...]) -> set[int]:
    return {var for affine in coordinates for var, coefficient in affine.terms if coefficient}


def merge(variables: list[int], sizes: tuple[int, ...], streams: list[Stream],
          kept: frozenset | set = frozenset()) -> list[tuple[int, list[int]]]:
    """Variables, outermost first, as axes (size, step in every stream); neighbours that step alike become one."""
    axes: list[tuple[int, list[int]]] = []
    for v in variables:
        if sizes[v] == 1 and v not in kept:
            continue
        steps = [s.steps[v] for s in streams]
        if axes and axes[-1][1] == [step * sizes[v] for step in steps]:
            axes[-1] = (axes[-1][0] * sizes[v], steps)
        else:
            axes.append((sizes[v], steps))
    return axes


def run_length(axes: list[tuple[int, list[int]]], stream: int) -> int:
    """How many neighbouring index values are neighbours in memory too."""
    length = 1
    for size, steps in reversed(axes):
        if steps[stream] != length:
            break
        length *= size
    return length


def steps_of(axes: list[tuple[int, list[int]]], stream: int) -> str:
    """How memory is met along a group: see `Reading`."""
    if len(axes) == 1 and axes[0][1][stream] == 1:
        return "unit"
    return "runs" if len(axes) > 1 and run_length(axes, stream) >= 4 else "strided"


class Problem(NamedTuple):
    """A contraction as a matrix product: sizes of the groups, and all that its kernel is told; ``write(symbol)`` is its code."""

    form: Any
    numbers: dict[str, int]
    tasks: int
    scratch: int
    work: float
    write: Callable[[str], str]


def classify(c: Contraction) -> tuple[list[int], list[int], list[int], list[int]]:
    """The variables of z, those of a alone, those of b alone, those of k."""
    in_a, in_b = appears(c.a), appears(c.b)
    z, only_a, only_b, k = [], [], [], []
    for v in range(len(c.sizes)):
        if v >= c.n_out:
            k.append(v)
        elif v in in_a and v in in_b:
            z.append(v)
        else:
            (only_b if v in in_b else only_a).append(v)
    return z, only_a, only_b, k


def dense(d: dtype, shape: tuple[int, ...]) -> Operand:
    """A whole row-major buffer as an operand."""
    return Operand(d, tuple(shape), contiguous_strides(shape))


def walks(form, streams: dict[str, list], axes: dict[str, list]) -> dict[str, int]:
    """The numbers behind `emit.contraction.walk_names`: where each stream starts, how long axes are, and the steps along
    them."""
    numbers = {f"{name}.first": s.first for name, s in zip(form.streams("z"), streams["z"], strict=True)}
    for g in "zmnkt":
        for axis, (size, steps) in enumerate(axes[g]):
            numbers[f"{g}{axis}"] = size
            numbers.update({f"{name}.{g}{axis}": step for name, step in zip(form.streams(g), steps, strict=True)})
    return numbers
