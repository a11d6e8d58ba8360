"""Writing at positions held in data: scatter, index_add and their kin."""

from __future__ import annotations

import numpy as np

from .. import dtypes, engine
from ..autograd.modes import modes
from ..autograd.tape import Rule, track
from ..dtypes import bool_, int64
from ..graph import broadcast_shapes, primitive
from ..runtime.arrays import copy
from ..tensor import Tensor, from_node, wrap_dim
from .elementwise import where
from .index import _as_index, _check, check_index, check_now, gather, getitem, open_grid, operands, put_at, take_at
from .movement import preserved
from .record import WrongArgument, element, is_number, only_tensors, operator

_REDUCE = {"sum": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def _interpret_scatter(attrs, x, index, src, overwrite: bool):
    dim, reduce = attrs
    _check(index, x.shape[dim], dim, 0)
    out = x if overwrite else copy(x)
    at = (index,) if index.ndim == 1 else open_grid(index.shape, dim, index)
    part = src[tuple(slice(0, s) for s in index.shape)] if src.shape != index.shape and src.ndim else src
    if reduce == "set":
        out[at] = part
    else:
        _REDUCE[reduce].at(out, at, np.broadcast_to(part, index.shape))
    return out


SCATTER = primitive("scatter", "index", lambda attrs, x, i, s: x, interpret=_interpret_scatter, faults=True)


def _record(x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str) -> Tensor:
    """The plain scatter, off the tape; half precisions accumulate in float32."""
    if x.dtype.name in ("float16", "bfloat16", "complex32") and reduce != "set":
        wide = dtypes.promote_types(x.dtype, dtypes.float32)
        return _record(x.to(wide), dim, index, src.to(wide), reduce).to(x.dtype)
    return from_node(engine.record(SCATTER, operands(False, x, index, src), (dim, reduce)))


def _prepare(name: str, x: Tensor, dim: int, index: Tensor, src: Tensor | None):
    index = check_index(name, index)
    dim = wrap_dim(dim, x.dim())
    if src is not None and src.dtype is not x.dtype:
        raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype, got {x.dtype} and {src.dtype}")
    if index.numel():
        ranks = {x.dim() or 1, index.dim() or 1} | ({src.dim() or 1} if src is not None else set())
        if len(ranks) != 1:
            raise RuntimeError(f"Index tensor must have the same number of dimensions as {'src' if src is not None else 'self'} "
                               f"tensor: self has {x.dim()}, index {index.dim()}")
        for d in range(x.dim() if index.dim() else 0):
            if d != dim and index.shape[d] > x.shape[d] or src is not None and index.shape[d] > src.shape[d]:
                limit = f" and to be no larger than src {list(src.shape)}" if src is not None else ""
                raise RuntimeError(f"Expected index {list(index.shape)} to be no larger than self {list(x.shape)} apart from "
                                   f"dimension {dim}{limit}")
        if not index._lent():   # else the operator runs now, and finds out by itself
            check_now(index, x.shape[dim] if x.dim() else 1, dim, 0)
    return dim, index


def _part(src: Tensor, index: Tensor) -> Tensor:
    """The corner of ``src`` that an index of smaller shape reads."""
    for d, (s, n) in enumerate(zip(src.shape, index.shape, strict=True)):
        if s != n:
            src = src.narrow(d, 0, n)
    return src


def _scatter(name: str, input: Tensor, dim: int, index: Tensor, src, reduce: str) -> Tensor:
    if not isinstance(src, Tensor):
        if not is_number(src):
            raise WrongArgument(f"{name}(): argument 'src' must be Tensor or Number, not {type(src).__name__}", src)
        src = from_node(engine.scalar(element(src, input.dtype), input.dtype)).expand(index.shape)
        dim, index = _prepare(name, input, dim, index, None)
    else:
        dim, index = _prepare(name, input, dim, index, src)
    if not index.numel():
        return input.clone()
    if input.dim() == 0 or index.dim() == 0:
        return _scatter(name, input.reshape(-1), 0, index.reshape(-1), src.reshape(-1), reduce).reshape(input.shape)
    part = _part(src, index)
    out = _record(input.detach(), dim, index, part.detach(), reduce)
    if modes.grad and (input._rg or part._rg):
        rule = {"set": _SET, "sum": _SUM}.get(reduce)
        if rule is None:
            rule = _REDUCED
        track(rule, (out,), (input, index, part), (input._value(), index._value(), part._value()), {"dim": dim, "reduce": reduce})
    return out


def _record_set(g: Tensor, dim: int, index: Tensor) -> Tensor:
    return _scatter("scatter", g, dim, index, 0, "set")


_SET = Rule("Scatter", ("input", "index", "src"), dict(input=lambda g, dim, index: _record_set(g, dim, index),
                                                       src=lambda g, dim, index: gather(g, dim, index)))
_SUM = Rule("ScatterAdd", ("input", "index", "src"), dict(input=lambda g: g, src=lambda g, dim, index: gather(g, dim, index)))


def _reduced_grad(g, input, index, src, out, dim, reduce):
    if reduce == "prod":
        ratio = out / where(input == 0, input.new_ones(()), input)
        gi = where(input == 0, g * _scatter("scatter_reduce", input.new_ones(input.shape), dim, index, src, "prod"), g * ratio)
        taken = gather(out * g, dim, index) / where(src == 0, src.new_ones(()), src)
        zeros = (src == 0)
        count = _record(input.new_zeros(input.shape), dim, index, zeros.to(input.dtype), "sum")
        without = _scatter("scatter_reduce", input, dim, index, where(zeros, src.new_ones(()), src), "prod")
        alone = gather(where(count == 1, without * g, g.new_zeros(())), dim, index)
        return gi, None, where(zeros, alone, taken)
    # amax, amin: shared evenly by all that equal the result
    mine = (input == out).to(g.dtype)
    theirs = (src == gather(out, dim, index)).to(g.dtype)
    count = _record(mine, dim, index, theirs, "sum")
    share = g / count
    return mine * share, None, theirs * gather(share, dim, index)


_REDUCED = Rule("ScatterReduce", ("input", "index", "src"), _reduced_grad)


@operator(inplace=True)
def scatter(input, dim, index, src=None, *, value=None, reduce=None):
    if src is None:
        src = value
    if reduce is None:
        return _scatter("scatter", input, dim, index, src, "set")
    if reduce not in ("add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    return _scatter("scatter", input, dim, index, src, "sum" if reduce == "add" else "prod")


@operator(inplace=True)
def scatter_add(input, dim, index, src):
    only_tensors("scatter_add", src=src)
    return _scatter("scatter_add", input, dim, index, src, "sum")


@operator(inplace=True)
def scatter_reduce(input, dim, index, src, reduce, *, include_self=True):
    only_tensors("scatter_reduce", src=src)
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    base = input
    if not include_self:
        start = {"sum": 0, "mean": 0, "prod": 1}.get(reduce)
        if start is None:
            start = _lowest(input.dtype) if reduce == "amax" else _highest(input.dtype)
        base = _scatter("scatter_reduce", input, dim, index, from_node(engine.scalar(start, input.dtype)).expand(src.shape), "set")
    if reduce != "mean":
        return _scatter("scatter_reduce", base, dim, index, src, reduce)
    total = _scatter("scatter_reduce", base, dim, index, src, "sum")
    ones = input.new_ones(input.shape) if include_self else input.new_zeros(input.shape)
    count = _scatter("scatter_reduce", ones, dim, index, src.new_ones(src.shape), "sum").clamp(min=1)
    return total / count if input.dtype.kind in "fc" else total.div(count, rounding_mode="floor")


def _lowest(d):
    if d.kind == "c":
        raise NotImplementedError(f"the extremes of complex numbers are not defined: got {d}")
    return -float("inf") if d.kind == "f" else 0 if d.kind in "bu" else int(np.iinfo(d.numpy).min)


def _highest(d):
    if d.kind == "c":
        raise NotImplementedError(f"the extremes of complex numbers are not defined: got {d}")
    return float("inf") if d.kind == "f" else 1 if d.kind == "b" else int(np.iinfo(d.numpy).max)


# -- along one dimension ---------------------------------------------------------------------------------------------------------


def _along(name: str, input: Tensor, dim: int, index: Tensor):
    index = check_index(name, index)
    if index.dim() > 1:
        kind = RuntimeError if name == "index_fill" else IndexError
        raise kind(f"{name}(): Index should have dimension 1 or 0 (got {index.dim()})")
    return wrap_dim(dim, input.dim()), index.reshape(-1)


def _front(input: Tensor, dim: int) -> Tensor:
    return input.movedim(dim, 0) if dim else input


def _same_but(dim: int, name: str, input: Tensor, source: Tensor) -> None:
    """Raises unless the sizes agree in every dimension but ``dim``."""
    a, b = ([s for d, s in enumerate(x.shape) if d != dim] for x in (input, source))
    if a != b:
        raise RuntimeError(f"{name}: Source/destination tensor must have same slice shapes. Destination slice shape: {a} at "
                           f"dimension {dim} and source slice shape: {b} at dimension {dim}.")


@operator(inplace=True)
def index_add(input, dim, index, source, *, alpha=1):
    dim, index = _along("index_add", input, dim, index)
    if source.dtype is not input.dtype:
        raise RuntimeError(f"index_add_(): self ({input.dtype}) and source ({source.dtype}) must have the same scalar type")
    if alpha != 1:
        source = source * element(alpha, input.dtype)
    if not input.dim() and source.dim() or input.dim() and not source.dim():
        raise RuntimeError(f"source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
                           f"{list(input.shape)} source.shape = {list(source.shape)}")
    if not input.dim():
        return index_add(input.reshape(1), 0, index, source.reshape(-1)).reshape(())
    if source.shape[dim] != index.numel():
        raise RuntimeError(f"index_add_(): Number of indices ({index.numel()}) should be equal to source.size(dim): "
                           f"({source.shape[dim]}), for dim: {dim}")
    _same_but(dim, "index_add_", input, source)
    out = put_at(_front(input, dim), [index], _front(source, dim), True)
    return out.movedim(0, dim).contiguous() if dim else out


@operator(inplace=True)
def index_copy(input, dim, index, source):
    if isinstance(index, Tensor) and index.dtype is not int64:
        raise RuntimeError(f"index_copy_(): Expected a long tensor for index, but got {index.dtype}")
    dim, index = _along("index_copy", input, dim, index)
    if source.dtype is not input.dtype:
        raise RuntimeError(f"index_copy_(): self and source expected to have the same dtype, but got (self) {input.dtype} and "
                           f"(source) {source.dtype}")
    if not input.dim():
        return index_copy(input.reshape(1), 0, index, source.reshape(-1)).reshape(())
    if source.dim() == 0:
        source = source.reshape([1] * input.dim())
    if source.dim() != input.dim():
        raise IndexError(f"index_copy_(): When source and destination are not scalars, their dimensionality must match. Source "
                         f"dimensionality ({source.dim()}), destination dimensionality ({input.dim()})")
    _same_but(dim, "index_copy_", input, source)
    if source.shape[dim] != index.numel():
        raise IndexError(f"index_copy_(): Number of indices ({index.numel()}) should be equal to source.size(dim) "
                         f"({source.shape[dim]})")
    out = put_at(_front(input, dim), [index], _front(source, dim), False)
    return out.movedim(0, dim).contiguous() if dim else out


@operator(inplace=True)
def index_fill(input, dim, index, value):
    if isinstance(index, Tensor) and index.dtype is not int64:
        raise IndexError(f"index_fill_(): Expected dtype int64 for index, but got {index.dtype}")
    dim, index = _along("index_fill", input, dim, index)
    if isinstance(value, Tensor):
        if value.dim():
            raise RuntimeError(f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.dim()} "
                               f"dimension(s).")
        value = value.to(input.dtype)
    else:
        if isinstance(value, complex) and input.dtype.kind != "c":
            raise RuntimeError("index_fill_(): Converting complex Scalar to non-complex type is not supported")
        value = from_node(engine.scalar(element(value, input.dtype), input.dtype))
    if not input.dim():
        return index_fill(input.reshape(1), 0, index, value).reshape(())
    filled = put_at(input.new_zeros(input.shape[dim], dtype=bool_), [index], input.new_ones((), dtype=bool_), False)
    return where(filled.reshape([-1 if d == dim else 1 for d in range(input.dim())]), value, input)


@operator(inplace=True)
def index_reduce(input, dim, index, source, reduce, *, include_self=True):
    dim, index = _along("index_reduce", input, dim, index)
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax, amin but got {reduce}.")
    if not input.dim() and source.dim():
        raise RuntimeError(f"source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
                           f"[] source.shape = {list(source.shape)}")
    if not input.dim():
        return index_reduce(input.reshape(1), 0, index, source.reshape(-1), reduce, include_self=include_self).reshape(())
    if source.dim() != input.dim() or source.shape[dim] != index.numel():
        raise RuntimeError(f"index_reduce_(): Number of indices ({index.numel()}) should be equal to source.size(dim), and source "
                           f"have self's rank: got source of size {list(source.shape)}, for dim {dim} of {list(input.shape)}")
    _same_but(dim, "index_reduce_", input, source)
    shape = [-1 if d == dim else 1 for d in range(input.dim())]
    wide = index.reshape(shape).expand(source.shape)
    return scatter_reduce(input, dim, wide, source, reduce, include_self=include_self)


@operator(inplace=True)
def index_put(input, indices, values, accumulate=False):
    from .index import _arrange, _parse
    key = tuple(slice(None) if i is None else _as_index(i) for i in indices)
    if values.dtype is not input.dtype:
        raise RuntimeError(f"Index put requires the source and destination dtypes match, got {input.dtype} for the destination and "
                           f"{values.dtype} for the source.")
    view, advanced, _ = _parse(input, key)
    order, at, found = _arrange(view, advanced)
    lead = broadcast_shapes(*(i.shape for i in found))
    rest = [view.shape[d] for d in order[len(found):]]
    shape = rest[:at] + list(lead) + rest[at:]
    values = values.expand(shape)
    if at:
        n = len(lead)
        values = values.permute([*range(at, at + n), *range(at), *range(at + n, len(shape))])
    plain = order == list(range(view.dim()))
    new = put_at(view if plain else view.permute(order), found, values, accumulate)
    if plain:
        return preserved(input, new)
    inverse = [0] * len(order)
    for i, d in enumerate(order):
        inverse[d] = i
    return preserved(input, new.permute(inverse).contiguous())


@operator(inplace=True)
def put(input, index, source, accumulate=False):
    if index.dtype is not int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {index.dtype}")
    if source.dtype is not input.dtype:
        raise RuntimeError(f"put_(): self and source expected to have the same dtype, but got self.dtype = {input.dtype} and "
                           f"source.dtype = {source.dtype}")
    if index.numel() != source.numel():
        raise IndexError(f"put_(): Expected source and index to have the same number of elements, but got source.numel() = "
                           f"{source.numel()}, index.numel() = {index.numel()}")
    flat = put_at(input.reshape(-1), [index.reshape(-1)], source.reshape(-1), accumulate)
    return flat.reshape(input.shape)


@operator()
def take(input, index):
    if index.dtype is not int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {index.dtype}")
    if not input.numel() and index.numel():
        raise IndexError("take(): tried to take from an empty tensor")
    return take_at(input.reshape(-1), [index])


@operator()
def take_along_dim(input, indices, dim=None):
    if indices.dtype is not int64:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype}")
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    if input.dim() != indices.dim():
        raise RuntimeError(f"torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
                           f"{input.dim()} dimensions for input, and {indices.dim()} dimensions for indices")
    dim = wrap_dim(dim, input.dim())
    indices = indices.remainder(input.shape[dim]) if input.shape[dim] else indices  # they wrap around, as PyTorch's do
    common = broadcast_shapes(*[[s for d, s in enumerate(x.shape) if d != dim] for x in (input, indices)])
    with_dim = lambda n: [*common[:dim], n, *common[dim:]]  # noqa: E731
    return gather(input.expand(with_dim(input.shape[dim])), dim, indices.expand(with_dim(indices.shape[dim])))


@operator(inplace=True)
def masked_scatter(input, mask, source):
    if mask.dtype is not bool_:
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.dtype}")
    if source.dtype is not input.dtype:
        raise RuntimeError(f"masked_scatter: expected self and source to have same dtypes but got {input.dtype} and {source.dtype}")
    shape = broadcast_shapes(input.shape, mask.shape)
    x, m = input.expand(shape), mask.expand(shape)
    n = int(m.sum())
    if source.numel() < n:
        raise RuntimeError("masked_scatter: expected self and source to have same number of elements in mask")
    positions = m.nonzero(as_tuple=True)
    return put_at(x, list(positions), source.reshape(-1).narrow(0, 0, n), False) if shape else where(m, source.reshape(-1)[0], x)


@operator("_unsafe_masked_index", method=False, out=False)
def _unsafe_masked_index(input, mask, indices, fill):
    safe = tuple(None if i is None else i.clamp(-input.shape[d], input.shape[d] - 1) for d, i in enumerate(indices))
    out = getitem(input, tuple(slice(None) if i is None else i for i in safe))
    return where(mask, out, from_node(engine.scalar(fill, out.dtype)))
