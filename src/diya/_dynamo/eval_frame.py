"""What `torch.compile` makes of modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..capture import Compiled
from ..nn import Module


class OptimizedModule(Module):
    """A module whose calls are captured (see `diya.capture`). It has the state, the training mode and the attributes of
    ``_orig_mod``, the module that was compiled; the names in its state dict begin with ``_orig_mod.``, as PyTorch's do."""

    _orig_mod: Module
    _opt_mod_attributes = ("_orig_mod", "_modules")

    def __init__(self, mod: Module, whole: bool = False):
        super().__init__()
        self.__dict__["compiled"] = Compiled(mod, whole)
        self._orig_mod = mod
        self.__dict__.update(training=mod.training, _remembered=False)

    def in_place(self) -> Callable:
        """What the module itself may call."""
        compiled = Compiled(self._orig_mod._call_impl, self.__dict__["compiled"].whole, self._orig_mod)
        return lambda *args, **kwargs: compiled(args, kwargs)

    def forward(self, *args, **kwargs) -> Any:
        return self.__dict__["compiled"](args, kwargs)

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__["_modules"]
        return own[name] if name == "_orig_mod" else getattr(own["_orig_mod"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_orig_mod" or name not in self.__dict__ and name not in type(self).__dict__ and "_orig_mod" in self._modules:
            if name == "_orig_mod":
                super().__setattr__(name, value)
            else:
                setattr(self._orig_mod, name, value)
        else:
            super().__setattr__(name, value)
            if name == "training":
                setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._orig_mod, name)

    def __dir__(self):
        return sorted({*super().__dir__(), *dir(self._orig_mod)})

    def __len__(self) -> int:
        return len(self._orig_mod)  # type: ignore[arg-type]

    def __iter__(self):
        return iter(self._orig_mod)  # type: ignore[call-overload]

    def __getitem__(self, key):
        return self._orig_mod[key]  # type: ignore[index]

    def __contains__(self, key):
        return key in self._orig_mod  # type: ignore[operator]

    def __reduce__(self):
        return type(self), (self._orig_mod, self.__dict__["compiled"].whole)


def is_dynamo_supported() -> bool:
    return True
