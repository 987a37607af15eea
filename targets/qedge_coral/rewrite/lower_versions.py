"""Write operator versions down to those that compiler 16 parses, where the older version says the same."""

from __future__ import annotations

import copy
from typing import Any

from qedge.graph import Graph
from qedge_coral import versions

TITLE = "operator versions that compiler 16 can parse"


def apply(tree: Any, graph: Graph) -> list[str]:
    """Give every operator whose version is too new an operator code with the older one."""
    codes: dict[tuple[int, int], int] = {}
    counts: dict[tuple[str, int, int], int] = {}
    for op in graph:
        lowered = versions.lowered_version(graph, op)
        if lowered == op.version or lowered > versions.parsed_version(op.op):
            continue
        entry = tree.subgraphs[0].operators[op.index]
        old = int(entry.opcodeIndex)
        if (old, lowered) not in codes:
            code = copy.copy(tree.operatorCodes[old])
            code.version = lowered
            codes[old, lowered] = len(tree.operatorCodes)
            tree.operatorCodes.append(code)
        entry.opcodeIndex = codes[old, lowered]
        counts[op.op, op.version, lowered] = counts.get((op.op, op.version, lowered), 0) + 1
    _drop_unused_codes(tree)
    return [f"{op} version {old} to {new} ({n} times)" for (op, old, new), n in sorted(counts.items())]


def _drop_unused_codes(tree: Any) -> None:
    used = sorted({int(op.opcodeIndex) for graph in tree.subgraphs for op in graph.operators or []})
    place = {old: new for new, old in enumerate(used)}
    tree.operatorCodes = [tree.operatorCodes[old] for old in used]
    for graph in tree.subgraphs:
        for op in graph.operators or []:
            op.opcodeIndex = place[int(op.opcodeIndex)]
