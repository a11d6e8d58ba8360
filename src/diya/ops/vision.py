"""Padding, patches, resampling and rearranging of images and other grids."""

from __future__ import annotations

import math
import warnings

import numpy as np

from ..graph import contiguous_strides
from ..tensor import Tensor, _from_array, from_node
from .compose import also, number, require_float, show, shown_as, widened
from .creation import arange, linspace
from .elementwise import where
from .index import take_at
from .matmul import matmul
from .movement import _strided_op, cat, constant, flip, fold, laid_like, sizes_of, stack, write
from .pooling import _adaptive_avg_pool, weighted_windows
from .record import _long_name, element, operator

# -- padding -----------------------------------------------------------------------------------------------------------


@shown_as("ConstantPadNd")
def constant_pad(x: Tensor, pad, value=0) -> Tensor:
    """``x`` with ``pad`` (before, after; last dimension first) elements of ``value``; negative ones cut off."""
    rank = x.dim()
    grow = [(0, 0)] * rank
    for i in range(len(pad) // 2):
        d = rank - 1 - i
        low, high = min(pad[2 * i], 0), min(pad[2 * i + 1], 0)
        if x.shape[d] + low + high < 0:
            raise RuntimeError(f"The input size {x.shape[d]}, plus negative padding {pad[2 * i]} and {pad[2 * i + 1]} resulted in "
                               f"a negative output size, which is invalid. Check dimension {d} of your input.")
        if low or high:
            x = x.narrow(d, -low, x.shape[d] + low + high)
        grow[d] = max(pad[2 * i], 0), max(pad[2 * i + 1], 0)
    if all(g == (0, 0) for g in grow):
        return x.clone()
    shape = tuple(s + lo + hi for s, (lo, hi) in zip(x.shape, grow, strict=True))
    dense = contiguous_strides(shape)
    start = sum(lo * st for (lo, _), st in zip(grow, dense, strict=True)) if x.numel() else 0
    return laid_like(x, write(from_node(constant(shape, value, x.dtype)), x, (tuple(x.shape), dense, start)))


def _edges(mode: str, x: Tensor, d: int, low: int, high: int) -> list[Tensor]:
    """What stands before ``x`` along ``d``, and what after it."""
    size = x.shape[d]
    if mode == "replicate":
        def spread(part: Tensor, n: int) -> Tensor:
            return part.expand(*[n if k == d else s for k, s in enumerate(part.shape)])
        return [spread(x.narrow(d, 0, 1), low) if low > 0 else None, spread(x.narrow(d, size - 1, 1), high) if high > 0 else None]
    if mode == "reflect":
        return [flip(x.narrow(d, 1, low), d) if low > 0 else None,
                flip(x.narrow(d, size - 1 - high, high), d) if high > 0 else None]
    return [x.narrow(d, size - low, low) if low > 0 else None, x.narrow(d, 0, high) if high > 0 else None]


_PADS = {"reflect": "ReflectionPad", "replicate": "ReplicationPad", "circular": "CircularPad"}


@operator("nn.functional.pad", method=False, out=False)
def pad(input, pad, mode="constant", value=None):
    """Adds elements around ``input``: ``pad`` = (before, after) for the last dimension, then the one before it, and so on.

    ``mode``: "constant" (``value``, 0 by default), "reflect", "replicate" or "circular". Negative numbers cut off.
    """
    pad = list(sizes_of([pad]))
    if len(pad) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, got {len(pad)}")
    if len(pad) > 2 * input.dim():
        raise RuntimeError(f"Padding length should be less than or equal to two times the input dimension but got padding length "
                           f"{len(pad)} and input of dimension {input.dim()}")
    if mode == "constant":
        return constant_pad(input, pad, 0 if value is None else element(value, input.dtype))
    if value is not None and value != 0:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if mode != "circular" and input.dtype.kind == "b":
        raise NotImplementedError(f'"{mode}_pad" not implemented for \'Bool\'')
    rank = len(pad) // 2
    if rank not in (1, 2, 3) or input.dim() not in (rank + 1, rank + 2):
        raise NotImplementedError(f"Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now: got {len(pad)} "
                                  f"numbers of padding for an input of size {list(input.shape)}")
    x = input
    for i in range(rank):
        d, low, high = input.dim() - 1 - i, pad[2 * i], pad[2 * i + 1]
        size = x.shape[d]
        if mode == "reflect" and (low >= size or high >= size):
            raise RuntimeError(f"Argument #4: Padding size should be less than the corresponding input dimension, but got: padding "
                               f"({low}, {high}) at dimension {d} of input {list(input.shape)}")
        if mode == "circular" and (low > size or high > size):
            raise RuntimeError(f"Padding value causes wrapping around more than once: padding ({low}, {high}) at dimension {d} of "
                               f"input {list(input.shape)}")
        if size + low + high <= 0:
            raise RuntimeError(f"input (size {list(input.shape)}) is too small for padding ({low}, {high}) at dimension {d}")
        cut = x if low >= 0 and high >= 0 else x.narrow(d, max(-low, 0), size + min(low, 0) + min(high, 0))
        # What negative padding cuts off still stands at the edges, except that a circle closes without it.
        before, after = _edges(mode, cut if mode == "circular" else x, d, low, high)
        x = cut
        parts = [part for part in (before, x, after) if part is not None]
        x = cat(parts, d) if len(parts) > 1 else x
    out = x.clone() if x is input else x.contiguous()
    return show(laid_like(input, out) if mode != "circular" else out, f"{_PADS[mode]}{rank}D", input)


@operator("constant_pad_nd", method=False, out=False)
def constant_pad_nd(input, pad, value=0):
    """`pad` with a constant."""
    if len(pad) > 2 * input.dim():
        raise RuntimeError(f"Length of pad should be no more than twice the number of dimensions of the input. Pad length is "
                           f"{len(pad)} while the input has {input.dim()} dimensions.")
    if len(pad) % 2:
        raise RuntimeError(f"Length of pad must be even but instead it equals {len(pad)}")
    return constant_pad(input, list(sizes_of([pad])), element(value, input.dtype))


# -- patches ---------------------------------------------------------------------------------------------------------------


def _pair(value, name: str) -> tuple[int, int]:
    if isinstance(value, str):
        raise TypeError(f"{name} must be tuple of ints, not str")
    pair = (value, value) if isinstance(value, int) else sizes_of([tuple(value)])
    if len(pair) == 1:
        pair *= 2
    if len(pair) != 2:
        raise RuntimeError(f"{name}: expected one int or two, got {list(pair)}")
    return pair


def _patch_geometry(name: str, kernel_size, dilation, padding, stride):
    kernel, dilation, padding, stride = (_pair(v, f"{name}: {n}") for n, v in (
        ("kernel_size", kernel_size), ("dilation", dilation), ("padding", padding), ("stride", stride)))
    for argument, values, least in (("kernel size", kernel, 1), ("stride", stride, 1), ("dilation", dilation, 1),
                                    ("padding", padding, 0)):
        if min(values) < least:
            raise RuntimeError(f"{argument} should be {'greater than zero' if least else 'non-negative'}, but got {list(values)}")
    return kernel, dilation, padding, stride


def _patches(size, kernel, dilation, padding, stride) -> tuple[int, int]:
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in
                 zip(size, kernel, dilation, padding, stride, strict=True))  # type: ignore[return-value]


