"""Dropout, and the counter-based random numbers that programs draw.

A program's random numbers are a pure function of a position in a stream (`diya.philox`), so that any thread can make any
of them, in any order, with the same result, and nothing waits for a generator. Each draw reserves its part of the
default generator's stream at the call; the seed and the position are arguments of the program, not part of its code.
"""

from __future__ import annotations

from .. import engine, philox
from ..dtypes import float32, int64
from ..graph import primitive, type_of
from ..tensor import Tensor, check_inplace, from_node
from .compose import number, shown_as
from .elementwise import where
from .random import sampled
from .record import operator, snapshot, write_inplace


def _interpret(shape, seed, offset, type):
    return philox.philox_uniform(int(seed) & (1 << 64) - 1, int(offset) & (1 << 64) - 1, type.numel).reshape(shape)


PHILOX = primitive("philox", "source", lambda shape, seed, offset: type_of(shape, float32), interpret=_interpret)


def uniform(shape: tuple[int, ...]) -> Tensor:
    """Uniform float32 numbers in [0, 1) of the default generator's counter-based stream."""
    from ..random import default_generator

    def draw(shape: tuple[int, ...]) -> Tensor:
        n = type_of(shape, float32).numel
        seed, offset = default_generator.philox_state(n)
        return from_node(engine.record(PHILOX, (engine.scalar(seed, int64), engine.scalar(offset, int64)), shape))
    return sampled(shape, draw)


def _check_probability(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


@shown_as("Mul")
def _drop(input: Tensor, p: float, shape: tuple[int, ...]) -> Tensor:
    """``input`` / (1 − p) where a mask of ``shape`` keeps it, 0 elsewhere."""
    if p == 1 or not input.numel():
        return input * 0
    keep = uniform(shape) >= p
    return where(keep, input * (1 / (1 - p)), number(0, input))


def _alpha_drop(input: Tensor, p: float, shape: tuple[int, ...]) -> Tensor:
    """Dropout to SELU's saturation value, with the mean and variance kept (Klambauer et al., arXiv:1706.02515)."""
    alpha = 1.7580993408473766  # SELU's scale times its alpha
    if p == 1 or not input.numel():
        return input * 0
    a = ((1 - p) * (1 + p * alpha * alpha)) ** -0.5
    keep = uniform(shape) >= p
    return where(keep, input, number(-alpha, input)) * a + a * p * alpha


def _operator(name: str, drop, features: bool, functional: bool = True, default: bool = True) -> None:
    """``nn.functional.<name>(input, p, training, inplace)`` and ``torch.<name>(input, p, train)``, ``torch.<name>_``."""
    def run(input, p, training, inplace):
        _check_probability(p)
        if input.dtype.kind not in "fc" and training and p:
            raise RuntimeError(f"result type Float can't be cast to the desired output type {input.dtype}: {name} expects a "
                               f"floating-point tensor")
        if inplace:
            check_inplace(input)
        if not training or p == 0:
            return input
        x = snapshot(input) if inplace else input
        if features:
            if x.dim() < 2:
                raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
            shape = tuple(x.shape[:2]) + (1,) * (x.dim() - 2)
        else:
            shape = tuple(x.shape)
        out = drop(x, p, shape)
        return write_inplace(input, out) if inplace else out

    def function(input, p=0.5, training=default, inplace=False):
        return run(input, p, training, inplace)

    def plain(input, p, train):
        return run(input, p, train, False)

    def update(input, p, train):
        return run(input, p, train, True)

    for path, f in ((f"nn.functional.{name}", function), (name, plain), (name + "_", update)):
        if f is not function or functional:
            f.__name__ = f.__qualname__ = path.rpartition(".")[2]
            f.__doc__ = f"{drop.__doc__.splitlines()[0]} Drawn from the counter-based stream of the default generator."
            operator(path, method=False, out=False)(f)


_operator("dropout", _drop, False)
_operator("feature_dropout", _drop, True, functional=False)
_operator("alpha_dropout", _alpha_drop, False, default=False)
_operator("feature_alpha_dropout", _alpha_drop, True, default=False)


def _channelwise(name: str, unbatched: int | None, expected: tuple[int, ...]):
    """Dropout of whole channels; ``unbatched`` is the rank of an input whose first dimension is the channels."""
    def function(input, p=0.5, training=True, inplace=False):
        _check_probability(p)
        if input.dim() not in expected:
            import warnings
            warnings.warn(f"{name}: Received a {input.dim()}-D input to {name}, which is deprecated and will result in an error "
                          f"in a future release. Expected one of {list(expected)} dimensions.", UserWarning, stacklevel=4)
        if inplace:
            check_inplace(input)
        if not training or p == 0:
            return input
        x = snapshot(input) if inplace else input
        rank = x.dim()
        lead = 1 if unbatched is not None and rank == unbatched else min(2, rank)
        out = _drop(x, p, tuple(x.shape[:lead]) + (1,) * (rank - lead))
        return write_inplace(input, out) if inplace else out

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Zeroes whole channels with probability ``p`` and scales the others by 1 / (1 − p)."
    operator(f"nn.functional.{name}", method=False, out=False)(function)


_channelwise("dropout1d", 2, (2, 3))
_channelwise("dropout2d", None, (3, 4))  # PyTorch takes 3 dimensions for (N, C, L) here
_channelwise("dropout3d", 4, (4, 5))


@operator("native_dropout", method=False, out=False)
def native_dropout(input, p, train):
    """`dropout`'s result, and the bool mask of what it kept."""
    _check_probability(p)
    if not train:
        return input.clone(), (input == input) | True
    keep = uniform(tuple(input.shape)) >= p
    return where(keep, input * (1 / (1 - p) if p < 1 else 0), number(0, input)), keep
