"""`Optimizer`: parameter groups, state, hooks, state dicts; and the loop that most optimizers share."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

import numpy as np

import diya

from .. import engine, recording
from ..autograd.modes import modes
from ..graph import SCALAR, Node
from ..tensor import Tensor, from_node
from ..utils.hooks import RemovableHandle
from ._formulas import lerp_back, lerp_from

__all__ = ["Optimizer", "register_optimizer_step_pre_hook", "register_optimizer_step_post_hook"]

_global_optimizer_pre_hooks: dict[int, Callable] = OrderedDict()
_global_optimizer_post_hooks: dict[int, Callable] = OrderedDict()


class _RequiredParameter:
    """Stands for a default that every group must give."""

    def __repr__(self):
        return "<required parameter>"


required = _RequiredParameter()


def register_optimizer_step_pre_hook(hook: Callable) -> RemovableHandle:
    """``hook(optimizer, args, kwargs) -> None | (args, kwargs)`` runs before every ``step`` of any optimizer."""
    handle = RemovableHandle(_global_optimizer_pre_hooks)
    _global_optimizer_pre_hooks[handle.id] = hook
    return handle


def register_optimizer_step_post_hook(hook: Callable) -> RemovableHandle:
    """``hook(optimizer, args, kwargs) -> None`` runs after every ``step`` of any optimizer."""
    handle = RemovableHandle(_global_optimizer_post_hooks)
    _global_optimizer_post_hooks[handle.id] = hook
    return handle


class Optimizer:
    """Base of all optimizers: ``Optimizer(params, defaults)``.

    ``params`` is an iterable of tensors, of (name, tensor) pairs, or of dicts with ``params`` and options of a group.
    """

    OptimizerPreHook = Callable
    OptimizerPostHook = Callable

    _optimizer_step_pre_hooks: dict[int, Callable]
    _optimizer_step_post_hooks: dict[int, Callable]
    _optimizer_state_dict_pre_hooks: dict[int, Callable]
    _optimizer_state_dict_post_hooks: dict[int, Callable]
    _optimizer_load_state_dict_pre_hooks: dict[int, Callable]
    _optimizer_load_state_dict_post_hooks: dict[int, Callable]

    def __init__(self, params: Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]],
                 defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._make_hooks()
        self._patch_step_function()
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                            + params.type())
        self.state: defaultdict[Tensor, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups: list = list(params)
        if len(groups) == 0:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _make_hooks(self) -> None:
        for kind in ("step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_state_dict_pre",
                     "load_state_dict_post"):
            self.__dict__.setdefault(f"_optimizer_{kind}_hooks", OrderedDict())

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_hooks()
        self._patch_step_function()
        self.defaults.setdefault("differentiable", False)

    def __repr__(self) -> str:
        text = type(self).__name__ + " ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            text += "".join(f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params")
        return text + ")"

    # -- step hooks ----------------------------------------------------------------------------------------------------

    @staticmethod
    def profile_hook_step(func: Callable) -> Callable:
        """``func`` (a ``step``) with the hooks around it, and the recorded program run at its end."""
        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            self, *_ = args
            if _global_optimizer_pre_hooks or self._optimizer_step_pre_hooks:
                for hook in chain(_global_optimizer_pre_hooks.values(), self._optimizer_step_pre_hooks.values()):
                    result = hook(self, args, kwargs)
                    if result is not None:
                        if not (isinstance(result, tuple) and len(result) == 2):
                            raise RuntimeError(f"{func} must return None or a tuple of (new_args, new_kwargs), but got "
                                               f"{result}.")
                        args, kwargs = result
            out = func(*args, **kwargs)
            for hook in chain(self._optimizer_step_post_hooks.values(), _global_optimizer_post_hooks.values()):
                hook(self, args, kwargs)
            engine.flush()  # forward, backward and update, as one program
            return out

        wrapper.hooked = True  # type: ignore[attr-defined]
        return wrapper

    def _patch_step_function(self) -> None:
        cls = type(self)
        if not getattr(cls.step, "hooked", False):
            cls.step = self.profile_hook_step(cls.step)  # type: ignore[method-assign]

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(optimizer, args, kwargs) -> None | (args, kwargs)`` runs before ``step``."""
        handle = RemovableHandle(self._optimizer_step_pre_hooks)
        self._optimizer_step_pre_hooks[handle.id] = hook
        return handle

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(optimizer, args, kwargs) -> None`` runs after ``step``."""
        handle = RemovableHandle(self._optimizer_step_post_hooks)
        self._optimizer_step_post_hooks[handle.id] = hook
        return handle

    @staticmethod
    def _register(hooks: dict[int, Callable], hook: Callable, prepend: bool) -> RemovableHandle:
        handle = RemovableHandle(hooks)
        hooks[handle.id] = hook
        if prepend:
            hooks.move_to_end(handle.id, last=False)  # type: ignore[attr-defined]
        return handle

    def register_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer) -> None`` runs before ``state_dict``."""
        return self._register(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer, state_dict) -> None | state_dict`` runs after ``state_dict``."""
        return self._register(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer, state_dict) -> None | state_dict`` runs before ``load_state_dict``."""
        return self._register(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer) -> None`` runs after ``load_state_dict``."""
        return self._register(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    # -- state dict ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """``state`` by position of the parameter, and ``param_groups`` with positions in place of parameters.

        The tensors are those of the optimizer, not copies.
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        positions: dict[int, int] = {}
        packed = []
        for group in self.param_groups:
            for p in group["params"]:
                positions.setdefault(id(p), len(positions))
            packed.append({**{k: v for k, v in group.items() if k != "params"},
                           "params": [positions[id(p)] for p in group["params"]]})
        out: dict[str, Any] = {
            "state": {positions[id(k)] if isinstance(k, Tensor) else k: v for k, v in self.state.items()},
            "param_groups": packed}
        for hook in self._optimizer_state_dict_post_hooks.values():
            replaced = hook(self, out)
            if replaced is not None:
                out = replaced
        return out

    @staticmethod
    def _process_value_according_to_param_policy(param: Tensor, value: Tensor, param_id: int,
                                                 param_groups: list[dict[Any, Any]],
                                                 key: Hashable = None) -> Tensor:
        """A loaded tensor of state, in the parameter's dtype; the step count stays as it is."""
        if key == "step":
            return value
        if param.is_floating_point():
            return value.to(dtype=param.dtype, device=param.device)
        return value.to(device=param.device)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over the state and the options of the groups; parameters are matched by position."""
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            replaced = hook(self, state_dict)
            if replaced is not None:
                state_dict = replaced
        groups, saved = self.param_groups, deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(g["params"]) != len(s["params"]) for g, s in zip(groups, saved, strict=True)):
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's "
                             "group")
        parameters = dict(zip(chain.from_iterable(g["params"] for g in saved),
                              chain.from_iterable(g["params"] for g in groups), strict=True))

        def cast(param: Tensor, value: Any, param_id: int, key: Hashable = None) -> Any:
            if isinstance(value, Tensor):
                return self._process_value_according_to_param_policy(param, value, param_id,
                                                                     state_dict["param_groups"], key)
            if isinstance(value, dict):
                return {k: cast(param, v, param_id, k) for k, v in value.items()}
            if isinstance(value, Iterable) and not isinstance(value, str):
                return type(value)(cast(param, v, param_id) for v in value)  # type: ignore[call-arg]
            return value

        state: defaultdict[Any, Any] = defaultdict(dict)
        for k, v in state_dict["state"].items():
            if k in parameters:
                state[parameters[k]] = cast(parameters[k], v, k)
            else:
                state[k] = v

        def update_group(group: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
            new["params"] = group["params"]
            if "param_names" in group and "param_names" not in new:
                new["param_names"] = group["param_names"]
            return new

        self.__setstate__({"state": state, "param_groups": [update_group(g, s)
                                                            for g, s in zip(groups, saved, strict=True)]})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    # -- the rest ------------------------------------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops (or zeroes) the gradient of every parameter."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    if p.grad.grad_fn is not None:
                        p.grad.detach_()
                    else:
                        p.grad.requires_grad_(False)
                    p.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of the parameters. ``closure`` evaluates the model again and returns the loss."""
        raise NotImplementedError

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group: a dict with ``params`` and the options that differ from the defaults."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            param_group["params"] = [params]
        elif isinstance(params, set):
            raise TypeError("optimizer parameters need to be organized in ordered collections, but the ordering of "
                            "tensors in sets will change between runs. Please use a list instead.")
        else:
            param_group["params"] = list(params)
        names, tensors = [], []
        for param in param_group["params"]:
            if isinstance(param, tuple):
                names.append(param[0])
                tensors.append(param[1])
            else:
                tensors.append(param)
        param_group["params"] = tensors
        if names:
            if len(names) != len(tensors):
                raise ValueError("all optimizer params should be with/without names. Some param names are missing")
            param_group["param_names"] = names
        for param in tensors:
            if not isinstance(param, Tensor):
                raise TypeError("optimizer can only optimize Tensors, but one of the params is " + type(param).__name__)
            if not self.defaults.get("differentiable", None) and not (param.is_leaf or param.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        if len(tensors) != len(set(tensors)):
            warnings.warn("optimizer contains a parameter group with duplicate parameters; in future, this will cause "
                          "an "
                          "error; see github.com/pytorch/pytorch/issues/40967 for more information", stacklevel=3)
        known: set[Tensor] = set()
        for group in self.param_groups:
            known.update(group["params"])
            if ("param_names" in param_group) != ("param_names" in group):
                raise ValueError("all optimizer param groups should be with/without names. cannot add param group "
                                 f"{'with' if 'param_names' in param_group else 'without'} names to the optimizer")
        if not known.isdisjoint(tensors):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)


