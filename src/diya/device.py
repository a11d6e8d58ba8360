"""Devices: where a buffer lives."""

from __future__ import annotations


class device:
    """``device('cpu')``. Other backends are named in the error; nothing else in diya assumes there is only one."""

    __slots__ = ("type", "index")
    type: str
    index: int | None

    def __new__(cls, type: str | device | int = "cpu", index: int | None = None):
        if isinstance(type, device):
            return type
        if not isinstance(type, str):
            raise RuntimeError(f"device() expects a string such as 'cpu', got {type!r}")
        name, _, number = type.partition(":")
        if name not in ("cpu", "cuda", "mps", "meta", "xpu"):
            raise RuntimeError(f"Expected one of cpu, cuda, mps, xpu, meta device type at start of device string: {name}")
        if number:
            if not number.isdigit():
                raise RuntimeError(f"Invalid device string: '{type}'")
            index = int(number)
        self = object.__new__(cls)
        object.__setattr__(self, "type", name)
        object.__setattr__(self, "index", index)
        return self

    def __setattr__(self, name, value):
        raise AttributeError(f"a device is immutable: cannot set {name!r}")

    def __eq__(self, other):
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self):
        return hash((self.type, self.index))

    def __repr__(self):
        return f"device(type='{self.type}'" + (f", index={self.index})" if self.index is not None else ")")

    def __str__(self):
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self):
        return device, (str(self),)

    def __enter__(self):
        from .utils._device import enter
        enter(self)
        return self

    def __exit__(self, *_):
        from .utils._device import leave
        leave()


CPU = device("cpu")
META = device("meta")  # of tensors without data: see meta.py


def check(d) -> device:
    """The device that a ``device=`` argument names. Raises NotImplementedError for one diya cannot compute on."""
    if d is None or d is CPU:
        return CPU
    d = device(d)
    if d.type != "cpu":
        raise NotImplementedError(f"device '{d}' is not supported: this build of diya computes on 'cpu'")
    return CPU


def is_meta(d) -> bool:
    """Whether a ``device=`` argument names the meta device. Raises NotImplementedError for one diya cannot compute on."""
    if d is None or d is CPU:
        return False
    if device(d).type == "meta":
        return True
    check(d)
    return False
