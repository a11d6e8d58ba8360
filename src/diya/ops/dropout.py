"""Dropout, and the counter-based random numbers that programs draw.

What dropout keeps is drawn at the call from the default generator, as PyTorch draws it: a seed gives the same masks, and
leaves the generator where PyTorch leaves it. The mask is an input of the program.

A program's own random numbers are a pure function of a position in a stream (`diya.philox`), so that any thread can make
any of them, in any order, with the same result, and nothing waits for a generator. Each draw reserves its part of the
default generator's stream at the call; the seed and the position are arguments of the program, not part of its code.
"""

from __future__ import annotations

import math

import numpy as np

from .. import engine, philox, views
from ..device import META
from ..dtypes import bool_, float32, float64, int64
from ..graph import primitive, type_of
from ..tensor import Tensor, _from_array, check_inplace, from_node
from .again import remembered
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
    if not 0.0 <= p <= 1.0:  # NaN comes as far as the operator in PyTorch
        raise (RuntimeError if p != p else ValueError)(f"dropout probability has to be between 0 and 1, but got {p}")


def _kept(like: Tensor, shape: tuple[int, ...], p: float) -> Tensor:
    """A bool mask, True with probability 1 − ``p``; of all elements of ``like`` drawn in the order that they have in memory."""
    from ..random import default_generator
    if like.device is META:
        return like.new_empty(shape, dtype=bool_)
    order, strides = None, like._strides
    if strides is not None and shape == tuple(like.shape) and views.is_dense(shape, strides):
        order = views.memory_order(shape, strides)

    def draw(shape: tuple[int, ...]) -> Tensor:
        drawn = default_generator.below(math.prod(shape), 1.0 - p)
        if order is None:
            return _from_array(drawn.reshape(shape), bool_)
        lead = len(shape) - len(order)  # the sizes of batches, inside of vmap
        inner = (*range(lead), *[lead + d for d in order])
        return _from_array(np.asarray(drawn.reshape([shape[d] for d in inner]).transpose(np.argsort(inner)), order="C"), bool_)
    return sampled(shape, draw)


def _scale(input: Tensor, p: float) -> Tensor:
    """1 / (1 − p) as PyTorch computes it: in the input's dtype, or float32 if that is wider."""
    kind = np.float64 if input.dtype is float64 else np.float32
    return number(float(kind(1) / kind(1.0 - p)), input)


@shown_as("Mul")
def _drop(input: Tensor, p: float, shape: tuple[int, ...]) -> Tensor:
    """``input`` / (1 − p) where a mask of ``shape`` keeps it, 0 elsewhere."""
    if p == 1 or not input.numel():
        return input * 0
    return _masked(input, _kept(input, shape, p), p)


@remembered
def _masked(input: Tensor, mask: Tensor, p: float) -> Tensor:
    return input * where(mask, _scale(input, p), number(0, input))


def _alpha_drop(input: Tensor, p: float, shape: tuple[int, ...]) -> Tensor:
    """Dropout to SELU's saturation value, with the mean and variance kept (Klambauer et al., arXiv:1706.02515)."""
    alpha = 1.7580993408473766  # SELU's scale times its alpha
    if p == 1 or not input.numel():
        return input * 0
    a = 1.0 / math.sqrt((alpha * alpha * p + 1) * (1 - p))
    noise = _kept(input, shape, p).to(input.dtype)
    return input * (noise * a) + ((noise - 1) * (alpha * a) + alpha * a * p)


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
            f.__doc__ = f"{drop.__doc__.splitlines()[0]}"
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
        if rank < 2:
            raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
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
    keep = _kept(input, tuple(input.shape), p)
    return input * keep * (1 / (1 - p) if p < 1 else 0), keep
