"""A module whose ``forward`` is the Python of a graph."""

from __future__ import annotations

import copy
import itertools
import linecache
from typing import Any

from ..nn import Module
from ..tensor import Tensor
from .graph import Graph, PythonCode

_USER_PRESERVED_ATTRIBUTES_KEY = "_user_preserved_attributes"
_numbers = itertools.count()


def _compile(code: PythonCode) -> Any:
    """The function ``forward``; its lines are found by tracebacks and debuggers."""
    name = f"<eval_with_key>.{next(_numbers)}"
    linecache.cache[name] = len(code.src), None, code.src.splitlines(True), name
    namespace = dict(code.globals)
    exec(compile(code.src, name, "exec"), namespace)
    return namespace["forward"]


def _copy_attr(from_module: Module, to_module: Module, target: str) -> None:
    """Gives ``to_module`` what ``from_module`` has at a path, with modules on the way."""
    *path, name = target.split(".")
    for part in path:
        held, there = getattr(from_module, part), getattr(to_module, part, None)
        if held is there:
            return
        if there is None:
            there = Module()
            setattr(to_module, part, there)
        from_module, to_module = held, there
    value = getattr(from_module, name)
    if isinstance(value, Tensor) and not isinstance(value, _parameter()):
        to_module.register_buffer(name, value)
    else:
        setattr(to_module, name, value)


def _assign_attr(value: Any, to_module: Module, target: str) -> None:
    *path, name = target.split(".")
    for part in path:
        if getattr(to_module, part, None) is None:
            setattr(to_module, part, Module())
        to_module = getattr(to_module, part)
    if isinstance(value, Tensor) and not isinstance(value, _parameter()):
        to_module.register_buffer(name, value)
    else:
        setattr(to_module, name, value)


def _parameter() -> type:
    from ..nn import Parameter
    return Parameter


class _CodeOnlyModule(Module):
    """The attributes of a `GraphModule` without its graph."""

    def __init__(self, body: dict[str, Any]):
        super().__init__()
        self.__dict__ = body


