"""The safetensors format (https://github.com/huggingface/safetensors): a JSON header, then the tensors' bytes.

    8 bytes     n, little-endian
    n bytes     {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ..., "__metadata__": {...}}
    the rest    the bytes; the tensors cover them exactly, one after another
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from .. import dtypes, engine
from ..device import check as check_device
from ..graph import type_of
from ..runtime.buffer import Buffer
from ..tensor import Tensor, from_node
from .errors import CheckpointError

MAX_HEADER = 100_000_000
_DTYPES = {
    "BOOL": dtypes.bool_, "U8": dtypes.uint8, "I8": dtypes.int8, "U16": dtypes.uint16, "I16": dtypes.int16,
    "U32": dtypes.uint32, "I32": dtypes.int32, "U64": dtypes.uint64, "I64": dtypes.int64, "F16": dtypes.float16,
    "BF16": dtypes.bfloat16, "F32": dtypes.float32, "F64": dtypes.float64, "C64": dtypes.complex64,
}
_NAMES = {d: name for name, d in _DTYPES.items()}


def save_file(tensors: Mapping[str, Tensor], filename: str | os.PathLike,
              metadata: Mapping[str, str] | None = None) -> None:
    """Saves named tensors to a file, atomically. Arguments and errors are as for ``save``."""
    from .atomic import atomic_write
    header, arrays = _layout(tensors, metadata)
    with atomic_write(filename) as file:
        file.write(header)
        for array in arrays:
            file.write(array.data)


def save(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a file that holds named tensors.

    Raises TypeError for names or values of other types, ValueError for a tensor that is not contiguous, RuntimeError
    for tensors that share memory, NotImplementedError for complex128, which the format does not have.
    """
    header, arrays = _layout(tensors, metadata)
    return b"".join([header, *(array.tobytes() for array in arrays)])


def load_file(filename: str | os.PathLike, device: Any = "cpu", mmap: bool = False) -> dict[str, Tensor]:
    """The tensors in a file, by name. ``mmap=True`` reads each when it is first touched; changes stay in memory.

    Raises CheckpointError for a file that is damaged or holds a dtype that diya does not have.
    """
    from .source import MappedSource, StreamSource
    check_device(device)
    path = os.fspath(filename)
    try:
        if mmap:
            return _read(MappedSource(path))
        with open(path, "rb") as file:
            return _read(StreamSource(file))
    except CheckpointError as error:
        raise CheckpointError(f"cannot load {path!r}: {error}") from None


def load(data: bytes) -> dict[str, Tensor]:
    """The tensors in the bytes of a file, by name; raises as ``load_file``."""
    import io

    from .source import StreamSource
    return _read(StreamSource(io.BytesIO(data)))


