"""Records PyTorch's answers for the tests of nn and optim: ``python tests/nn/record.py`` where PyTorch is installed."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    from optim import optimizer_cases

    from nn import module_cases, parity
    parity.record(HERE / "recorded.json.xz", module_cases.cases)
    parity.record(HERE.parent / "optim" / "recorded.json.xz", optimizer_cases.cases)
