"""Operators of PyTorch's private names that programs and its own test suite call."""

from __future__ import annotations

import math

import numpy as np

from .. import engine
from ..dtypes import float32, uint8, uint64
from ..graph import Type, primitive, type_of
from ..tensor import Tensor, from_node, wrap_dim
from .activation import softmax
from .creation import arange, full
from .elementwise import where
from .index import check_index
from .movement import cat
from .record import operator
from .reduce import dims_of, kept
from .scan import cumsum
from .scatter import index_put, scatter_reduce


@operator("_chunk_cat", method=False)
def _chunk_cat(tensors, dim, num_chunks):
    """Each tensor, filled with zeros to a multiple of ``num_chunks`` along ``dim``, cut into that many pieces; pieces of
    one number side by side."""
    if num_chunks < 1:
        raise RuntimeError(f"_chunk_cat expects positive num_chunks, got {num_chunks}")
    if not tensors:
        raise RuntimeError("_chunk_cat expects a non-empty input tensor list")
    if not all(x.numel() for x in tensors):
        raise RuntimeError("_chunk_cat expects non-empty tensor")
    if any(x.dtype is not tensors[0].dtype for x in tensors):
        raise RuntimeError("_chunk_cat expects all input tensors with the same dtype")
    dim = wrap_dim(dim, tensors[0].dim())
    if any(dim >= x.dim() for x in tensors):
        raise RuntimeError(f"_chunk_cat expects dim < ndim for all input tensors, got dim={dim}")
    parts = []
    for x in tensors:
        d = wrap_dim(dim, x.dim())
        missing = -x.shape[d] % num_chunks
        if missing:
            x = cat([x, x.new_zeros([missing if k == d else s for k, s in enumerate(x.shape)])], d)
        parts.append(x.reshape([*x.shape[:d], num_chunks, -1]))
    return cat(parts, wrap_dim(dim, tensors[0].dim()) + 1)


@operator("_segment_reduce", method=False, takes="f")
def _segment_reduce(data, reduce, *, lengths=None, indices=None, offsets=None, axis=0, unsafe=False, initial=None):
    """Reduces runs of elements along ``axis``, given by their lengths or offsets (batched over dimensions before it)."""
    if indices is not None:
        raise NotImplementedError("segment_reduce(): indices based reduction is not supported yet.")
    if (lengths is None) == (offsets is None):
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    identity = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "max": -math.inf, "min": math.inf}
    if reduce not in identity:
        raise RuntimeError(f"segment_reduce(): reduce must be one of {sorted(identity)}, got {reduce!r}")
    if data.dtype.itemsize == 2:  # rounded once
        return _segment_reduce(data.to(float32), reduce, lengths=lengths, offsets=offsets, axis=axis, unsafe=unsafe,
                               initial=initial).to(data.dtype)
    axis = wrap_dim(axis, data.dim())
    ends = check_index("segment_reduce", cumsum(lengths, -1) if offsets is None else offsets[..., 1:])
    starts = ends - lengths if offsets is None else offsets[..., :-1]
    count = ends.shape[-1]
    at = arange(data.shape[axis])
    # The run of each element: how many have ended before it. Elements after the last go to one run too many.
    run = (ends.unsqueeze(-1) <= at).sum(-2)
    run = run.reshape([*run.shape, *[1] * (data.dim() - axis - 1)]).expand(data.shape)
    shape = [count + 1 if d == axis else s for d, s in enumerate(data.shape)]
    start = full(shape, identity[reduce] if initial is None else float(initial), dtype=data.dtype)
    name = {"max": "amax", "min": "amin", "mean": "sum"}.get(reduce, reduce)
    out = scatter_reduce(start, axis, run, data, name).narrow(axis, 0, count)
    if reduce == "mean":
        sizes = (ends - starts).reshape([*ends.shape, *[1] * (data.dim() - axis - 1)])
        empty = sizes == 0
        out = out / where(empty, sizes * 0 + 1, sizes)
        if initial is None:
            out = where(empty, out.new_full((), math.nan), out)
    return out.contiguous()


@operator("_unsafe_masked_index_put_accumulate", method=False, out=False)
def _unsafe_masked_index_put_accumulate(input, mask, indices, values):
    """Adds ``values`` where ``mask`` is set at positions that may lie outside where it is not."""
    safe = [None if i is None else i.clamp(-input.shape[d], input.shape[d] - 1) for d, i in enumerate(indices)]
    return index_put(input, safe, values.masked_fill(~mask, 0), True)


