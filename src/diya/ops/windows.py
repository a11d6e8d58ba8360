"""Window functions: ``torch.signal.windows`` and the older ``torch.*_window``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from .. import dtypes
from ..tensor import Tensor
from .creation import arange, empty, linspace, ones, tensor
from .record import operator
from .special import i0


def _span(M: int, sym: bool) -> int:
    """The number of steps of a period: one more than a symmetric window has."""
    return M if not sym and M > 1 else M - 1


def _window(name: str, values: Callable[..., Tensor]) -> Callable:
    """An operator ``signal.windows.name(M, *, parameters, sym, dtype, …)``; ``values(M, sym, dtype, **parameters)``."""
    code = values.__code__
    known = code.co_varnames[code.co_argcount:code.co_argcount + code.co_kwonlyargcount]

    def window(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False, **named):
        d = dtypes.default_dtype if dtype is None else dtype
        if d not in (dtypes.float32, dtypes.float64):
            raise ValueError(f"{name} expects float32 or float64 dtypes, got: {d}")
        if layout is not None and str(layout) != "torch.strided":
            raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
        if M < 0:
            raise ValueError(f"{name} requires non-negative window length, got M={M}")
        unknown = [k for k in named if k not in known]
        if unknown:
            raise TypeError(f"{name}() got an unexpected keyword argument {unknown[0]!r}")
        if M <= 1:
            values(2, sym, d, **named)  # for its checks
            out = empty((0,), dtype=d, device=device) if M == 0 else ones((1,), dtype=d, device=device)
        else:
            out = values(M, sym, d, **named)
        return out.requires_grad_() if requires_grad else out
    window.__name__ = window.__qualname__ = name
    window.__doc__ = values.__doc__
    return operator("signal.windows." + name, method=False, out=False, differentiable=False)(window)


def _exponential(M: int, sym: bool, d, *, center: float | None = None, tau: float = 1.0) -> Tensor:
    """exp(−|n − center| / tau)."""
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    center = _span(M, sym) / 2 if center is None else center
    return (-linspace(-center / tau, (M - 1 - center) / tau, M, dtype=d).abs()).exp()


def _cosine(M: int, sym: bool, d) -> Tensor:
    """Half a period of the sine."""
    step = math.pi / (_span(M, sym) + 1)
    return linspace(0.5 * step, (M - 0.5) * step, M, dtype=d).sin()


def _gaussian(M: int, sym: bool, d, *, std: float = 1.0) -> Tensor:
    """exp(−(n/std)² / 2), centred."""
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    start = -_span(M, sym) / 2
    scale = 1 / (std * math.sqrt(2))
    return (-linspace(start * scale, (start + M - 1) * scale, M, dtype=d) ** 2).exp()


def _kaiser(M: int, sym: bool, d, *, beta: float = 12.0) -> Tensor:
    """I₀(β √(1 − (2n/M − 1)²)) / I₀(β)."""
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    k = linspace(-beta, min(beta, -beta + (M - 1) * 2 * beta / _span(M, sym)), M, dtype=d)
    return i0((beta * beta - k * k).clamp(min=0).sqrt()) / i0(tensor(beta, dtype=d))


def _general_cosine(M: int, sym: bool, d, *, a: Iterable[float]) -> Tensor:
    """Σ (−1)ⁱ aᵢ cos(2πin/M)."""
    weights = list(a)
    if not weights:
        raise ValueError("Coefficients cannot be empty")
    k = linspace(0, (M - 1) * 2 * math.pi / _span(M, sym), M, dtype=d)
    signed = tensor([(-1) ** i * w for i, w in enumerate(weights)], dtype=d)
    return (signed.unsqueeze(-1) * (arange(len(weights), dtype=d).unsqueeze(-1) * k).cos()).sum(0)


def _fixed(*a: float):
    def values(M: int, sym: bool, d) -> Tensor:
        return _general_cosine(M, sym, d, a=a)
    values.__doc__ = f"The general cosine window of {a}."
    return values


def _general_hamming(M: int, sym: bool, d, *, alpha: float = 0.54) -> Tensor:
    """alpha − (1 − alpha) cos(2πn/M)."""
    return _general_cosine(M, sym, d, a=(alpha, 1 - alpha))


def _bartlett(M: int, sym: bool, d) -> Tensor:
    """A triangle from zero to zero."""
    return 1 - linspace(-1, -1 + (M - 1) * 2 / _span(M, sym), M, dtype=d).abs()


exponential, cosine = _window("exponential", _exponential), _window("cosine", _cosine)
gaussian, kaiser = _window("gaussian", _gaussian), _window("kaiser", _kaiser)
general_cosine, general_hamming = _window("general_cosine", _general_cosine), _window("general_hamming", _general_hamming)
bartlett = _window("bartlett", _bartlett)
hann, hamming = _window("hann", _fixed(0.5, 0.5)), _window("hamming", _fixed(0.54, 0.46))
blackman = _window("blackman", _fixed(0.42, 0.5, 0.08))
nuttall = _window("nuttall", _fixed(0.3635819, 0.4891775, 0.1365995, 0.0106411))


def _legacy(name: str, make: Callable, parameters: tuple[str, ...] = ()) -> None:
    """``torch.name(window_length, periodic=True, …)``."""
    def window(window_length, periodic=True, *values, dtype=None, layout=None, device=None, requires_grad=False,
               pin_memory=False, **named):
        if window_length < 0:
            raise RuntimeError(f"{name} requires non-negative window_length, got window_length={window_length}")
        if dtype is not None and not dtype.is_floating_point:
            raise RuntimeError(f"{name} expects floating point dtypes, got: {dtype}")
        named.update(zip(parameters, values, strict=False))
        return make(window_length, named, sym=not periodic, dtype=dtype, device=device, requires_grad=requires_grad)
    window.__name__ = window.__qualname__ = name
    operator(name, method=False, out=False, differentiable=False)(window)


_legacy("hann_window", lambda M, named, **options: hann(M, **options))
_legacy("bartlett_window", lambda M, named, **options: bartlett(M, **options))
_legacy("blackman_window", lambda M, named, **options: blackman(M, **options))
_legacy("kaiser_window", lambda M, named, **options: kaiser(M, **named, **options), ("beta",))
_legacy("hamming_window", lambda M, named, **options: general_cosine(
    M, a=(named.get("alpha", 0.54), named.get("beta", 0.46)), **options), ("alpha", "beta"))
