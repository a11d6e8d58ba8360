"""The syntax tree of a function, if its source is there and is the code that runs."""

from __future__ import annotations
import __future__

import ast
import inspect
import linecache
from types import CodeType, FunctionType
from typing import Any

FunctionNode = ast.FunctionDef | ast.Lambda

_GENERATES = 0x20 | 0x80 | 0x100 | 0x200  # co_flags of generators and coroutines
_NESTED = 0x10

_trees: dict[CodeType, FunctionNode | None] = {}
_bound: dict[ast.AST, frozenset[str]] = {}


def tree(function: FunctionType) -> FunctionNode | None:
    """The definition of a function. None if it is a generator, or if its source is missing or has changed."""
    code = function.__code__
    if code not in _trees:
        try:
            find = _lambda if code.co_name == "<lambda>" else _definition
            _trees[code] = None if code.co_flags & _GENERATES else find(code)
        except (SyntaxError, ValueError, IndexError):
            _trees[code] = None
    return _trees[code]


def _definition(code: CodeType) -> ast.FunctionDef | None:
    """The definition at a code's first line, if compiling it gives that code."""
    lines = linecache.getlines(code.co_filename)[code.co_firstlineno - 1:]
    block = inspect.getblock(lines)
    indent = block[0][:len(block[0]) - len(block[0].lstrip())] if block else ""
    above = 0
    if indent:  # inside of a class or a function, whose variables are those that the code takes from around it
        names = " = ".join([*code.co_freevars, "_"])
        block = ["def around():\n", f"{indent}{names} = None\n", *block]
        above = 2
    module = ast.parse("".join(block))
    ast.increment_lineno(module, code.co_firstlineno - 1 - above)
    future = code.co_flags & __future__.annotations.compiler_flag
    whole = compile(module, code.co_filename, "exec", flags=future, dont_inherit=True)
    found = [c for c in _codes(whole) if c.co_name == code.co_name and c.co_firstlineno == code.co_firstlineno]
    nodes = [n for n in ast.walk(module) if isinstance(n, ast.FunctionDef) and n.name == code.co_name
             and min([n.lineno, *(d.lineno for d in n.decorator_list)]) == code.co_firstlineno]
    return nodes[0] if len(found) == len(nodes) == 1 and _equal(found[0], code) else None


def _lambda(code: CodeType) -> ast.Lambda | None:
    """The lambda expression that a code was made of; its file is read whole, since a part of an expression is no source."""
    text = "".join(linecache.getlines(code.co_filename))
    module = ast.parse(text)
    if not any(_equal(c, code) for c in _codes(compile(text, code.co_filename, "exec", dont_inherit=True))
               if c.co_name == "<lambda>" and c.co_firstlineno == code.co_firstlineno):
        return None
    nodes = [n for n in ast.walk(module) if isinstance(n, ast.Lambda) and n.lineno == code.co_firstlineno]
    if len(nodes) > 1:
        nodes = [n for n in nodes if _is_of(code, n)]
    return nodes[0] if len(nodes) == 1 else None


def _is_of(code: CodeType, node: ast.Lambda) -> bool:
    """Whether the code is that of the lambda, where there are several on a line."""
    if not hasattr(code, "co_positions"):  # Python 3.10: by what it does; variables from around it are global here
        alone = next(_codes(compile(ast.Expression(node), code.co_filename, "eval", dont_inherit=True)))
        return [(op.replace("DEREF", "GLOBAL"), x) for op, _, x in _meaning(alone)] == \
            [(op.replace("DEREF", "GLOBAL"), x) for op, _, x in _meaning(code)]
    body = node.body
    place = body.lineno, body.end_lineno, body.col_offset, body.end_col_offset
    return place in code.co_positions()  # pyright: ignore[reportAttributeAccessIssue]


def _codes(code: CodeType):
    """The codes of all functions inside of a code."""
    for c in code.co_consts:
        if isinstance(c, CodeType):
            yield c
            yield from _codes(c)


def _equal(a: CodeType, b: CodeType) -> bool:
    """Whether two codes do the same; the names of the functions around them may differ."""
    return (a.co_varnames, a.co_freevars, a.co_flags & ~_NESTED) == (b.co_varnames, b.co_freevars, b.co_flags & ~_NESTED) and \
        _meaning(a) == _meaning(b)


# How a method is called depends on what else is in the file.
_CALLS = {"LOAD_METHOD": "LOAD_ATTR", "CALL_METHOD": "CALL", "CALL_FUNCTION": "CALL"}
_SILENT = {"PUSH_NULL", "PRECALL", "CACHE", "NOP", "EXTENDED_ARG"}


def _meaning(code: CodeType) -> list:
    """The instructions of a code; jumps go to the n-th of them."""
    import dis
    from bisect import bisect_left
    instructions = list(dis.get_instructions(code))
    places = [i.offset for i in instructions if i.opname not in _SILENT]
    out = []
    for i in instructions:
        if i.opname not in _SILENT:
            value: Any = i.argval
            if i.opcode in dis.hasjabs or i.opcode in dis.hasjrel:
                value = bisect_left(places, value)
            elif isinstance(value, CodeType):
                value = _meaning(value)
            elif isinstance(value, str) and "<locals>" in value:
                value = ""
            out.append((_CALLS.get(i.opname, i.opname), value.__class__, value))
    return out


def parameters(args: ast.arguments) -> list[str]:
    """All names that a call binds."""
    named = [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    return named + [a.arg for a in (args.vararg, args.kwarg) if a is not None]


def bound_names(function: FunctionNode) -> frozenset[str]:
    """The names that are a function's own: its parameters and what it assigns."""
    found = _bound.get(function)
    if found is None:
        names, others = set(parameters(function.args)), set()
        stack: list[ast.AST] = list(function.body) if isinstance(function, ast.FunctionDef) else [function.body]
        while stack:
            node = stack.pop()
            if isinstance(node, ast.Name):
                if not isinstance(node.ctx, ast.Load):
                    names.add(node.id)
            elif isinstance(node, (ast.Global, ast.Nonlocal)):
                others.update(node.names)
            elif isinstance(node, ast.ExceptHandler) and node.name:
                names.add(node.name)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                names.update((a.asname or a.name).partition(".")[0] for a in node.names)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add(node.name)
                stack.extend(node.decorator_list)
                continue
            if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
                names.update(_walrus(node))
                stack.append(node.generators[0].iter)
            elif not isinstance(node, ast.Lambda):
                stack.extend(ast.iter_child_nodes(node))
        found = _bound[function] = frozenset(names - others)
    return found


def _walrus(node: ast.AST) -> set[str]:
    return {n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr)}


def forget() -> None:
    """Lets go of every tree; sources are read again."""
    _trees.clear()
    _bound.clear()
