"""Attention whose scores and mask are functions (``torch.nn.attention.flex_attention``).

The functions get the indices of batch, head, query and key as tensors that broadcast to all scores, which is what PyTorch's
`vmap` over them computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ...dtypes import bool_
from ...ops.activation import softmax
from ...ops.compose import widened
from ...ops.creation import arange, full, ones, tensor
from ...ops.elementwise import where
from ...ops.matmul import matmul
from ...ops.reduce import logsumexp
from ...tensor import Tensor

_DEFAULT_SPARSE_BLOCK_SIZE = 128


class AuxRequest(NamedTuple):
    """What `flex_attention` returns beside its result."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    lse: Tensor | None = None
    max_scores: Tensor | None = None


def noop_mask(batch, head, token_q, token_kv):
    return ones((), dtype=bool_)


def _identity(score, batch, head, token_q, token_kv):
    return score


def _indices(*sizes: int) -> list[Tensor]:
    """The index of each of four dimensions, shaped to broadcast."""
    return [arange(n).reshape([n if k == d else 1 for k in range(4)]) for d, n in enumerate(sizes)]


def create_mask(mod_fn: Callable, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = "cpu") -> Tensor:
    """The mask (B, H, Q_LEN, KV_LEN) of a mask function; of a score function, what it makes of zeros."""
    import inspect
    sizes = B or 1, H or 1, Q_LEN, KV_LEN
    if len(inspect.signature(mod_fn).parameters) == 5:
        return mod_fn(full(sizes, 0.0), *_indices(*sizes)).expand(sizes).contiguous()
    mask = mod_fn(*_indices(*sizes))
    return (mask if isinstance(mask, Tensor) else tensor(mask)).expand(sizes).contiguous()


class BlockMask:
    """A mask as a function, for sequences of known lengths. Blocks without a True could be passed over; they are not."""

    def __init__(self, mask_mod: Callable, shape: tuple[int, int, int, int], block_size: tuple[int, int]):
        self.mask_mod, self.shape, self.BLOCK_SIZE = mask_mod, shape, block_size
        self.seq_lengths = shape[2:]

    def blocks(self) -> Tensor:
        """For each block of queries and keys whether something in it may be attended to."""
        dense = create_mask(self.mask_mod, *self.shape)
        (q, k), (_, _, Q, K) = self.BLOCK_SIZE, self.shape
        padded = dense.new_zeros((*self.shape[:2], math.ceil(Q / q) * q, math.ceil(K / k) * k))
        padded[:, :, :Q, :K] = dense
        return padded.unflatten(3, (-1, k)).unflatten(2, (-1, q)).any(5).any(3)

    def to_dense(self) -> Tensor:
        return self.blocks().int()

    def sparsity(self) -> float:
        """The percentage of blocks that are all False."""
        return 100 * (1 - self.blocks().float().mean().item())

    def numel(self) -> int:
        return math.prod(self.shape)

    def to(self, device: Any) -> BlockMask:
        return self

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%)"


def create_block_mask(mask_mod: Callable, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = "cpu",
                      BLOCK_SIZE: int | tuple[int, int] = _DEFAULT_SPARSE_BLOCK_SIZE, _compile: bool = False) -> BlockMask:
    size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
    return BlockMask(mask_mod, (B or 1, H or 1, Q_LEN, KV_LEN), size)  # type: ignore[arg-type]


def flex_attention(query: Tensor, key: Tensor, value: Tensor, score_mod: Callable | None = None,
                   block_mask: BlockMask | None = None, scale: float | None = None, enable_gqa: bool = False,
                   return_lse: bool = False, kernel_options: Any = None, *, return_aux: AuxRequest | None = None) -> Any:
    """softmax(score_mod(query·keyᵀ·scale))·value where the mask is True, for (B, H, L, E), (B, H, S, E), (B, H, S, V).

    A query that may attend to nothing gets zeros.
    """
    if query.dim() != 4 or key.dim() != 4 or value.dim() != 4:
        raise ValueError(f"Expected query, key, and value to be 4D tensors, but got query.dim={query.dim()}, key.dim={key.dim()} "
                         f"and value.dim={value.dim()}")
    heads = query.shape[1]
    if enable_gqa and key.shape[1] != heads:
        key, value = key.repeat_interleave(heads // key.shape[1], 1), value.repeat_interleave(heads // value.shape[1], 1)
    elif key.shape[1] != heads:
        raise ValueError(f"Expect query and key/value to have the same number of heads but got Hq={heads} and Hkv={key.shape[1]}. "
                         f"Try setting enable_gqa=True for GQA.")
    q, k, v = (widened(x) for x in (query, key, value))
    scores = matmul(q, k.transpose(-2, -1)) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    index = _indices(*scores.shape)
    scores = (score_mod or _identity)(scores, *index)
    if block_mask is not None:
        b, h, queries, keys = block_mask.shape
        if queries < query.shape[2] or keys < key.shape[2]:
            raise ValueError(f"block_mask was created for block_mask.shape={block_mask.shape} but got q_len={query.shape[2]} and "
                             f"kv_len={key.shape[2]}. Create it for these lengths.")
        scores = where(block_mask.mask_mod(*index), scores, -math.inf)
    nothing = (scores == -math.inf).all(-1, keepdim=True)
    out = matmul(where(nothing, 0.0, softmax(where(nothing, 0.0, scores), -1)), v).to(query.dtype)
    if return_aux is not None:
        return out, AuxOutput(logsumexp(scores, -1) if return_aux.lse else None, scores.amax(-1) if return_aux.max_scores else None)
    return (out, logsumexp(scores, -1)) if return_lse else out


def and_masks(*mask_mods: Callable) -> Callable:
    """The conjunction of mask functions."""
    def both(b, h, q, kv):
        result = mask_mods[0](b, h, q, kv)
        for mod in mask_mods[1:]:
            result = result & mod(b, h, q, kv)
        return result
    return both


def or_masks(*mask_mods: Callable) -> Callable:
    """The disjunction of mask functions."""
    def either(b, h, q, kv):
        result = mask_mods[0](b, h, q, kv)
        for mod in mask_mods[1:]:
            result = result | mod(b, h, q, kv)
        return result
    return either
