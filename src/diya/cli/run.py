"""``diya run script.py``: a PyTorch program runs on diya with no edit."""

from __future__ import annotations

import argparse
import builtins
import io
import os
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType, TracebackType

from . import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "diya run [-m] SCRIPT [ARGUMENT ...]"
    parser.epilog = ("`import torch` and all modules below it resolve to diya in the script and in the processes that\n"
                     "it starts. What diya lacks fails with an error that names it.\n\n"
                     "  diya run train.py --epochs 3\n  diya run -m package.train --epochs 3")
    parser.add_argument("-m", "--module", action="store_true", help="SCRIPT is the name of a module, as in `python -m`")
    parser.add_argument("script", metavar="SCRIPT", help="a Python file")
    rest = parser.add_argument("arguments", metavar="ARGUMENT", nargs=argparse.REMAINDER,
                               help="what the script gets in sys.argv")
    rest.required = False


def run(options: argparse.Namespace) -> int:
    from ..shim import install

    sys.argv = [options.script, *options.arguments]
    if options.module:
        import runpy

        sys.path[0] = os.getcwd()
        install()
        return _guarded(options.script, lambda: runpy.run_module(options.script, run_name="__main__", alter_sys=True))
    code = _compile(options.script)
    sys.path[0] = os.path.dirname(os.path.abspath(options.script))
    install()
    main = ModuleType("__main__")
    main.__file__ = options.script
    main.__loader__ = SourceFileLoader("__main__", options.script)
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    return _guarded(options.script, lambda: exec(code, main.__dict__))


def _compile(path: str):
    if os.path.isdir(path):
        raise UsageError(f"{path} is a folder; give the Python file to run")
    try:
        with io.open_code(os.path.abspath(path)) as file:
            source = file.read()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    try:
        return compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        sys.excepthook(type(error), error.with_traceback(None), None)
        raise SystemExit(1) from None


def _guarded(script: str, body) -> int:
    """Runs ``body``; an uncaught exception is shown as Python shows it, from the script's own line on."""
    try:
        body()
    except SystemExit:
        raise
    except BaseException as error:
        error.__traceback__ = _below_here(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _below_here(traceback: TracebackType | None) -> TracebackType | None:
    """The part of a traceback below this file and runpy's."""
    hidden = (__file__, "<frozen runpy>")
    while traceback is not None and traceback.tb_frame.f_code.co_filename in hidden:
        traceback = traceback.tb_next
    return traceback
