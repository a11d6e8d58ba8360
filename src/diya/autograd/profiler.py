"""``torch.autograd.profiler``: the older face of `torch.profiler`."""

from __future__ import annotations

from .. import profiler as _profiler
from .._absent import absent
from ..profiler import kineto_available, record_function
from ..profiler.events import EventList, FunctionEvent, FunctionEventAvg

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "emit_itt", "emit_nvtx", "kineto_available", "profile",
           "record_function"]


class profile:
    """Records what runs in its block; see `torch.profiler` for what the events are."""

    def __init__(self, enabled: bool = True, *, use_cuda: bool = False, use_device: str | None = None, record_shapes: bool = False,
                 with_flops: bool = False, profile_memory: bool = False, with_stack: bool = False, with_modules: bool = False,
                 use_kineto: bool = False, use_cpu: bool = True, experimental_config=None, acc_events: bool = False,
                 custom_trace_id_callback=None, post_processing_timeout_s: float | None = None, activity_filters=None):
        if activity_filters is not None:
            raise NotImplementedError("torch.autograd.profiler.profile: activity_filters is not supported")
        self.enabled = enabled
        self._profile = _profiler.profile(
            record_shapes=record_shapes, with_flops=with_flops, profile_memory=profile_memory, with_stack=with_stack,
            with_modules=with_modules, experimental_config=experimental_config, acc_events=acc_events,
            use_cuda=use_cuda or use_device not in (None, "cpu"), custom_trace_id_callback=custom_trace_id_callback)

    def __enter__(self) -> profile:
        if self.enabled:
            self._profile.start()
        return self

    def __exit__(self, *exc) -> None:
        if self.enabled:
            self._profile.stop()

    @property
    def function_events(self) -> EventList:
        return self._profile.events()

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> EventList:
        return self._profile.key_averages(group_by_input_shape, group_by_stack_n)

    def total_average(self) -> FunctionEventAvg:
        return self.function_events.total_average()

    def table(self, *args, **kwargs) -> str:
        return self.function_events.table(*args, **kwargs)

    def export_chrome_trace(self, path: str) -> None:
        self._profile.export_chrome_trace(path)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        self._profile.export_stacks(path, metric)

    @property
    def self_cpu_time_total(self) -> float:
        return self.function_events.self_cpu_time_total

    def __str__(self) -> str:
        return str(self.function_events)


class _Emit:
    """Marks for another vendor's profiler, which diya has no connection to."""

    tool: str

    def __init__(self, enabled: bool = True, record_shapes: bool = False):
        self.enabled = enabled

    def __enter__(self):
        if self.enabled:
            raise NotImplementedError(f"torch.autograd.profiler.{type(self).__name__} is not supported: diya computes on the CPU "
                                      f"and emits no marks for {self.tool}. Use torch.profiler.profile")
        return self

    def __exit__(self, *exc) -> None:
        pass


class emit_nvtx(_Emit):
    tool = "NVIDIA's tools"


class emit_itt(_Emit):
    tool = "Intel's VTune"


__getattr__ = absent(__name__, "load_nvprof parse_nvprof_trace EnforceUnique KinetoStepTracker MemRecordsAcc",
                     "diya's profiler measures programs and kernels")
