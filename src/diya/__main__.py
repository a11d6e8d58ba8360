"""``python -m diya`` is the command ``diya``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
