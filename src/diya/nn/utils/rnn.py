"""Sequences of several lengths: padded, and packed without padding."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable

import diya

from ...tensor import Tensor

__all__ = ["PackedSequence", "invert_permutation", "pack_padded_sequence", "pad_packed_sequence", "pad_sequence",
           "unpad_sequence", "pack_sequence", "unpack_sequence"]

PackedSequence_ = namedtuple("PackedSequence_", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])
PackedSequence_.__annotations__ = {"data": Tensor, "batch_sizes": Tensor, "sorted_indices": Tensor | None,
                                   "unsorted_indices": Tensor | None}


class PackedSequence(PackedSequence_):
    """A batch of sequences, time by time: ``data`` holds the steps of all that still run, ``batch_sizes`` how many run
    at each time. ``sorted_indices`` brought the batch into order of decreasing length."""

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("PackedSequence takes data and batch_sizes, or one pair of them")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError("batch_sizes should always be on CPU. Instances of PackedSequence should never be created "
                             "manually. They should be instantiated by functions like pack_sequence and "
                             "pack_padded_sequences in nn.utils.rnn. https://pytorch.org/docs/stable/nn.html#torch.nn."
                             "utils.rnn.pack_sequence")
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def pin_memory(self) -> PackedSequence:
        """With its data in page-locked memory."""
        return type(self)(self.data.pin_memory(), self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def to(self, *args, **kwargs) -> PackedSequence:
        """With its data moved and cast as `Tensor.to` does; itself if nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        return type(self)(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def cuda(self, *args, **kwargs) -> PackedSequence:
        """On a GPU."""
        return self.to(self.data.cuda(*args, **kwargs).device)

    def cpu(self, *args, **kwargs) -> PackedSequence:
        """On the CPU."""
        return self.to("cpu")

    def double(self) -> PackedSequence:
        return self.to(dtype=diya.float64)

    def float(self) -> PackedSequence:
        return self.to(dtype=diya.float32)

    def half(self) -> PackedSequence:
        return self.to(dtype=diya.float16)

    def long(self) -> PackedSequence:
        return self.to(dtype=diya.int64)

    def int(self) -> PackedSequence:
        return self.to(dtype=diya.int32)

    def short(self) -> PackedSequence:
        return self.to(dtype=diya.int16)

    def char(self) -> PackedSequence:
        return self.to(dtype=diya.int8)

    def byte(self) -> PackedSequence:
        return self.to(dtype=diya.uint8)

    @property
    def is_cuda(self) -> bool:
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Whether the data is in page-locked memory."""
        return self.data.is_pinned()


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that takes ``permutation`` back."""
    if permutation is None:
        return None
    if permutation.dim() != 1:
        raise RuntimeError(f"a permutation is a 1-D tensor, got {permutation.dim()}-D")
    output = diya.empty_like(permutation)
    output.scatter_(0, permutation, diya.arange(0, permutation.numel(), device=permutation.device))
    return output


def pack_padded_sequence(input: Tensor, lengths: Tensor | list[int], batch_first: bool = False,
                         enforce_sorted: bool = True) -> PackedSequence:
    """Packs (T, B, *), or (B, T, *), of which sequence i is valid up to ``lengths[i]``.

    With ``enforce_sorted`` the lengths must decrease; otherwise the batch is sorted, and unsorted again by
    `pad_packed_sequence`.
    """
    if not isinstance(lengths, Tensor):
        lengths = diya.as_tensor(lengths, dtype=diya.int64, device="cpu")
    else:
        lengths = lengths.to(dtype=diya.int64)
    sorted_indices = None
    if not enforce_sorted:
        lengths, sorted_indices = diya.sort(lengths, descending=True)
        input = input.index_select(0 if batch_first else 1, sorted_indices)
    steps = lengths.tolist()  # pyright: ignore[reportAttributeAccessIssue]
    if batch_first:
        input = input.transpose(0, 1)
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    if len(steps) != input.size(1):
        raise RuntimeError(f"Expected `len(lengths)` to be equal to batch_size, but got {len(steps)} (batch_size="
                           f"{input.size(1)})")
    if steps[-1] <= 0:
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element in 'lengths' that is "
                           "<= 0")
    if any(a < b for a, b in zip(steps, steps[1:], strict=False)):
        raise RuntimeError("`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can "
                           "pass "
                           "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this "
                           "requirement if you do not need ONNX exportability.")
    if steps[0] > input.size(0):
        raise RuntimeError(f"Expected all lengths to be at most the padded length {input.size(0)}, got {steps[0]}")
    parts, sizes, start = [], [], 0
    for running in range(len(steps), 0, -1):  # the shortest sequence that still runs ends the next block of times
        stop = steps[running - 1]
        if stop > start:
            parts.append(input[start:stop, :running].reshape(-1, *input.shape[2:]))
            sizes += [running] * (stop - start)
            start = stop
    return PackedSequence(diya.cat(parts), diya.tensor(sizes, dtype=diya.int64), sorted_indices, None)


