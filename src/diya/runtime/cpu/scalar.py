"""Python functions of numbers as machine code, for what computes one number at a time (samples by rejection).

The functions are ordinary Python, run as such where there is no compiler, and give the same bits either way: numbers are
float64, functions of `math` are the C library's, nothing is fused or reordered. Understood are local variables, arithmetic,
comparisons, ``and or not``, ``if while break continue return``, constants and functions of the module, and a stream's
``uniform()`` and ``spare``. Where Python raises (``1 / 0``, ``log(0)``) machine code goes on with inf or NaN, so functions
keep away from both.
"""

from __future__ import annotations

import ast
import inspect
import math
import struct
import textwrap
from collections.abc import Callable
from typing import Any

from ...compiler.emit.text import Function

_FUNCTIONS: dict[Callable, str] = {
    abs: "llvm.fabs.f64", math.sqrt: "llvm.sqrt.f64", math.ceil: "llvm.ceil.f64", math.floor: "llvm.floor.f64",
    math.exp: "exp", math.log: "log", math.log1p: "log1p", math.sin: "sin", math.cos: "cos", math.lgamma: "lgamma"}
_ARITHMETIC = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_COMPARISONS = {ast.Lt: "olt", ast.LtE: "ole", ast.Gt: "ogt", ast.GtE: "oge", ast.Eq: "oeq", ast.NotEq: "une"}
_STREAM = "stream"  # the name of the parameter that is one

# A stream is what `numpy.random.BitGenerator.ctypes` gives, a function for the next 64 bits and its argument, and a spare
# number: 24 bytes. A uniform number has the lower 53 bits.
_UNIFORM = """
define internal double @uniform(ptr %stream) alwaysinline nounwind {
  %next = load ptr, ptr %stream
  %p.state = getelementptr i64, ptr %stream, i64 1
  %state = load ptr, ptr %p.state
  %word = call i64 %next(ptr %state)
  %bits = and i64 %word, 9007199254740991
  %whole = uitofp i64 %bits to double
  %u = fmul double %whole, 0x3CA0000000000000
  ret double %u
}
"""


def module(draw: Callable, parameters: int) -> str:
    """The text of a module that defines ``each(stream, out, n, p0, p1, ...)``: ``out[i] = draw(stream, p0[i], ...)``."""
    done: dict[Callable, Function] = {}
    name = _translate(draw, done)
    pointers = [f"p{i}" for i in range(parameters)]
    f = Function("each", [("ptr", _STREAM), ("ptr", "out"), ("i64", "n"), *(("ptr", p) for p in pointers)])
    with f.loop(0, "%n") as turn:
        values = [f"double {f.load('double', f.at('double', f'%{p}', turn.i))}" for p in pointers]
        sample = f(f"call double @{name}({', '.join([f'ptr %{_STREAM}', *values])})")
        f.store("double", sample, f.at("double", "%out", turn.i))
    f.do("ret void")
    functions = [f, *done.values()]
    return "\n".join([_UNIFORM, *sorted({d for each in functions for d in each.declared}), *map(str, functions)])


def _translate(function: Callable, done: dict[Callable, Function]) -> str:
    """The name of the function in the module, to which it is added unless it is there."""
    name = f"py{function.__name__}"
    if function not in done:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
        assert isinstance(tree, ast.FunctionDef)
        _Translator(function, tree, name, done)
    return name


def _constant(value: float) -> str:
    return f"0x{struct.pack('>d', value).hex().upper()}"


