"""Operators that bring samples (``samples=`` of their record), as those do for which PyTorch recorded nothing: their forms,
tiers, precisions and derivatives are held against each other."""

import numpy as np
import pytest
from oracle.checker import flatten, function_of

import diya
from diya import engine
from diya.engine import Tier
from diya.ops import OPERATORS

CASES = [(path, k) for path in sorted(p for p, r in OPERATORS.items() if r.samples)
         for k, _ in enumerate(OPERATORS[path].samples())]


def sample(path: str, k: int, dtype=diya.float64, grad: bool = False):
    """(function, args, kwargs): arrays become tensors, floating-point ones of ``dtype`` and with a gradient if wanted."""
    def made(x):
        if not isinstance(x, np.ndarray):
            return x
        return diya.tensor(x, dtype=dtype).requires_grad_(grad) if x.dtype.kind == "f" else diya.tensor(x)
    args, kwargs = list(OPERATORS[path].samples())[k]
    return function_of(path, diya), [made(x) for x in args], {name: made(x) for name, x in kwargs.items()}


def arrays(out) -> list[np.ndarray]:
    return [o.detach().numpy() for o in flatten(out)]


def same(a, b, **tolerance) -> None:
    for x, y in zip(arrays(a), arrays(b), strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(x, y, **({"rtol": 0} | tolerance))


@pytest.mark.parametrize("path, k", CASES)
def test_forms(path, k):
    record = OPERATORS[path]
    function, args, kwargs = sample(path, k)
    with Tier(0):
        want = function(*args, **kwargs)
        for name in record.aliases:
            same(want, function_of(path[:path.rfind(".") + 1] + name, diya)(*args, **kwargs))
        for name in record.methods:
            same(want, getattr(args[0], name)(*args[1:], **kwargs))
        if record.out and isinstance(want, diya.Tensor):
            out = diya.empty_like(want)
            assert function(*args, **kwargs, out=out) is out
            same(want, out)
        if want.shape == args[0].shape:
            for name in record.inplace:
                target = args[0].clone()
                view = target.view(-1)
                assert getattr(target, name)(*args[1:], **kwargs) is target
                same(want, target)
                same(want, view.view(target.shape))


@pytest.mark.parametrize("path, k", CASES)
def test_precisions(path, k):
    function, args, kwargs = sample(path, k)
    narrow = sample(path, k, diya.float32)
    with Tier(0):
        same(narrow[0](*narrow[1], **narrow[2]), function(*args, **kwargs), rtol=2e-5, atol=2e-5)


@pytest.mark.skipif(engine.compiler() is None, reason="needs llvmlite")
@pytest.mark.parametrize("path, k", CASES)
def test_tiers(path, k):
    function, args, kwargs = sample(path, k, diya.float32)
    with Tier(0):
        want = function(*args, **kwargs)
        arrays(want)
    with Tier(1):
        same(function(*args, **kwargs), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("path, k", [case for case in CASES if OPERATORS[case[0]].differentiable])
def test_derivatives(path, k):
    function, args, kwargs = sample(path, k, grad=True)
    with Tier(0):
        assert diya.autograd.gradcheck(lambda *xs: function(*xs, **kwargs), args)
        assert diya.autograd.gradgradcheck(lambda *xs: function(*xs, **kwargs), args)
