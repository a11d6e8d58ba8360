"""The generator's numbers are PyTorch's: recorded values (``recorded.json.xz``, ``mixed.json.xz``), state, Philox."""

import copy
import hashlib
import json
import lzma
import math
import pathlib
import pickle
import threading

import numpy as np
import pytest

import diya as torch
from diya import dtypes, philox, sampling
from diya.random import Generator


def load(name):
    return json.loads(lzma.decompress(pathlib.Path(__file__).with_name(name).read_bytes()))


RECORDED = load("recorded.json.xz")["values"]
MIXED = load("mixed.json.xz")["sequences"]

f64 = torch.float64
EXPRESSIONS = {
    "rand(7)": lambda: torch.rand(7),
    "rand(5) float64": lambda: torch.rand(5, dtype=f64),
    "rand(3,5) then rand(4)": lambda: [torch.rand(3, 5), torch.rand(4)],
    "randn(5)": lambda: torch.randn(5),
    "randn(15)": lambda: torch.randn(15),
    "randn(16)": lambda: torch.randn(16),
    "randn(20)": lambda: torch.randn(20),
    "randn(37)": lambda: torch.randn(37),
    "randn(5) float64": lambda: torch.randn(5, dtype=f64),
    "randn(20) float64": lambda: torch.randn(20, dtype=f64),
    "randn(3) then randn(3) then rand(2)": lambda: [torch.randn(3), torch.randn(3), torch.rand(2)],
    "randn(2,3,7)": lambda: torch.randn(2, 3, 7),
    "randint(10,(12,))": lambda: torch.randint(10, (12,)),
    "randint(-5,5,(6,))": lambda: torch.randint(-5, 5, (6,)),
    "randint(0,2**40,(4,))": lambda: torch.randint(0, 2**40, (4,)),
    "randperm(10)": lambda: torch.randperm(10),
    "randperm(1000)[:20]": lambda: torch.randperm(1000)[:20],
    "empty(()).random_() int64": lambda: torch.empty((), dtype=torch.int64).random_(),
    "empty(6).uniform_(-2,3)": lambda: torch.empty(6).uniform_(-2, 3),
    "empty(6).normal_(1,2)": lambda: torch.empty(6).normal_(1, 2),
    "empty(20).normal_(1,2)": lambda: torch.empty(20).normal_(1, 2),
    "empty(8).bernoulli_(0.3)": lambda: torch.empty(8).bernoulli_(0.3),
    "bernoulli(full((8,),.3))": lambda: torch.bernoulli(torch.full((8,), 0.3)),
    "empty(6).exponential_()": lambda: torch.empty(6).exponential_(),
    "multinomial([1,2,3,4.],3)": lambda: torch.multinomial(torch.tensor([1, 2, 3, 4.0]), 3),
    "multinomial([1,2,3,4.],8,True)": lambda: torch.multinomial(torch.tensor([1, 2, 3, 4.0]), 8, True),
}


def listed(x):
    return [listed(v) for v in x] if isinstance(x, (list, tuple)) else x.tolist()


def close(got, expected):
    if isinstance(expected, list):
        return len(got) == len(expected) and all(close(g, e) for g, e in zip(got, expected, strict=True))
    return got == expected or abs(got - expected) <= 2e-15 * abs(expected)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_recorded_values(expression):
    for seed, expected in RECORDED[expression].items():
        torch.manual_seed(int(seed))
        assert close(listed(EXPRESSIONS[expression]()), expected), (seed, expression)


MODULES = {
    "Linear(3,4)": lambda: torch.nn.Linear(3, 4),
    "Conv2d(2,3,3)": lambda: torch.nn.Conv2d(2, 3, 3),
    "Embedding(5,4)": lambda: torch.nn.Embedding(5, 4),
    "LSTM(3,4)": lambda: torch.nn.LSTM(3, 4),
    "MultiheadAttention(8,2)": lambda: torch.nn.MultiheadAttention(8, 2),
    "init.kaiming_normal_(empty(4,5))": lambda: torch.nn.init.kaiming_normal_(torch.empty(4, 5)),
    "init.xavier_uniform_(empty(4,5))": lambda: torch.nn.init.xavier_uniform_(torch.empty(4, 5)),
}


@pytest.mark.parametrize("expression", MODULES)
def test_recorded_parameters(expression):
    for seed, expected in RECORDED[expression].items():
        torch.manual_seed(int(seed))
        made = MODULES[expression]()
        got = made.tolist() if isinstance(made, torch.Tensor) else [p.tolist() for p in made.parameters()]
        for g, e in zip(got, expected, strict=True):
            assert np.allclose(np.array(g), np.array(e), rtol=3e-7, atol=0), (seed, expression)


