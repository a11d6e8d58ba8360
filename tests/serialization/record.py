"""Writes data/*.pt with PyTorch 2.13, for test_torch_files.py: run ``python record.py`` where PyTorch is installed."""

import collections
from pathlib import Path

import torch

HERE = Path(__file__).parent / "data"


class Tagged(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Linear(3, 4)
        self.b = torch.nn.Linear(4, 3)
        self.b.weight = torch.nn.Parameter(self.a.weight.detach().t())

    def forward(self, x):
        return self.b(self.a(x).relu())


def values():
    w = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    shared = [1, 2]
    base = torch.arange(24, dtype=torch.int32).reshape(2, 3, 4)
    marked = torch.arange(3.0)
    marked.tag = "kept"
    dtypes = ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "float16", "bfloat16",
              "float32", "float64", "complex64", "complex128"]
    return {
        "w": w, "same": w, "t": w.detach().t(), "none": None, "flags": [True, False], "marked": marked,
        "ints": [0, 255, 256, 65535, 65536, -1, -(2**31), 2**31, 2**63, -(2**100)], "float": -1.5, "inf": float("inf"),
        "str": "grüße \U0001f4a1", "bytes": b"\x00\xffabc", "bytearray": bytearray(b"zz"), "complex": 1 - 2j,
        "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)), "set": {1, "x", (1, 2)}, "lists": [shared, shared],
        "ordered": collections.OrderedDict(b=1, a=2), "counter": collections.Counter([3, 3, 5]), 7: "int key",
        (1, "k"): "tuple key", "size": w.shape, "dtypes": [torch.float16, torch.bool], "device": torch.device("cpu"),
        "views": [base, base[1:, ::2], base.permute(2, 0, 1), base[0, 0].expand(3, 4), base[2:]],
        "scalar": torch.tensor(3.5), "empty": torch.empty(0, 3), "grad": torch.ones(2, requires_grad=True),
        "each": {d: torch.tensor([0, 1, 1]).to(getattr(torch, d)) for d in dtypes},
        "conj": torch.tensor([1 + 2j]).conj(), "neg": torch.tensor([1 + 2j]).conj().imag,
    }


def training():
    torch.manual_seed(0)
    model = Tagged()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 2, 5])
    for _ in range(2):
        model(torch.ones(2, 3)).sum().backward()
        optimizer.step()
        schedule.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}


def main():
    import numpy as np
    HERE.mkdir(exist_ok=True)
    torch.save(values(), HERE / "values.pt")
    torch.save(values(), HERE / "protocol4.pt", pickle_protocol=4)
    torch.save(training(), HERE / "training.pt")
    torch.save({"x": torch.arange(3.0)}, HERE / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.Linear(1, 1), HERE / "model.pt")
    torch.save({"x": torch.zeros(3).to(torch.float8_e4m3fn)}, HERE / "float8.pt")
    torch.save([np.float64(1.0)], HERE / "numpy_scalar.pt")
    torch.save([frozenset([1])], HERE / "frozenset.pt")
    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.ones(1)), HERE / "script.pt")
    x = torch.eye(2)
    torch.save({"coo": x.to_sparse(), "uncoalesced": torch.sparse_coo_tensor([[0, 0]], [1.0, 2.0], (2,)), "csr": x.to_sparse_csr(),
                "csc": x.to_sparse_csc(), "bsr": x.to_sparse_bsr((1, 2)), "bsc": x.to_sparse_bsc((2, 1))}, HERE / "sparse.pt")
    torch.serialization.set_crc32_options(False)
    torch.save({"x": torch.arange(3.0)}, HERE / "no_checksums.pt")


if __name__ == "__main__":
    main()
