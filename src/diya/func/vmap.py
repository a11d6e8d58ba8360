"""``vmap``: a function on one element becomes one on a batch. It runs once, on values that carry the batch unseen
(`diya.func.batching`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd.modes import modes
from ..tensor import Tensor
from ..utils._pytree import tree_flatten, tree_unflatten
from .batching import levels_of
from .levels import Level, at_levels, entered, left
from .trees import transformed

_RANDOMNESS = ("error", "different", "same")


def vmap(func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *,
         chunk_size: int | None = None) -> Callable:
    """Maps ``func`` over a dimension of its inputs; results are stacked along ``out_dims``.

    ``in_dims`` and ``out_dims`` are ints, None (not mapped), or containers of them shaped like the arguments and results.
    ``randomness``: whether random operators raise ("error"), draw for each element ("different") or once ("same").
    ``chunk_size``: how many elements are computed at a time. Raises ValueError where sizes or structures do not fit.
    """
    if randomness not in _RANDOMNESS:
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    def mapped(*args, **kwargs):
        leaves, dims, spec = _inputs(func, in_dims, args)
        size = _batch_size(func, in_dims, leaves, dims)
        if chunk_size is None or chunk_size >= size:
            return _run(func, leaves, dims, spec, kwargs, out_dims, size, randomness)
        return _in_chunks(func, leaves, dims, spec, kwargs, out_dims, size, randomness, chunk_size)
    return transformed(mapped, lambda f: vmap(f, in_dims, out_dims, randomness, chunk_size=chunk_size), func)


def over_rows(func: Callable[[Tensor], list[Tensor]], rows: Tensor, last: bool, chunk_size: int | None = None) -> list[Tensor]:
    """``vmap`` of a function of one tensor over its first dimension, which becomes the first (or last) of the results."""
    if chunk_size is not None:
        return list(vmap(func, out_dims=-1 if last else 0, chunk_size=chunk_size)(rows))
    level = Level(rows.shape[0])
    with at_levels((*modes.levels, level)):
        return [left(x, x.dim() if last else 0, level) for x in func(entered(rows, 0, level))]


def _name(func: Callable) -> str:
    return getattr(func, "__name__", repr(func))


def _inputs(func: Callable, in_dims: Any, args: tuple):
    """The leaves of the arguments, the dimension that is mapped of each (or None), and the arguments' structure."""
    call = f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(f"{call}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of inputs, "
                         f"got: {type(in_dims)}.")
    if not args:
        raise ValueError(f"vmap({_name(func)})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap "
                         f"over a function with no inputs. The latter is unsupported.")
    leaves, spec = tree_flatten(args)
    dims = _broadcast(in_dims, args, lambda: ValueError(
        f"{call}: in_dims is not compatible with the structure of `inputs`: it must be an int, None, or a container shaped like "
        f"the inputs"))
    found = []
    for x, dim in zip(leaves, dims, strict=True):
        if dim is not None and not isinstance(dim, int):
            raise ValueError(f"{call}: Got in_dim={dim} for an input but in_dim must be either an integer dimension or None.")
        if dim is None:
            found.append(None)
            continue
        if not isinstance(x, Tensor):
            raise ValueError(f"{call}: Got in_dim={dim} for an input but the input is of type {type(x)}. We cannot vmap over "
                             f"non-Tensor arguments, please use None as the respective in_dim")
        if not -x.dim() <= dim < x.dim():
            raise ValueError(f"{call}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {x.dim()} so "
                             f"expected in_dim to satisfy -{x.dim()} <= in_dim < {x.dim()}.")
        found.append(dim % x.dim())
    return leaves, found, spec


def _broadcast(dims: Any, tree: Any, error: Callable[[], Exception]) -> list:
    """A dimension for each leaf of a tree, from a container that may stop at any of its branches."""
    leaves, spec = tree_flatten(tree)
    if dims is None or isinstance(dims, int):
        return [dims] * len(leaves)
    if spec.is_leaf():
        raise error()
    own, structure = tree_flatten(dims, is_leaf=lambda x: x is not dims)
    parts = tree_flatten(tree, is_leaf=lambda x: x is not tree)[0]
    if len(own) != len(parts) or structure.type is not spec.type and not {structure.type, spec.type} <= {tuple, list} \
            or isinstance(dims, dict) and list(dims) != list(tree):
        raise error()
    return [d for part, x in zip(own, parts, strict=True) for d in _broadcast(part, x, error)]


