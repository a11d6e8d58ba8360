"""The one error that a bad file gives."""

from __future__ import annotations

from pickle import UnpicklingError


class CheckpointError(UnpicklingError, RuntimeError):
    """A file that cannot be loaded: damaged, hostile, or holding what is not allowed.

    PyTorch raises ``pickle.UnpicklingError`` for what a file may not hold and ``RuntimeError`` for a damaged container;
    this is both, so that a handler written for either catches it.
    """
