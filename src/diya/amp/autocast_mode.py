"""``torch.amp.autocast``: operators that profit compute in half precision, those that suffer in float32.

Which do what is PyTorch's list for the CPU (https://docs.pytorch.org/docs/stable/amp.html#cpu-op-specific-behavior). A
listed operator gets its arguments cast and runs with autocast off; any other takes the dtypes that come.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from .. import dtypes
from ..autograd.modes import _Switch, modes
from ..ops import OPERATORS, record
from ..tensor import Tensor

HALF = (dtypes.bfloat16, dtypes.float16)

LOWER = """conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d convolution
    nn.functional.conv1d nn.functional.conv2d nn.functional.conv3d nn.functional.conv_tbc nn.functional.conv_transpose1d
    nn.functional.conv_transpose2d nn.functional.conv_transpose3d nn.functional.linear nn.functional.prelu prelu
    mm bmm matmul linalg.matmul addmm baddbmm addbmm linalg.vecdot linalg.multi_dot chain_matmul tensordot inner
    matrix_power linalg.matrix_power nn.functional.scaled_dot_product_attention""".split()
FLOAT32 = """nn.functional.avg_pool3d nn.functional.adaptive_avg_pool3d nn.functional.max_pool3d max_pool3d
    nn.functional.max_pool3d_with_indices nn.functional.max_unpool2d nn.functional.max_unpool3d grid_sampler
    nn.functional.grid_sample polar prod quantile nanquantile stft cdist trace view_as_complex cholesky cholesky_inverse
    cholesky_solve inverse lu_solve orgqr ormqr pinverse index_copy
    nn.functional.binary_cross_entropy nn.functional.binary_cross_entropy_with_logits binary_cross_entropy_with_logits
    nn.functional.mse_loss nn.functional.l1_loss nn.functional.smooth_l1_loss nn.functional.huber_loss
    nn.functional.cross_entropy nn.functional.nll_loss nn.functional.kl_div kl_div nn.functional.ctc_loss ctc_loss
    nn.functional.cosine_embedding_loss cosine_embedding_loss nn.functional.hinge_embedding_loss hinge_embedding_loss
    nn.functional.margin_ranking_loss margin_ranking_loss nn.functional.multi_margin_loss nn.functional.multilabel_margin_loss
    nn.functional.multilabel_soft_margin_loss nn.functional.poisson_nll_loss poisson_nll_loss nn.functional.soft_margin_loss
    nn.functional.triplet_margin_loss triplet_margin_loss
    linalg.cond linalg.matrix_rank linalg.solve linalg.cholesky linalg.cholesky_ex linalg.svdvals linalg.eigvals
    linalg.eigvalsh linalg.inv linalg.inv_ex linalg.householder_product linalg.tensorinv linalg.tensorsolve linalg.qr
    linalg.svd linalg.eig linalg.eigh linalg.lstsq fft.fft fft.ifft fft.fft2 fft.ifft2 fft.fftn fft.ifftn fft.rfft fft.irfft
    fft.rfft2 fft.irfft2 fft.rfftn fft.irfftn fft.hfft fft.ihfft""".split()
THROUGH = "cov corrcoef".split()  # their parts are cast, not they


def _einsum(args: tuple, kwargs: dict) -> str | None:
    """A sum over products is a matrix product; without a sum they are just multiplied."""
    inputs, arrow, output = args[0].replace(" ", "").partition("->") if args and isinstance(args[0], str) else ("", "", "")
    return None if arrow and set(inputs) - {",", "."} <= set(output) else "lower"


def _pad(args: tuple, kwargs: dict) -> str | None:
    mode = kwargs.get("mode", args[2] if len(args) > 2 else "constant")
    return "float32" if mode in ("reflect", "replicate") else None


@functools.cache
def _policies() -> dict[Callable, Any]:
    """From an operator's function to "lower", "float32", "through", or a function of the arguments that says which."""
    named = {**dict.fromkeys(LOWER, "lower"), **dict.fromkeys(FLOAT32, "float32"), **dict.fromkeys(THROUGH, "through"),
             "einsum": _einsum, "nn.functional.pad": _pad}
    return {OPERATORS[path].function: policy for path, policy in named.items()}


class _Caster:
    """Takes the calls of operators while autocast is on. Casts of parameters are kept until the outermost block ends."""

    def __init__(self, dtype: dtypes.dtype, keep: bool, outer: _Caster | None):
        self.dtype, self.keep = dtype, keep
        self.casts: dict = outer.casts if outer is not None else {}

    def __call__(self, function: Callable, args: tuple, kwargs: dict) -> tuple[bool, Any]:
        policy = _policies().get(function)
        if callable(policy):
            policy = policy(args, kwargs)
        if policy == "through":
            return False, None
        modes.autocast = None
        try:
            if policy is not None:
                args, kwargs = self.cast(args, self.dtype if policy == "lower" else dtypes.float32, kwargs)
            return True, function(*args, **kwargs)
        finally:
            modes.autocast = self

    def cast(self, args: tuple, dtype: dtypes.dtype, kwargs: dict) -> tuple[tuple, dict]:
        def fit(x):
            if isinstance(x, Tensor):
                return self.tensor(x, dtype)
            return type(x)(fit(y) for y in x) if type(x) in (tuple, list) else x
        return tuple(fit(x) for x in args), {key: fit(x) for key, x in kwargs.items()}

    def tensor(self, x: Tensor, dtype: dtypes.dtype) -> Tensor:
        own = x.dtype
        if own is dtype or own is not dtypes.float32 and own not in HALF:
            return x
        if not (self.keep and own is dtypes.float32 and x.requires_grad and x.is_leaf and x._base is None):
            return x.to(dtype)
        key = id(x), x._version, dtype, modes.grad
        if key not in self.casts:
            self.casts[key] = x, x.to(dtype)
        return self.casts[key][1]


