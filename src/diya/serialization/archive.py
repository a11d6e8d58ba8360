"""``diya.save`` and ``diya.load``: PyTorch's ``.pt`` format.

A zip archive with one folder: ``data.pkl`` is the object, ``data/<key>`` the bytes of each storage, ``byteorder`` and
``version`` say how to read them (https://docs.pytorch.org/docs/stable/notes/serialization.html).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .errors import CheckpointError

_ZIP = b"PK\3\4"
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"  # the pickled number that PyTorch wrote first before version 1.6
_VERSIONS = range(1, 11)


def save(obj: Any, f: str | os.PathLike | Any, pickle_module: Any = None, pickle_protocol: int = 2,
         _use_new_zipfile_serialization: bool = True) -> None:
    """Saves tensors, and plain containers of them, to a file that diya and PyTorch load.

    ``f`` is a path or a binary file object. A path is written atomically: what was there before stays until the new
    file is complete and on disk. Tensors that share memory are stored once and share it after loading.

    Raises ``pickle.PicklingError`` for an object that a checkpoint cannot hold, naming where in ``obj`` it is, and
    ``RuntimeError`` where the folder does not exist (https://docs.pytorch.org/docs/stable/generated/torch.save.html).
    """
    if pickle_module is not None and getattr(pickle_module, "__name__", None) != "pickle":
        raise NotImplementedError("diya.save writes pickles itself: pickle_module is not supported")
    if pickle_protocol != 2 or not _use_new_zipfile_serialization:
        raise NotImplementedError("diya.save writes PyTorch's zip format with pickle protocol 2 only")
    is_path = isinstance(f, (str, os.PathLike))
    if not is_path and not hasattr(f, "write"):
        raise AttributeError(f"expected 'f' to be a path or a file object with a write method, got {type(f).__name__}")

    from .pickler import Pickler
    from .tensors import TensorWriter
    tensors = TensorWriter()
    pickle = Pickler(tensors.reduce).dump(obj)
    if is_path:
        from .atomic import atomic_write
        folder = os.path.splitext(os.path.basename(os.fspath(f)))[0] or "archive"
        with atomic_write(f) as stream:
            _write(stream, folder, pickle, tensors.storages)
    else:
        _write(f, "archive", pickle, tensors.storages)


def _write(stream: Any, folder: str, pickle: bytes, storages: list) -> None:
    from .tensors import bytes_of
    from .zip_writer import ALIGNMENT, ZipWriter
    _need_little_endian()
    archive = ZipWriter(stream, folder)
    archive.add("data.pkl", pickle)
    archive.add(".format_version", b"1")
    archive.add(".storage_alignment", str(ALIGNMENT).encode())
    archive.add("byteorder", b"little")
    for key, storage in enumerate(storages):
        archive.add(f"data/{key}", bytes_of(storage))
    archive.add("version", b"3\n")
    archive.close()


def load(f: str | os.PathLike | Any, map_location: Any = None, pickle_module: Any = None, *,
         weights_only: bool | None = True, mmap: bool | None = None, **pickle_load_args: Any) -> Any:
    """Loads what ``save`` here or in PyTorch wrote. Never runs code from the file.

    ``f`` is a path or a seekable binary file object; a path that ends in ``.safetensors`` is read as such.
    ``map_location`` says where to put what was saved on another device: a device, a dict from device names to device
    names, or a function of (storage, device name). ``mmap=True`` maps the file: storages are read when they are first
    touched, changes stay in memory, and storages are not checked against their checksums.

    Raises CheckpointError (a ``pickle.UnpicklingError`` and a ``RuntimeError``) for a file that is damaged, in another
    format, or holds anything but tensors, numbers, strings and plain containers. With ``weights_only=False`` modules and
    objects of plain classes that the program has imported are made, too; code in a file is never run, whoever asks
    (https://docs.pytorch.org/docs/stable/generated/torch.load.html).
    """
    if pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified: leave it out")
    if pickle_load_args.keys() - {"encoding", "errors", "fix_imports"}:
        raise TypeError(f"load() got unexpected keyword arguments {sorted(pickle_load_args)}")

    if not isinstance(f, (str, os.PathLike)):
        if mmap:
            raise ValueError("f must be a file path in order to use the mmap argument")
        if not hasattr(f, "read") or not hasattr(f, "seek"):
            raise AttributeError("expected 'f' to be a path or a file object that can read and seek, got "
                                 f"{type(f).__name__}")
        from .source import StreamSource
        return _read(StreamSource(f), map_location, not weights_only)
    path = os.fspath(f)
    try:
        if path.endswith(".safetensors"):
            from . import safetensors
            return safetensors.load_file(path, device="cpu" if map_location is None else map_location, mmap=bool(mmap))
        from .source import MappedSource, StreamSource
        if mmap:
            return _read(MappedSource(path), map_location, not weights_only)
        with open(path, "rb") as stream:
            return _read(StreamSource(stream), map_location, not weights_only)
    except CheckpointError as error:
        raise CheckpointError(f"cannot load {path!r}: {error}") from error.__cause__


def _read(source: Any, map_location: Any, everything: bool) -> Any:
    from .tensors import TensorReader
    from .unpickler import Unpickler
    from .zip_reader import ZipReader
    _need_little_endian()
    place = _placement(map_location)
    if everything:
        from .. import nn  # noqa: F401  # names in files are looked up in what is loaded, as torch.nn always is
    head = source.read(0, min(source.size, 512))
    if head.startswith(_LEGACY):
        from . import legacy
        return legacy.read(source, place, everything)
    _check_format(head)
    archive = ZipReader(source)
    folder = next((name.partition("/")[0] for name in archive.entries), "")

    def entry(name: str, default: bytes | None = None) -> bytes:
        full = f"{folder}/{name}"
        if full in archive.entries:
            return archive.read(full)
        if default is None:
            raise CheckpointError(f"the archive has no {name!r}: it was not written by diya.save or torch.save")
        return default

    if f"{folder}/constants.pkl" in archive.entries:
        raise CheckpointError("this is a TorchScript program (torch.jit.save), not a checkpoint: save its state_dict() "
                              "with torch.save where it was made")
    version = entry("version").strip()
    if not version.isdigit() or len(version) > 4 or int(version) not in _VERSIONS:
        raise CheckpointError(f"format version {version!r:.40} is not supported ({_VERSIONS[0]}-{_VERSIONS[-1]} are)")
    order = entry("byteorder", b"little")
    if order != b"little":
        raise CheckpointError(f"byte order {order!r:.40} is not supported, only b'little': save the file again on a "
                              "little-endian machine")

    def size(key: str) -> int | None:
        found = archive.entries.get(f"{folder}/data/{key}")
        return None if found is None else found.size

    tensors = TensorReader(size, lambda key: archive.array(f"{folder}/data/{key}"), place, everything)
    return Unpickler(entry("data.pkl"), tensors.find_global, tensors.persistent_load).load()


def _check_format(head: bytes) -> None:
    """Raises CheckpointError, saying what the file is, unless it begins as a zip archive does."""
    if head.startswith(_ZIP):
        return
    if not head:
        raise CheckpointError("the file is empty")
    if head[257:262] == b"ustar":
        raise CheckpointError("this file is in the format of PyTorch before 0.2, which is not supported: convert it "
                              "with PyTorch, torch.save(torch.load(f), f)")
    if head[:1] == b"\x80":
        raise CheckpointError("this is a bare pickle, not a checkpoint: pickles can run any code and are never loaded")
    if head[8:9] == b"{":
        raise CheckpointError("this looks like a safetensors file: name it '.safetensors' or use "
                              "diya.serialization.safetensors.load_file")
    raise CheckpointError(f"this is not a PyTorch checkpoint: those are zip archives and begin with {_ZIP!r}, and this "
                          f"file begins with {head[:4]!r}")


def _need_little_endian() -> None:
    import sys
    if sys.byteorder != "little":
        raise NotImplementedError("saving and loading on a big-endian machine is not supported")


def _placement(map_location: Any) -> Callable[[str], Callable | None]:
    """A function from the name of a device in a file to what its storages go through: None where they stay."""
    from ..device import device, is_meta

    def stay(location: str) -> None:
        if location.partition(":")[0] != "cpu":
            raise CheckpointError(f"the file holds tensors of device {location!r:.40}, and diya computes on 'cpu': "
                                  "load it with map_location='cpu'")

    if map_location is None:
        return stay
    if isinstance(map_location, dict):
        return lambda location: stay(str(map_location.get(location, location)))
    if isinstance(map_location, (str, device)):
        if is_meta(map_location):
            from ..meta import leaf
            from ..storage import Storage
            return lambda location: lambda storage: Storage(leaf(storage.node.type))
        return lambda location: None
    if not callable(map_location):
        raise TypeError(f"map_location is a device, a string, a dict or a function, not {type(map_location).__name__}")

    def through(location: str) -> Callable:
        def move(storage):
            moved = map_location(storage, location)
            if moved is None:
                stay(location)
                return storage
            return moved
        return move
    return through
