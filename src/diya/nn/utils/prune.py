"""Pruning: parameters with some elements held at zero (``torch.nn.utils.prune``).

A pruned parameter ``name`` becomes the parameter ``name_orig`` and the buffer ``name_mask``; ``name`` is their product, made
again before each forward. `remove` makes it a parameter for good.
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import diya

from ...tensor import Tensor
from ..modules.module import Module


class BasePruningMethod(ABC):
    """A rule for masks, and the hook that applies one to a module's parameter.

    ``PRUNING_TYPE`` says which elements the rule sees of what is pruned already: "unstructured" (the remaining ones),
    "structured" (the remaining channels along ``dim``) or "global" (all).
    """

    PRUNING_TYPE: str
    _tensor_name: str

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask for a tensor that is pruned by ``default_mask`` already."""

    def apply_mask(self, module: Module) -> Tensor:
        """The parameter times its mask."""
        mask = getattr(module, self._tensor_name + "_mask")
        original = getattr(module, self._tensor_name + "_orig")
        return mask.to(dtype=original.dtype) * original

    @classmethod
    def apply(cls, module: Module, name: str, *args, importance_scores: Tensor | None = None, **kwargs) -> BasePruningMethod:
        """Prunes ``module.name`` by a rule of this class, on top of what prunes it already."""
        old = next(((key, hook) for key, hook in module._forward_pre_hooks.items()
                    if isinstance(hook, BasePruningMethod) and hook._tensor_name == name), None)
        method: BasePruningMethod = cls(*args, **kwargs)
        method._tensor_name = name
        original = getattr(module, name)  # where it is pruned already, as it is now
        if importance_scores is not None and importance_scores.shape != original.shape:
            raise AssertionError(f"importance_scores should have the same shape as parameter {name} of {module}: expected "
                                 f"{list(original.shape)}, got {list(importance_scores.shape)}")
        scores = original if importance_scores is None else importance_scores
        if old is None:
            before = diya.ones_like(scores)
        else:
            before = getattr(module, name + "_mask").detach().clone()
            container = old[1] if isinstance(old[1], PruningContainer) else PruningContainer(old[1])
            container.add_pruning_method(method)
            method = container
            del module._forward_pre_hooks[old[0]]
        mask = method.compute_mask(scores, default_mask=before)
        if old is None:
            module.register_parameter(name + "_orig", original)
            del module._parameters[name]
        module.register_buffer(name + "_mask", mask)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Tensor:
        """A pruned copy of a tensor."""
        if importance_scores is not None and importance_scores.shape != t.shape:
            raise AssertionError("importance_scores should have the same shape as tensor t")
        mask = diya.ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(t if importance_scores is None else importance_scores, default_mask=mask)

    def remove(self, module: Module) -> None:
        """Makes the pruned parameter an ordinary one. Its hook is not removed: see `prune.remove`."""
        name = self._tensor_name
        weight = self.apply_mask(module)
        delattr(module, name)
        original = module._parameters[name + "_orig"]
        original.data = weight.data
        del module._parameters[name + "_orig"], module._buffers[name + "_mask"]
        setattr(module, name, original)


class PruningContainer(BasePruningMethod):
    """Rules one after the other, for the same parameter."""

    def __init__(self, *args: Any):
        self._pruning_methods: tuple = ()
        if len(args) == 1 and isinstance(args[0], BasePruningMethod):
            self._tensor_name = args[0]._tensor_name
        for method in args[0] if len(args) == 1 and isinstance(args[0], Iterable) else args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        if method is not None and not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._pruning_methods and method._tensor_name != self._tensor_name:
            raise ValueError(f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to "
                             f"PruningContainer {self}. Found '{method._tensor_name}'")
        if method is not None and not self._pruning_methods:
            self._tensor_name = method._tensor_name
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self):
        return iter(self._pruning_methods)

    def __getitem__(self, index):
        return self._pruning_methods[index]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask of the last rule for what the others left."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(dtype=t.dtype)
        if method.PRUNING_TYPE == "unstructured":
            part: Any = mask == 1
        elif method.PRUNING_TYPE == "structured":
            dim = method.dim + t.dim() if method.dim < 0 else method.dim
            kept = mask.sum(dim=tuple(d for d in range(t.dim()) if d != dim)) != 0
            part = (slice(None),) * dim + (kept,)
        elif method.PRUNING_TYPE == "global":
            part = (slice(None),) * t.dim()
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        new = mask.clone()
        new[part] = method.compute_mask(t[part], default_mask=mask[part]).to(dtype=new.dtype)
        return new


