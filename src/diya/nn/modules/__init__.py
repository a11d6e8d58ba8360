"""The modules of `diya.nn`."""

from . import (
    activation,
    adaptive,
    batchnorm,
    channelshuffle,
    container,
    conv,
    distance,
    dropout,
    flatten,
    fold,
    instancenorm,
    linear,
    loss,
    normalization,
    padding,
    pixelshuffle,
    pooling,
    rnn,
    sparse,
    transformer,
    upsampling,
)
from .module import Module as Module

_FAMILIES = (activation, adaptive, batchnorm, channelshuffle, container, conv, distance, dropout, flatten, fold,
             instancenorm, linear, loss, normalization, padding, pixelshuffle, pooling, rnn, sparse, transformer,
             upsampling)
__all__ = ["Module"]  # noqa: PLE0604
for _family in _FAMILIES:
    for _name in _family.__all__:
        globals()[_name] = getattr(_family, _name)
        __all__.append(_name)
__all__.sort()
