"""Working one or two samples ahead in a second thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from queue import SimpleQueue
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")
DEPTH = 2


def ahead(
    work: Callable[[S], T], source: Iterable[S], depth: int = DEPTH
) -> Generator[tuple[S, T], None, None]:
    """Yield (item, ``work(item)``) of every item, in order, worked out by a second thread.

    An item is only taken from ``source`` while fewer than ``depth`` wait to be yielded. An exception of ``source``
    or ``work`` is raised at its place in the order and ends the iteration.
    """
    ready: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    room = threading.Semaphore(depth)
    stopped = threading.Event()

    def produce() -> None:
        try:
            items = iter(source)
            while room.acquire() and not stopped.is_set():
                try:
                    item = next(items)
                except StopIteration:
                    ready.put(("end", None))
                    return
                ready.put(("item", (item, work(item))))
        except BaseException as problem:
            ready.put(("error", problem))

    worker = threading.Thread(target=produce, name="qedge-stream", daemon=True)
    worker.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            room.release()
            yield value
    finally:
        stopped.set()
        room.release()
        worker.join(timeout=1)
