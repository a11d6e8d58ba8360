"""Tensors that have a shape and no data: PyTorch's tracer makes them; here no tensor is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..tensor import Tensor


class FakeTensor(Tensor):
    """No object is one."""

    _results_keep_class = False

    def __new__(cls, *args, **kwargs):
        raise NotImplementedError("FakeTensor is not supported: operations are recorded without computing anyway")


class FakeTensorMode:
    """Refused where made."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError("FakeTensorMode is not supported: operations are recorded without computing anyway")


def is_fake(x: Any) -> bool:
    return False


@contextmanager
def unset_fake_temporarily() -> Iterator[None]:
    """Nothing to unset."""
    yield
