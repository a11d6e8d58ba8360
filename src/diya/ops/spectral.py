"""Fourier transforms (``torch.fft``), and the short-time transforms over them.

Three primitives do all: complex to complex, real to half of a complex spectrum, and back. Each carries the factor by which
it scales, so that a gradient is again one of them.
"""

from __future__ import annotations

import math

import numpy as np

from .. import dtypes, engine
from ..graph import Type, primitive, type_of
from ..tensor import Tensor, from_node, strided_from_node, wrap_dim
from .elementwise import where
from .movement import cat, slice_dim
from .record import _long_name, not_int, operator
from .shape import roll

# -- primitives --------------------------------------------------------------------------------------------------------


def _complex(d: dtypes.dtype) -> dtypes.dtype:
    return d.to_complex()


def _interpret_c2c(attrs, x):
    dims, inverse, scale = attrs
    if 0 in x.shape:
        return x
    # "forward" leaves numpy's inverse unscaled
    out = np.fft.ifftn(x, axes=dims, norm="forward") if inverse else np.fft.fftn(x, axes=dims)
    return (out * scale if scale != 1 else out).astype(x.dtype)


def _half_shape(dims, shape) -> tuple[int, ...]:
    return tuple(s // 2 + 1 if d == dims[-1] else s for d, s in enumerate(shape))


def _infer_r2c(attrs, x: Type) -> Type:
    return type_of(_half_shape(attrs[0], x.shape), _complex(x.dtype))


def _interpret_r2c(attrs, x):
    dims, scale = attrs
    out = np.fft.rfftn(x, axes=dims) if x.size else np.zeros(_half_shape(dims, x.shape))
    return (out * scale).astype(np.complex64 if x.dtype == np.float32 else np.complex128)


def _infer_c2r(attrs, x: Type) -> Type:
    dim, n, _ = attrs
    return type_of(tuple(n if d == dim else s for d, s in enumerate(x.shape)), x.dtype.to_real())


def _interpret_c2r(attrs, x):
    dim, n, scale = attrs
    if not x.size:
        return np.zeros([n if d == dim else s for d, s in enumerate(x.shape)], x.real.dtype)
    return (np.fft.irfft(x, n, axis=dim, norm="forward") * scale).astype(x.real.dtype)


C2C = primitive("fft.c2c", "host", lambda attrs, x: x, interpret=_interpret_c2c)
R2C = primitive("fft.r2c", "host", _infer_r2c, interpret=_interpret_r2c)
C2R = primitive("fft.c2r", "host", _infer_c2r, interpret=_interpret_c2r)


def _laid_out(node, input: Tensor, dims) -> Tensor:
    """The result as PyTorch lays it out: other dimensions first, by descending stride, the transformed ones last."""
    strides = input.stride()
    others = sorted((d for d in range(input.dim()) if d not in dims), key=lambda d: -strides[d])
    order = (*others, *dims)
    return from_node(node) if order == tuple(range(input.dim())) else strided_from_node(node, order)


def _by_stride(input: Tensor, dims) -> tuple[int, ...]:
    strides = input.stride()
    return tuple(sorted(dims, key=lambda d: -strides[d]))


@operator("fft.c2c.plain", method=False, out=False,
          grad=dict(input=lambda g, dims, inverse, scale: _c2c(g, dims, not inverse, scale)))
def _c2c(input, dims, inverse, scale):
    dims = _by_stride(input, dims)
    return _laid_out(engine.record(C2C, (input._value(),), (dims, inverse, scale)), input, dims)


def _r2c_grad(g, shape, dims, scale):
    dim = dims[-1]
    missing = shape[dim] - g.shape[dim]
    if missing:
        zeros = list(shape)
        zeros[dim] = missing
        g = cat([g, g.new_zeros(zeros)], dim)
    return _c2c(g, dims, True, scale).real


@operator("fft.r2c.plain", method=False, out=False, grad=dict(input=_r2c_grad))
def _r2c(input, dims, scale):
    dims = (*_by_stride(input, dims[:-1]), dims[-1])
    return _laid_out(engine.record(R2C, (input._value(),), (dims, scale)), input, dims)


def _c2r_grad(g, dim, n, scale):
    out = _r2c(g, (dim,), scale)
    twice = n - out.shape[dim]
    if twice <= 0:
        return out
    parts = [slice_dim(out, dim, 0, 1), slice_dim(out, dim, 1, 1 + twice) * 2, slice_dim(out, dim, 1 + twice, None)]
    return cat(parts, dim)


@operator("fft.c2r.plain", method=False, out=False, grad=dict(input=_c2r_grad))
def _c2r(input, dim, n, scale):
    return _laid_out(engine.record(C2R, (input._value(),), (dim, n, scale)), input, (dim,))


# -- arguments ---------------------------------------------------------------------------------------------------------


def _scale(norm: str | None, n: int, inverse: bool) -> float:
    if norm not in (None, "backward", "ortho", "forward"):
        raise RuntimeError(f'Invalid normalization mode: "{norm}": expected "backward", "ortho" or "forward"')
    if norm == "ortho":
        return 1 / math.sqrt(n) if n else 1.0
    whole = (norm == "forward") != inverse
    return 1 / n if whole and n else 1.0


def _floating(name: str, x: Tensor, to_complex: bool) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"fft_{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}")
    if x.dtype.itemsize == 2 and x.dtype.kind == "f":
        raise RuntimeError(f"Unsupported dtype {_long_name(x.dtype)}")
    if x.dtype.kind in "bui":
        x = x.to(dtypes.default_dtype)
    return x.to(_complex(x.dtype)) if to_complex else x


