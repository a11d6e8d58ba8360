"""``torch.utils.model_zoo``: the old name of what `torch.hub` does."""

from __future__ import annotations

from typing import Any

from .. import hub
from ..hub import load_state_dict_from_url


def load_url(*args, **kwargs):
    """`torch.hub.load_state_dict_from_url`."""
    return load_state_dict_from_url(*args, **kwargs)


def __getattr__(name: str) -> Any:
    return getattr(hub, name)
