"""The CPU back end: what the host can do, loading of compiled code, threads, and the routine that runs programs."""