class GraphModule(Module):
    """``GraphModule(root, graph)``: the graph over what it names of ``root``, a module or a dict by path. Setting ``graph``, or
    `recompile` after changing it, makes ``forward`` and ``code`` anew."""

    def __new__(cls, *args: Any, **kwargs: Any) -> GraphModule:
        for base in cls.__mro__:  # the class that users derived, below the one that was made for an instance
            if "." not in base.__qualname__ or base.__name__ != "GraphModuleImpl":
                cls = base  # noqa: PLW0642
                break

        class GraphModuleImpl(cls):  # type: ignore[valid-type, misc]  # ``forward`` belongs to the one instance
            pass
        return Module.__new__(GraphModuleImpl)

    def __init__(self, root: Module | dict[str, Any], graph: Graph, class_name: str = "GraphModule"):
        super().__init__()
        type(self).__name__ = class_name
        named = [str(node.target) for node in graph.nodes if node.op in ("get_attr", "call_module")]
        if isinstance(root, Module):
            if hasattr(root, "training"):
                self.training = root.training
            for target in named:
                _copy_attr(root, self, target)
        elif isinstance(root, dict):
            for target in named:
                if target not in root:
                    raise RuntimeError(f"GraphModule: the graph names {target!r}, which is not among what it was given: "
                                       f"{list(root)}")
            for target in sorted(set(named), key=lambda t: t.count(".")):
                _assign_attr(root[target], self, target)
        else:
            raise RuntimeError(f"Unsupported type {type(root).__name__} passed for root!")
        self.graph = graph
        self._tracer_cls = graph._tracer_cls if graph._tracer_cls and "<locals>" not in graph._tracer_cls.__qualname__ else None
        self.meta: dict[str, Any] = {}

    @property
    def graph(self) -> Graph:
        return self._graph

    @graph.setter
    def graph(self, g: Graph) -> None:
        if not isinstance(g, Graph):
            raise AssertionError(f"Expected a Graph instance, but got {type(g)}")
        self._graph = g
        g.owning_module = self
        self.recompile()

    @property
    def code(self) -> str:
        """The Python of ``forward``."""
        if "_code" not in self.__dict__:
            raise RuntimeError("Code has not been generated! Please report a bug to PyTorch")
        return self._code

    def recompile(self) -> PythonCode:
        """Makes ``forward`` from the graph as it is now."""
        code = self._graph.python_code(root_module="self")
        self._code = code.src
        type(self).forward = _compile(code)
        self.__dict__.pop("_remembered", None)  # what was captured of the forward before
        return code

    def add_submodule(self, target: str, m: Module) -> bool:
        """Puts a module at a path; False if something else stands in the way."""
        *path, name = target.split(".")
        at: Any = self
        for part in path:
            held = getattr(at, part, None)
            if held is None:
                held = Module()
                setattr(at, part, held)
            if not isinstance(held, Module):
                return False
            at = held
        at.add_module(name, m)
        return True

    def delete_submodule(self, target: str) -> bool:
        """Takes the module at a path away; False if there is none."""
        *path, name = target.split(".")
        at: Any = self
        for part in path:
            at = getattr(at, part, None)
            if not isinstance(at, Module):
                return False
        if not isinstance(getattr(at, name, None), Module):
            return False
        delattr(at, name)
        return True

    def delete_all_unused_submodules(self) -> None:
        """Takes away modules that the graph does not name."""
        used = set()
        for node in self.graph.nodes:
            if node.op in ("call_module", "get_attr"):
                parts = str(node.target).split(".")
                used |= {".".join(parts[:k + 1]) for k in range(len(parts))}
                if node.op == "call_module":
                    used |= {f"{node.target}.{name}" for name, _ in self.get_submodule(str(node.target)).named_modules() if name}
        for name in [name for name, _ in self.named_modules() if name and name not in used]:
            self.delete_submodule(name)

    def print_readable(self, print_output: bool = True, **options: Any) -> str:
        text = f"class {type(self).__name__}(torch.nn.Module):\n" + "".join(
            f"    {line}\n" for line in self._code.strip("\n").splitlines())
        if print_output:
            print(text)
        return text

    def __str__(self) -> str:
        return f"{super().__str__()}\n\n{self._code}\n\n# To see more debug info, please use `graph_module.print_readable()`"

    def _replicate_for_data_parallel(self) -> Any:
        return copy.copy(self)

    def __deepcopy__(self, memo: dict) -> GraphModule:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        state = {key: value for key, value in self.__dict__.items() if key not in ("_graph", "_remembered")}
        made.__dict__.update(copy.deepcopy(state, memo))
        type(made).__name__ = type(self).__name__
        made.graph = copy.deepcopy(self._graph, memo)
        return made

    def __copy__(self) -> GraphModule:
        made = GraphModule(self, copy.deepcopy(self._graph), type(self).__name__)
        made.meta = self.meta
        return made

    def __reduce__(self) -> tuple:
        """As its Python and the objects that it names: loading traces it anew."""
        state = {key: value for key, value in self.__dict__.items() if key not in ("_graph", "_remembered")}
        code = self._graph.python_code(root_module="self")
        return _load, (state, code.src, {key: value for key, value in code.globals.items() if key != "torch"},
                       type(self).__name__)


def _load(state: dict, src: str, names: dict, class_name: str) -> GraphModule:
    import diya

    from ._symbolic_trace import Tracer

    class KeepModules(Tracer):
        def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
            return True
    held = _CodeOnlyModule(dict(state))
    type_ = type("Held", (_CodeOnlyModule,), {"forward": _compile(PythonCode(src, {"torch": diya, **names}))})
    held.__class__ = type_
    made = GraphModule(held, KeepModules().trace(held), class_name)
    for key, value in state.items():
        if key not in made.__dict__:
            made.__dict__[key] = value
    return made


def reduce_graph_module(body: dict, import_block: str) -> GraphModule:
    raise NotImplementedError("torch.fx: a GraphModule that PyTorch pickled is not loaded: it is the text of PyTorch's own calls")
