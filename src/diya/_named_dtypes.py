"""Element types of PyTorch's that diya has by name only: programs compare dtypes to them. Used for a tensor, they say so."""

from __future__ import annotations

from .dtypes import dtype


class NamedOnly(dtype):
    """A dtype that no tensor has. What describes its elements raises NotImplementedError."""

    __slots__ = ("is_floating_point", "is_complex", "is_signed")

    def __init__(self, name: str, floating: bool = False, complex: bool = False, signed: bool = True):
        self.name = name  # no itemsize: making a tensor asks for it, and is told
        self.is_floating_point, self.is_complex, self.is_signed = floating, complex, signed  # type: ignore[misc]

    def __getattr__(self, attribute: str):
        if attribute in dtype.__slots__:
            raise NotImplementedError(f"torch.{self.name} is not supported: diya has no tensors of this dtype"
                                      + (". Use bfloat16" if self.is_floating_point else ""))
        raise AttributeError(attribute)

    def __reduce__(self):
        return self.name


_FLOATS = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2")
_SIGNED = ("qint8", "qint32", *(f"int{n}" for n in range(1, 8)))
_UNSIGNED = ("quint8", "quint4x2", "quint2x4", *(f"uint{n}" for n in range(1, 8)),
             "bits8", "bits16", "bits1x8", "bits2x4", "bits4x2")

DTYPES: dict[str, NamedOnly] = {
    **{name: NamedOnly(name, floating=True) for name in _FLOATS}, **{name: NamedOnly(name) for name in _SIGNED},
    **{name: NamedOnly(name, signed=False) for name in _UNSIGNED}}

#: (largest, eps, smallest normal) for `torch.finfo`
LIMITS = {"float8_e4m3fn": (448.0, 0.125, 2.0 ** -6), "float8_e5m2": (57344.0, 0.25, 2.0 ** -14),
          "float8_e4m3fnuz": (240.0, 0.125, 2.0 ** -7), "float8_e5m2fnuz": (57344.0, 0.25, 2.0 ** -15)}