def _patch_view(shape, blocks, kernel, dilation, stride):
    """The view (batch, channels, kernel, kernel, blocks, blocks) of a padded image."""
    batch, channels, row, column = contiguous_strides(shape)
    return ((shape[0], shape[1], *kernel, *blocks),
            (batch, channels, row * dilation[0], column * dilation[1], row * stride[0], column * stride[1]), 0)


@operator("nn.functional.unfold", method=False, out=False, takes="bfc")
@shown_as("Im2Col")
def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """The patches of (N, C, H, W) as columns: (N, C·kernel, number of patches)."""
    geometry = _patch_geometry("unfold", kernel_size, dilation, padding, stride)
    kernel, dilation, padding, stride = geometry
    if input.dim() not in (3, 4) or any(s == 0 for s in input.shape[-3:]):
        raise RuntimeError(f"Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for "
                           f"input, but got: {list(input.shape)}")
    x = input if input.dim() == 4 else input.unsqueeze(0)
    blocks = _patches(x.shape[2:], *geometry)
    if min(blocks) < 1:
        raise RuntimeError(f"Given input with spatial size {list(x.shape[2:])}, kernel_size={list(kernel)}, dilation="
                           f"{list(dilation)}, padding={list(padding)}, calculated shape of the array of sliding blocks as "
                           f"{list(blocks)}, but its components must be at least one.")
    if any(padding):
        x = constant_pad(x, [padding[1], padding[1], padding[0], padding[0]])
    out = _strided_op(x, _patch_view(tuple(x.shape), blocks, kernel, dilation, stride))
    out = out.reshape(x.shape[0], x.shape[1] * kernel[0] * kernel[1], blocks[0] * blocks[1])
    return out if input.dim() == 4 else out.squeeze(0)


