#!/usr/bin/env python3
"""Packs a directory of recorded answers, an .npz an operator, into ``calls.json.xz`` and ``arrays.xz`` (see checker.py).

  python tests/oracle/pack.py DIRECTORY

Equal arrays are stored once: samples repeat across operators and a call's inputs across its outputs.
"""

import glob
import hashlib
import json
import lzma
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))


def placed(x, put):
    """A recorded value with the names of its arrays replaced by their offsets."""
    if isinstance(x, dict):
        return {k: put(v) if k == "t" else placed(v, put) for k, v in x.items()}
    return [placed(v, put) for v in x] if isinstance(x, list) else x


def main(directory: str) -> None:
    offsets: dict[bytes, int] = {}
    size = 0
    options = {"preset": 9 | lzma.PRESET_EXTREME}
    with lzma.open(os.path.join(HERE, "calls.json.xz"), "wt", **options) as calls, \
            lzma.open(os.path.join(HERE, "arrays.xz"), "wb", **options) as data:
        for path in sorted(glob.glob(os.path.join(directory, "*.npz"))):
            with np.load(path) as z:
                arrays = {k: z[k] for k in z.files}

            def put(name, arrays=arrays):
                nonlocal size
                content = np.ascontiguousarray(arrays[name]).tobytes()
                key = hashlib.sha1(content).digest()
                if key not in offsets:
                    offsets[key] = size
                    content += bytes(-len(content) % 16)
                    data.write(content)
                    size += len(content)
                return offsets[key]
            for call in json.loads(bytes(arrays.pop("calls"))):
                call = {"operator": os.path.basename(path)[:-4], **placed(call, put)}
                calls.write(json.dumps(call, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
