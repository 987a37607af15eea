"""Finds activation functions that were exported in pieces, by what they compute.

Every value that depends on one other value element by element is evaluated on a grid. Where the results are those of a
function that TFLite has as one operator, that operator takes the place of the pieces, however they were written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from qedge.frontends.onnx.net import Array, Net, Node

_GRID = np.unique(
    np.concatenate(
        [
            np.linspace(-12, 12, 241),
            *(sign * np.geomspace(12, 1e4, 24) for sign in (-1.0, 1.0)),
            *(sign * np.geomspace(1e-4, 0.1, 12) for sign in (-1.0, 1.0)),
        ]
    )
)
_DEPTH = 12
"""Most nodes in a row that a function may be written with."""


def _erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x))


def _sigmoid(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-np.clip(x, -700, 700)))
    return result


def _clip(x: Array, low: float | None, high: float | None) -> Array:
    result: Array = np.clip(x, low, high) if low is not None or high is not None else x
    return result


_UNARY: Mapping[str, Callable[[Array], Array]] = {
    "Erf": _erf,
    "Tanh": np.tanh,
    "Sigmoid": _sigmoid,
    "Relu": lambda x: np.maximum(x, 0),
    "Exp": np.exp,
    "Log": np.log,
    "Sqrt": np.sqrt,
    "Abs": np.abs,
    "Neg": np.negative,
    "Softplus": lambda x: np.logaddexp(0, x),
    "Identity": lambda x: x,
    "Reciprocal": lambda x: 1 / x,
    "HardSwish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
}
_BINARY: Mapping[str, Callable[[Array, Array], Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Max": np.maximum,
    "Min": np.minimum,
}
_KNOWN: Mapping[str, tuple[Callable[[Array], Array], dict[str, object]]] = {
    "Relu": (lambda x: np.maximum(x, 0), {}),
    "Relu6": (lambda x: np.clip(x, 0, 6), {}),
    "HardSwish": (lambda x: x * np.clip(x + 3, 0, 6) / 6, {}),
    "Gelu": (lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))), {"approximate": "none"}),
    "Gelu:tanh": (
        lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        {"approximate": "tanh"},
    ),
}


def _scalar(net: Net, name: str) -> float | None:
    values = net.constants.get(name)
    if values is None or values.size != 1 or values.dtype.kind not in "fiu":
        return None
    return float(values.ravel()[0])


def _evaluate(net: Net, node: Node, of: Callable[[str], Array | None]) -> Array | None:
    """Return what a node gives, with ``of`` the values of its inputs on the grid; None where it is no such node."""
    arguments: list[Array] = []
    if node.op in _UNARY and len(node.inputs) == 1:
        x = of(node.inputs[0])
        return None if x is None else _UNARY[node.op](x)
    if node.op == "HardSigmoid":
        x = of(node.inputs[0])
        alpha, beta = float(node.get("alpha", 0.2)), float(node.get("beta", 0.5))
        return None if x is None else np.clip(alpha * x + beta, 0, 1)
    if node.op == "Clip":
        x = of(node.inputs[0])
        limits = []
        for position, attribute in ((1, "min"), (2, "max")):
            limit = node.attrs.get(attribute)
            if node.input(position):
                limit = _scalar(net, node.inputs[position])
                if limit is None:
                    return None
            limits.append(limit)
        return None if x is None else _clip(x, *limits)
    if node.op in _BINARY and len(node.inputs) == 2:
        for name in node.inputs:
            value = _scalar(net, name)
            found = np.full(_GRID.shape, value) if value is not None else of(name)
            if found is None:
                return None
            arguments.append(found)
        return _BINARY[node.op](*arguments)
    return None


def recognise(net: Net) -> bool:
    """Replace, in place, each function that was exported in pieces; return whether there was any."""
    graphs: dict[str, dict[str, tuple[Array, int]]] = {}
    expected = {name: make(_GRID) for name, (make, _) in _KNOWN.items()}
    changed = False
    interesting = {"Erf", "Tanh", "Clip", "HardSigmoid", "Sigmoid", "Min", "Max", "Relu"}
    if not any(n.op in interesting for n in net.nodes):
        return False
    with np.errstate(all="ignore"):
        for node in net.nodes:
            if node.op not in _UNARY and node.op not in _BINARY and node.op not in ("Clip", "HardSigmoid"):
                continue
            shape = net.shape(node.output)
            dynamic = [n for n in dict.fromkeys(node.inputs) if n and not net.is_constant(n)]
            if (
                not dynamic
                or any(net.shape(n) != shape for n in dynamic)
                or net.dtypes[node.output].kind != "f"
            ):
                continue
            found: dict[str, tuple[Array, int]] = {}
            known = [{n: (_GRID, 0), **graphs.get(n, {})} for n in dynamic]
            for source in [s for s in known[0] if all(s in k for k in known)]:
                steps = 1 + sum(k[source][1] for k in known)
                if steps > _DEPTH:
                    continue
                given = {n: k[source][0] for n, k in zip(dynamic, known)}
                values = _evaluate(net, node, given.get)
                if values is not None:
                    found[source] = (values, steps)
            graphs[node.output] = found
            best = _match(found, expected)
            if best is not None:
                source, name = best
                node.op, node.inputs = name.partition(":")[0], [source]
                node.attrs = dict(_KNOWN[name][1])
                graphs[node.output] = {source: (found[source][0], 1)}
                changed = True
    if changed:
        net.index()
    return changed


def _match(found: Mapping[str, tuple[Array, int]], expected: Mapping[str, Array]) -> tuple[str, str] | None:
    """Return the source and the name of a function that a value is, of at least two nodes."""
    for source, (values, steps) in found.items():
        if steps < 2:
            continue
        for name, wanted in expected.items():
            error = np.abs(values - wanted)
            if np.all(error <= 2e-6 * np.maximum(1, np.abs(wanted))):
                return source, name
    return None
