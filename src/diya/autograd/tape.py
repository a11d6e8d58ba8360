"""The tape: what each differentiable operation leaves behind for ``backward``.

An operator's gradient is written beside the operator as in a textbook, one lambda for each input, whose argument names
say what it needs: ``g`` the gradient of the output, ``out`` the output, ``shape`` the first input's shape, ``types`` the
types of all inputs, an input's name its value, a parameter's name its value. Only what the needed lambdas name is saved:

    mul: grad=dict(input=lambda g, other: g * other.conj(), other=lambda g, input: g * input.conj())

`Rule` is such a set, ready for use; `GradNode` is one application of it on the tape.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any

from .. import engine
from ..recording import frozen
from .modes import modes

SECOND_TIME = ("Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
               "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
               "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
               "after calling backward.")

_sequence = itertools.count()
_new = object.__new__


class Rule:
    """The gradient of one operator. ``name`` is PyTorch's name of its node, without ``Backward0``.

    ``inputs`` are the names of the tensor inputs; ``grad`` a dict of lambdas by input name, or one function that
    returns a tuple with a gradient for each input. ``broadcasts``: gradients are summed to the inputs' shapes.
    """

    __slots__ = ("name", "inputs", "grad", "joint", "broadcasts", "needs", "plans")

    def __init__(self, name: str, inputs: tuple[str, ...], grad, broadcasts: bool = False):
        self.name, self.inputs, self.broadcasts = name, tuple(inputs), broadcasts
        self.joint = callable(grad)
        self.grad = grad
        self.needs = {k: _argument_names(f) for k, f in ({"": grad} if self.joint else grad).items()}
        self.plans: dict[int, tuple] = {}
        for k in self.needs:
            if not self.joint and k not in self.inputs:
                raise ValueError(f"{name}: a gradient is given for {k!r}, which is not one of the inputs {self.inputs}")

    def plan(self, mask: int) -> tuple[tuple[int, ...], bool]:
        """Which inputs, and whether the output, are saved when the inputs in ``mask`` need gradients."""
        found = self.plans.get(mask)
        if found is None:
            names: set[str] = set()
            for i, name in enumerate(self.inputs):
                if mask >> i & 1:
                    names |= set(self.needs.get("" if self.joint else name, ()))
            saved = tuple(i for i, name in enumerate(self.inputs) if name in names)
            found = self.plans[mask] = (saved, "out" in names)
        return found


def _argument_names(f: Callable) -> tuple[str, ...]:
    code = f.__code__
    return code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]


class Parameters(dict):
    """Arguments of a rule that never change. ``key``: what they are as part of a key."""

    __slots__ = ("key",)
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __init__(self, *args):
        super().__init__(*args)
        self.key = frozen(tuple(self.items())) or self


def lasting(params: dict) -> dict:
    """Arguments of a rule that will be shared by many nodes: as `Parameters`, if they can be part of a key."""
    made = Parameters(params) if params else params
    return made if made and made.key is not made else params  # pyright: ignore[reportAttributeAccessIssue]


class SavedTensor:
    """A tensor kept for backward: the value it had, with its place on the tape."""

    __slots__ = ("tensor", "node", "type", "storage", "version", "hidden", "layout", "edge", "hooks")

    def __init__(self, tensor, node, edge):
        self.storage = storage = tensor._storage
        self.version, self.hidden, self.layout = storage.version, storage.hidden, (tensor._strides, tensor._offset)
        self.node, self.type, self.edge, self.hooks = node, tensor._type, edge, None

    def pack(self) -> None:
        """Hands the tensor to the innermost `saved_tensors_hooks`."""
        pack, unpack = modes.saved_hooks[-1]
        previous, modes.saved_hooks = modes.saved_hooks, ()
        try:
            self.tensor = pack(self.handle(None))
        finally:
            modes.saved_hooks = previous
        self.hooks, self.node = unpack, None

    def handle(self, owner):
        from ..tensor import from_node
        t = from_node(self.node)
        edge = (owner, 0) if owner is not None else self.edge
        if edge is not None:
            t._rg = True
            t._fn, t._nr = edge
            if isinstance(t._fn, AccumulateGrad):
                t._accumulate, t._fn, t._nr = t._fn, None, 0
        return t

    def unpack(self, fn: GradNode, is_output: bool):
        if self.hooks is not None:
            t = self.hooks(self.tensor)
            if self.edge is not None and not t._rg:
                self.node = t._value()
                t = self.handle(None)
                self.node = None
            return t
        if self.storage.version != self.version and not modes.forward:  # forward mode needs the values of back then
            self._follow(fn, is_output)
        return self.handle(fn if is_output else None)

    def _follow(self, fn: GradNode, is_output: bool) -> None:
        """The memory was written to. By writing through ``.data`` users ask that backward see it; other writes are errors."""
        storage = self.storage
        if storage.version - storage.hidden != self.version - self.hidden:
            raise RuntimeError(
                f"one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"[torch.{_type_name(self.type.dtype)} {list(self.type.shape)}], which is "
                f"{'output 0 of' if is_output else 'an input of'} {fn.name()}, is at version {storage.version - storage.hidden}; "
                f"expected version {self.version - self.hidden} instead. Hint: enable anomaly detection to find the operation that "
                f"failed to compute its gradient, with torch.autograd.set_detect_anomaly(True).")
        from ..tensor import Tensor
        t = _new(Tensor)
        t._storage, t._type = storage, self.type
        t._strides, t._offset = self.layout
        self.node, self.version, self.hidden = t._value(), storage.version, storage.hidden


def _type_name(dtype) -> str:
    names = {"float32": "FloatTensor", "float64": "DoubleTensor", "float16": "HalfTensor", "bfloat16": "BFloat16Tensor",
             "complex64": "ComplexFloatTensor", "complex128": "ComplexDoubleTensor"}
    return names.get(dtype.name, dtype.name)


class NodeBase:
    """What ``grad_fn`` shows of every node on the tape (``torch.autograd.graph.Node``)."""

    edges: tuple = ()
    sequence: int
    outputs = 1
    _leaf = False  # whether its tensors count as leaves, which must not be written to in place: variables of `diya.func`
    pre_hooks: list | None = None
    hooks: dict | None = None
    tensor_hooks: dict | None = None  # by output number: hooks on the gradient of that output
    retained: dict | None = None      # by output number: weak references to tensors that retain their gradient
    where: tuple | None = None
    saved: Any = None
    levels: tuple = ()                # of vmap inside of which it was made: see diya.func.levels
    metadata_: dict | None = None
    captured = False                  # whether it is in the place of nodes that were never made: see `as_written`
    written: list | None = None       # the outputs of what was captured, from when they were made
    stands_for_others = False         # whether those nodes are to be seen

    @property
    def metadata(self) -> dict:
        if self.metadata_ is None:
            self.metadata_ = {}
        return self.metadata_

    @property
    def next_functions(self) -> tuple:
        if any(e is not None and e[0].stands_for_others for e in self.edges):
            self.edges = tuple([e if e is None or not e[0].stands_for_others else e[0].as_written(e[1]) for e in self.edges])
        return tuple((None, 0) if e is None else e for e in self.edges)

    def _sequence_nr(self) -> int:
        return self.sequence

    def name(self) -> str:
        raise NotImplementedError

    def work(self) -> Any:
        """A key for what the node records from the nodes in ``saved``; None if that may be another thing each time."""
        return None

    def release(self) -> None:
        """Lets go of what was saved."""

    def as_written(self, nr: int) -> tuple[NodeBase, int]:
        """The node, and its output, that stands for this node's output where the program is run as it is written."""
        return self, nr

    def register_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(grad_inputs, grad_outputs)`` runs after this node; what it returns replaces grad_inputs."""
        if self.hooks is None:
            self.hooks = {}
        return RemovableHandle(self.hooks, hook)

    def register_prehook(self, hook: Callable) -> RemovableHandle:
        """``hook(grad_outputs)`` runs before this node; what it returns replaces grad_outputs."""
        if self.pre_hooks is None:
            self.pre_hooks = {}  # type: ignore[assignment]
        return RemovableHandle(self.pre_hooks, hook)  # type: ignore[arg-type]

    def __repr__(self):
        return f"<{self.name()} object at {id(self):#x}>"


class RemovableHandle:
    """What ``register_*hook`` returns: ``remove()`` takes the hook away; also a context manager."""

    _next_id = itertools.count()

    def __init__(self, hooks: dict, hook: Any, extra_dict=None):
        self.id = next(RemovableHandle._next_id)
        self.hooks = hooks
        hooks[self.id] = hook

    def remove(self) -> None:
        self.hooks.pop(self.id, None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


class GradNode(NodeBase):
    """One application of a rule (made by `track`). ``shown``: the name that it goes by, where that is not its rule's."""

    shown: str | None = None
    rule: Rule
    mask: int                # bits of the inputs that need gradients
    saved: Any               # (position of the input, SavedTensor)
    saved_out: Any = None
    params: dict
    types: tuple             # of the inputs

    def name(self) -> str:
        if self.shown is not None:
            return self.shown
        return self.rule.name if self.rule.name == "CopySlices" else self.rule.name + "Backward0"

    def release(self) -> None:
        """Lets go of what was saved; a second backward then says so. Where nothing was, there may be one."""
        if self.saved or self.saved_out is not None:
            self.saved = self.saved_out = None

    def apply(self, grads: tuple) -> tuple:
        """Gradients of the inputs (None where none is needed) from those of the outputs (None where undefined)."""
        rule, params = self.rule, self.params
        if self.saved is None:
            raise RuntimeError(SECOND_TIME)
        env = {"g": grads[0] if self.outputs == 1 else grads, "shape": self.types[0].shape, "types": self.types}
        env.update(params)
        for i, s in self.saved:
            env[rule.inputs[i]] = s.unpack(self, False)
        if self.saved_out is not None:
            env["out"] = self.saved_out.unpack(self, True)
        if rule.joint:
            results = rule.grad(*[env[k] for k in rule.needs[""]])
            results = [r if self.mask >> i & 1 else None for i, r in enumerate(results)]
        else:
            results = [rule.grad[k](*[env[a] for a in rule.needs[k]]) if self.mask >> i & 1 and k in rule.grad else None
                       for i, k in enumerate(rule.inputs)]
        return tuple(None if r is None else fit(r, t, rule.broadcasts)
                     for r, t in zip(results, self.types, strict=True))

    def __getattr__(self, name: str):
        if name.startswith("_saved_"):
            wanted = name[len("_saved_"):]
            if self.saved is None:
                raise RuntimeError("Trying to backward through the graph a second time (or directly access saved "
                                   "tensors after they have already been freed).")
            for i, s in self.saved:
                if self.rule.inputs[i] in (wanted, {"self": "input"}.get(wanted)):
                    return s.unpack(self, False)
            if wanted == "result" and self.saved_out is not None:
                return self.saved_out.unpack(self, True)
            if wanted in self.params:
                return self.params[wanted]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def fit(g, type, broadcasts: bool):
    """A gradient brought to its input's shape and dtype: summed over what was broadcast, real part for a real input."""
    if broadcasts and g._type.shape != type.shape:
        g = sum_to(g, type.shape)
    if g._type.dtype is not type.dtype:
        if g._type.dtype.kind == "c" and type.dtype.kind != "c":
            g = g.real
        if g._type.dtype is not type.dtype:
            g = g.to(type.dtype)
    return g