class _Setting:
    """What `torch.set_autocast_*` chose."""

    dtype = dtypes.bfloat16
    cache = True


class autocast(_Switch):
    """``autocast(device_type, dtype=None, enabled=True, cache_enabled=None)``, a context manager and decorator.

    On the CPU the dtype is bfloat16 or float16. For a device that is not there it warns and does nothing, as in PyTorch.
    """

    def __init__(self, device_type: str, dtype=None, enabled: bool = True, cache_enabled: bool | None = None):
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.device, self.fast_dtype = device_type, dtype or get_autocast_dtype(device_type)
        self._cache_enabled = _Setting.cache if cache_enabled is None else cache_enabled
        self._enabled = bool(enabled)
        if device_type != "cpu":
            if enabled:
                warnings.warn(f"User provided device_type of '{device_type}', but {device_type.upper()} is not available. "
                              "Disabling", stacklevel=2)
            self._enabled = False
        elif enabled and self.fast_dtype not in HALF:
            warnings.warn(f"In CPU autocast, but the target dtype {self.fast_dtype} is not supported. Disabling autocast. CPU "
                          "Autocast only supports dtype of torch.bfloat16, torch.float16 currently.", stacklevel=2)
            self._enabled = False
        self._entered: list = []

    def __enter__(self):
        self._entered.append(modes.autocast)
        if self.device == "cpu":
            modes.autocast = _Caster(self.fast_dtype, self._cache_enabled, modes.autocast) if self._enabled else None
            record.count_modes(1)
        return self

    def __exit__(self, *_):
        previous = self._entered.pop()
        if self.device == "cpu":
            modes.autocast = previous
            record.count_modes(-1)

    def clone(self):
        return autocast(self.device, self.fast_dtype, self._enabled, self._cache_enabled)


def is_autocast_available(device_type: str) -> bool:
    return device_type == "cpu"


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    return device_type == "cpu" and modes.autocast is not None


def is_autocast_cpu_enabled() -> bool:
    return modes.autocast is not None


def set_autocast_enabled(device_type: str | bool, enabled: bool = False) -> None:
    """Turns autocast on or off until it is turned back. Raises RuntimeError for a device that is not there."""
    if isinstance(device_type, bool):  # the old form, for CUDA
        device_type, enabled = "cuda", device_type
    if device_type != "cpu":
        if enabled:
            raise RuntimeError(f"autocast of '{device_type}' cannot be enabled: this build of diya computes on the CPU")
        return
    was = modes.autocast is not None
    modes.autocast = _Caster(_Setting.dtype, _Setting.cache, modes.autocast) if enabled else None
    record.count_modes(bool(enabled) - was)


def get_autocast_dtype(device_type: str) -> dtypes.dtype:
    if device_type != "cpu":
        return dtypes.float16
    return modes.autocast.dtype if modes.autocast is not None else _Setting.dtype


def set_autocast_dtype(device_type: str, dtype: dtypes.dtype) -> None:
    if device_type == "cpu":
        _Setting.dtype = dtype
        if modes.autocast is not None:
            modes.autocast.dtype = dtype


def is_autocast_cache_enabled() -> bool:
    return modes.autocast.keep if modes.autocast is not None else _Setting.cache


def set_autocast_cache_enabled(enabled: bool) -> None:
    _Setting.cache = bool(enabled)
    if modes.autocast is not None:
        modes.autocast.keep = bool(enabled)


def clear_autocast_cache() -> None:
    """Forgets the casts of parameters."""
    if modes.autocast is not None:
        modes.autocast.casts.clear()


def custom_fwd(fwd: Callable | None = None, *, device_type: str, cast_inputs: dtypes.dtype | None = None) -> Any:
    """Decorates ``forward`` of an `autograd.Function`: with ``cast_inputs`` it gets its tensors so cast, and runs with
    autocast off."""
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorated(ctx, *args, **kwargs):
        ctx._dtype = get_autocast_dtype(device_type)
        ctx._fwd_used_autocast = is_autocast_enabled(device_type) and cast_inputs is None
        if cast_inputs is None or not is_autocast_enabled(device_type):
            return fwd(ctx, *args, **kwargs)
        caster = _Caster(cast_inputs, False, None)
        args, kwargs = caster.cast(args, cast_inputs, kwargs)
        with autocast(device_type, enabled=False):
            return fwd(ctx, *args, **kwargs)
    return decorated


def custom_bwd(bwd: Callable | None = None, *, device_type: str) -> Any:
    """Decorates ``backward`` of an `autograd.Function`: it runs with autocast as ``forward`` did."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorated(ctx, *grads):
        if not is_autocast_available(device_type):
            return bwd(ctx, *grads)
        with autocast(device_type, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(ctx, *grads)
    return decorated


get_autocast_cpu_dtype = functools.partial(get_autocast_dtype, "cpu")
get_autocast_gpu_dtype = functools.partial(get_autocast_dtype, "cuda")
set_autocast_cpu_enabled = functools.partial(set_autocast_enabled, "cpu")
set_autocast_cpu_dtype = functools.partial(set_autocast_dtype, "cpu")
set_autocast_gpu_dtype = functools.partial(set_autocast_dtype, "cuda")
