"""Neural networks: modules, parameters, initialisers, functions."""

from typing import Any

from . import functional as functional
from . import init as init
from . import modules as modules
from . import parameter as parameter
from . import utils as utils
from .modules import *  # noqa: F403
from .parameter import Buffer as Buffer
from .parameter import Parameter as Parameter
from .parameter import UninitializedBuffer as UninitializedBuffer
from .parameter import UninitializedParameter as UninitializedParameter


def factory_kwargs(kwargs: dict | None) -> dict:
    """``device``, ``dtype`` and ``memory_format`` of ``kwargs``, in the form that factory functions take."""
    if kwargs is None:
        return {}
    simple = {"device", "dtype", "memory_format"}
    expected = simple | {"factory_kwargs"}
    if not kwargs.keys() <= expected:
        raise TypeError(f"unexpected kwargs {kwargs.keys() - expected}")
    out = dict(kwargs.get("factory_kwargs", {}))
    for key in simple:
        if key in kwargs:
            if key in out:
                raise TypeError(f"{key} specified twice, in **kwargs and in factory_kwargs")
            out[key] = kwargs[key]
    return out


def __getattr__(name: str) -> Any:
    if name in ("parallel", "grad", "common_types", "attention"):
        import importlib
        return importlib.import_module("." + name, __name__)
    if name == "DataParallel":
        from .parallel import DataParallel
        return DataParallel
    raise AttributeError(f"module 'diya.nn' has no attribute {name!r}: this part of torch.nn is not implemented")
