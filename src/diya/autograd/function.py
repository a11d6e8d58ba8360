"""``autograd.Function``: an operation whose forward and backward the user writes."""

from __future__ import annotations

from functools import wraps
from typing import Any

from .modes import modes, set_grad_enabled
from .tape import NodeBase, SavedTensor, _sequence, edge_of


class FunctionCtx:
    """What ``forward`` leaves for ``backward``; any attribute may be set on it."""

    def save_for_backward(self, *tensors) -> None:
        """Keeps tensors, with PyTorch's check that nobody changed them in place before ``backward``."""
        self._to_save = tensors

    def save_for_forward(self, *tensors) -> None:
        self._for_forward = tensors

    def mark_dirty(self, *tensors) -> None:
        """Declares inputs that ``forward`` changed in place; they must be returned."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors) -> None:
        self._no_grad_outputs = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether undefined output gradients reach ``backward`` as zeros (the default) or as None."""
        self._materialize = bool(value)

    needs_input_grad: tuple = ()
    _to_save: tuple = ()
    _dirty: tuple = ()
    _no_grad_outputs: tuple = ()
    _materialize = True
    _for_forward: tuple = ()


class FunctionNode(NodeBase, FunctionCtx):
    """The node of a custom function on the tape, and the ``ctx`` of its backward."""

    _cls: Any
    _input_shapes: tuple
    _input_types: tuple
    _output_types: list
    _pushing = False  # while ``jvp`` runs
    _saved: list | None = None

    def name(self) -> str:
        return self._cls.__name__ + "Backward"

    @property
    def saved_tensors(self) -> tuple:
        if self._pushing and self._for_forward:
            return tuple(self._for_forward)
        if self._saved is None:
            if self.edges or self._released:
                raise RuntimeError("Trying to backward through the graph a second time (or directly access saved tensors "
                                   "after they have already been freed). Specify retain_graph=True if you need to backward "
                                   "through the graph a second time or if you need to access saved tensors after calling "
                                   "backward.")
            return tuple(self._to_save)
        return tuple(s.unpack(self, out) if isinstance(s, SavedTensor) else s for s, out in self._saved)

    saved_variables = saved_tensors
    _released = False

    def release(self) -> None:
        self._saved, self._released = None, True

    def apply(self, grads: tuple) -> tuple:
        if self._materialize:
            grads = tuple(self._zeros(k) if g is None else g for k, g in enumerate(grads))
        if modes.forward:
            out = self._for_linear(grads)
        else:
            out = self._cls.backward(self, *grads)
        out = out if isinstance(out, tuple) else (out,)
        n = len(self.edges)
        if len(out) > n and all(g is None for g in out[n:]):
            out = out[:n]
        if len(out) != n:
            raise RuntimeError(f"function {self.name()} returned an incorrect number of gradients (expected {n}, got {len(out)})")
        for k, (g, edge) in enumerate(zip(out, self.edges, strict=True)):
            if g is not None and edge is not None and g.shape != self._input_shapes[k]:
                fitted = _fit(g, self._input_shapes[k])
                if fitted is None:
                    raise RuntimeError(f"Function {self.name()} returned an invalid gradient at index {k} - got {list(g.shape)} "
                                       f"but expected shape compatible with {list(self._input_shapes[k])}")
                out = (*out[:k], fitted, *out[k + 1:])
        return out

    def _for_linear(self, grads: tuple) -> tuple:
        """Backward as forward mode needs it, which differentiates it: the transpose of ``jvp``, where that is given."""
        from ..tensor import Tensor
        if self._cls.jvp is Function.jvp:
            out = self._cls.backward(self, *grads)
            given = [g for g in (out if isinstance(out, tuple) else (out,)) if isinstance(g, Tensor)]
            if given and not any(g.requires_grad for g in given) and any(g is not None and g.requires_grad for g in grads):
                raise RuntimeError(f"Trying to use forward AD with {self._cls.__name__} that does not support it: its backward "
                                   f"is not differentiable, and it has no jvp")
            return out
        from ..func.transforms import Scope, gradients
        from ..ops.creation import zeros
        scope = Scope()
        tangents = [None if edge is None else scope.variable(zeros(type.shape, dtype=type.dtype))
                    for type, edge in zip(self._input_types, self.edges, strict=True)]
        self._pushing = True
        try:
            pushed = self._cls.jvp(self, *tangents)
        finally:
            self._pushing = False
        pairs = [(o, g) for o, g in zip(pushed if isinstance(pushed, tuple) else (pushed,), grads, strict=True)
                 if isinstance(o, Tensor) and g is not None]
        wanted = [k for k, t in enumerate(tangents) if t is not None]
        found = gradients([o for o, _ in pairs], [g for _, g in pairs], [edge_of(tangents[k]) for k in wanted], True, True)
        results = dict(zip(wanted, found, strict=True))
        return tuple([results.get(k) for k in range(len(tangents))])

    def _zeros(self, k: int):
        from ..ops.creation import zeros
        type = self._output_types[k]
        return zeros(type.shape, dtype=type.dtype) if type is not None else None


def _fit(g, shape):
    from .tape import sum_to
    try:
        return sum_to(g, shape)
    except RuntimeError:
        return None


