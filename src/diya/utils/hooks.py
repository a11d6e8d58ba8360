"""Handles of registered hooks, and what makes a module's backward hooks fire."""

from __future__ import annotations

import itertools
import warnings
import weakref
from collections import OrderedDict
from typing import Any

__all__ = ["RemovableHandle", "unserializable_hook", "warn_if_has_hooks", "BackwardHook"]


class RemovableHandle:
    """Takes a hook back: ``remove()``, or the end of a ``with`` block.

    ``hooks_dict`` is the table that holds the hook under ``id``; ``extra_dict`` is one table, or a list of them, that
    may hold the same id. All are held weakly.
    """

    next_id = itertools.count()

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None):
        self.hooks_dict_ref = weakref.ref(hooks_dict)
        self.id = next(RemovableHandle.next_id)
        extra = [] if extra_dict is None else [extra_dict] if isinstance(extra_dict, dict) else extra_dict
        self.extra_dict_ref = tuple(weakref.ref(d) for d in extra)

    def remove(self) -> None:
        for ref in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = ref()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __getstate__(self):
        return self.hooks_dict_ref(), self.id, tuple(ref() for ref in self.extra_dict_ref)

    def __setstate__(self, state):
        hooks, self.id, extra = state
        # A table that has died meanwhile is replaced by one that dies at once.
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
        self.extra_dict_ref = tuple(weakref.ref(OrderedDict() if d is None else d) for d in extra)
        RemovableHandle.next_id = itertools.count(max(next(RemovableHandle.next_id), self.id + 1))

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()


def unserializable_hook(f):
    """Marks a hook that must not be pickled with its tensor; ``save`` warns of it."""
    f.__torch_unserializable__ = True
    return f


def warn_if_has_hooks(tensor) -> None:
    """Warns of the tensor's hooks that are marked as not to be pickled."""
    for hook in (getattr(tensor, "_backward_hooks", None) or {}).values():
        if hasattr(hook, "__torch_unserializable__"):
            warnings.warn(f"backward hook {hook!r} on tensor will not be serialized.  If this is expected, you can "
                          "decorate the function with @torch.utils.hooks.unserializable_hook to suppress this warning",
                          stacklevel=2)


_identity = None


def _identity_function():
    """An autograd function that passes tensors through: its node is where a module's gradients are seen."""
    global _identity
    if _identity is None:
        from ..autograd import Function

        class BackwardHookFunction(Function):
            @staticmethod
            def forward(ctx, *args):
                ctx.mark_non_differentiable(*[a for a in args if not a.requires_grad])
                return args

            @staticmethod
            def backward(ctx, *grads):
                return grads

        _identity = BackwardHookFunction
    return _identity


class BackwardHook:
    """The full backward hooks of one call of a module.

    The inputs and the outputs are passed through an identity each; the gradients at the nodes of the two identities
    are the module's ``grad_input`` and ``grad_output``.
    """

    def __init__(self, module, user_hooks: list, user_pre_hooks: list):
        self.module, self.user_hooks, self.user_pre_hooks = module, user_hooks, user_pre_hooks
        self.grad_outputs: tuple | None = None
        self.n_inputs = self.n_outputs = -1
        self.inputs_at: list[int] | None = None
        self.outputs_at: list[int] | None = None

    @staticmethod
    def _spread(at: list[int], values, n: int) -> tuple:
        out: list = [None] * n
        for i, value in zip(at, values, strict=True):
            out[i] = value
        return tuple(out)

    def _pass_through(self, register, args: tuple) -> tuple[tuple, list[int] | None]:
        """``args`` with their tensors through the identity, and the places of the tensors (None: no gradient)."""
        from ..autograd import is_grad_enabled
        from ..tensor import Tensor
        at = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        if not (is_grad_enabled() and any(args[i].requires_grad for i in at)):
            return args, None
        passed = _identity_function().apply(*[args[i] for i in at])
        nodes = [t.grad_fn for t in passed if t.grad_fn is not None]
        if not nodes:
            raise RuntimeError("Error while setting up backward hooks. Please open an issue with code to reproduce "
                               "this.")
        register(nodes[0])
        out = list(args)
        for i, t in zip(at, passed, strict=True):
            out[i] = t
        return tuple(out), at

    def _run_hooks(self, grad_inputs: tuple) -> tuple:
        for hook in self.user_hooks:
            replaced = hook(self.module, grad_inputs, self.grad_outputs)
            if replaced is None:
                continue
            if not isinstance(replaced, tuple):
                replaced = (replaced,)
            if len(replaced) != len(grad_inputs):
                raise RuntimeError(f"Backward hook returned an invalid number of grad_input, got {len(replaced)}, but "
                                   f"expected {len(grad_inputs)}")
            grad_inputs = replaced
        self.grad_outputs = None
        return grad_inputs

    def setup_input_hook(self, args: tuple) -> tuple:
        """``args`` so that the gradients that reach them call the hooks."""
        def register(node):
            def hook(grad_input, _):
                if self.grad_outputs is None:
                    return None  # the gradient did not come through this module's output
                at = self.inputs_at or []
                full = self._run_hooks(self._spread(at, grad_input, self.n_inputs))
                return tuple(full[i] for i in at)
            node.register_hook(hook)

        self.n_inputs = len(args)
        args, self.inputs_at = self._pass_through(register, args)
        return args

    def setup_output_hook(self, outputs):
        """``outputs`` (a tensor or a tuple) so that their gradients are noted, and pre-hooks called with them."""
        from ..tensor import Tensor

        def register(node):
            def hook(grad_output):
                at = self.outputs_at or []
                self.grad_outputs = self._spread(at, grad_output, self.n_outputs)
                for pre in self.user_pre_hooks:
                    replaced = pre(self.module, self.grad_outputs)
                    if replaced is None:
                        continue
                    if not isinstance(replaced, tuple):
                        replaced = (replaced,)
                    if len(replaced) != len(self.grad_outputs):
                        raise RuntimeError("Backward pre hook returned an invalid number of grad_output, got "
                                           f"{len(replaced)}, but expected {len(self.grad_outputs)}")
                    self.grad_outputs = replaced
                passed = self.grad_outputs
                if self.inputs_at is None:  # no input needs a gradient: the hooks have no later place to run
                    if self.user_hooks:
                        warnings.warn("Full backward hook is firing when gradients are computed with respect to module "
                                      "outputs since no inputs require gradients. See https://docs.pytorch.org/docs/main/"
                                      "generated/torch.nn.Module.html#torch.nn.Module.register_full_backward_hook for "
                                      "more details.", stacklevel=5)
                    self._run_hooks((None,) * self.n_inputs)
                return tuple(passed[i] for i in at)
            node.register_prehook(hook)

        single = not isinstance(outputs, tuple)
        if single and not isinstance(outputs, Tensor):
            return outputs
        outputs = (outputs,) if single else outputs
        self.n_outputs = len(outputs)
        outputs, self.outputs_at = self._pass_through(register, outputs)
        return outputs[0] if single else outputs