def _real_only(name: str, x: Tensor) -> Tensor:
    if isinstance(x, Tensor) and x.dtype.kind == "c":
        raise RuntimeError(f"{name} expects a real input tensor, but got {_long_name(x.dtype)}")
    return _floating(name, x, False)


def _resized(x: Tensor, dim: int, n: int) -> Tensor:
    """Cut or filled with zeros to size ``n`` along ``dim``."""
    size = x.shape[dim]
    if n < size:
        return slice_dim(x, dim, 0, n)
    if n == size:
        return x
    shape = list(x.shape)
    shape[dim] = n - size
    return cat([x, x.new_zeros(shape)], dim)


def _length(n: int | None, default: int) -> int:
    n = default if n is None else n
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


def _dims(x: Tensor, s, dim) -> tuple[list[int], list[int | None]]:
    """The dimensions of an n-dimensional transform, and the sizes asked for."""
    if dim is not None:
        dims = [wrap_dim(d, x.dim()) for d in ([dim] if isinstance(dim, int) else dim)]
        if len(set(dims)) != len(dims):
            raise RuntimeError("FFT dims must be unique")
    s = [s] if isinstance(s, int) else s
    if s is not None:
        if dim is not None and len(dims) != len(s):
            raise RuntimeError(f"When given, dim and shape arguments must have the same length: got {len(dims)} and {len(s)}")
        if len(s) > x.dim():
            raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {x.dim()} dimensions.")
        if dim is None:
            dims = list(range(x.dim() - len(s), x.dim()))
        return dims, [None if n == -1 else n for n in s]
    if dim is None:
        dims = list(range(x.dim()))
    return dims, [None] * len(dims)


# -- transforms ----------------------------------------------------------------------------------------------------------


def _one(name: str, inverse: bool):
    def transform(input, n=None, dim=-1, norm=None):
        x = _floating(name, input, True)
        dim = wrap_dim(dim, x.dim())
        n = _length(n, x.shape[dim] if x.dim() else 1)
        return _c2c(_resized(x, dim, n), (dim,), inverse, _scale(norm, n, inverse))
    transform.__name__ = transform.__qualname__ = name
    return operator("fft." + name, method=False)(transform)


def _many(name: str, inverse: bool, default=None):
    def transform(input, s=None, dim=default, norm=None):
        x = _floating(name, input, True)
        dims, sizes = _dims(x, s, dim)
        sizes = [_length(n, x.shape[d]) for n, d in zip(sizes, dims, strict=True)]
        for d, n in zip(dims, sizes, strict=True):
            x = _resized(x, d, n)
        return _c2c(x, tuple(dims), inverse, _scale(norm, math.prod(sizes), inverse)) if dims else x.clone()
    transform.__name__ = transform.__qualname__ = name
    return operator("fft." + name, method=False)(transform)


fft, ifft = _one("fft", False), _one("ifft", True)
fft2, ifft2 = _many("fft2", False, (-2, -1)), _many("ifft2", True, (-2, -1))
fftn, ifftn = _many("fftn", False), _many("ifftn", True)


def _real_forward(name: str, x: Tensor, s, dim, norm, inverse: bool) -> Tensor:
    """r2c along all dimensions; for the Hermitian inverse along the last, its conjugate through c2c along the others."""
    x = _real_only(name, x)
    dims, sizes = _dims(x, s, dim)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    sizes = [_length(n, x.shape[d]) for n, d in zip(sizes, dims, strict=True)]
    for d, n in zip(dims, sizes, strict=True):
        x = _resized(x, d, n)
    scale = _scale(norm, math.prod(sizes), inverse)
    if not inverse:
        return _r2c(x, tuple(dims), scale)
    out = _r2c(x, (dims[-1],), scale).conj()
    return _c2c(out, tuple(dims[:-1]), True, 1.0) if dims[:-1] else out


