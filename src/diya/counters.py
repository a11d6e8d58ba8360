"""Counters of what the engine did, for tests, ``explain`` and ``doctor``."""

from __future__ import annotations


class Counters:
    """Monotonic counts since the process started (or since ``reset``)."""

    __slots__ = ("nodes_recorded", "flushes", "programs_met", "programs_interpreted", "programs_compiled", "cache_hits",
                 "programs_run_compiled", "kernels_compiled", "kernels_launched", "bytes_planned", "nodes_run")

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self):
        return "Counters(" + ", ".join(f"{k}={v}" for k, v in self.as_dict().items()) + ")"


counters = Counters()
