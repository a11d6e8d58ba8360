"""Embeddings: rows of a table looked up by number, alone or summed in bags."""

from __future__ import annotations

import warnings

from .. import engine
from ..autograd.modes import no_grad
from ..dtypes import int64
from ..runtime.buffer import Buffer
from ..tensor import Tensor
from .compose import number, shown_as, widened, with_rule
from .creation import arange
from .elementwise import maximum, where
from .index import put_at, take_at
from .norm import norm
from .record import _long_name, operator
from .reduce import amax

# -- lookup --------------------------------------------------------------------------------------------------------------


def _row_gradient(g: Tensor, input: Tensor, shape, padding_idx: int | None, scale_grad_by_freq: bool) -> Tensor:
    """Each row of the table gets the sum of the gradients of where it stands; the padding row gets none."""
    if padding_idx is not None:
        g = where((input == padding_idx).unsqueeze(-1), number(0, g), g)
    if scale_grad_by_freq:
        ones = number(1, g).expand(input.shape)
        g = g / take_at(put_at(g.new_zeros(shape[:1]), [input], ones, True), [input]).unsqueeze(-1)
    return put_at(g.new_zeros(shape), [input], g, True)


def _rows(weight, input, padding_idx, scale_grad_by_freq):
    return take_at(weight, [input])


_rows = with_rule("Embedding", dict(weight=lambda g, input, shape, padding_idx, scale_grad_by_freq: _row_gradient(
    g, input, shape, padding_idx, scale_grad_by_freq)), ("weight", "input"))(_rows)


def _check_bounds(input: Tensor, rows: int) -> None:
    if input.numel():
        a = input._array_of(input._storage.node)
        low, high = int(a.min()), int(a.max())
        if low < 0 or high >= rows:
            raise IndexError(f"index out of range in self: {low if low < 0 else high}, in a table of {rows} rows (0 to {rows - 1})")


def _check_rows(input: Tensor, rows: int) -> Tensor:
    """Row numbers as int64. What is out of range raises here if it is known already, else when the lookup runs."""
    if input.dtype.name not in ("int64", "int32"):
        raise RuntimeError(f"Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but "
                           f"got {_long_name(input.dtype)} instead (while checking arguments for embedding)")
    if isinstance(input._storage.node.value, Buffer):
        engine.checked(input, lambda x: _check_bounds(x, rows))
        return input.to(int64)
    engine.unknown(input, lambda x: _check_rows(x, rows))
    return where(input < 0, rows, input).to(int64)  # a negative number would count from the end


def _padding(padding_idx: int | None, rows: int, argument: str = "Padding_idx") -> int | None:
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise AssertionError(f"{argument} must be within num_embeddings: got {padding_idx} for {rows} rows")
    return padding_idx % rows


def _renormalise(weight: Tensor, input: Tensor, max_norm: float, norm_type: float) -> None:
    """Scales the rows that ``input`` names down to a norm of at most ``max_norm``, in place."""
    with no_grad():
        w = widened(weight)
        used = put_at(w.new_zeros(w.shape[:1]), [input], number(1, w).expand(input.shape), False) > 0
        size = norm(w, norm_type, 1)
        factor = where(used & (size > max_norm), max_norm / (size + 1e-7), number(1, w))
        weight.copy_(w * factor.unsqueeze(1))


@operator("nn.functional.embedding", method=False, out=False)
def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    """The rows of ``weight`` (V, D) that ``input`` (any shape) names: (…, D).

    Row ``padding_idx`` gets no gradient; ``max_norm`` first scales the rows in use down in place. With ``sparse`` the
    gradient is a sparse tensor with entries for the rows in use.
    """
    if not isinstance(weight, Tensor) or not isinstance(input, Tensor):
        wrong = weight if not isinstance(weight, Tensor) else input
        raise TypeError(f"embedding(): arguments 'input' and 'weight' must be Tensor, not {type(wrong).__name__}")
    if weight.dim() != 2:
        raise RuntimeError(f"'weight' must be 2-D, got size {list(weight.shape)}")
    at = _check_rows(input, weight.shape[0])
    padding = _padding(padding_idx, weight.shape[0])
    if max_norm is not None:
        _renormalise(weight, at, max_norm, norm_type)
    return _looked_up(weight, at, padding, scale_grad_by_freq, sparse)


def _looked_up(weight: Tensor, at: Tensor, padding: int | None, scale_grad_by_freq: bool, sparse: bool) -> Tensor:
    if sparse and weight.requires_grad:
        from ..sparse.embedding import rows_with_sparse_gradient
        return rows_with_sparse_gradient(weight, at, padding, scale_grad_by_freq)
    return _rows(weight, at, padding, scale_grad_by_freq)


@operator("embedding", method=False, out=False)
def _torch_embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False):
    return embedding(indices, weight, None if padding_idx < 0 else padding_idx, None, 2.0, scale_grad_by_freq, sparse)


