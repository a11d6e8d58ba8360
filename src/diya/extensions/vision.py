"""torchvision's operators: suppression of overlapping boxes, pooling of regions, deformable convolution.

A region is pooled by *taps*: each bin of the output reads some rows and some columns of the features, with weights. All of
them are gathered with the channels side by side and reduced at once, which compiles to one loop without temporaries. An
operator's gradient is that of what it calls; the ``_..._backward`` operators are the same gradients under their own names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ..autograd import enable_grad, grad, no_grad
from ..dtypes import float16, float32, float64, int32, int64
from ..library import publish
from ..ops.creation import arange, zeros
from ..ops.elementwise import where
from ..ops.index import gather, getitem
from ..ops.matmul import matmul
from ..ops.movement import cat, stack
from ..ops.record import _long_name
from ..tensor import Tensor, from_numpy

_LOWEST = -float(np.finfo(np.float32).max)  # what a maximum of regions starts at, in either precision
_CHUNK = 1 << 24                            # elements of a temporary


def _operator(function: Callable) -> Callable:
    publish(f"torchvision::{function.__name__}", function)
    return function


# -- boxes -------------------------------------------------------------------------------------------------------------------


@_operator
def nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Positions of the boxes that no box of a higher score overlaps by more than ``iou_threshold``, by falling score."""
    if dets.dim() != 2:
        raise RuntimeError(f"boxes should be a 2d tensor, got {dets.dim()}D")
    if dets.shape[1] != 4:
        raise RuntimeError(f"boxes should have 4 elements in dimension 1, got {dets.shape[1]}")
    if scores.dim() != 1:
        raise RuntimeError(f"scores should be a 1d tensor, got {scores.dim()}D")
    if dets.shape[0] != scores.shape[0]:
        raise RuntimeError(f"boxes and scores should have same number of elements in dimension 0, got {dets.shape[0]} and "
                           f"{scores.shape[0]}")
    if dets.dtype is not scores.dtype:
        raise RuntimeError(f"dets should have the same type as scores, got {dets.dtype} and {scores.dtype}")
    _require("nms_kernel", dets, (float32, float64))
    order = scores.detach().sort(0, descending=True, stable=True)[1]
    with np.errstate(all="ignore"):
        kept = _kept(dets.detach()[order].numpy(), float(iou_threshold))
    return order[from_numpy(np.flatnonzero(kept))]


