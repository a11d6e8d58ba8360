"""Tensors in memory that processes share (``Tensor.share_memory_``).

The storage's content moves to a named block of shared memory, and from then on counts as memory that somebody outside
looks at: writes go there at once, reads take what it holds. What `multiprocessing` sends is the block's name.
"""

from __future__ import annotations

import weakref
from multiprocessing.reduction import ForkingPickler
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

from . import engine
from .dtypes import dtype as DType
from .nn.parameter import Parameter
from .runtime.buffer import Buffer
from .storage import Storage
from .tensor import Tensor, _from_storage

_blocks: weakref.WeakValueDictionary[str, Storage] = weakref.WeakValueDictionary()  # of this process, by name


def share(t: Tensor) -> None:
    """Moves a tensor's storage, if it is not shared yet."""
    storage = t.untyped_storage()
    if getattr(storage, "shared", None) is not None or not storage.nbytes():
        return
    block = SharedMemory(create=True, size=storage.nbytes())
    memory = np.ndarray(storage.nbytes(), np.uint8, block.buf)
    memory[:] = storage.buffer().array
    storage.node = engine.leaf(Buffer(memory), storage.node.type)
    _adopt(storage, block)
    weakref.finalize(storage, _unlink, block)


def _adopt(storage: Any, block: SharedMemory) -> None:
    storage.exports, storage.shared = True, block
    block.close = lambda: None  # type: ignore[method-assign]  (arrays look at it until the process ends)
    _blocks[block.name] = storage


def _unlink(block: SharedMemory) -> None:
    try:
        block.unlink()
    except FileNotFoundError:  # another process was first
        pass


def _attach(name: str, nbytes: int, dtype: DType, shape: tuple, strides: tuple, offset: int, requires_grad: bool, parameter: bool,
            ) -> Tensor:
    """The tensor that another process shared."""
    storage: Any = _blocks.get(name)
    if storage is None:
        block = SharedMemory(name)
        storage = Storage.from_array(np.ndarray(nbytes, np.uint8, block.buf), dtype)
        _adopt(storage, block)
    t = _from_storage(storage, dtype, shape, strides, offset)
    if parameter:
        return Parameter(t, requires_grad)
    return t.requires_grad_() if requires_grad else t


def _reduce(t: Tensor) -> Any:
    storage: Any = t.untyped_storage()
    if getattr(storage, "shared", None) is None:
        return t.__reduce_ex__(2)
    if not t.is_leaf:
        raise RuntimeError("Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not support "
                           "crossing process boundaries. If you just want to transfer the data, call detach() on the tensor before "
                           "serializing (e.g., putting it on the queue).")
    return _attach, (storage.shared.name, storage.nbytes(), t.dtype, tuple(t.shape), tuple(t.stride()), t.storage_offset(),
                     t.requires_grad, isinstance(t, Parameter))


for _kind in (Tensor, Parameter):
    ForkingPickler.register(_kind, _reduce)
