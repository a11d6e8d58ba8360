"""What the tests of this folder share."""

import io
import struct

import numpy as np

from diya.serialization.zip_writer import ZipWriter

FLOATS = np.arange(6, dtype=np.float32).tobytes()


def archive(pickle: bytes, storages=None, folder="archive", **entries: bytes) -> bytes:
    """A checkpoint file with the given pickle and storages, sound in all else."""
    stream = io.BytesIO()
    writer = ZipWriter(stream, folder)
    writer.add("data.pkl", pickle)
    for key, data in ({"0": FLOATS} if storages is None else storages).items():
        writer.add(f"data/{key}", data)
    for name, data in {"version": b"3\n", "byteorder": b"little", **entries}.items():
        writer.add(name, data)
    writer.close()
    return stream.getvalue()


def program(*parts: bytes) -> bytes:
    """A pickle of protocol 2 made of instructions."""
    return b"\x80\x02" + b"".join(parts) + b"."


def text(s: str) -> bytes:
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def number(n: int) -> bytes:
    if -(1 << 31) <= n < 1 << 31:
        return b"J" + struct.pack("<i", n)
    data = n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes((len(data),)) + data


def name(module: str, of: str) -> bytes:
    return f"c{module}\n{of}\n".encode()


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(number(v) for v in values) + b"t"


def tensor(size=(2, 3), stride=(3, 1), offset=0, kind="FloatStorage", key="0", numel=6, location="cpu",
           requires_grad=b"\x89", hooks=b"ccollections\nOrderedDict\n)R", metadata=b"") -> bytes:
    """The instructions that make a tensor, each part of which a test may forge."""
    storage = b"(" + text("storage") + name("torch", kind) + text(key) + text(location) + number(numel) + b"tQ"
    return (name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + number(offset) + numbers(*size)
            + numbers(*stride) + requires_grad + hooks + metadata + b"tR")


def same(a, b) -> bool:
    """Whether two loaded objects are equal, types, dtypes and strides included."""
    from diya.tensor import Tensor
    if isinstance(a, Tensor):
        return (type(a) is type(b) and a.dtype is b.dtype and a.shape == b.shape and a.stride() == b.stride()
                and a.storage_offset() == b.storage_offset() and a.requires_grad == b.requires_grad
                and a._to_array().tobytes() == b._to_array().tobytes())
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(x, y) for x, y in zip(a.values(), b.values(), strict=True))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b
