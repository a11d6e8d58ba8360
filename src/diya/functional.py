"""Functions of ``torch`` that PyTorch keeps in a file of their own."""

from __future__ import annotations

from typing import Any

_NAMES = frozenset("""atleast_1d atleast_2d atleast_3d align_tensors broadcast_shapes broadcast_tensors cartesian_prod block_diag
    cdist chain_matmul einsum istft lu norm meshgrid pca_lowrank split stft svd_lowrank tensordot unique unique_consecutive
    unravel_index
    """.split())


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        import diya
        return getattr(diya, name)
    raise AttributeError(f"module 'torch.functional' has no attribute {name!r}")