@operator("nn.functional.fold", method=False, out=False, samples=lambda: [
    ((np.linspace(-1, 1, 8 * 9).reshape(2, 4, 9), (4, 4), 2), {}),
    ((np.linspace(-1, 1, 4 * 12).reshape(4, 12), (5, 6), (2, 2)), {"padding": 1, "stride": 2})])
@shown_as("Col2Im")
def fold_patches(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """The transpose of `unfold`: columns (N, C·kernel, patches) added up in an image (N, C, *output_size)."""
    size = _pair(output_size, "output_size")
    geometry = _patch_geometry("fold", kernel_size, dilation, padding, stride)
    kernel, dilation, padding, stride = geometry
    if input.dim() not in (2, 3):
        raise RuntimeError(f"Input Error: Only unbatched (2D) or batched (3D) input Tensors are supported (got {input.dim()}D)")
    x = input if input.dim() == 3 else input.unsqueeze(0)
    batch, columns, count = x.shape
    area = kernel[0] * kernel[1]
    if columns % area:
        raise RuntimeError(f"Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
                           f"input.size(1)={columns} and kernel_size={list(kernel)}.")
    blocks = _patches(size, *geometry)
    if min(blocks) < 1 or count != blocks[0] * blocks[1]:
        raise RuntimeError(f"Given output_size={list(size)}, kernel_size={list(kernel)}, dilation={list(dilation)}, padding="
                           f"{list(padding)}, stride={list(stride)}, expected size of input's dimension 2 to match the calculated "
                           f"number of sliding blocks {blocks[0]} * {blocks[1]} = {blocks[0] * blocks[1]}, but got "
                           f"input.size(2)={count}.")
    padded = (batch, columns // area, size[0] + 2 * padding[0], size[1] + 2 * padding[1])
    view = _patch_view(padded, blocks, kernel, dilation, stride)
    out = fold(x.reshape(view[0]), padded, view)
    for d in (0, 1):
        if padding[d]:
            out = out.narrow(2 + d, padding[d], size[d])
    out = out.contiguous()
    return out if input.dim() == 3 else out.squeeze(0)


# -- resampling --------------------------------------------------------------------------------------------------------------


def _source_positions(size: int, n: int, align_corners: bool, scale: float | None, cubic: bool) -> np.ndarray:
    """Where the ``n`` points of a resampled dimension lie among the ``size`` points of the original one."""
    i = np.arange(n, dtype=np.float64)
    if align_corners:
        return i * ((size - 1) / (n - 1)) if n > 1 else i * 0
    step = 1 / scale if scale is not None and scale > 0 else size / n
    at = (i + 0.5) * step - 0.5
    return at if cubic else np.maximum(at, 0)


def _cubic(t: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel at distance ``t``."""
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((t - 5) * t + 8) * a * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


def _taps(mode: str, size: int, n: int, align_corners: bool, scale: float | None) -> tuple[np.ndarray, np.ndarray]:
    """The source index and weight of each tap (taps, n) of a resampled dimension."""
    if mode.startswith("nearest"):
        step = 1 / scale if scale is not None and scale > 0 else size / n
        # PyTorch computes these positions in float32.
        i = np.arange(n, dtype=np.float32)
        at = (i + np.float32(0.5)) * np.float32(step) if mode == "nearest-exact" else i * np.float32(step)
        return np.minimum(np.floor(at).astype(np.int64), size - 1)[None], np.ones((1, n))
    cubic = mode == "bicubic"
    at = _source_positions(size, n, align_corners, scale, cubic)
    base = np.floor(at).astype(np.int64)
    if not cubic:
        base = np.minimum(base, size - 1)
    share = at - base
    if cubic:
        offsets = np.arange(-1, 3)[:, None]
        return np.clip(base + offsets, 0, size - 1), _cubic(share - offsets, -0.75)
    share = np.clip(share, 0, 1)
    return np.stack([base, np.minimum(base + 1, size - 1)]), np.stack([1 - share, share])


def _antialiased(mode: str, size: int, n: int, align_corners: bool, scale: float | None) -> np.ndarray:
    """The matrix (size, n) of a filter that widens with the step, as PIL does it."""
    if align_corners:
        step = (size - 1) / (n - 1) if n > 1 else 0.0
    else:
        step = 1 / scale if scale is not None and scale > 0 else size / n
    stretch = max(step, 1.0)
    reach = (2.0 if mode == "bicubic" else 1.0) * stretch
    weights = np.zeros((size, n))
    for i in range(n):
        center = step * (i + 0.5)
        low = max(int(center - reach + 0.5), 0)
        high = min(int(center + reach + 0.5), size)
        t = (np.arange(low, high) - center + 0.5) / stretch
        w = _cubic(t, -0.5) if mode == "bicubic" else np.maximum(1 - np.abs(t), 0)
        weights[low:high, i] = w / w.sum() if w.sum() else w
    return weights


def _fixed_point(weights: np.ndarray) -> np.ndarray:
    """Weights as PyTorch has them for images of bytes: multiples of the power of two that fits 15 bits."""
    bits = 0
    while bits < 22 and int(0.5 + weights.max() * (1 << bits + 1)) < 1 << 15:
        bits += 1
    return np.trunc(weights * (1 << bits) + np.copysign(0.5, weights)) / (1 << bits)


def _resample(x: Tensor, d: int, mode: str, n: int, align_corners: bool, scale: float | None, antialias: bool,
              of_bytes: bool) -> Tensor:
    """Dimension ``d`` of ``x`` brought to size ``n``."""
    size = x.shape[d]
    if antialias:
        weights = _antialiased(mode, size, n, align_corners, scale)
        return weighted_windows(x, d, _fixed_point(weights) if of_bytes else weights)
    at, weights = _taps(mode, size, n, align_corners, scale)
    if of_bytes:
        weights = _fixed_point(weights)
    if n == size and (at[0] == np.arange(n)).all() and (weights[0] == 1).all():
        return x
    if len(at) == 1:
        k = n // size
        if n == k * size and (at[0] == np.arange(n) // k).all():  # whole copies: a broadcast
            return x.unsqueeze(d + 1).expand(*x.shape[:d + 1], k, *x.shape[d + 1:]).flatten(d, d + 1)
        return x.index_select(d, _from_array(np.ascontiguousarray(at[0])))
    out = None
    shape = [-1 if k == d else 1 for k in range(x.dim())]
    for index, weight in zip(at, weights, strict=True):
        part = x.index_select(d, _from_array(np.ascontiguousarray(index))) * \
            _from_array(weight.astype(x.dtype.numpy)).reshape(shape)
        out = part if out is None else out + part
    return out  # type: ignore[return-value]


def _resampled(input: Tensor, mode: str, sizes, align_corners: bool, scales, antialias: bool, smooth: bool) -> Tensor:
    """All dimensions of images brought to ``sizes``, in the type computed in."""
    of_bytes = input.dtype.kind == "u" and smooth
    x = input.float() if of_bytes else widened(input) if smooth else input
    for d in range(input.dim() - 1, 1, -1):
        x = _resample(x, d, mode, sizes[d - 2], align_corners, scales[d - 2], antialias, of_bytes)
        if of_bytes:  # images of bytes are rounded after each dimension
            x = (x + 0.5).floor().clamp(0, 255)
    return x


def antialiased_bilinear(input: Tensor, sizes: tuple[int, int], align_corners: bool, scales) -> Tensor:
    """`interpolate` of images to ``sizes``, with factors that say how far apart the results' samples are."""
    return laid_like(input, _resampled(input, "bilinear", sizes, align_corners, scales, True, True).contiguous().to(input.dtype))


_MODES = {"nearest": (3, 4, 5), "nearest-exact": (3, 4, 5), "area": (3, 4, 5), "linear": (3,), "bilinear": (4,), "bicubic": (4,),
          "trilinear": (5,)}


@operator("nn.functional.interpolate", method=False, out=False)
def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None,
                antialias=False):
    """Resamples the spatial dimensions of (N, C, …) to ``size``, or by ``scale_factor``.

    ``mode``: "nearest", "nearest-exact", "linear" (3-D), "bilinear", "bicubic" (4-D), "trilinear" (5-D), "area".
    """
    if mode not in _MODES:
        raise NotImplementedError(f"interpolate: mode {mode!r} is not one of {', '.join(_MODES)}")
    smooth = mode in ("linear", "bilinear", "bicubic", "trilinear")
    if not smooth and align_corners is not None:
        raise ValueError(f"align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | "
                         f"trilinear (got {mode})")
    rank = input.dim() - 2

    def each(value, name):
        values = list(value) if isinstance(value, (tuple, list)) else [value] * rank
        if len(values) != rank:
            raise ValueError(f"Input and output must have the same number of spatial dimensions, but got input with spatial "
                             f"dimensions of {list(input.shape[2:])} and {name} of {values}.")
        if name == "output size" and any(isinstance(v, float) for v in values):
            raise TypeError(f"expected size to be one of int or Tuple[int, ...], but got {size!r}")
        return values
    if (size is None) != (scale_factor is None):
        each(*((size, "output size") if scale_factor is None else (scale_factor, "scale_factor")))
    if input.dim() not in _MODES[mode]:
        raise NotImplementedError(f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.dim()}D) for the modes: "
                                  f"nearest | linear | bilinear | bicubic | trilinear | area | nearest-exact (got {mode}, which "
                                  f"takes {' or '.join(f'{d}D' for d in _MODES[mode])})")
    if (size is None) == (scale_factor is None):
        raise ValueError("only one of size or scale_factor should be defined" if size is not None else
                         "either size or scale_factor should be defined")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(f"Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D tensor as input, got "
                         f"{mode}")
    scales: list[float | None] = [None] * rank
    if size is not None:
        if recompute_scale_factor:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        sizes = [int(s) for s in each(size, "output size")]
    else:
        factors = [float(f) for f in each(scale_factor, "scale_factor")]
        if not all(map(math.isfinite, factors)):
            raise RuntimeError(f"value cannot be converted to type int64_t without overflow: scale_factor is {scale_factor}")
        sizes = [int(math.floor(float(s) * f)) for s, f in zip(input.shape[2:], factors, strict=True)]
        if not recompute_scale_factor and mode != "area":
            scales = list(factors)
    if any(s <= 0 for s in sizes) or any(s <= 0 for s in input.shape[2:]):
        raise RuntimeError(f"Input and output sizes should be greater than 0, but got input {list(input.shape[2:])} and output "
                           f"{sizes}")
    if mode == "area":
        return _adaptive_avg_pool(f"adaptive_avg_pool{rank}d", rank, input, sizes)
    if input.dtype.kind != "f" and (input.dtype.name != "uint8" or mode in ("linear", "trilinear")):
        raise RuntimeError(f"\"upsample_{mode}\" not implemented for '{_long_name(input.dtype)}'")
    x = _resampled(input, mode, sizes, bool(align_corners), scales, antialias, smooth)
    name = "".join(part.capitalize() for part in mode.split("-"))
    out = (x if x is not input else x.clone()).contiguous().to(input.dtype)
    return show(laid_like(input, out), f"Upsample{name}{rank}D", input)