# -- numbers that live in tensors --------------------------------------------------------------------------------------

def number(value: Any) -> float:
    """A number, or what a one-element tensor holds. A tensor that `set_number` wrote is read without running "
      "anything."""
    if not isinstance(value, Tensor):
        return value
    node = value._storage.node
    if node.signature.op is SCALAR and node.type is value._type:
        return node.value  # type: ignore[return-value]
    return value.item()  # type: ignore[return-value]


def replace(target: Tensor, value: Node) -> None:
    """Makes ``value`` the content of a tensor."""
    storage = target._storage
    if storage.exports is None and target._strides is None and storage.node.type is value.type:
        storage.node = value  # as `_write`, spelled out
        storage.version += 1
    else:
        target._write(value)


def set_number(tensor: Tensor, value: float) -> float:
    """Makes ``value`` the content of a 0-dim tensor, as an argument of the program; returns it as the dtype rounds "
      "it."""
    if tensor.dtype is not diya.float64:
        value = float(np.float32(value))
    tensor._write(engine.scalar(value, tensor.dtype))
    return value


def scalar_tensor(value: float) -> Tensor:
    """A 0-dim tensor for a count: float32, or float64 where that is the default dtype."""
    wide = diya.get_default_dtype() is diya.float64
    tensor = diya.zeros((), dtype=diya.float64 if wide else diya.float32)
    set_number(tensor, value)
    return tensor


