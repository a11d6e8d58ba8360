"""``torch.distributed.rpc``: calls in other processes, of which there are none."""

from .._absent import absent

__getattr__ = absent(__name__, "BackendType PyRRef RRef RpcAgent RpcBackendOptions TensorPipeRpcBackendOptions WorkerInfo "
                     "get_worker_info init_rpc is_available remote rpc_async rpc_sync shutdown", "diya runs in one process")
