"""Wrong calls raise what PyTorch raises: mistakes made from recorded calls, against the record in mistakes.json."""

import json

import pytest

import diya
from diya.engine import Tier

from .mistakes import PATH, chosen, function_of, mistakes, outcome

with open(PATH) as f:
    RECORD = json.load(f)

EXCEPTIONS: dict[tuple[str, str], str] = {  # (operator, mistake): why it may differ
    ("_segment_reduce.lengths", "rank of tensor 0"): "lengths are broadcast over the dimensions before the axis",
    ("addbmm", "size of tensor 2"): "its rank is looked at first", ("baddbmm", "size of tensor 2"): "its rank is looked at first",
    ("broadcast_shapes", "too many arguments"): "TypeError: an object is no shape",
    ("nn.functional.embedding_bag", "size of tensor 0"): "IndexError: rows are looked up before offsets are",
    ("nn.functional.multi_head_attention_forward", "rank of tensor 3"): "RuntimeError, as linear's",
    ("nn.functional.multi_head_attention_forward", "rank of tensor 8"): "a bias of ones in front broadcasts",
    ("scatter", "size of tensor 0"): "IndexError and RuntimeError both", ("scatter_add", "size of tensor 0"): "both, too",
}
# What a program would catch either by.
ALIKE = ({"RuntimeError", "NotImplementedError"}, {"TypeError", "AttributeError"})


def agrees(want: str, got: str, name: str) -> bool:
    if want == got or want == "crash" or any({want, got} <= kinds for kinds in ALIKE):
        return True
    if want == "ok":  # diya may be stricter, in words
        return got in ("RuntimeError", "NotImplementedError", "TypeError", "ValueError", "IndexError")
    # An object given for a flag counts by its truth, as in Python.
    return name.startswith("an object for") and got in ("ok", "TypeError", "ValueError", "RuntimeError")


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
