"""``torch.futures``: results of calls that run elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future as _Future
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Future(Generic[T]):
    """A value that somebody will set."""

    def __init__(self, *, devices: Any = None):
        self._future: _Future = _Future()

    def done(self) -> bool:
        return self._future.done()

    def wait(self) -> Any:
        return self._future.result()

    value = wait

    def set_result(self, result: Any) -> None:
        self._future.set_result(result)

    def set_exception(self, result: BaseException) -> None:
        self._future.set_exception(result)

    def then(self, callback: Callable[[Future], Any]) -> Future:
        """The future of ``callback(self)``."""
        after = Future()

        def run(_: Any) -> None:
            try:
                after.set_result(callback(self))
            except Exception as error:
                after.set_exception(error)
        self._future.add_done_callback(run)
        return after

    def add_done_callback(self, callback: Callable[[Future], None]) -> None:
        self._future.add_done_callback(lambda _: callback(self))


def wait_all(futures: list[Future]) -> list:
    return [future.wait() for future in futures]


def collect_all(futures: list[Future]) -> Future:
    """The future of the list, done when all are."""
    together, left = Future(), len(futures)

    def count(_: Future) -> None:
        nonlocal left
        left -= 1
        if not left:
            together.set_result(futures)
    for future in futures:
        future.add_done_callback(count)
    if not futures:
        together.set_result([])
    return together
