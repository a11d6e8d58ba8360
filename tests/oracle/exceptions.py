"""Where diya does not give PyTorch's recorded answer, each with its reason on the line. Read by test_oracle.py."""

# Operators of the recording that diya lacks.
ABSENT: dict[str, str] = {}

_TIES = "PyTorch's choice among equal elements is its library's, left open by its documentation; ours is the first"

# (operator, dtype or "*", sample or "*", tiers "0", "1" or "01"): why.
EXCEPTIONS: dict[tuple, str] = {
    ("sort", "bool", 0, "01"): _TIES,
    ("sort", "uint8", 0, "01"): _TIES,
    ("sort", "bfloat16", 0, "01"): _TIES,
    ("sort", "float16", 0, "01"): _TIES,
    ("argsort", "bool", 0, "01"): _TIES,
    ("argsort", "uint8", 0, "01"): _TIES,
    ("argsort", "bfloat16", 0, "01"): _TIES,
    ("argsort", "float16", 0, "01"): _TIES,
    ("kthvalue", "*", "*", "01"): _TIES,
    ("mode", "bfloat16", 6, "01"): _TIES,
    ("mode", "uint8", 6, "01"): _TIES,
    ("topk", "*", "*", "01"): _TIES,
    ("matrix_exp", "bfloat16", "*", "01"): "PyTorch overflows to NaN in bfloat16; ours is computed in float32",
    ("matrix_exp", "float16", "*", "01"): "PyTorch overflows to NaN in float16; ours is computed in float32",
    ("special.bessel_y1", "float64", 0, "01"): "PyTorch's Y1(5.576) is off by 3e-7; ours agrees with the definition to 1e-15",
    ("_unsafe_masked_index_put_accumulate", "bfloat16", "*", "01"): "PyTorch rounds after each addition; ours once",
    ("_unsafe_masked_index_put_accumulate", "float16", "*", "01"): "PyTorch rounds after each addition; ours once",
    ("nn.functional.conv_transpose3d", "float16", 0, "01"): "PyTorch accumulates in float16; ours in float32",
}


def reason(call: dict, tier: int) -> str | None:
    """Why a call may disagree on a tier; None if it must agree."""
    for (operator, dtype, sample, tiers), why in EXCEPTIONS.items():
        if operator == call["operator"] and dtype in ("*", call["dtype"]) and sample in ("*", call["sample"]) \
                and str(tier) in tiers:
            return why
    return None
