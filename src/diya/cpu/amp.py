"""``torch.cpu.amp``: the old names of `torch.amp` for the CPU."""

from __future__ import annotations

from .. import amp
from ..dtypes import bfloat16


class autocast(amp.autocast):
    def __init__(self, enabled: bool = True, dtype=bfloat16, cache_enabled: bool = True):
        super().__init__("cpu", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)

    def clone(self):
        return autocast(self._enabled, self.fast_dtype, self._cache_enabled)


class GradScaler(amp.GradScaler):
    def __init__(self, init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
                 growth_interval: int = 2000, enabled: bool = True):
        super().__init__("cpu", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