def test_dropout_noise_is_what_pytorch_multiplies_with():
    for seed, expected in RECORDED["dropout(ones(10),0.5)"].items():
        noise = sampling.dropout_noise(Generator().manual_seed(int(seed)), (10,), dtypes.float32, 0.5)
        assert noise.tolist() == expected


@pytest.mark.parametrize("sequence", MIXED, ids=lambda s: str(s["seed"]))
def test_mixed_calls_on_one_generator(sequence):
    generator = Generator().manual_seed(sequence["seed"])
    for call, dtype, n, expected in sequence["calls"]:
        name, _, arguments = call.rstrip(")").partition("(")
        arguments = [None if a == "None" else float(a) if "." in a else int(a) for a in arguments.split(", ") if a]
        shape = n if name == "randperm" else (n,)
        array = getattr(sampling, name)(generator, shape, dtype, *arguments)
        assert array.dtype == dtypes.BY_NAME[dtype].numpy
        got = dtypes.load_array(array, dtypes.BY_NAME[dtype])
        if dtype == "float64":
            tolerance = 1e-12 if name == "cauchy" else 2e-15
            assert np.allclose(got, expected, rtol=tolerance, atol=1e-16), (call, dtype, n)
        else:
            assert got.tolist() == expected, (call, dtype, n)
    state = generator.get_state_bytes()[:5016].tobytes()
    assert hashlib.sha256(state).hexdigest() == sequence["state"]


def test_large_draws_continue_small_ones():
    whole = Generator().manual_seed(9)
    parts = Generator().manual_seed(9)
    expected = whole.words32(5000)
    assert np.array_equal(np.concatenate([parts.words32(n) for n in (1, 623, 1, 0, 700, 3675)]), expected)


def test_normal_in_chunks_is_normal_at_once(monkeypatch):
    expected = sampling.normal(Generator().manual_seed(1), (1000,), "float32")
    monkeypatch.setattr(sampling, "_CHUNK", 64)
    assert np.array_equal(sampling.normal(Generator().manual_seed(1), (1000,), "float32"), expected)


def test_moments():
    generator = Generator().manual_seed(0)
    x = sampling.normal(generator, (200_000,), "float32", 1.0, 2.0)
    assert abs(x.mean() - 1) < 0.02 and abs(x.std() - 2) < 0.02
    z = sampling.normal(generator, (100_000,), "complex64")
    assert abs(np.abs(z).std() ** 2 + np.abs(z).mean() ** 2 - 1) < 0.02


def fisher_yates(words, n):
    a = list(range(n))
    for i in range(n - 1):
        j = i + int(words[i]) % (n - i)
        a[i], a[j] = a[j], a[i]
    return a


def inside_out(words, n):
    a = [0] * n
    for i in range(n):
        z = int(words[i]) % (i + 1)
        a[i] = a[z]
        a[z] = i
    return a


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 100, 2000])
def test_shuffles_equal_their_loops(n):
    words = Generator().manual_seed(n).words32(max(n - 1, 0))
    assert sampling._shuffle(Generator().manual_seed(n), n).tolist() == fisher_yates(words, n)
    words = Generator().manual_seed(n).words64(n)
    assert sampling._shuffle_inside_out(Generator().manual_seed(n), n).tolist() == inside_out(words, n)


def test_tensors_are_filled_in_the_order_of_their_memory():
    for fill in (lambda t: t.uniform_(), lambda t: t.bernoulli_(0.5), lambda t: t.random_(9), lambda t: t.exponential_()):
        torch.manual_seed(0)
        dense = fill(torch.empty(4, 3, 5))
        torch.manual_seed(0)
        permuted = fill(torch.empty(4, 3, 5).permute(2, 0, 1))
        assert permuted.permute(1, 2, 0).tolist() == dense.tolist()
    torch.manual_seed(0)
    scalars = [torch.empty(()).normal_().item() for _ in range(20)]
    torch.manual_seed(0)
    assert torch.empty(5, 4).t().normal_().t().flatten().tolist() == pytest.approx(scalars, rel=2e-7)
    row = torch.zeros(3, 20)
    torch.manual_seed(0)
    row[1].normal_()
    torch.manual_seed(0)
    assert row[1].tolist() == torch.randn(20).tolist() and row[0].abs().sum() == 0


def test_half_precisions_never_reach_the_open_end():
    for dtype in ("float16", "bfloat16"):
        x = sampling.uniform(Generator().manual_seed(0), (100_000,), dtype)
        x = dtypes.load_array(x, dtypes.BY_NAME[dtype])
        assert x.min() == 0 and x.max() < 1


# ---- seeds and state


