"""Reductions over dimensions."""

from __future__ import annotations

import functools
import math

import numpy as np

from .. import dtypes, engine
from ..autograd.modes import modes
from ..autograd.tape import Rule, track
from ..dtypes import bool_, int64
from ..graph import Type, primitive, type_of
from ..tensor import Tensor, from_node, wrap_dim
from .elementwise import where
from .record import _long_name, operator

# -- primitives --------------------------------------------------------------------------------------------------------


def _reduced(shape, dims) -> tuple[int, ...]:
    return tuple(s for d, s in enumerate(shape) if d not in dims)


def _infer(attrs, x: Type) -> Type:
    return type_of(_reduced(x.shape, attrs), x.dtype)


def _infer_bool(attrs, x: Type) -> Type:
    return type_of(_reduced(x.shape, attrs), bool_)


def _infer_arg(attrs, x: Type) -> Type:
    return type_of(_reduced(x.shape, (attrs,)), int64)


def _sum(dims, x):
    return x.sum(axis=dims, dtype=x.dtype) if dims else x


def _prod(dims, x):
    return x.prod(axis=dims, dtype=x.dtype) if dims else x


def _arg(pick):
    def interpret(dim, x):
        if x.dtype.kind == "f":
            nan = np.isnan(x)
            found = pick(np.where(nan, 0, x), axis=dim)
            return np.where(nan.any(axis=dim), nan.argmax(axis=dim), found)
        return pick(x, axis=dim)
    return interpret


def _extreme(pair):
    def interpret(dims, x):
        for d in reversed(dims):
            if x.shape[d] <= 8:  # slice by slice: numpy is slow along short dimensions
                slices = (x[(slice(None),) * d + (i,)] for i in range(x.shape[d]))
                x = functools.reduce(pair, slices)
            else:
                x = pair.reduce(x, axis=d)
        return x
    return interpret


SUM = primitive("sum", "reduce", _infer, interpret=_sum)
PROD = primitive("prod", "reduce", _infer, interpret=_prod)
AMAX = primitive("amax", "reduce", _infer, interpret=_extreme(np.maximum))
AMIN = primitive("amin", "reduce", _infer, interpret=_extreme(np.minimum))
ANY = primitive("any", "reduce", _infer_bool, interpret=lambda dims, x: np.any(x, axis=dims) if dims else x != 0)
ALL = primitive("all", "reduce", _infer_bool, interpret=lambda dims, x: np.all(x, axis=dims) if dims else x != 0)
ARGMAX = primitive("argmax", "reduce", _infer_arg, interpret=_arg(np.argmax))
ARGMIN = primitive("argmin", "reduce", _infer_arg, interpret=_arg(np.argmin))


def dims_of(dim, rank: int) -> tuple[int, ...]:
    """The dimensions that ``dim=`` names, ascending: all of them for None or (); raises for one named twice."""
    if dim is None:
        return tuple(range(rank))
    if isinstance(dim, int):
        return (wrap_dim(dim, rank),) if rank else (wrap_dim(dim, rank),)[1:]
    dims = [wrap_dim(d, rank) for d in dim]
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"dim {next(d for d in dims if dims.count(d) > 1)} appears multiple times in the list of dims")
    if not rank:
        return ()
    return tuple(sorted(dims)) if dims else tuple(range(rank))


def kept(shape, dims) -> tuple[int, ...]:
    return tuple(1 if d in dims else s for d, s in enumerate(shape))


def restore(x: Tensor, shape, dims, keepdim: bool) -> Tensor:
    """A reduced tensor with its dimensions back, as size 1."""
    return x if keepdim else x.reshape(kept(shape, dims))


def _finish(op, x: Tensor, dims, keepdim: bool, rule: Rule | None, **params) -> Tensor:
    node = x._value()
    out_node = engine.record(op, (node,), dims)
    out = from_node(out_node)
    if rule is not None and x._rg and modes.grad and out.dtype.kind in "fc":
        track(rule, (out,), (x,), (node,), {"dims": dims if isinstance(dims, tuple) else (dims,), **params})
    if keepdim:
        out = out.reshape(kept(x.shape, dims if isinstance(dims, tuple) else (dims,)))
    return out


def _unreduce(g: Tensor, shape, dims) -> Tensor:
    return g.reshape(kept(shape, dims)).expand(shape)


_SUM_RULE = Rule("Sum", ("input",), dict(input=lambda g, shape, dims: _unreduce(g, shape, dims)))
_EXTREME_RULE = Rule("Amax", ("input",), dict(input=lambda g, input, out, shape, dims: _share(g, input, out, shape, dims)))


