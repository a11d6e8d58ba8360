"""Modes: per-thread switches that say whether operations are put on the tape, and who else takes them."""

from __future__ import annotations

import functools
import threading
from typing import Any


class _Modes(threading.local):
    grad = True
    dual = False                 # inside of `forward_ad.dual_level`, where everything goes on the tape
    forward = False              # while a walk is for forward mode: see diya.func.transforms.Linear
    inference = False
    anomaly = False
    check_nan = True
    saved_hooks: tuple = ()
    called = False               # inside of a module that runs as it is written: see diya.capture
    levels: tuple = ()           # of `torch.func.vmap` that are running, the innermost last
    autocast: Any = None         # takes the calls of operators while `torch.amp.autocast` is on
    function_modes: tuple = ()   # `torch.overrides.TorchFunctionMode`s that are on, the innermost last
    subclasses = True            # whether classes of tensors may override functions


modes = _Modes()


class _Switch:
    """A context manager that is a decorator too (of functions and of generators)."""

    def __call__(self, function):
        import inspect
        if inspect.isclass(function):
            raise TypeError(f"{type(self).__name__} decorates functions, not classes: decorate its methods")
        if inspect.isgeneratorfunction(function):
            @functools.wraps(function)
            def generator(*args, **kwargs):
                inner = function(*args, **kwargs)
                sent, thrown = None, None
                while True:
                    with self.clone():
                        try:
                            item = inner.throw(thrown) if thrown is not None else inner.send(sent)
                        except StopIteration as stop:
                            return stop.value
                    sent = thrown = None
                    try:
                        sent = yield item
                    except GeneratorExit:
                        inner.close()
                        raise
                    except BaseException as error:
                        thrown = error
            return generator

        @functools.wraps(function)
        def call(*args, **kwargs):
            with self.clone():
                return function(*args, **kwargs)
        return call

    def clone(self):
        return type(self)()

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, *_) -> Any:
        raise NotImplementedError


class no_grad(_Switch):
    """Operations in the block are not recorded for ``backward``."""

    value = False

    def __new__(cls, function=None) -> Any:
        self = object.__new__(cls)
        return self if function is None else self(function)

    def __enter__(self):
        self.previous, modes.grad = modes.grad, self.value or modes.dual
        return None

    def __exit__(self, *_):
        modes.grad = self.previous


class untaped(no_grad):
    """As ``no_grad``, inside of a level of forward mode too: for values that no tangent reaches."""

    def __enter__(self):
        self.previous, modes.grad = modes.grad, False


class enable_grad(no_grad):
    """Operations in the block are recorded again, inside a ``no_grad`` block."""

    value = True


class set_grad_enabled(_Switch):
    """``set_grad_enabled(mode)``: at once, and as a context manager until the block ends."""

    def __init__(self, mode: bool):
        self.mode, self.previous = bool(mode), modes.grad
        modes.grad = self.mode or modes.dual

    def __enter__(self):
        modes.grad = self.mode or modes.dual

    def __exit__(self, *_):
        modes.grad = self.previous

    def __call__(self, function):
        modes.grad = self.previous  # as a decorator it does not act at once
        return super().__call__(function)

    def clone(self):
        return set_grad_enabled(self.mode)


class inference_mode(_Switch):
    """As ``no_grad``; tensors made in the block can never join a graph."""

    mode: bool

    def __new__(cls, mode=True) -> Any:
        self = object.__new__(cls)
        if callable(mode):
            self.mode = True
            return self(mode)
        self.mode = bool(mode)
        return self

    def __enter__(self):
        self.previous = modes.grad, modes.inference
        if self.mode:
            modes.grad, modes.inference = False, True
        else:
            modes.inference = False

    def __exit__(self, *_):
        modes.grad, modes.inference = self.previous

    def clone(self):
        return inference_mode(self.mode)


def is_grad_enabled() -> bool:
    return modes.grad


def is_inference_mode_enabled() -> bool:
    return modes.inference


class detect_anomaly(_Switch):
    """Backward errors, and (``check_nan``) NaN gradients, name the line of the forward operation that caused them."""

    def __init__(self, check_nan: bool = True):
        self.check_nan = check_nan

    def __enter__(self):
        self.previous = modes.anomaly, modes.check_nan
        modes.anomaly, modes.check_nan = True, self.check_nan

    def __exit__(self, *_):
        modes.anomaly, modes.check_nan = self.previous

    def clone(self):
        return detect_anomaly(self.check_nan)


class set_detect_anomaly(detect_anomaly):
    """``set_detect_anomaly(mode)``: at once, and as a context manager until the block ends."""

    def __init__(self, mode: bool, check_nan: bool = True):
        super().__init__(check_nan)
        self.mode = mode
        self.previous = modes.anomaly, modes.check_nan
        modes.anomaly, modes.check_nan = bool(mode), check_nan

    def __enter__(self):
        modes.anomaly, modes.check_nan = bool(self.mode), self.check_nan

    def clone(self):
        return set_detect_anomaly(self.mode, self.check_nan)
