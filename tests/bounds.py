"""What an attack may cost: a context that fails where a refusal takes much memory or much time."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

MOST_BYTES = 100 << 20
MOST_CPU_S = 10.0


@contextmanager
def bounded(most_bytes: int = MOST_BYTES) -> Iterator[None]:
    """Assert that the block allocates at most ``most_bytes`` at a time and takes at most ``MOST_CPU_S`` of CPU."""
    tracemalloc.start()
    began = time.process_time()
    try:
        yield
        seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= most_bytes
    assert seconds <= MOST_CPU_S