@operator("nn.functional.upsample", method=False, out=False)
def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    """Deprecated: `interpolate`."""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", UserWarning, stacklevel=3)
    return interpolate(input, size, scale_factor, mode, align_corners)


@operator("nn.functional.upsample_nearest", method=False, out=False)
def upsample_nearest(input, size=None, scale_factor=None):
    """Deprecated: `interpolate` with mode "nearest"."""
    warnings.warn("`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.", UserWarning,
                  stacklevel=3)
    return interpolate(input, size, scale_factor, "nearest")


@operator("nn.functional.upsample_bilinear", method=False, out=False)
def upsample_bilinear(input, size=None, scale_factor=None):
    """Deprecated: `interpolate` with mode "bilinear" and aligned corners."""
    warnings.warn("`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.", UserWarning,
                  stacklevel=3)
    return interpolate(input, size, scale_factor, "bilinear", True)


# -- sampling at positions ---------------------------------------------------------------------------------------------------


def _unnormalised(at: Tensor, size: int, align_corners: bool) -> Tensor:
    """From [−1, 1] to positions among ``size`` points."""
    return (at + 1) * ((size - 1) / 2) if align_corners else ((at + 1) * size - 1) * 0.5


def _reflected(at: Tensor, low: float, high: float) -> Tensor:
    span = high - low
    if span == 0:
        return at * 0
    at = (at - low).abs()
    turns = (at.detach() / span).floor()
    extra = at - turns * span
    return where(turns.remainder(2) == 0, extra + low, span - extra + low)


