"""The command line: ``diya demo | run | explain | bench | doctor``, also as ``python -m diya``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

SUMMARIES = {
    "demo": "train a small network on Fashion-MNIST and look at the results",
    "run": "run a PyTorch script, unmodified, on diya",
    "explain": "show what a script or an expression becomes at every stage",
    "bench": "time common operations, side by side with PyTorch where it is installed",
    "doctor": "print the environment and check that compiling works",
}
PROLOGUE = "diya: deep learning with PyTorch's programming model, in Python down to the machine code it emits."
EPILOGUE = "`diya COMMAND --help` tells more of a command."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line (``sys.argv`` by default) and returns the exit status: 0 done, 1 failed, 2 wrong usage."""
    from importlib import import_module

    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser("diya", description=PROLOGUE, epilog=EPILOGUE)
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    chosen = next((a for a in arguments if not a.startswith("-")), None)
    for name, summary in SUMMARIES.items():
        sub = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".",
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == chosen:  # a command is imported only when it is asked for
            module = import_module(f".{name}", __name__)
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        return options.run(options) or 0
    except UsageError as error:
        print(f"diya {options.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        return 1


class UsageError(Exception):
    """Wrong input from the command line: shown as one line, without a traceback."""


def _version() -> str:
    from ..version import __version__, torch_version

    return f"diya {__version__}, after PyTorch {torch_version}"
