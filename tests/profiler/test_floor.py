"""Floors: the longer of operations at peak and bytes at bandwidth, summed over what a step runs."""

import pytest

import diya as torch

pytest.importorskip("llvmlite")
from diya import engine
from diya.compiler.explain import Work
from diya.profiler.floor import Peak, floor, peak, work_of_step

PEAK = Peak(1e9, ((1000, 1e9), (float("inf"), 1e8)))


def test_a_kernel_is_bound_by_operations_or_by_bytes():
    assert PEAK.seconds(Work("contract", "", "", 5000, 100, ())) == 5e-6
    assert PEAK.seconds(Work("loops", "", "", 10, 800, ())) == 8e-7
    assert PEAK.seconds(Work("loops", "", "", 10, 2000, ())) == 2e-5


def test_a_step_is_all_programs_that_it_runs():
    x = torch.randn(10, 10)

    def step():
        for _ in range(3):
            (x @ x).numpy()
    with engine.Tier(1):
        step()
        assert [w.flops for w in work_of_step(step)] == [2000] * 3
        assert floor(step, PEAK) == pytest.approx(3 * 1.2e-5)  # 1,200 bytes, more than the first kilobyte
    with engine.Tier(0):
        assert floor(step, PEAK) is None


def test_the_peak_of_this_machine():
    found = peak(rounds=1, seconds=0.01)
    assert found.flops > 1e8 and [most for most, _ in found.rates] == sorted(most for most, _ in found.rates)
    assert all(rate > 1e8 for _, rate in found.rates)
