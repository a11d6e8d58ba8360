"""Random number generators: the state behind every sampled tensor.

A ``Generator`` gives the same words for a seed as PyTorch's CPU generator: MT19937 (Matsumoto and Nishimura, 1998)
seeded with ``init_genrand``. ``sampling`` turns the words into distributions. Compiled programs draw from a
counter-based stream (``philox``) under the same seed, which leaves the words of MT19937 where they are.
"""

from __future__ import annotations

import math
import os
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from . import engine
from .device import check as check_device
from .device import device as Device
from .philox import WORDS_PER_BLOCK

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["Generator", "default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed",
           "set_rng_state"]

DEFAULT_SEED = 67280421310721  # of a Generator nobody seeded, as in PyTorch: Euler's prime factor of F6
STATE_BYTES = 5056

_N = 624  # words in MT19937's state
_FEW = 1024       # pairs of words: the way to numpy's generator takes longer for fewer
_CHUNK = 1 << 14  # of words that are drawn and compared while they are in the cache
NATIVE_FROM = 1 << 21  # words drawn in this process: making code for them pays from there on
# PyTorch's layout of a state: initial seed, words left in the block, seeded?, next word, the words (8 bytes each), two
# unused doubles about a cached sample (the first and the third), that sample (double) and whether it is there, then the
# same for float32. The third double, always 0 there, carries the position of the counter-based stream.
_STATE_HEAD = struct.Struct("<QiiQ")
_STATE_TAIL = struct.Struct("<ddQi4xf?3x")


_drawn: Counter[Any] = Counter()


def pays(what: Any, n: int, least: int) -> bool:
    """Whether ``n`` more of something are drawn by compiled code: from ``least`` in this process on. The numbers are the same."""
    _drawn[what] += n
    if _drawn[what] < least:
        return False
    return engine.Tier.pinned != 0 and engine.compiler() is not None