def _bounded(at: Tensor, size: int, padding_mode: str, align_corners: bool) -> Tensor:
    if padding_mode == "reflection":
        at = _reflected(at, 0, size - 1) if align_corners else _reflected(at, -0.5, size - 0.5)
    return _clip(at, size) if padding_mode in ("border", "reflection") else at


def _clip(at: Tensor, size: int) -> Tensor:
    """Positions brought inside; the gradient is zero at the borders and beyond."""
    inside = (at > 0) & (at < size - 1)
    return where(inside, at, where(at >= size - 1, number(size - 1, at), number(0, at)))


def _lookup(x: Tensor, batch: Tensor, places: list[Tensor], padded: bool) -> Tensor:
    """Elements (N, *out, C) of ``x`` (N, *spatial, C) at integer places; zero where they lie outside and ``padded``."""
    inside, at = None, [batch]
    for p, size in zip(places, x.shape[1:-1], strict=True):
        ok = (p >= 0) & (p < size)
        inside = ok if inside is None else inside & ok
        at.append(p.clamp(0, size - 1))
    found = take_at(x, at)
    return where(inside.unsqueeze(-1), found, number(0, found)) if padded else found  # type: ignore[union-attr]


@operator("nn.functional.grid_sample", method=False, out=False)
def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """Samples (N, C, H, W) at positions ``grid`` (N, H', W', 2) of (x, y) in [−1, 1]; likewise in three dimensions.

    ``mode``: "bilinear", "nearest" or "bicubic" (2-D); ``padding_mode``: "zeros", "border" or "reflection".
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
                         f"'{padding_mode}'")
    if align_corners is None:
        warnings.warn("Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
                      "align_corners=True if the old behavior is desired.", UserWarning, stacklevel=3)
        align_corners = False
    rank = input.dim() - 2
    if rank not in (2, 3) or grid.dim() != input.dim():
        raise RuntimeError(f"grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got input with "
                           f"sizes {list(input.shape)} and grid with sizes {list(grid.shape)}")
    if input.shape[0] != grid.shape[0] or grid.shape[-1] != rank:
        raise RuntimeError(f"grid_sampler(): expected grid and input to have same batch size and grid to have size {rank} in last "
                           f"dimension, but got input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}")
    if any(s == 0 for s in input.shape[2:]):
        raise RuntimeError(f"grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes "
                           f"{list(input.shape)}")
    if mode == "bicubic" and rank == 3:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    require_float("grid_sampler", input)
    if input.dtype is not grid.dtype:
        raise RuntimeError(f"grid_sampler(): expected input and grid to have same dtype, but input has {input.dtype} and grid has "
                           f"{grid.dtype}")
    x, g = input, grid
    spatial = input.shape[2:]
    data = x.movedim(1, -1)
    batch = arange(input.shape[0]).reshape(-1, *(1,) * rank)
    padded = padding_mode == "zeros"
    # The grid's last dimension counts from the fastest spatial dimension.
    at = [_unnormalised(g.select(-1, rank - 1 - d), size, align_corners) for d, size in enumerate(spatial)]
    if mode == "bicubic":
        out = _sample_bicubic(data, batch, at, padding_mode, align_corners)
    else:
        at = [_bounded(p, size, padding_mode, align_corners) for p, size in zip(at, spatial, strict=True)]
        if mode == "nearest":
            out = _lookup(data, batch, [p.detach().round().long() for p in at], padded)
            out = out + sum(p * 0 for p in at).unsqueeze(-1) if g.requires_grad else out  # type: ignore[attr-defined]
        else:
            low = [p.detach().floor() for p in at]
            share = [p - f for p, f in zip(at, low, strict=True)]
            base = [f.long() for f in low]
            out = None
            for corner in range(1 << rank):
                high = [corner >> d & 1 for d in range(rank)]
                weight = None
                for s, h in zip(share, high, strict=True):
                    w = s if h else 1 - s
                    weight = w if weight is None else weight * w
                part = _lookup(data, batch, [b + h if h else b for b, h in zip(base, high, strict=True)],
                               True) * weight.unsqueeze(-1)  # type: ignore[union-attr]
                out = part if out is None else out + part
    return show(out.movedim(-1, 1).contiguous(), f"GridSampler{rank}D", input)  # type: ignore[union-attr]


def _sample_bicubic(data: Tensor, batch: Tensor, at: list[Tensor], padding_mode: str, align_corners: bool) -> Tensor:
    low = [p.detach().floor() for p in at]
    weights = [_cubic_weights(p - f) for p, f in zip(at, low, strict=True)]
    height, width = data.shape[1:3]

    def place(f: Tensor, step: int, size: int) -> Tensor:
        return _bounded(f + step, size, padding_mode, align_corners).long()
    out = None
    for i in range(4):
        rows = place(low[0], i - 1, height)
        for j in range(4):
            part = _lookup(data, batch, [rows, place(low[1], j - 1, width)], padding_mode == "zeros") * \
                (weights[0][i] * weights[1][j]).unsqueeze(-1)
            out = part if out is None else out + part
    return out  # type: ignore[return-value]


def _cubic_weights(t: Tensor) -> list[Tensor]:
    """Keys' kernel (a = −0.75) at the four points around a position that lies ``t`` after the second."""
    a = -0.75

    def near(x):
        return ((x * (a + 2) - (a + 3)) * x) * x + 1

    def far(x):
        return ((x * a - 5 * a) * x + 8 * a) * x - 4 * a
    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


