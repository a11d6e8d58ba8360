"""Records what PyTorch's CPU generator gives for mixed calls: ``python record.py`` where torch is installed.

Writes ``mixed.json.xz``: for a seed, calls in a random order on one generator, each with its dtype, size and numbers,
and the generator's state afterwards (as a hash), so that a cached sample or a word too many is noticed.
"""

import hashlib
import json
import lzma
import pathlib
import random

import torch

FLOATS = ["float16", "bfloat16", "float32", "float64"]
INTS = ["bool", "uint8", "int8", "int16", "int32", "int64"]
SIZES = [0, 1, 2, 5, 15, 16, 17, 31, 37, 48]
# name: (dtypes, call). The call gets an empty tensor and a generator.
CALLS = {
    "uniform": (FLOATS, lambda t, g: t.uniform_(generator=g)),
    "uniform(-1.3, 5.7)": (FLOATS, lambda t, g: t.uniform_(-1.3, 5.7, generator=g)),
    "normal": (FLOATS, lambda t, g: t.normal_(generator=g)),
    "normal(0.3, 0.02)": (FLOATS, lambda t, g: t.normal_(0.3, 0.02, generator=g)),
    "bernoulli(0.3)": (FLOATS + INTS, lambda t, g: t.bernoulli_(0.3, generator=g)),
    "exponential(1.7)": (FLOATS, lambda t, g: t.exponential_(1.7, generator=g)),
    "cauchy(0.7, 1.7)": (FLOATS, lambda t, g: t.cauchy_(0.7, 1.7, generator=g)),
    "log_normal(0.7, 0.7)": (FLOATS, lambda t, g: t.log_normal_(0.7, 0.7, generator=g)),
    "geometric(0.2)": (FLOATS + INTS[1:], lambda t, g: t.geometric_(0.2, generator=g)),
    "random": (FLOATS + INTS, lambda t, g: t.random_(generator=g)),
    "randint(0, None)": (FLOATS + INTS, lambda t, g: t.random_(0, None, generator=g)),
    "randint(-7, 101)": (FLOATS + INTS[2:], lambda t, g: t.random_(-7, 101, generator=g)),
    "randint(-5, 268435450)": (["int32", "int64"], lambda t, g: t.random_(-5, 268435450, generator=g)),
    "randint(-5, 268435451)": (["int32", "int64"], lambda t, g: t.random_(-5, 268435451, generator=g)),
    "randint(-9223372036854775808, None)": (["int64"], lambda t, g: t.random_(-(2**63), None, generator=g)),
    "randperm": (["int32", "int64", "float32"],
                 lambda t, g: torch.randperm(t.numel(), dtype=t.dtype, generator=g)),
}


def main() -> None:
    shuffle = random.Random(0)
    sequences = []
    for seed in (0, -3, 2**64 - 5, 1234567890123):
        generator = torch.Generator().manual_seed(seed)
        calls = [(name, dtype, n) for name, (dtypes, _) in CALLS.items() for dtype in dtypes for n in SIZES]
        calls = shuffle.sample(calls, 160)
        recorded = []
        for name, dtype, n in calls:
            t = CALLS[name][1](torch.empty(n, dtype=getattr(torch, dtype)), generator)
            numbers = t.double().tolist() if t.is_floating_point() else t.tolist()
            recorded.append([name, dtype, n, numbers])
        state = generator.get_state().numpy()[:5016].tobytes()  # up to the cached sample, which is as libm computed it
        sequences.append({"seed": seed, "calls": recorded, "state": hashlib.sha256(state).hexdigest()})
    data = json.dumps({"made with": f"PyTorch {torch.__version__}", "sequences": sequences}, separators=(",", ":"))
    pathlib.Path(__file__).with_name("mixed.json.xz").write_bytes(lzma.compress(data.encode(), preset=9))


if __name__ == "__main__":
    main()
