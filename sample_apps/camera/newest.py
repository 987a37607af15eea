"""A place for one value: what comes in replaces what nobody took."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """Hands the newest value from one thread to another; nothing is queued."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: T | None = None
        self._closed = False

    def put(self, value: T) -> None:
        """Keep ``value``, and forget the one before it."""
        with self._changed:
            self._value = value
            self._changed.notify()

    def take(self, seconds: float) -> T | None:
        """Return the newest value, once; None where none comes within so long, or after :meth:`close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._value is not None or self._closed, seconds)
            value, self._value = self._value, None
            return value

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
