"""Pooling: the maximum, mean or norm of windows.

A pool reads its input through a strided view with a dimension for each window position and reduces those, so nothing is
copied, and it fuses with what stands around it. The gradient of a maximum goes to the first one of each window: windows
are compared with their result again, which is elementwise, and only the input and the output are saved.
"""

from __future__ import annotations

import math

import numpy as np

from ..autograd.modes import modes
from ..autograd.tape import Rule, track
from ..dtypes import bool_, int32, int64
from ..graph import contiguous_strides
from ..tensor import Tensor, _from_array, from_node
from .compose import also, number, show, shown_as, widened
from .creation import arange
from .elementwise import where
from .index import put_at, take_at
from .movement import _strided_op, cat, constant, fold, laid_like
from .record import _long_name, operator, snapshot
from .reduce import amax, amin

# -- windows -----------------------------------------------------------------------------------------------------------


def _each(name: str, argument: str, value, rank: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * rank
    for v in value:
        if isinstance(v, (str, float)):
            raise TypeError(f"{name}(): argument '{argument}' must be tuple of ints, got {value!r}")
    values = tuple(int(v) for v in value)
    if len(values) == 1:
        values *= rank
    if len(values) != rank:
        raise RuntimeError(f"{name}: {argument} must either be a single int, or a tuple of {rank} ints, got {list(values)}")
    return values


def _output_size(size: int, kernel: int, stride: int, low: int, dilation: int, ceil_mode: bool) -> int:
    reach = size + 2 * low - dilation * (kernel - 1) - 1
    n = (reach + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (n - 1) * stride >= size + low:  # the last window must start inside the input or its left padding
        n -= 1
    return n


class _Windows:
    """The geometry of a pool over the last ``rank`` dimensions: where each window stands in the padded input."""

    __slots__ = ("rank", "shape", "kernel", "stride", "low", "high", "dilation", "out")

    def frozen(self) -> tuple:
        """All that it is, for keys (see `diya.recording`)."""
        return tuple([getattr(self, name) for name in self.__slots__])

    def __init__(self, name: str, rank: int, input: Tensor, kernel, stride, padding, dilation, ceil_mode: bool):
        if input.dim() not in (rank + 1, rank + 2):
            raise RuntimeError(f"{name}(): Expected {rank + 1}D or {rank + 2}D input tensor, but got a tensor of size "
                               f"{list(input.shape)}")
        if any(s == 0 for s in input.shape[1 if input.dim() == rank + 2 else 0:]):
            raise RuntimeError(f"{name}(): Expected {rank + 1}D or {rank + 2}D (batch mode) tensor with optional 0 dim batch size "
                               f"for input, but got: {list(input.shape)}")
        self.rank, self.shape = rank, tuple(input.shape[-rank:])
        self.kernel = _each(name, "kernel_size", kernel, rank)
        given = stride is not None and (isinstance(stride, int) or len(stride) > 0)
        self.stride = _each(name, "stride", stride, rank) if given else self.kernel
        self.low, self.dilation = _each(name, "padding", padding, rank), _each(name, "dilation", dilation, rank)
        if any(k <= 0 for k in self.kernel) or any(d <= 0 for d in self.dilation):
            raise RuntimeError(f"{name}(): kernel size and dilation should be greater than zero, but got kernel_size="
                               f"{list(self.kernel)} dilation={list(self.dilation)}")
        if any(s <= 0 for s in self.stride):
            raise RuntimeError(f"{name}(): stride should not be zero, but got {list(self.stride)}")
        for k, p, d in zip(self.kernel, self.low, self.dilation, strict=True):
            if p < 0:
                raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
            if p > ((k - 1) * d + 1) // 2:
                raise RuntimeError(f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and "
                                   f"dilation={d}")
        self.out = tuple(_output_size(*x, ceil_mode) for x in
                         zip(self.shape, self.kernel, self.stride, self.low, self.dilation, strict=True))
        if any(n <= 0 for n in self.out):
            raise RuntimeError(f"{name}(): Given input size: ({'x'.join(map(str, input.shape[-rank - 1:]))}). Calculated output "
                               f"size: ({'x'.join(map(str, (input.shape[-rank - 1], *self.out)))}). Output size is too small")
        # What the last window needs beyond the input (negative: what no window reads).
        self.high = tuple((n - 1) * s + d * (k - 1) + 1 - p - size for n, s, d, k, p, size in
                          zip(self.out, self.stride, self.dilation, self.kernel, self.low, self.shape, strict=True))

    def beyond(self) -> Tensor | None:
        """Where some windows see padding alone: for each the position, maybe outside, of its first element that is not before the
        input's start, which PyTorch gives as that of their maximum."""
        first = [np.arange(n) * s - p for n, s, p in zip(self.out, self.stride, self.low, strict=True)]
        first = [a + -(-np.maximum(-a, 0) // d) * d for a, d in zip(first, self.dilation, strict=True)]
        if all((a < size).all() for a, size in zip(first, self.shape, strict=True)):
            return None
        units = contiguous_strides(self.shape)
        grids = np.meshgrid(*first, indexing="ij")
        return _from_array(np.ascontiguousarray(sum(a * unit for a, unit in zip(grids, units, strict=True)), np.int64), int64)

    @property
    def tiles(self) -> bool:
        """Whether windows cut the input into tiles (the last elements may be left over)."""
        return self.kernel == self.stride and not any(self.low) and max(self.high) <= 0 and \
            all(d == 1 or k == 1 for d, k in zip(self.dilation, self.kernel, strict=True))

    @property
    def padded(self) -> bool:
        return any(self.low) or max(self.high) > 0

    def pad(self, x: Tensor, value) -> Tensor:
        from .vision import constant_pad
        sides = [(p, max(h, 0)) for p, h in zip(self.low, self.high, strict=True)]
        return constant_pad(x, [n for pair in reversed(sides) for n in pair], value) if self.padded else x

    def view(self, x: Tensor) -> Tensor:
        """The padded input's windows: (…, *out, *kernel)."""
        rank = self.rank
        dense = contiguous_strides(x.shape)
        lead, spatial = dense[:-rank], dense[-rank:]
        shape = (*x.shape[:-rank], *self.out, *self.kernel)
        strides = (*lead, *(st * s for st, s in zip(spatial, self.stride, strict=True)),
                   *(st * d for st, d in zip(spatial, self.dilation, strict=True)))
        return _strided_op(x, (shape, strides, 0))

    def tiled(self, x: Tensor) -> Tensor:
        """The input's tiles: (…, out₀, kernel₀, out₁, kernel₁ …), a reshape."""
        for d, h in enumerate(self.high, x.dim() - self.rank):
            if h:
                x = x.narrow(d, 0, x.shape[d] + h)
        sizes = [n for pair in zip(self.out, self.kernel, strict=True) for n in pair]
        return x.reshape(*x.shape[:-self.rank], *sizes)

    def positions(self) -> Tensor:
        """The flat position in the (unpadded) input of each window's elements, (*out, *kernel), as the row-major order of
        the input counts them."""
        rank = self.rank
        total = None
        for d, unit in enumerate(contiguous_strides(self.shape)):
            at = (arange(self.out[d]) * self.stride[d]).unsqueeze(1) + (arange(self.kernel[d]) * self.dilation[d] - self.low[d])
            shape = [1] * (2 * rank)
            shape[d], shape[rank + d] = self.out[d], self.kernel[d]
            at = (at * unit if unit != 1 else at).reshape(shape)
            total = at if total is None else total + at
        return total


# -- maximum -------------------------------------------------------------------------------------------------------------


def _lowest(x: Tensor):
    return -math.inf if x.dtype.kind == "f" else int(np.iinfo(x.dtype.numpy).min)


def _is_maximum(windows: Tensor, top: Tensor) -> Tensor:
    hit = windows == top
    return hit | (windows != windows) if windows.dtype.kind == "f" else hit


def _hits(windows: Tensor, out: Tensor, w: _Windows) -> Tensor:
    """Which elements of the windows equal their maximum; padding never does, even where all else is as low."""
    hit = _is_maximum(windows, out.reshape(*out.shape, *(1,) * w.rank))
    if not w.padded:
        return hit
    return hit & w.view(w.pad(from_node(constant(w.shape, True, bool_)), False))


def _tile_axes(x: Tensor, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    first = x.dim() - rank
    return tuple(first + 2 * d for d in range(rank)), tuple(first + 2 * d + 1 for d in range(rank))


def _max_values(x: Tensor, w: _Windows) -> Tensor:
    if w.tiles:
        return amax(w.tiled(x), _tile_axes(x, w.rank)[1])
    windows = w.view(w.pad(x, _lowest(x)))
    return amax(windows, tuple(range(windows.dim() - w.rank, windows.dim())))


def _max_indices(x: Tensor, out: Tensor, w: _Windows) -> Tensor:
    """The flat position in the input of each window's first maximum."""
    windows = w.view(w.pad(x, _lowest(x)))
    dims = tuple(range(windows.dim() - w.rank, windows.dim()))
    hit = _hits(windows, out, w)
    found = amin(where(hit, w.positions(), 1 << 62), dims)
    beyond = w.beyond()
    return found if beyond is None else where(found == 1 << 62, beyond, found)


def _max_pool_grad(g, input, out, windows):
    w = windows
    rank = w.rank
    if w.tiles:
        tiles = w.tiled(input)
        outer, inner = _tile_axes(input, rank)
        shape = [1 if d in inner else s for d, s in enumerate(tiles.shape)]
        hit = _is_maximum(tiles, out.reshape(shape))
        number_in_window = None
        for d, unit in zip(inner, contiguous_strides(w.kernel), strict=True):
            at = (arange(tiles.shape[d], dtype=int32) * unit).reshape([-1 if k == d else 1 for k in range(tiles.dim())])
            number_in_window = at if number_in_window is None else number_in_window + at
        first = amin(where(hit, number_in_window, math.prod(w.kernel)), inner, True)
        cut = where(number_in_window == first, g.reshape(shape), number(0, g))
        full = [s + min(h, 0) for s, h in zip(w.shape, w.high, strict=True)]
        cut = cut.reshape(*input.shape[:-rank], *full)
        if full == list(w.shape):
            return cut
        dense = contiguous_strides(input.shape)
        return fold(cut, tuple(input.shape), (tuple(cut.shape), dense, 0))
    padded = w.pad(input, _lowest(input))
    view = w.view(padded)
    tail = (1,) * rank
    hit = _hits(view, out, w)
    at = arange(math.prod(w.kernel), dtype=int32).reshape(w.kernel)
    first = amin(where(hit, at, math.prod(w.kernel)), tuple(range(view.dim() - rank, view.dim())))
    spread = where(at == first.reshape(*first.shape, *tail), g.reshape(*g.shape, *tail), number(0, g))
    return _unwindow(spread, tuple(padded.shape), w)


def _unwindow(spread: Tensor, padded: tuple[int, ...], w: _Windows) -> Tensor:
    """Each window's elements (…, *out, *kernel) added to where they stand in the input."""
    dense = contiguous_strides(padded)
    lead, spatial = dense[:-w.rank], dense[-w.rank:]
    strides = (*lead, *(st * s for st, s in zip(spatial, w.stride, strict=True)),
               *(st * d for st, d in zip(spatial, w.dilation, strict=True)))
    whole = fold(spread, padded, (tuple(spread.shape), strides, 0))
    for d, (p, size) in enumerate(zip(w.low, w.shape, strict=True), len(padded) - w.rank):
        if padded[d] != size:
            whole = whole.narrow(d, p, size)
    return whole


_MAX_POOL = [Rule(f"MaxPool{rank}DWithIndices", ("input",), dict(input=_max_pool_grad)) for rank in (1, 2, 3)]


def _max_pool(name: str, rank: int, input: Tensor, kernel, stride, padding, dilation, ceil_mode: bool,
              indices: bool) -> tuple[Tensor, Tensor | None]:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    w = _Windows(name, rank, input, kernel, stride, padding, dilation, ceil_mode)
    if rank == 1 and not indices and input.dtype.kind != "f":  # of integers only together with the positions
        raise NotImplementedError(f"\"max_pool1d_impl\" not implemented for '{_long_name(input.dtype)}'")
    if input.dtype.kind in "cb":
        raise RuntimeError(f"\"{name}\" not implemented for '{_long_name(input.dtype)}'")
    node = input._value()
    plain = input.detach()
    out = _max_values(plain, w)
    at = laid_like(input, _max_indices(plain, out, w)) if indices else None
    if modes.grad and input.requires_grad:
        track(_MAX_POOL[rank - 1], (out,), (input,), (node,), {"windows": w})
        out = snapshot(out)  # the tape keeps the values: writing to the result in place is allowed
    return laid_like(input, out), at


def _make_max_pool(rank: int) -> None:
    name = f"max_pool{rank}d"

    def max_pool(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        out, at = _max_pool(name, rank, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        return out if at is None else (out, at)

    def with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=True):
        return _max_pool(name, rank, input, kernel_size, stride, padding, dilation, ceil_mode, True)

    def plain(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
        return _max_pool(name, rank, input, kernel_size, stride, padding, dilation, ceil_mode, False)[0]

    docs = f"The maximum of each window over the last {rank} dimension{'s' if rank > 1 else ''}; the first one, where several are."
    for path, f in ((f"nn.functional.{name}", max_pool), (f"nn.functional.{name}_with_indices", with_indices), (name, plain),
                    (f"{name}_with_indices", with_indices)):
        if path != f"{name}_with_indices" or rank == 1:
            f.__name__ = f.__qualname__ = path.rpartition(".")[2]
            f.__doc__ = docs
            operator(path, method=False, out=False, takes="uif")(f)


# -- mean ----------------------------------------------------------------------------------------------------------------


def _avg_pool(name: str, rank: int, input: Tensor, kernel, stride, padding, ceil_mode: bool, count_include_pad: bool,
              divisor: int | None) -> Tensor:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if divisor == 0:
        raise RuntimeError(f"{name}(): divisor must be not zero")
    w = _Windows(name, rank, input, kernel, stride, padding, 1, ceil_mode)
    if rank == 3 and any(n < k for n, k in zip(w.shape, w.kernel, strict=True)):
        raise RuntimeError(f"input image {list(w.shape)} smaller than kernel size {list(w.kernel)}")
    if input.dtype.kind in "cb":
        raise RuntimeError(f"\"{name}\" not implemented for '{_long_name(input.dtype)}'")
    x = widened(input)
    if w.tiles:
        total = w.tiled(x).sum(_tile_axes(x, rank)[1], dtype=x.dtype)
    else:
        view = w.view(w.pad(x, 0))
        total = view.sum(tuple(range(view.dim() - rank, view.dim())), dtype=x.dtype)
    counts = divisor if divisor is not None else _window_counts(w, count_include_pad)
    if isinstance(counts, np.ndarray):
        counts = _from_array(counts.astype(x.dtype.numpy))
    if x.dtype.kind in "ui":
        return _laid_2d(rank, input, total.div(counts, rounding_mode="trunc"))
    return _laid_2d(rank, input, (total / counts).to(input.dtype))


def _laid_2d(rank: int, input: Tensor, out: Tensor) -> Tensor:
    """Channels last as the input is; in three dimensions PyTorch's means do not keep it."""
    return laid_like(input, out) if rank == 2 else out


def _window_counts(w: _Windows, count_include_pad: bool):
    """How many elements each window holds: one number where all hold as many."""
    sizes = []
    for n, k, s, p, size in zip(w.out, w.kernel, w.stride, w.low, w.shape, strict=True):
        start = np.arange(n) * s - p
        end = np.minimum(start + k, size + p)
        if not count_include_pad:
            start, end = np.maximum(start, 0), np.minimum(end, size)
        sizes.append(end - start)
    if all((c == c[0]).all() for c in sizes):
        return math.prod(int(c[0]) for c in sizes)
    total = sizes[0]
    for c in sizes[1:]:
        total = total[..., None] * c
    return total


def _make_avg_pool(rank: int) -> None:
    name = f"avg_pool{rank}d"
    if rank == 1:
        def avg_pool(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
            return _avg_pool(name, rank, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)
    else:
        def avg_pool(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
            return _avg_pool(name, rank, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    avg_pool.__name__ = avg_pool.__qualname__ = name
    avg_pool.__doc__ = "The mean of each window; ``count_include_pad``: padding counts as zeros, else it does not count."
    public = operator("nn.functional." + name, method=False, out=rank > 1, takes="lw" if rank == 3 else "lf")(
        shown_as(f"AvgPool{rank}D" if rank > 1 else "SqueezeBackward1")(avg_pool))
    if rank == 1:
        also(name, public)


# -- adaptive ------------------------------------------------------------------------------------------------------------


def _adaptive_size(name: str, rank: int, input: Tensor, output_size) -> tuple[int, ...]:
    if input.dim() not in (rank + 1, rank + 2):
        kind = ValueError if rank > 1 and input.dim() <= rank else RuntimeError
        raise kind(f"{name}(): Expected {rank + 1}D or {rank + 2}D tensor, but got {list(input.shape)}")
    if not isinstance(output_size, int) and output_size is not None and any(isinstance(v, (str, float)) for v in output_size):
        raise TypeError(f"{name}(): argument 'output_size' must be tuple of ints, got {output_size!r}")
    sizes = (output_size,) * rank if isinstance(output_size, int) or output_size is None else tuple(output_size)
    if len(sizes) == 1:
        sizes *= rank
    if len(sizes) != rank:
        raise RuntimeError(f"{name}: output_size must be {rank} numbers, got {list(sizes)}")
    sizes = tuple(s if n is None else int(n) for n, s in zip(sizes, input.shape[-rank:], strict=True))
    if any(n < 0 for n in sizes):
        raise RuntimeError(f"{name}(): elements of output_size must be greater than or equal to 0, got {list(sizes)}")
    if 0 in input.shape[1 if "max" in name else -rank:]:
        raise RuntimeError(f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes "
                           f"{list(input.shape)}")
    return sizes


def _bounds(size: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    i = np.arange(n)
    return i * size // n, -(-(i + 1) * size // n)


def weighted_windows(x: Tensor, d: int, weights: np.ndarray) -> Tensor:
    """Dimension ``d`` times a matrix (size, n) whose columns have their weights in a window each. What lies outside of it does
    not count, not even by 0 · ∞."""
    size, n = weights.shape
    used = weights != 0
    start = used.argmax(0)
    longest = max(1, int((size - used[::-1].argmax(0) - start).max())) if n and used.any() else 1
    at = np.minimum(start[:, None] + np.arange(longest), size - 1)
    factors = np.where(start[:, None] + np.arange(longest) < size, weights[at, np.arange(n)[:, None]], 0)
    shape = (n, longest, *[1] * (x.dim() - d - 1))
    windows = x.index_select(d, _from_array(at.reshape(-1))).reshape(*x.shape[:d], n, longest, *x.shape[d + 1:])
    counted = _from_array((factors != 0).reshape(shape))
    return (where(counted, windows, number(0, windows)) * _from_array(factors.astype(x.dtype.numpy).reshape(shape))).sum(d + 1)


def _adaptive_avg_pool(name: str, rank: int, input: Tensor, output_size) -> Tensor:
    """Windows i·S/n to (i+1)·S/n: tiles where they divide, else weighted windows of one dimension after the other."""
    sizes = _adaptive_size(name, rank, input, output_size)
    if input.dtype.kind != "f":
        raise RuntimeError(f"\"{name}\" not implemented for '{_long_name(input.dtype)}'")
    x = widened(input)
    if all(n and s % n == 0 for n, s in zip(sizes, input.shape[-rank:], strict=True)):
        parts = [k for n, s in zip(sizes, x.shape[-rank:], strict=True) for k in (n, s // n)]
        tiles = x.reshape(*x.shape[:-rank], *parts)
        return _laid_2d(rank, input, tiles.mean(_tile_axes(x, rank)[1]).to(input.dtype))
    for d, n in enumerate(sizes, x.dim() - rank):
        size = x.shape[d]
        if n == size:
            continue
        start, end = _bounds(size, n)
        at = np.arange(size)[:, None]  # pyright: ignore[reportCallIssue]
        weights = ((at >= start) & (at < end)) / np.maximum(end - start, 1)
        x = weighted_windows(x, d, weights)
    return _laid_2d(rank, input, x.contiguous().to(input.dtype))


def _adaptive_max_pool(name: str, rank: int, input: Tensor, output_size) -> tuple[Tensor, Tensor]:
    """As `_adaptive_avg_pool`; short windows repeat their last element, which changes no maximum and not the first one."""
    sizes = _adaptive_size(name, rank, input, output_size)
    if input.dtype.kind != "f":
        raise RuntimeError(f"\"{name}\" not implemented for '{_long_name(input.dtype)}'")
    if 0 in sizes or 0 in input.shape[:-rank]:
        shape = (*input.shape[:-rank], *sizes)
        return input.new_empty(shape), input.new_empty(shape, dtype=int64)
    spatial = tuple(input.shape[-rank:])
    units = contiguous_strides(spatial)
    flat = input.reshape(-1, math.prod(spatial))
    at = None
    for d, (n, size, unit) in enumerate(zip(sizes, spatial, units, strict=True)):
        start, end = _bounds(size, n)
        longest = int((end - start).max()) if n else 1
        inside = np.minimum(start[:, None] + np.arange(longest), end[:, None] - 1) * unit
        shape = [1] * (2 * rank)
        shape[d], shape[rank + d] = n, longest
        inside = inside.reshape(shape)
        at = inside if at is None else at + inside
    at = np.ascontiguousarray(at.reshape(math.prod(sizes), -1))
    positions = _from_array(at.astype(np.int64))
    plain = flat.detach()
    windows = take_at(plain.t(), [positions]).permute(2, 0, 1)
    top = amax(windows, 2) if windows.numel() else windows.sum(2)
    first = amin(where(_is_maximum(windows, top.unsqueeze(2)), positions, 1 << 62), 2) if windows.numel() else top.to(int64)
    out = flat.gather(1, first)
    shape = (*input.shape[:-rank], *sizes)
    name = f"AdaptiveMaxPool{rank}D" if rank > 1 else "SqueezeBackward1"
    return show(laid_like(input, out.reshape(shape)), name, input), laid_like(input, first.reshape(shape))


def _make_adaptive(rank: int) -> None:
    average, maximum = f"adaptive_avg_pool{rank}d", f"adaptive_max_pool{rank}d"

    @shown_as(f"AdaptiveAvgPool{rank}D" if rank > 1 else "SqueezeBackward1")
    def adaptive_avg_pool(input, output_size):
        return _adaptive_avg_pool(average, rank, input, output_size)

    def adaptive_max_pool(input, output_size, return_indices=False):
        out, at = _adaptive_max_pool(maximum, rank, input, output_size)
        return (out, at) if return_indices else out

    def with_indices(input, output_size, return_indices=True):
        return _adaptive_max_pool(maximum, rank, input, output_size)

    for name, f, what in ((average, adaptive_avg_pool, "mean"), (maximum, adaptive_max_pool, "maximum"),
                          (maximum + "_with_indices", with_indices, "maximum, and its position,")):
        f.__name__ = f.__qualname__ = name
        f.__doc__ = f"The {what} of as many windows as ``output_size`` says, which cover the input."
        public = operator("nn.functional." + name, method=False, out=False)(f)
        if rank == 1:
            also(name, with_indices if f is adaptive_max_pool else public) if not name.endswith("indices") else None


# -- norms, and back ---------------------------------------------------------------------------------------------------------


def _lp_pool(rank: int, input, norm_type, kernel_size, stride, ceil_mode) -> Tensor:
    kernel = _each(f"lp_pool{rank}d", "kernel_size", kernel_size, rank)
    total = _avg_pool(f"avg_pool{rank}d", rank, input.pow(norm_type), kernel, stride, 0, ceil_mode, True, None)
    total = total.sign() * total.abs().clamp_min(0) * math.prod(kernel)
    return total.pow(1.0 / norm_type)


def _make_lp_pool(rank: int) -> None:
    def lp_pool(input, norm_type, kernel_size, stride=None, ceil_mode=False):
        return _lp_pool(rank, input, norm_type, kernel_size, stride, ceil_mode)
    lp_pool.__name__ = lp_pool.__qualname__ = f"lp_pool{rank}d"
    lp_pool.__doc__ = "(Σ xᵖ)^(1/p) of each window."
    def samples():
        x = np.linspace(0.5, 2.0, 2 * 6**rank).reshape(2, *[6] * rank)
        return [((x, 2, 2), {}), ((x, 3.0, 3, 2), {"ceil_mode": True})]
    operator(f"nn.functional.lp_pool{rank}d", method=False, out=False, samples=samples)(lp_pool)


def _unpool_size(name: str, rank: int, input: Tensor, kernel, stride, padding, output_size) -> tuple[int, ...]:
    if input.dim() < rank:
        raise IndexError(f"{name}: expected input of {rank + 1} or {rank + 2} dimensions, got {list(input.shape)}")
    default = tuple((n - 1) * s - 2 * p + k for n, s, p, k in
                    zip(input.shape[-rank:], stride, padding, kernel, strict=True))
    if output_size is None:
        return default
    sizes = tuple(output_size)
    if len(sizes) == rank + 2:
        sizes = sizes[2:]
    if len(sizes) != rank:
        raise ValueError(f"output_size should be a sequence containing {rank} or {rank + 2} elements, but it has a length of "
                         f"'{len(sizes)}'")
    for d in range(rank):
        if not default[d] - stride[d] < sizes[d] < default[d] + stride[d]:
            raise ValueError(f'invalid output_size "{list(sizes)}" (dim {d} must be between {default[d] - stride[d]} and '
                             f'{default[d] + stride[d]})')
    return sizes


def _make_unpool(rank: int) -> None:
    name = f"max_unpool{rank}d"

    def max_unpool(input, indices, kernel_size, stride=None, padding=0, output_size=None):
        kernel = _each(name, "kernel_size", kernel_size, rank)
        step = kernel if stride is None else _each(name, "stride", stride, rank)
        sizes = _unpool_size(name, rank, input, kernel, step, _each(name, "padding", padding, rank), output_size)
        if indices.dtype is not int64:
            raise RuntimeError(f"elements in indices should be type int64 but got: {_long_name(indices.dtype)}")
        if indices.shape != input.shape:
            raise RuntimeError(f"Expected shape of indices to be same as that of the input tensor ({list(input.shape)}) but got "
                               f"indices tensor with shape: {list(indices.shape)}")
        if input.dim() not in (rank + 1, rank + 2):
            raise RuntimeError(f"Input to {name} should be a {rank + 1}d or {rank + 2}d Tensor, but got {input.dim()} dimensions")
        lead = tuple(input.shape[:-rank])
        rows, cells = math.prod(lead), math.prod(sizes)
        each = math.prod(input.shape[-rank:])
        at = indices.reshape(rows, each)
        out = put_at(input.new_zeros((rows, cells)), [arange(rows).unsqueeze(1), at], input.reshape(rows, each), False)
        out = out.reshape(*lead, *sizes)
        return laid_like(input, out) if rank < 3 else out

    max_unpool.__name__ = max_unpool.__qualname__ = name
    max_unpool.__doc__ = f"The partial inverse of `max_pool{rank}d`: values at the positions that it gave, zero elsewhere."
    operator("nn.functional." + name, method=False, out=False, takes="f")(max_unpool)


# -- fractional ------------------------------------------------------------------------------------------------------------


def _fractional_starts(sample: Tensor, size: int, n: int, kernel: int) -> Tensor:
    """Where the ``n`` windows of a dimension start: steps that vary with the sample (…,), and the last one at the end."""
    last = arange(1) * 0 + (size - kernel)
    last = last.expand(*sample.shape, 1)
    if n == 1:
        return last
    step = (size - kernel) / (n - 1)
    at = sample.unsqueeze(-1)
    inner = ((arange(n - 1) + at) * step).long() - (at * step).long()
    return cat([inner, last], -1)


def _fractional(name: str, rank: int, input, kernel_size, output_size, output_ratio, samples) -> tuple[Tensor, Tensor]:
    from .random import rand
    if input.dim() not in (rank + 1, rank + 2):
        raise RuntimeError(f"{name}(): Expected {rank + 1}D or {rank + 2}D tensor, but got: {list(input.shape)}")
    if (output_size is None) == (output_ratio is None):
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    kernel = _each(name, "kernel_size", kernel_size, rank)
    spatial = tuple(input.shape[-rank:])
    if output_size is None:
        ratio = (output_ratio,) * rank if isinstance(output_ratio, float) else tuple(output_ratio)
        if not all(0 < r < 1 for r in ratio):
            raise ValueError(f"{name} requires output_ratio to be between 0 and 1 (got {output_ratio})")
        sizes = tuple(int(s * r) for s, r in zip(spatial, ratio, strict=True))
    else:
        sizes = _each(name, "output_size", output_size, rank)
    if any(n + k - 1 > s for n, k, s in zip(sizes, kernel, spatial, strict=True)):
        raise RuntimeError(f"{name}(): pool size {list(kernel)} too large relative to input size {list(spatial)} for an output of "
                           f"size {list(sizes)}")
    x = input if input.dim() == rank + 2 else input.unsqueeze(0)
    if samples is None:
        samples = rand(x.shape[0], x.shape[1], rank, dtype=x.dtype)
    at = None
    for d, (n, k, size, unit) in enumerate(zip(sizes, kernel, spatial, contiguous_strides(spatial), strict=True)):
        sample = samples.select(2, rank - 1 - d if rank == 2 else d)  # two dimensions: x first
        inside = (_fractional_starts(sample, size, n, k).unsqueeze(-1) + arange(k)) * unit  # (N, C, n, k)
        shape = [1] * (2 * rank)
        shape[d], shape[rank + d] = n, k
        inside = inside.reshape(*inside.shape[:2], *shape)
        at = inside if at is None else at + inside
    rows = x.shape[0] * x.shape[1]
    at = at.reshape(rows, math.prod(sizes), math.prod(kernel))  # type: ignore[union-attr]
    flat = x.reshape(rows, math.prod(spatial))
    windows = flat.detach().gather(1, at.flatten(1)).reshape(at.shape)
    first = amin(where(_is_maximum(windows, amax(windows, 2, True)), at, 1 << 62), 2)
    shape = (*input.shape[:-rank], *sizes)
    return show(flat.gather(1, first).reshape(shape), f"FractionalMaxPool{rank}D", input), first.reshape(shape)


def _make_fractional(rank: int) -> None:
    name = f"fractional_max_pool{rank}d"

    def pool(input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
        out, at = _fractional(name, rank, input, kernel_size, output_size, output_ratio, _random_samples)
        return (out, at) if return_indices else out

    def with_indices(input, kernel_size, output_size=None, output_ratio=None, return_indices=True, _random_samples=None):
        return _fractional(name, rank, input, kernel_size, output_size, output_ratio, _random_samples)

    for path, f in ((name, pool), (name + "_with_indices", with_indices)):
        f.__name__ = f.__qualname__ = path
        f.__doc__ = "The maximum of windows whose steps are drawn at random (https://arxiv.org/abs/1412.6071)."
        operator("nn.functional." + path, method=False, out=False, takes="f")(f)


for _rank in (1, 2, 3):
    _make_max_pool(_rank)
    _make_avg_pool(_rank)
    _make_adaptive(_rank)
    _make_lp_pool(_rank)
    _make_unpool(_rank)
    if _rank > 1:
        _make_fractional(_rank)
