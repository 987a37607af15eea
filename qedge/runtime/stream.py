"""Working some samples ahead in other threads, and yielding them in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from queue import SimpleQueue
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")


def ahead(
    work: Callable[[S], T], source: Iterable[S], depth: int, workers: int = 1
) -> Generator[tuple[S, T], None, None]:
    """Yield (item, ``work(item)``) of every item, in order, worked out by ``workers`` threads.

    An item is only taken from ``source``, by one thread at a time, while fewer than ``depth`` wait to be yielded. An
    exception of ``source`` or ``work`` is raised at its place in the order and ends the iteration.
    """
    # One place an item, in their order; whoever works it out puts it there.
    order: SimpleQueue[SimpleQueue[tuple[str, Any]]] = SimpleQueue()
    room = threading.Semaphore(depth)
    taking = threading.Lock()
    stopped = threading.Event()
    items = iter(source)

    def produce() -> None:
        while True:
            room.acquire()
            with taking:
                if stopped.is_set():
                    return
                place: SimpleQueue[tuple[str, Any]] = SimpleQueue()
                order.put(place)
                try:
                    item = next(items)
                except StopIteration:
                    stopped.set()
                    place.put(("end", None))
                    return
                except BaseException as problem:
                    stopped.set()
                    place.put(("error", problem))
                    return
            try:
                place.put(("item", (item, work(item))))
            except BaseException as problem:
                stopped.set()
                place.put(("error", problem))
                return

    threads = [threading.Thread(target=produce, name="qedge-stream", daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        while True:
            kind, value = order.get().get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            room.release()
            yield value
    finally:
        stopped.set()
        room.release(workers)
        for thread in threads:
            thread.join(timeout=1)
