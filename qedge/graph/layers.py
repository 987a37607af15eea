"""What an operator's author would call the place where it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qedge.graph.view import Graph, Operator


def layer_of(graph: Graph, op: Operator) -> str:
    """Return the layer that an operator belongs to, by the name of what it writes: ``gru`` of ``gru/SelectV2``."""
    label = graph.tensors[op.outputs[0]].label if op.outputs else op.label
    head, slash, _ = label.rpartition("/")
    return head if slash else label


def kinds_with_layers(graph: Graph, found: Iterable[tuple[str, Operator]]) -> dict[str, list[str]]:
    """Return the layers of some operators by what they are called, each layer once, in order."""
    places: dict[str, list[str]] = {}
    for name, op in found:
        layer = layer_of(graph, op)
        if layer not in places.setdefault(name, []):
            places[name].append(layer)
    return places


def listed(name: str, layers: Sequence[str], most: int = 3) -> str:
    """Return a kind of operator with its layers for a message.

    >>> listed("SELECT_V2", ["masking", "gru"])
    "SELECT_V2 in 'masking', 'gru'"
    """
    more = f" and {len(layers) - most} more" if len(layers) > most else ""
    return f"{name} in {', '.join(map(repr, layers[:most]))}{more}"
