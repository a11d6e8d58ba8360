"""Counter-based random numbers: Philox4x32-10 in numpy.

A counter-based generator is a function from (seed, position) to bits, so any part of a stream can be computed by any
thread, in any order, with the same result; compiled sampling uses it. The stream of a ``seed`` is an endless array of
32-bit words; block ``k`` (words ``4k .. 4k+3``) is the Philox4x32-10 encryption of the counter ``(k lo, k hi, 0, 0)``
under the key ``(seed lo, seed hi)``.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import numpy as np

WORDS_PER_BLOCK = 4

_ROUNDS = 10
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEPS = 0x9E3779B9, 0xBB67AE85  # golden ratio, sqrt(3) - 1
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def encrypt(counter: tuple[np.ndarray, ...], key: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Philox4x32-10 of four arrays of counter words (uint64 holding 32 bits each) under two 32-bit key words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        first, second = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0 = (second >> _HALF) ^ c1 ^ np.uint64(k0)
        c2 = (first >> _HALF) ^ c3 ^ np.uint64(k1)
        c1, c3 = second & _LOW, first & _LOW
        k0, k1 = (k0 + _KEY_STEPS[0]) & 0xFFFFFFFF, (k1 + _KEY_STEPS[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def philox_bits(seed: int, offset: int, n: int) -> np.ndarray:
    """``n`` words (uint32) of the stream of ``seed``, from block ``offset`` (word ``4 * offset``) on."""
    blocks = -(-n // WORDS_PER_BLOCK)
    position = np.arange(blocks, dtype=np.uint64) + np.uint64(offset & 0xFFFFFFFFFFFFFFFF)
    zero = np.zeros(blocks, np.uint64)
    key = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    words = np.empty((blocks, WORDS_PER_BLOCK), np.uint32)
    for column, word in enumerate(encrypt((position & _LOW, position >> _HALF, zero, zero), key)):
        words[:, column] = word
    return words.reshape(-1)[:n]


def philox_uniform(seed: int, offset: int, n: int) -> np.ndarray:
    """``n`` float32 numbers in [0, 1) of the stream of ``seed``, from block ``offset`` on (24 bits each)."""
    return (philox_bits(seed, offset, n) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
