"""Short tensor names, after the layers that a model's author knows.

TensorFlow joins the names of all operations that it fused, with prefixes and numbers that differ between runs. They
take kilobytes, and nobody finds their layer by them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence

from qedge.frontends.protocol import Names
from qedge.frontends.tree import Tree
from qedge.graph.edit import Editor

_CARRIES_WEIGHTS = frozenset(
    {"Conv2D", "convolution", "depthwise", "MatMul", "conv2d_transpose", "Tensordot/MatMul", "BiasAdd"}
)
_SLOTS = {1: "weights", 2: "bias"}


def shorten(tree: Tree, names: Names) -> None:
    """Name every tensor after its layer: ``conv2d_3``, ``conv2d_3/weights``, ``add_1/add``; all are unique.

    Inputs and outputs get their author's names.
    """
    chosen = {
        int(t): (_pick(tree.name(int(t))), tree.op(operator).lower())
        for operator in tree.operators
        for t in operator.outputs
    }
    layers = _Layers([name for name, _ in chosen.values()], names.layers)

    def of(index: int, used: Collection[str]) -> str:
        long, op = chosen[index]
        name = layers.name(long)
        return f"{name}/{op}" if name in used else name

    name_all(tree, [*zip(tree.inputs, names.inputs), *zip(tree.outputs, names.outputs)], of)


def name_all(
    editor: Editor, ends: Iterable[tuple[int, str]], of: Callable[[int, Collection[str]], str]
) -> dict[int, str]:
    """Give every tensor that an operator writes or reads a name of its own; return them by index.

    Args:
        editor: of the model.
        ends: inputs and outputs, with their names.
        of: wanted name of a computed tensor, given those that are taken; constants are named after the operator
            that reads them first.
    """
    taken: dict[int, str] = {}
    used: set[str] = set()
    counts: dict[str, int] = {}

    def give(index: int, wanted: str) -> None:
        name = wanted
        while name in used:
            counts[wanted] = counts.get(wanted, 0) + 1
            name = f"{wanted}_{counts[wanted]}"
        used.add(name)
        taken[index] = name

    for index, name in ends:
        if index not in taken:
            give(index, name)
    for node in editor.operators:
        for index in map(int, node.outputs):
            if index not in taken:
                give(index, of(index, used))
    for node in editor.operators:
        owner = taken[int(node.outputs[0])]
        for slot, index in enumerate(map(int, node.inputs)):
            if index >= 0 and index not in taken:
                give(index, f"{owner}/{_SLOTS.get(slot, slot)}")
    editor.rename(taken)
    return taken


def unique(name: str, used: Collection[str]) -> str:
    """Return the name, with a number behind it when it is taken.

    >>> unique("a", {"a", "a_1"})
    'a_2'
    """
    candidate, n = name, 0
    while candidate in used:
        n += 1
        candidate = f"{name}_{n}"
    return candidate


def _pick(name: str) -> str:
    """Return the operation that a fused name is best known by: the one with the weights, else the first.

    >>> _pick("m/relu/Relu;m/bn/FusedBatchNormV3;m/conv/BiasAdd/ReadVariableOp/resource;m/conv/Conv2D1")
    'm/conv'
    >>> _pick("m/add/add")
    'm/add/add'
    """
    parts = [p for p in name.split(";") if "/" in p and "ReadVariableOp" not in p]
    parts = [p for p in parts if "StatefulPartitionedCall" not in p] or [
        p.replace("StatefulPartitionedCall/", "") for p in parts
    ]
    for part in reversed(parts):
        layer, _, operation = part.rpartition("/")
        if re.sub(r"(?<=D|[a-z])\d+$", "", operation) in _CARRIES_WEIGHTS:
            return layer
    return parts[0] if parts else name.split(";")[0]


class _Layers:
    """Turns the operations' paths into layers' names.

    The first component goes when nearly all share it: the model's own name. A model that is traced again gets a
    number behind each layer (``conv2d_3_1`` is ``conv2d_3``), which goes when all have one.
    """

    def __init__(self, paths: Sequence[str], layers: Collection[str]) -> None:
        heads = [path.partition("/")[0] for path in paths if "/" in path]
        head = max(sorted(set(heads)), key=heads.count) if heads else ""
        self._prefix = f"{head}/" if heads and heads.count(head) > 0.8 * len(heads) else ""
        ours = [path.removeprefix(self._prefix) for path in paths if path.startswith(self._prefix)]
        known = [
            head
            for head in {path.partition("/")[0] for path in ours}
            if {head, self._plain(head)} & set(layers)
        ]
        self._again = bool(known) and all(self._plain(head) in layers for head in known)
        self._layers = layers

    @staticmethod
    def _plain(component: str) -> str | None:
        match = re.fullmatch(r"(.+)_\d+", component)
        return match[1] if match else None

    def name(self, path: str) -> str:
        """Return the short name of a path."""
        head, slash, rest = path.removeprefix(self._prefix).partition("/")
        again = self._again and self._plain(head) in self._layers
        return f"{self._plain(head) if again else head}{slash}{rest}"
