"""Derivatives as functions: ``grad``, ``vjp``, ``jvp``, ``linearize``.

Each is a few lines over the tape, whose rules are tensor operations themselves, so transforms nest. Forward mode is the tape
read twice: what backward computes is linear in the gradient that it starts from, so the derivative of backward with respect
to that gradient is the product with the Jacobian. What the first backward only passes on is never computed, since nobody
asks for its values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd import replay
from ..autograd.modes import enable_grad, modes
from ..autograd.tape import AccumulateGrad, Rule, _sequence, edge_of, put
from ..autograd.walk import run
from ..tensor import Tensor, from_node
from .batching import captured
from .trees import Rebuild, flatten, only_tensors, same_structure, transformed

_VARIABLE = Rule("FuncVariable", ("input",), {"input": lambda g: g})


class Scope:
    """One transform that is running: its variables are new on the tape, so that nothing else is differentiated by them."""

    def __init__(self):
        self.outside = modes.grad     # whether what is around may differentiate the result
        self.start = next(_sequence)
        self.own: set = set()         # the nodes of its variables

    def variable(self, x: Tensor, leaf: bool = False) -> Tensor:
        """``x`` as a new variable; what is around still sees that it is ``x``. A ``leaf`` must not be written to in place."""
        if x.dtype.kind not in "fc":
            raise RuntimeError(f"only Tensors of floating point and complex dtype can require gradients, got {x.dtype}")
        t = x._alias(type(x))
        edge = edge_of(x) if self.outside and x.requires_grad else None
        node = put(_VARIABLE, 1, (edge,), (t,), (x,), (None,), {})
        node._leaf = leaf
        self.own.add(node)
        return t

    def depends_on_others(self, tensors: list[Tensor]) -> bool:
        """Whether something around could differentiate one of the tensors."""
        if not self.outside:
            return False
        stack = [edge_of(x) for x in tensors if x.requires_grad]
        seen = set()
        while stack:
            edge = stack.pop()
            if edge is None or edge[0] in seen:
                continue
            node = edge[0]
            seen.add(node)
            if node.sequence < self.start or isinstance(node, AccumulateGrad):
                return True
            stack += node.edges
        return False

    def reached(self, x: Tensor) -> set:
        """The nodes of this transform's variables that a tensor depends on."""
        stack, seen = [edge_of(x)], set()
        while stack:
            edge = stack.pop()
            if edge is not None and edge[0] not in seen and edge[0].sequence >= self.start:
                seen.add(edge[0])
                stack += edge[0].edges
        return seen & self.own

    def settled(self, tree: Any) -> Any:
        """A result, off the tape where only this transform's own variables are behind it."""
        leaves, rebuild = flatten(tree)
        return rebuild([x if not x.requires_grad or self.depends_on_others([x]) else _detached(x) for x in leaves])


def _detached(x: Tensor) -> Tensor:
    return x._alias(type(x))


