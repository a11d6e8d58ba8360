"""Evaluates functions on stand-ins, statement by statement, and has noted what they look at outside.

The values are Python's own. What was made inside may be read and changed freely; an object from outside is read through
`Objects`, which guards what is read, and is never changed.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import FunctionType
from typing import Any

from ..autograd.modes import no_grad, set_grad_enabled
from ..engine import NotCapturable
from ..tensor import Tensor
from .objects import PACKAGE, Inside, Objects
from .syntax import FunctionNode, bound_names, parameters, tree

_BINARY: dict[type, Callable] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.MatMult: operator.matmul,
    ast.LShift: operator.lshift, ast.RShift: operator.rshift, ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_, ast.BitXor: operator.xor}
_IN_PLACE: dict[type, Callable] = {
    ast.Add: operator.iadd, ast.Sub: operator.isub, ast.Mult: operator.imul, ast.Div: operator.itruediv,
    ast.FloorDiv: operator.ifloordiv, ast.Mod: operator.imod, ast.Pow: operator.ipow, ast.MatMult: operator.imatmul,
    ast.LShift: operator.ilshift, ast.RShift: operator.irshift, ast.BitAnd: operator.iand, ast.BitOr: operator.ior,
    ast.BitXor: operator.ixor}
_UNARY: dict[type, Callable] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Invert: operator.invert}
_COMPARE: dict[type, Callable] = {ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
                                  ast.Gt: operator.gt, ast.GtE: operator.ge}
_CONTEXTS = (no_grad, set_grad_enabled, nullcontext)
_FIXED = (type(None), bool, int, float, str)
MAX_DEPTH = 120


class _Return(Exception):
    def __init__(self, value):
        self.value = value


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Evaluator(Objects):
    """One capture's evaluation: from the outermost call on."""

    depth = 0

    def evaluate(self, function: FunctionType, args: tuple, kwargs: dict) -> Any:
        """What a Python function from outside returns for values inside."""
        node = tree(function)
        if node is None:
            raise NotCapturable(f"{function.__qualname__} is a generator, or its source is not there")
        name = self.outside.constant(function)
        if not function.__code__.co_filename.startswith(PACKAGE):
            self.outside.check(f"{name}.__code__ is {self.outside.constant(function.__code__)}")
            for part in ("__defaults__", "__kwdefaults__"):
                self.outside.check(f"{name}.{part} is {self.outside.constant(getattr(function, part))}")
        scope = f"{name}.__globals__", function.__globals__
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        defaults = [x if x.__class__ in _FIXED else self.outside.load(f"{name}.__defaults__[{i}]", x, True)
                    for i, x in enumerate(function.__defaults__ or ())]
        keyword = {k: self.outside.load(f"{name}.__kwdefaults__[{k!r}]", x, True)
                   for k, x in (function.__kwdefaults__ or {}).items()}
        frame = Frame(self, node, scope, None, cells)
        frame.where = function.__code__.co_filename
        return frame.call(args, kwargs, defaults, keyword)


class Inner(Inside):
    """A function that is defined inside of one that is evaluated."""

    def __init__(self, frame: Frame, node: FunctionNode, defaults: list, keyword: dict):
        self.frame, self.node, self.defaults, self.keyword = frame, node, defaults, keyword
        self.__name__ = getattr(node, "name", "<lambda>")

    def __call__(self, *args, **kwargs):
        outer = self.frame
        frame = Frame(outer.evaluator, self.node, outer.scope, outer, outer.cells)
        frame.where = outer.where
        return frame.call(args, kwargs, self.defaults, self.keyword)