def _layout(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> tuple[bytes, list[np.ndarray]]:
    """The length and header of a file, and the bytes of each tensor in their order."""
    import json
    header: dict[str, Any] = {}
    if metadata is not None:
        if not all(isinstance(k, str) and isinstance(v, str) for k, v in metadata.items()):
            raise TypeError("metadata is a dict from str to str")
        header["__metadata__"] = dict(metadata)
    for name, t in tensors.items():
        if not isinstance(name, str) or name == "__metadata__":
            raise TypeError(f"a tensor's name is a str other than '__metadata__', got {name!r:.80}")
        if not isinstance(t, Tensor):
            raise TypeError(f"expected a dict of str to Tensor, got a {type(t).__name__} under {name!r}")
        if not t.is_contiguous():
            raise ValueError(f"tensor {name!r} is not contiguous, as this format needs it: save its .contiguous()")
        if t.dtype not in _NAMES:
            raise NotImplementedError(f"tensor {name!r} has dtype {t.dtype}, which the safetensors format has not")
    _refuse_shared(tensors)
    at = 0
    arrays = []
    for name, t in sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])):  # keeps all aligned
        header[name] = {"dtype": _NAMES[t.dtype], "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        start = t.storage_offset() * t.dtype.itemsize
        arrays.append(t.untyped_storage().buffer().array[start:start + t.nbytes])
        at += t.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise ValueError(f"the names take {len(text)} bytes; a header has at most {MAX_HEADER}")
    return len(text).to_bytes(8, "little") + text, arrays


def _refuse_shared(tensors: Mapping[str, Tensor]) -> None:
    spans = sorted((id(t.untyped_storage()), t.storage_offset() * t.dtype.itemsize, t.nbytes, name)
                   for name, t in tensors.items() if t.nbytes)
    for (storage, start, size, a), (other, begin, _, b) in pairwise(spans):
        if storage == other and begin < start + size:
            raise RuntimeError(f"tensors {a!r} and {b!r} share memory, which this format cannot store: leave one out, "
                               "save a .clone() of it, or use diya.save")


def _read(source: Any) -> dict[str, Tensor]:
    if source.size < 8:
        raise CheckpointError(f"the file has {source.size} bytes; the length of the header alone takes 8")
    n = int.from_bytes(source.read(0, 8), "little")
    if n > min(MAX_HEADER, source.size - 8):
        raise CheckpointError(f"the header is said to have {n} bytes; the file has {source.size}, and at most "
                              f"{MAX_HEADER} are allowed: it is cut short, damaged or not a safetensors file")
    header = _parse(source.read(8, n))
    start, size = 8 + n, source.size - 8 - n
    _check_metadata(header.pop("__metadata__", None))
    found = sorted(((*_describe(name, about), name) for name, about in header.items()), key=lambda item: item[:2])
    at = 0
    for begin, end, _, _, name in found:
        if begin != at:
            raise CheckpointError(f"tensor {name!r:.80} begins at {begin}, where {at} is expected: tensors overlap or "
                                  "leave a hole")
        at = end
    if at != size:
        raise CheckpointError(f"the tensors take {at} bytes, and the file has {size} after its header: it is cut short "
                              "or damaged")
    tensors = {}
    for begin, end, d, shape, name in found:
        tensors[name] = from_node(engine.leaf(Buffer(source.array(start + begin, end - begin)), type_of(shape, d)))
    return {name: tensors[name] for name in header}


def _parse(text: bytes) -> dict[str, Any]:
    import json
    if text[:1] != b"{":
        raise CheckpointError("the header is not a JSON object: this is not a safetensors file")
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the header is not valid JSON: {error}") from None
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise CheckpointError("the header names something twice")
    return result


def _check_metadata(metadata: Any) -> None:
    if metadata is not None and (type(metadata) is not dict or not all(type(v) is str for v in metadata.values())):
        raise CheckpointError("the header's '__metadata__' is not made of strings")


def _describe(name: str, about: Any) -> tuple[int, int, dtypes.dtype, tuple[int, ...]]:
    """(begin, end, dtype, shape) of a tensor, checked against each other."""
    if type(about) is not dict or set(about) != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(f"tensor {name!r:.80} is not described by a dtype, a shape and data_offsets")
    d, shape, offsets = about["dtype"], about["shape"], about["data_offsets"]
    if type(d) is not str or d not in _DTYPES:
        raise CheckpointError(f"tensor {name!r:.80} has dtype {d!r:.40}, which is not supported, only "
                              f"{', '.join(_DTYPES)}")
    for what, values in (("shape", shape), ("data_offsets", offsets)):
        if type(values) is not list or len(values) > 64 or not all(type(v) is int and 0 <= v < 1 << 63 for v in values):
            raise CheckpointError(f"tensor {name!r:.80} has {what} that are not a list of sizes")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CheckpointError(f"tensor {name!r:.80} has data_offsets that are not a begin and an end")
    numel, nonzero = 1, 1
    for n in shape:
        numel, nonzero = numel * n, nonzero * max(n, 1)
    nbytes = numel * _DTYPES[d].itemsize
    if nbytes != offsets[1] - offsets[0] or nonzero * _DTYPES[d].itemsize >= 1 << 63:
        raise CheckpointError(f"tensor {name!r:.80} of shape {shape} and dtype {d} takes {nbytes} bytes, and is given "
                              f"{offsets[1] - offsets[0]}")
    return offsets[0], offsets[1], _DTYPES[d], tuple(shape)
