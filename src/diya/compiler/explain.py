"""Every stage of a program, printed: what ``diya.explain`` and ``DIYA_DEBUG`` show."""

from __future__ import annotations

from ..runtime.cpu import load
from . import lower as lowering


def stages(program) -> dict[str, str]:
    """Name to text, in the order of the line. Code is shown once a kernel."""
    schedule = program.schedule
    lowered = lowering.lower(schedule)
    texts: dict[str, str] = {}
    lines = []
    from .pipeline import symbol_of
    for s, launch in enumerate(program.launches):
        if not launch.key:
            lines.append(f"{launch.step.kind} " + ", ".join(f"%{m}" for m in launch.step.members))
            continue
        symbol = symbol_of(launch.key)
        if symbol not in texts:
            texts[symbol] = launch.text(symbol)
        state = " (dropped)" if s in program.plan.dropped else ""
        values = ", ".join("fault" if v < 0 else f"%{v}" for v in launch.values)
        lines.append(f"{symbol}({values}) tasks {launch.tasks} args {list(launch.args)}{state}\n{launch.key}")
    llvm = "\n\n".join(texts.values())
    assembly = "\n\n".join(load.assembly(text, program.target) for text in texts.values())
    return {"graph": str(program.graph), "schedule": str(schedule), "loops": "\n\n".join(map(str, lowered)),
            "kernels": "\n\n".join(lines), "memory": str(program.plan), "llvm": llvm, "assembly": assembly}
