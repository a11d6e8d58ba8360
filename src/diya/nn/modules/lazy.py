# Mixins and parameters: another base class, or the instance, has the attributes that a checker misses here.
# pyright: reportAttributeAccessIssue=false
"""Modules that find the shapes of their parameters at the first forward."""

from __future__ import annotations

import itertools
import warnings

from ..parameter import is_lazy

__all__ = ["LazyModuleMixin"]


class LazyModuleMixin:
    """Put before a `Module` class: parameters may be uninitialised until the first call.

    The subclass defines ``initialize_parameters(*args)`` (the arguments of ``forward``), which materialises them; after
    that the module becomes one of ``cls_to_become``.
    """

    cls_to_become: type | None = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)  # pyright: ignore[reportAttributeAccessIssue]
        self._initialize_hook = self.register_forward_pre_hook(self._infer_parameters, with_kwargs=True)  # pyright: ignore[reportAttributeAccessIssue]
        warnings.warn("Lazy modules are a new feature under heavy development so changes to the API or functionality "
                      "can "
                      "happen at any moment.", stacklevel=2)

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        for name, value in itertools.chain(self._parameters.items(), self._buffers.items()):  # pyright: ignore[reportAttributeAccessIssue]
            if value is not None and name not in self._non_persistent_buffers_set:  # pyright: ignore[reportAttributeAccessIssue]
                destination[prefix + name] = value if is_lazy(value) or keep_vars else value.detach()

    def _lazy_load_hook(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs):
        """Takes the shapes from the state dict where they are known there and not yet here."""
        for name, value in itertools.chain(self._parameters.items(), self._buffers.items()):  # pyright: ignore[reportAttributeAccessIssue]
            key = prefix + name
            if value is not None and key in state_dict and is_lazy(value) and not is_lazy(state_dict[key]):
                value.materialize(state_dict[key].shape)

    def initialize_parameters(self, *args, **kwargs) -> None:
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether any parameter or buffer still waits for its shape."""
        return any(is_lazy(v) for v in itertools.chain(self._parameters.values(), self._buffers.values()))  # pyright: ignore[reportAttributeAccessIssue]

    def _infer_parameters(self, module, args, kwargs=None):
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {module._get_name()} has not been fully initialized")
        module._initialize_hook.remove()
        module._load_hook.remove()
        del module._initialize_hook, module._load_hook
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become

    def _replicate_for_data_parallel(self):
        raise RuntimeError("Modules with uninitialized parameters can't be used with `DataParallel`. Run a dummy "
                           "forward "
                           "pass to correctly initialize the modules")