@operator("nn.functional.one_hot", method=False, out=False, differentiable=False)
def one_hot(tensor, num_classes=-1):
    """1 at each class number, 0 elsewhere, along a new last dimension (int64)."""
    if tensor.dtype is not int64:
        raise RuntimeError(f"one_hot is only applicable to index tensor of type LongTensor, got {_long_name(tensor.dtype)}Tensor")
    known = isinstance(tensor._storage.node.value, Buffer) or num_classes <= 0
    if not known:
        engine.looked()
    if not tensor.numel():
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor." if num_classes == -1 else
                               f"num_classes should be positive, got {num_classes}")
    elif known:
        a = tensor._to_array()  # the shape of the result depends on it
        if a.min() < 0:
            raise RuntimeError(f"Class values must be non-negative, got {a.min()}.")
        if num_classes == -1:
            num_classes = int(a.max()) + 1
        elif num_classes < 1:
            raise RuntimeError(f"num_classes should be positive, got {num_classes}")
        elif a.max() >= num_classes:
            raise RuntimeError(f"Class values must be smaller than num_classes: got {a.max()}, expected less than {num_classes}.")
    return (tensor.contiguous().unsqueeze(-1) == arange(num_classes)).to(int64)


# -- bags ----------------------------------------------------------------------------------------------------------------


def _bag_rows(name: str, input: Tensor, offsets, include_last_offset: bool) -> tuple[Tensor, Tensor, int]:
    """Row numbers in a row, the bag that each belongs to, and the number of bags."""
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError(f"if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
                             f"sequences. However, found offsets of type {type(offsets).__name__}")
        bags, length = input.shape
        return input.reshape(-1), arange(bags).unsqueeze(1).expand(bags, length).reshape(-1), bags
    if input.dim() != 1:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if offsets.dim() != 1:
        raise ValueError(f"offsets has to be a 1D Tensor, got size {list(offsets.shape)}")
    bags = offsets.shape[0] - (1 if include_last_offset else 0)
    starts = offsets.narrow(0, 0, bags).to(int64)
    bag = (arange(input.shape[0]).unsqueeze(1) >= starts).sum(1) - 1
    return input, bag, bags


@operator("nn.functional.embedding_bag", method=False, out=False)
@shown_as("EmbeddingBag")
def embedding_bag(input, weight, offsets=None, max_norm=None, norm_type=2, scale_grad_by_freq=False, mode="mean", sparse=False,
                  per_sample_weights=None, include_last_offset=False, padding_idx=None):
    """The sum, mean or maximum of bags of rows: the rows of ``input`` (B, N), or those of ``input`` (N) from each offset on."""
    if weight.dtype is int64 and input.is_floating_point():
        warnings.warn("Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, ...)` is "
                      "deprecated, and should now be `embedding_bag(input, weight, ...)`.", UserWarning, stacklevel=3)
        weight, input = input, weight
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"mode has to be one of sum, mean or max, got {mode!r}")
    if sparse and mode == "max":
        raise ValueError("embedding_bag: max mode does not support sparse weights")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if per_sample_weights is not None:
        if mode != "sum":
            raise NotImplementedError(f"embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for "
                                      f"mode='sum' (got mode='{mode}'). Please open a feature request on GitHub.")
        if per_sample_weights.dtype is not weight.dtype:
            raise RuntimeError(f"Expected tensor for argument #1 'weight' to have the same type as tensor for argument #1 "
                               f"'per_sample_weights'; but type {weight.dtype} does not equal {per_sample_weights.dtype}")
        if per_sample_weights.shape != input.shape:
            raise ValueError(f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, then it must have "
                             f"the same shape as the input ({input.shape})")
    if weight.dim() != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.dim()}")
    padding = _padding(padding_idx, weight.shape[0], "padding_idx")
    at, bag, bags = _bag_rows("embedding_bag", _check_rows(input, weight.shape[0]), offsets, include_last_offset)
    if max_norm is not None:
        _renormalise(weight, at, max_norm, norm_type)
    width = weight.shape[1]
    rows = widened(_looked_up(weight, at, padding, scale_grad_by_freq, sparse))
    kept = None if padding is None else at != padding
    if kept is not None:
        rows = where(kept.unsqueeze(1), rows, number(0, rows))
    if mode == "max":
        return _bag_maximum(rows, bag, bags, kept).to(weight.dtype)
    if per_sample_weights is not None:
        rows = rows * widened(per_sample_weights.reshape(-1)).unsqueeze(1)
    total = put_at(rows.new_zeros((bags, width)), [bag], rows, True)
    if mode == "mean":
        one = number(1, rows)
        each = one.expand(at.shape) if kept is None else where(kept, one, number(0, rows))
        count = put_at(rows.new_zeros((bags,)), [bag], each, True)
        total = total / maximum(count, one).unsqueeze(1)
    return total.to(weight.dtype)


def _bag_maximum(rows: Tensor, bag: Tensor, bags: int, kept: Tensor | None) -> Tensor:
    """The maximum of each bag, 0 for one without rows. Its gradient goes to the first row that has it."""
    n, width = rows.shape
    if not n or not bags:
        return rows.sum() * 0 + rows.new_zeros((bags, width))
    member = bag == arange(bags).unsqueeze(1)  # (bags, n)
    if kept is not None:
        member = member & kept
    member = member.unsqueeze(2)
    plain = rows.detach()
    low = where(member, plain, number(float("-inf"), plain))
    top = amax(low, 1, True)
    first = where(member & (low == top), arange(n).reshape(-1, 1), n).amin(1)  # (bags, width)
    empty = first == n
    picked = rows.gather(0, where(empty, 0, first))
    return where(empty, number(0, rows), picked)