def _real_backward(name: str, x: Tensor, s, dim, norm, inverse: bool) -> Tensor:
    """c2c along all but the last dimension, then c2r; conjugated before for the Hermitian forward transform."""
    x = _floating(name, x, True)
    dims, sizes = _dims(x, s, dim)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    last = _length(sizes[-1], 2 * (x.shape[dims[-1]] - 1))
    sizes = [_length(n, x.shape[d]) for n, d in zip(sizes[:-1], dims[:-1], strict=True)]
    for d, n in zip(dims, [*sizes, last // 2 + 1], strict=True):
        x = _resized(x, d, n)
    if dims[:-1]:
        x = _c2c(x, tuple(dims[:-1]), inverse, 1.0)
    return _c2r(x if inverse else x.conj(), dims[-1], last, _scale(norm, math.prod(sizes) * last, inverse))


def _real(name: str, run, inverse: bool, one: bool, default=None):
    if one:
        def transform(input, n=None, dim=-1, norm=None):
            return run(name, input, None if n is None else [_length(n, n)], [dim], norm, inverse)
    else:
        def transform(input, s=None, dim=default, norm=None):
            return run(name, input, s, dim, norm, inverse)
    transform.__name__ = transform.__qualname__ = name
    return operator("fft." + name, method=False)(transform)


rfft, ihfft = _real("rfft", _real_forward, False, True), _real("ihfft", _real_forward, True, True)
rfft2, ihfft2 = (_real(n, _real_forward, i, False, (-2, -1)) for n, i in (("rfft2", False), ("ihfft2", True)))
rfftn, ihfftn = (_real(n, _real_forward, i, False) for n, i in (("rfftn", False), ("ihfftn", True)))
irfft, hfft = _real("irfft", _real_backward, True, True), _real("hfft", _real_backward, False, True)
irfft2, hfft2 = (_real(n, _real_backward, i, False, (-2, -1)) for n, i in (("irfft2", True), ("hfft2", False)))
irfftn, hfftn = (_real(n, _real_backward, i, False) for n, i in (("irfftn", True), ("hfftn", False)))


def _shift(name: str, of):
    def shift(input, dim=None):
        dims = list(range(input.dim())) if dim is None else [wrap_dim(d, input.dim()) for d in
                                                             ([dim] if isinstance(dim, int) else dim)]
        return roll(input, [of(input.shape[d]) for d in dims], dims) if dims else input.clone()
    shift.__name__ = shift.__qualname__ = name
    return operator("fft." + name, method=False, out=False)(shift)


fftshift, ifftshift = _shift("fftshift", lambda n: n // 2), _shift("ifftshift", lambda n: -(n // 2))


@operator("fft.fftfreq", method=False, differentiable=False)
def fftfreq(n, d=1.0, *, dtype=None, device=None, requires_grad=False, layout=None):
    """The frequencies of `fft`'s bins, in cycles per unit of the spacing ``d``."""
    from .creation import arange
    k = arange(n)
    t = (where(k < (n + 1) // 2, k, k - n).to(dtype or dtypes.default_dtype)) * (1.0 / (n * d))
    return t.requires_grad_() if requires_grad else t


@operator("fft.rfftfreq", method=False, differentiable=False)
def rfftfreq(n, d=1.0, *, dtype=None, device=None, requires_grad=False, layout=None):
    from .creation import arange
    t = arange(n // 2 + 1, dtype=dtype or dtypes.default_dtype) * (1.0 / (n * d))
    return t.requires_grad_() if requires_grad else t


# -- short-time transforms --------------------------------------------------------------------------------------------------


def _window(name: str, window, win_length: int, n_fft: int, like: Tensor) -> Tensor:
    if window is None:
        window = like.new_ones(win_length, dtype=like.dtype.to_real())
    elif window.dim() != 1 or window.shape[0] != win_length:
        raise RuntimeError(f"{name}: expected a 1D window tensor of size equal to win_length={win_length}, but got window with "
                           f"size {list(window.shape)}")
    if win_length == n_fft:
        return window
    left = (n_fft - win_length) // 2
    return cat([window.new_zeros(left), window, window.new_zeros(n_fft - win_length - left)])


@operator(out=False)
def stft(input, n_fft, hop_length=None, win_length=None, window=None, center=True, pad_mode="reflect", normalized=False,
         onesided=None, return_complex=None, align_to_window=None):
    """The short-time Fourier transform of a signal (or a batch of them): (…, frequencies, frames)."""
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length
    if input.dtype.kind not in "fc":
        raise RuntimeError(f"stft: expected a tensor of floating point or complex values, got {input.dtype}")
    if input.dim() not in (1, 2):
        raise RuntimeError(f"stft: expected a 1D or 2D tensor, got {input.dim()}D")
    complex_in = input.dtype.kind == "c" or (window is not None and window.dtype.kind == "c")
    if return_complex is None and not complex_in:
        raise RuntimeError("stft requires the return_complex parameter be given for real inputs, and will further require that "
                           "return_complex=True in a future PyTorch release.")
    if not isinstance(hop_length, int):
        not_int("stft", "hop_length", hop_length)
    if hop_length <= 0:
        raise RuntimeError(f"stft: expected hop_length > 0, but got hop_length={hop_length}")
    if not 0 < win_length <= n_fft:
        raise RuntimeError(f"stft: expected 0 < win_length <= n_fft, but got win_length={win_length}")
    x = input.unsqueeze(0) if input.dim() == 1 else input
    if center:
        from .vision import pad
        x = pad(x.unsqueeze(1), (n_fft // 2, n_fft // 2), pad_mode).squeeze(1)
    if not 0 < n_fft <= x.shape[1]:
        raise RuntimeError(f"stft: expected 0 < n_fft <= {x.shape[1]}, but got n_fft={n_fft}")
    frames = x.unfold(-1, n_fft, hop_length) * _window("stft", window, win_length, n_fft, x)
    complex_in = frames.dtype.kind == "c"
    onesided = not complex_in if onesided is None else onesided
    if onesided and complex_in:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    norm = "ortho" if normalized else None
    out = (rfft if onesided else fft)(frames, None, -1, norm).transpose(1, 2)
    out = out.squeeze(0) if input.dim() == 1 else out
    if return_complex or (return_complex is None and complex_in):
        return out
    from .movement import view_as_real
    return view_as_real(out)


@operator(out=False)
def istft(input, n_fft, hop_length=None, win_length=None, window=None, center=True, normalized=False, onesided=None, length=None,
          return_complex=False):
    """The inverse of `stft`, by overlap and add, divided by the windows' squared sum."""
    if input.dtype.kind != "c":
        raise RuntimeError("istft requires a complex-valued input tensor matching the output from stft with return_complex=True.")
    if window is not None and window.dtype.kind == "c" and not return_complex:
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    if input.dim() not in (2, 3):
        raise RuntimeError(f"istft: expected a tensor with 2 or 3 dimensions, got {input.dim()}")
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length
    for argument, value in (("n_fft", n_fft), ("hop_length", hop_length), ("win_length", win_length)):
        if not isinstance(value, int):
            not_int("istft", argument, value)
    if not 0 < hop_length <= win_length or not 0 < win_length <= n_fft:
        raise RuntimeError(f"istft: expected 0 < hop_length <= win_length <= n_fft, got {hop_length}, {win_length} and {n_fft}")
    x = input.unsqueeze(0) if input.dim() == 2 else input
    onesided = x.shape[1] != n_fft if onesided is None else onesided
    if x.shape[1] != (n_fft // 2 + 1 if onesided else n_fft):
        raise RuntimeError(f"istft: expected the frequency dimension (3rd to the last) of the input tensor to match n_fft "
                           f"{'/ 2 + 1 when onesided=True' if onesided else 'when onesided=False'}, but got {x.shape[1]}")
    w = _window("istft", window, win_length, n_fft, x)
    norm = "ortho" if normalized else None
    frames = x.transpose(1, 2)
    if return_complex:
        frames = ifft(frames, None, -1, norm)
    else:
        frames = irfft(frames[..., :n_fft // 2 + 1], n_fft, -1, norm)
    frames = frames * w
    batch, count = frames.shape[:2]
    total = n_fft + hop_length * (count - 1)
    signal = _overlap(frames, hop_length, total)
    weight = _overlap((w * w).expand(1, count, n_fft), hop_length, total)
    start = n_fft // 2 if center else 0
    end = total - (n_fft // 2 if center else 0) if length is None else start + length
    signal, weight = signal[:, start:min(end, total)], weight[:, start:min(end, total)]
    if bool((weight.abs().min() < 1e-11) if weight.numel() else False):
        raise RuntimeError("window overlap add min: 1, the window's squares must not sum to zero anywhere (istft)")
    out = signal / weight
    if end > total:
        out = cat([out, out.new_zeros((batch, end - total))], 1)
    return out.squeeze(0) if input.dim() == 2 else out


def _overlap(frames: Tensor, hop: int, total: int) -> Tensor:
    """Frames added up where they overlap: (batch, frames, size) to (batch, total)."""
    from .movement import fold
    batch, count, size = frames.shape
    return fold(frames, (batch, total), ((batch, count, size), (total, hop, 1), 0))
