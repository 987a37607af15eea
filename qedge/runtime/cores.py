"""How many threads a model gets: never more than there are cores for."""

from __future__ import annotations

import os

from qedge.errors import UsageError

SMALL_MODEL_BYTES = 256 * 1024


def available() -> int:
    """Return the number of cores that this process may use: its affinity, within the container's quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1
    return max(1, min(count, _quota() or count))


def share(threads: int | None, streams: int, model_bytes: int) -> int:
    """Return the threads of each of ``streams`` interpreters, so that all together fit the cores.

    Args:
        threads: wanted by the user, or None: one for a model below 256 KiB, whose operators are too short
            to be worth waking a second core for, otherwise as many as there are cores. A negative number is the
            same, but leaves so many cores to the rest of the program: -1 for what reads and pre-processes, as a
            model that has all cores waits at every operator for the one that is taken from it.

    Raises:
        UsageError: ``threads`` is 0 or no integer, or ``streams`` is no positive one.
    """
    check(threads, streams)
    spare = -threads if threads is not None and threads < 0 else 0
    limit = max(1, (available() - spare) // streams)
    if threads is None or spare:
        return 1 if model_bytes < SMALL_MODEL_BYTES else limit
    return min(threads, limit)


def check(threads: int | None, streams: int) -> None:
    """Raise UsageError as :func:`share` does, without a look at the machine."""
    if threads is not None and (not isinstance(threads, int) or isinstance(threads, bool) or threads == 0):
        raise UsageError(
            f"threads: found {threads!r}, expected an integer of at least 1, or below 0 to spare cores"
        )
    if not isinstance(streams, int) or isinstance(streams, bool) or streams < 1:
        raise UsageError(f"streams: found {streams!r}, expected an integer of at least 1")


def _quota() -> int | None:
    """Return the whole cores of the container's CPU quota (cgroup v2), or None without one."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return None
