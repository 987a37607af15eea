"""Threads that run a model for an event loop: one hand-over each way.

``run_in_executor`` has two futures, a condition and a queue of its own a call: 0.2 ms where a model has just filled
the caches.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

Given = TypeVar("Given")
Found = TypeVar("Found")


class Streams(Generic[Given, Found]):
    """A number of threads and the calls that wait for one of them.

    Args:
        run: what each call does, in one of the threads.
        count: of the threads.
        name: of the threads, for those who look.
    """

    def __init__(self, run: Callable[[Given], Found], count: int, name: str) -> None:
        self._run = run
        self._jobs: SimpleQueue[tuple[asyncio.Future[Found], Given] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{k}", daemon=True) for k in range(count)
        ]
        self.waiting = 0
        for thread in self._threads:
            thread.start()

    def submit(self, given: Given) -> asyncio.Future[Found]:
        """Return the result to come, of the running loop; a call that is cancelled before its turn is not made."""
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self.waiting += 1
        self._jobs.put((future, given))
        return future

    def close(self) -> None:
        """End the threads, once all that was submitted is done."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, given = job
            settle: Callable[[Any], None] = future.set_result
            found: Any = None
            try:
                if not future.done():
                    found = self._run(given)
            except Exception as problem:
                settle, found = future.set_exception, problem
            try:
                future.get_loop().call_soon_threadsafe(self._settle, future, settle, found)
            except RuntimeError:  # the loop has ended, and nobody waits
                self.waiting -= 1

    def _settle(self, future: asyncio.Future[Found], settle: Callable[[Any], None], found: Any) -> None:
        self.waiting -= 1
        if not future.done():  # neither cancelled nor too late
            settle(found)
