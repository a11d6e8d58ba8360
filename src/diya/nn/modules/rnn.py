"""Recurrent layers and cells."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable
from typing import Any

import diya

from ...autograd.modes import modes
from ...ops.again import remembered
from ...tensor import Tensor
from .. import functional as F
from .. import init
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from .module import Module

__all__ = ["RNNBase", "RNN", "LSTM", "GRU", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell"]

State = tuple[Tensor, ...]  # (h,), or (h, c) of an LSTM


# -- one step ----------------------------------------------------------------------------------------------------------
# Each takes what the input contributes (x·W_ihᵀ + b_ih), the state and the other weights, and gives the next state.

def _rnn_tanh_step(gates: Tensor, state: State, w_hh: Tensor, b_hh: Tensor | None, w_hr: Tensor | None = None) -> State:
    return ((gates + F.linear(state[0], w_hh, b_hh)).tanh(),)


def _rnn_relu_step(gates: Tensor, state: State, w_hh: Tensor, b_hh: Tensor | None, w_hr: Tensor | None = None) -> State:
    return ((gates + F.linear(state[0], w_hh, b_hh)).relu(),)


def _lstm_step(gates: Tensor, state: State, w_hh: Tensor, b_hh: Tensor | None, w_hr: Tensor | None = None) -> State:
    h, c = state
    i, f, g, o = (gates + F.linear(h, w_hh, b_hh)).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if w_hr is None else F.linear(h, w_hr)), c


def _gru_step(gates: Tensor, state: State, w_hh: Tensor, b_hh: Tensor | None, w_hr: Tensor | None = None) -> State:
    h = state[0]
    r_x, z_x, n_x = gates.chunk(3, -1)
    r_h, z_h, n_h = F.linear(h, w_hh, b_hh).chunk(3, -1)
    z = (z_x + z_h).sigmoid()
    n = (n_x + n_h * (r_x + r_h).sigmoid()).tanh()
    return ((h - n) * z + n,)


_STEPS: dict[str, Callable[..., State]] = {
    "RNN_TANH": remembered(_rnn_tanh_step), "RNN_RELU": remembered(_rnn_relu_step), "LSTM": remembered(_lstm_step),
    "GRU": remembered(_gru_step)}


# -- one layer, one direction ------------------------------------------------------------------------------------------

def _scan(step: Callable[..., State], x: Tensor, state: State, weights: tuple, reverse: bool) -> tuple[Tensor, State]:
    """Steps through x (T, N, ·). Returns the outputs (T, N, ·) and the last state."""
    w_ih, b_ih, *rest = weights
    gates = F.linear(x, w_ih, b_ih).unbind(0)  # one product for all times
    outputs = []
    for g in reversed(gates) if reverse else gates:
        state = step(g, state, *rest)
        outputs.append(state[0])
    if reverse:
        outputs.reverse()
    return diya.stack(outputs), state


def _scan_packed(step: Callable[..., State], data: Tensor, batch_sizes: list[int], state: State, weights: tuple,
                 reverse: bool) -> tuple[Tensor, State]:
    """As `_scan`, of packed data: the sequences that still run at time t are the first ``batch_sizes[t]``."""
    w_ih, b_ih, *rest = weights
    gates = F.linear(data, w_ih, b_ih).split(batch_sizes)
    outputs = []
    if reverse:
        # From the end, where few sequences run; the others join, from their initial state, as time goes back.
        initial, state = state, tuple(s[:batch_sizes[-1]] for s in state)
        running = batch_sizes[-1]
        for g, size in zip(reversed(gates), reversed(batch_sizes), strict=True):
            if size > running:
                state = tuple(diya.cat([s, s0[running:size]]) for s, s0 in zip(state, initial, strict=True))
                running = size
            state = step(g, state, *rest)
            outputs.append(state[0])
        outputs.reverse()
        return diya.cat(outputs), state
    finished: list[State] = []  # the last states of sequences that have ended, the shortest first
    running = batch_sizes[0]
    for g, size in zip(gates, batch_sizes, strict=True):
        if size < running:
            finished.append(tuple(s[size:] for s in state))
            state = tuple(s[:size] for s in state)
            running = size
        state = step(g, state, *rest)
        outputs.append(state[0])
    if finished:
        finished.append(state)
        state = tuple(diya.cat(parts) for parts in zip(*reversed(finished), strict=True))
    return diya.cat(outputs), state


def _run_layers(mode: str, x: Tensor, hx: State, layers: list[tuple], directions: int, dropout: float, train: bool,
                batch_sizes: list[int] | None) -> tuple[Tensor, State]:
    """All layers. ``hx`` are (layers·directions, N, ·); so are the states returned."""
    step = _STEPS[mode]
    initial = list(zip(*(h.unbind(0) for h in hx), strict=True))
    last: list[State] = []
    for at in range(0, len(layers), directions):
        if at and dropout > 0 and train:
            x = F.dropout(x, dropout, True)
        outputs = []
        for direction in range(directions):
            state, weights = initial[at + direction], layers[at + direction]
            if batch_sizes is None:
                out, state = _scan(step, x, state, weights, direction == 1)
            else:
                out, state = _scan_packed(step, x, batch_sizes, state, weights, direction == 1)
            outputs.append(out)
            last.append(state)
        x = outputs[0] if directions == 1 else diya.cat(outputs, -1)
    return x, tuple(diya.stack(states) for states in zip(*last, strict=True))


def apply_permutation(tensor: Tensor, permutation: Tensor, dim: int = 1) -> Tensor:
    """``tensor`` with ``dim`` reordered."""
    warnings.warn("`apply_permutation` is deprecated, please use `tensor.index_select(dim, permutation)` instead",
                  FutureWarning, stacklevel=2)
    return tensor.index_select(dim, permutation)


class RNNBase(Module):
    """What RNN, LSTM and GRU share: weights, checks and the walk over layers."""

    __constants__ = ["mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout",
                     "bidirectional", "proj_size"]
    __jit_unused_properties__ = ["all_weights"]

    def __init__(self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
                 device=None, dtype=None) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        directions = 2 if bidirectional else 1
        if not isinstance(dropout, numbers.Number) or not 0 <= dropout <= 1 or isinstance(dropout, bool):
            raise ValueError("dropout should be a number in range [0, 1] representing the probability of an element "
                             "being zeroed")
        if dropout > 0 and num_layers == 1:
            warnings.warn("dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                          f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                          stacklevel=3)
        if not isinstance(hidden_size, int):
            raise TypeError(f"hidden_size should be of type int, got: {type(hidden_size).__name__}")
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        gates = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}.get(mode)
        if gates is None:
            raise ValueError("Unrecognized RNN mode: " + mode)
        out_size = proj_size if proj_size > 0 else hidden_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for direction in range(directions):
                suffix = f"_l{layer}" + ("_reverse" if direction else "")
                layer_in = input_size if layer == 0 else out_size * directions
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (gates * hidden_size, layer_in), "weight_hh": (gates * hidden_size, out_size)}
                if bias:
                    shapes |= {"bias_ih": (gates * hidden_size,), "bias_hh": (gates * hidden_size,)}
                if proj_size > 0:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for name, shape in shapes.items():
                    setattr(self, name + suffix, Parameter(diya.empty(shape, device=device, dtype=dtype)))
                self._all_weights.append([name + suffix for name in shapes])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in ±1/√hidden_size."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do: the weights need not lie together."""

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._flat_weights_names]

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The weights of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def _layers(self) -> list[tuple]:
        """(w_ih, b_ih, w_hh, b_hh, w_hr) of each layer and direction."""
        out = []
        for names in self._all_weights:
            w = {name.split("_l")[0]: getattr(self, name) for name in names}
            out.append((w["weight_ih"], w.get("bias_ih"), w["weight_hh"], w.get("bias_hh"), w.get("weight_hr")))
        return out

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """RuntimeError or ValueError if the input's rank, dtype or last dimension is wrong."""
        weight = getattr(self, self._all_weights[0][0])
        if weight.dtype != input.dtype:
            raise ValueError(f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). "
                             f"Convert input: input.to({weight.dtype}), or convert model: model.to({input.dtype})")
        expected = 2 if batch_sizes is not None else 3
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError("input.size(-1) must be equal to input_size. "
                               f"Expected {self.input_size}, got {input.size(-1)}")
        if input.numel() == 0 and (batch_sizes is None and input.size(1 if self.batch_first else 0) == 0):
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")

    def _state_shape(self, batch: int, width: int) -> tuple[int, int, int]:
        return self.num_layers * (2 if self.bidirectional else 1), batch, width

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape that the initial hidden state must have."""
        if batch_sizes is not None:
            batch = int(batch_sizes[0])
        else:
            batch = input.size(0) if self.batch_first else input.size(1)
        return self._state_shape(batch, self.proj_size if self.proj_size > 0 else self.hidden_size)

    def check_hidden_size(self, hx: Tensor, expected_hidden_size: tuple[int, int, int],
                          msg: str = "Expected hidden size {}, got {}") -> None:
        """RuntimeError if the shape is not the expected one."""
        if tuple(hx.size()) != tuple(expected_hidden_size):
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.size())))

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """Checks the input and the initial state."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """The state with its batch reordered."""
        return hx if permutation is None else hx.index_select(1, permutation)

    def extra_repr(self) -> str:
        s = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size != 0:
            s += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            s += f", num_layers={self.num_layers}"
        if self.bias is not True:
            s += f", bias={self.bias}"
        if self.batch_first is not False:
            s += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            s += f", dropout={self.dropout}"
        if self.bidirectional is not False:
            s += f", bidirectional={self.bidirectional}"
        return s

    def _zero_state(self, batch: int, like: Tensor) -> Any:
        width = self.proj_size if self.proj_size > 0 else self.hidden_size
        return diya.zeros(self._state_shape(batch, width), dtype=like.dtype, device=like.device)

    def _check_ranks(self, hx: Any, batched: bool) -> None:
        rank = 3 if batched else 2
        if hx.dim() != rank:
            raise RuntimeError(f"For {'batched 3-D' if batched else 'unbatched 2-D'} input, hx should also be {rank}-D "
                               f"but got {hx.dim()}-D tensor")

    @staticmethod
    def _unsqueeze_state(hx: Any) -> Any:
        return hx.unsqueeze(1)

    @staticmethod
    def _as_state(hx: Any) -> State:
        return (hx,)

    @staticmethod
    def _from_state(state: State) -> Any:
        return state[0]

    def forward(self, input, hx=None):
        """``input`` (L, N, input_size), batch first if the layer says so, unbatched (L, input_size), or packed.

        Returns the outputs of the last layer at every time, and the last state of every layer and direction.
        """
        packed = isinstance(input, PackedSequence)
        batch_sizes = sorted_indices = unsorted_indices = None
        batched = True
        x: Tensor
        if packed:
            x, batch_sizes, sorted_indices, unsorted_indices = input
            batch = int(batch_sizes[0])
        else:
            x = input
            if x.dim() not in (2, 3):
                raise ValueError(f"{self._family()}: Expected input to be 2D or 3D, got {x.dim()}D instead")
            batched = x.dim() == 3
            if not batched:
                x = x.unsqueeze(0 if self.batch_first else 1)
            batch = x.size(0 if self.batch_first else 1)
        if hx is None:
            hx = self._zero_state(batch, x)
        else:
            if not packed:
                self._check_ranks(hx, batched)
                if not batched:
                    hx = self._unsqueeze_state(hx)
            hx = self.permute_hidden(hx, sorted_indices)
        self.check_forward_args(x, hx, batch_sizes)
        if self.batch_first and not packed:
            x = x.transpose(0, 1)
        start = self._as_state(hx)
        if self.mode == "LSTM" and modes.autocast is not None:  # PyTorch has an operator for it, which runs in half precision
            x, *start = (modes.autocast.tensor(t, modes.autocast.dtype) for t in (x, *start))
        out, state = _run_layers(self.mode, x, tuple(start), self._layers(), 2 if self.bidirectional else 1,
                                 self.dropout, self.training, None if batch_sizes is None else batch_sizes.tolist())
        hidden = self._from_state(state)
        if packed:
            return (PackedSequence(out, batch_sizes, sorted_indices, unsorted_indices),
                    self.permute_hidden(hidden, unsorted_indices))
        if self.batch_first:
            out = out.transpose(0, 1)
        if not batched:
            out = out.squeeze(0 if self.batch_first else 1)
            hidden = self._from_state(tuple(s.squeeze(1) for s in state))
        return out, hidden

    def _family(self) -> str:
        return "RNN" if self.mode.startswith("RNN") else self.mode


class RNN(RNNBase):
    """h = tanh(W_ih x + b_ih + W_hh h + b_hh), or with ``relu``, in layers."""

    def __init__(self, *args, **kwargs):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if len(args) > 3:
            nonlinearity = args[3]
            args = args[:3] + args[4:]
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity == "tanh":
            mode = "RNN_TANH"
        elif nonlinearity == "relu":
            mode = "RNN_RELU"
        else:
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(mode, *args, **kwargs)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997), with an optional projection of h."""

    def __init__(self, *args, **kwargs):
        super().__init__("LSTM", *args, **kwargs)

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape that the initial cell state must have."""
        _, batch, _ = self.get_expected_hidden_size(input, batch_sizes)
        return self._state_shape(batch, self.hidden_size)

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden[0], self.get_expected_hidden_size(input, batch_sizes),
                               "Expected hidden[0] size {}, got {}")
        self.check_hidden_size(hidden[1], self.get_expected_cell_size(input, batch_sizes),
                               "Expected hidden[1] size {}, got {}")

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        if permutation is None:
            return hx
        return hx[0].index_select(1, permutation), hx[1].index_select(1, permutation)

    def _zero_state(self, batch: int, like: Tensor) -> Any:
        return (super()._zero_state(batch, like),
                diya.zeros(self._state_shape(batch, self.hidden_size), dtype=like.dtype, device=like.device))

    def _check_ranks(self, hx: Any, batched: bool) -> None:
        rank = 3 if batched else 2
        if hx[0].dim() != rank or hx[1].dim() != rank:
            raise RuntimeError(f"For {'batched 3-D' if batched else 'unbatched 2-D'} input, hx and cx should also be "
                               f"{rank}-D but got ({hx[0].dim()}-D, {hx[1].dim()}-D) tensors")

    @staticmethod
    def _unsqueeze_state(hx: Any) -> Any:
        return hx[0].unsqueeze(1), hx[1].unsqueeze(1)

    @staticmethod
    def _as_state(hx: Any) -> State:
        return tuple(hx)

    @staticmethod
    def _from_state(state: State) -> Any:
        return state


class GRU(RNNBase):
    """Gated recurrent unit (Cho et al., arXiv:1406.1078); the reset gate acts after the product with W_hn."""

    def __init__(self, *args, **kwargs):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class RNNCellBase(Module):
    """One step of a recurrent layer: weights and checks."""

    __constants__ = ["input_size", "hidden_size", "bias"]

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device=None,
                 dtype=None) -> None:
        super().__init__()
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        factory = {"device": device, "dtype": dtype}
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(diya.empty((rows, input_size), **factory))
        self.weight_hh = Parameter(diya.empty((rows, hidden_size), **factory))
        self.register_parameter("bias_ih", Parameter(diya.empty(rows, **factory)) if bias else None)
        self.register_parameter("bias_hh", Parameter(diya.empty(rows, **factory)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in ±1/√hidden_size."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        s = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            s += f", bias={self.bias}"
        nonlinearity = self.__dict__.get("nonlinearity", "tanh")
        return s if nonlinearity == "tanh" else s + f", nonlinearity={nonlinearity}"

    def _step(self, mode: str, input: Tensor, state: State) -> State:
        """Checks the shapes and runs one step, on a batch or without one."""
        batched = input.dim() == 2
        if not batched:
            input, state = input.unsqueeze(0), tuple(s.unsqueeze(0) for s in state)
        if input.size(1) != self.input_size:
            raise RuntimeError(f"input has inconsistent input_size: got {input.size(1)} expected {self.input_size}")
        for s in state:
            if s.size(0) != input.size(0):
                raise RuntimeError(f"Input batch size {input.size(0)} doesn't match hidden0 batch size {s.size(0)}")
            if s.size(1) != self.hidden_size:
                raise RuntimeError(f"hidden0 has inconsistent hidden_size: got {s.size(1)}, expected "
                                   f"{self.hidden_size}")
        gates = F.linear(input, self.weight_ih, self.bias_ih)
        state = _STEPS[mode](gates, state, self.weight_hh, self.bias_hh)
        return state if batched else tuple(s.squeeze(0) for s in state)

    def _check_rank(self, what: str, x: Tensor) -> None:
        if x.dim() not in (1, 2):
            raise ValueError(f"{type(self).__name__}: Expected {what} to be 1D or 2D, got {x.dim()}D instead")

    def _zeros(self, input: Tensor) -> Tensor:
        shape = (input.size(0), self.hidden_size) if input.dim() == 2 else (self.hidden_size,)
        return diya.zeros(shape, dtype=input.dtype, device=input.device)


class RNNCell(RNNCellBase):
    """One step of an RNN: (N, input_size) and (N, hidden_size) to (N, hidden_size)."""

    __constants__ = ["input_size", "hidden_size", "bias", "nonlinearity"]
    nonlinearity: str

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device=None,
                 dtype=None) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=1, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        self._check_rank("input", input)
        if hx is not None:
            self._check_rank("hidden", hx)
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._step("RNN_" + self.nonlinearity.upper(), input, (self._zeros(input) if hx is None else hx,))[0]


class LSTMCell(RNNCellBase):
    """One step of an LSTM: (N, input_size) and a pair of (N, hidden_size) to the next pair."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=4, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        self._check_rank("input", input)
        if hx is None:
            zeros = self._zeros(input)
            hx = (zeros, zeros)
        for i, value in enumerate(hx):
            self._check_rank(f"hx[{i}]", value)
        h, c = self._step("LSTM", input, tuple(hx))
        return h, c


class GRUCell(RNNCellBase):
    """One step of a GRU: (N, input_size) and (N, hidden_size) to (N, hidden_size)."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=3, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        self._check_rank("input", input)
        if hx is not None:
            self._check_rank("hidden", hx)
        return self._step("GRU", input, (self._zeros(input) if hx is None else hx,))[0]