class Identity(BasePruningMethod):
    """Prunes nothing: the parameter only gets its mask."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class _Amount(BasePruningMethod):
    """A rule for ``amount`` units: a number of them, or a fraction."""

    def __init__(self, amount: float):
        _validate_amount(amount)
        self.amount = amount


class RandomUnstructured(_Amount):
    """Elements at random."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count, mask = _count(self.amount, t.nelement()), default_mask.clone()
        if count:
            mask.view(-1)[diya.topk(diya.rand_like(t).view(-1), k=count).indices] = 0
        return mask


class L1Unstructured(_Amount):
    """The elements of least magnitude."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count, mask = _count(self.amount, t.nelement()), default_mask.clone()
        if count:
            mask.view(-1)[diya.topk(t.abs().view(-1), k=count, largest=False).indices] = 0
        return mask


class RandomStructured(_Amount):
    """Channels at random."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1):
        super().__init__(amount)
        self.dim = dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        dim = _structured_dim(t, self.dim)
        count = _count(self.amount, t.shape[dim])
        if not count:
            return default_mask
        chance = diya.rand(t.shape[dim])
        kept = chance > diya.kthvalue(chance, k=count).values
        return default_mask * _along(kept, dim, t).to(dtype=default_mask.dtype)


class LnStructured(_Amount):
    """The channels of the least ``n``-norm."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, n: Any, dim: int = -1):
        super().__init__(amount)
        self.n, self.dim = n, dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        dim = _structured_dim(t, self.dim)
        size = t.shape[dim]
        count = _count(self.amount, size)
        if not count:
            return default_mask
        norms = diya.norm(t, p=self.n, dim=tuple(d for d in range(t.dim()) if d != dim))
        kept = diya.zeros(size, dtype=diya.bool)
        kept[diya.topk(norms, k=size - count).indices] = True
        return default_mask * _along(kept, dim, t).to(dtype=default_mask.dtype)


class CustomFromMask(BasePruningMethod):
    """A given mask."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor):
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask * self.mask.to(dtype=default_mask.dtype)


def _validate_amount(amount: Any) -> None:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if isinstance(amount, numbers.Integral) and amount < 0 or not isinstance(amount, numbers.Integral) and not 0 <= amount <= 1:
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")


def _count(amount: Any, size: int) -> int:
    if isinstance(amount, numbers.Integral):
        if amount > size:
            raise ValueError(f"amount={amount} should be smaller than the number of parameters to prune={size}")
        return int(amount)
    return round(amount * size)


def _structured_dim(t: Tensor, dim: int) -> int:
    if t.dim() <= 1:
        raise ValueError(f"Structured pruning can only be applied to multidimensional tensors. Found tensor of shape {t.shape} "
                         f"with {t.dim()} dims")
    if not -t.dim() <= dim < t.dim():
        raise IndexError(f"Invalid index {dim} for tensor of size {t.shape}")
    return dim % t.dim()


def _along(kept: Tensor, dim: int, t: Tensor) -> Tensor:
    return kept.reshape([-1 if d == dim else 1 for d in range(t.dim())]).expand(t.shape)


# -- functions -------------------------------------------------------------------------------------------------------------

def identity(module: Module, name: str) -> Module:
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Module, name: str, amount: float, importance_scores: Tensor | None = None) -> Module:
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Module, name: str, amount: float, n: Any, dim: int, importance_scores: Tensor | None = None) -> Module:
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(parameters: Any, pruning_method: type[BasePruningMethod], importance_scores: dict | None = None,
                        **kwargs: Any) -> None:
    """Prunes (module, name) pairs together: the rule sees all their elements as one vector."""
    pairs = list(parameters)
    scores = importance_scores or {}
    values = [scores.get((module, name), getattr(module, name)) for module, name in pairs]
    vector = diya.cat([x.reshape(-1) for x in values])
    masks = [getattr(module, name + "_mask", None) for module, name in pairs]
    before = diya.cat([(diya.ones_like(x) if mask is None else mask).reshape(-1)
                       for x, mask in zip(values, masks, strict=True)])
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(f'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method {pruning_method} of '
                        f"type {method.PRUNING_TYPE}")
    container = PruningContainer()
    container._tensor_name = method._tensor_name = "temp"
    container.add_pruning_method(method)
    mask, at = container.compute_mask(vector, before), 0
    for module, name in pairs:
        own = getattr(module, name)
        custom_from_mask(module, name, mask=mask[at:at + own.numel()].view_as(own))
        at += own.numel()


def remove(module: Module, name: str) -> Module:
    """Makes a pruned parameter an ordinary one, with its zeros. Raises ValueError if it is not pruned."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")


def is_pruned(module: Module) -> bool:
    """Whether a module, or one inside of it, has a pruned parameter."""
    return any(isinstance(hook, BasePruningMethod) for inner in module.modules() for hook in inner._forward_pre_hooks.values())