def _interpret_hash(dims, x):
    bits = x.astype(np.float64).view(np.uint64) if x.dtype.kind == "f" else x.astype(np.int64).view(np.uint64)
    return np.bitwise_xor.reduce(bits, axis=dims) if dims else bits


def _infer_hash(dims, x: Type) -> Type:
    return type_of(tuple(s for d, s in enumerate(x.shape) if d not in dims), uint64)


HASH = primitive("hash_tensor", "host", _infer_hash, interpret=_interpret_hash)


@operator(differentiable=False)
def hash_tensor(input, dim=(), *, keepdim=False, mode=0):
    """The exclusive or of the elements' bits, as float64 or int64."""
    if mode:
        raise RuntimeError(f"hash_tensor: mode must be 0 (xor_sum), got {mode}")
    if input.dtype.kind == "c":
        raise RuntimeError("hash_tensor: not implemented for complex tensors")
    dims = dims_of(dim, input.dim())
    out = from_node(engine.record(HASH, (input.detach()._value(),), dims))
    return out.reshape(kept(input.shape, dims)) if keepdim else out


@operator("_safe_softmax", method=False, out=False)
def _safe_softmax(input, dim, dtype=None):
    """Softmax with zeros, not NaN, where all elements are −inf."""
    x = input if dtype is None else input.to(dtype)
    masked = (x == -math.inf).all(dim, keepdim=True)
    zero = x.new_zeros(())
    return where(masked, zero, softmax(where(masked, zero, x), dim))


class _Overloads:
    """An operator as ``torch.ops.aten`` shows it: callable, and each of its overloads the same function."""

    def __init__(self, function):
        self._function = function
        self.__name__ = function.__name__

    def __call__(self, *args, **kwargs):
        return self._function(*args, **kwargs)

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return self


def _slice(self, dim=0, start=None, end=None, step=1):
    return self[(slice(None),) * wrap_dim(dim, self.dim()) + (slice(start, end, step),)]


def _to_copy(self, *, dtype=None, layout=None, device=None, pin_memory=None, non_blocking=False, memory_format=None):
    return self.to(dtype=dtype or self.dtype, device=device, copy=True)


def _batch_norm_with_update(input, weight, bias, running_mean, running_var, momentum, eps):
    from .normalization import native_batch_norm
    return (*native_batch_norm(input, weight, bias, running_mean, running_var, True, momentum, eps),
            input.new_empty(0, dtype=uint8))


def _upsample_bilinear2d_aa(input, output_size=None, align_corners=False, scales_h=None, scales_w=None, *, scale_factors=None):
    from .vision import antialiased_bilinear
    factors = (scales_h, scales_w) if scale_factors is None else tuple(scale_factors)
    sizes = output_size or [math.floor(n * s) for n, s in zip(input.shape[2:], factors, strict=True)]
    return antialiased_bilinear(input, tuple(sizes), align_corners, factors)


# PyTorch's names of steps that methods take.
_STEPS = {"slice": _slice, "_to_copy": _to_copy, "_batch_norm_with_update": _batch_norm_with_update,
          "_upsample_bilinear2d_aa": _upsample_bilinear2d_aa,
          "alias": lambda self: self.view(self.shape),
          "_pin_memory": lambda self: self.clone(),
          "_local_scalar_dense": lambda self: self.item(), "_unsafe_view": lambda self, size: self.view(size),
          "index": lambda self, indices: self[tuple(slice(None) if i is None else i for i in indices)],
          "sym_size": lambda self, dim=None: self.size(dim), "_is_all_true": lambda self: self.all()}


class Aten:
    """``torch.ops.aten``: operators by their names there."""

    def __getattr__(self, name: str):
        from .record import OPERATORS
        if name in _STEPS:
            return _Overloads(_STEPS[name])
        for path in (name, f"nn.functional.{name}", f"linalg.{name.removeprefix('linalg_')}",
                     f"special.{name.removeprefix('special_')}", f"fft.{name.removeprefix('fft_')}"):
            if path in OPERATORS:
                return _Overloads(OPERATORS[path].function)
        if name.startswith("_foreach_"):
            from .._foreach import find
            return _Overloads(find(name.removeprefix("_foreach_")))
        method = Tensor.__dict__.get(name)
        if callable(method):
            return _Overloads(method)
        if name.startswith("_") and not name.startswith("__"):
            def refuse(*args, **kwargs):
                raise NotImplementedError(f"torch.ops.aten.{name} is not supported: it is a step of PyTorch's own kernels")
            return _Overloads(refuse)
        raise AttributeError(f"torch.ops.aten has no operator {name!r} that diya implements")


aten = Aten()