class Frame:
    """One call of a function (or one comprehension): its variables, and the rules of the language."""

    where = "?"

    def __init__(self, evaluator: Evaluator, node: Any, scope: tuple[str, dict], outer: Frame | None, cells: dict):
        self.evaluator, self.node, self.scope, self.outer, self.cells = evaluator, node, scope, outer, cells
        self.values: dict[str, Any] = {}
        self.own = bound_names(node) if isinstance(node, (ast.FunctionDef, ast.Lambda)) else None
        self.first: str | None = None

    # -- calls and names -----------------------------------------------------------------------------------------------

    def call(self, args: tuple, kwargs: dict, defaults: list, keyword: dict) -> Any:
        self.bind(args, dict(kwargs), defaults, keyword)
        evaluator = self.evaluator
        if evaluator.depth >= MAX_DEPTH:
            raise NotCapturable("calls too deep")
        evaluator.depth += 1
        try:
            if isinstance(self.node, ast.Lambda):
                return self.value(self.node.body)
            self.run(self.node.body)
        except _Return as result:
            return result.value
        finally:
            evaluator.depth -= 1
        return None

    def bind(self, args: tuple, kwargs: dict, defaults: list, keyword: dict) -> None:
        spec = self.node.args
        names = [a.arg for a in (*spec.posonlyargs, *spec.args)]
        self.first = names[0] if names else spec.vararg.arg if spec.vararg else None
        values = dict(zip(names, args, strict=False))
        if spec.vararg is not None:
            values[spec.vararg.arg] = tuple(args[len(names):])
        elif len(args) > len(names):
            raise TypeError("too many positional arguments")
        for name in [*names[len(spec.posonlyargs):], *(a.arg for a in spec.kwonlyargs)]:
            if name in kwargs:
                if name in values:
                    raise TypeError(f"multiple values for argument {name!r}")
                values[name] = kwargs.pop(name)
        for name, x in zip(names[len(names) - len(defaults):], defaults, strict=True):
            values.setdefault(name, x)
        for name, x in keyword.items():
            values.setdefault(name, x)
        if spec.kwarg is not None:
            values[spec.kwarg.arg] = kwargs
        elif kwargs:
            raise TypeError(f"unexpected arguments {list(kwargs)}")
        missing = set(parameters(spec)) - set(values)
        if missing:
            raise TypeError(f"missing arguments {sorted(missing)}")
        self.values = values

    def lookup(self, name: str) -> Any:
        frame: Frame | None = self
        while frame is not None:
            if name in frame.values:
                return frame.values[name]
            if frame.own is not None and name in frame.own:
                raise UnboundLocalError(f"cannot access local variable {name!r} where it is not associated with a value")
            frame = frame.outer
        outside = self.evaluator.outside
        if name in self.cells:
            cell = self.cells[name]
            return outside.load(f"{outside.constant(cell)}.cell_contents", cell.cell_contents, True)
        text, variables = self.scope
        if name in variables:
            return outside.load(f"{text}[{name!r}]", variables[name], True)
        builtins = variables["__builtins__"]
        builtins = builtins if isinstance(builtins, dict) else vars(builtins)
        if name not in builtins:
            raise NameError(f"name {name!r} is not defined")
        outside.check(f"{name!r} not in {text}")
        return builtins[name]

    def owner(self, name: str) -> Frame:
        """The frame whose variable an assignment means."""
        frame: Frame | None = self
        while frame is not None:
            if frame.own is not None and name in frame.own:
                return frame
            frame = frame.outer
        raise NotCapturable(f"assigns the variable {name} of another function")

    # -- statements ----------------------------------------------------------------------------------------------------

    def run(self, body: list[ast.stmt]) -> None:
        for statement in body:
            rule = getattr(self, "run_" + type(statement).__name__, None)
            if rule is None:
                raise NotCapturable(f"has a statement that is not evaluated ({type(statement).__name__})", self.place(statement))
            try:
                rule(statement)
            except NotCapturable as refused:
                refused.place = refused.place or self.place(statement)
                raise

    def place(self, node: ast.AST) -> str:
        return f"{self.where}:{getattr(node, 'lineno', 0)}"

    def run_Expr(self, s: ast.Expr) -> None:
        self.value(s.value)

    def run_Pass(self, s) -> None:
        pass

    run_Global = run_Nonlocal = run_Pass

    def run_Return(self, s: ast.Return) -> None:
        raise _Return(None if s.value is None else self.value(s.value))

    def run_Break(self, s) -> None:
        raise _Break

    def run_Continue(self, s) -> None:
        raise _Continue

    def run_Assign(self, s: ast.Assign) -> None:
        value = self.value(s.value)
        for target in s.targets:
            self.assign(target, value)

    def run_AnnAssign(self, s: ast.AnnAssign) -> None:
        if s.value is not None:
            self.assign(s.target, self.value(s.value))

    def run_AugAssign(self, s: ast.AugAssign) -> None:
        if any(isinstance(n, (ast.Call, ast.NamedExpr)) for n in ast.walk(s.target)):
            raise NotCapturable("updates in place what a call gives, or at a place that is assigned there")
        old = self.value(s.target)  # rules of expressions do not ask for the context
        self.assign(s.target, self.evaluator.binary(_IN_PLACE[type(s.op)], old, self.value(s.value), True))

    def run_If(self, s: ast.If) -> None:
        self.run(s.body if self.evaluator.truth(self.value(s.test)) else s.orelse)

    def run_Assert(self, s: ast.Assert) -> None:
        if not self.evaluator.truth(self.value(s.test)):
            raise AssertionError(None if s.msg is None else self.value(s.msg))

    def run_For(self, s: ast.For) -> None:
        for item in self.evaluator.iterate(self.value(s.iter)):
            self.assign(s.target, item)
            try:
                self.run(s.body)
            except _Break:
                return
            except _Continue:
                pass
        self.run(s.orelse)

    def run_While(self, s: ast.While) -> None:
        while self.evaluator.truth(self.value(s.test)):
            try:
                self.run(s.body)
            except _Break:
                return
            except _Continue:
                pass
        self.run(s.orelse)

    def run_With(self, s: ast.With) -> None:
        self._with(s.items, s.body)

    def _with(self, items: list[ast.withitem], body: list[ast.stmt]) -> None:
        if not items:
            self.run(body)
            return
        context = self.value(items[0].context_expr)
        if not isinstance(context, _CONTEXTS) or self.evaluator.outside.name_of(context):
            raise NotCapturable(f"enters {type(context).__name__}")
        with context as entered:
            if items[0].optional_vars is not None:
                self.assign(items[0].optional_vars, entered)
            self._with(items[1:], body)

    def run_Raise(self, s: ast.Raise) -> None:
        raise NotCapturable("raises an exception")

    def run_Delete(self, s: ast.Delete) -> None:
        for target in s.targets:
            if isinstance(target, ast.Name):
                self.lookup(target.id)
                self.owner(target.id).values.pop(target.id)
            elif isinstance(target, ast.Subscript):
                self.evaluator.delete_item(self.value(target.value), self.value(target.slice))
            else:
                raise NotCapturable("deletes an attribute")

    def run_FunctionDef(self, s: ast.FunctionDef) -> None:
        if any(isinstance(n, (ast.Yield, ast.YieldFrom, ast.Await)) for n in ast.walk(s)):
            raise NotCapturable("defines a generator")
        made: Any = self._inner(s)
        for decorator in reversed(s.decorator_list):
            made = self.evaluator.call(self.value(decorator), (made,), {})
        self.owner(s.name).values[s.name] = made

    def _inner(self, node: FunctionNode) -> Inner:
        keyword = {a.arg: self.value(d) for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d is not None}
        return Inner(self, node, [self.value(d) for d in node.args.defaults], keyword)

    # -- assignment ----------------------------------------------------------------------------------------------------

    def assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self.owner(target.id).values[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            values = list(self.evaluator.iterate(value))
            stars = [i for i, t in enumerate(target.elts) if isinstance(t, ast.Starred)]
            if stars:
                i, after = stars[0], len(target.elts) - stars[0] - 1
                if len(values) < i + after:
                    raise ValueError("not enough values to unpack")
                values[i:len(values) - after] = [values[i:len(values) - after]]
            for t, v in zip(target.elts, values, strict=True):
                self.assign(t.value if isinstance(t, ast.Starred) else t, v)
        elif isinstance(target, ast.Subscript):
            self.evaluator.set_item(self.value(target.value), self.value(target.slice), value)
        elif isinstance(target, ast.Attribute):
            self.evaluator.set_attribute(self.value(target.value), self.mangled(target.attr), value)
        else:
            raise NotCapturable(f"assigns to {type(target).__name__}")

    def mangled(self, name: str) -> str:
        if name.startswith("__") and not name.endswith("__"):
            raise NotCapturable(f"uses the private name {name}")
        return name

    # -- expressions ---------------------------------------------------------------------------------------------------

    def value(self, e: ast.expr) -> Any:
        rule = getattr(self, "value_" + type(e).__name__, None)
        if rule is None:
            raise NotCapturable(f"has an expression that is not evaluated ({type(e).__name__})", self.place(e))
        try:
            return rule(e)
        except NotCapturable as refused:
            refused.place = refused.place or self.place(e)
            raise

    def value_Constant(self, e: ast.Constant) -> Any:
        return e.value

    def value_Name(self, e: ast.Name) -> Any:
        return self.lookup(e.id)

    def value_NamedExpr(self, e: ast.NamedExpr) -> Any:
        value = self.value(e.value)
        self.assign(e.target, value)
        return value

    def value_Attribute(self, e: ast.Attribute) -> Any:
        return self.evaluator.attribute(self.value(e.value), self.mangled(e.attr))

    def value_Subscript(self, e: ast.Subscript) -> Any:
        return self.evaluator.item(self.value(e.value), self.value(e.slice))

    def value_Slice(self, e: ast.Slice) -> slice:
        return slice(*[None if x is None else self.value(x) for x in (e.lower, e.upper, e.step)])

    def value_BinOp(self, e: ast.BinOp) -> Any:
        return self.evaluator.binary(_BINARY[type(e.op)], self.value(e.left), self.value(e.right))

    def value_UnaryOp(self, e: ast.UnaryOp) -> Any:
        value = self.value(e.operand)
        if isinstance(e.op, ast.Not):
            return not self.evaluator.truth(value)
        return _UNARY[type(e.op)](self.evaluator.native(value))

    def value_BoolOp(self, e: ast.BoolOp) -> Any:
        stops = isinstance(e.op, ast.Or)
        for x in e.values[:-1]:
            value = self.value(x)
            if self.evaluator.truth(value) is stops:
                return value
        return self.value(e.values[-1])

    def value_IfExp(self, e: ast.IfExp) -> Any:
        return self.value(e.body if self.evaluator.truth(self.value(e.test)) else e.orelse)

    def value_Compare(self, e: ast.Compare) -> Any:
        left = self.value(e.left)
        result: Any = True
        for op, x in zip(e.ops, e.comparators, strict=True):
            right = self.value(x)
            if isinstance(op, (ast.Is, ast.IsNot)):
                result = self.evaluator.same(left, right) is isinstance(op, ast.Is)
            elif isinstance(op, (ast.In, ast.NotIn)):
                result = self.evaluator.contains(right, left) is isinstance(op, ast.In)
            else:
                result = self.evaluator.binary(_COMPARE[type(op)], left, right)
            if len(e.ops) > 1 and not self.evaluator.truth(result):
                return result
            left = right
        return result

    def elements(self, items: list[ast.expr]) -> list:
        out: list = []
        for x in items:
            if isinstance(x, ast.Starred):
                out.extend(self.evaluator.iterate(self.value(x.value)))
            else:
                out.append(self.value(x))
        return out

    def value_Tuple(self, e: ast.Tuple) -> tuple:
        return tuple(self.elements(e.elts))

    def value_List(self, e: ast.List) -> list:
        return self.elements(e.elts)

    def value_Set(self, e: ast.Set) -> set:
        return set(self.elements(e.elts))

    def value_Dict(self, e: ast.Dict) -> dict:
        out: dict = {}
        for k, v in zip(e.keys, e.values, strict=True):
            if k is None:
                out.update(self.evaluator.native_dict(self.value(v)))
            else:
                key = self.value(k)
                out[key] = self.value(v)
        return out

    def value_JoinedStr(self, e: ast.JoinedStr) -> str:
        return "".join([str(self.value(x)) for x in e.values])

    def value_FormattedValue(self, e: ast.FormattedValue) -> str:
        value = self.evaluator.native(self.value(e.value))
        if isinstance(value, Tensor):
            raise NotCapturable("prints a tensor")
        value = {-1: lambda x: x, 115: str, 114: repr, 97: ascii}[e.conversion](value)
        return format(value, "" if e.format_spec is None else self.value(e.format_spec))

    def value_Lambda(self, e: ast.Lambda) -> Inner:
        return self._inner(e)

    def value_Call(self, e: ast.Call) -> Any:
        args = None
        if isinstance(e.func, ast.Name) and e.func.id == "super" and not e.args:
            args = (self.lookup("__class__"), self.lookup(self._first()))
            return super(*args)
        if isinstance(e.func, ast.Attribute):
            target = self.value(e.func.value)
            function = self.evaluator.method(target, self.mangled(e.func.attr))
        else:
            function = self.value(e.func)
        args = tuple(self.elements(e.args))
        kwargs: dict = {}
        for k in e.keywords:
            if k.arg is None:
                kwargs.update(self.evaluator.native_dict(self.value(k.value)))
            else:
                kwargs[k.arg] = self.value(k.value)
        return self.evaluator.call(function, args, kwargs)

    def _first(self) -> str:
        frame: Frame = self
        while frame.outer is not None:
            frame = frame.outer
        if frame.first is None:
            raise NotCapturable("calls super() without self")
        return frame.first

    # -- comprehensions ------------------------------------------------------------------------------------------------

    def _comprehension(self, e: Any, make: Callable[[Frame], Any]) -> Iterator:
        """What ``make`` gives for each combination, lazily; the first iterable is evaluated at once, as Python does."""
        frame = Frame(self.evaluator, e, self.scope, self, self.cells)
        frame.where, frame.own = self.where, frozenset(_targets(e))
        first = self.evaluator.iterate(self.value(e.generators[0].iter))

        def level(i: int) -> Iterator:
            if i == len(e.generators):
                yield make(frame)
                return
            generator = e.generators[i]
            for item in first if i == 0 else self.evaluator.iterate(frame.value(generator.iter)):
                frame.assign(generator.target, item)
                if all(self.evaluator.truth(frame.value(test)) for test in generator.ifs):
                    yield from level(i + 1)
        return level(0)

    def value_ListComp(self, e: ast.ListComp) -> list:
        return list(self._comprehension(e, lambda frame: frame.value(e.elt)))

    def value_SetComp(self, e: ast.SetComp) -> set:
        return set(self._comprehension(e, lambda frame: frame.value(e.elt)))

    def value_GeneratorExp(self, e: ast.GeneratorExp) -> Iterator:
        return self._comprehension(e, lambda frame: frame.value(e.elt))

    def value_DictComp(self, e: ast.DictComp) -> dict:
        return dict(self._comprehension(e, lambda frame: (frame.value(e.key), frame.value(e.value))))


def _targets(e: Any) -> set[str]:
    """The variables of a comprehension."""
    return {n.id for g in e.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
