"""``torch.utils.cpp_extension``: building C++ against PyTorch, which is not there."""

from __future__ import annotations

from .._absent import absent

CUDA_HOME = ROCM_HOME = None
__getattr__ = absent(__name__, "BuildExtension CUDAExtension CppExtension SyclExtension include_paths library_paths load "
                     "load_inline", "diya is written in Python and runs no C++ extensions")


def is_ninja_available() -> bool:
    return False
