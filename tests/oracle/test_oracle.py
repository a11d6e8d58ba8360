"""Every operator against PyTorch's recorded answers, every call on both tiers: values, dtypes, shapes and, in float64,
gradients. What is known not to agree stands in exceptions.py."""

import warnings

import numpy as np
import pytest

import diya
from diya.engine import Tier

from .checker import by_operator, check, describe, warm_up
from .exceptions import ABSENT, EXCEPTIONS, reason

OPERATORS = by_operator()


def disagreements(calls: list[dict], tier: int) -> list[str]:
    wrong = []
    for call in calls:
        if reason(call, tier) is not None:
            continue
        try:
            with Tier(tier), warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                warnings.filterwarnings("error", "diya's compiler failed")  # falling back is no answer
                if tier == 0:
                    warm_up(call, diya, True)  # what is remembered of like calls changes nothing
                check(call, diya)
        except Exception as error:
            wrong.append(f"{call['operator']} {call['dtype']} sample {call['sample']}: {describe(error)}")
    return wrong


def present(op: str) -> None:
    """Skips an operator that is listed as absent and says so; one that is absent and not listed fails in its calls."""
    if op in ABSENT:
        with pytest.raises((AttributeError, NotImplementedError)):
            check(OPERATORS[op][0], diya)
        pytest.skip(f"absent: {ABSENT[op]}")


@pytest.mark.parametrize("op", OPERATORS)
def test_interpreted(op):
    present(op)
    wrong = disagreements(OPERATORS[op], 0)
    assert not wrong, "\n".join(wrong)


@pytest.mark.compiled
@pytest.mark.parametrize("op", OPERATORS)
def test_compiled(op):
    present(op)
    wrong = disagreements(OPERATORS[op], 1)
    assert not wrong, "\n".join(wrong)


def test_exceptions_name_recorded_calls():
    for operator, dtype, sample, _ in EXCEPTIONS:
        calls = OPERATORS[operator]
        assert dtype == "*" or any(c["dtype"] == dtype for c in calls), (operator, dtype)
        assert sample == "*" or any(c["sample"] == sample for c in calls), (operator, sample)
    assert set(ABSENT) <= set(OPERATORS)
