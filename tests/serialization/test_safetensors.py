"""The safetensors format: what the reference implementation writes and reads, and headers that lie."""

import json
import os

import numpy as np
import pytest
from helpers import same

import diya
from diya.serialization import CheckpointError
from diya.serialization.safetensors import load, load_file, save, save_file

DTYPES = [d for d in diya.dtypes.ALL if d not in (diya.complex32, diya.complex128)]


def tensors():
    made = {f"x.{d.name}": diya.tensor([[0, 1, 1], [1, 0, 1]]).to(d) for d in DTYPES}
    return {**made, "scalar": diya.tensor(2.5), "empty": diya.empty(0, 3), "part": diya.arange(10.0)[3:5],
            "ü": diya.ones(1)}


def test_everything_comes_back(tmp_path):
    before = tensors()
    save_file(before, tmp_path / "x.safetensors", {"format": "pt"})
    for after in (load_file(tmp_path / "x.safetensors"), load_file(tmp_path / "x.safetensors", mmap=True),
                  load(save(before))):
        assert after.keys() == before.keys()
        for key, t in before.items():
            assert same(after[key], t.clone())
    assert load(save({})) == {}


def test_mapped_tensors_are_private(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"x": diya.ones(5)}, path)
    before = path.read_bytes()
    x = load_file(path, mmap=True)["x"]
    x.add_(1)
    assert x.tolist() == [2] * 5 and path.read_bytes() == before


def test_the_reference_implementation_agrees(tmp_path):
    reference = pytest.importorskip("safetensors.numpy")
    skip = ("bfloat16", "complex64")  # numpy has no bfloat16; older releases of the format no complex
    ours = {name: t for name, t in tensors().items() if not name.endswith(skip)}
    theirs = reference.load(save(ours))
    assert theirs.keys() == ours.keys()
    for name, t in ours.items():
        assert np.array_equal(theirs[name], t._to_array()) and theirs[name].dtype == t.dtype.numpy
    back = load(reference.save(theirs, {"by": "reference"}))
    for name, t in ours.items():
        assert same(back[name], t.clone())
    reference.save_file(theirs, tmp_path / "x.safetensors")
    assert load_file(tmp_path / "x.safetensors").keys() == ours.keys()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"x": diya.ones(1)}, path)
    with pytest.raises(TypeError):
        save_file({"x": 1}, path)
    assert load_file(path)["x"].item() == 1 and os.listdir(tmp_path) == ["x.safetensors"]


@pytest.mark.parametrize(("bad", "error", "message"), [
    ({"x": 1}, TypeError, "int under 'x'"), ({1: diya.ones(1)}, TypeError, "name"),
    ({"__metadata__": diya.ones(1)}, TypeError, "__metadata__"),
    ({"x": diya.ones(2, 3).t()}, ValueError, "contiguous"), ({"x": diya.ones(1, dtype=diya.complex128)},
                                                             NotImplementedError, "complex128")])
def test_what_cannot_be_stored(bad, error, message):
    with pytest.raises(error, match=message):
        save(bad)


def test_shared_memory_is_refused():
    x = diya.ones(4)
    with pytest.raises(RuntimeError, match="'a' and 'b' share memory"):
        save({"a": x[:3], "b": x[2:]})
    assert set(load(save({"a": x[:2], "b": x[2:]}))) == {"a", "b"}
    with pytest.raises(TypeError, match="metadata"):
        save({}, {"a": 1})


def file(header, data=b"\0" * 8, n=None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if n is None else n).to_bytes(8, "little") + text + data


def about(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def test_good():
    assert load(file({"x": about()}))["x"].tolist() == [0, 0]


@pytest.mark.parametrize(("data", "message"), [
    (b"", "0 bytes"), (b"\0" * 7, "7 bytes"), (b"\0" * 8, "not a JSON object"), (file({"x": about()}, n=1 << 63),
                                                                                 "cut short"),
    (file({"x": about()}, n=10**8 + 1), "cut short"), (file({"x": about()}, n=1000), "cut short"),
    (file(b"[1]"), "not a JSON object"), (file(b"{"), "valid JSON"), (file(b"{}x"), "valid JSON"), (file(b"{\xff}"),
                                                                                                    "valid JSON"),
    (file(b'{"x":' + b"[" * 10**5), "valid JSON"), (file(b'{"x":' + b'{"x":' * 10**5), "valid JSON"),
    (file(b'{"x":' + b"9" * 10**5 + b"}"), "."), (file(b'{"x":1,"x":1}'), "twice"),
    (file({"x": 1}), "described"), (file({"x": {}}), "described"), (file({"x": about(more=1)}), "described"),
    (file({"x": about("F8_E4M3")}), "F8_E4M3.*not supported"), (file({"x": about(1)}), "not supported"),
    (file({"x": about(["F32"])}), "not supported"), (file({"x": about(shape=2)}), "sizes"),
    (file({"x": about(shape=(-2,))}), "sizes"),
    (file({"x": about(shape=(2.0,))}), "sizes"), (file({"x": about(shape=(True,))}), "sizes"),
    (file({"x": about(shape=(1,) * 65)}), "sizes"), (file({"x": about(shape=(1 << 70,))}), "sizes"),
    (file({"x": about(shape=(1 << 62, 1 << 62))}), "takes"),
    (file({"x": about(shape=(1 << 62, 0, 1 << 62), offsets=(0, 0))}), "takes"),
    (file({"x": about(shape=(3,))}), "takes 12"), (file({"x": about(offsets=(0,))}), "begin"),
    (file({"x": about(offsets=(8, 0))}), "begin"),
    (file({"x": about(offsets=(8, 16))}), "hole"), (file({"x": about(offsets=(0, 1 << 62))}), "takes"),
    (file({"x": about(shape=(1 << 40,), offsets=(0, 1 << 42))}), "cut short"),
    (file({"x": about(), "y": about()}), "overlap"), (file({"x": about(), "y": about(shape=(1,), offsets=(4, 8))}),
                                                      "overlap"),
    (file({"x": about(shape=(1,), offsets=(0, 4))}), "cut short"), (file({"x": about()}, b"\0" * 7), "cut short"),
    (file({"x": about(), "__metadata__": {"a": 1}}), "metadata"), (file({"x": about(), "__metadata__": []}),
                                                                   "metadata")])
def test_headers_that_lie(data, message, tmp_path):
    with pytest.raises(CheckpointError, match=message):
        load(data)
    (tmp_path / "x.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="x.safetensors"):
        load_file(tmp_path / "x.safetensors", mmap=True)
