"""Writes an Einsum as products, sums and turns of its values, two at a time from the left."""

from __future__ import annotations

import math
import string
from collections.abc import Collection

import numpy as np

from qedge.frontends.onnx.net import Net, Node

Value = tuple[str, str]
"""The name of a value, and a letter for each of its dimensions."""


def pieces(net: Net, node: Node) -> list[Node] | None:
    """Return the nodes of an Einsum, None where its equation cannot be written so."""
    found = _letters(net, node)
    if found is None:
        return None
    terms, right = found
    sizes: dict[str, int] = {}
    for term, name in zip(terms, node.inputs):
        for letter, size in zip(term, net.shape(name)):
            if sizes.setdefault(letter, size) != size:
                return None
    steps = _Steps(net, node, sizes, right)
    values = [steps.diagonal(name, term) for name, term in zip(node.inputs, terms)]
    result = values[0]
    for k, other in enumerate(values[1:], 2):
        wanted = set(right).union(*(term for _, term in values[k:]))
        result = steps.product(result, other, wanted)
    result = steps.summed(result, right)
    steps.made.append(Node("Identity", node.name, [steps.turned(result, right)], [node.output]))
    return steps.made


def _letters(net: Net, node: Node) -> tuple[list[str], str] | None:
    """Return the terms and the result with a letter for each dimension, also for those that ``...`` stands for."""
    left, arrow, right = str(node.get("equation", "")).replace(" ", "").partition("->")
    terms = left.split(",")
    free = [c for c in string.ascii_letters if c not in left + right]
    ranks = [net.rank(name) - len(term.replace("...", "")) for term, name in zip(terms, node.inputs)]
    if len(terms) != len(node.inputs) or any(r and "..." not in t for r, t in zip(ranks, terms)):
        return None
    if min(ranks) < 0 or max(ranks) > len(free):
        return None
    outer = "".join(free[: max(r if "..." in t else 0 for r, t in zip(ranks, terms))])
    if not arrow:
        plain = left.replace("...", "").replace(",", "")
        right = ("..." if outer else "") + "".join(sorted(c for c in set(plain) if plain.count(c) == 1))
    filled = [t.replace("...", outer[len(outer) - r :]) for r, t in zip(ranks, terms)]
    right = right.replace("...", outer)
    known = set("".join(filled))
    return (filled, right) if set(right) <= known and len(set(right)) == len(right) else None


class _Steps:
    """Makes the nodes one after the other.

    Args:
        net: gets the values.
        node: the Einsum.
        sizes: by letter.
        right: the result's letters, in whose order dimensions are kept where there is a choice.
    """

    def __init__(self, net: Net, node: Node, sizes: dict[str, int], right: str) -> None:
        self.net, self.node, self.sizes = net, node, sizes
        self.order = right + "".join(c for c in sizes if c not in right)
        self.made: list[Node] = []

    def product(self, first: Value, second: Value, wanted: Collection[str]) -> Value:
        """Return the product of two values, summed over what nobody wants."""
        first = self.summed(first, {*wanted, *second[1]})
        second = self.summed(second, {*wanted, *first[1]})
        a, b = first[1], second[1]
        batch = "".join(c for c in self.order if c in a and c in b and c in wanted)
        shared = "".join(c for c in a if c in b and c not in batch)
        rows = "".join(c for c in self.order if c in a and c not in b)
        columns = "".join(c for c in self.order if c in b and c not in a)
        outer = [self.sizes[c] for c in batch]
        height, depth, width = (math.prod(self.sizes[c] for c in part) for part in (rows, shared, columns))
        x = self._reshape(self.turned(first, batch + rows + shared), [*outer, height, depth])
        y = self._reshape(self.turned(second, batch + shared + columns), [*outer, depth, width])
        z = self._step("MatMul", [x, y], {}, [*outer, height, width])
        labels = batch + rows + columns
        return self._reshape(z, [self.sizes[c] for c in labels]), labels

    def summed(self, value: Value, wanted: Collection[str]) -> Value:
        """Return a value summed over the dimensions that nobody wants."""
        name, labels = value
        gone = [i for i, c in enumerate(labels) if c not in wanted]
        if not gone:
            return value
        rest = "".join(c for c in labels if c in wanted)
        axes = self.net.add_constant(np.array(gone, np.int64))
        return self._step("ReduceSum", [name, axes], {"keepdims": 0}, [self.sizes[c] for c in rest]), rest

    def turned(self, value: Value, wanted: str) -> str:
        """Return a value with its dimensions in another order."""
        name, labels = value
        if labels == wanted:
            return name
        order = [labels.index(c) for c in wanted]
        return self._step("Transpose", [name], {"perm": order}, [self.sizes[c] for c in wanted])

    def diagonal(self, name: str, labels: str) -> Value:
        """Return a value with every letter once: the diagonal of dimensions that share one."""
        for letter in dict.fromkeys(labels):
            while labels.count(letter) > 1:
                places = [i for i, c in enumerate(labels) if c == letter][:2]
                others = [i for i in range(len(labels)) if i not in places]
                rest = "".join(labels[i] for i in others)
                sizes, size = [self.sizes[c] for c in rest], self.sizes[letter]
                turn = [*others, *places]
                name = self._step("Transpose", [name], {"perm": turn}, [*sizes, size, size])
                name = self._reshape(name, [*sizes, size * size])
                index = self.net.add_constant(np.arange(size, dtype=np.int64) * (size + 1))
                name = self._step("Gather", [name, index], {"axis": len(sizes)}, [*sizes, size])
                labels = rest + letter
        return name, labels

    def _reshape(self, name: str, shape: list[int]) -> str:
        target = self.net.add_constant(np.array(shape, np.int64))
        return self._step("Reshape", [name, target], {}, shape)

    def _step(self, op: str, inputs: list[str], attributes: dict[str, object], shape: list[int]) -> str:
        name = self.net.add_value(shape, self.net.dtypes[self.node.output], self.node.output)
        self.made.append(Node(op, self.node.name, inputs, [name], attributes))
        return name
