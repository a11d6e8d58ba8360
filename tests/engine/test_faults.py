"""Programs that fail: once, and nothing else with them."""

import pytest

import diya
from diya import engine


def test_a_number_of_the_wrong_kind_fails_once():
    from diya.dtypes import float32
    from diya.graph import PRIMITIVES
    from diya.tensor import from_node

    x = diya.ones(3)
    bad = from_node(engine.append(PRIMITIVES["add"], (x._value(), engine.scalar(object(), float32))))
    fine = x + 1
    with pytest.raises((TypeError, ValueError)):
        bad.tolist()
    with pytest.raises((TypeError, ValueError)):
        (bad + 1).tolist()
    assert (x + 2).tolist() == [3, 3, 3] and engine.flush() is None
    del fine
