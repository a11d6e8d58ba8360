"""Convolutions of one, two and three dimensions, and their transposes, as contractions.

A convolution sums over input channels and over the positions of the filter, and reads its input at
``o·stride + k·dilation − padding``: nothing is unrolled or padded in memory. Groups are one more index that input,
weight and output share. A transposed convolution is the gradient of a convolution with respect to its input.
"""

from __future__ import annotations

from functools import wraps

from ..dtypes import int64
from ..graph import Affine, Contraction
from ..tensor import Tensor
from .compose import also, shown_as, widened
from .contraction import contract, operand_gradient
from .movement import laid_like
from .record import _long_name, operator


def _each(name: str, argument: str, value, rank: int) -> tuple[int, ...]:
    """An int or a sequence of ints as one int for each spatial dimension."""
    if isinstance(value, int):
        return (value,) * rank
    values = tuple(int(v) for v in value)
    if len(values) == 1:
        values *= rank
    if len(values) != rank:
        raise RuntimeError(f"{name}: expected {argument} to be a single integer value or a list of {rank} values to match the "
                           f"convolution dimensions, but got {argument}={list(values)}")
    return values


def _check(name: str, rank: int, input: Tensor, weight: Tensor, bias, groups: int, transposed: bool) -> None:
    for argument, x in (("input", input), ("weight", weight)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}(): argument '{argument}' must be Tensor, not {type(x).__name__}")
    if weight.dim() != rank + 2:
        raise RuntimeError(f"{name}: expected a weight of {rank + 2} dimensions, but got size {list(weight.shape)}")
    if input.dim() not in (rank + 1, rank + 2):
        raise RuntimeError(f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {name}, but got input of size: "
                           f"{list(input.shape)}")
    if input.dtype is not weight.dtype:
        raise RuntimeError(f"Input type ({_long_name(input.dtype)}) and weight type ({_long_name(weight.dtype)}) should be the "
                           f"same: convert one with .to(dtype)")
    if bias is not None and bias.dtype is not input.dtype:
        raise RuntimeError(f"Input type ({_long_name(input.dtype)}) and bias type ({_long_name(bias.dtype)}) should be the same: "
                           f"convert one with .to(dtype)")
    if groups <= 0:
        raise RuntimeError(f"non-positive groups is not supported, got groups={groups}")
    channels = input.shape[input.dim() - rank - 1]
    size = list(weight.shape)
    if transposed:
        if channels != weight.shape[0]:
            raise RuntimeError(f"Given transposed=1, weight of size {size}, expected input{list(input.shape)} to have "
                               f"{weight.shape[0]} channels, but got {channels} channels instead")
        if channels % groups:
            raise RuntimeError(f"Given groups={groups}, the number of input channels ({channels}) must be divisible by it")
    else:
        if weight.shape[0] < groups or weight.shape[0] % groups:
            raise RuntimeError(f"Given groups={groups}, expected weight to be at least {groups} at dimension 0 and divisible by "
                               f"{groups}, but got weight of size {size} instead")
        if channels != weight.shape[1] * groups:
            raise RuntimeError(f"Given groups={groups}, weight of size {size}, expected input{list(input.shape)} to have "
                               f"{weight.shape[1] * groups} channels, but got {channels} channels instead")
    outputs = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and tuple(bias.shape) != (outputs,):
        raise RuntimeError(f"Given weight of size {size}, expected bias to be 1-dimensional with {outputs} elements, but got bias "
                           f"of size {list(bias.shape)} instead")


def _plain(*variables: int) -> tuple[Affine, ...]:
    return tuple(Affine(((v, 1),)) for v in variables)


def _spec(batch: int, groups: int, outputs: int, channels: int, spatial, kernel, stride, low, dilation) -> Contraction:
    """The contraction of an input (batch, groups, channels, …) and a weight (groups, outputs, channels, …kernel).

    Its indices are batch, group, output channel and output position, then channel and filter position. Without groups
    neither operand has their dimension.
    """
    rank = len(spatial)
    lead = 1 if groups > 1 else 0
    n_out = 2 + lead + rank
    sizes = (batch, *([groups] if lead else []), outputs, *spatial, channels, *kernel)
    group, out, channel = (1,) * lead, 1 + lead, n_out
    at, k = range(2 + lead, n_out), range(n_out + 1, n_out + 1 + rank)
    window = tuple(Affine(((at[d], stride[d]), (k[d], dilation[d])), -low[d]) for d in range(rank))
    return Contraction(sizes, n_out, (*_plain(0, *group, channel), *window), _plain(*group, out, channel, *k))