class Generator:
    """A stream of random numbers: ``Generator(device='cpu')``.

    Equal seeds give equal numbers, and PyTorch's: the same draws from ``torch.Generator`` agree (float32 bit for bit
    where the platform's libm agrees). May be used from several threads; a draw is atomic.
    """

    def __init__(self, device: Any = "cpu"):
        self.device = check_device(Device(device))
        self._lock = RLock()
        self._seed(DEFAULT_SEED)

    # Seeds and state.

    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream of ``seed``, an integer in [-2**63, 2**64), and returns the generator."""
        if isinstance(seed, bool) or not hasattr(seed, "__index__"):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}: pass an int")
        seed = int(seed)
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"Overflow when unpacking long long: a seed lies in [-2**63, 2**64), got {seed}")
        self._seed(seed % 2**64)
        return self

    def seed(self) -> int:
        """Seeds from the system's entropy and returns that seed (53 bits, so that a double can hold it)."""
        seed = int.from_bytes(os.urandom(7), "little") & (2**53 - 1)
        self._seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed of the stream, in [0, 2**64)."""
        return self._initial_seed

    def _seed(self, seed: int) -> None:
        with self._lock:
            self._initial_seed = seed
            self._bits: Any = None  # see _engine; made at the first draw, as numpy.random is slow to import
            self._words: Any = None
            self._untouched = True
            self._cached_normal: float | None = None
            self._cached_float_normal: float | None = None
            self._philox_offset = 0

    def get_state_bytes(self) -> np.ndarray:
        """The state as 5056 bytes (uint8 array), laid out as PyTorch lays it out."""
        with self._lock:
            if self._bits is None:
                self._bits, self._words = _engine(_seed_words(self._initial_seed), _N)
            state = self._bits.state["state"]
            position = int(state["pos"])
            head = _STATE_HEAD.pack(self._initial_seed, _N - position + 1, 1, 0 if self._untouched else position)
            cached, cached_float = self._cached_normal, self._cached_float_normal
            tail = _STATE_TAIL.pack(0.0, cached or 0.0, self._philox_offset, cached is not None,
                                    cached_float or 0.0, cached_float is not None)
        return np.frombuffer(bytearray(head + state["key"].astype("<u8").tobytes() + tail), np.uint8)

    def set_state_bytes(self, state: np.ndarray) -> None:
        """Restores what ``get_state_bytes`` gave. Raises RuntimeError if ``state`` is not such a state."""
        if state.nbytes != STATE_BYTES:
            raise RuntimeError(f"Expected a CPUGeneratorImplState of size {STATE_BYTES} but found the input RNG state "
                               f"size to be {state.nbytes}: pass what get_state() returned")
        data = state.tobytes()
        seed, left, seeded, position = _STATE_HEAD.unpack_from(data)
        key = np.frombuffer(data, "<u8", _N, _STATE_HEAD.size).astype(np.uint32)
        tail = _STATE_TAIL.unpack_from(data, STATE_BYTES - _STATE_TAIL.size)
        _, cached, offset, has_cached, cached_float, has_float = tail
        if not seeded or not 0 < left <= _N or position > _N:
            raise RuntimeError("Invalid mt19937 state: pass what get_state() returned")
        with self._lock:
            self._initial_seed = seed
            self._bits, self._words = _engine(key, _N - left + 1)
            self._untouched = position == 0
            self._cached_normal = cached if has_cached else None
            self._cached_float_normal = cached_float if has_float else None
            self._philox_offset = offset

    def get_state(self) -> Tensor:
        """The state as a uint8 tensor of 5056 bytes, interchangeable with PyTorch's."""
        from . import dtypes
        from .tensor import _from_array

        return _from_array(self.get_state_bytes(), dtypes.uint8)

    def set_state(self, new_state: Tensor) -> Generator:
        """Restores what ``get_state`` gave and returns the generator."""
        from . import dtypes
        from .tensor import Tensor

        if not isinstance(new_state, Tensor):
            raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
        if new_state.dtype is not dtypes.uint8:
            raise TypeError(f"RNG state must be a torch.ByteTensor (dtype uint8), got dtype {new_state.dtype}")
        self.set_state_bytes(new_state._to_array())
        return self

    def clone_state(self) -> Generator:
        """A generator of its own that continues with the same numbers."""
        other = Generator(self.device)
        other.set_state_bytes(self.get_state_bytes())
        return other

    clone = clone_state

    def __reduce__(self):
        return _restore, (str(self.device), self.get_state_bytes().tobytes())

    # Draws. Every sampled number comes from one of these.

    def _source(self, n: int) -> Any:
        """What words come from, ``n`` of which are about to be drawn."""
        engine.looked()
        if engine.capturing is not None:
            engine.capturing.draws_from(self)
        if self._bits is None:
            self._bits, self._words = _engine(_seed_words(self._initial_seed), _N)
        if n:
            self._untouched = False
        return self._bits

    def _pairs(self, n: int) -> np.ndarray:
        """The next ``2 n`` words as ``n`` uint64."""
        source = self._source(n)
        if n > _FEW:
            return self._words.integers(0, 2**64, n, np.uint64)
        words = source.random_raw(2 * n)
        pairs = words[::2] << np.uint64(32)
        pairs |= words[1::2]
        return pairs

    def words32(self, n: int) -> np.ndarray:
        """The next ``n`` words of the stream (uint32)."""
        with self._lock:
            source = self._source(n)
            if n >= _CHUNK and pays("words", n, NATIVE_FROM):
                from .runtime.cpu import draws
                return draws.words(self._bits.ctypes.state_address, n)
            return source.random_raw(n).astype(np.uint32)

    def words64(self, n: int) -> np.ndarray:
        """The next ``2 n`` words as ``n`` uint64, the first of a pair on top."""
        if n >= _CHUNK and pays("words", 0, NATIVE_FROM):
            words = self.words32(2 * n).view(np.uint64)
            return words << np.uint64(32) | words >> np.uint64(32)
        with self._lock:
            return self._pairs(n)

    def below(self, n: int, p: float) -> np.ndarray:
        """Of the next ``n`` `doubles`, whether each is below ``p`` (bool)."""
        threshold, mask = np.uint64(math.ceil(p * 2.0**53)), np.uint64(2**53 - 1)
        out = np.empty(n, np.bool_)
        with self._lock:
            for start in range(0, n, _CHUNK):
                part = out[start:start + _CHUNK]
                words = self._pairs(len(part))
                words &= mask
                np.less(words, threshold, out=part)
        return out

    def floats(self, n: int) -> np.ndarray:
        """The next ``n`` float32 in [0, 1), of 24 bits from a word each."""
        words = self.words32(n)
        if n >= _CHUNK and pays("words", 0, NATIVE_FROM):
            from .runtime.cpu import draws
            return draws.floats(words)
        words &= np.uint32(2**24 - 1)
        out = words.astype(np.float32)
        out *= np.float32(2.0**-24)
        return out

    def doubles(self, n: int) -> np.ndarray:
        """The next ``n`` float64 in [0, 1), of 53 bits from two words each."""
        words = self.words64(n)
        words &= np.uint64(2**53 - 1)
        out = words.astype(np.float64)
        out *= 2.0**-53
        return out

    def normals(self, n: int) -> np.ndarray:
        """The next ``n`` standard normal samples (float64), drawn one by one.

        The Box-Muller transform makes two of them from two uniform ones; the second is kept for the next call.
        """
        with self._lock:
            cached = [] if self._cached_normal is None or n == 0 else [self._cached_normal]
            pairs = -(-(n - len(cached)) // 2)
            samples = np.concatenate([cached, _box_muller(self.doubles(2 * pairs).reshape(-1, 2))])
            if n:
                self._cached_normal = float(samples[n]) if len(samples) > n else None
            return samples[:n]

    def philox_state(self, n: int) -> tuple[int, int]:
        """Reserves ``n`` words of the counter-based stream: the (seed, offset) at which ``philox`` finds them."""
        engine.looked()
        if engine.capturing is not None:
            engine.capturing.draws_from(self)
        with self._lock:
            offset = self._philox_offset
            self._philox_offset = (offset + -(-n // WORDS_PER_BLOCK)) % 2**64
            return self._initial_seed, offset


def _box_muller(u: np.ndarray) -> np.ndarray:
    if len(u) <= 8:  # the C library's functions are PyTorch's to the last bit, numpy's vector code is not always
        fresh = []
        for angle, x in u.tolist():
            radius, angle = math.sqrt(-2.0 * math.log1p(-x)), 2.0 * math.pi * angle
            fresh += radius * math.cos(angle), radius * math.sin(angle)
        return np.array(fresh)
    radius, angle = np.sqrt(-2.0 * np.log1p(-u[:, 1])), 2.0 * np.pi * u[:, 0]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)


def _seed_words(seed: int) -> np.ndarray:
    """MT19937's ``init_genrand`` of the low 32 bits of a seed."""
    word = seed & 0xFFFFFFFF
    words = [word]
    for i in range(1, _N):
        word = (1812433253 * (word ^ word >> 30) + i) & 0xFFFFFFFF
        words.append(word)
    return np.array(words, np.uint32)


def _engine(key: np.ndarray, position: int) -> tuple[Any, Any]:
    """MT19937 at a word of a block, and the same as a numpy generator, which is faster at many pairs of words."""
    bits = np.random.MT19937(0)
    bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": position}}
    return bits, np.random.Generator(bits)


def _restore(device: str, state: bytes) -> Generator:
    generator = Generator(device)
    generator.set_state_bytes(np.frombuffer(state, np.uint8))
    return generator


default_generator = Generator()
default_generator.seed()
if hasattr(os, "register_at_fork"):  # a child must not inherit the lock from a thread that it does not have
    os.register_at_fork(before=default_generator._lock.acquire, after_in_parent=default_generator._lock.release,
                        after_in_child=default_generator._lock.release)


def manual_seed(seed: int) -> Generator:
    """Seeds the default generator, on which all sampling without ``generator=`` draws, and returns it."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Seeds the default generator from the system's entropy and returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator, a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Sets the state of the default generator to what ``get_rng_state`` gave."""
    default_generator.set_state(new_state)


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, **_: Any) -> Iterator[None]:
    """Within the block, draws leave no trace: afterwards the default generator is where it was."""
    state = default_generator.get_state_bytes() if enabled else None
    try:
        yield
    finally:
        if state is not None:
            default_generator.set_state_bytes(state)
