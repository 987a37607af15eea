"""Takes If, Loop and Scan out of a graph whose conditions and lengths are known: what runs is written in line.

An inner graph reads values of the outer one by name. Those are inputs of the node like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.frontends.protocol import Refusal, require

Array = npt.NDArray[Any]
MAX_NODES = 50_000
"""Most nodes that unrolled loops may have together."""


def captured(node: Any) -> set[str]:
    """Return the names of outer values that the inner graphs of a node read."""
    found: set[str] = set()
    for attribute in node.attribute:
        for graph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            own = {i.name for i in graph.input} | {i.name for i in graph.initializer}
            own |= {o for n in graph.node for o in n.output}
            read = {i for n in graph.node for i in (*n.input, *captured(n)) if i}
            read |= {o.name for o in graph.output}
            found |= read - own
    return found


def unfold(
    graph: Any, known: Mapping[str, Array], shape_of: Callable[[str], tuple[int, ...] | None], opset: int
) -> bool:
    """Replace, in place, each If, Loop and Scan that can be by the nodes that run; return whether any was.

    Args:
        graph: a ``GraphProto``.
        known: values of constants by name.
        shape_of: shape of a value, None while it is unknown.
        opset: version of ONNX's operators.
    """
    nodes: list[Any] = []
    changed = False
    for node in graph.node:
        written = None
        if node.domain in ("", "ai.onnx"):
            if node.op_type == "If" and node.input[0] in known:
                branch = "then_branch" if bool(np.all(known[node.input[0]])) else "else_branch"
                written = _Inliner(graph, f"{node.output[0]}~", opset).branch(_graph(node, branch), node)
            elif node.op_type == "Loop":
                written = _loop(graph, node, known, opset)
            elif node.op_type == "Scan":
                written = _scan(graph, node, shape_of, opset)
        if written is None:
            nodes.append(node)
            continue
        changed = True
        nodes += written
        if len(nodes) > MAX_NODES:
            raise Refusal(
                f"{node.op_type} {node.name or node.output[0]!r} unrolls to more than {MAX_NODES} nodes",
                "export the model for a shorter sequence, or for one step with its state as input and output",
            )
    if changed:
        kept = [_copy(n) for n in nodes]
        del graph.node[:]
        graph.node.extend(kept)
    return changed


def _copy(node: Any) -> Any:
    made = type(node)()
    made.CopyFrom(node)
    return made


def _graph(node: Any, name: str) -> Any:
    return next(a.g for a in node.attribute if a.name == name)


def _attribute(node: Any, name: str, default: Any) -> Any:
    onnx = require("onnx", "ONNX")
    found = next((a for a in node.attribute if a.name == name), None)
    return default if found is None else onnx.helper.get_attribute_value(found)


def choose(graph: Any, opset: int) -> list[tuple[str, str]]:
    """Replace each If by both of its branches and a choice between their results; return the pairs of results.

    The branches compute nothing but values, so that running both is no harm. The caller checks that the two of a
    pair have one shape.
    """
    onnx = require("onnx", "ONNX")
    nodes: list[Any] = []
    pairs: list[tuple[str, str]] = []
    for node in graph.node:
        if node.op_type != "If" or node.domain not in ("", "ai.onnx"):
            nodes.append(node)
            continue
        sides = []
        for name in ("then", "else"):
            inliner = _Inliner(graph, f"{node.output[0]}~{name}~", opset)
            made, results = inliner.body(_graph(node, f"{name}_branch"), {})
            nodes += made
            sides.append(results)
        for output, yes, no in zip(node.output, *sides):
            nodes.append(onnx.helper.make_node("Where", [node.input[0], yes, no], [output]))
            pairs.append((yes, no))
    kept = [_copy(n) for n in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    return pairs


class _Inliner:
    """Copies nodes of an inner graph into the outer one, with names of their own."""

    def __init__(self, graph: Any, prefix: str, opset: int) -> None:
        self.graph, self.prefix, self.opset = graph, prefix, opset
        self.onnx = require("onnx", "ONNX")

    def branch(self, inner: Any, node: Any) -> list[Any]:
        """Return the nodes of an If's branch, which write the If's outputs."""
        results = self.body(inner, {})
        return [*results[0], *self.identities(results[1], node.output)]

    def identities(self, sources: Sequence[str], targets: Sequence[str]) -> list[Any]:
        """Return nodes that give values new names."""
        make = self.onnx.helper.make_node
        return [make("Identity", [s], [t]) for s, t in zip(sources, targets) if t]

    def constant(self, name: str, values: Array) -> str:
        """Add a constant to the outer graph."""
        self.graph.initializer.append(self.onnx.numpy_helper.from_array(values, name))
        return name

    def body(self, inner: Any, given: Mapping[str, str]) -> tuple[list[Any], list[str]]:
        """Return copies of an inner graph's nodes and the names of its outputs.

        Args:
            inner: the graph.
            given: outer name of each of its inputs.
        """
        names = dict(given)
        self._own(inner, names)
        for tensor in inner.initializer:
            made = type(tensor)()
            made.CopyFrom(tensor)
            made.name = names[tensor.name]
            self.graph.initializer.append(made)
        nodes = [self._renamed(n, names) for n in inner.node]
        return nodes, [names.get(o.name, o.name) for o in inner.output]

    def _own(self, inner: Any, names: dict[str, str]) -> None:
        for tensor in inner.initializer:
            names.setdefault(tensor.name, self.prefix + tensor.name)
        for node in inner.node:
            for output in node.output:
                if output:
                    names[output] = self.prefix + output
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    self._own(attribute.g, names)

    def _renamed(self, node: Any, names: Mapping[str, str]) -> Any:
        made = _copy(node)
        for side in (made.input, made.output):
            for k, name in enumerate(side):
                side[k] = names.get(name, name) if name else name
        if made.name:
            made.name = self.prefix + made.name
        for attribute in made.attribute:
            if attribute.HasField("g"):
                self._rename_graph(attribute.g, names)
        return made

    def _rename_graph(self, graph: Any, names: Mapping[str, str]) -> None:
        for holder in (*graph.initializer, *graph.output, *graph.input):
            holder.name = names.get(holder.name, holder.name)
        kept = [self._renamed(n, names) for n in graph.node]
        del graph.node[:]
        graph.node.extend(kept)


def _stays_true(body: Any, known: Mapping[str, Array]) -> bool:
    """Return whether a Loop's body always asks to go on."""
    onnx = require("onnx", "ONNX")
    makers = {o: n for n in body.node for o in n.output}
    stored = {i.name: i for i in body.initializer}
    name, condition = body.output[0].name, body.input[1].name
    for _ in range(len(body.node) + 1):
        if name == condition:
            return True
        if name in known:
            return bool(np.all(known[name]))
        if name in stored:
            return bool(np.all(onnx.numpy_helper.to_array(stored[name])))
        node = makers.get(name)
        if node is None:
            return False
        if node.op_type == "Constant":
            return bool(np.all(onnx.numpy_helper.to_array(node.attribute[0].t)))
        if node.op_type not in ("Identity", "Cast"):
            return False
        name = node.input[0]
    return False


