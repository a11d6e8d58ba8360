"""diya.save and diya.load: what goes in comes out, sharing and all, and files appear whole or not at all."""

import collections
import gc
import io
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from helpers import same

import diya
from diya.nn.parameter import Parameter
from diya.serialization import CheckpointError, load, save


def roundtrip(obj, **options):
    stream = io.BytesIO()
    save(obj, stream)
    stream.seek(0)
    return load(stream, **options)


def everything():
    base = diya.arange(24, dtype=diya.float32).reshape(2, 3, 4)
    return {
        "p": Parameter(diya.ones(2, 2)), "frozen": Parameter(diya.ones(2), requires_grad=False),
        "views": [base, base[1:, ::2], base.permute(2, 0, 1), base[0, 0].expand(3, 4), base[2:]],
        "each": [diya.tensor([0, 1]).to(d) for d in diya.dtypes.ALL], "scalar": diya.tensor(2.5),
        "empty": diya.empty(0, 3),
        "plain": [None, True, False, 0, 255, 256, 65535, 65536, -1, 2**31, -(2**63), 2**500, 1.5, -0.0, 1 - 2j, "",
                  "ü\ud800\n", b"", b"\xff\n", bytearray(b"x"), (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {},
                  set(), {1, "a"}],
        "ordered": collections.OrderedDict(b=1, a=2), "counter": collections.Counter("aab"),
        "size": base.shape, "dtype": diya.bfloat16, "devices": [diya.device("cpu"), diya.device("cuda", 1)],
        (1, ("a", None)): "key", 1.5: 0, None: 1, b"k": 2,
    }


def test_everything_comes_back():
    before = everything()
    after = roundtrip(before)
    assert same(before, after)
    assert type(after["p"]) is Parameter and after["p"].requires_grad and not after["frozen"].requires_grad
    assert same(after, roundtrip(after))


def test_identity_and_memory_are_shared_as_before():
    weight, cell = Parameter(diya.zeros(3, 2)), [1]
    state = roundtrip({"encoder": weight, "decoder": weight, "t": weight.detach().t(), "cells": [cell, cell, (cell,)]})
    assert state["encoder"] is state["decoder"]
    assert state["cells"][0] is state["cells"][1] is state["cells"][2][0]
    with diya.no_grad():
        state["encoder"][0, 1] = 5.0
    assert state["t"][1, 0].item() == 5.0


def test_shared_storage_is_stored_once(tmp_path):
    base = diya.zeros(1000)
    save([base, base[10:], base.reshape(10, 100).t()], tmp_path / "x.pt")
    assert os.path.getsize(tmp_path / "x.pt") < 6000


def test_attributes_come_back():
    t, p = diya.ones(2), Parameter(diya.ones(2))
    t.tag, p.groups = "kept", {"lr": [0.1]}
    state = collections.OrderedDict(t=t, p=p)
    state._metadata = {"version": 1}
    after = roundtrip(state)
    assert after["t"].tag == "kept" and after["p"].groups == {"lr": [0.1]} and after._metadata == {"version": 1}


def test_a_loaded_tensor_trains():
    w = roundtrip({"w": Parameter(diya.ones(3))})["w"]
    (w * w).sum().backward()
    assert w.grad.tolist() == [2, 2, 2]


def test_pending_work_is_saved():
    x = diya.ones(4)
    y = x * 3
    x.add_(1)
    assert roundtrip([x, y])[0].tolist() == [2] * 4 and roundtrip([x, y])[1].tolist() == [3] * 4


def test_same_content_gives_the_same_bytes():
    a, b = io.BytesIO(), io.BytesIO()
    save(everything(), a)
    save(everything(), b)
    assert a.getvalue() == b.getvalue()


def test_entries_are_aligned_and_readable_by_zipfile(tmp_path):
    save({"a": diya.ones(3), "b": diya.ones(5, dtype=diya.float64)}, tmp_path / "model.pt")
    with zipfile.ZipFile(tmp_path / "model.pt") as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            assert info.filename.startswith("model/") and info.compress_type == zipfile.ZIP_STORED
            with open(tmp_path / "model.pt", "rb") as file:
                file.seek(info.header_offset + 26)
                header = 30 + int.from_bytes(file.read(2), "little") + int.from_bytes(file.read(2), "little")
            assert (info.header_offset + header) % 64 == 0
        assert archive.read("model/data/0") == np.ones(3, np.float32).tobytes()


@pytest.mark.parametrize("bad", [np.array(["a"]), frozenset([1]), collections.defaultdict(list), object(),
                                 print, type("N", (int,), {})(3), 1 << 5000, {1j: 0}, {1 << 70: 0}, {diya.float32: 1}],
                         ids=lambda b: type(b).__name__)
def test_what_cannot_be_stored_is_named_with_its_place(bad):
    with pytest.raises(pickle.PicklingError, match=r"obj\['x'\]\[1\]"):
        save({"x": [0, bad]}, io.BytesIO())


def test_what_has_a_state_dict_is_refused_with_advice():
    with pytest.raises(pickle.PicklingError, match=r"obj\['optimizer'\].*state_dict\(\)"):
        save({"optimizer": diya.optim.SGD([diya.ones(1)], lr=0.1)}, io.BytesIO())


def test_cycles_and_depth_are_refused():
    cycle = [1]
    cycle.append({"x": cycle})
    with pytest.raises(pickle.PicklingError, match="contains itself"):
        save((cycle,), io.BytesIO())
    deep: list = []
    for _ in range(90):
        deep = [deep]
    assert same(roundtrip(deep), deep)
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(pickle.PicklingError, match="nested"):
        save(deep, io.BytesIO())


def test_views_as_two_dtypes_are_refused_as_in_pytorch():
    x = diya.zeros(4)
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        save([x, x.view(diya.int32)], io.BytesIO())


# -- arguments ---------------------------------------------------------------------------------------------------------

def test_code_never_runs_whoever_asks(tmp_path):
    save({"a": diya.ones(2)}, tmp_path / "plain.pt")
    assert load(tmp_path / "plain.pt", weights_only=False)["a"].tolist() == [1, 1]
    hostile = io.BytesIO()
    with zipfile.ZipFile(hostile, "w") as z:
        z.writestr("x/data.pkl", b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
        z.writestr("x/version", b"3\n")
    hostile.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="os"):
        load(hostile, weights_only=False)
    with pytest.raises(RuntimeError, match="pickle_module"):
        load("nowhere.pt", pickle_module=pickle)


def test_places():
    with pytest.raises(FileNotFoundError):
        load("nowhere.pt")
    with pytest.raises(RuntimeError, match="Parent directory .* does not exist"):
        save(1, "/no/such/folder/x.pt")
    with pytest.raises(AttributeError, match="write"):
        save(1, 5)
    with pytest.raises(AttributeError, match="read"):
        load(5)
    with pytest.raises(ValueError, match="mmap"):
        load(io.BytesIO(), mmap=True)


def test_map_location():
    x = {"x": diya.ones(2)}
    seen = []
    for where in ("cpu", diya.device("cpu"), {"cuda:0": "cpu"}, lambda storage, location: seen.append(location),
                  lambda storage, location: storage):
        assert same(roundtrip(x, map_location=where), x)
    assert seen == ["cpu"]
    for where in ("cuda", {"cpu": "cuda:1"}):
        with pytest.raises((NotImplementedError, CheckpointError), match="cuda"):
            roundtrip(x, map_location=where)


def test_a_stream_may_begin_anywhere():
    stream = io.BytesIO()
    stream.write(b"before")
    save([diya.arange(3)], stream)
    stream.seek(6)
    assert load(stream)[0].tolist() == [0, 1, 2]


def test_a_stream_without_readinto_and_a_writer_that_returns_nothing():
    class Sink:
        def __init__(self):
            self.data = bytearray()

        def write(self, data):
            self.data += data

    class Reader:
        def __init__(self, data):
            self.inner = io.BytesIO(data)

        def read(self, n=-1):
            return self.inner.read(n)

        def seek(self, *where):
            return self.inner.seek(*where)

        def tell(self):
            return self.inner.tell()

    sink = Sink()
    save([diya.arange(3)], sink)
    assert load(Reader(bytes(sink.data)))[0].tolist() == [0, 1, 2]


def test_safetensors_by_extension(tmp_path):
    diya.serialization.safetensors.save_file({"x": diya.ones(2)}, tmp_path / "x.safetensors")
    assert load(tmp_path / "x.safetensors")["x"].tolist() == [1, 1]
    assert load(tmp_path / "x.safetensors", mmap=True)["x"].tolist() == [1, 1]
    os.rename(tmp_path / "x.safetensors", tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="safetensors"):
        load(tmp_path / "x.pt")


# -- memory maps -------------------------------------------------------------------------------------------------------

def test_mapped_tensors_are_private(tmp_path):
    path = tmp_path / "x.pt"
    save({"x": diya.arange(10.0), "empty": diya.empty(0)}, path)
    before = path.read_bytes()
    state = load(path, mmap=True)
    state["x"].add_(1)
    assert state["x"].tolist() == [float(i + 1) for i in range(10)] and state["empty"].numel() == 0
    assert path.read_bytes() == before
    save({"x": diya.zeros(10)}, path)  # replaces the file: the map keeps the old one
    state["x"].mul_(2)
    assert state["x"][9].item() == 20
    del state
    gc.collect()


def test_mapping_reads_nothing_until_it_is_touched(tmp_path):
    path = tmp_path / "x.pt"
    save({"x": diya.zeros(1 << 22)}, path)
    with open(path, "r+b") as file:  # damage that only reading would notice
        file.seek(1 << 20)
        file.write(b"\x01")
    assert load(path, mmap=True)["x"].shape == (1 << 22,)
    with pytest.raises(CheckpointError, match="checksum"):
        load(path)


# -- atomic writes -----------------------------------------------------------------------------------------------------

def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.pt"
    save([1], path)
    before = path.read_bytes()
    from diya.serialization import zip_writer

    def full(self):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(zip_writer.ZipWriter, "close", full)
    with pytest.raises(OSError, match="No space"):
        save([2], path)
    with pytest.raises(pickle.PicklingError):
        save([object()], path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["x.pt"]


@pytest.mark.skipif(os.name != "posix", reason="kills with a signal")
def test_a_kill_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.pt"
    save([1], path)
    before = path.read_bytes()
    code = ("import os, signal, sys\nimport diya\nfrom diya.serialization import zip_writer\n"
            "zip_writer.ZipWriter.close = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
            "diya.serialization.save([diya.ones(1000)], sys.argv[1])")
    assert subprocess.run([sys.executable, "-c", code, str(path)], env={**os.environ}).returncode == -9
    assert path.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="links and modes")
def test_links_and_modes_are_kept(tmp_path):
    real, link = tmp_path / "real.pt", tmp_path / "link.pt"
    save([1], real)
    os.chmod(real, 0o640)
    link.symlink_to(real)
    save([2], link)
    assert link.is_symlink() and load(real) == [2] and os.stat(real).st_mode & 0o777 == 0o640


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_devices_are_written_directly():
    save([1], "/dev/null")
    assert not os.path.isfile("/dev/null")
    with pytest.raises(OSError, match="No space"):
        save([1], "/dev/full")


# -- PyTorch itself, where it is installed -----------------------------------------------------------------------------

def test_pytorch_loads_what_diya_saves(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "x.pt"
    before = everything()
    save(before, path)
    for options in ({}, {"mmap": True}):
        after = torch.load(path, weights_only=True, **options)
        assert after["plain"] == before["plain"] and after["counter"] == before["counter"]
        assert isinstance(after["p"], torch.nn.Parameter) and after["size"] == torch.Size([2, 3, 4])
        assert after["views"][0].data_ptr() == after["views"][2].data_ptr()
        for ours, theirs in zip(before["views"] + before["each"], after["views"] + after["each"], strict=True):
            assert str(theirs.dtype) == f"torch.{ours.dtype.name}" and theirs.stride() == ours.stride()
            assert theirs.to(torch.complex128).tolist() == ours.to(diya.complex128).tolist()
