"""``diya explain``: every stage of the line for an expression, or for the programs that a script runs."""

from __future__ import annotations

import argparse
import os
import sys

from . import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="SCRIPT|EXPRESSION", help="a Python file, or an expression over `torch`")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="what a script gets in sys.argv")
    parser.add_argument("--time", action="store_true",
                        help="instead, what each kernel takes: time, GFLOP/s, GB/s and the lines that made it")
    parser.add_argument("--stages",
                        help="which, with commas: graph schedule loops kernels memory llvm assembly, or all "
                             "(graph,schedule,loops,memory)")
    parser.epilog = "  diya explain \"torch.randn(8, 8).softmax(-1)\"\n  diya explain --stages all train.py --epochs 1"


def run(options: argparse.Namespace) -> int:
    from contextlib import nullcontext

    from .. import engine
    from ..explanation import STAGES, explain
    from ..shim import install

    stages = options.stages or ("" if options.time else "graph,schedule,loops,memory")
    chosen = STAGES if stages == "all" else tuple(s.strip() for s in stages.split(",") if s)
    if options.time and engine.compiler() is None:
        raise UsageError("--time times compiled kernels, and compiling needs llvmlite: pip install llvmlite")
    unknown = [s for s in chosen if s not in STAGES]
    if unknown:
        raise UsageError(f"there is no stage {unknown[0]!r}; stages are {', '.join(STAGES)}")
    install()
    import diya as torch

    status = 0
    if options.what.endswith(".py") or os.path.sep in options.what:
        from . import run as runner

        script = argparse.Namespace(script=options.what, arguments=options.arguments, module=False)

        def script_programs() -> None:
            nonlocal status
            status = runner.run(script)
        shown = explain(script_programs, stages=chosen, time=options.time)
    else:
        if options.arguments:
            raise UsageError(f"an expression takes no arguments, got {options.arguments[0]!r}: quote the whole expression; "
                             "options such as --stages stand before it")
        try:
            code = compile(options.what, "<expression>", "eval")
        except SyntaxError as error:
            raise UsageError(f"neither a .py file nor an expression: {options.what!r} ({error.msg})") from None
        with engine.Lines() if options.time else nullcontext():
            try:
                value = eval(code, {"torch": torch, "nn": torch.nn, "F": torch.nn.functional})
            except Exception as error:
                raise UsageError(f"the expression failed: {type(error).__name__}: {error}") from None
            if not isinstance(value, torch.Tensor):
                raise UsageError(f"the expression is of type {type(value).__name__}; explain shows tensors")
            shown = explain(value, stages=chosen, time=options.time)
    print(shown)
    sys.stdout.flush()
    return status