class Differentiated:
    """A call of ``func`` with the arguments of ``argnums`` as variables, ready for its derivatives."""

    def __init__(self, func: Callable, args: tuple, argnums, kwargs: dict, has_aux: bool, name: str, forward: bool = False):
        self.scope = scope = Scope()
        if not isinstance(argnums, (int, tuple)):
            raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
        numbers = (argnums,) if isinstance(argnums, int) else argnums
        if not numbers and args:
            raise RuntimeError("argnums must be non-empty")
        for n in numbers:
            if not isinstance(n, int):
                raise RuntimeError(f"argnum must be int, got: {type(n)}")
            if not -len(args) <= n < len(args):
                raise RuntimeError(f"Got argnum={n}, but only {len(args)} positional inputs")
        if not isinstance(argnums, int) and len({n % len(args) for n in numbers}) != len(numbers):
            raise RuntimeError(f"argnums elements must be unique, got {numbers}")
        chosen = args[argnums] if isinstance(argnums, int) else tuple([args[n] for n in numbers])
        leaves, self.rebuild = only_tensors(
            chosen, lambda kind: f"{name}: Expected all inputs to be differentiated to be tensors, got {kind}", ValueError)
        with enable_grad():
            self.variables = [scope.variable(x, not forward) for x in leaves]
            self.edges = [edge_of(v) for v in self.variables]  # kept, since the function may write to its arguments
            made = self.rebuild(self.variables)
            given = list(args)
            for n, x in zip(numbers, (made,) if isinstance(argnums, int) else made, strict=True):
                given[n] = x
            result = func(*given, **kwargs)
        self.aux = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise RuntimeError(f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True")
            result, self.aux = result
        self.result = result

    def gradients(self, outs: list[Tensor], weights: list[Tensor], *, keep: bool = True, tape: bool | None = None) -> list[Tensor]:
        """Of Σ weights · outs with respect to the variables. ``tape``: whether they go on the tape themselves, by default
        where somebody could differentiate them."""
        if tape is None:
            tape = self.scope.depends_on_others([*outs, *weights])
        return [_zeros_like(v) if g is None else g for v, g in
                zip(self.variables, gradients(outs, weights, self.edges, tape, keep), strict=True)]


def _zeros_like(x: Tensor) -> Tensor:
    return x.new_zeros(x.shape)


def gradients(outs: list[Tensor], weights: list[Tensor], edges: list, tape: bool, keep: bool) -> list[Tensor | None]:
    """The gradients that arrive at ``edges`` of the tape; None where nothing does."""
    roots: list = [(edge_of(o), w) for o, w in zip(outs, weights, strict=True) if o.requires_grad]
    results: list = [None] * len(edges)

    def walk() -> list:
        captures: dict = {}
        for k, edge in enumerate(edges):
            captures.setdefault(edge, []).append(k)
        run([e for e, _ in roots], [w for _, w in roots], tape, keep or tape, captures, results, False)
        return results
    if tape or len(roots) != 1 or modes.dual:
        return walk() if roots else results
    (root, weight), = roots
    known = replay.read(root[0], root[1], weight)
    if known is None:
        return walk()
    places = {node: i for i, node in enumerate(known.nodes)}
    wanted = tuple([(places.get(node), nr) for node, nr in edges])
    made = captured((known.form, wanted), list(known.inputs), lambda: [None if g is None else g._value() for g in walk()])
    return [None if node is None else from_node(node) for node in made]


# -- backward --------------------------------------------------------------------------------------------------------------


def grad_and_value(func: Callable, argnums=0, has_aux: bool = False) -> Callable:
    """A function that returns (gradient of ``func`` with respect to ``argnums``, its value), or (gradient, (value, aux))."""
    def call(*args, **kwargs):
        found = Differentiated(func, args, argnums, kwargs, has_aux, "grad_and_value(f)(*args)")
        value = found.result
        if not isinstance(value, Tensor):
            raise RuntimeError(f"grad_and_value(f)(*args): Expected f(*args) to return a tensor, got {type(value).__name__}")
        if value.dim():
            raise RuntimeError(f"grad_and_value(f)(*args): Expected f(*args) to return a scalar tensor, got tensor with "
                               f"{value.dim()} dims. Maybe you wanted to use the vjp or jacrev APIs instead?")
        if value.dtype.kind == "c":
            raise RuntimeError(f"grad_and_value(f)(*args): Expected f(*args) to return a real tensor, got {value.dtype}")
        grads = found.rebuild(found.gradients([value], [value.new_ones(())], keep=False))
        grads, value, aux = found.scope.settled((grads, value, found.aux))
        return (grads, (value, aux)) if has_aux else (grads, value)
    return transformed(call, lambda f: grad_and_value(f, argnums, has_aux), func)


def grad(func: Callable, argnums=0, has_aux: bool = False) -> Callable:
    """A function that returns the gradient of ``func`` (which returns a 0-dim tensor) with respect to ``argnums``."""
    both = grad_and_value(func, argnums, has_aux)

    def call(*args, **kwargs):
        grads, value = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads
    return transformed(call, lambda f: grad(f, argnums, has_aux), func)


def _outputs(found: Differentiated, name: str) -> tuple[list[Tensor], Rebuild]:
    return only_tensors(found.result, lambda kind: f"{name}: Expected f(*primals) to return only tensors, got {kind}")


def vjp(func: Callable, *primals, has_aux: bool = False):
    """(output, function from cotangents, shaped as the output, to gradients of the primals[, aux])."""
    found = Differentiated(func, primals, tuple(range(len(primals))), {}, has_aux, "vjp(f, *primals)")
    outs, _ = _outputs(found, "vjp(f, *primals)")
    out, aux = found.scope.settled((found.result, found.aux))

    def pull(*cotangents, retain_graph=True, create_graph=None):
        given = cotangents[0] if len(cotangents) == 1 else cotangents
        weights = same_structure("vjp", "cotangents", given, "the outputs of the function", out)
        _check_shapes("vjp", "cotangents", weights, outs)
        return found.rebuild(found.gradients(outs, weights))
    return (out, pull, aux) if has_aux else (out, pull)


def _check_shapes(name: str, what: str, given: list[Tensor], wanted: list[Tensor]) -> None:
    if len(given) != len(wanted):
        raise RuntimeError(f"{name}: Expected {what} to have the same structure as what they belong to: {len(wanted)} tensors, got "
                           f"{len(given)}")
    for g, w in zip(given, wanted, strict=True):
        if g.shape != w.shape:
            raise RuntimeError(f"{name}: Expected {what} of shape {list(w.shape)}, got {list(g.shape)}")


# -- forward ---------------------------------------------------------------------------------------------------------------


class Linear:
    """The derivative of tensors on the tape as a linear function of tangents at ``edges``: backward, differentiated."""

    def __init__(self, scope: Scope, outs: list[Tensor], edges: list):
        self.scope, self.outs = scope, outs
        with enable_grad():
            self.cotangents = [scope.variable(_zeros_like(o)) for o in outs]
        self.edges = [edge_of(c) for c in self.cotangents]
        before, modes.forward = modes.forward, True
        try:
            self.pulled = gradients(outs, self.cotangents, edges, True, True)
        finally:
            modes.forward = before

    def __call__(self, tangents: list[Tensor]) -> list[Tensor]:
        """The tangent of each output."""
        pairs = [(p, t) for p, t in zip(self.pulled, tangents, strict=True) if p is not None]
        pulled, along = [p for p, _ in pairs], [t for _, t in pairs]
        found = gradients(pulled, along, self.edges, self.scope.depends_on_others([*pulled, *along]), True)
        return [_zeros_like(o) if t is None else t for o, t in zip(self.outs, found, strict=True)]


def _linearized(func: Callable, primals, has_aux: bool, name: str) -> tuple[Differentiated, Linear, Rebuild]:
    found = Differentiated(func, primals, tuple(range(len(primals))), {}, has_aux, name, True)
    outs, rebuild = _outputs(found, name)
    return found, Linear(found.scope, outs, found.edges), rebuild


def _differentiable(what: str, tensors: list[Tensor]) -> None:
    for x in tensors:
        if isinstance(x, Tensor) and x.dtype.kind not in "fc":
            raise ValueError(f"Expected {what} to be floating point or complex, but got: {x.dtype}")


def jvp(func: Callable, primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False):
    """(output, derivative of the output along ``tangents``[, aux])."""
    name = "jvp(f, primals, tangents)"
    if not isinstance(primals, tuple) or not primals:
        raise RuntimeError(f"{name}: Expected primals to be a non-empty tuple, got {primals!r}" if isinstance(primals, tuple) else
                           f"{name}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals).")
    along = same_structure(name, "tangents", tangents, "primals", primals)
    _differentiable("primal", flatten(primals)[0])
    _differentiable("tangent", along)
    found, push, rebuild = _linearized(func, primals, has_aux, name)
    _check_shapes(name, "tangents", along, found.variables)
    if strict and any(p is None for p in push.pulled):
        raise RuntimeError(f"{name}: The output of f is independent of one of its inputs. This is not allowed with strict=True.")
    out, derivative, aux = found.scope.settled((found.result, rebuild(push(along)), found.aux))
    return (out, derivative, aux) if has_aux else (out, derivative)


def linearize(func: Callable, *primals):
    """(output, function from tangents to the derivative of ``func`` at ``primals`` along them). ``func`` runs once."""
    name = "linearize(f, *primals)"
    found, push, rebuild = _linearized(func, primals, False, name)

    def derivative(*tangents):
        along = same_structure(name, "tangents", tangents, "primals", primals)
        _check_shapes(name, "tangents", along, found.variables)
        for t, v in zip(along, found.variables, strict=True):
            if t.dtype is not v.dtype:
                raise RuntimeError(f"{name}: Expected tangents of the primals' dtypes, got {t.dtype} for {v.dtype}")
        return rebuild(push(along))
    return found.scope.settled(found.result), derivative
