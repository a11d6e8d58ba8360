"""Discrete Fourier transforms (``torch.fft``): the operators of `diya.ops` that have their place here."""

from __future__ import annotations

from . import ops

ops.publish(globals(), "fft.")
