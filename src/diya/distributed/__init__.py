"""``torch.distributed`` in a world of one process.

`is_available` says no, so programs that can do without it do. One that starts a group of one process all the same gets
it: every collective has one rank, so it returns what it is given. A world of more processes is refused where it is made.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from .._absent import absent

default_pg_timeout = timedelta(minutes=30)


class Backend(str):
    """The name of a backend."""

    UNDEFINED, GLOO, NCCL, UCC, MPI, XCCL = "undefined", "gloo", "nccl", "ucc", "mpi", "xccl"


class ReduceOp:
    """How collectives combine what the ranks give."""

    SUM, PRODUCT, MIN, MAX, AVG, BAND, BOR, BXOR, PREMUL_SUM = "sum product min max avg band bor bxor premul_sum".split()
    RedOpType = str


class ProcessGroup:
    """The group of the one process."""

    def rank(self) -> int:
        return 0

    def size(self) -> int:
        return 1

    def name(self) -> str:
        return "gloo"


class Work:
    """A collective that was asked for with ``async_op=True``. It is done."""

    def wait(self, timeout: Any = None) -> bool:
        return True

    def is_completed(self) -> bool:
        return True

    is_success = is_completed


class group:
    WORLD: ProcessGroup | None = None


class GroupMember:
    WORLD: ProcessGroup | None = None
    NON_GROUP_MEMBER = -100


def is_available() -> bool:
    return False


is_nccl_available = is_gloo_available = is_mpi_available = is_ucc_available = is_xccl_available = is_available
is_torchelastic_launched = is_available


def is_backend_available(backend: str) -> bool:
    return False


def is_initialized() -> bool:
    return group.WORLD is not None


def init_process_group(backend: str | None = None, init_method: str | None = None, timeout: Any = None, world_size: int = -1,
                       rank: int = -1, store: Any = None, group_name: str = "", pg_options: Any = None, device_id: Any = None,
                       ) -> None:
    """Starts the group of one process. Raises NotImplementedError for a world of more."""
    if is_initialized():
        raise ValueError("trying to initialize the default process group twice!")
    for name, given in (("RANK", rank), ("WORLD_SIZE", world_size)):
        if given < 0 and name not in os.environ and (init_method or "env://").startswith("env"):
            raise ValueError(f"Error initializing torch.distributed using env:// rendezvous: environment variable {name} expected, "
                             f"but not set")
    size = world_size if world_size >= 0 else int(os.environ.get("WORLD_SIZE", 1))
    if size != 1:
        raise NotImplementedError(f"torch.distributed.init_process_group is not supported for {size} processes: diya runs in one")
    group.WORLD = GroupMember.WORLD = ProcessGroup()


def destroy_process_group(group_: Any = None) -> None:
    group.WORLD = GroupMember.WORLD = None


def _world() -> ProcessGroup:
    if group.WORLD is None:
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")
    return group.WORLD


def get_rank(group: Any = None) -> int:
    return _world().rank()


def get_world_size(group: Any = None) -> int:
    return _world().size()


def get_backend(group: Any = None) -> str:
    return _world().name()


def get_process_group_ranks(group: Any) -> list[int]:
    return [0]


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    return int(os.environ.get("LOCAL_RANK", fallback_rank or 0))


def new_group(ranks: Any = None, *args, **kwargs) -> ProcessGroup:
    return _world()


def _done(async_op: bool) -> Work | None:
    _world()
    return Work() if async_op else None


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    return _done(async_op)


def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    _world()


def broadcast(tensor, src: int | None = None, group: Any = None, async_op: bool = False, group_src: int | None = None):
    """Every rank has what rank ``src`` has: here there is one."""
    return _done(async_op)


def all_reduce(tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False):
    """The reduction over one rank is its tensor."""
    return _done(async_op)


def reduce(tensor, dst: int | None = None, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False,
           group_dst: int | None = None):
    return _done(async_op)


def all_gather(tensor_list: list, tensor, group: Any = None, async_op: bool = False):
    tensor_list[0].copy_(tensor)
    return _done(async_op)


def gather(tensor, gather_list: list | None = None, dst: int | None = None, group: Any = None, async_op: bool = False,
           group_dst: int | None = None):
    if gather_list:
        gather_list[0].copy_(tensor)
    return _done(async_op)


def scatter(tensor, scatter_list: list | None = None, src: int | None = None, group: Any = None, async_op: bool = False,
            group_src: int | None = None):
    if scatter_list:
        tensor.copy_(scatter_list[0])
    return _done(async_op)


def all_gather_into_tensor(output_tensor, input_tensor, group: Any = None, async_op: bool = False):
    output_tensor.copy_(input_tensor.reshape(output_tensor.shape))
    return _done(async_op)


reduce_scatter_tensor = all_gather_into_tensor


def reduce_scatter(output, input_list: list, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False):
    output.copy_(input_list[0])
    return _done(async_op)


def all_to_all(output_tensor_list: list, input_tensor_list: list, group: Any = None, async_op: bool = False):
    output_tensor_list[0].copy_(input_tensor_list[0])
    return _done(async_op)


def all_gather_object(object_list: list, obj: Any, group: Any = None) -> None:
    _world()
    object_list[0] = obj


def gather_object(obj: Any, object_gather_list: list | None = None, dst: int | None = None, group: Any = None,
                  group_dst: int | None = None) -> None:
    _world()
    if object_gather_list is not None:
        object_gather_list[0] = obj


def broadcast_object_list(object_list: list, src: int | None = None, group: Any = None, device: Any = None,
                          group_src: int | None = None) -> None:
    _world()


_find: Callable[[str], Any] = absent(__name__, """DistBackendError DistError DistNetworkError DistStoreError FileStore HashStore
    P2POp PrefixStore TCPStore Store all_reduce_coalesced all_to_all_single batch_isend_irecv init_device_mesh DeviceMesh irecv
    isend recv send recv_object_list send_object_list scatter_object_list new_subgroups rendezvous""",
                                     "diya runs in one process")


def __getattr__(name: str) -> Any:
    if name == "distributed_c10d":
        import sys
        return sys.modules[__name__]
    if name in ("device_mesh", "fsdp", "nn", "optim", "rpc", "tensor"):
        import importlib
        return importlib.import_module(f".{name}", __name__)
    return _find(name)
