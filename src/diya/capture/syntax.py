"""The syntax tree of a function, if its source is there and is the code that runs."""

from __future__ import annotations

import ast
import linecache
from types import CodeType, FunctionType
from typing import NamedTuple

FunctionNode = ast.FunctionDef | ast.Lambda

_GENERATES = 0x20 | 0x80 | 0x100 | 0x200  # co_flags of generators and coroutines


class _File(NamedTuple):
    nodes: dict[tuple[str, int], list[FunctionNode]]  # by name and first line, in order of appearance
    codes: dict[tuple[str, int], list[CodeType]]


_files: dict[str, _File | None] = {}
_trees: dict[CodeType, FunctionNode | None] = {}
_bound: dict[ast.AST, frozenset[str]] = {}


def tree(function: FunctionType) -> FunctionNode | None:
    """The definition of a function. None if it is a generator, or if its source is missing or has changed."""
    code = function.__code__
    if code not in _trees:
        _trees[code] = None if code.co_flags & _GENERATES else _find(code)
    return _trees[code]


def _find(code: CodeType) -> FunctionNode | None:
    name = code.co_filename
    if name not in _files:
        _files[name] = _read(name)
    file = _files[name]
    key = code.co_name, code.co_firstlineno
    if file is None or key not in file.codes:
        return None
    nodes, codes = file.nodes[key], file.codes[key]
    if code not in codes:
        return None
    if len(nodes) > 1:
        nodes = [n for n in nodes if isinstance(n, ast.Lambda) and _is_at(code, n.body)]
    return nodes[0] if len(nodes) == 1 else None


def _is_at(code: CodeType, body: ast.expr) -> bool:
    """Whether the code's result is the expression at that place: for several lambdas on a line."""
    if not hasattr(code, "co_positions"):  # Python 3.10
        return False
    return (body.lineno, body.end_lineno, body.col_offset, body.end_col_offset) in code.co_positions()  # pyright: ignore[reportAttributeAccessIssue]


def _read(name: str) -> _File | None:
    text = "".join(linecache.getlines(name))
    try:
        module = ast.parse(text, name)
        whole = compile(text, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    file = _File({}, {})
    for node in _in_order(module):
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            file.nodes.setdefault((node.name, first), []).append(node)
        elif isinstance(node, ast.Lambda):
            file.nodes.setdefault(("<lambda>", node.lineno), []).append(node)

    def collect(code: CodeType) -> None:
        for c in code.co_consts:
            if isinstance(c, CodeType):
                file.codes.setdefault((c.co_name, c.co_firstlineno), []).append(c)
                collect(c)
    collect(whole)
    return file


def _in_order(node: ast.AST):
    for child in ast.iter_child_nodes(node):
        yield child
        yield from _in_order(child)


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
    _files.clear()
    _trees.clear()
    _bound.clear()
