"""Settings of PyTorch's compiler, under their names. They change nothing."""

from __future__ import annotations

from types import SimpleNamespace

from .._dynamo.config import patcher

fx_graph_cache = fx_graph_remote_cache = max_autotune = max_autotune_gemm = epilogue_fusion = shape_padding = False
coordinate_descent_tuning = coordinate_descent_check_all_directions = force_fuse_int_mm_with_mul = use_mixed_mm = False
conv_1x1_as_mm = freezing = cpp_wrapper = debug = False
triton = SimpleNamespace(cudagraphs=False, unique_kernel_names=False, cudagraph_trees=True)
cpp = SimpleNamespace(threads=-1, enable_kernel_profile=False)
trace = SimpleNamespace(enabled=False)
patch = patcher(globals())