_GRID_MODES, _GRID_PADDING = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


def _grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners):
    """`grid_sample` with its modes by number."""
    return grid_sample(input, grid, _GRID_MODES[interpolation_mode], _GRID_PADDING[padding_mode], align_corners)


for _name in ("grid_sampler", "grid_sampler_2d", "grid_sampler_3d"):
    operator(_name, method=False, out=False)(_grid_sampler)


@operator("nn.functional.affine_grid", method=False, out=False, samples=lambda: [
    ((np.linspace(-1, 1, 12).reshape(2, 2, 3), (2, 1, 3, 4)), {"align_corners": False}),
    ((np.linspace(-1, 1, 12).reshape(1, 3, 4), (1, 1, 2, 3, 2)), {"align_corners": True})])
def affine_grid(theta, size, align_corners=None):
    """The grid of positions (N, *spatial, rank) that affine matrices ``theta`` (N, rank, rank + 1) map a regular grid to."""
    if align_corners is None:
        warnings.warn("Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
                      "align_corners=True if the old behavior is desired.", UserWarning, stacklevel=3)
        align_corners = False
    if theta.dtype.kind != "f":
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    size = tuple(size)
    rank = len(size) - 2
    if rank not in (2, 3):
        raise NotImplementedError(f"affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got "
                                  f"size {list(size)}.")
    if theta.dim() != 3 or tuple(theta.shape[1:]) != (rank, rank + 1):
        raise ValueError(f"Expected a batch of {rank}D affine matrices of shape Nx{rank}x{rank + 1} for size {list(size)}. Got "
                         f"{list(theta.shape)}.")
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {list(size)}")
    spatial = size[2:]
    axes = []
    for d in range(rank - 1, -1, -1):  # x first
        n = spatial[d]
        line = linspace(-1, 1, n, dtype=theta.dtype) if n > 1 else theta.new_zeros(1)
        line = line if align_corners or n == 1 else line * ((n - 1) / n)
        axes.append(line.reshape([-1 if k == d else 1 for k in range(rank)]).expand(spatial))
    base = stack([*axes, theta.new_ones(()).expand(spatial)], -1).reshape(1, -1, rank + 1)
    return matmul(base.expand(size[0], -1, -1), theta.transpose(1, 2)).reshape(size[0], *spatial, rank)