def sum_to(g, shape):
    """``g`` summed over the dimensions that broadcasting added to ``shape``."""
    lead = g.dim() - len(shape)
    kept = [d for d, s in enumerate(shape, lead) if s == 1 and g._type.shape[d] != 1]
    if not kept:
        return g.sum(list(range(lead))) if lead else g
    dims = list(range(lead)) + kept
    if dims:
        g = g.sum(dims, keepdim=True)
    return g.reshape(shape) if lead else g


class AccumulateGrad(NodeBase):
    """The end of the tape at a leaf: adds what arrives to its ``grad``."""

    def __init__(self, variable):
        self.variable = variable
        self.sequence = 1 << 62  # as soon as its gradient is complete
        self.edges = ()

    def name(self) -> str:
        return "AccumulateGrad"


def edge_of(tensor) -> tuple[NodeBase, int] | None:
    """Where a tensor's gradient goes: (node, output number), or None if it needs none."""
    if tensor._base is not None:
        tensor._refresh_autograd()
    if tensor._fn is not None:
        return tensor._fn, tensor._nr
    if tensor._rg:
        return accumulator(tensor), 0
    return None


def accumulator(tensor) -> AccumulateGrad:
    held = tensor._accumulate
    if isinstance(held, AccumulateGrad):
        return held
    found = held() if held is not None else None
    if found is None:
        found = AccumulateGrad(tensor)
        tensor._accumulate = weakref.ref(found)
    return found


