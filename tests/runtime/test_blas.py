"""numpy's products take as few threads as they are told, and as many as before afterwards."""

import os
import sys
import threading

import numpy as np
import pytest

import diya as torch
from diya import engine
from diya.runtime import blas

pytestmark = pytest.mark.skipif(blas._functions() is None, reason="numpy's BLAS is not OpenBLAS")


def threads() -> int:
    return blas._functions()[0]()


@pytest.fixture(autouse=True)
def two():
    get, put = blas._functions()
    before = get()
    put(2)
    yield
    put(before)


def test_within_a_block_and_after_it():
    with blas.Threads(1):
        assert threads() == 1
        with blas.Threads(2):
            assert threads() == 1
        assert threads() == 1
    assert threads() == 2
    with pytest.raises(ValueError), blas.Threads(1):
        raise ValueError
    assert threads() == 2


def test_blocks_of_several_threads_overlap():
    first, second = threading.Event(), threading.Event()

    def other():
        with blas.Threads(1):
            first.set()
            second.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    first.wait(10)
    with blas.Threads(1):
        second.set()
        thread.join()
        assert threads() == 1
    assert threads() == 2


def test_an_interpreted_program_takes_one(monkeypatch):
    seen = []
    run = engine.interpret.run
    monkeypatch.setattr(engine.interpret, "run", lambda *args: (seen.append(threads()), run(*args))[1])
    with engine.Tier(0):
        x = torch.ones(400, 400)
        assert (x @ x).sum().item() == 400 ** 3
    assert seen and set(seen) == {1} and threads() == 2


def test_linear_algebra_takes_those_that_were_set():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        seen = []
        solve = np.linalg.solve

        def watched(*args):
            seen.append(threads())
            return solve(*args)
        np.linalg.solve = watched
        x = torch.eye(300) * 2
        for _ in range(4):
            torch.linalg.solve(x, x).sum().item()
        assert set(seen) <= {1} and threads() == 2
    finally:
        np.linalg.solve = solve
        torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="forks")
def test_a_child_starts_with_all():
    with blas.Threads(1):
        child = os.fork()
        if not child:
            os._exit(0 if threads() == 2 and not blas._inside else 1)
        assert os.waitpid(child, 0)[1] == 0
