"""Working one or two samples ahead in a second thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, Full, Queue
from typing import Any, TypeVar

T = TypeVar("T")
DEPTH = 2
_PATIENCE_S = 0.1


def ahead(work: Callable[[Any], T], source: Iterable[Any]) -> Iterator[T]:
    """Yield ``work(item)`` of every item, in order, worked out by a second thread at most two items ahead.

    An exception of ``source`` or ``work`` is raised at its place in the order and ends the iteration.
    """
    ready: Queue[tuple[str, Any]] = Queue(DEPTH)
    stopped = threading.Event()

    def put(kind: str, value: Any) -> bool:
        while not stopped.is_set():
            try:
                ready.put((kind, value), timeout=_PATIENCE_S)
                return True
            except Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in source:
                if not put("item", work(item)):
                    return
            put("end", None)
        except BaseException as problem:
            put("error", problem)

    worker = threading.Thread(target=produce, name="qedge-stream", daemon=True)
    worker.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stopped.set()
        with contextlib.suppress(Empty):
            ready.get_nowait()
        worker.join(timeout=1)
