"""``torch.nn.attention.flex_attention``: refused where used."""

from __future__ import annotations

from typing import Any

_DEFAULT_SPARSE_BLOCK_SIZE = 128

def _refuse(name: str):
    raise NotImplementedError(f"torch.nn.attention.flex_attention.{name} is not supported: apply the mask and the scores' "
                              f"function to attn_mask of torch.nn.functional.scaled_dot_product_attention")


class BlockMask:
    """No object is one."""

    def __init__(self, *args: Any, **kwargs: Any):
        _refuse("BlockMask")


def flex_attention(*args: Any, **kwargs: Any):
    _refuse("flex_attention")


def create_block_mask(*args: Any, **kwargs: Any):
    _refuse("create_block_mask")


def create_mask(*args: Any, **kwargs: Any):
    _refuse("create_mask")


def and_masks(*mask_mods):
    """The conjunction of masks' functions."""
    def both(b, h, q, kv):
        result = mask_mods[0](b, h, q, kv)
        for mod in mask_mods[1:]:
            result = result & mod(b, h, q, kv)
        return result
    return both


def or_masks(*mask_mods):
    """The disjunction of masks' functions."""
    def either(b, h, q, kv):
        result = mask_mods[0](b, h, q, kv)
        for mod in mask_mods[1:]:
            result = result | mod(b, h, q, kv)
        return result
    return either
