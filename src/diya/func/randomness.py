"""Random numbers inside of ``vmap``: an error, the same for the whole batch, or different ones for each element."""

from __future__ import annotations

from collections.abc import Callable

from .. import engine
from ..autograd.modes import modes
from ..ops.movement import stack
from ..tensor import Tensor
from .batching import levels_of
from .levels import at_levels, entered


def _different() -> list:
    """The levels whose elements get numbers of their own. Raises RuntimeError where random operators are an error."""
    if any(level.randomness == "error" for level in modes.levels):
        raise RuntimeError("vmap: called random operation while in randomness error mode. Please either use the 'same' or "
                           "'different' randomness flags on vmap or perform the randomness operation out of vmap")
    return [level for level in modes.levels if level.randomness == "different"]


def _spread(t: Tensor, levels: list) -> Tensor:
    """A tensor whose first dimensions are the batches of ``levels``, inside of them."""
    for level in levels:
        t = entered(t, 0, level)
    return t


def drawn(shape: tuple[int, ...], draw: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
    """``draw(shape)``, for the elements that are to differ at once."""
    levels = _different()
    whole = (*[level.size for level in levels], *shape)
    return _spread(draw(whole) if engine.drawing is None else engine.drawing.drawn(whole, draw), levels)


def drawn_from(x: Tensor, draw: Callable[[], Tensor]) -> Tensor:
    """``draw()``, which looks at ``x``; where that differs between elements it is called for each (see `one_by_one`)."""
    levels, own = _different(), levels_of(x._value())
    if any(level.randomness == "same" for level in own):
        raise RuntimeError("Vmap does not currently support same randomness with a batched tensor input. Please use different "
                           "randomness with vmap")
    if own or not levels:
        return draw()
    level = levels[-1]
    with at_levels(tuple([x for x in modes.levels if x is not level])):
        samples = [drawn_from(x, draw) for _ in range(level.size)]
        return _spread(stack(samples), [level])


def apart_as(t: Tensor, input: Tensor) -> Tensor:
    """A new tensor as one that may get different random numbers for each element where ``input`` is one of each."""
    for level in levels_of(input._value()):
        if level.randomness == "different":
            with at_levels(tuple([x for x in modes.levels if x is not level])):
                whole = t.expand(level.size, *t.shape)
            t = entered(whole, 0, level)
    return t


def check_filled(t: Tensor) -> None:
    """Raises RuntimeError where a tensor that is the same for the whole batch would get different numbers."""
    if any(level not in levels_of(t._value()) for level in _different()):
        raise RuntimeError("vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will appear like same "
                           "randomness. If this is necessary for your usage, please file an issue with functorch.")