def _batch_size(func: Callable, in_dims: Any, leaves: list, dims: list) -> int:
    sizes = [x.shape[dim] for x, dim in zip(leaves, dims, strict=True) if dim is not None]
    if not sizes:
        raise ValueError(f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>): at least one of the inputs must be mapped over, "
                         f"but in_dims is None for all of them")
    if len(set(sizes)) > 1:
        raise ValueError(f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the "
                         f"mapped dimension")
    return sizes[0]


def _run(func, leaves, dims, spec, kwargs, out_dims, size: int, randomness: str):
    level = Level(size, randomness)
    with at_levels((*modes.levels, level)):
        given = [x if dim is None else entered(x, dim, level) for x, dim in zip(leaves, dims, strict=True)]
        versions = [x._version if dim is not None else 0 for x, dim in zip(given, dims, strict=True)]
        result = func(*tree_unflatten(given, spec), **kwargs)
        outs, rebuild, places = _outputs(func, out_dims, result)
        final = []
        for out, dim in zip(outs, places, strict=True):
            if dim is not None:
                final.append(left(out, dim, level))
            elif level in levels_of(out._value()):
                raise ValueError(f"vmap({_name(func)}, ...): `{_name(func)}` can not return a tensor that differs between elements "
                                 f"of the batch when out_dim is None")
            else:
                final.append(out)
    for x, dim, inner, version in zip(leaves, dims, given, versions, strict=True):
        if dim is not None and inner._version != version:  # written in place: so is the argument
            x.copy_(left(inner, dim, level))
    return rebuild(final)


def _outputs(func: Callable, out_dims: Any, result: Any):
    """The tensors of a result, how to put others in their places, and the dimension that the batch gets in each."""
    outs, spec = tree_flatten(result)
    for out in outs:
        if not isinstance(out, Tensor):
            raise ValueError(f"vmap({_name(func)}, ...): `{_name(func)}` must only return Tensors, got type {type(out)}. Did you "
                             f"mean to set out_dims= to None for that output?")
    call = f"vmap({_name(func)}, ..., out_dims={out_dims})(<inputs>)"
    if not isinstance(result, Tensor) or not isinstance(out_dims, tuple):
        wanted = out_dims
    elif len(out_dims) == 1:
        wanted, = out_dims
    else:
        wanted = out_dims
    dims = _broadcast(wanted, result, lambda: ValueError(
        f"{call}: out_dims is not compatible with the structure of `outputs`: it must be an int, None, or a container shaped like "
        f"the outputs"))
    places = []
    for out, dim in zip(outs, dims, strict=True):
        rank = out.dim() + 1
        if dim is not None and (not isinstance(dim, int) or not -rank <= dim < rank):
            raise IndexError(f"{call}: Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})")
        places.append(None if dim is None else dim % rank)
    return outs, lambda tensors: tree_unflatten(tensors, spec), places


def _in_chunks(func, leaves, dims, spec, kwargs, out_dims, size: int, randomness: str, chunk_size: int):
    from ..ops.movement import cat
    from ..random import get_rng_state, set_rng_state
    state = get_rng_state() if randomness == "same" else None
    results: list[list[Tensor]] = []
    structure, places = None, []
    for start in range(0, size, chunk_size):
        if state is not None:
            set_rng_state(state)
        count = min(chunk_size, size - start)
        part = [x if dim is None else x.narrow(dim, start, count) for x, dim in zip(leaves, dims, strict=True)]
        result = _run(func, part, dims, spec, kwargs, out_dims, count, randomness)
        outs, found = tree_flatten(result)
        if structure is None:
            structure = found
            given = out_dims[0] if isinstance(result, Tensor) and isinstance(out_dims, tuple) and len(out_dims) == 1 else out_dims
            places = _broadcast(given, result, ValueError)
        results.append(outs)
    assert structure is not None
    joined = [results[0][k] if dim is None else cat([r[k] for r in results], dim) for k, dim in enumerate(places)]
    return tree_unflatten(joined, structure)