def _share(g, input, out, shape, dims):
    """The gradient of an extreme, shared evenly by the elements that equal it."""
    if not dims:
        return g
    mask = input == _unreduce(out, shape, dims)
    if input.dtype.kind == "f":
        mask = mask | (input.isnan() & _unreduce(out, shape, dims).isnan())
    count = mask.sum(dims, keepdim=True)
    return where(mask, _unreduce(g, shape, dims) / count, g.new_zeros(()))


def _accumulate_type(input: Tensor, dtype) -> Tensor:
    """The operand of a sum or product: integers and bools are int64 unless a dtype is asked for."""
    if dtype is not None:
        return input.to(dtype)
    return input.to(int64) if input.dtype.kind in "bui" else input


@operator(again=False)
def sum(input, dim=None, keepdim=False, *, dtype=None):
    x = _accumulate_type(input, dtype)
    dims = dims_of(dim, x.dim())
    return _finish(SUM, x, dims, keepdim, _SUM_RULE)


@operator()
def nansum(input, dim=None, keepdim=False, *, dtype=None):
    if input.dtype.kind == "c":
        raise RuntimeError("nansum does not support complex inputs")
    if input.dtype.kind == "f":
        input = where(input.isnan(), input.new_zeros(()), input)
    return sum(input, dim, keepdim, dtype=dtype)


def _mean_grad(g, shape, dim, keepdim):
    dims = dims_of(dim, len(shape))
    return _unreduce(g / max(math.prod(shape[d] for d in dims), 1), shape, dims)


@operator(grad=dict(input=_mean_grad))
def mean(input, dim=None, keepdim=False, *, dtype=None):
    d = dtype or input.dtype
    if d.kind not in "fc":
        raise RuntimeError(f"mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
                           f"Got: {_long_name(d)}")
    dims = dims_of(dim, input.dim())
    n = math.prod(input.shape[i] for i in dims)
    if d in (dtypes.float16, dtypes.bfloat16):
        return (sum(input, dim, keepdim, dtype=dtypes.float32) / n).to(d)
    return sum(input, dim, keepdim, dtype=dtype) / n


@operator()
def nanmean(input, dim=None, keepdim=False, *, dtype=None):
    if input.dtype.kind not in "fc":
        raise RuntimeError(f"nanmean(): expected input to have floating point or complex dtype but got {_long_name(input.dtype)}")
    return nansum(input, dim, keepdim, dtype=dtype) / (~input.isnan()).sum(dim, keepdim)


def _prod_grad(g, input, out, shape, dims):
    """Exact where factors are zero: the product of the others, by products from the left and from the right."""
    from .movement import flip
    from .scan import cumprod
    if not shape or 0 in shape:
        return _unreduce(g, shape, dims)
    order = [d for d in range(len(shape)) if d not in dims] + list(dims)
    lead = [shape[d] for d in range(len(shape)) if d not in dims]
    x = input.permute(order).reshape([*lead, -1])
    ones = x.new_ones([*lead, 1])
    from .movement import cat
    left = cumprod(cat([ones, x.narrow(-1, 0, max(x.shape[-1] - 1, 0))], -1), -1)
    right = flip(cumprod(cat([ones, flip(x, -1).narrow(-1, 0, max(x.shape[-1] - 1, 0))], -1), -1), -1)
    others = (left * right).reshape([shape[d] for d in order])
    inverse = [0] * len(order)
    for i, d in enumerate(order):
        inverse[d] = i
    return _unreduce(g, shape, dims) * others.permute(inverse).conj()


_PROD_RULE = Rule("Prod", ("input",), dict(input=_prod_grad))


@operator(again=False)
def prod(input, dim=None, keepdim=False, *, dtype=None):
    x = _accumulate_type(input, dtype)
    dims = dims_of(dim, x.dim())
    return _finish(PROD, x, dims, keepdim, _PROD_RULE)


def _check_nonempty(name: str, x: Tensor, dims) -> None:
    if not x.numel() and any(x.shape[d] == 0 for d in dims):
        raise IndexError(f"{name}(): Expected reduction dim {next(d for d in dims if x.shape[d] == 0)} to have non-zero size.")


def _extreme_operator(name: str, op):
    def reduce(input, dim=(), keepdim=False):
        dims = dims_of(dim, input.dim())
        if dim == () and not input.numel():
            raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction "
                               f"dim with the 'dim' argument.")
        _check_nonempty(name, input, dims)
        if input.dtype.kind == "c":
            raise RuntimeError(f"{name}(): does not support complex input")
        return _finish(op, input, dims, keepdim, _EXTREME_RULE)
    reduce.__name__ = reduce.__qualname__ = name
    return operator(name)(reduce)


amax = _extreme_operator("amax", AMAX)
amin = _extreme_operator("amin", AMIN)


