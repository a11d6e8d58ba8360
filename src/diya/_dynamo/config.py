"""Settings of PyTorch's tracer, which are kept and read by nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

cache_size_limit = recompile_limit = 8
accumulated_cache_size_limit = accumulated_recompile_limit = 256
suppress_errors = verbose = capture_scalar_outputs = capture_dynamic_output_shape_ops = allow_rnn = compiled_autograd = False
optimize_ddp = dynamic_shapes = automatic_dynamic_shapes = assume_static_by_default = inline_inbuilt_nn_modules = True
force_parameter_static_shapes = True


def patcher(settings: dict) -> Callable:
    """``config.patch`` of a module of settings: other values inside of a ``with`` block, or of a decorated function."""
    @contextmanager
    def patch(arg: Any = None, value: Any = None, **changes) -> Iterator[None]:
        changes |= arg if isinstance(arg, dict) else {} if arg is None else {arg: value}
        former = {name: settings[name] for name in changes if name in settings}
        settings.update(changes)
        try:
            yield
        finally:
            for name in changes:
                del settings[name]
            settings.update(former)
    return patch


patch = patcher(globals())
