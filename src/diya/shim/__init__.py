"""``import torch`` resolves to diya, so that a PyTorch program runs with no edit.

`install` makes every ``torch.x.y`` the very module ``diya.x.y`` (one module under two names: classes, defaults and
state are shared). Processes that the program starts find diya too: `PATH`, which is put on ``sys.path`` and in
``PYTHONPATH``, holds a ``torch`` that calls `install`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "site")
STAND_IN = os.path.join(PATH, "torch.py")


class _Alias(Loader):
    """Loads a module that exists already under its own name."""

    def __init__(self, module: ModuleType):
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has just replaced it by the alias's


class Finder(MetaPathFinder):
    """Finds ``torch`` and all below it in diya. Raises ModuleNotFoundError that names what diya lacks."""

    @staticmethod
    def find_distributions(context) -> Iterator[Any]:
        """The installed package ``torch``, for programs that ask for its version."""
        if context.name is None or context.name.lower() == "torch":
            from .distribution import Torch
            yield Torch()

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        if fullname != "torch" and not fullname.startswith("torch."):
            return None
        name = "diya" + fullname[len("torch"):]
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise ModuleNotFoundError(f"diya has no {fullname}: this part of PyTorch is not implemented "
                                      f"(it would be {name})", name=fullname) from None
        return importlib.util.spec_from_loader(fullname, _Alias(module), is_package=hasattr(module, "__path__"))


def shown_version() -> str:
    """PyTorch's version, which programs compare to what they need, and diya's."""
    from diya import version
    from diya.torch_version import TorchVersion
    return TorchVersion(f"{version.torch_version}+diya.{version.__version__}")


def install() -> None:
    """Makes ``import torch`` resolve to diya, here and in processes started from here.

    Raises RuntimeError if another ``torch`` has been imported already.
    """
    import diya

    present = sys.modules.get("torch")
    if present is not None and present is not diya and getattr(present, "__file__", "") != STAND_IN:
        raise RuntimeError(f"cannot stand in for torch: it has been imported already, from "
                           f"{getattr(present, '__file__', None)}. Install the shim first.")
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
        sys.path.insert(1, PATH)  # after the program's own folder
        inherited = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([PATH, inherited] if inherited else [PATH])
    sys.modules["torch"] = diya
    diya.__version__ = shown_version()
    diya.__name__ = diya.Tensor.__module__ = "torch"  # libraries that patch torch ask the module for its name, others a tensor's


def uninstall() -> None:
    """Undoes `install`; modules that were imported as torch's stay where they are referenced."""
    import diya
    from diya import version

    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Finder)]
    sys.path[:] = [entry for entry in sys.path if entry != PATH]
    kept = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry not in ("", PATH)]
    os.environ["PYTHONPATH"] = os.pathsep.join(kept)
    for name in [name for name in sys.modules if name == "torch" or name.startswith("torch.")]:
        del sys.modules[name]
    diya.__name__, diya.Tensor.__module__ = "diya", "diya.tensor"
    diya.__version__ = version.__version__