def _argument_operator(name: str, op):
    def find(input, dim=None, keepdim=False):
        if input.dtype.kind in "c" or input.dtype is bool_:
            raise RuntimeError(f'"{name}_cpu" not implemented for \'{_long_name(input.dtype)}\'')
        shape = input.shape
        if dim is None:
            if not input.numel():
                raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction "
                                 f"dim with the 'dim' argument.")
            out = _finish(op, input.detach().reshape(-1), 0, False, None)
            return out.reshape([1] * len(shape)) if keepdim else out
        dim = wrap_dim(dim, input.dim())
        if not input.dim():
            return input.new_zeros((), dtype=int64)
        _check_nonempty(name, input, (dim,))
        return _finish(op, input, dim, keepdim, None)
    find.__name__ = find.__qualname__ = name
    return operator(name, differentiable=False)(find)


argmax = _argument_operator("argmax", ARGMAX)
argmin = _argument_operator("argmin", ARGMIN)


def _logic_operator(name: str, op):
    def reduce(input, dim=None, keepdim=False):
        out = _finish(op, input, dims_of(dim, input.dim()) if dim != () else (), keepdim, None)
        return out.to(dtypes.uint8) if input.dtype is dtypes.uint8 else out
    reduce.__name__ = reduce.__qualname__ = name
    return operator(name, differentiable=False)(reduce)


any_ = _logic_operator("any", ANY)
all_ = _logic_operator("all", ALL)


def _var_parts(input, dim, correction):
    if input.dtype.kind not in "fc":
        raise RuntimeError(f"std and var only support floating point and complex dtypes, got {input.dtype}")
    dims = dims_of(dim, input.dim())
    n = math.prod(input.shape[d] for d in dims)
    m = mean(input, dims if input.dim() else None, True)
    c = input - m
    square = c * c if c.dtype.kind != "c" else c.real * c.real + c.imag * c.imag
    total = sum(square, dims if input.dim() else None, True)
    scale = max(n - correction, 0)
    return dims, m, total / (scale if n else 0)


def _var_args(dim, unbiased, correction):
    """PyTorch's overloads: var(unbiased), var(dim, unbiased), var(dim, correction=)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    return dim, correction


def _squeeze(x, shape, dims, keepdim):
    return x if keepdim else x.reshape(_reduced(shape, dims))


@operator()
def var(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    dim, correction = _var_args(dim, unbiased, correction)
    dims, _, v = _var_parts(input, dim, correction)
    return _squeeze(v, input.shape, dims, keepdim)


@operator()
def std(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    dim, correction = _var_args(dim, unbiased, correction)
    dims, _, v = _var_parts(input, dim, correction)
    return _squeeze(_safe_sqrt(v), input.shape, dims, keepdim)


_safe = Rule("Std", ("input",), dict(input=lambda g, out: where(out == 0, g * 0, g / (out * 2))))


def _safe_sqrt(v):
    """The square root, with gradient 0 at 0 (a constant sample has no preferred direction)."""
    from .elementwise import sqrt
    if not (v._rg and modes.grad):
        return sqrt(v)
    x = v._value()
    with_grad = sqrt(v.detach())
    out = from_node(with_grad._value())
    track(_safe, (out,), (v,), (x,), {})
    return out


@operator(method=False, out=False)
def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    dim, correction = _var_args(dim, unbiased, correction)
    dims, m, v = _var_parts(input, dim, correction)
    return _squeeze(v, input.shape, dims, keepdim), _squeeze(m, input.shape, dims, keepdim)


@operator(method=False, out=False)
def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    dim, correction = _var_args(dim, unbiased, correction)
    dims, m, v = _var_parts(input, dim, correction)
    return _squeeze(_safe_sqrt(v), input.shape, dims, keepdim), _squeeze(m, input.shape, dims, keepdim)


def _logsumexp_grad(g, input, out, shape, dim, keepdim):
    dims = dims_of(dim, len(shape))
    big, total = (x if keepdim or not shape else x.reshape(kept(shape, dims)) for x in (g, out))
    return big * (input - total).exp().conj()


@operator(grad=dict(input=_logsumexp_grad))
def logsumexp(input, dim, keepdim=False):
    """log Σ exp over ``dim``, computed around the maximum so that nothing overflows."""
    x = input if input.dtype.kind in "fc" else input.to(dtypes.default_dtype)
    dims = dims_of(dim, x.dim())
    if not x.numel():
        return sum(x.exp(), dims if x.dim() else None, keepdim).log()
    m = amax(x if x.dtype.kind == "f" else x.real, dims, True)
    m = where(m.isinf(), m.new_zeros(()), m)
    out = (x - m).exp().sum(dims if x.dim() else None, keepdim=True).log() + m
    return _squeeze(out, x.shape, dims, keepdim)


@operator(differentiable=False, out=False)
def count_nonzero(input, dim=None):
    return (input != 0).sum(dim)