MAX_UPDATES = 64
_updates: dict[tuple, tuple[recording.Recording, list[int]]] = recording.memory()


class RuleOptimizer(Optimizer):
    """An optimizer whose update is a function of each parameter by itself.

    A subclass defines ``begin`` (a parameter's first state), ``tensors`` (the tensors that the rule reads and writes),
    ``plan`` (flags and numbers of a step) and ``rule``. All arithmetic on tensors is the rule's, made of
    `_formulas`; the numbers are arguments of the program, so a changed learning rate compiles nothing.
    """

    _group_defaults: dict[str, Any] = {}   # options that state dicts of older versions lack
    _counts = True                         # whether state["step"] counts the steps
    _numbers: tuple[str, ...] = ()         # further names in state that hold one number

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in self._group_defaults.items():
                group.setdefault(key, value)
            for p in group["params"]:
                own = self.state.get(p)
                if own:
                    for key in (*(("step",) if self._counts else ()), *self._numbers):
                        if key in own and not isinstance(own[key], Tensor):
                            own[key] = scalar_tensor(float(own[key]))

    def state_of(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state of a parameter; an empty one that is not kept, where there is nothing to remember."""
        return self.state[p]

    def begin(self, p: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Fills the state of a parameter that is met for the first time."""

    def tensors(self, p: Tensor, state: dict[str, Any], group: dict[str, Any]) -> list[Tensor]:
        """The tensors that the rule replaces: the parameter first."""
        raise NotImplementedError

    def plan(self, group: dict[str, Any], step: float, *numbers: float) -> tuple[Any, tuple, tuple]:
        """(flags, numbers for the rule, new values of ``_numbers``) of this step."""
        raise NotImplementedError

    def keep(self, p: Tensor, state: dict[str, Any], extra: Tensor) -> None:
        """Takes a value that the rule gave beyond those of ``tensors``: a tensor that did not exist before."""

    def update_sparse(self, p: Tensor, grad: Any, group: dict[str, Any]) -> None:
        """The update of a parameter whose gradient is sparse."""
        instead = ", please consider SparseAdam instead" if type(self).__name__ == "Adam" else ""
        raise RuntimeError(f"{type(self).__name__} does not support sparse gradients{instead}")

    def _adopt(self, p: Tensor, state: dict[str, Any], value: Any, differentiable: bool) -> None:
        made = value.clone() if differentiable else from_node(value)
        self.keep(p, state, diya.view_as_complex(made) if p.dtype.is_complex else made)

    @staticmethod
    def rule(flags, k: list, grad, *values) -> tuple:
        """New values of ``tensors`` from the old ones; ``k`` are the plan's numbers."""
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of the parameters that have a gradient. Returns what ``closure`` returned."""
        loss = None
        if closure is not None:
            with diya.enable_grad():
                loss = closure()
        previous, modes.grad = modes.grad, bool(self.defaults.get("differentiable", False))
        try:
            for group in self.param_groups:
                self._update_group(group)
        finally:
            modes.grad = previous
        return loss

    def _update_group(self, group: dict[str, Any]) -> None:
        if group.get("differentiable", False):
            self._update_on_tape(group)
            return
        counts, names = self._counts, self._numbers
        plans: dict[tuple, int] = {}  # parameters at the same step share their numbers
        made: list[tuple] = []        # flags and numbers of each plan
        work: list[tuple] = []        # a parameter, its state, the tensors to replace, its plan
        values: list[Node] = []       # the gradient and those tensors, of one parameter after the other
        state_of, tensors = self.state_of, self.tensors
        latest, at = None, 0
        for p in group["params"]:
            grad = p._grad
            if grad is None:
                continue
            if grad.__class__ is not Tensor and grad.is_sparse:
                self.update_sparse(p, grad, group)
                continue
            state = state_of(p, group)
            if not state:
                self.begin(p, grad, state, group)
            dtype = p._type.dtype
            counter = state["step"] if counts else None
            key = (0.0 if counter is None else number(counter) + 1, dtype)
            if names:
                key += tuple([number(state[name]) for name in names])
            if key != latest:
                latest = key
                found = plans.get(key)
                if found is None:
                    found = plans[key] = len(made)
                    made.append(self._plan_nodes(group, key, False))
                at = found
            new, count = made[at][2:]
            if counter is not None:
                replace(counter, count if counter._type.dtype is diya.float32 else engine.scalar(key[0], counter.dtype))
            for i, name in enumerate(names):
                set_number(state[name], new[i])
            targets = tensors(p, state, group)
            if dtype.is_complex:
                grad, targets = diya.view_as_real(grad), [diya.view_as_real(t) for t in targets]
            values.append(grad._value())
            values += [t._value() for t in targets]
            work.append((p, state, targets, at))
        if work:
            flat, sizes = self._results(made, work, values)
            made_values, size = iter(flat), iter(sizes)
            for p, state, targets, _ in work:
                for target in targets:
                    replace(target, next(made_values))
                if next(size) > len(targets):
                    self._adopt(p, state, next(made_values), False)

    def _results(self, plans: list[tuple], work: list[tuple], values: list[Node]) -> tuple[list[Node], list[int]]:
        """What the rule gives, of one parameter after the other, and how many for each. The same for parameters of the same
        types is recorded again without running it."""
        inputs = [k for _, ks, _, _ in plans for k in ks] + values
        key = (self.rule, tuple([flags for flags, *_ in plans]), tuple([(at, len(targets)) for _, _, targets, at in work]),
               tuple([v.type for v in inputs]))
        distinct = len(set(inputs)) == len(inputs)
        found = _updates.get(key)
        if found is not None and distinct:
            recorded, sizes = found
            return recorded.replay(inputs), sizes
        flat: list[Node] = []
        sizes, at = [], 0
        with recording.Capture(inputs) as capture:
            for _, _, targets, plan in work:
                flags, ks, _, _ = plans[plan]
                end = at + 1 + len(targets)
                made = self.rule(flags, ks, *values[at:end])
                flat += made
                sizes.append(len(made))
                at = end
        if distinct:
            recorded = capture.recording(flat)
            if recorded is not None:
                if len(_updates) >= MAX_UPDATES:
                    _updates.clear()
                _updates[key] = recorded, sizes
        return flat, sizes

    def _update_on_tape(self, group: dict[str, Any]) -> None:
        """`_update_group` in tensor arithmetic, for gradients of the update itself."""
        counts, names = self._counts, self._numbers
        for p in group["params"]:
            grad = p._grad
            if grad is None:
                continue
            if grad.is_sparse:
                self.update_sparse(p, grad, group)
                continue
            state = self.state_of(p, group)
            if not state:
                self.begin(p, grad, state, group)
            step = number(state["step"]) + 1 if counts else 0.0
            flags, k, new, _ = self._plan_nodes(group, (step, p._type.dtype, *[number(state[name]) for name in names]), True)
            if counts:
                set_number(state["step"], step)
            for name, value in zip(names, new, strict=True):
                set_number(state[name], value)
            targets = self.tensors(p, state, group)
            if p.is_complex():
                grad, targets = diya.view_as_real(grad), [diya.view_as_real(t) for t in targets]
            results = self.rule(flags, k, grad, *targets)
            for target, value in zip(targets, results, strict=False):
                target.copy_(value)
            if len(results) > len(targets):
                self._adopt(p, state, results[len(targets)], True)

    def _plan_nodes(self, group: dict[str, Any], key: tuple, differentiable: bool) -> tuple:
        """The plan for a key, its numbers as nodes, with the node of the step count."""
        step, dtype, *numbers = key
        flags, values, new = self.plan(group, step, *numbers)
        real = dtype.to_real() if dtype.is_complex else dtype
        k = [number(v) if differentiable else engine.scalar(number(v), real) for v in values]
        return flags, k, new, engine.scalar(step, diya.float32)


def lerp_plan(weight: float) -> tuple[bool, float]:
    """Which of the two forms of ``a + weight·(b - a)`` is the exact one, and the number that it takes."""
    return (False, weight) if weight < 0.5 else (True, 1 - weight)


def lerp(high: bool, a, b, w):
    """``a + weight·(b - a)``, from what `lerp_plan` said of the weight."""
    return lerp_back(a, b, w) if high else lerp_from(a, b, w)


def check_lr(lr: Any, foreach: bool | None = None, capturable: bool = False) -> None:
    """A learning rate is not negative; a tensor holds one element."""
    if isinstance(lr, Tensor):
        if foreach and not capturable:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        if lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
    if not 0.0 <= number(lr):
        raise ValueError(f"Invalid learning rate: {lr}")
