"""The program fuzzer: see programs.py. ``DIYA_FUZZ=10000`` runs that many programs of each kind."""

import os
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import diya
import diya.engine

from .programs import check, check_gradients, generate

MANY = int(os.environ.get("DIYA_FUZZ", "0"))
quiet = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


@quiet
@given(st.data())
@pytest.mark.parametrize("tier", [0, 1, None])
def test_programs_agree_with_numpy(tier, data):
    steps = generate(lambda n: data.draw(st.integers(0, n - 1)), 12)
    check(steps, diya, tier)


@quiet
@given(st.data())
def test_gradients_of_programs(data):
    steps = generate(lambda n: data.draw(st.integers(0, n - 1)), 10, numpy_writes=False, only="float64")
    check_gradients(steps, diya)


@pytest.mark.parametrize("tier", [0, 1, None])
def test_seeded_programs(tier):
    for seed in range(MANY or 150):
        check(generate(random.Random(seed).randrange, 8 + seed % 25), diya, tier)


def test_seeded_gradients():
    for seed in range(MANY or 60):
        check_gradients(generate(random.Random(seed).randrange, 6 + seed % 15, numpy_writes=False, only="float64"), diya)


@pytest.mark.parametrize("most", [3, 11])
def test_programs_that_are_flushed_at_any_point(most, monkeypatch):
    monkeypatch.setattr(diya.engine, "MAX_PENDING", most)
    for seed in range(MANY or 40):
        check(generate(random.Random(seed).randrange, 8 + seed % 25), diya, None)
        check_gradients(generate(random.Random(seed).randrange, 6 + seed % 15, numpy_writes=False, only="float64"), diya)
