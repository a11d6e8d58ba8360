"""Every operator against PyTorch's recorded answers: values, dtypes, shapes and, in float64, gradients.

Tier 0 runs every call. Tier 1 runs a sample of each operator's, for compiling takes time: ``DIYA_ORACLE=all`` runs
them all. What is known not to agree stands in exceptions.py.
"""

import collections
import os
import warnings

import numpy as np
import pytest

import diya
from diya.engine import Tier

from .checker import by_operator, check, describe, function_of
from .exceptions import ABSENT, EXCEPTIONS, reason

OPERATORS = by_operator()
WHOLE = os.environ.get("DIYA_ORACLE") == "all"
DTYPES = ("float64", "float32", "int64", "bfloat16", "bool", "complex64")  # of the sample, at most SAMPLED of them
SAMPLED = 3


def sampled(calls: list[dict]) -> list[dict]:
    """One call for each of the first few dtypes, not always the same one: samples differ in what they exercise."""
    if WHOLE:
        return calls
    by_dtype = collections.defaultdict(list)
    for call in calls:
        by_dtype[call["dtype"]].append(call)
    found = [by_dtype[d] for d in (*DTYPES, *by_dtype) if d in by_dtype]
    unique = [group for i, group in enumerate(found) if group not in found[:i]]
    return [group[(i * 7 + len(calls)) % len(group)] for i, group in enumerate(unique[:SAMPLED])]


def disagreements(calls: list[dict], tier: int) -> list[str]:
    wrong = []
    for call in calls:
        if reason(call, tier) is not None:
            continue
        try:
            with Tier(tier), warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                warnings.filterwarnings("error", "diya's compiler failed")  # falling back is no answer
                check(call, diya)
        except Exception as error:
            wrong.append(f"{call['operator']} {call['dtype']} sample {call['sample']}: {describe(error)}")
    return wrong


def present(op: str) -> None:
    """Skips an operator that is listed as absent; one that is absent and not listed fails in its calls."""
    try:
        function_of(OPERATORS[op][0]["path"], diya)
    except AttributeError:
        if op in ABSENT:
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
    wrong = disagreements(sampled(OPERATORS[op]), 1)
    assert not wrong, "\n".join(wrong)


def test_exceptions_name_recorded_calls():
    for operator, dtype, sample, _ in EXCEPTIONS:
        calls = OPERATORS[operator]
        assert dtype == "*" or any(c["dtype"] == dtype for c in calls), (operator, dtype)
        assert sample == "*" or any(c["sample"] == sample for c in calls), (operator, sample)
    assert set(ABSENT) <= set(OPERATORS)
