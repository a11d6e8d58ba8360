"""How this torch was built (``torch.__config__``)."""

from __future__ import annotations


def show() -> str:
    from .version import __version__
    return f"diya {__version__}: pure Python, no libraries built in, USE_CUDA=OFF, USE_MKL=OFF, USE_MKLDNN=OFF"


def parallel_info() -> str:
    from .runtime.cpu.threads import get_num_threads
    return f"threads: {get_num_threads()}"
