"""Running sums and products: steps of their own, as each element waits for the one before it.

Rows that lie one after the other are walked several at a time, so that their additions need not wait for one another;
where the dimension is not the last one, so many lanes of what lies beside it. float32 accumulates in float64, as PyTorch
has it.
"""

from __future__ import annotations

from math import prod

from ..dtypes import float32, float64, int32
from .emit.llvm import MEMORY, Builder, Value
from .emit.text import Function
from .loops import Launch
from .schedule import Schedule, Step

ABREAST = 4         # rows, or vectors, that are walked together
TASK = 1 << 15      # elements of a task, at least


def lower_scan(schedule: Schedule, step: Step, target) -> Launch:
    i = step.members[0]
    n = schedule.graph.code[i]
    shape, d = n.type.shape, n.type.dtype  # pyright: ignore[reportAttributeAccessIssue]
    outer, length, inner = prod(shape[:n.attrs]), shape[n.attrs], prod(shape[n.attrs + 1:])
    lanes = 1 if inner == 1 else ABREAST * target.vector_bytes // d.itemsize
    units = outer if lanes == 1 else outer * -(-inner // lanes)
    per = max(1, TASK // (length * lanes))
    if lanes == 1:
        per = -(-per // ABREAST) * ABREAST
    name = n.op.name
    return Launch(f"scan {name} {d.name} x{lanes}", lambda symbol: emit(symbol, name, d, lanes),
                  (schedule.alias[n.inputs[0]], i), (outer, length, inner, per), -(-units // per), (1,),
                  units * lanes * length * (1.0 if lanes == 1 else 0.3) + 20, step=step)


def emit(symbol: str, name: str, d, lanes: int) -> str:
    f = Function(symbol, [("ptr", "buffers"), ("ptr", "args"), ("i64", "begin"), ("i64", "end"), ("ptr", "scratch")])
    b = Builder(f, lanes)
    wide = float64 if d is float32 else d
    outer, length, inner, per = [f.load("i64", f.at("i64", "%args", k)) for k in range(4)]
    x, y = f.load("ptr", "%buffers"), f.load("ptr", f.at("ptr", "%buffers", 1))
    rule = b.add if name == "cumsum" else b.mul
    first = b.operand(b.const(0 if name == "cumsum" else 1, wide), lanes)

    def walk(starts, step, mask=None) -> None:
        """Goes along the dimension from several elements at once."""
        with f.loop(0, length, carry=[(b.type(wide, lanes), first)] * len(starts)) as turn:
            for k, start in enumerate(starts):
                at = f.add(start, f.mul(turn.i, step))
                element = b.cast(b.load(f.at(MEMORY[d], x, at), d, lanes, mask), wide)
                total = rule(Value(turn.state[k], wide, lanes), element)
                b.store(b.cast(total, d), f.at(MEMORY[d], y, at), lanes, mask)
                turn.next[k] = total.text

    with f.loop("%begin", "%end") as task:
        low = f.mul(task.i, per)
        if lanes == 1:
            high = f.min(f.add(low, per), outer)
            whole = f.sub(high, f.rem(f.sub(high, low), ABREAST))
            with f.loop(low, whole, ABREAST) as turn:
                walk([f.mul(f.add(turn.i, k), length) for k in range(ABREAST)], 1)
            with f.loop(whole, high) as turn:
                walk([f.mul(turn.i, length)], 1)
        else:
            chunks = f.ceil_div(inner, lanes)
            with f.loop(low, f.min(f.add(low, per), f.mul(outer, chunks))) as turn:
                column = f.mul(f.rem(turn.i, chunks), lanes)
                start = f.add(f.mul(f.mul(f.div(turn.i, chunks), length), inner), column)
                left = Value(f(f"trunc i64 {f.min(f.sub(inner, column), lanes)} to i32"), int32)
                ids = ", ".join(f"i32 {k}" for k in range(lanes))
                walk([start], inner, f(f"icmp slt <{lanes} x i32> <{ids}>, {b.operand(left, lanes)}"))
    f.do("ret void")
    return "\n".join([*sorted(f.declared), str(f)])