also("affine_grid_generator", affine_grid)


@operator("nn.functional.bilinear", method=False, out=False, takes="uifc")
def bilinear(input1, input2, weight, bias=None):
    """x₁ᵀ·W·x₂ + b for each of the matrices W of ``weight`` (outputs, features of x₁, features of x₂)."""
    if input1.dim() != input2.dim() or input1.shape[:-1] != input2.shape[:-1]:
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {list(input1.shape)} and {list(input2.shape)}")
    if input1.shape[-1] != weight.shape[1] or input2.shape[-1] != weight.shape[2]:
        raise RuntimeError(f"bilinear(): input sizes {input1.shape[-1]} and {input2.shape[-1]} do not match weight of size "
                           f"{list(weight.shape)}")
    if bias is not None and bias.shape[0] != weight.shape[0]:
        raise RuntimeError(f"bilinear(): bias size does not match weight size: got {list(bias.shape)} and {list(weight.shape)}")
    given = [t for t in (input1, input2, weight, bias) if t is not None]
    if any(t.dtype is not weight.dtype for t in given):
        raise RuntimeError(f"All tensors must have the same dtype, got {', '.join(str(t.dtype) for t in given)}")
    lead = tuple(input1.shape[:-1])
    a, b, w = (x.reshape(-1, x.shape[-1]) for x in (input1, input2, weight))  # half precisions are rounded after each step
    outputs = weight.shape[0]
    # (n, i)·(i, o·j) -> (n, o, j), then summed against x₂.
    mixed = matmul(a, w.reshape(outputs, *weight.shape[1:]).permute(1, 0, 2).reshape(weight.shape[1], -1))
    out = matmul(mixed.reshape(-1, outputs, weight.shape[2]), b.unsqueeze(2)).reshape(*lead, outputs)
    return out if bias is None else out + bias


