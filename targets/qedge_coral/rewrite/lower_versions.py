"""Write operator versions down to those that compiler 16 parses and maps, where the older one says the same.

Operators that share a code with a wider type get one of their own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from qedge.graph import Graph
from qedge_coral import versions
from qedge_coral.rewrite.draft import Draft

TITLE = "operator versions that compiler 16 can parse"


def apply(graph: Graph) -> Draft:
    """Give every operator whose version is too new an operator code with the older one."""
    draft = Draft(graph)
    counts: Counter[tuple[str, int, int]] = Counter()
    for op in graph:
        lowered = versions.lowered_version(graph, op)
        if lowered == op.version or lowered > versions.parsed_version(op.op):
            continue
        draft.replace([op], [replace(op, version=lowered)])
        counts[op.op, op.version, lowered] += 1
    draft.lines = [f"{op} version {old} to {new} ({n} times)" for (op, old, new), n in sorted(counts.items())]
    return draft
