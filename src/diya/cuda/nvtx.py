"""``torch.cuda.nvtx``: marks in NVIDIA's profiler, which is not there."""

from .._absent import absent

__getattr__ = absent(__name__, "range range_push range_pop mark range_start range_end",
                     "this build of diya computes on the CPU and has no CUDA device", RuntimeError)