def test_state_is_pytorchs_layout():
    generator = Generator().manual_seed(123)
    state = generator.get_state_bytes()
    assert state.shape == (5056,) and state.dtype == np.uint8
    head = state[:24].view(np.int64)
    assert head[0] == 123 and head[2] == 0 and state[8:16].view(np.int32).tolist() == [1, 1]
    assert state[24:32].view(np.uint64)[0] == 123
    generator.words32(1)
    state = generator.get_state_bytes()
    assert state[8:16].view(np.int32).tolist() == [624, 1] and state[16:24].view(np.int64)[0] == 1


@pytest.mark.parametrize("spent", [0, 1, 623, 624, 625, 1000])
def test_state_restores_the_stream_and_the_cached_sample(spent):
    generator = Generator().manual_seed(5)
    generator.words32(spent)
    generator.normals(1)
    generator.philox_state(10)
    twin = Generator()
    twin.set_state_bytes(generator.get_state_bytes())
    assert np.array_equal(twin.get_state_bytes(), generator.get_state_bytes())
    for other in (twin, generator.clone_state(), copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))):
        g = copy.copy(generator)
        assert other.initial_seed() == 5
        assert np.array_equal(other.normals(3), g.normals(3))
        assert np.array_equal(other.words32(700), g.words32(700))
        assert other.philox_state(1) == g.philox_state(1)


def test_state_tensors():
    state = torch.get_rng_state()
    assert state.dtype == torch.uint8 and state.shape == (5056,)
    a = torch.rand(3).tolist()
    torch.set_rng_state(state)
    assert torch.rand(3).tolist() == a
    with pytest.raises(TypeError, match="ByteTensor"):
        torch.set_rng_state(torch.zeros(5056))
    with pytest.raises(TypeError, match="ByteTensor"):
        torch.default_generator.set_state([1])
    with pytest.raises(RuntimeError, match="size 5056 but found .* 10"):
        torch.set_rng_state(torch.zeros(10, dtype=torch.uint8))
    with pytest.raises(RuntimeError, match="Invalid mt19937 state"):
        torch.set_rng_state(torch.zeros(5056, dtype=torch.uint8))


def test_seeds():
    generator = Generator()
    assert generator.initial_seed() == 67280421310721
    assert generator.manual_seed(-1) is generator and generator.initial_seed() == 2**64 - 1
    assert torch.manual_seed(-(2**63)).initial_seed() == 2**63
    assert torch.initial_seed() == 2**63
    assert torch.manual_seed(np.int64(3)).initial_seed() == 3
    for seed in (2**64, -(2**63) - 1):
        with pytest.raises(ValueError, match="long long"):
            generator.manual_seed(seed)
    for seed in (1.5, "1", True):
        with pytest.raises(RuntimeError, match="expected a long"):
            generator.manual_seed(seed)
    assert generator.seed() == generator.initial_seed() != Generator().seed()
    assert torch.seed() == torch.initial_seed()
    with pytest.raises(RuntimeError, match="device"):
        Generator("no-such-device")


def test_fork_rng_leaves_no_trace():
    torch.manual_seed(1)
    expected = torch.rand(3).tolist()
    torch.manual_seed(1)
    with torch.random.fork_rng():
        torch.randn(7)
        torch.manual_seed(99)
    assert torch.rand(3).tolist() == expected
    with torch.random.fork_rng(enabled=False):
        torch.manual_seed(1)
    assert torch.rand(3).tolist() == expected


def test_threads_share_a_generator_without_losing_numbers():
    generator = Generator().manual_seed(0)
    drawn = []

    def draw():
        for _ in range(200):
            drawn.append(generator.normals(3))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    numbers = np.concatenate(drawn)
    assert len(np.unique(numbers)) == 2400
    expected = Generator().manual_seed(0).normals(2400)
    assert np.allclose(np.sort(numbers), np.sort(expected), rtol=1e-13)


