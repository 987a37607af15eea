"""Write operator versions down to those that compiler 16 parses, where the older version says the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

from qedge.graph import Graph
from qedge_coral import versions
from qedge_coral.rewrite.edit import Editor

TITLE = "operator versions that compiler 16 can parse"


def apply(tree: Any, graph: Graph) -> list[str]:
    """Give every operator whose version is too new an operator code with the older one."""
    editor = Editor(tree, graph)
    counts: Counter[tuple[str, int, int]] = Counter()
    for op in graph:
        lowered = versions.lowered_version(graph, op)
        if lowered == op.version or lowered > versions.parsed_version(op.op):
            continue
        node = editor.old(op)
        node.opcodeIndex = editor.code(op, lowered)
        editor.replace([op], [node], "")
        counts[op.op, op.version, lowered] += 1
    editor.lines = [
        f"{op} version {old} to {new} ({n} times)" for (op, old, new), n in sorted(counts.items())
    ]
    return editor.finish()
