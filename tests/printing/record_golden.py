"""Records how PyTorch prints tensors, as `golden.json`: run it with PyTorch installed; the tests need only the file.

Each case holds the options, and either an expression over ``torch`` or the bytes, dtype and shape of the numbers.
"""

import base64
import json
import random
from pathlib import Path

import torch

EXPRESSIONS = """
torch.tensor(1)
torch.tensor(1.5)
torch.tensor(2.)
torch.tensor(True)
torch.tensor(1e-5)
torch.tensor(-1234567.)
torch.tensor(1 + 2j)
torch.tensor(float('nan'))
torch.tensor(float('inf'), requires_grad=True)
torch.tensor(3, dtype=torch.uint8)
torch.tensor([])
torch.tensor([], dtype=torch.int64)
torch.zeros(0, 3)
torch.zeros(2, 0, dtype=torch.float64)
torch.zeros(3)
torch.ones(2, 3)
torch.arange(10)
torch.arange(10.)
torch.arange(1000)
torch.arange(1001)
torch.arange(1001.)
torch.arange(30).reshape(2, 3, 5)
torch.arange(10000.).reshape(100, 100)
torch.arange(100000).reshape(10, 100, 100)
torch.arange(2000.).reshape(2, 1000)
torch.arange(2000.).reshape(1000, 2)
torch.arange(2000.).reshape(2, 5, 2, 10, 10)
torch.arange(6.).reshape(2, 3).t()
torch.arange(6.).reshape(2, 3)[:, 1]
torch.zeros(1).expand(1000, 1000)
torch.tensor([[True, False], [False, False]])
torch.tensor([-1, 100, 5])
torch.tensor([255, 0], dtype=torch.uint8)
torch.tensor([1., 2.5, float('nan')])
torch.tensor([1., 2., float('nan'), float('inf'), -float('inf')])
torch.tensor([1e-3, 1.])
torch.tensor([1e-3, 1.1])
torch.tensor([1., 1001.])
torch.tensor([1., 1000.])
torch.tensor([1e8, 1.1e8])
torch.tensor([1e9])
torch.tensor([0.0001])
torch.tensor([0.00009])
torch.tensor([-0., 0.])
torch.tensor([-0., 0.5])
torch.tensor([0.1, 0.2], dtype=torch.float16)
torch.tensor([0.1, 300.], dtype=torch.bfloat16)
torch.tensor([0.1], dtype=torch.float64)
torch.tensor([1 + 1j, -1 - 1.5j])
torch.tensor([1 + 1j, 2 - 3j])
torch.tensor([0j, complex('nan'), complex(0., -0.)])
torch.tensor([1e5 + 1e-3j], dtype=torch.complex128)
torch.ones(3, requires_grad=True)
torch.ones(3, requires_grad=True) + 1
torch.ones(3, requires_grad=True) * 2
torch.ones(3, requires_grad=True).sum()
(torch.ones(3, requires_grad=True) + 1).detach()
torch.ones(2, 3, requires_grad=True) @ torch.ones(3, 2)
torch.ones(2, 3, requires_grad=True).exp()
torch.ones(20, 20, requires_grad=True).log()
torch.ones(2, 3, dtype=torch.float64, requires_grad=True) + 1
torch.arange(100, dtype=torch.int16)
torch.arange(13, dtype=torch.float64)
torch.tensor([2**63 - 1, -2**63])
torch.ones(2, 3).bool()
""".split("\n")[1:-1]

OPTIONS = [{"precision": 2}, {"precision": 0}, {"precision": 10}, {"linewidth": 40}, {"linewidth": 5}, {"edgeitems": 1},
           {"edgeitems": 0}, {"threshold": 5}, {"threshold": 5, "edgeitems": 1}, {"sci_mode": True}, {"sci_mode": False},
           {"profile": "short"}, {"profile": "full", "linewidth": 200}, {"profile": "short", "precision": 6}]
OPTION_SAMPLES = """
torch.arange(24.).reshape(2, 3, 4) / 7
torch.arange(40)
torch.tensor([1., 2., 300.])
torch.tensor([[1 + 2.5j, 3e4 - 1e-3j]])
torch.tensor(0.123456789)
""".split("\n")[1:-1]


def show(tensor, options):
    torch.set_printoptions(profile="default")
    torch.set_printoptions(**options)
    return repr(tensor)


def random_case(random: random.Random) -> dict:
    dtypes = [torch.bool, torch.uint8, torch.int8, torch.int32, torch.int64, torch.float16, torch.bfloat16,
              torch.float32, torch.float32, torch.float64, torch.complex64, torch.complex128]
    dtype = random.choice(dtypes)
    shape = [random.randrange(1, 6) for _ in range(random.randrange(4))]
    real = torch.randn(shape, dtype=torch.float64) * random.choice([1, 10, 1e-3, 1e-5, 1e5, 1e9])
    special = random.choice([0., -0., float("inf"), float("-inf"), float("nan"), 1.])
    real = torch.where(torch.rand(shape) < random.choice([0, 0, 0.3, 0.9]), special, real)
    if random.random() < 0.2:
        real = real.round()
    if dtype.is_complex:
        real = torch.complex(real, torch.randn(shape, dtype=torch.float64) * random.choice([1, 1e4]))
    elif not dtype.is_floating_point:
        real = real.nan_to_num(0, 100, -100).clamp(-1000, 1000)
    tensor = real.to(dtype)
    options = random.choice([{}, {}, *OPTIONS])
    flat = tensor.reshape(-1)
    raw = b"" if not flat.numel() else flat.view(torch.uint8).numpy().tobytes()
    return {"dtype": str(dtype)[6:], "shape": shape, "data": base64.b64encode(raw).decode(), "options": options,
            "text": show(tensor, options)}


def main() -> None:
    cases = [{"expression": e, "options": {}, "text": show(eval(e), {})} for e in EXPRESSIONS]
    cases += [{"expression": e, "options": o, "text": show(eval(e), o)} for e in OPTION_SAMPLES for o in OPTIONS]
    torch.manual_seed(0)
    generator = random.Random(0)
    cases += [random_case(generator) for _ in range(300)]
    lines = ",\n".join(json.dumps(case) for case in cases)
    Path(__file__).with_name("golden.json").write_text(f"[\n{lines}\n]\n")
    print(f"{len(cases)} cases of PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
