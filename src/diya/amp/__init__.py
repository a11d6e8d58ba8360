"""Automatic mixed precision (``torch.amp``). On the CPU float32 is not slower, so ``autocast`` may only be disabled."""

from __future__ import annotations

from ..autograd.modes import _Switch


class autocast(_Switch):
    """``autocast(device_type, dtype=None, enabled=True)``. Raises NotImplementedError if enabled for the CPU: half
    precision would change results, and nothing here casts operators yet."""

    def __init__(self, device_type: str, dtype=None, enabled: bool = True, cache_enabled: bool | None = None):
        if enabled and device_type == "cpu":
            raise NotImplementedError("torch.amp.autocast('cpu') is not supported yet: pass enabled=False, or convert the model "
                                      "with .to(torch.bfloat16)")
        self.args = device_type, dtype, enabled

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def clone(self):
        return autocast(*self.args)


class GradScaler:
    """Loss scaling. Disabled on the CPU, where PyTorch, too, scales by 1 unless float16 is used."""

    def __init__(self, device: str = "cuda", init_scale: float = 2.0**16, growth_factor: float = 2.0,
                 backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True):
        if enabled and device == "cpu":
            raise NotImplementedError("torch.amp.GradScaler on the CPU is not supported yet: pass enabled=False")

    def is_enabled(self) -> bool:
        return False

    def scale(self, outputs):
        return outputs

    def unscale_(self, optimizer) -> None:
        """Gradients are not scaled."""

    def step(self, optimizer, *args, **kwargs):
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale=None) -> None:
        """There is no scale to update."""

    def get_scale(self) -> float:
        return 1.0

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state_dict: dict) -> None:
        """A disabled scaler has no state."""
