"""Where diya does not give PyTorch's recorded answer, each with its reason on the line. Read by test_oracle.py."""

# Operators of the recording that diya lacks.
ABSENT: dict[str, str] = {}

# (operator, dtype or "*", sample or "*", tiers "0", "1" or "01"): why.
EXCEPTIONS: dict[tuple, str] = {
    ("complex", "float16", "*", "01"): "complex32 is not one of diya's dtypes",
    ("view_as_complex", "float16", "*", "01"): "complex32 is not one of diya's dtypes",
    ("chalf", "*", "*", "01"): "complex32 is not one of diya's dtypes",
}


def reason(call: dict, tier: int) -> str | None:
    """Why a call may disagree on a tier; None if it must agree."""
    for (operator, dtype, sample, tiers), why in EXCEPTIONS.items():
        if operator == call["operator"] and dtype in ("*", call["dtype"]) and sample in ("*", call["sample"]) \
                and str(tier) in tiers:
            return why
    return None
