"""What ``out=`` may share memory with: PyTorch refuses to write where the operator still reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .. import views
from ..tensor import Tensor

# Operators that read their operands in another order than they write: these may not even be the same tensor as ``out``.
APART = frozenset(("cat", "cross", "gather", "index_select", "kthvalue", "linalg.cross", "masked_select", "take",
                   "take_along_dim"))


def refuse_overlap(name: str, out, operands: Iterable) -> None:
    """Raises RuntimeError where ``out`` (a tensor, or several) shows an element of its own memory twice, or one that an operand
    of as many elements shows at another place. (A reduction may write into what it reduced.)"""
    for o in _tensors((out,)):
        if views.overlaps_itself(o.shape, o.stride()):
            raise RuntimeError(f"unsupported operation: more than one element of the written-to tensor refers to a single memory "
                               f"location: {name}() got an expanded out=. Please clone() it first.")
        for x in _tensors(operands):
            if x._storage is o._storage and (name in APART or x.numel() == o.numel() and not _alike(x, o)) and _overlap(x, o):
                raise RuntimeError(f"unsupported operation: some elements of the input tensor and the written-to tensor refer to a "
                                   f"single memory location: {name}() got an out= that shares memory with an operand. Please "
                                   f"clone() it first.")


def _tensors(values: Iterable) -> Iterator[Tensor]:
    for x in values:
        if isinstance(x, Tensor):
            yield x
        elif isinstance(x, (tuple, list)):
            yield from _tensors(x)


def _alike(x: Tensor, o: Tensor) -> bool:
    return x._offset == o._offset and x.shape == o.shape and x.stride() == o.stride()


def _overlap(x: Tensor, o: Tensor) -> bool:
    """Whether two blocks of one memory have elements in common; of tensors that are not dense it is not decided, as in PyTorch."""
    if not (x.numel() and o.numel() and views.is_dense(x.shape, x.stride()) and views.is_dense(o.shape, o.stride())):
        return False
    (a, b), (c, d) = ((low * t.element_size(), (high + 1) * t.element_size())
                      for t in (x, o) for low, high in (views.extent(t.shape, t.stride(), t._offset),))
    return a < d and c < b
