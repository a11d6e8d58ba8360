"""``torch.backends``: switches of PyTorch's libraries. None of those libraries is here; the switches are accepted."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

__path__: list[str] = []  # its parts are made here


@contextlib.contextmanager
def __allow_nonbracketed_mutation() -> Iterator[None]:
    """A block in which flags may be set one by one: they always may."""
    yield


class _Backend(ModuleType):
    """A backend that is not there."""

    def __init__(self, name: str, **flags: Any):
        super().__init__(f"{__name__}.{name}")
        self.__dict__.update(flags)
        sys.modules[self.__name__] = self

    def is_available(self) -> bool:
        return False

    is_built = is_available

    @contextlib.contextmanager
    def flags(self, **changes: Any) -> Iterator[None]:
        """Sets flags for a block."""
        before = {name: self.__dict__.get(name) for name in changes}
        self.__dict__.update(changes)
        try:
            yield
        finally:
            self.__dict__.update(before)

    def set_flags(self, **changes: Any) -> tuple:
        before = tuple(self.__dict__.get(name) for name in changes)
        self.__dict__.update(changes)
        return before


class _Attention:
    """The choice between kernels of `scaled_dot_product_attention`, of which there is one: it is kept, and changes nothing."""

    def __init__(self):
        self.on: dict[str, bool] = dict.fromkeys(("flash", "mem_efficient", "math", "cudnn"), True)

    def functions(self) -> dict[str, Callable]:
        def setter(name: str) -> Callable:
            return lambda enabled: self.on.__setitem__(name, bool(enabled))

        def getter(name: str) -> Callable:
            return lambda: self.on[name]
        return {f"enable_{name}_sdp": setter(name) for name in self.on} | {f"{name}_sdp_enabled": getter(name) for name in self.on}

    @contextlib.contextmanager
    def sdp_kernel(self, enable_flash: bool = True, enable_math: bool = True, enable_mem_efficient: bool = True,
                   enable_cudnn: bool = True) -> Iterator[None]:
        before = dict(self.on)
        self.on |= {"flash": enable_flash, "math": enable_math, "mem_efficient": enable_mem_efficient, "cudnn": enable_cudnn}
        try:
            yield
        finally:
            self.on.update(before)


_attention = _Attention()
cudnn = _Backend("cudnn", benchmark=False, benchmark_limit=10, deterministic=True, enabled=False, allow_tf32=False,
                 version=lambda: None, conv=ModuleType("conv"), rnn=ModuleType("rnn"))
cuda = _Backend("cuda", matmul=ModuleType("matmul"), sdp_kernel=_attention.sdp_kernel, **_attention.functions(),
                is_flash_attention_available=lambda: False, preferred_linalg_library=lambda backend=None: "default",
                preferred_blas_library=lambda backend=None: "default")
cuda.matmul.__dict__.update(allow_tf32=False, fp32_precision="ieee", allow_fp16_reduced_precision_reduction=True,
                            allow_bf16_reduced_precision_reduction=True)
mps = _Backend("mps", is_macos_or_newer=lambda major, minor: False, is_macos13_or_newer=lambda minor=0: False)
mkl = _Backend("mkl")
mkldnn = _Backend("mkldnn", enabled=False, deterministic=True, allow_tf32=False)
openmp = _Backend("openmp")
opt_einsum = _Backend("opt_einsum", enabled=False, strategy=None)
nnpack = _Backend("nnpack")
xnnpack = _Backend("xnnpack", enabled=False)
quantized = _Backend("quantized", engine="none", supported_engines=["none"])


def _capability() -> str:
    """The widest vectors that kernels are written in, by PyTorch's names."""
    from .runtime.cpu.features import host
    return {64: "AVX512", 32: "AVX2"}.get(host().vector_bytes, "DEFAULT")


cpu = _Backend("cpu", get_cpu_capability=_capability)