class _Translator:
    """Writes one function. Variables are memory, which LLVM's ``sroa`` makes values."""

    def __init__(self, function: Callable, tree: ast.FunctionDef, name: str, done: dict[Callable, Function]):
        self.done, self.globals, self.python = done, function.__globals__, function.__name__
        names = [a.arg for a in tree.args.args]
        kinds = [("ptr" if n == _STREAM else "double", n) for n in names]
        self.f = done[function] = Function(name, kinds, "internal double", "nounwind")
        self.locals = {n: self._variable(n) for n in sorted(_assigned(tree) | set(names) - {_STREAM})}
        for kind, n in kinds:
            if kind == "double":
                self.f.store("double", f"%{n}", self.locals[n])
        self.loops: list[tuple[str, str]] = []  # of each loop we are in: where ``continue`` and ``break`` go
        self.labels = 0
        self._run(tree.body)
        self.f.do("unreachable")  # a function ends with a return

    def _variable(self, name: str) -> str:
        self.f.do("%v.{} = alloca double", name)
        return f"%v.{name}"

    def _unknown(self, node: ast.AST) -> NotImplementedError:
        return NotImplementedError(f"compiling {self.python}: {ast.unparse(node)!r} is not understood")

    # Statements

    def _run(self, body: list[ast.stmt]) -> None:
        for statement in body:
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):  # a docstring
                rule = getattr(self, f"_run_{type(statement).__name__}", None)
                if rule is None:
                    raise self._unknown(statement)
                rule(statement)

    def _run_Assign(self, s: ast.Assign) -> None:
        (target,) = s.targets
        if isinstance(target, ast.Tuple) and isinstance(s.value, ast.Tuple):
            values = [self._number(v) for v in s.value.elts]
            for each, value in zip(target.elts, values, strict=True):
                self.f.store("double", value, self._address(each))
        else:
            self.f.store("double", self._number(s.value), self._address(target))

    def _run_AugAssign(self, s: ast.AugAssign) -> None:
        value = self._binary(s, s.op, s.target, s.value)
        self.f.store("double", value, self._address(s.target))

    def _run_Return(self, s: ast.Return) -> None:
        if s.value is None:
            raise self._unknown(s)
        self.f.do("ret double {}", self._number(s.value))
        self.f.label(self._label("after"))

    def _run_If(self, s: ast.If) -> None:
        yes, no, end = self._label("then"), self._label("else"), self._label("end")
        self._branch(s.test, yes, no)
        for label, body in ((yes, s.body), (no, s.orelse)):
            self.f.label(label)
            self._run(body)
            self._go(end)
        self.f.label(end)

    def _run_While(self, s: ast.While) -> None:
        if s.orelse:
            raise self._unknown(s)
        head, body, end = self._label("while"), self._label("do"), self._label("done")
        self._go(head)
        self.f.label(head)
        self._branch(s.test, body, end)
        self.f.label(body)
        self.loops.append((head, end))
        self._run(s.body)
        self.loops.pop()
        self._go(head)
        self.f.label(end)

    def _run_Continue(self, s: ast.Continue) -> None:
        self._go(self.loops[-1][0])
        self.f.label(self._label("after"))

    def _run_Break(self, s: ast.Break) -> None:
        self._go(self.loops[-1][1])
        self.f.label(self._label("after"))

    def _label(self, what: str) -> str:
        self.labels += 1
        return f"{what}.{self.labels}"

    def _go(self, label: str) -> None:
        self.f.do(f"br label %{label}")

    def _address(self, target: ast.expr) -> str:
        if isinstance(target, ast.Name):
            return self.locals[target.id]
        if isinstance(target, ast.Attribute) and ast.unparse(target) == f"{_STREAM}.spare":
            return self.f.at("i64", f"%{_STREAM}", 2)
        raise self._unknown(target)

    # Conditions

    def _branch(self, test: ast.expr, yes: str, no: str) -> None:
        """Goes to one of two labels; operands of ``and`` and ``or`` that do not matter are not evaluated."""
        if isinstance(test, ast.BoolOp):
            *first, last = test.values
            for operand in first:
                more = self._label("more")
                self._branch(operand, *((more, no) if isinstance(test.op, ast.And) else (yes, more)))
                self.f.label(more)
            self._branch(last, yes, no)
        elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            self._branch(test.operand, no, yes)
        elif isinstance(test, ast.Compare) and len(test.ops) == 1:
            left, right = self._number(test.left), self._number(test.comparators[0])
            holds = self.f(f"fcmp {_COMPARISONS[type(test.ops[0])]} double {left}, {right}")
            self.f.do(f"br i1 {holds}, label %{yes}, label %{no}")
        elif isinstance(test, ast.Call) and self._value(test.func) is math.isnan:
            x = self._number(test.args[0])
            self.f.do(f"br i1 {self.f(f'fcmp uno double {x}, {x}')}, label %{yes}, label %{no}")
        else:  # a number is true unless it is 0
            holds = self.f(f"fcmp une double {self._number(test)}, 0.0")
            self.f.do(f"br i1 {holds}, label %{yes}, label %{no}")

    # Numbers

    def _number(self, e: ast.expr) -> str:
        known = self._value(e)
        if isinstance(known, (int, float)):
            return _constant(float(known))
        if isinstance(e, (ast.Name, ast.Attribute)):
            return self.f.load("double", self._address(e))
        if isinstance(e, ast.BinOp):
            return self._binary(e, e.op, e.left, e.right)
        if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.USub):
            return self.f(f"fneg double {self._number(e.operand)}")
        if isinstance(e, ast.IfExp):
            return self._conditional(e)
        if isinstance(e, ast.Call):
            return self._call(e)
        if isinstance(e, ast.Subscript):
            return self._looked_up(e)
        raise self._unknown(e)

    def _looked_up(self, e: ast.Subscript) -> str:
        """``TABLE[int(x)]`` of a tuple of numbers."""
        table = self._value(e.value)
        if not isinstance(table, tuple) or not (isinstance(e.slice, ast.Call) and self._value(e.slice.func) is int):
            raise self._unknown(e)
        name, kind = f"@{ast.unparse(e.value)}", f"[{len(table)} x double]"
        values = ", ".join(f"double {_constant(v)}" for v in table)
        self.f.declared.add(f"{name} = private constant {kind} [{values}]")
        index = self.f(f"fptosi double {self._number(e.slice.args[0])} to i64")
        return self.f.load("double", self.f.at("double", name, index))

    def _binary(self, e: ast.AST, op: ast.operator, left: ast.expr, right: ast.expr) -> str:
        a, b = self._number(left), self._number(right)
        if isinstance(op, ast.Pow):
            return self.f.call("double", "pow", f"double {a}", f"double {b}")
        if type(op) not in _ARITHMETIC:
            raise self._unknown(e)
        return self.f(f"{_ARITHMETIC[type(op)]} double {a}, {b}")

    def _conditional(self, e: ast.IfExp) -> str:
        yes, no, end = self._label("if"), self._label("or"), self._label("either")
        self._branch(e.test, yes, no)
        values = []
        for label, each in ((yes, e.body), (no, e.orelse)):
            self.f.label(label)
            values.append((self._number(each), self.f.block))
            self._go(end)
        self.f.label(end)
        return self.f("phi double " + ", ".join(f"[ {v}, %{block} ]" for v, block in values))

    def _call(self, e: ast.Call) -> str:
        if ast.unparse(e) == f"{_STREAM}.uniform()":
            return self.f(f"call double @uniform(ptr %{_STREAM})")
        called = self._value(e.func)
        arguments = [f"ptr %{_STREAM}" if ast.unparse(a) == _STREAM else f"double {self._number(a)}" for a in e.args]
        if called in _FUNCTIONS:
            return self.f.call("double", _FUNCTIONS[called], *arguments)
        if inspect.isfunction(called):
            return self.f(f"call double @{_translate(called, self.done)}({', '.join(arguments)})")
        raise self._unknown(e)

    def _value(self, e: ast.expr) -> Any:
        """What an expression without variables stands for, or None."""
        for node in ast.walk(e):
            if isinstance(node, ast.Call) or isinstance(node, ast.Name) and (node.id in self.locals or node.id == _STREAM):
                return None
        return eval(compile(ast.Expression(e), self.python, "eval"), self.globals)


def _assigned(tree: ast.FunctionDef) -> set[str]:
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
