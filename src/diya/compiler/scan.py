"""Running sums and products: steps of their own, as each element waits for the one before it.

Rows that lie one after the other are walked as many at a time as a vector has lanes, in squares that are transposed; where
the dimension is not the last one, so many lanes of what lies beside it. float32 accumulates in float64, as PyTorch
has it.
"""

from __future__ import annotations

from math import prod

from ..dtypes import float32, float64, int32
from .emit.llvm import MEMORY, Builder, Value
from .emit.text import Function
from .loops import Launch
from .schedule import Schedule, Step

ABREAST = 4         # vectors that are walked together
TASK = 1 << 15      # elements of a task, at least


def lower_scan(schedule: Schedule, step: Step, target) -> Launch:
    i = step.members[0]
    n = schedule.graph.code[i]
    shape, d = n.type.shape, n.type.dtype  # pyright: ignore[reportAttributeAccessIssue]
    outer, length, inner = prod(shape[:n.attrs]), shape[n.attrs], prod(shape[n.attrs + 1:])
    lanes = 1 if inner == 1 else ABREAST * target.vector_bytes // d.itemsize
    side = target.vector_bytes // max(4, d.itemsize) if lanes == 1 else 1
    units = outer if lanes == 1 else outer * -(-inner // lanes)
    per = max(1, TASK // (length * lanes))
    if lanes == 1:
        per = -(-per // side) * side
    name = n.op.name
    return Launch(f"scan {name} {d.name} x{lanes} by {side}", lambda symbol: emit(symbol, name, d, lanes, side),
                  (schedule.alias[n.inputs[0]], i), (outer, length, inner, per), -(-units // per), (1,),
                  units * lanes * length * (1.0 if lanes == 1 else 0.3) + 20, step=step)


def emit(symbol: str, name: str, d, lanes: int, side: int) -> str:
    """``lanes`` of what lies beside the dimension at once, or (of 1) as many rows as a square of ``side`` has."""
    f = Function(symbol, [("ptr", "buffers"), ("ptr", "args"), ("i64", "begin"), ("i64", "end"), ("ptr", "scratch")])
    b = Builder(f, max(lanes, side))
    wide = float64 if d is float32 else d
    outer, length, inner, per = [f.load("i64", f.at("i64", "%args", k)) for k in range(4)]
    x, y = f.load("ptr", "%buffers"), f.load("ptr", f.at("ptr", "%buffers", 1))
    rule = b.add if name == "cumsum" else b.mul
    first = b.const(0 if name == "cumsum" else 1, wide)

    def below(count, lanes: int) -> str:
        """The mask of the first ``count`` lanes."""
        left = Value(f(f"trunc i64 {f.min(count, lanes)} to i32"), int32)
        return f(f"icmp slt <{lanes} x i32> <{', '.join(f'i32 {k}' for k in range(lanes))}>, {b.operand(left, lanes)}")

    def walk(start, step, mask=None) -> None:
        """Goes along the dimension."""
        with f.loop(0, length, carry=[(b.type(wide, lanes), b.operand(first, lanes))]) as turn:
            at = f.add(start, f.mul(turn.i, step))
            element = b.cast(b.load(f.at(MEMORY[d], x, at), d, lanes, mask), wide)
            total = rule(Value(turn.state[0], wide, lanes), element)
            b.store(b.cast(total, d), f.at(MEMORY[d], y, at), lanes, mask)
            turn.next[0] = total.text

    def walk_square(row) -> None:
        """Goes along as many rows as a vector has lanes, a square at a time."""
        whole = f.sub(length, f.rem(length, side))
        state = b.operand(first, side)
        for low, high in ((0, whole), (whole, length)):
            with f.loop(low, high, side, carry=[(b.type(wide, side), state)]) as turn:
                mask = None if low == 0 else below(f.sub(length, turn.i), side)
                places = [f.add(f.mul(f.add(row, k), length), turn.i) for k in range(side)]
                columns = b.transpose([b.load(f.at(MEMORY[d], x, at), d, side, mask) for at in places])
                total, totals = Value(turn.state[0], wide, side), []
                for column in columns:
                    total = rule(total, b.cast(column, wide))
                    totals.append(b.cast(total, d))
                for at, result in zip(places, b.transpose(totals), strict=True):
                    b.store(result, f.at(MEMORY[d], y, at), side, mask)
                turn.next[0] = total.text
            state = turn.state[0]

    with f.loop("%begin", "%end") as task:
        low = f.mul(task.i, per)
        if lanes == 1:
            high = f.min(f.add(low, per), outer)
            whole = f.sub(high, f.rem(f.sub(high, low), side))
            with f.loop(low, whole, side) as turn:
                walk_square(turn.i)
            with f.loop(whole, high) as turn:
                walk(f.mul(turn.i, length), 1)
        else:
            chunks = f.ceil_div(inner, lanes)
            with f.loop(low, f.min(f.add(low, per), f.mul(outer, chunks))) as turn:
                column = f.mul(f.rem(turn.i, chunks), lanes)
                start = f.add(f.mul(f.mul(f.div(turn.i, chunks), length), inner), column)
                walk(start, inner, below(f.sub(inner, column), lanes))
    f.do("ret void")
    return "\n".join([*sorted(f.declared), str(f)])
