"""Nested containers as trees of leaves (``torch.utils._pytree``)."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

PyTree = Any
Context = Any


class NodeDef(NamedTuple):
    flatten_fn: Callable
    unflatten_fn: Callable


SUPPORTED_NODES: dict[type, NodeDef] = {}


class TreeSpec(NamedTuple):
    """A tree without its leaves. ``type`` is None for a leaf."""

    type: Any
    context: Any
    children_specs: tuple

    @property
    def num_leaves(self) -> int:
        return 1 if self.type is None else sum(c.num_leaves for c in self.children_specs)

    def is_leaf(self) -> bool:
        return self.type is None


LEAF = TreeSpec(None, None, ())


class LeafSpec(TreeSpec):
    def __new__(cls):
        return LEAF


def register_pytree_node(cls: type, flatten_fn: Callable, unflatten_fn: Callable, **_: Any) -> None:
    """``flatten_fn(x) -> (children, context)``, ``unflatten_fn(children, context) -> x``."""
    SUPPORTED_NODES[cls] = NodeDef(flatten_fn, unflatten_fn)


def _list_flatten(d: Any) -> tuple[list, None]:
    return list(d), None


def _list_unflatten(values: Any, context: None) -> list:
    return list(values)


def _list_flatten_with_keys(d: Any) -> tuple[list, None]:
    return [(SequenceKey(i), x) for i, x in enumerate(d)], None


def _namedtuple_flatten(d: Any) -> tuple[list, type]:
    return list(d), type(d)


def _namedtuple_unflatten(values: Any, context: type) -> Any:
    return context(*values)


_register_pytree_node = register_pytree_node
register_pytree_node(tuple, lambda x: (list(x), None), lambda v, c: tuple(v))
register_pytree_node(list, _list_flatten, _list_unflatten)
register_pytree_node(dict, lambda x: (list(x.values()), list(x)), lambda v, c: dict(zip(c, v, strict=True)))
register_pytree_node(OrderedDict, lambda x: (list(x.values()), list(x)), lambda v, c: OrderedDict(zip(c, v, strict=True)))
register_pytree_node(defaultdict, lambda x: (list(x.values()), (x.default_factory, list(x))),
                     lambda v, c: defaultdict(c[0], zip(c[1], v, strict=True)))
register_pytree_node(deque, lambda x: (list(x), x.maxlen), lambda v, c: deque(v, maxlen=c))


class MappingKey(NamedTuple):
    """A step into a mapping, on the way to a leaf."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"


def _dict_flatten(d: dict) -> tuple[list, list]:
    return list(d.values()), list(d)


def _dict_flatten_with_keys(d: dict) -> tuple[list[tuple[MappingKey, Any]], list]:
    """Like `_dict_flatten`, each child with the step that leads to it."""
    return [(MappingKey(k), v) for k, v in d.items()], list(d)


def _dict_unflatten(values, context: list) -> dict:
    return dict(zip(context, values, strict=True))


def _get_node_type(tree: Any) -> Any:
    return _node(tree)[0]


def _node(x: Any) -> tuple[Any, NodeDef | None]:
    kind = type(x)
    if isinstance(x, tuple) and hasattr(kind, "_fields") and kind not in SUPPORTED_NODES:
        return kind, NodeDef(lambda x: (list(x), None), lambda v, c: kind(*v))
    return kind, SUPPORTED_NODES.get(kind)


def tree_flatten(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list, TreeSpec]:
    """The leaves, left to right, and the structure."""
    kind, node = _node(tree)
    if node is None or is_leaf is not None and is_leaf(tree):
        return [tree], LEAF
    children, context = node.flatten_fn(tree)
    leaves, specs = [], []
    for child in children:
        inner, spec = tree_flatten(child, is_leaf)
        leaves += inner
        specs.append(spec)
    return leaves, TreeSpec(kind, context, tuple(specs))


def tree_unflatten(leaves, treespec: TreeSpec) -> PyTree:
    """The tree of a structure with these leaves. Raises ValueError if their number differs."""
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(f"tree_unflatten(leaves, treespec): `leaves` has length {len(leaves)} but the spec refers to a pytree "
                         f"that holds {treespec.num_leaves} items")
    return _build(iter(leaves), treespec)


