"""What to report of a machine with a problem: ``python -m diya.utils.collect_env``, which is `diya doctor`."""

from __future__ import annotations

import argparse
import contextlib
import io

__all__ = ["get_pretty_env_info", "main"]


def get_pretty_env_info() -> str:
    """Versions, processor, threads and cache, and whether both tiers work."""
    from ..cli import doctor
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        doctor.run(argparse.Namespace())
    return text.getvalue().rstrip()


def main() -> None:
    print("Collecting environment information...")
    print(get_pretty_env_info())


if __name__ == "__main__":
    main()
