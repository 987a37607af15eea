"""The graph that the emitter reads: plain nodes and arrays, no protobuf."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Unsupported(Exception):
    """One node that has no form in TFLite, and why; collected, and told all at once."""


@dataclass(eq=False)
class Node:
    """One ONNX node.

    Args:
        op: type, with its domain in front unless it is ONNX's own: ``Conv``, ``com.microsoft.Gelu``.
        name: the author's, else the name of the first output.
        inputs, outputs: names of values; ``""`` is an optional one that is left out.
        attrs: attributes as Python values; strings decoded, tensors as arrays.
    """

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        value = self.attrs.get(name)
        return default if value is None else value

    def input(self, position: int) -> str:
        """Return the name of an input, ``""`` where it is left out."""
        return self.inputs[position] if position < len(self.inputs) else ""

    @property
    def output(self) -> str:
        """The first output."""
        return self.outputs[0]

    @property
    def label(self) -> str:
        """Operator and name, for messages."""
        return f"{self.op} {self.name!r}"


@dataclass
class Net:
    """A static graph, nodes in execution order; every value has a shape and a type.

    Args:
        nodes: those that depend on an input and that an output depends on.
        inputs, outputs: in the author's order.
        constants: values that do not depend on an input.
        shapes: of every value.
        dtypes: of every value.
        opset: version of ONNX's own operators.
    """

    nodes: list[Node]
    inputs: list[str]
    outputs: list[str]
    constants: dict[str, Array]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, np.dtype[Any]]
    opset: int
    fresh: int = 0

    def __post_init__(self) -> None:
        self.index()

    def index(self) -> None:
        """Look up again who reads and who makes each value, after nodes have changed."""
        self.users: dict[str, list[Node]] = {}
        self.makers: dict[str, Node] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                self.users.setdefault(name, []).append(node)
            for name in node.outputs:
                self.makers[name] = node

    def is_constant(self, name: str) -> bool:
        """Return whether a value is known."""
        return name in self.constants

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a value."""
        return self.shapes[name]

    def rank(self, name: str) -> int:
        """Return the number of dimensions of a value."""
        return len(self.shapes[name])

    def constant(self, node: Node, position: int, what: str) -> Array:
        """Return a constant input of a node.

        Raises:
            Unsupported: it is computed, or left out.
        """
        name = node.input(position)
        if name not in self.constants:
            raise Unsupported(f"its {what} is computed, expected a constant")
        return self.constants[name]

    def optional(self, node: Node, position: int, what: str) -> Array | None:
        """Return a constant input of a node, or None where it is left out."""
        return self.constant(node, position, what) if node.input(position) else None

    def integers(self, node: Node, position: int, attribute: str) -> list[int] | None:
        """Return what older opsets say in an attribute and newer ones in a constant input; None: left out."""
        if attribute in node.attrs:
            value = node.attrs[attribute]
            return [int(v) for v in value] if isinstance(value, Iterable) else [int(value)]
        found = self.optional(node, position, attribute)
        return None if found is None else [int(v) for v in found.ravel()]

    def scalar(self, node: Node, position: int, attribute: str) -> float | None:
        """Return a single number out of an attribute or a constant input; None: left out."""
        if attribute in node.attrs:
            return float(node.attrs[attribute])
        found = self.optional(node, position, attribute)
        if found is None or found.size == 0:
            return None
        return float(found.ravel()[0])

    def sole_user(self, name: str, *ops: str) -> Node | None:
        """Return the one reader of a value if it is of these operators and the value is no output."""
        users = self.users.get(name, [])
        if len(users) != 1 or name in self.outputs or (ops and users[0].op not in ops):
            return None
        return users[0]

    def add_constant(self, values: Array, like: str = "") -> str:
        """Make a new constant; return its name."""
        self.fresh += 1
        name = f"{like or 'constant'}#{self.fresh}"
        self.constants[name] = values
        self.shapes[name], self.dtypes[name] = tuple(values.shape), values.dtype
        return name

    def add_value(self, shape: Sequence[int], dtype: Any, like: str) -> str:
        """Declare a new computed value; return its name."""
        self.fresh += 1
        name = f"{like}#{self.fresh}"
        self.shapes[name], self.dtypes[name] = tuple(int(d) for d in shape), np.dtype(dtype)
        return name

    def replace(self, old: Node, new: list[Node]) -> None:
        """Put nodes in the place of one."""
        at = self.nodes.index(old)
        self.nodes[at : at + 1] = new
        self.index()

    def sweep(self) -> None:
        """Remove the nodes that no output depends on."""
        live, kept = set(self.outputs), []
        for node in reversed(self.nodes):
            if any(name in live for name in node.outputs):
                kept.append(node)
                live.update(node.inputs)
        self.nodes = kept[::-1]
        self.index()


def axis_of(axis: int, rank: int) -> int:
    """Return an axis counted from the front.

    Raises:
        Unsupported: there is no such axis.
    """
    if not -rank <= axis < rank:
        raise Unsupported(f"axis {axis} of {rank} dimensions")
    return axis % rank
