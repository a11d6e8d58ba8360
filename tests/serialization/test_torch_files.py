"""Files that PyTorch 2.13 wrote (record.py says how) load as what they hold, or are refused by name."""

import collections
import io
from pathlib import Path

import numpy as np
import pytest

import diya
from diya.nn.parameter import Parameter
from diya.serialization import CheckpointError, load

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("file", ["values.pt", "protocol4.pt"])
@pytest.mark.parametrize("mmap", [False, True])
def test_values(file, mmap):
    v = load(DATA / file, mmap=mmap)
    assert type(v["w"]) is Parameter and v["w"] is v["same"] and v["w"].requires_grad
    assert v["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert v["t"].stride() == (1, 3) and v["t"].data_ptr() == v["w"].data_ptr()
    assert v["none"] is None and v["flags"] == [True, False] and v["marked"].tag == "kept"
    assert v["ints"] == [0, 255, 256, 65535, 65536, -1, -(2**31), 2**31, 2**63, -(2**100)]
    assert v["float"] == -1.5 and v["inf"] == float("inf") and v["str"] == "grüße \U0001f4a1"
    assert v["bytes"] == b"\x00\xffabc" and v["bytearray"] == bytearray(b"zz") and v["complex"] == 1 - 2j
    assert v["tuples"] == ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)) and v["set"] == {1, "x", (1, 2)}
    assert v["lists"][0] is v["lists"][1] == [1, 2]
    assert type(v["ordered"]) is collections.OrderedDict and list(v["ordered"].items()) == [("b", 1), ("a", 2)]
    assert type(v["counter"]) is collections.Counter and v["counter"] == {3: 2, 5: 1}
    assert v[7] == "int key" and v[(1, "k")] == "tuple key"
    assert type(v["size"]) is type(v["w"].shape) and v["size"] == (2, 3)
    assert v["dtypes"] == [diya.float16, diya.bool] and v["device"] == diya.device("cpu")
    assert v["scalar"].shape == () and v["scalar"].item() == 3.5 and v["empty"].shape == (0, 3)
    assert v["grad"].requires_grad and v["grad"].is_leaf
    assert v["conj"].tolist() == [1 - 2j] and v["neg"].tolist() == [-2]


def test_views_share_one_storage():
    base, strided, permuted, expanded, empty = load(DATA / "values.pt")["views"]
    whole = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    for got, expected in zip((base, strided, permuted, expanded, empty),
                             (whole, whole[1:, ::2], whole.transpose(2, 0, 1), np.broadcast_to(whole[0, 0], (3, 4)),
                              whole[2:]), strict=True):
        assert got.shape == expected.shape and np.array_equal(got._to_array(), expected)
    assert permuted.stride() == (1, 12, 4) and expanded.stride() == (0, 1) and strided.storage_offset() == 12
    base[0, 0, 0] = 99
    assert expanded[2, 0].item() == 99 and permuted[0, 0, 0].item() == 99


def test_every_dtype():
    each = load(DATA / "values.pt")["each"]
    for name, t in each.items():
        assert t.dtype.name == name and t.to(diya.complex128).real.tolist() == [0, 1, 1]
    assert len(each) == 15


def test_training_state():
    state = load(DATA / "training.pt")
    assert state["model"]["b.weight"].shape == (3, 4) and state["model"]._metadata["a"] == {"version": 1}
    assert state["optimizer"]["param_groups"][0]["params"] == [0, 1, 2, 3]
    assert state["optimizer"]["state"][0]["step"].item() == 2
    assert state["schedule"]["milestones"] == collections.Counter({2: 2, 5: 1})


def test_no_checksums():
    assert load(DATA / "no_checksums.pt")["x"].tolist() == [0, 1, 2]


def test_sparse_tensors():
    file = load(DATA / "sparse.pt")
    assert {name: str(x.layout) for name, x in file.items()} == {
        name: f"torch.sparse_{'coo' if name == 'uncoalesced' else name}" for name in file}
    assert all(x.to_dense().tolist() == [[1, 0], [0, 1]] for name, x in file.items() if name != "uncoalesced")
    assert file["coo"].is_coalesced() and not file["uncoalesced"].is_coalesced()
    assert file["uncoalesced"].to_dense().tolist() == [3, 0]
    again = io.BytesIO()
    diya.save(file, again)
    again.seek(0)
    assert repr(load(again)) == repr(file)


def test_the_format_before_1_6():
    assert load(DATA / "legacy.pt")["x"].tolist() == [0, 1, 2]
    data = (DATA / "legacy.pt").read_bytes()
    for size in range(14, len(data), 7):
        with pytest.raises(CheckpointError):
            load(io.BytesIO(data[:size]))


def test_tensors_in_plain_pickles():
    storage = (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00X\r\x00\x00\x00little_endianq\x01\x88s."
               b"\x80\x02(X\x07\x00\x00\x00storageq\x00ctorch\nFloatStorage\nq\x01X\x01\x00\x00\x007q\x02X\x03\x00\x00\x00cpuq\x03K\x03Ntq\x04Q."
               b"\x80\x02]q\x00X\x01\x00\x00\x007q\x01a." + (3).to_bytes(8, "little") + np.arange(3, dtype="<f4").tobytes())
    found = diya.storage._load_from_bytes(storage)
    t = diya._utils._rebuild_tensor_v2(found, 1, (2,), (1,), True, {})
    assert found.tolist() == [0, 1, 2] and t.tolist() == [1, 2] and t.requires_grad


@pytest.mark.parametrize(("file", "message"), [
    ("script.pt", "TorchScript"), ("float8.pt", "torch.float8_e4m3fn.*dtype"),
    ("model.pt", r"torch.nn.modules.linear.Linear.*state_dict\(\)"),
    ("numpy_scalar.pt", "numpy.*scalar.*from_numpy"), ("frozenset.pt", "builtins.frozenset")])
def test_refused(file, message):
    with pytest.raises(CheckpointError, match=message):
        load(DATA / file)
    with pytest.raises(CheckpointError, match=message):
        load(io.BytesIO((DATA / file).read_bytes()))