def track(rule: Rule, outs: tuple, tensors: tuple, nodes: tuple, params: dict) -> None:
    """Puts an operation on the tape: ``outs`` are its fresh outputs, ``nodes`` the values its inputs had."""
    mask = 0
    bit = 1
    edges: list = []
    for t in tensors:
        if t._rg:
            mask |= bit
            fn = t._fn
            edges.append((fn, t._nr) if fn is not None else edge_of(t))
        else:
            edges.append(None)
        bit <<= 1
    if mask:
        put(rule, mask, tuple(edges), outs, tensors, nodes, params)


def put(rule: Rule, mask: int, edges: tuple, outs: tuple, tensors: tuple, nodes: tuple, params: dict) -> GradNode:
    """The node of an operation whose inputs in ``mask`` need gradients, which go along ``edges``."""
    want, want_out = rule.plans.get(mask) or rule.plan(mask)
    fn = _new(GradNode)
    fn.rule = rule
    fn.edges = edges
    if modes.levels:
        fn.levels, fn.edges = modes.levels, modes.levels[-1].cross(edges)
    fn.mask = mask
    fn.saved = saved = [(i, SavedTensor(tensors[i], nodes[i], edges[i])) for i in want if nodes[i] is not None] if want else []
    fn.params = params
    fn.types = tuple([t._type for t in tensors])
    fn.sequence = next(_sequence)
    for k, out in enumerate(outs):
        if out._type.dtype.kind in "fc":
            out._rg = True
            out._fn = fn
            if k:
                out._nr = k
    if len(outs) > 1:
        fn.outputs = len(outs)
    if want_out:
        fn.saved_out = SavedOutputs(outs) if len(outs) > 1 else SavedTensor(outs[0], outs[0]._value(), None)  # pyright: ignore[reportGeneralTypeIssues]
    if modes.saved_hooks:
        for _, s in saved:
            s.pack()
        if want_out:
            fn.saved_out.pack()
    if modes.anomaly or engine.debug_lines:
        fn.where = engine.user_line()
    return fn


class SavedOutputs:
    """The outputs of a node that has several, saved together."""

    def __init__(self, outs):
        self.items = [SavedTensor(o, o._value(), None) for o in outs]

    def pack(self) -> None:
        for s in self.items:
            s.pack()

    def unpack(self, fn, is_output):
        out = []
        for k, s in enumerate(self.items):
            t = s.unpack(fn, True)
            if t._type.dtype.kind not in "fc":
                t._fn, t._rg = None, False
            else:
                t._nr = k
            out.append(t)
        return tuple(out)