def pad_packed_sequence(sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
                        total_length: int | None = None) -> tuple[Tensor, Tensor]:
    """The padded batch (T, B, *), or (B, T, *), and the lengths."""
    sizes = sequence.batch_sizes.tolist()
    longest = len(sizes)
    if total_length is not None:
        if total_length < longest:
            raise ValueError("Expected total_length to be at least the length of the longest sequence in input, but "
                             "got "
                             f"total_length={total_length} and max sequence length being {longest}")
        longest = total_length
    data = sequence.data
    batch = sizes[0]
    output = diya.full((longest, batch, *data.shape[1:]), padding_value, dtype=data.dtype, device=data.device)
    at = t = 0
    while t < len(sizes):  # blocks of times with one batch size are copied at once
        running, start = sizes[t], t
        while t < len(sizes) and sizes[t] == running:
            t += 1
        n = running * (t - start)
        output[start:t, :running] = data[at:at + n].view(t - start, running, *data.shape[1:])
        at += n
    lengths = diya.tensor([sum(1 for size in sizes if size > i) for i in range(batch)], dtype=diya.int64)
    if batch_first:
        output = output.transpose(0, 1)
    if sequence.unsorted_indices is not None:
        at_dim = 0 if batch_first else 1
        return output.index_select(at_dim, sequence.unsorted_indices), lengths[sequence.unsorted_indices]
    return output, lengths


def pad_sequence(sequences: Tensor | list[Tensor], batch_first: bool = False, padding_value: float = 0.0,
                 padding_side: str = "right") -> Tensor:
    """Stacks sequences (L_i, *) into (T, B, *), or (B, T, *), padded to the longest."""
    if not isinstance(sequences, Iterable):
        raise RuntimeError("pad_sequence: Expected iterable for input sequences, but got arg of type: "
                           f"{type(sequences)}")
    items = list(sequences.unbind(0)) if isinstance(sequences, Tensor) else list(sequences)
    if not items:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"padding_side should be one of 'right' or 'left', but got {padding_side}")
    longest = max(item.size(0) for item in items)
    rest = items[0].shape[1:]
    output = diya.full((len(items), longest, *rest), padding_value, dtype=items[0].dtype, device=items[0].device)
    for i, item in enumerate(items):
        if tuple(item.shape[1:]) != tuple(rest):
            raise RuntimeError(f"sequences must agree in all but the first dimension: got {list(item.shape)} at {i}, "
                               f"expected [*, {', '.join(map(str, rest))}]")
        n = item.size(0)
        if n:
            part = output[i, :n] if padding_side == "right" else output[i, longest - n:]
            part.copy_(item)
    return output if batch_first else output.transpose(0, 1).contiguous()


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences that `pad_sequence` padded."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [row[:n] for row, n in zip(padded_sequences.unbind(0), lengths.tolist(), strict=True)]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs sequences (L_i, *)."""
    lengths = diya.as_tensor([v.size(0) for v in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences that `pack_sequence` packed."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


def bind(optional, fn):
    """``fn(optional)``, or None for None."""
    return None if optional is None else fn(optional)