def _build(leaves, spec: TreeSpec) -> PyTree:
    if spec.type is None:
        return next(leaves)
    children = [_build(leaves, c) for c in spec.children_specs]
    node = SUPPORTED_NODES.get(spec.type)
    return spec.type(*children) if node is None else node.unflatten_fn(children, spec.context)


def tree_leaves(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> list:
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> TreeSpec:
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable, tree: PyTree, *rests: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> PyTree:
    """A tree of ``func(leaf, *leaves of the other trees)``."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [tree_flatten(r, is_leaf)[0] for r in rests]
    return tree_unflatten([func(*xs) for xs in zip(leaves, *others, strict=True)], spec)


def tree_map_(func: Callable, tree: PyTree, *rests: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> PyTree:
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def tree_map_only(kinds: Any, func: Callable | None = None, tree: PyTree = None, is_leaf=None) -> PyTree:
    """``func`` on the leaves of some types, the others as they are."""
    return tree_map(lambda x: func(x) if isinstance(x, kinds) else x, tree, is_leaf=is_leaf)  # type: ignore[misc]


def tree_all(pred: Callable, tree: PyTree, is_leaf=None) -> bool:
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable, tree: PyTree, is_leaf=None) -> bool:
    return any(map(pred, tree_leaves(tree, is_leaf)))


def tree_all_only(kinds: Any, pred: Callable, tree: PyTree) -> bool:
    return all(pred(x) for x in tree_leaves(tree) if isinstance(x, kinds))


def tree_any_only(kinds: Any, pred: Callable, tree: PyTree) -> bool:
    return any(pred(x) for x in tree_leaves(tree) if isinstance(x, kinds))


def tree_iter(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> Iterator:
    return iter(tree_leaves(tree, is_leaf))


def tree_is_leaf(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    return _node(tree)[1] is None or is_leaf is not None and is_leaf(tree)


def is_namedtuple_class(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields")


def is_namedtuple_instance(obj: Any) -> bool:
    return is_namedtuple_class(type(obj))


def is_namedtuple(obj: Any) -> bool:
    return is_namedtuple_class(obj if isinstance(obj, type) else type(obj))


# -- with the way to each leaf --------------------------------------------------------------------------------------------

class SequenceKey(NamedTuple):
    """A step into a sequence."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"


class GetAttrKey(NamedTuple):
    """A step into a named tuple, or another node with attributes."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


def _steps(tree: PyTree, children: list, context: Any) -> list:
    if isinstance(tree, dict):
        return [MappingKey(k) for k in tree]
    if is_namedtuple_instance(tree):
        return [GetAttrKey(name) for name in tree._fields]
    return [SequenceKey(i) for i in range(len(children))]


def tree_flatten_with_path(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[tuple[tuple, Any]], TreeSpec]:
    """As `tree_flatten`, each leaf with the steps that lead to it."""
    found: list[tuple[tuple, Any]] = []

    def walk(x: Any, path: tuple) -> TreeSpec:
        kind, node = _node(x)
        if node is None or is_leaf is not None and is_leaf(x):
            found.append((path, x))
            return LEAF
        children, context = node.flatten_fn(x)
        steps = _steps(x, children, context)
        return TreeSpec(kind, context, tuple(walk(c, (*path, s)) for c, s in zip(children, steps, strict=True)))
    spec = walk(tree, ())
    return found, spec


def tree_leaves_with_path(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> list[tuple[tuple, Any]]:
    return tree_flatten_with_path(tree, is_leaf)[0]


def tree_map_with_path(func: Callable, tree: PyTree, *rests: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> PyTree:
    """A tree of ``func(path, leaf, *leaves of the other trees)``."""
    found, spec = tree_flatten_with_path(tree, is_leaf)
    others = [tree_leaves(r, is_leaf) for r in rests]
    return tree_unflatten([func(path, *xs) for (path, x), *rest in zip(found, *others, strict=True) for xs in [(x, *rest)]], spec)


def keystr(path: tuple) -> str:
    """The steps of a path as Python would write them: ``['a'][0].b``."""
    return "".join(map(str, path))


def key_get(obj: Any, path: tuple) -> Any:
    """What a path leads to."""
    for step in path:
        obj = getattr(obj, step.name) if isinstance(step, GetAttrKey) else obj[step[0]]
    return obj
