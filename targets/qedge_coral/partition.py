"""Which of the operators that may run on the Edge TPU the compiler takes: TFLite's delegate partitioner.

The compiler is a delegate of TensorFlow Lite. The interpreter groups nodes in epochs: the first node whose
inputs are ready says whether an epoch is for the delegate, then every ready node of that kind joins it, in as
many passes as it takes. Each epoch for the delegate is one subgraph; without ``-a`` the compiler takes the
first. Source: ``PartitionGraphIntoIndependentNodeSubsets``, ``tensorflow/lite/graph_info.cc``.
"""

from __future__ import annotations

from collections.abc import Collection

from qedge.graph import Graph


def epochs(graph: Graph, eligible: Collection[int]) -> list[tuple[bool, list[int]]]:
    """Return the epochs in order: whether it is for the delegate, and the indices of its operators.

    ``eligible`` holds the operators that the delegate would take. Operators whose inputs nobody writes never
    become ready and are in no epoch.
    """
    wanted = set(eligible)
    pending = {t for op in graph for t in op.outputs}
    left = list(graph.operators)
    found: list[tuple[bool, list[int]]] = []
    while left:
        kind: bool | None = None
        members: list[int] = []
        progress = True
        while progress:
            progress, waiting = False, []
            for op in left:
                ready = not any(t >= 0 and t in pending for t in op.inputs)
                if ready and kind is None:
                    kind = op.index in wanted
                if ready and (op.index in wanted) == kind:
                    members.append(op.index)
                    pending.difference_update(op.outputs)
                    progress = True
                else:
                    waiting.append(op)
            left = waiting
        if kind is None:
            break
        found.append((kind, members))
    return found


def subgraphs(graph: Graph, eligible: Collection[int]) -> list[list[int]]:
    """Return the operators of each subgraph that the compiler could take, the first one first."""
    return [members for delegated, members in epochs(graph, eligible) if delegated]