also("bilinear", bilinear)


# -- rearranging -----------------------------------------------------------------------------------------------------------


@operator("nn.functional.pixel_shuffle", method=False, out=False)
@shown_as("PixelShuffle")
def pixel_shuffle(input, upscale_factor):
    """(…, C·r², H, W) as (…, C, H·r, W·r)."""
    r = upscale_factor
    if input.dim() < 3:
        raise RuntimeError(f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {input.dim()} "
                           f"dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, channels, height, width = input.shape
    if channels % (r * r):
        raise RuntimeError(f"pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
                           f"upscale_factor, but input.size(-3)={channels} is not divisible by {r * r}")
    n = len(lead)
    parts = input.reshape(*lead, channels // (r * r), r, r, height, width)
    order = [*range(n), n, n + 3, n + 1, n + 4, n + 2]
    out = parts.permute(order).reshape(*lead, channels // (r * r), height * r, width * r)
    return out.clone() if r == 1 else out


@operator("nn.functional.pixel_unshuffle", method=False, out=False)
@shown_as("PixelUnshuffle")
def pixel_unshuffle(input, downscale_factor):
    """(…, C, H·r, W·r) as (…, C·r², H, W)."""
    r = downscale_factor
    if input.dim() < 3:
        raise RuntimeError(f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {input.dim()} "
                           f"dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, channels, height, width = input.shape
    if height % r or width % r:
        raise RuntimeError(f"pixel_unshuffle expects height and width to be divisible by downscale_factor, but ({height}, "
                           f"{width}) is not divisible by {r}")
    if not input.numel():  # as it is, as PyTorch has it
        return input.clone()
    n = len(lead)
    parts = input.reshape(*lead, channels, height // r, r, width // r, r)
    order = [*range(n), n, n + 2, n + 4, n + 1, n + 3]
    out = parts.permute(order).reshape(*lead, channels * r * r, height // r, width // r)
    return laid_like(input, out.clone() if r == 1 else out)


@operator("nn.functional.channel_shuffle", method=False, out=False)
def channel_shuffle(input, groups):
    """(N, C, …) with the channels of ``groups`` groups interleaved."""
    if input.dim() < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    batch, channels, *rest = input.shape
    if channels % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {channels} channels and {groups} groups.")
    return laid_like(input, input.reshape(batch, groups, channels // groups, *rest).transpose(1, 2).reshape(input.shape))


for _name, _f in (("pixel_shuffle", pixel_shuffle), ("pixel_unshuffle", pixel_unshuffle),
                  ("channel_shuffle", channel_shuffle), ("native_channel_shuffle", channel_shuffle)):
    also(_name, _f)
