"""Loss scaling (``torch.amp.GradScaler``): a float16 gradient that would vanish is kept by a factor on the loss."""

from __future__ import annotations

import warnings
from enum import Enum
from typing import Any

from .. import dtypes
from ..ops.creation import full, zeros
from ..tensor import Tensor


class OptState(Enum):
    READY, UNSCALED, STEPPED = range(3)


class GradScaler:
    """Multiplies losses by a scale, divides gradients by it, and skips steps whose gradients are infinite or NaN.

    The scale shrinks by ``backoff_factor`` after such a step and grows by ``growth_factor`` after ``growth_interval``
    others in a row. For a device that is not there it warns and does nothing, as in PyTorch.
    """

    def __init__(self, device: str = "cuda", init_scale: float = 2.0**16, growth_factor: float = 2.0,
                 backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True):
        self._device, self._enabled = device, bool(enabled)
        if enabled and device != "cpu":
            warnings.warn(f"torch.{device}.amp.GradScaler is enabled, but {device.upper()} is not available.  Disabling.",
                          stacklevel=2)
            self._enabled = False
        if self._enabled:
            if growth_factor <= 1.0:
                raise AssertionError(f"The growth factor must be > 1.0, got {growth_factor}")
            if backoff_factor >= 1.0:
                raise AssertionError(f"The backoff factor must be < 1.0, got {backoff_factor}")
        self._init_scale, self._scale = init_scale, None
        self._growth_factor, self._backoff_factor, self._growth_interval = growth_factor, backoff_factor, growth_interval
        self._growth_tracker = 0
        self._states: dict[int, tuple[OptState, Tensor | None]] = {}  # by optimizer: how far it is, whether it found inf

    def _scale_tensor(self) -> Tensor:
        if self._scale is None:
            self._scale = full((), self._init_scale, dtype=dtypes.float32)
        return self._scale

    def scale(self, outputs: Any) -> Any:
        """A tensor, or an iterable of tensors, times the scale."""
        if not self._enabled:
            return outputs
        scale = self._scale_tensor()
        if isinstance(outputs, Tensor):
            return outputs * scale
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(self.scale(x) for x in outputs)
        if hasattr(outputs, "__iter__"):
            return map(self.scale, outputs)
        raise ValueError(f"outputs must be a Tensor or an iterable of Tensors, got {type(outputs).__name__}")

    def unscale_(self, optimizer) -> None:
        """Divides the gradients of an optimizer's parameters by the scale, once between two `update`s."""
        if not self._enabled:
            return
        state, _ = self._states.get(id(optimizer), (OptState.READY, None))
        if state is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if state is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        inverse = self._scale_tensor().double().reciprocal().float()
        found = zeros((), dtype=dtypes.bool_)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                grad = parameter.grad
                if grad is None:
                    continue
                if grad.dtype is dtypes.float16:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                found = found | ~grad.isfinite().all()
                grad.mul_(inverse)
        self._states[id(optimizer)] = OptState.UNSCALED, found

    def step(self, optimizer, *args, **kwargs):
        """`unscale_` if that has not been done, then ``optimizer.step()`` unless a gradient is infinite or NaN."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        state, found = self._states.get(id(optimizer), (OptState.READY, None))
        if state is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if state is OptState.READY:
            self.unscale_(optimizer)
            found = self._states[id(optimizer)][1]
        if found is None:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = None if found.item() else optimizer.step(*args, **kwargs)
        self._states[id(optimizer)] = OptState.STEPPED, found
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """The end of a step: the scale becomes ``new_scale``, shrinks or grows."""
        if not self._enabled:
            return
        scale = self._scale_tensor()
        if new_scale is not None:
            scale.fill_(new_scale)
        else:
            found = [f for _, f in self._states.values() if f is not None]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            if any(f.item() for f in found):
                scale.mul_(self._backoff_factor)
                self._growth_tracker = 0
            else:
                self._growth_tracker += 1
                if self._growth_tracker == self._growth_interval:
                    grown = scale * self._growth_factor
                    if grown.isfinite().item():
                        scale.copy_(grown)
                    self._growth_tracker = 0
        self._states = {}

    def is_enabled(self) -> bool:
        return self._enabled

    def get_scale(self) -> float:
        return 1.0 if not self._enabled else self._init_scale if self._scale is None else self._scale.item()

    def get_growth_factor(self) -> float:
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        self._growth_interval = new_interval

    def state_dict(self) -> dict:
        if not self._enabled:
            return {}
        return {"scale": self.get_scale(), "growth_factor": self._growth_factor, "backoff_factor": self._backoff_factor,
                "growth_interval": self._growth_interval, "_growth_tracker": self._growth_tracker}

    def load_state_dict(self, state_dict: dict) -> None:
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("The source state dict is empty, possibly because it was saved from a disabled instance of "
                               "GradScaler.")
        self._init_scale, self._scale = state_dict["scale"], None
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval, self._growth_tracker = state_dict["growth_interval"], state_dict["_growth_tracker"]
