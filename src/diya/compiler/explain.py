"""Every stage of a program, printed: what ``diya.explain`` and ``DIYA_DEBUG`` show. And what each step of a run has to do."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from ..graph import LEAF, SCALAR, Contraction
from ..runtime.cpu import load
from . import lower as lowering
from .contraction import classify, phases
from .loops import Kernel, Launch
from .schedule import Schedule, Step


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


class Work(NamedTuple):
    """What one step of a run does: ``kind`` is "contract", "loops" or "host" (run by the interpreter).

    ``name`` are the operations in it and ``sizes`` what they run over. ``flops``: two for a product of a contraction, one
    for an elementwise operation on an element or an element that is reduced. ``nbytes``: what is read and written if every
    element that is looked at moves once. ``lines``: the user's, where the graph keeps them (``engine.debug_lines``).
    """

    kind: str
    name: str
    sizes: str
    flops: int
    nbytes: int
    lines: tuple[tuple[str, int, str], ...]


def work(program) -> list[Work]:
    """What the steps of a run do, in the order in which they run."""
    from .pipeline import launches_of
    schedule = program.schedule
    lowered = {id(x.step): x for x in lowering.lower(schedule)}
    parts: dict[int, int] = {}  # of a step: how many of its launches came already
    found = []
    for s, launch in enumerate(launches_of(schedule, program.target)):
        step: Step = launch.step
        part = parts[id(step)] = parts.get(id(step), -1) + 1
        if s in program.plan.dropped or step.kind == "empty":
            continue
        names, lines = _origin(schedule, step)
        if step.kind == "host":
            found.append(_host(schedule, step, names, lines))
        elif step.kind == "contract":
            found.append(_contraction(lowered[id(step)].contraction, part, names, lines))
        else:
            found.append(_loops(schedule, step, launch, part, names, lines))
    return found


def _origin(schedule: Schedule, step: Step) -> tuple[list[str], tuple]:
    """The operations that a step computes, those that are recomputed in it among them, and the user's lines."""
    code: Any = schedule.graph.code
    seen: set[int] = set()
    stack = [*step.members, *[x.source for x in step.stores if x.source not in schedule.roots]]
    while stack:
        i = stack.pop()
        if i in seen or code[i].op is LEAF or code[i].op is SCALAR:
            continue
        seen.add(i)
        stack += [j for j in code[i].inputs if j not in schedule.roots and schedule.alias[j] == j or j in step.members]
        stack += [schedule.alias[i]] if schedule.alias[i] != i and schedule.alias[i] in step.members else []
    order = sorted(seen)
    names = dict.fromkeys(code[i].op.name for i in order if code[i].op.kind not in ("view", "pick") and code[i].op.name != "cast")
    lines = dict.fromkeys(code[i].where for i in order if code[i].where is not None)
    return list(names) or ["copy"], tuple(lines)


def _host(schedule: Schedule, step: Step, names: list[str], lines) -> Work:
    code: Any = schedule.graph.code
    n = code[step.members[0]]
    given = [code[j].type for j in (*n.inputs, step.members[0])]
    types = [t for g in given for t in (g if isinstance(g, tuple) else (g,))]
    return Work("host", n.op.name, str(list(types[0].shape)), 0, sum(t.nbytes for t in types), lines)


def _contraction(contraction, part: int, names: list[str], lines) -> Work:
    """The ``part``-th of the products that a contraction is computed as (see `phases`)."""
    c, a, b, out, epilogue, _ = contraction
    inputs = epilogue.inputs if epilogue else ()
    each = [x for x in phases(c, a, b, [out, *inputs]) if prod(x[0].sizes[:c.n_out])]
    one: Contraction = each[part][0]
    z, m, n, k = (prod(one.sizes[v] for v in group) for group in classify(one))
    made = z * m * n
    nbytes = made * out.dtype.itemsize + sum(
        prod(size for size, stride in zip(x.shape, x.strides, strict=True) if stride) * x.dtype.itemsize // part_of
        for x, part_of in ((a, 1), (b, 1), *[(x, len(each)) for x in inputs]))
    after = [name for name in names if name not in ("contract", "fold")]
    return Work("contract", ", ".join(["contract", *_short(after)]), (f"{z}× " if z > 1 else "") + f"{m}×{k}·{k}×{n}",
                2 * made * k + made * len(after), nbytes, lines)


def _loops(schedule: Schedule, step: Step, launch: Launch, part: int, names: list[str], lines) -> Work:
    kernel: Kernel = launch.text.template.kernel  # pyright: ignore[reportFunctionMemberAccess]
    mode, pieces = launch.args[3:5]
    names = _short(names)
    if part and mode != 2:
        names = ["sum of partial sums"]
    elif mode:
        names.append("in parts" if mode == 1 else "from parts")
    flops, nbytes = _counts(schedule, kernel, launch, mode, pieces)
    kept, reduced = kernel.dims[:kernel.kept], kernel.dims[kernel.kept:]
    sizes = ("×".join(map(str, kept)) or "1") + (f" of {'×'.join(map(str, reduced))}" if reduced else "")
    return Work("loops", ", ".join(names), sizes, flops, nbytes, lines)


def _counts(schedule: Schedule, kernel: Kernel, launch: Launch, mode: int, pieces: int) -> tuple[int, int]:
    """Operations and bytes of a loop kernel; ``mode`` as in `Kernel.split`."""
    code: Any = schedule.graph.code
    dims, kept_count = kernel.dims, prod(kernel.dims[:kernel.kept])
    moved: dict[tuple[int, bool], dict] = {}  # of a buffer, read or written: elements by map
    flops = 0
    for p, phase in enumerate(kernel.phases):
        for full, ops in enumerate(phase):
            if mode == 1 and (p or not full and not any(o.name in ("load", "store") for o in ops)) or mode == 2 and not p and full:
                continue  # what the other launch does
            count = prod(dims if full else dims[:kernel.kept])
            for op in ops:
                if op.name in ("load", "store", "gather", "put", "column"):
                    buffer, m = op.attr[:2]
                    if op.name == "column":
                        touched = launch.tasks * prod(dims[kernel.kept:])
                        flops += count
                    elif op.name in ("gather", "put"):
                        touched = count
                    else:
                        touched = prod(size for size, stride in zip(dims, m.strides, strict=True) if stride)
                    if buffer < len(kernel.buffers) - kernel.rows:
                        moved.setdefault((buffer, op.name in ("load", "gather")), {})[m] = touched
                elif op.name not in ("index", "const", "cast"):
                    flops += count
    nbytes = 0
    for (buffer, _), maps in moved.items():
        v = launch.values[buffer]
        total = sum(maps.values()) * kernel.buffers[buffer].itemsize
        nbytes += min(total, code[v].type.nbytes) if 0 <= v < len(code) else total
    if mode:
        nbytes += pieces * kept_count * sum(kernel.buffers[b].itemsize for b in kernel.partials)
        flops += pieces * kept_count if mode == 2 else 0
    return flops, nbytes


def _short(names: list[str]) -> list[str]:
    return names[:] if len(names) <= 6 else [*names[:5], f"{len(names) - 5} more"]
