"""Work that is cut into portions: done by this process, by several or by a cluster, with the same results in order.

A :class:`Job` says what is done, an :class:`Executor` where. Portions do not depend on who works, so that sums over
them are the same to the last bit whoever does.
"""

from __future__ import annotations

from qedge.errors import UsageError
from qedge.shards.processes import Processes
from qedge.shards.protocol import PORTION, Executor, Here, Job, portions_of

__all__ = ["PORTION", "Executor", "Here", "Job", "Processes", "executor_of", "portions_of"]


def executor_of(workers: int = 1, cluster: str | None = None) -> Executor:
    """Return who works: this process, ``workers`` of them, or the cluster at an address.

    Raises:
        UsageError: both are asked for, or a number of workers that makes no sense.
    """
    if cluster is None:
        return Here() if workers == 1 else Processes(workers)
    if workers != 1:
        raise UsageError(
            "--workers and --cluster: expected one of them", hint="a cluster has its own workers"
        )
    from qedge.shards.cluster import Cluster

    return Cluster(cluster)
