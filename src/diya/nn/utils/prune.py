"""Pruning is not supported."""

from __future__ import annotations


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)

    def refuse(*args, **kwargs):
        raise NotImplementedError(f"torch.nn.utils.prune.{name} is not supported")

    return refuse
