"""A graph: a list of nodes in the order of their running, and the Python that it stands for."""

from __future__ import annotations

import builtins
import copy
import enum
import keyword
import math
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .node import Node, Target, _get_qualified_name, _module_of, map_arg, public_path

_OPERATORS = {"add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "floordiv": "{} // {}", "truediv": "{} / {}", "mod": "{} % {}",
              "pow": "{} ** {}", "lshift": "{} << {}", "rshift": "{} >> {}", "and_": "{} & {}", "or_": "{} | {}", "xor": "{} ^ {}",
              "matmul": "{} @ {}", "eq": "{} == {}", "ne": "{} != {}", "lt": "{} < {}", "gt": "{} > {}", "le": "{} <= {}",
              "ge": "{} >= {}", "getitem": "{}[{}]", "pos": "+{}", "neg": "-{}", "invert": "~{}"}
_FORMATS: dict[Any, str] = {getattr(operator, name): form for name, form in _OPERATORS.items()}
_UPDATES: dict[Any, str] = {getattr(operator, f"i{name.rstrip('_')}"): form.split()[1] for name, form in _OPERATORS.items()
                            if hasattr(operator, f"i{name.rstrip('_')}")}


def snake_case(text: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()


class Namespace:
    """Names that are taken. A name that is taken already gets a number."""

    def __init__(self) -> None:
        self._objects: dict[Any, str] = {}
        self._used: set[str] = set()
        self._next: dict[str, int] = {}

    def create_name(self, candidate: str, obj: Any = None) -> str:
        if obj is not None and obj in self._objects:
            return self._objects[obj]
        candidate = re.sub(r"[^0-9a-zA-Z_]+", "_", candidate) or "_unnamed"
        if candidate[0].isdigit():
            candidate = f"_{candidate}"
        base, number = candidate, self._next.get(candidate, 0)
        match = re.fullmatch(r"(.*)_(\d+)", candidate)
        if match is not None:
            base, number = match[1], self._next.get(match[1], int(match[2]))
        name = candidate
        while name in self._used or keyword.iskeyword(name) or (obj is None or isinstance(obj, Node)) and hasattr(builtins, name) \
                or name == "torch" or name == "self":
            number += 1
            name = f"{base}_{number}"
        self._next[base] = number
        self._used.add(name)
        if obj is not None:
            self._objects[obj] = name
        return name

    def associate_name_with_obj(self, name: str, obj: Any) -> None:
        self._objects[obj] = name


class PythonCode(NamedTuple):
    """``src`` defines ``forward``; ``globals`` are the objects that it names."""

    src: str
    globals: dict[str, Any]


class CodeGen:
    """How a graph is written as Python. A subclass may change how arguments come in and the result goes out."""

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str = "") -> str:
        if not free_vars or free_vars[0] != "self":
            free_vars.insert(0, "self")
        return f"def forward({', '.join(free_vars)}){maybe_return_annotation}:"

    def generate_output(self, output_args: Any) -> str:
        return f"return {output_args!r}"

    def process_inputs(self, *args: Any) -> Any:
        return args

    def process_outputs(self, outputs: Any) -> Any:
        return outputs

    def additional_globals(self) -> list[tuple[str, Any]]:
        return []


class _Inserting:
    def __init__(self, graph: Graph, place: Callable[[Node], None]):
        self.graph, self.previous = graph, graph._insert
        graph._insert = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc) -> None:
        self.graph._insert = self.previous


class _Nodes:
    """The nodes of a graph in their order. The graph may change while they are gone through."""

    def __init__(self, graph: Graph, backward: bool = False):
        self.graph, self.backward = graph, backward

    def __len__(self) -> int:
        return self.graph._len

    def __iter__(self) -> Iterator[Node]:
        root = self.graph._root
        at = root._prev if self.backward else root._next
        while at is not root:
            if not at._erased:
                yield at
            at = at._prev if self.backward else at._next

    def __reversed__(self) -> _Nodes:
        return _Nodes(self.graph, not self.backward)


