"""Functions of neural networks: the operators of `diya.ops` that have their place here, and compositions of them."""

from __future__ import annotations

from typing import Any

from .. import ops

ops.publish(globals(), "nn.functional.")

from ._composed import _canonical_mask as _canonical_mask  # noqa: E402
from ._composed import _in_projection as _in_projection  # noqa: E402
from ._composed import _in_projection_packed as _in_projection_packed  # noqa: E402
from ._composed import _none_or_dtype as _none_or_dtype  # noqa: E402
from ._composed import gumbel_softmax as gumbel_softmax  # noqa: E402
from ._composed import multi_head_attention_forward as multi_head_attention_forward  # noqa: E402

# Functions of ``torch`` that stand here too.
_ALSO = (
    "relu", "relu_", "sigmoid", "tanh", "softmax", "log_softmax", "dropout", "alpha_dropout", "feature_alpha_dropout",
    "rrelu", "rrelu_", "selu", "selu_", "celu", "celu_", "threshold", "threshold_", "prelu", "hardshrink", "softsign",
    "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "avg_pool1d",
    "adaptive_avg_pool1d", "bilinear", "channel_shuffle", "native_channel_shuffle", "pixel_shuffle", "pixel_unshuffle",
    "pdist", "cosine_similarity", "pairwise_distance", "rms_norm", "one_hot",
)


def __getattr__(name: str) -> Any:
    if name in _ALSO:
        import diya
        return getattr(diya, name)
    raise AttributeError(f"module 'diya.nn.functional' has no attribute {name!r}: it is not implemented")
