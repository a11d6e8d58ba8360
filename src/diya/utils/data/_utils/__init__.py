"""How the loader makes batches, in this process (``fetch``, ``collate``) or in others (``worker``, ``pool``)."""
