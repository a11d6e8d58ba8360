"""A writer of LLVM IR text with structured control flow.

Values are their names (``%12``) or Python numbers; every method that computes returns a fresh name. `loop` and `when`
keep the SSA form by themselves: what a loop changes from turn to turn is carried explicitly.

    f = Function("sum", [("ptr", "x"), ("i64", "n")], "float")
    with f.loop(0, "%n", carry=[("float", "0.0")]) as turn:
        turn.next = [f("fadd float {}, {}", turn.state[0], f.load("float", f.at("float", "%x", turn.i)))]
    f.do("ret float {}", turn.state[0])
"""

from __future__ import annotations

from contextlib import contextmanager


class Turn:
    """One turn of a `Function.loop`: the counter, the carried values on entry, and (set by the body) on leaving."""

    __slots__ = ("i", "state", "next", "again")

    def __init__(self, i, state):
        self.i, self.state, self.next, self.again = i, state, list(state), "false"


class Function:
    """One function being written; ``str()`` gives its text."""

    def __init__(self, name: str, parameters: list[tuple[str, str]], result: str = "void", attributes: str = ""):
        args = ", ".join(f"{kind} %{n}" for kind, n in parameters)
        self.head = f"define {result} @{name}({args}) {attributes}".rstrip() + " {"
        self.lines: list[str] = ["entry:"]
        self.block = "entry"
        self.declared: set[str] = set()
        self._count = 0

    def __str__(self):
        return "\n".join([self.head, *self.lines, "}"])

    # Instructions

    def name(self) -> str:
        self._count += 1
        return f"%{'t'}{self._count}"

    def __call__(self, text: str, *values) -> str:
        """Writes ``%new = text`` with the values filled in; returns ``%new``."""
        new = self.name()
        self.lines.append(f"  {new} = {text.format(*values) if values else text}")
        return new

    def do(self, text: str, *values) -> None:
        """Writes an instruction without a result."""
        self.lines.append(f"  {text.format(*values) if values else text}")

    def call(self, result: str, function: str, *arguments: str) -> str:
        """Calls an intrinsic or external function; arguments are ``type value``. It is declared by itself."""
        kinds = ", ".join(a.rsplit(" ", 1)[0] for a in arguments)
        self.declared.add(f"declare {result} @{function}({kinds.replace(' immarg', '')})")
        text = f"call {result} @{function}({', '.join(arguments)})"
        if result == "void":
            self.do(text)
            return ""
        return self(text)

    # Integers (i64 unless said); Python ints fold

    def add(self, a, b):
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if b == 0:
            return a
        return b if a == 0 else self(f"add i64 {a}, {b}")

    def sub(self, a, b):
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        return a if b == 0 else self(f"sub i64 {a}, {b}")

    def mul(self, a, b):
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if a == 1 or b == 1:
            return b if a == 1 else a
        return 0 if a == 0 or b == 0 else self(f"mul i64 {a}, {b}")

    def div(self, a, b):
        """Unsigned quotient."""
        if isinstance(a, int) and isinstance(b, int):
            return a // b
        return a if b == 1 else self(f"udiv i64 {a}, {b}")

    def rem(self, a, b):
        """Unsigned remainder."""
        if isinstance(a, int) and isinstance(b, int):
            return a % b
        return 0 if b == 1 else self(f"urem i64 {a}, {b}")

    def min(self, a, b):
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        return self.call("i64", "llvm.smin.i64", f"i64 {a}", f"i64 {b}")

    def max(self, a, b):
        if isinstance(a, int) and isinstance(b, int):
            return max(a, b)
        return self.call("i64", "llvm.smax.i64", f"i64 {a}", f"i64 {b}")

    def ceil_div(self, a, b):
        return self.div(self.add(a, self.sub(b, 1)), b)

    def compare(self, how: str, a, b) -> str:
        return self(f"icmp {how} i64 {a}, {b}")

    def select(self, condition: str, kind: str, a, b) -> str:
        return self(f"select i1 {condition}, {kind} {a}, {kind} {b}")

    # Memory

    def at(self, kind: str, pointer: str, index=0) -> str:
        """The address ``pointer[index]`` of elements of a kind."""
        return pointer if index == 0 else self(f"getelementptr {kind}, ptr {pointer}, i64 {index}")

    def load(self, kind: str, address: str, align: int | None = None) -> str:
        return self(f"load {kind}, ptr {address}" + (f", align {align}" if align else ""))

    def store(self, kind: str, value, address: str, align: int | None = None) -> None:
        self.do(f"store {kind} {value}, ptr {address}" + (f", align {align}" if align else ""))

    # Control flow

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    @contextmanager
    def loop(self, begin, end, step=1, carry=()):
        """``for i in range(begin, end, step)`` (signed, step > 0). ``carry``: (type, first value) of what it carries:
        the body reads ``turn.state`` and sets ``turn.next``; after the loop ``turn.state`` holds the last values."""
        self._count += 1
        n = self._count
        head, body, done = f"head{n}", f"body{n}", f"done{n}"
        before = self.block
        self.do(f"br label %{head}")
        self.label(head)
        i, states = f"%i{n}", [f"%c{n}_{j}" for j in range(len(carry))]
        phis = len(self.lines)
        going = self.compare("slt", i, end)
        self.do(f"br i1 {going}, label %{body}, label %{done}")
        self.label(body)
        turn = Turn(i, states)
        yield turn
        after = self(f"add nsw i64 {i}, {step}")
        self.do(f"br label %{head}")
        self.lines[phis:phis] = [f"  {i} = phi i64 [{begin}, %{before}], [{after}, %{self.block}]"] + [
            f"  {s} = phi {kind} [{first}, %{before}], [{last}, %{self.block}]"
            for s, (kind, first), last in zip(states, carry, turn.next, strict=True)]
        self.label(done)
        turn.state = states

    @contextmanager
    def repeat(self, carry=()):
        """Runs the body, and again while ``turn.again`` (i1, set by the body) holds; carries as `loop` does. After it
        ``turn.state`` holds what the last turn left."""
        self._count += 1
        n, before = self._count, self.block
        head, done = f"head{n}", f"done{n}"
        states = [f"%c{n}_{j}" for j in range(len(carry))]
        self.do(f"br label %{head}")
        self.label(head)
        phis = len(self.lines)
        turn = Turn(None, states)
        yield turn
        self.lines[phis:phis] = [f"  {s} = phi {kind} [{first}, %{before}], [{last}, %{self.block}]"
                                 for s, (kind, first), last in zip(states, carry, turn.next, strict=True)]
        self.do(f"br i1 {turn.again}, label %{head}, label %{done}")
        self.label(done)
        turn.state = list(turn.next)

    @contextmanager
    def when(self, condition: str, likely: bool | None = None):
        """Runs the body where the condition (i1) holds."""
        self._count += 1
        yes, done = f"yes{self._count}", f"done{self._count}"
        self.do(f"br i1 {condition}, label %{yes}, label %{done}")
        self.label(yes)
        yield
        self.do(f"br label %{done}")
        self.label(done)

    @contextmanager
    def otherwise(self, condition: str):
        """Runs the body where the condition does not hold."""
        with self.when(self(f"xor i1 {condition}, true")):
            yield
