"""Wrong calls raise what PyTorch raises: mistakes made from recorded calls, against the record in mistakes.json."""

import json

import pytest

import diya
from diya.engine import Tier

from .mistakes import PATH, chosen, function_of, mistakes, outcome

with open(PATH) as f:
    RECORD = json.load(f)

# Where PyTorch raises and diya computes, by the beginning of the mistake's name.
LENIENT = {
    "an object for": "an object given for a flag counts by its truth, as in Python",
    "bool for": "diya computes for more types than PyTorch has kernels for",
    "complex64 for": "diya computes for more types than PyTorch has kernels for",
    "int32 for": "diya computes for more types than PyTorch has kernels for",
}
_ORDER = "another of the call's checks comes first"
EXCEPTIONS: dict[tuple[str, str], str] = {  # (operator, mistake): why it may differ
    ("_segment_reduce.lengths", "rank of tensor 0"): "lengths are broadcast over the dimensions before the axis",
    ("addbmm", "size of tensor 2"): _ORDER, ("baddbmm", "size of tensor 2"): _ORDER, ("index_copy", "size of tensor 2"): _ORDER,
    ("index_fill", "size of tensor 1"): _ORDER, ("index_fill", "rank of tensor 1"): _ORDER,
    ("index_fill", "bool for tensor 1"): _ORDER, ("index_fill", "complex64 for tensor 1"): _ORDER,
    ("scatter", "size of tensor 0"): _ORDER, ("scatter_add", "size of tensor 0"): _ORDER,
    ("narrow_copy", "argument 1 too large"): _ORDER, ("tensordot", "dims too large"): _ORDER,
    ("slice_scatter", "argument 5 too small"): _ORDER, ("norm", "string for argument 1"): _ORDER,
    ("masked.amin", "complex64 for tensor 0"): _ORDER, ("masked.argmax", "complex64 for tensor 0"): _ORDER,
    ("masked.argmin", "complex64 for tensor 0"): _ORDER, ("scatter_reduce.amax", "complex64 for tensor 0"): _ORDER,
    ("scatter_reduce.amin", "complex64 for tensor 0"): _ORDER, ("linspace.tensor_overload", "complex64 for tensor 0"): _ORDER,
    ("nn.functional.max_unpool3d", "size of tensor 0"): _ORDER, ("nn.functional.max_unpool3d.grad", "size of tensor 0"): _ORDER,
    ("nn.functional.multi_head_attention_forward", "rank of tensor 3"): _ORDER,
    ("nn.functional.multi_head_attention_forward", "rank of tensor 8"): "a mask of one broadcasts",
    ("broadcast_shapes", "argument 1 too small"): "sizes are not checked", ("broadcast_shapes", "too many arguments"): _ORDER,
    ("broadcast_shapes", "string for argument 1"): "sizes are not checked",
    ("flip", "too many arguments"): "dims may be given one by one, which stops at what is no int",
    ("dist", "string for argument 2"): "RuntimeError, as norm's",
    **{(f"nn.functional.{op}", f"string for argument {k}"): "ValueError, for a string's letters are taken for sizes"
       for op in ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "avg_pool2d", "unfold")
       for k in (1, 2, 3, 4)},
    **{("nn.functional.embedding_bag", name): _ORDER for name in (
        "bool for tensor 0", "bool for tensor 1", "complex64 for tensor 0", "complex64 for tensor 1", "int32 for tensor 1",
        "rank of tensor 0", "size of tensor 0")},
    **{(op, "rank of tensor 0"): "NotImplementedError, as for the other ranks that interpolation lacks" for op in (
        *(f"nn.functional.interpolate.{mode}" for mode in ("area", "bicubic", "bilinear", "linear", "nearest", "nearest-exact",
                                                           "trilinear")),
        "nn.functional.upsample_bilinear", "nn.functional.upsample_nearest")},
    **{("native_group_norm", f"argument {k} too {how}"): "sizes are read from the input"
       for k in (4, 5) for how in ("large", "small")},
    **{("native_group_norm", f"string for argument {k}"): "sizes are read from the input" for k in (4, 5)},
}
# What a program would catch either by.
ALIKE = ({"RuntimeError", "NotImplementedError"}, {"TypeError", "AttributeError"})


def agrees(want: str, got: str, name: str) -> bool:
    if want == got or want == "crash" or any({want, got} <= kinds for kinds in ALIKE):
        return True
    if want == "ok":  # diya may be stricter, in words
        return got in ("RuntimeError", "NotImplementedError", "TypeError", "ValueError", "IndexError")
    if name.startswith("an object for"):
        return got in ("ok", "TypeError", "ValueError", "RuntimeError")
    return got == "ok" and name.startswith(tuple(LENIENT))


@pytest.mark.parametrize(("op", "call"), [(op, call) for op, call in chosen()], ids=[op for op, _ in chosen()])
def test_class_of_the_error(op, call):
    if call["path"].startswith("torch.ops."):
        pytest.skip("an overload's argument errors are its dispatcher's")
    try:
        function = function_of(call["path"], diya)
    except AttributeError:
        pytest.skip(f"diya has no {op}")
    wrong = []
    with Tier(0):
        for name, args, kwargs in mistakes(call, diya):
            got, want = outcome(function, args, kwargs, diya), RECORD[op].get(name, "crash")
            if not agrees(want, got, name) and (op, name) not in EXCEPTIONS:
                wrong.append(f"{op}, {name}: {got}, PyTorch: {want}")
    assert not wrong, "\n".join(wrong)
