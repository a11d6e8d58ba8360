"""PyTorch's 8-bit floating types, by name only: programs compare dtypes to them. Used for a tensor, they say so."""

from __future__ import annotations

from .dtypes import dtype


class NamedOnly(dtype):
    """A dtype that no tensor has. What describes its elements raises NotImplementedError."""

    __slots__ = ()
    is_floating_point = True  # type: ignore[assignment]
    is_complex = False  # type: ignore[assignment]
    is_signed = True  # type: ignore[assignment]

    def __init__(self, name: str):
        self.name = name  # no itemsize: making a tensor asks for it, and is told

    def __getattr__(self, attribute: str):
        if attribute in dtype.__slots__:
            raise NotImplementedError(f"torch.{self.name} is not supported: diya has no 8-bit floating tensors. Use bfloat16")
        raise AttributeError(attribute)

    def __reduce__(self):
        return self.name


float8_e4m3fn, float8_e5m2 = NamedOnly("float8_e4m3fn"), NamedOnly("float8_e5m2")
float8_e4m3fnuz, float8_e5m2fnuz, float8_e8m0fnu = (NamedOnly(f"float8_{name}") for name in ("e4m3fnuz", "e5m2fnuz", "e8m0fnu"))

#: (largest, eps, smallest normal) for `torch.finfo`
LIMITS = {"float8_e4m3fn": (448.0, 0.125, 2.0 ** -6), "float8_e5m2": (57344.0, 0.25, 2.0 ** -14),
          "float8_e4m3fnuz": (240.0, 0.125, 2.0 ** -7), "float8_e5m2fnuz": (57344.0, 0.25, 2.0 ** -15)}