def _loop(graph: Any, node: Any, known: Mapping[str, Array], opset: int) -> list[Any] | None:
    """Return the nodes of a Loop with a known number of turns, None where that is not known (yet)."""
    body = _graph(node, "body")
    count = known.get(node.input[0]) if node.input and node.input[0] else None
    start = node.input[1] if len(node.input) > 1 else ""
    if count is None or count.size != 1 or (start and start not in known) or not _stays_true(body, known):
        return None
    turns = int(count.ravel()[0]) if not start or bool(np.all(known[start])) else 0
    _check_turns(node, turns * max(len(body.node), 1))
    carried = list(node.input[2:])
    nodes: list[Any] = []
    scanned: list[list[str]] = [[] for _ in range(len(body.output) - 1 - len(carried))]
    inliner = _Inliner(graph, "", opset)
    for turn in range(turns):
        inliner.prefix = f"{node.output[0]}~{turn}~"
        given = {
            body.input[0].name: inliner.constant(f"{inliner.prefix}turn", np.array(turn, np.int64)),
            body.input[1].name: inliner.constant(f"{inliner.prefix}go", np.array(True)),
        }
        given.update({i.name: value for i, value in zip(body.input[2:], carried)})
        made, outputs = inliner.body(body, given)
        nodes += made
        carried = outputs[1 : 1 + len(carried)]
        for k, name in enumerate(outputs[1 + len(carried) :]):
            scanned[k].append(name)
    nodes += inliner.identities(carried, node.output[: len(carried)])
    return nodes + _stacked(inliner, scanned, list(node.output[len(carried) :]), [0] * len(scanned))


