"""Whole modules and other objects in a checkpoint: made of classes that are there, and nothing of a file is run."""

import enum
import io
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest

import diya
from diya import load, nn, save
from diya.nn import functional as F
from diya.serialization import add_safe_globals, clear_safe_globals, safe_globals


class Kind(enum.Enum):
    A = "a"


class Config:
    def __init__(self):
        self.kind, self.rate = Kind.A, np.float64(0.5)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.config, self.activation, self.table = Config(), F.relu, np.eye(2)
        self.layers = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.TransformerEncoderLayer(3, 1, 4))
        self.recurrent = nn.LSTM(3, 2)
        self.register_buffer("steps", diya.arange(2))

    def forward(self, x):
        return self.recurrent(self.activation(self.layers(x)))[0]


class Reduces:
    def __reduce__(self):
        return print, ("code",)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """This file under a name that a checkpoint can give: its classes are there when one is loaded."""
    here = types.ModuleType("classes_of_tests")
    for cls in (Kind, Config, Net, Reduces):
        monkeypatch.setattr(cls, "__module__", here.__name__)
        setattr(here, cls.__name__, cls)
    monkeypatch.setitem(sys.modules, here.__name__, here)


def stored(obj) -> io.BytesIO:
    file = io.BytesIO()
    save(obj, file)
    file.seek(0)
    return file


def written(pickled: bytes) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/data.pkl", pickled)
        archive.writestr("x/version", b"3\n")
    file.seek(0)
    return file


def test_a_module_comes_back_with_what_it_holds():
    net = Net().eval()
    x = diya.ones(4, 2)
    again = load(stored({"net": net}), weights_only=False)["net"]
    assert type(again) is Net and not again.training and again.activation is F.relu
    assert diya.allclose(again(x), net(x))
    assert again.config.kind is Kind.A and again.config.rate == 0.5 and again.table.tolist() == np.eye(2).tolist()
    again.train()(x).sum().backward()
    assert all(p.grad is not None for p in again.recurrent.parameters())


def test_classes_are_made_only_where_asked_for():
    with pytest.raises(pickle.UnpicklingError, match="torch.nn.modules.linear.Linear"):
        load(stored(nn.Linear(1, 1)))
    with safe_globals([nn.Linear]):
        assert load(stored(nn.Linear(1, 1))).in_features == 1
        with pytest.raises(pickle.UnpicklingError, match="Config"):
            load(stored(Config()))
    add_safe_globals([Config, Kind])
    try:
        assert load(stored(Config())).kind is Kind.A
    finally:
        clear_safe_globals()


@pytest.mark.parametrize("pickled, named", [
    (b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.", "os.system"),
    (b"\x80\x02csubprocess\nPopen\n)\x81}X\x01\x00\x00\x00ax\x01\x00\x00\x00bsb.", "subprocess.Popen"),
    (b"\x80\x02cclasses_of_tests\nReduces\n)\x81.", "Reduces"),
    (b"\x80\x02ctorch\nsave\n.", "torch.save"),
    (b"\x80\x02ctorch\nrelu\n)R.", "calls"),
    (b"\x80\x02cclasses_of_tests\nNet\n)\x81}X\x07\x00\x00\x00forwardctorch\nrelu\nsb.", "forward"),
])
def test_a_file_runs_nothing(pickled, named):
    with pytest.raises(pickle.UnpicklingError, match=named):
        load(written(pickled), weights_only=False)


def test_what_has_ways_of_its_own_is_refused():
    with pytest.raises(pickle.PicklingError, match="Reduces"):
        save(Reduces(), io.BytesIO())
    with pytest.raises(pickle.PicklingError, match="Local"):
        save(type("Local", (), {})(), io.BytesIO())