def _kept(boxes: np.ndarray, threshold: float) -> np.ndarray:
    """Which boxes stay, of those given by falling score. Overlaps are computed for blocks of boxes still standing."""
    limit = boxes.dtype.type(threshold)
    if limit > threshold:  # in float32, an overlap exceeds the threshold where it exceeds the float32 below
        limit = np.nextafter(limit, boxes.dtype.type(-np.inf))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = np.ones(len(boxes), bool)
    rows = max(16, min(256, _CHUNK // 16 // max(len(boxes), 1)))
    start = 0
    while start < len(boxes):
        block = start + np.flatnonzero(kept[start:])[:rows]
        if not len(block):
            break
        later = slice(block[0], len(boxes))
        corner = np.maximum(boxes[block, None, :2], boxes[None, later, :2])
        sides = np.maximum(np.minimum(boxes[block, None, 2:], boxes[None, later, 2:]) - corner, 0)
        inner = sides[..., 0] * sides[..., 1]
        over = inner / (areas[block, None] + areas[None, later] - inner) > limit
        for i, box in enumerate(block):
            if kept[box]:
                kept[box + 1:] &= ~over[i, box + 1 - block[0]:]
        start = block[-1] + 1
    return kept


# -- pooling of regions --------------------------------------------------------------------------------------------------------


def _require(name: str, x: Tensor, dtypes: tuple) -> None:
    if x.dtype not in dtypes:
        raise NotImplementedError(f"\"{name}\" not implemented for '{_long_name(x.dtype)}'")


def _check(name: str, input: Tensor, rois: Tensor, dtypes: tuple = (float16, float32, float64)) -> None:
    if rois.dim() != 2 or rois.shape[1] != 5:
        raise RuntimeError(f"rois must have shape as Tensor[K, 5], got {list(rois.shape)}")
    if input.dtype is not rois.dtype:
        raise RuntimeError(f"Expected tensor for input to have the same type as tensor for rois; but type {input.dtype} does not "
                           f"equal {rois.dtype}")
    _require(name, input, dtypes)


def _check_channels(input: Tensor, pooled_height: int, pooled_width: int) -> int:
    if input.shape[1] % (pooled_height * pooled_width):
        raise RuntimeError(f"input channels must be a multiple of pooling height * pooling width, got {input.shape[1]} channels "
                           f"and {pooled_height} x {pooled_width}")
    return input.shape[1] // (pooled_height * pooled_width)


class _Taps:
    """The places along one side of the features that each bin of each region reads, (K, bins, taps), and their weights."""

    def __init__(self, at: Tensor, weight: Tensor, count: Tensor | float):
        self.at, self.weight, self.count = at, weight, count


def _points(start: Tensor, extent: Tensor, bins: int, sampling_ratio: int, size: int) -> _Taps:
    """Points spread evenly over each bin, each between two of ``size`` places. Outside by more than one, a point reads zero."""
    per_bin = extent / bins
    if sampling_ratio > 0:
        count, points = float(sampling_ratio), sampling_ratio
        share = count
    else:  # as many as places, for each region
        count = per_bin.ceil()
        points = max(int(count.max()), 1)
        share = count.reshape(-1, 1, 1)
    k = arange(points)
    first = start.reshape(-1, 1, 1) + arange(bins).reshape(-1, 1).to(start.dtype) * per_bin.reshape(-1, 1, 1)
    at = first + (k + 0.5).to(start.dtype) * per_bin.reshape(-1, 1, 1) / share
    counted = (at >= -1) & (at <= size)
    if isinstance(count, Tensor):
        counted = counted & (k < share)
    at = at.clamp(0, size - 1)
    low = at.floor().clamp(0, size - 1)  # once more, for NaN
    beyond, low = at - low, low.to(int64)
    none = at.new_zeros(())
    return _Taps(cat([low, (low + 1).clamp(max=size - 1)], -1),
                 cat([where(counted, 1 - beyond, none), where(counted, beyond, none)], -1), count)


def _away_from_zero(x: Tensor) -> Tensor:
    """Rounded as C's ``round``: halves away from zero."""
    whole = x.abs().floor()
    return (whole + (x.abs() - whole >= 0.5).to(x.dtype)) * x.sign()


def _whole(start: Tensor, end: Tensor, bins: int, size: int, inclusive: bool, last: int) -> _Taps:
    """All places of each bin of a region of whole places, brought inside [0, ``last``]; the count is that of a bin."""
    start, end = _away_from_zero(start), _away_from_zero(end)
    per_bin = ((end - start + int(inclusive)).clamp(min=1) / bins).reshape(-1, 1)
    k = arange(bins).to(start.dtype)
    low = ((k * per_bin).floor() + start.reshape(-1, 1)).clamp(0, last).to(int64)
    high = (((k + 1) * per_bin).ceil() + start.reshape(-1, 1)).clamp(0, last).to(int64)
    count = (high - low).clamp(min=0)
    offsets = arange(max(int(count.max()), 1))
    at = (low.unsqueeze(-1) + offsets).clamp(max=size - 1)
    return _Taps(at, (offsets < count.unsqueeze(-1)).to(start.dtype), count)


def _sum(features: Tensor, first: list[Tensor], y: _Taps, x: _Taps) -> Tensor:
    """Weighted sums over the taps: (K, bins, bins, C) of ``features`` (..., H, W, C), with the indices ``first`` of what stands
    before H."""
    at = [*(i.unsqueeze(-1).unsqueeze(-1) for i in first), y.at[:, :, None, :, None], x.at[:, None, :, None, :]]
    weight = y.weight[:, :, None, :, None] * x.weight[:, None, :, None, :]
    return (getitem(features, tuple(at)) * weight.unsqueeze(-1)).sum((3, 4))


def _batch(rois: Tensor) -> Tensor:
    return rois[:, 0].to(int64).reshape(-1, 1, 1)


def _sides(rois: Tensor, spatial_scale: float, offset: float = 0.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Left, top, right and bottom of regions, in places of the features."""
    left, top, right, bottom = (rois[:, k] * spatial_scale - offset for k in range(1, 5))
    return left, top, right, bottom


@_operator
def roi_align(input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: int, pooled_width: int, sampling_ratio: int,
              aligned: bool) -> Tensor:
    """Means of points sampled bilinearly in each bin of each region: (K, C, pooled_height, pooled_width)."""
    _check("roi_align_forward_kernel", input, rois)
    if not rois.shape[0] or not input.numel():
        return _nothing(input, rois, input.shape[1], pooled_height, pooled_width)
    rois = rois.detach()
    left, top, right, bottom = _sides(rois, spatial_scale, 0.5 if aligned else 0.0)
    height, width = bottom - top, right - left
    if not aligned:
        height, width = height.clamp(min=1), width.clamp(min=1)
    y = _points(top, height, pooled_height, sampling_ratio, input.shape[2])
    x = _points(left, width, pooled_width, sampling_ratio, input.shape[3])
    out = _sum(input.permute(0, 2, 3, 1), [_batch(rois)], y, x)
    count = y.count * x.count
    out = out / (count.clamp(min=1).reshape(-1, 1, 1, 1) if isinstance(count, Tensor) else count)
    return out.permute(0, 3, 1, 2).contiguous()


def _nothing(input: Tensor, rois: Tensor, channels: int, pooled_height: int, pooled_width: int) -> Tensor:
    """The result without regions or without features; on the tape."""
    return input.new_zeros((rois.shape[0], channels, pooled_height, pooled_width)) + input.sum() * 0


def _by_bin(input: Tensor, pooled_height: int, pooled_width: int) -> tuple[Tensor, list[Tensor]]:
    """Features (N, bins, bins, H, W, channels of a bin), and the indices of the bins."""
    features = input.reshape(input.shape[0], -1, pooled_height, pooled_width, *input.shape[2:]).permute(0, 2, 3, 4, 5, 1)
    return features, [arange(pooled_height).reshape(1, -1, 1), arange(pooled_width).reshape(1, 1, -1)]


def _channel_of_bin(rois: Tensor, channels: int, pooled_height: int, pooled_width: int) -> Tensor:
    return arange(channels * pooled_height * pooled_width, dtype=int32).reshape(
        1, channels, pooled_height, pooled_width).expand(rois.shape[0], -1, -1, -1).contiguous()


@_operator
def ps_roi_align(input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: int, pooled_width: int,
                 sampling_ratio: int) -> tuple[Tensor, Tensor]:
    """`roi_align` where each bin reads channels of its own; and which these are."""
    _check("ps_roi_align_forward_kernel", input, rois)
    channels = _check_channels(input, pooled_height, pooled_width)
    mapping = _channel_of_bin(rois, channels, pooled_height, pooled_width)
    if not rois.shape[0] or not input.numel():
        return _nothing(input, rois, channels, pooled_height, pooled_width), mapping
    rois = rois.detach()
    left, top, right, bottom = _sides(rois, spatial_scale, 0.5)
    y = _points(top, bottom - top, pooled_height, sampling_ratio, input.shape[2])
    x = _points(left, right - left, pooled_width, sampling_ratio, input.shape[3])
    features, bins = _by_bin(input, pooled_height, pooled_width)
    out = _sum(features, [_batch(rois), *bins], y, x)
    count = y.count * x.count
    out = out / (count.reshape(-1, 1, 1, 1) if isinstance(count, Tensor) else count)
    return out.permute(0, 3, 1, 2).contiguous(), mapping


@_operator
def ps_roi_pool(input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: int, pooled_width: int) -> tuple[Tensor, Tensor]:
    """Means of whole places of each bin, where each bin reads channels of its own; and which these are."""
    return _ps_roi_pool(input, rois, spatial_scale, pooled_height, pooled_width, 1)


def _ps_roi_pool(input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: int, pooled_width: int,
                 margin: int) -> tuple[Tensor, Tensor]:
    """torchvision's kernel leaves out the last row and column (``margin`` 1), and that of its gradient does not (0)."""
    _check("ps_roi_pool", input, rois, (float32, float64))
    channels = _check_channels(input, pooled_height, pooled_width)
    mapping = _channel_of_bin(rois, channels, pooled_height, pooled_width)
    if not rois.shape[0] or not input.numel():
        return _nothing(input, rois, channels, pooled_height, pooled_width), mapping
    rois = rois.detach()
    left, top, right, bottom = _sides(rois, spatial_scale)
    y = _whole(top, bottom, pooled_height, input.shape[2], False, input.shape[2] - margin)
    x = _whole(left, right, pooled_width, input.shape[3], False, input.shape[3] - margin)
    features, bins = _by_bin(input, pooled_height, pooled_width)
    area = (y.count.unsqueeze(2) * x.count.unsqueeze(1)).clamp(min=1).unsqueeze(-1)  # type: ignore[union-attr]
    out = _sum(features, [_batch(rois), *bins], y, x) / area.to(input.dtype)
    return out.permute(0, 3, 1, 2).contiguous(), mapping


@_operator
def roi_pool(input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: int, pooled_width: int) -> tuple[Tensor, Tensor]:
    """The greatest element of each bin of each region, and its place in its channel; −1, and 0, for bins that are empty."""
    _check("roi_pool", input, rois, (float32, float64))
    if not rois.shape[0] or not input.numel():
        out = _nothing(input, rois, input.shape[1], pooled_height, pooled_width)
        return out, out.detach().to(int32)
    with no_grad():
        left, top, right, bottom = _sides(rois, spatial_scale)
        y = _whole(top, bottom, pooled_height, input.shape[2], True, input.shape[2])
        x = _whole(left, right, pooled_width, input.shape[3], True, input.shape[3])
        features, taken = input.permute(0, 2, 3, 1), pooled_height * pooled_width * y.at.shape[2] * x.at.shape[2] * input.shape[1]
        step = max(1, _CHUNK // taken)
        places = cat([_greatest(features, *(t[k:k + step] for t in (_batch(rois), y.at, y.weight, x.at, x.weight)))
                      for k in range(0, rois.shape[0], step)])
    found = places >= 0
    flat = input.flatten(2)[rois[:, 0].to(int64)]
    values = gather(flat, 2, places.clamp(min=0).flatten(2)).reshape(places.shape)
    lowest = where((y.count.unsqueeze(2) * x.count.unsqueeze(1) > 0).unsqueeze(1), values.new_full((), _LOWEST),  # type: ignore[union-attr]
                   values.new_zeros(()))
    return where(found, values, lowest), places.to(int32)


def _greatest(features: Tensor, batch: Tensor, rows: Tensor, row_counts: Tensor, columns: Tensor, column_counts: Tensor) -> Tensor:
    """Where in (H, W) the first greatest element of each bin lies: (K, C, bins, bins), −1 where there is none."""
    at = rows[:, :, None, :, None], columns[:, None, :, None, :]
    values = getitem(features, (batch.unsqueeze(-1).unsqueeze(-1), *at)).flatten(3, 4)
    counted = (row_counts[:, :, None, :, None] * column_counts[:, None, :, None, :] > 0).flatten(3, 4).unsqueeze(-1)
    lowest = values.new_full((), _LOWEST)
    values = where(counted & (values > lowest), values, lowest)
    greatest, tap = values.max(3)
    place = (at[0] * features.shape[2] + at[1]).flatten(3, 4)
    place = gather(place, 3, tap.clamp(max=place.shape[3] - 1))
    return where(greatest > lowest, place, place.new_full((), -1)).permute(0, 3, 1, 2)


# -- deformable convolution ------------------------------------------------------------------------------------------------------


@_operator
def deform_conv2d(input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, bias: Tensor, stride_h: int, stride_w: int,
                  pad_h: int, pad_w: int, dilation_h: int, dilation_w: int, groups: int, offset_groups: int,
                  use_mask: bool) -> Tensor:
    """A convolution whose taps read the input, bilinearly, ``offset`` (y, x) from where they stand, times ``mask``."""
    _require("deformable_im2col", input, (float16, float32, float64))
    (batch, channels, height, width), (out_channels, _, kernel_h, kernel_w) = input.shape, weight.shape
    taps = kernel_h * kernel_w
    out_h = (height + 2 * pad_h - dilation_h * (kernel_h - 1) - 1) // stride_h + 1
    out_w = (width + 2 * pad_w - dilation_w * (kernel_w - 1) - 1) // stride_w + 1
    _check_deformation(input, weight, offset, mask, (out_h, out_w), groups, offset_groups, use_mask)
    if not batch:
        return input.new_zeros((0, out_channels, out_h, out_w)) + input.sum() * 0
    moved = offset.reshape(batch, offset_groups, taps, 2, out_h, out_w)
    i, j = arange(kernel_h).reshape(-1, 1, 1, 1), arange(kernel_w).reshape(-1, 1, 1)
    rows = i * dilation_h + arange(out_h).reshape(-1, 1) * stride_h - pad_h
    columns = j * dilation_w + arange(out_w) * stride_w - pad_w
    shape = (kernel_h, kernel_w, out_h, out_w)
    y = rows.expand(shape).reshape(taps, out_h, out_w).to(input.dtype) + moved.select(3, 0)
    x = columns.expand(shape).reshape(taps, out_h, out_w).to(input.dtype) + moved.select(3, 1)
    features = input.reshape(batch, offset_groups, -1, height, width).permute(0, 1, 3, 4, 2)
    read = _bilinear(features, y, x)                                          # (N, groups of offsets, taps, h, w, channels)
    if use_mask:
        read = read * mask.reshape(batch, offset_groups, taps, out_h, out_w, 1)
    read = read.permute(0, 1, 5, 2, 3, 4).reshape(batch, groups, channels // groups * taps, out_h * out_w)
    out = matmul(weight.reshape(groups, out_channels // groups, -1), read)
    return out.reshape(batch, out_channels, out_h, out_w) + bias.reshape(-1, 1, 1)


def _check_deformation(input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, out: tuple[int, int], groups: int,
                       offset_groups: int, use_mask: bool) -> None:
    taps, channels = weight.shape[2] * weight.shape[3], input.shape[1]
    if input.dim() != 4 or offset.dim() != 4 or weight.dim() != 4:
        raise RuntimeError(f"expected input, offset and weight to have 4 dimensions, got {input.dim()}, {offset.dim()} and "
                           f"{weight.dim()}")
    if weight.shape[1] * groups != channels or weight.shape[0] % groups or channels % offset_groups:
        raise RuntimeError(f"weight of shape {list(weight.shape)} in {groups} groups and {offset_groups} groups of offsets do not "
                           f"fit {channels} channels of input")
    if offset.shape[1] != offset_groups * 2 * taps:
        raise RuntimeError(f"offset.shape[1] is not valid: got: {offset.shape[1]} expected: {offset_groups * 2 * taps}")
    if use_mask and mask.shape[1] != offset_groups * taps:
        raise RuntimeError(f"mask.shape[1] is not valid: got: {mask.shape[1]} expected: {offset_groups * taps}")
    if offset.shape[0] != input.shape[0]:
        raise RuntimeError(f"invalid batch size of offset: got {offset.shape[0]}, expected {input.shape[0]}")
    for name, given in (("offset", offset), ("mask", mask)):
        if (name == "offset" or use_mask) and tuple(given.shape[2:]) != out:
            raise RuntimeError(f"{name} output dims: expected ({out[0]}, {out[1]}), got ({given.shape[2]}, {given.shape[3]})")
    if min(out) <= 0:
        raise RuntimeError(f"Calculated output size too small - out_h: {out[0]} out_w: {out[1]}")


def _bilinear(features: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Features (N, G, H, W, C) at positions (N, G, ...): (N, G, ..., C). Places outside read zero."""
    batch, groups, height, width, _ = features.shape
    where_low, where_share, inside = [], [], []
    for at, size in ((y, height), (x, width)):
        low = at.detach().floor()
        share = at - low
        low = stack([low, low + 1], -1)
        inside.append((low >= 0) & (low < size))
        where_low.append(low.clamp(0, size - 1).to(int64))
        where_share.append(stack([1 - share, share], -1))
    rest = (1,) * (y.dim() - 2)
    n, g = arange(batch).reshape(-1, 1, *rest, 1, 1), arange(groups).reshape(-1, *rest, 1, 1)
    corners = getitem(features, (n, g, where_low[0].unsqueeze(-1), where_low[1].unsqueeze(-2)))
    weight = where_share[0].unsqueeze(-1) * where_share[1].unsqueeze(-2)
    weight = where(inside[0].unsqueeze(-1) & inside[1].unsqueeze(-2), weight, weight.new_zeros(()))
    return (corners * weight.unsqueeze(-1)).sum((-3, -2))


# -- gradients by name -----------------------------------------------------------------------------------------------------------


def _pulled(function: Callable, inputs: tuple[Tensor, ...], cotangent: Tensor) -> list[Tensor]:
    """The gradients of ``function`` at ``inputs``; zeros for those that its result does not depend on."""
    with enable_grad():
        inputs = tuple(x.detach().requires_grad_() for x in inputs)
        found = grad(function(*inputs), inputs, cotangent.detach(), allow_unused=True)
    return [x.detach().new_zeros(x.shape) if g is None else g for x, g in zip(inputs, found, strict=True)]


@_operator
def _roi_align_backward(grad, rois, spatial_scale, pooled_height, pooled_width, batch_size, channels, height, width,
                        sampling_ratio, aligned):
    zero = grad.new_zeros((batch_size, channels, height, width))
    return _pulled(lambda x: roi_align(x, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio, aligned),
                   (zero,), grad)[0]


@_operator
def _ps_roi_align_backward(grad, rois, channel_mapping, spatial_scale, pooled_height, pooled_width, sampling_ratio, batch_size,
                           channels, height, width):
    zero = grad.new_zeros((batch_size, channels, height, width))
    return _pulled(lambda x: ps_roi_align(x, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio)[0],
                   (zero,), grad)[0]


@_operator
def _ps_roi_pool_backward(grad, rois, channel_mapping, spatial_scale, pooled_height, pooled_width, batch_size, channels, height,
                          width):
    zero = grad.new_zeros((batch_size, channels, height, width))
    return _pulled(lambda x: _ps_roi_pool(x, rois, spatial_scale, pooled_height, pooled_width, 0)[0], (zero,), grad)[0]


@_operator
def _roi_pool_backward(grad, rois, argmax, spatial_scale, pooled_height, pooled_width, batch_size, channels, height, width):
    where_from = rois[:, 0].to(int64).reshape(-1, 1, 1, 1) * channels + arange(channels).reshape(-1, 1, 1)
    at = (where_from * (height * width) + argmax.to(int64).clamp(min=0)).flatten()
    counted = where(argmax >= 0, grad, grad.new_zeros(())).flatten()
    return zeros(batch_size * channels * height * width, dtype=grad.dtype).index_add(0, at, counted).reshape(
        batch_size, channels, height, width)


@_operator
def _deform_conv2d_backward(grad, input, weight, offset, mask, bias, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
                            groups, offset_groups, use_mask):
    return tuple(_pulled(lambda *tensors: deform_conv2d(*tensors, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups,
                                                        offset_groups, use_mask), (input, weight, offset, mask, bias), grad))


# -- what is not here ------------------------------------------------------------------------------------------------------------


@_operator
def _cuda_version() -> int:
    """The version of CUDA that the operators were compiled for: none."""
    return -1


def _refuse(name: str, *args, **kwargs):
    raise NotImplementedError(f"torch.ops.torchvision.{name} is not supported: diya has no quantized tensors")


for _name in ("qnms", "qroi_align"):
    publish(f"torchvision::{_name}", partial(_refuse, _name))
