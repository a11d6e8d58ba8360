import os
import signal

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's job in the background: what tests start would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files of tests/stages")


def pytest_configure(config):
    """Processes that tests start find the diya that is tested, installed or not."""
    import diya

    places = [os.path.dirname(diya.__path__[0]), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, places))


def pytest_collection_modifyitems(items):
    from diya import engine

    if engine.compiler() is None:
        for item in items:
            if item.get_closest_marker("compiled"):
                item.add_marker(pytest.mark.skip(reason="needs llvmlite"))
