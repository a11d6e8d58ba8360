"""Recurrent networks as functions of their weights (``torch.lstm``, ``torch.lstm_cell`` and the others)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tensor import Tensor
from . import functional as F
from .modules.rnn import _STEPS, _run_layers

State = tuple[Tensor, ...]


def _network(mode: str, name: str) -> Callable:
    def run(input: Tensor, *args: Any) -> State:
        packed = isinstance(args[1], (Tensor, tuple)) and not isinstance(args[2], bool)  # (batch_sizes, hx, params, …)
        batch_sizes = args[0].tolist() if packed else None
        hx, params, has_biases, layers, dropout, train, bidirectional, *rest = args[1:] if packed else args
        batch_first = bool(rest and rest[0])
        state = tuple(hx) if mode == "LSTM" else (hx,)
        x = input.transpose(0, 1) if batch_first else input
        directions = 2 if bidirectional else 1
        size = len(params) // (layers * directions)  # weights of a direction: w_ih, w_hh, their biases, the projection's
        weights = []
        for at in range(0, len(params), size):
            own = list(params[at:at + size])
            b_ih, b_hh = own[2:4] if has_biases else (None, None)
            weights.append((own[0], b_ih, own[1], b_hh, *own[4 if has_biases else 2:]))
        out, last = _run_layers(mode, x, state, weights, directions, dropout, train, batch_sizes)
        return (out.transpose(0, 1) if batch_first else out, *last)
    run.__name__ = run.__qualname__ = name
    run.__doc__ = ("``(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)``, or with ``(data, "
                   "batch_sizes, …)`` and without ``batch_first`` for packed sequences: the outputs and the last states.")
    return run


def _cell(mode: str, name: str) -> Callable:
    def run(input: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None) -> Any:
        state = _STEPS[mode](F.linear(input, w_ih, b_ih), tuple(hx) if mode == "LSTM" else (hx,), w_hh, b_hh)
        return state if mode == "LSTM" else state[0]
    run.__name__ = run.__qualname__ = name
    run.__doc__ = "One step from the state ``hx``: the next state."
    return run


_MODES = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN_TANH", "rnn_relu": "RNN_RELU"}
lstm, gru, rnn_tanh, rnn_relu = (_network(mode, name) for name, mode in _MODES.items())
lstm_cell, gru_cell, rnn_tanh_cell, rnn_relu_cell = (_cell(mode, f"{name}_cell") for name, mode in _MODES.items())
