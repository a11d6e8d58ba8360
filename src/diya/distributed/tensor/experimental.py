"""Operators over several processes, of which there are none."""

from ..._absent import absent

__getattr__ = absent(__name__, "context_parallel context_parallel_unshard implicit_replication local_map register_sharding",
                     "diya runs in one process")