def _check_turns(node: Any, nodes: int) -> None:
    if nodes > MAX_NODES:
        raise Refusal(
            f"{node.op_type} {node.name or node.output[0]!r} unrolls to {nodes} nodes, expected at most {MAX_NODES}",
            "export the model for a shorter sequence, or for one step with its state as input and output",
        )


def _stacked(
    inliner: _Inliner, parts: Sequence[Sequence[str]], outputs: Sequence[str], axes: Sequence[int]
) -> list[Any]:
    """Return the nodes that join what each turn of a loop gave."""
    make, nodes = inliner.onnx.helper.make_node, []
    for names, output, axis in zip(parts, outputs, axes):
        if not output:
            continue
        if not names:
            raise Refusal(f"the loop that writes {output!r} never runs, expected at least one turn")
        flat = []
        for k, name in enumerate(names):
            flat.append(f"{output}~part{k}")
            if inliner.opset < 13:
                nodes.append(make("Unsqueeze", [name], [flat[-1]], axes=[axis]))
            else:
                axes_name = inliner.constant(f"{output}~axis{k}", np.array([axis], np.int64))
                nodes.append(make("Unsqueeze", [name, axes_name], [flat[-1]]))
        nodes.append(make("Concat", flat, [output], axis=axis))
    return nodes


def _scan(
    graph: Any, node: Any, shape_of: Callable[[str], tuple[int, ...] | None], opset: int
) -> list[Any] | None:
    """Return the nodes of a Scan over a dimension of known size, None where it is not known (yet)."""
    body = _graph(node, "body")
    count = int(_attribute(node, "num_scan_inputs", 1))
    states = list(node.input[: len(node.input) - count])
    scans = list(node.input[len(node.input) - count :])
    in_axes = list(_attribute(node, "scan_input_axes", [0] * count))
    in_back = list(_attribute(node, "scan_input_directions", [0] * count))
    out_count = len(body.output) - len(states)
    out_axes = list(_attribute(node, "scan_output_axes", [0] * out_count))
    out_back = list(_attribute(node, "scan_output_directions", [0] * out_count))
    shape = shape_of(scans[0])
    if shape is None:
        return None
    turns = shape[in_axes[0]]
    _check_turns(node, turns * max(len(body.node), 1))
    inliner = _Inliner(graph, "", opset)
    make, nodes = inliner.onnx.helper.make_node, []
    parts: list[list[str]] = [[] for _ in range(out_count)]
    for turn in range(turns):
        inliner.prefix = f"{node.output[0]}~{turn}~"
        given = dict(zip((i.name for i in body.input), states))
        for k, (name, axis, back) in enumerate(zip(scans, in_axes, in_back)):
            at = inliner.constant(
                f"{inliner.prefix}at{k}", np.array(turns - 1 - turn if back else turn, np.int64)
            )
            piece = f"{inliner.prefix}in{k}"
            nodes.append(make("Gather", [name, at], [piece], axis=axis))
            given[body.input[len(states) + k].name] = piece
        made, outputs = inliner.body(body, given)
        nodes += made
        states = outputs[: len(states)]
        for k, name in enumerate(outputs[len(states) :]):
            parts[k].insert(0 if out_back[k] else len(parts[k]), name)
    nodes += inliner.identities(states, node.output[: len(states)])
    return nodes + _stacked(inliner, parts, list(node.output[len(states) :]), out_axes)