class Graph:
    """Nodes, made by `placeholder`, `call_function` and their like, in the order in which they run."""

    def __init__(self, owning_module: Any = None, tracer_cls: type | None = None, tracer_extras: dict | None = None):
        self._root = Node(self, "", "root", "")
        self._len = 0
        self._insert: Callable[[Node], None] = self._root.prepend
        self._namespace = Namespace()
        self.owning_module = owning_module
        self._tracer_cls, self._tracer_extras = tracer_cls, tracer_extras
        self._codegen = CodeGen()
        self._rewrites: list[Callable] = []

    @property
    def nodes(self) -> Any:
        return _Nodes(self)

    def output_node(self) -> Node:
        last = next(iter(reversed(self.nodes)))
        if last.op != "output":
            raise AssertionError(f"expected the last node to be the output, got {last.op}")
        return last

    def find_nodes(self, *, op: str, target: Target | None = None, sort: bool = True) -> list[Node]:
        return [node for node in self.nodes if node.op == op and (target is None or op == "placeholder" or node.target == target)]

    # -- making nodes ------------------------------------------------------------------------------------------------

    def create_node(self, op: str, target: Target, args: tuple | None = None, kwargs: dict | None = None, name: str | None = None,
                    type_expr: Any = None) -> Node:
        """A new node where nodes are inserted at the moment (see `inserting_before`): at the end, if nothing else was said."""
        args, kwargs = () if args is None else args, {} if kwargs is None else kwargs
        if not isinstance(args, tuple):
            raise AssertionError(f"args must be a tuple, got {type(args).__name__}")
        if not isinstance(kwargs, dict):
            raise AssertionError(f"kwargs must be a dict, got {type(kwargs).__name__}")
        node = Node(self, self._namespace.create_name(name or self._target_to_str(target)), op, target, args, kwargs, type_expr)
        self._namespace.associate_name_with_obj(node.name, node)
        self._insert(node)
        self._len += 1
        return node

    @staticmethod
    def _target_to_str(target: Target) -> str:
        if isinstance(target, str):
            name = target
            if name.startswith("__") and name.endswith("__"):
                name = name[2:-2]
        else:
            name = (public_path(target) or getattr(target, "__name__", type(target).__name__)).rpartition(".")[2]
        return snake_case(name.strip("_") if name == "_functional" else name)

    def placeholder(self, name: str, type_expr: Any = None, default_value: Any = ...) -> Node:
        """An input of the graph."""
        return self.create_node("placeholder", name, () if default_value is ... else (default_value,), type_expr=type_expr)

    def get_attr(self, qualified_name: str, type_expr: Any = None) -> Node:
        """A parameter, a buffer or another attribute of the module, by its path."""
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_function(self, the_function: Callable, args: tuple | None = None, kwargs: dict | None = None, type_expr: Any = None,
                      name: str | None = None) -> Node:
        return self.create_node("call_function", the_function, args, kwargs, name, type_expr)

    def call_method(self, method_name: str, args: tuple | None = None, kwargs: dict | None = None, type_expr: Any = None) -> Node:
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def call_module(self, module_name: str, args: tuple | None = None, kwargs: dict | None = None, type_expr: Any = None) -> Node:
        if self.owning_module is not None:
            try:
                self.owning_module.get_submodule(module_name)
            except AttributeError:
                import warnings
                warnings.warn("Attempted to insert a call_module Node with no underlying reference in the owning GraphModule! Call "
                              "GraphModule.add_submodule to add the necessary submodule", stacklevel=2)
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def output(self, result: Any, type_expr: Any = None) -> Node:
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    def node_copy(self, node: Node, arg_transform: Callable[[Node], Any] = lambda x: x) -> Node:
        """A node of another graph here, its arguments as ``arg_transform`` says."""
        made = self.create_node(node.op, node.target, map_arg(node.args, arg_transform), map_arg(node.kwargs, arg_transform),
                                node.name, node.type)
        made.meta = copy.copy(node.meta)
        return made

    def graph_copy(self, g: Graph, val_map: dict[Node, Any], return_output_node: bool = False) -> Any:
        """All nodes of ``g`` here, but its output, whose value is returned."""
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                value = map_arg(node.args[0], val_map.__getitem__)
                return (value, node) if return_output_node else value
            val_map[node] = self.node_copy(node, val_map.__getitem__)
        return None

    # -- changing ----------------------------------------------------------------------------------------------------

    def inserting_before(self, n: Node | None = None) -> _Inserting:
        """A block in which new nodes stand before ``n``; at the beginning, if it is None."""
        return _Inserting(self, self._root.append if n is None else n.prepend)

    def inserting_after(self, n: Node | None = None) -> _Inserting:
        """A block in which each new node stands right after ``n``; at the end, if it is None."""
        return _Inserting(self, self._root.prepend if n is None else n.append)

    def erase_node(self, to_erase: Node) -> None:
        """Takes a node away. Raises RuntimeError if others read its value."""
        if to_erase.users:
            raise RuntimeError(f"Tried to erase Node {to_erase} but it still had {len(to_erase.users)} users in the graph: "
                               f"{to_erase.users}!")
        if to_erase.graph is not self:
            raise RuntimeError(f"Attempting to remove {to_erase} from wrong graph!")
        if to_erase._erased:
            return
        to_erase._set((), {})
        to_erase._remove_from_list()
        to_erase._erased = True
        self._len -= 1

    def eliminate_dead_code(self, is_impure_node: Callable[[Node], bool] | None = None) -> bool:
        """Takes away what nobody reads. Returns whether there was any."""
        self.lint()
        impure, changed = is_impure_node or Node.is_impure, False
        for node in reversed(self.nodes):
            if not node.users and not impure(node):
                self.erase_node(node)
                changed = True
        return changed

    def lint(self) -> None:
        """Raises RuntimeError for a graph that cannot run: names or nodes used before they are made, unknown modules."""
        known: set[Node] = set()
        names: set[str] = set()
        for node in self.nodes:
            if node.graph is not self:
                raise RuntimeError(f"Node '{node}' does not belong to this Graph!")
            for used in node._input_nodes:
                if used not in known:
                    raise RuntimeError(f"Argument '{used}' of Node '{node}' was used before it has been defined! Please check that "
                                       f"Nodes in the graph are topologically ordered\n{self}")
            if node.name in names:
                raise RuntimeError(f"Node redefined name {node.name}!")
            known.add(node)
            names.add(node.name)
            if self.owning_module is not None and node.op in ("get_attr", "call_module"):
                at = self.owning_module
                for part in str(node.target).split("."):
                    if not hasattr(at, part):
                        raise RuntimeError(f"Node {node} target {node.target} references nonexistent attribute {part}")
                    at = getattr(at, part)

    # -- as Python ---------------------------------------------------------------------------------------------------

    def set_codegen(self, codegen: CodeGen) -> None:
        self._codegen = codegen

    def on_generate_code(self, make_transformer: Callable) -> Any:
        """``make_transformer(None)`` gives a function of the list of lines of the body, which may change them."""
        rewrite = make_transformer(self._rewrites[-1] if self._rewrites else None)
        self._rewrites.append(rewrite)
        graph = self

        class Undo:
            def __enter__(self) -> Undo:
                return self

            def __exit__(self, *exc) -> None:
                graph._rewrites.remove(rewrite)
        return Undo()

    def process_inputs(self, *args: Any) -> Any:
        return self._codegen.process_inputs(*args)

    def process_outputs(self, out: Any) -> Any:
        return self._codegen.process_outputs(out)

    def python_code(self, root_module: str = "self", **options: Any) -> PythonCode:
        """The function ``forward`` that this graph is. Values are let go after their last use."""
        return _Writer(self, root_module).write()

    def __str__(self) -> str:
        names: list[str] = []
        lines = [node.format_node(names) for node in self.nodes]
        return f"graph():{''.join(chr(10) + '    ' + line for line in lines)}"

    def print_tabular(self) -> None:
        rows = [("opcode", "name", "target", "args", "kwargs")]
        rows += [(n.op, n.name, str(n.target), str(n.args), str(n.kwargs)) for n in self.nodes]
        widths = [max(len(row[k]) for row in rows) for k in range(5)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        print("\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]]))

    def __deepcopy__(self, memo: dict | None = None) -> Graph:
        memo = {} if memo is None else memo
        made = Graph(tracer_cls=self._tracer_cls)
        made._codegen = copy.deepcopy(self._codegen)
        values: dict[Node, Any] = {}
        result = made.graph_copy(self, values, return_output_node=True)
        if result is not None:
            node = made.output(result[0], result[1].type)
            node.meta = copy.copy(result[1].meta)
        memo[id(self)] = made
        return made


class _Writer:
    """Writes a graph as Python; collects the objects that the text names."""

    def __init__(self, graph: Graph, root: str):
        self.graph, self.root = graph, root
        self.globals: dict[str, Any] = {}
        self.free: list[str] = []
        self.lines: list[str] = []
        self.names = Namespace()
        self.names._used = {node.name for node in graph.nodes} | {"self"}

    def name_of(self, hint: str, obj: Any) -> str:
        """The global name of an object: its qualified name where a path is one, else one of its own."""
        if getattr(builtins, getattr(obj, "__name__", ""), None) is obj:
            return obj.__name__
        if hint.startswith("torch.") and self._is_at(hint, obj):
            import diya
            self.globals["torch"] = diya
            return hint
        for name, known in self.globals.items():
            if known is obj:
                return name
        name = self.names.create_name(hint.replace(".", "_").replace("<", "_").replace(">", "_"), None)
        self.globals[name] = obj
        return name

    @staticmethod
    def _is_at(path: str, obj: Any) -> bool:
        import diya
        at: Any = diya
        for part in path.split(".")[1:]:
            at = getattr(at, part, None)
        return at is obj

    def text(self, a: Any) -> str:
        if isinstance(a, Node):
            return a.name
        if isinstance(a, tuple) and hasattr(a, "_fields"):
            return f"{self.name_of(type(a).__name__, type(a))}({', '.join(map(self.text, a))})"
        if isinstance(a, tuple):
            return f"({', '.join(map(self.text, a))}{',' * (len(a) == 1)})"
        if isinstance(a, list):
            return f"[{', '.join(map(self.text, a))}]"
        if isinstance(a, dict):
            return "{" + ", ".join(f"{self.text(k)}: {self.text(v)}" for k, v in a.items()) + "}"
        if isinstance(a, slice):
            return f"slice({self.text(a.start)}, {self.text(a.stop)}, {self.text(a.step)})"
        if isinstance(a, enum.Enum):
            return f"{self.name_of(type(a).__name__, type(a))}.{a.name}"
        if isinstance(a, float) and not math.isfinite(a):
            return f"float('{a}')"
        if a is None or a is ... or isinstance(a, bool | int | float | complex | str | bytes):
            return repr(a) if a is not ... else "..."
        if isinstance(a, type) or callable(a) and hasattr(a, "__name__"):
            return self.name_of(_get_qualified_name(a) if not isinstance(a, type) else f"{_module_of(a)}.{a.__name__}", a)
        shown = repr(a)
        if re.fullmatch(r"torch\.\w+", shown) and self._is_at(shown, a):  # dtypes, layouts, memory formats
            return self.name_of(shown, a)
        return self.name_of(f"_{type(a).__name__}", a)

    def arguments(self, args: tuple, kwargs: dict) -> str:
        return ", ".join([*map(self.text, args), *(f"{key} = {self.text(value)}" for key, value in kwargs.items())])

    def attribute(self, base: str, path: str) -> str:
        for part in path.split("."):
            base = f"{base}.{part}" if part.isidentifier() and not keyword.iskeyword(part) else f'getattr({base}, "{part}")'
        return base

    def statement(self, node: Node) -> str:
        if node.op == "placeholder":
            default = f" = {self.text(node.args[0])}" if node.args else ""
            self.free.append(f"{node.target}{default}")
            raw = str(node.target).lstrip("*")
            return "" if raw == node.name else f"{node.name} = {raw}"
        if node.op == "get_attr":
            return f"{node.name} = {self.attribute(self.root, str(node.target))}"
        if node.op == "output":
            if type(self.graph._codegen).generate_output is CodeGen.generate_output:
                return f"return {self.text(node.args[0])}"
            return self.graph._codegen.generate_output(node.args[0])
        if node.op == "call_method":
            base = self.text(node.args[0])
            if not isinstance(node.args[0], Node):
                base = f"({base})"
            return f"{node.name} = {self.attribute(base, str(node.target))}({self.arguments(node.args[1:], node.kwargs)})"
        if node.op == "call_module":
            return f"{node.name} = {self.attribute(self.root, str(node.target))}({self.arguments(node.args, node.kwargs)})"
        func: Any = node.target
        if func in _FORMATS and not node.kwargs:
            return f"{node.name} = {_FORMATS[func].format(*(self.text(a) for a in node.args))}"
        if func in _UPDATES and not node.kwargs and isinstance(node.args[0], Node):
            place = self.text(node.args[0])
            return f"{place} {_UPDATES[func]}= {self.text(node.args[1])};  {node.name} = {place}"
        if func is getattr and isinstance(node.args[1], str) and node.args[1].isidentifier() and len(node.args) == 2:
            return f"{node.name} = {self.attribute(self.text(node.args[0]), node.args[1])}"
        name = self.name_of(_get_qualified_name(func), func)
        return f"{node.name} = {name}({self.arguments(node.args, node.kwargs)})"

    def write(self) -> PythonCode:
        done: dict[Node, list[str]] = {}
        seen: set[Node] = set()
        for node in reversed(self.graph.nodes):
            done[node] = [used.name for used in node._input_nodes if used not in seen]
            seen.update(node._input_nodes)
        for name, value in self.graph._codegen.additional_globals():
            self.globals[name] = value
        for node in self.graph.nodes:
            line = self.statement(node)
            over = done[node]
            if not node.users and node.op not in ("placeholder", "output"):
                over = [*over, node.name]
            if line and over and node.op != "output":
                line += f";  {' = '.join(over)} = None"
            if line:
                self.lines.append(f"{line}\n")
        if not self.lines:
            self.lines.append("pass\n")
        for rewrite in self.graph._rewrites:
            self.lines = rewrite(self.lines)
        head = self.graph._codegen.gen_fn_def(self.free)
        body = "".join(f"    {line}\n" for line in "".join(self.lines).splitlines())
        return PythonCode(f"\n\n\n{head}\n{body}", self.globals)


