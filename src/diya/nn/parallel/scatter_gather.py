"""Splitting a batch over GPUs, of which there are none: refused where used."""

from __future__ import annotations

from ..._absent import absent

__getattr__ = absent(__name__, "scatter scatter_kwargs gather", "diya computes on 'cpu', and there is no GPU to split a batch over")