class Function:
    """A custom operation: subclass with static ``forward(ctx, ...)`` (or ``forward(...)`` and ``setup_context``) and
    ``backward(ctx, *grads)``, then call ``apply``.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.Function
    """

    def __init__(self, *args, **kwargs):
        raise RuntimeError(f"{type(self).__name__} should not be instantiated. Methods on autograd functions are all static, so "
                           f"you should invoke them on the class itself: {type(self).__name__}.apply(...)")

    @staticmethod
    def forward(*args, **kwargs):
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx, inputs, output):
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        raise NotImplementedError("You must implement either the backward or vjp method for your custom autograd.Function to use "
                                  "it with backward mode AD.")

    vjp = backward

    @staticmethod
    def jvp(ctx, *grad_inputs):
        raise NotImplementedError("You must implement the jvp function for custom autograd.Function to use it with "
                                  "forward mode AD.")

    generate_vmap_rule = False  # accepted: what has no ``vmap`` is batched as every other function

    @staticmethod
    def vmap(info, in_dims: tuple, *args):
        """``forward`` on a batch, for one that numpy computes: (outputs, their batch dimensions). ``info`` has the
        ``batch_size`` and ``randomness``."""
        raise NotImplementedError("You must implement the vmap staticmethod to be called with batches by itself.")

    @classmethod
    def apply(cls, *args, **kwargs):
        from ..tensor import Tensor
        ctx = FunctionNode.__new__(FunctionNode)
        ctx._cls = cls
        if "vjp" in cls.__dict__ and "backward" not in cls.__dict__:
            cls.backward = cls.vjp  # type: ignore[method-assign]
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        tape = modes.grad and any(ctx.needs_input_grad)
        edges = tuple(edge_of(a) if n else None for a, n in zip(args, ctx.needs_input_grad, strict=True)) if tape else ()
        versions = {id(a): a._version for a in args if isinstance(a, Tensor)}
        with set_grad_enabled(False):
            if cls.setup_context is not Function.setup_context:
                if cls.vmap is not Function.vmap and modes.levels:
                    from ..func.levels import by_rule
                    result = by_rule(cls.vmap, cls.forward, args)
                else:
                    result = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, result)
            else:
                result = cls.forward(ctx, *args, **kwargs)
        del versions
        outs = list(result) if isinstance(result, tuple) else [result]
        if not tape:
            return result
        ctx.sequence = next(_sequence)
        ctx._input_shapes = tuple(a.shape if isinstance(a, Tensor) else None for a in args)
        ctx._input_types = tuple(a._type if isinstance(a, Tensor) else None for a in args)
        dirty = {id(t) for t in ctx._dirty}
        given = {id(a) for a in args if isinstance(a, Tensor)}
        no_grad = {id(t) for t in ctx._no_grad_outputs}
        if modes.anomaly:
            from .. import engine
            ctx.where = engine.user_line()
        final: list = []
        for k, out in enumerate(outs):
            if not isinstance(out, Tensor):
                final.append(out)
                continue
            if id(out) in no_grad or out.dtype.kind not in "fc":
                final.append(out)
                continue
            if id(out) in dirty:
                if out._fn is None and out._rg and modes.grad:
                    raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
                out._rebases += 1
            elif id(out) in given or out._base is not None:
                out = out._alias(type(out))  # an input, or a view, handed through: a handle of its own on the tape
            out._rg, out._fn, out._nr = True, ctx, k
            final.append(out)
        ctx.edges = edges
        if modes.levels:
            ctx.levels, ctx.edges = modes.levels, modes.levels[-1].cross(edges)
        ctx.outputs = len(outs)
        ctx._output_types = [o._type if isinstance(o, Tensor) else None for o in final]
        saved = []
        made = {id(o): k for k, o in enumerate(outs) if isinstance(o, Tensor)}
        for t in ctx._to_save:
            if t is None or not isinstance(t, Tensor):
                saved.append((t, False))
            elif id(t) in made and id(t) not in given:
                s = SavedTensor(t, t._value(), None)
                saved.append((_Output(s, made[id(t)]), True))
            else:
                saved.append((SavedTensor(t, t._value(), edge_of(t) if t._rg else None), False))
            if modes.saved_hooks:
                saved[-1][0].pack()
        ctx._saved = saved
        ctx._to_save = ()
        return tuple(final) if isinstance(result, tuple) else final[0]


class _Output(SavedTensor):
    """A saved output: its place on the tape is the node itself."""

    __slots__ = ("number",)

    def __init__(self, saved: SavedTensor, number: int):
        for name in SavedTensor.__slots__:
            if hasattr(saved, name):
                setattr(self, name, getattr(saved, name))
        self.number = number

    def unpack(self, fn, is_output):
        t = super().unpack(fn, True)
        t._nr = self.number
        return t


def once_differentiable(function):
    """Marks a ``backward`` that is not differentiable itself: a second derivative through it raises."""
    @wraps(function)
    def call(ctx, *args):
        from ..tensor import Tensor
        with set_grad_enabled(False):
            out = function(ctx, *args)
        if not modes.grad or not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            return out
        outs = out if isinstance(out, tuple) else (out,)
        node = _Refuse()
        node.edges = tuple(edge_of(a) for a in args if isinstance(a, Tensor) and a.requires_grad)
        node.sequence = next(_sequence)
        final = []
        for k, o in enumerate(outs):
            if isinstance(o, Tensor) and o.dtype.kind in "fc":
                o = o.detach()
                o._rg, o._fn, o._nr = True, node, k
            final.append(o)
        node.outputs = len(outs)
        return tuple(final) if isinstance(out, tuple) else final[0]
    return call


class _Refuse(NodeBase):
    def name(self) -> str:
        return "Error"

    def apply(self, grads):
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")

    def release(self) -> None:
        return None