# ---- errors


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda g: sampling.uniform(g, (2,), "float32", 2, 1), RuntimeError, "from=2 > to=1"),
    (lambda g: sampling.uniform(g, (2,), "float32", -math.inf, 1), RuntimeError, "out of bounds for float"),
    (lambda g: sampling.uniform(g, (2,), "float32", -3e38, 3e38), RuntimeError, "exceed the limit"),
    (lambda g: sampling.uniform(g, (2,), "int64"), NotImplementedError, "'Long'"),
    (lambda g: sampling.normal(g, (2,), "float32", 0, -1), RuntimeError, "std >= 0.0, but found std -1"),
    (lambda g: sampling.normal(g, (2,), "int64"), NotImplementedError, "normal_kernel_cpu"),
    (lambda g: sampling.bernoulli(g, (2,), "float32", 1.5), RuntimeError, r"p to be in \[0, 1\], but got p=1.5"),
    (lambda g: sampling.bernoulli_each(g, np.array([1.5]), "float64", "float32"), RuntimeError, "p_in <= 1"),
    (lambda g: sampling.exponential(g, (2,), "float32", 0), RuntimeError, "lambda > 0.0, but found lambda=0"),
    (lambda g: sampling.exponential(g, (2,), "int64"), RuntimeError, "continuous"),
    (lambda g: sampling.geometric(g, (2,), "float32", 0), RuntimeError, r"p to be in \(0, 1\), but got p=0"),
    (lambda g: sampling.cauchy(g, (2,), "float32", 0, -1), RuntimeError, "sigma > 0.0, but found sigma=-1"),
    (lambda g: sampling.log_normal(g, (2,), "float32", 0, 0), RuntimeError, "std > 0.0, but found std=0"),
    (lambda g: sampling.randint(g, (2,), "int64", 5, 5), RuntimeError, "from=5 >= to=5"),
    (lambda g: sampling.randint(g, (2,), "uint8", 0, 300), RuntimeError, "to - 1 is out of bounds for unsigned char"),
    (lambda g: sampling.randint(g, (2,), "uint8", -1, 3), RuntimeError, "from is out of bounds for unsigned char"),
    (lambda g: sampling.randint(g, (2,), "complex64", 0, 3), NotImplementedError, "ComplexFloat"),
    (lambda g: sampling.random(g, (2,), "uint32"), NotImplementedError, "UInt32"),
    (lambda g: sampling.randperm(g, -1), RuntimeError, "negative dimension -1"),
    (lambda g: sampling.randperm(g, 300, "uint8"), RuntimeError, "without overflow"),
    (lambda g: sampling.randperm(g, 5, "bool"), NotImplementedError, "'Bool'"),
    (lambda g: sampling.multinomial(g, np.ones(3), "float64", 4), RuntimeError, "without replacement"),
    (lambda g: sampling.multinomial(g, np.ones(3), "float64", 0), RuntimeError, "n_sample <= 0"),
    (lambda g: sampling.multinomial(g, np.array([-1.0, 1]), "float64", 1), RuntimeError, "element < 0"),
    (lambda g: sampling.multinomial(g, np.zeros(3), "float64", 2), RuntimeError, "sum of probabilities <= 0"),
    (lambda g: sampling.multinomial(g, np.zeros(3), "float64", 2, True), RuntimeError, "sum of probabilities <= 0"),
    (lambda g: sampling.multinomial(g, np.ones((1, 1, 1)), "float64", 1), RuntimeError, "1 or 2 dim"),
    (lambda g: sampling.multinomial(g, np.ones(3, np.int64), "int64", 1), RuntimeError, "floating-point"),
])
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(Generator())


# ---- counter-based numbers


def test_philox_known_answers():
    """The vectors of Random123's ``kat_vectors`` for philox4x32 10."""
    vectors = [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
         (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
    ]
    for counter, key, expected in vectors:
        got = philox.encrypt(tuple(np.array([c], np.uint64) for c in counter), key)
        assert tuple(int(w[0]) for w in got) == expected


def test_philox_is_a_function_of_the_position():
    whole = philox.philox_bits(2**40 + 7, 2**32 - 2, 41)
    assert np.array_equal(philox.philox_bits(2**40 + 7, 2**32, 33), whole[8:])
    assert np.array_equal(philox.philox_bits(2**40 + 7, 2**32 - 2, 5), whole[:5])
    x = philox.philox_uniform(1, 0, 100_000)
    assert x.dtype == np.float32 and 0 <= x.min() and x.max() < 1 and abs(x.mean() - 0.5) < 0.005
    assert philox.philox_uniform(1, 0, 0).shape == (0,)


def test_philox_states_do_not_overlap_and_leave_the_words_alone():
    generator = Generator().manual_seed(3)
    assert [generator.philox_state(n) for n in (5, 4, 1, 0, 9)] == [(3, 0), (3, 2), (3, 3), (3, 4), (3, 4)]
    assert np.array_equal(generator.words32(4), Generator().manual_seed(3).words32(4))
    assert generator.manual_seed(3).philox_state(1) == (3, 0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_many_numbers_are_drawn_in_pieces(dtype, monkeypatch):
    d = getattr(dtypes, dtype)

    def draws():
        out = []
        for n in (100_003, 1 << 16):
            g = Generator().manual_seed(n)
            out += [sampling.normal(g, (n,), d), sampling.uniform(g, (n,), d, -2.0, 3.0), sampling.normal(g, (7,), d)]
        return out
    whole = draws()
    monkeypatch.setattr(sampling, "_PIECE", 1 << 12)
    for a, b in zip(draws(), whole, strict=True):
        np.testing.assert_array_equal(a, b)