def _grouped(x: Tensor, dim: int, groups: int) -> Tensor:
    """``x`` with its channels (at ``dim``) as groups of channels."""
    if groups == 1:
        return x
    return x.reshape(*x.shape[:dim], groups, x.shape[dim] // groups, *x.shape[dim + 1:])


def _rounded_once(compute):
    """Half precision with a bias is computed in float32 and rounded once, as PyTorch does."""
    @wraps(compute)
    def call(name, rank, input, weight, bias, *rest):
        if bias is None or not (input.dtype is weight.dtype is bias.dtype) or input.dtype.itemsize != 2:
            return compute(name, rank, input, weight, bias, *rest)
        return compute(name, rank, widened(input), widened(weight), widened(bias), *rest).to(input.dtype)
    return call


@shown_as("Convolution")
def _add_bias(out: Tensor, bias, rank: int) -> Tensor:
    return out if bias is None else out + bias.reshape(-1, *(1,) * rank)


@_rounded_once
def _forward(name: str, rank: int, input: Tensor, weight: Tensor, bias, stride, padding, dilation, groups: int) -> Tensor:
    _check(name, rank, input, weight, bias, groups, False)
    stride, dilation = _each(name, "stride", stride, rank), _each(name, "dilation", dilation, rank)
    if input.dtype.kind in "ui" and input.dtype is not int64 and any(d > 1 for d in dilation):
        raise NotImplementedError(f'"slow_conv_dilated" not implemented for \'{_long_name(input.dtype)}\'')
    kernel = tuple(weight.shape[2:])
    if isinstance(padding, str):
        if padding == "valid":
            low = high = (0,) * rank
        elif padding == "same":
            if any(s != 1 for s in stride):
                raise RuntimeError("padding='same' is not supported for strided convolutions")
            total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
            low = tuple(t // 2 for t in total)
            high = tuple(t - t // 2 for t in total)
        else:
            raise RuntimeError(f"Invalid padding string: '{padding}': expected 'same' or 'valid'")
    else:
        low = high = _each(name, "padding", padding, rank)
    for argument, values, least in (("stride", stride, 1), ("dilation", dilation, 1), ("padding", low, 0)):
        if any(v < least for v in values):
            kind = "non-positive" if least else "negative"
            raise RuntimeError(f"{kind} {argument} is not supported, got {argument}={list(values)}")
    batched = input.dim() == rank + 2
    x = input if batched else input.unsqueeze(0)
    padded = [s + lo + hi for s, lo, hi in zip(x.shape[2:], low, high, strict=True)]
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    if any(p < r for p, r in zip(padded, reach, strict=True)):
        raise RuntimeError(f"Calculated padded input size per channel: ({' x '.join(map(str, padded))}). Kernel size: "
                           f"({' x '.join(map(str, reach))}). Kernel size can't be greater than actual input size")
    spatial = [(p - r) // s + 1 for p, r, s in zip(padded, reach, stride, strict=True)]
    spec = _spec(x.shape[0], groups, weight.shape[0] // groups, weight.shape[1], spatial, kernel, stride, low, dilation)
    out = contract(_grouped(x, 1, groups), _grouped(weight, 0, groups), spec, "Convolution")
    out = _add_bias(out.reshape(x.shape[0], weight.shape[0], *spatial) if groups > 1 else out, bias, rank)
    return out if batched else out.squeeze(0)


@_rounded_once
def _transposed(name: str, rank: int, input: Tensor, weight: Tensor, bias, stride, padding, output_padding, groups: int,
                dilation) -> Tensor:
    _check(name, rank, input, weight, bias, groups, True)
    stride, dilation = _each(name, "stride", stride, rank), _each(name, "dilation", dilation, rank)
    low, extra = _each(name, "padding", padding, rank), _each(name, "output_padding", output_padding, rank)
    for argument, values, least in (("stride", stride, 1), ("dilation", dilation, 1), ("padding", low, 0),
                                    ("output_padding", extra, 0)):
        if any(v < least for v in values):
            kind = "non-positive" if least else "negative"
            raise RuntimeError(f"{kind} {argument} is not supported, got {argument}={list(values)}")
    if 0 in weight.shape[2:]:
        raise RuntimeError(f"kernel size should be greater than zero, but got {list(weight.shape[2:])}")
    if any(e >= s and e >= d for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise RuntimeError(f"output padding must be smaller than either stride or dilation, but got output_padding={list(extra)}, "
                           f"stride={list(stride)}, dilation={list(dilation)}")
    batched = input.dim() == rank + 2
    x = input if batched else input.unsqueeze(0)
    kernel = tuple(weight.shape[2:])
    spatial = tuple((n - 1) * s - 2 * p + d * (k - 1) + e + 1
                    for n, s, p, d, k, e in zip(x.shape[2:], stride, low, dilation, kernel, extra, strict=True))
    if any(s <= 0 for s in spatial):
        raise RuntimeError(f"Given input size per channel: {list(x.shape[2:])}. Calculated output size per channel: "
                           f"{list(spatial)}. Output size is too small")
    outputs = weight.shape[1]
    # The convolution whose input gradient this is: from the output here (outputs channels) to the input here.
    spec = _spec(x.shape[0], groups, weight.shape[0] // groups, outputs, x.shape[2:], kernel, stride, low, dilation)
    shape = (x.shape[0], *([groups] if groups > 1 else []), outputs, *spatial)
    filters = _grouped(weight.conj(), 0, groups)  # a gradient conjugates it back
    out = operand_gradient(_grouped(x, 1, groups), filters, spec, "a", shape, "Convolution")
    out = _add_bias(out.reshape(x.shape[0], outputs * groups, *spatial) if groups > 1 else out, bias, rank)
    return out if batched else out.squeeze(0)


def _make(rank: int) -> None:
    def conv(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        out = _forward(f"conv{rank}d", rank, input, weight, bias, stride, padding, dilation, groups)
        return laid_like(input, laid_like(weight, out))

    def conv_transpose(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        out = _transposed(f"conv_transpose{rank}d", rank, input, weight, bias, stride, padding, output_padding, groups, dilation)
        return laid_like(input, laid_like(weight, out))

    sizes = "LHW"[:1] if rank == 1 else "DHW"[3 - rank:]
    conv.__name__ = conv.__qualname__ = f"conv{rank}d"
    conv.__doc__ = (f"Convolves an input (N, C, {', '.join(sizes)}) with a weight (O, C/groups, …); ``padding`` may be 'same' or "
                    f"'valid'.")
    conv_transpose.__name__ = conv_transpose.__qualname__ = f"conv_transpose{rank}d"
    conv_transpose.__doc__ = f"The transpose of `conv{rank}d`: its gradient with respect to the input."
    for f in (conv, conv_transpose):
        takes = "uifc" if f is conv else "lfc"
        also(f.__name__, operator("nn.functional." + f.__name__, method=False, out=False, takes=takes)(f))


for _rank in (1, 2, 3):
    _make(_rank)


@operator("convolution", method=False, out=False)
def convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups):
    """A convolution of any rank, or the transpose of one."""
    name = f"conv{'_transpose' if transposed else ''}{weight.dim() - 2}d"
    if transposed:
        return _transposed(name, weight.dim() - 2, input, weight, bias, stride, padding, output_padding, groups, dilation)
    return _forward(name, weight.dim() - 2, input, weight, bias, stride, padding, dilation, groups)


@operator("nn.functional.conv_tbc", method=False, out=False)
def conv_tbc(input, weight, bias, pad=0):
    """A one-dimensional convolution of an input (time, batch, channels) with a weight (kernel, channels, outputs)."""
    if input.dim() != 3 or weight.dim() != 3 or bias.dim() != 1:
        raise RuntimeError(f"conv_tbc: expected an input and a weight of 3 dimensions and a bias of 1, got {list(input.shape)}, "
                           f"{list(weight.shape)} and {list(bias.shape)}")
    return _forward("conv1d", 1, input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, 1, pad, 1, 1).permute(2, 0, 1)


also("conv_tbc", conv_tbc)
