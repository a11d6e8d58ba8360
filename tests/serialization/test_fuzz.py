"""Damaged files load as what they were or raise the one error: quickly, in no more memory than they take."""

import io
import json
import time
import tracemalloc

import numpy as np
import pytest
from helpers import archive, name, program, same, tensor, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import diya
from diya.nn.parameter import Parameter
from diya.serialization import CheckpointError, load, safetensors, save

SETTINGS = settings(max_examples=400, deadline=None, derandomize=True,
                    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def checkpoint() -> bytes:
    base = diya.arange(64, dtype=diya.float32)
    stream = io.BytesIO()
    save({"w": Parameter(diya.ones(3, 4)), "views": [base, base[::2], base.reshape(8, 8).t()], "step": 3, "lr": [0.1,
                                                                                                                 None,
                                                                                                                 "x"],
          "half": diya.ones(5, dtype=diya.bfloat16), "set": {1, 2}, "shape": base.shape, "big": 2**100}, stream)
    return stream.getvalue()


CHECKPOINT = checkpoint()
CONTENT = load(io.BytesIO(CHECKPOINT))
TENSORS = {"a": diya.arange(12, dtype=diya.float32).reshape(3, 4), "b": diya.ones(3, dtype=diya.int8),
           "c": diya.tensor(1.5)}
SAFETENSORS = safetensors.save(TENSORS, {"format": "pt"})


def attempt(read, data: bytes):
    """What is read, or None if it is refused; checks time and memory."""
    tracemalloc.start()
    begin = time.perf_counter()
    try:
        result = read(data)
    except CheckpointError as error:
        assert len(str(error)) < 2000
        result = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert time.perf_counter() - begin < 5 and peak < 100 * len(data) + (1 << 20)
    return result


def load_bytes(data: bytes):
    return load(io.BytesIO(data))


def damage(draw, data: bytes) -> bytes:
    """Flips, overwrites, cuts, repeats and moves bytes."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(out) - 1, 0)))
        kind = draw(st.sampled_from(["flip", "set", "word", "cut", "drop", "copy"]))
        if not out:
            break
        if kind == "flip":
            out[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set":
            out[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, ord("("), ord("."), ord("R")]))
        elif kind == "word":
            word = draw(st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"PK\5\6", b"\xff" * 8,
                                         b"PK\1\2"]))
            out[at:at + len(word)] = word
        elif kind == "cut":
            del out[at:]
        elif kind == "drop":
            del out[at:at + draw(st.integers(1, 40))]
        else:
            n = draw(st.integers(1, 60))
            to = draw(st.integers(0, len(out)))
            out[to:to] = out[at:at + n]
    return bytes(out)


@SETTINGS
@given(st.data())
def test_damaged_checkpoints(data):
    result = attempt(load_bytes, damage(data.draw, CHECKPOINT))
    assert result is None or same(result, CONTENT)


@pytest.mark.parametrize("bit", [0, 7])
def test_every_single_flip(bit):
    for at in range(0, len(CHECKPOINT), 3):
        data = bytearray(CHECKPOINT)
        data[at] ^= 1 << bit
        try:
            assert same(load_bytes(bytes(data)), CONTENT), at
        except CheckpointError:
            pass


def test_every_truncation():
    for n in range(len(CHECKPOINT)):
        with pytest.raises(CheckpointError):
            load_bytes(CHECKPOINT[:n])


PICKLE = program(b"}q\0(", text("w"), tensor(), text("x"), b"](K\1G@\0\0\0\0\0\0\0e", text("o"),
                 name("collections", "OrderedDict"), b")R(", text("a"), tensor(size=(6,), stride=(1,)), b"u}",
                 text("_metadata"),
                 b"]sb", text("b"), name("_codecs", "encode"), text("ab"), text("latin1"), b"\x86R", b"u")


@SETTINGS
@given(st.data())
def test_damaged_pickles_with_good_checksums(data):
    attempt(load_bytes, archive(damage(data.draw, PICKLE)))


PARTS = [b"(", b")", b"t", b"]", b"}", b"a", b"e", b"s", b"u", b"R", b"b", b"Q", b"N", b"\x88", b"K\1", b"K\0",
         b"\x85", b"\x86",
         b"\x87", b"q\0", b"q\1", b"h\0", b"h\1", b"\x8f", b"\x90", b"\x94", text("storage"), text("0"), text("cpu"),
         text("_metadata"),
         b"J\6\0\0\0", b"\x8a\x09" + b"\xff" * 8 + b"\x7f", b"G@\0\0\0\0\0\0\0", tensor(), tensor(size=(6,), stride=(1,
                                                                                                                     )),
         *(name(m, n) for m, n in [("torch", "FloatStorage"), ("torch", "Size"), ("torch", "float32"), ("torch",
                                                                                                        "device"),
                                   ("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_parameter"),
                                   ("torch._tensor", "_rebuild_from_type_v2"), ("torch", "Tensor"), ("builtins", "set"),
                                   ("builtins", "bytearray"), ("collections", "OrderedDict"), ("collections",
                                                                                               "Counter"),
                                   ("_codecs", "encode"), ("os", "system")])]


@SETTINGS
@given(st.lists(st.sampled_from(PARTS), max_size=40))
def test_random_programs(parts):
    attempt(load_bytes, archive(program(*parts)))
    attempt(load_bytes, archive(program(b"(", *parts, b"t")))


@SETTINGS
@given(st.data())
def test_damaged_safetensors(data):
    result = attempt(safetensors.load, damage(data.draw, SAFETENSORS))
    for t in (result or {}).values():
        t._to_array()


JSON = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(-1, 2**70), st.floats(),
                              st.sampled_from(["F32", "I8", "", "x"])),
                    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(
                        ["dtype", "shape", "data_offsets", "x", "__metadata__"]), inner, max_size=3)), max_leaves=8)


@SETTINGS
@given(JSON, JSON, JSON, st.dictionaries(st.sampled_from(["a", "b", "__metadata__"]), JSON, max_size=2))
def test_random_safetensors_headers(dtype, shape, offsets, more):
    for header in ({**more, "t": {"dtype": dtype, "shape": shape, "data_offsets": offsets}},
                   {**more, "t": {"dtype": "F32", "shape": shape, "data_offsets": [0, 8]}},
                   {**more, "t": {"dtype": "F32", "shape": [2], "data_offsets": offsets}}):
        head = json.dumps(header).encode()
        attempt(safetensors.load, len(head).to_bytes(8, "little") + head + b"\0" * 8)


PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**200), 2**200), st.floats(allow_nan=False),
              st.text(max_size=20), st.binary(max_size=20),
              st.complex_numbers(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.tuples(inner), st.tuples(inner, inner, inner, inner),
                            st.dictionaries(st.one_of(st.text(max_size=5), st.integers(-(2**63), 2**63 - 1)), inner,
                                            max_size=4),
                            st.sets(st.one_of(st.text(max_size=5), st.integers(-9, 9)), max_size=4)), max_leaves=20)


@SETTINGS
@given(PLAIN)
def test_plain_values_come_back(value):
    stream = io.BytesIO()
    save(value, stream)
    stream.seek(0)
    assert same(load(stream), value)


@settings(SETTINGS, max_examples=100)
@given(st.lists(st.integers(0, 4), max_size=4), st.data())
def test_views_come_back(shape, data):
    base = diya.tensor(np.arange(int(np.prod(shape)), dtype=np.int16).reshape(shape))
    view = base.permute(*data.draw(st.permutations(range(len(shape))))) if shape else base
    for d, n in enumerate(view.shape):
        begin = data.draw(st.integers(0, n))
        view = view[(slice(None),) * d + (slice(begin, None, data.draw(st.integers(1, 3))),)]
    stream = io.BytesIO()
    save([base, view], stream)
    stream.seek(0)
    after = load(stream)
    assert same(after, [base, view])
