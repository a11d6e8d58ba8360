"""Assertions for tests (``torch.testing``)."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor

_TOLERANCES = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7),
               "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7)}


def _default(d) -> tuple[float, float]:
    return _TOLERANCES.get(d.name, (0.0, 0.0))


def assert_close(actual: Any, expected: Any, *, allow_subclasses: bool = True, rtol: float | None = None,
                 atol: float | None = None, equal_nan: bool = False, check_device: bool = True, check_dtype: bool = True,
                 check_layout: bool = True, check_stride: bool = False, msg=None) -> None:
    """Raises AssertionError unless ``|actual - expected| <= atol + rtol · |expected|`` everywhere, in tensors, numbers, and
    sequences and mappings of them. Default tolerances depend on the dtype, as in PyTorch."""
    if (rtol is None) != (atol is None):
        raise ValueError("Both or none of the rtol and atol must be specified")
    _compare(actual, expected, rtol, atol, equal_nan, check_dtype, check_stride, msg, "")


def _fail(text: str, msg) -> None:
    raise AssertionError(msg(text) if callable(msg) else msg or text)


def _compare(a, b, rtol, atol, equal_nan, check_dtype, check_stride, msg, where) -> None:
    from .. import as_tensor, promote_types
    if isinstance(b, dict):
        if not isinstance(a, dict) or set(a) != set(b):
            _fail(f"The keys of the mappings do not match{where}", msg)
        for k in b:
            _compare(a[k], b[k], rtol, atol, equal_nan, check_dtype, check_stride, msg,
                     f"{where}\n\nThe failure occurred for item [{k!r}]")
        return
    if isinstance(b, (tuple, list)):
        if not isinstance(a, (tuple, list)) or len(a) != len(b):
            _fail(f"The length of the sequences mismatch: {len(a) if hasattr(a, '__len__') else type(a)} != {len(b)}{where}", msg)
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            _compare(x, y, rtol, atol, equal_nan, check_dtype, check_stride, msg, f"{where}\n\nThe failure occurred for item [{k}]")
        return
    numbers = not isinstance(a, Tensor) and not isinstance(b, Tensor)
    x, y = as_tensor(a).detach(), as_tensor(b).detach()
    if x.shape != y.shape:
        _fail(f"The values for attribute 'shape' do not match: {x.shape} != {y.shape}.{where}", msg)
    if x.dtype is not y.dtype and check_dtype and not numbers:
        _fail(f"The values for attribute 'dtype' do not match: {x.dtype} != {y.dtype}.{where}", msg)
    if check_stride and x.stride() != y.stride():
        _fail(f"The values for attribute 'stride()' do not match: {x.stride()} != {y.stride()}.{where}", msg)
    if rtol is None:
        (r1, a1), (r2, a2) = _default(x.dtype), _default(y.dtype)
        rtol, atol = max(r1, r2), max(a1, a2)
    d = promote_types(x.dtype, y.dtype)
    x, y = x.to(d), y.to(d)
    close = x.isclose(y, rtol=rtol, atol=atol, equal_nan=equal_nan)
    bad = int((~close).sum())
    if bad:
        total = x.numel()
        kind = "Scalars" if not x.dim() else "Tensor-likes"
        wide = x.to(promote_types(d, _float64())), y.to(promote_types(d, _float64()))
        off = (wide[0] - wide[1]).abs()
        worst = float(off.max()) if off.numel() else 0.0
        detail = f"Mismatched elements: {bad} / {total} ({100 * bad / max(total, 1):.1f}%)\n" if x.dim() else \
            f"Expected {y.item()} but got {x.item()}.\n"
        _fail(f"{kind} are not close!\n\n{detail}Greatest absolute difference: {worst} (up to {atol} allowed){where}", msg)


def _float64():
    from .. import float64
    return float64


def assert_allclose(actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, equal_nan: bool = True,
                    msg: str = "") -> None:
    """The old name of `assert_close`, which promotes dtypes."""
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, msg=msg or None)


def make_tensor(*shape, dtype, device="cpu", low=None, high=None, requires_grad: bool = False, **kwargs) -> Tensor:
    """A tensor of random values: integers in [0, 10), floats in [-9, 9), unless ``low`` and ``high`` say otherwise."""
    if kwargs:
        raise NotImplementedError(f"make_tensor({', '.join(kwargs)}=...) is not supported")
    from .. import empty
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    t = empty(sizes, dtype=dtype, device=device)
    if dtype.kind in "buiu":
        t.random_(low or 0, high if high is not None else 2 if dtype.kind == "b" else 10)
    elif dtype.kind == "f":
        t.uniform_(-9 if low is None else low, 9 if high is None else high)
    else:
        t.real.uniform_(-9, 9)
        t.imag.uniform_(-9, 9)
    return t.requires_grad_(requires_grad)
