"""LSTM, GRU and plain recurrent layers, written out step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qedge.frontends.onnx.lower import Handler, Lowering
from qedge.frontends.onnx.net import Array, Node, Unsupported
from qedge.frontends.onnx.ops.matrix import dense

_FUNCTIONS = {
    "Sigmoid": "LOGISTIC", "Tanh": "TANH", "Relu": "RELU", "Elu": "ELU",
}  # fmt: skip
MAX_STEPS = 4096


@dataclass(frozen=True)
class _Layer:
    """One direction of a recurrent layer.

    Args:
        weights: (gates * hidden, inputs) and (gates * hidden, hidden).
        biases: of both products, each (gates * hidden,).
        functions: TFLite's operators of its activations.
    """

    input_weights: Array
    state_weights: Array
    input_bias: Array
    state_bias: Array
    functions: tuple[str, ...]
    hidden: int


State = tuple[int, ...]
Step = Callable[[Lowering, _Layer, int, State], State]


def _halves(g: Lowering, tensor: int, count: int) -> list[int]:
    """Return equal parts along the last dimension."""
    rows, width = g.writer.shape(tensor)
    if count == 1:
        return [tensor]
    known = g.writer.values(tensor)
    if known is not None:
        return [g.writer.constant(part) for part in np.split(known, count, 1)]
    return g.writer.ops(
        "SPLIT", [g.integers([1]), tensor], [(rows, width // count)] * count,
        g.writer.dtype(tensor), num_splits=count,
    )  # fmt: skip


def _product(g: Lowering, h: int, weights: Array, bias: Array) -> int:
    """Return the product with the state; that of a first state that is known is a constant."""
    known = g.writer.values(h)
    if known is None:
        return dense(g, h, weights, bias)
    return g.writer.constant((known @ weights.T + bias).astype(np.float32))


def _is_zero(g: Lowering, tensor: int) -> bool:
    known = g.writer.values(tensor)
    return known is not None and not known.any()


def _sum(g: Lowering, a: int, b: int) -> int:
    """Return a sum; nothing is added where ``b`` is zero."""
    return a if _is_zero(g, b) else g.add(a, b)


def _blend(g: Lowering, h: int, n: int, z: int) -> int:
    """Return ``n + z * (h - n)``, the next state of a GRU."""
    return g.sub(n, g.mul(z, n)) if _is_zero(g, h) else g.add(n, g.mul(z, g.sub(h, n)))


def _lstm_step(g: Lowering, layer: _Layer, x: int, state: State) -> State:
    h, c = state
    gate, cell, out = layer.functions
    i, o, f, z = _halves(g, _sum(g, x, _product(g, h, layer.state_weights, layer.state_bias)), 4)
    new = g.mul(g.one(gate, i), g.one(cell, z))
    c = new if _is_zero(g, c) else g.add(g.mul(g.one(gate, f), c), new)
    return g.mul(g.one(gate, o), g.one(out, c)), c


def _gru_step(g: Lowering, layer: _Layer, x: int, state: State) -> State:
    (h,) = state
    gate, new = layer.functions
    zx, rx, nx = _halves(g, x, 3)
    zh, rh, nh = _halves(g, _product(g, h, layer.state_weights, layer.state_bias), 3)
    z = g.one(gate, _sum(g, zx, zh))
    r = g.one(gate, _sum(g, rx, rh))
    n = g.one(new, nx if _is_zero(g, nh) else g.add(nx, g.mul(r, nh)))
    return (_blend(g, h, n, z),)


def _gru_step_before(g: Lowering, layer: _Layer, x: int, state: State) -> State:
    """The step of a GRU that resets the state before its product (``linear_before_reset=0``)."""
    (h,) = state
    gate, new = layer.functions
    size = 2 * layer.hidden
    zx, rx, nx = _halves(g, x, 3)
    zh, rh = _halves(g, _product(g, h, layer.state_weights[:size], layer.state_bias[:size]), 2)
    z = g.one(gate, _sum(g, zx, zh))
    weights, bias = layer.state_weights[size:], layer.state_bias[size:]
    reset = h if _is_zero(g, h) else g.mul(g.one(gate, _sum(g, rx, rh)), h)
    n = g.one(new, _sum(g, nx, _product(g, reset, weights, bias)))
    return (_blend(g, h, n, z),)


def _rnn_step(g: Lowering, layer: _Layer, x: int, state: State) -> State:
    total = _sum(g, x, _product(g, state[0], layer.state_weights, layer.state_bias))
    return (g.one(layer.functions[0], total),)


def _functions(node: Node, count: int, directions: int, default: Sequence[str]) -> list[tuple[str, ...]]:
    stated = list(node.get("activations", list(default) * directions))
    if node.get("clip"):
        raise Unsupported("clip")
    unknown = [s for s in stated if s not in _FUNCTIONS]
    if unknown:
        raise Unsupported(f"the activation {unknown[0]}")
    return [tuple(_FUNCTIONS[s] for s in stated[d * count : (d + 1) * count]) for d in range(directions)]


def _recurrent(gates: int, default: Sequence[str], states: int) -> Handler:
    def handler(g: Lowering, node: Node) -> None:
        net, writer = g.net, g.writer
        if node.get("layout", 0):
            raise Unsupported("layout 1 (batch first)")
        x = node.inputs[0]
        steps, batch, width = net.shape(x)
        if steps > MAX_STEPS:
            raise Unsupported(f"{steps} steps, expected at most {MAX_STEPS}")
        kernel, recurrent = net.constant(node, 1, "weights"), net.constant(node, 2, "weights")
        directions, hidden = recurrent.shape[0], recurrent.shape[2]
        bias = net.optional(node, 3, "bias")
        if bias is None:
            bias = np.zeros((directions, 2 * gates * hidden), np.float32)
        lengths = net.optional(node, 4, "sequence lengths")
        if lengths is not None and np.any(lengths != steps):
            raise Unsupported("sequences shorter than the input")
        if node.input(7) and np.any(net.constant(node, 7, "peepholes")):
            raise Unsupported("peepholes")
        if node.get("input_forget", 0):
            raise Unsupported("input_forget")
        functions = _functions(node, len(default), directions, default)
        before = gates == 3 and not node.get("linear_before_reset", 0)
        step: Step = {4: _lstm_step, 3: _gru_step_before if before else _gru_step, 1: _rnn_step}[gates]
        flat = writer.reshape(_time_first(g, x), (steps * batch, width))
        outputs: list[list[int]] = []
        last: list[State] = []
        for d in range(directions):
            half = gates * hidden
            layer = _Layer(
                kernel[d], recurrent[d], bias[d, :half], bias[d, half:], functions[d], hidden
            )  # fmt: skip
            backwards = node.get("direction", "forward") == "reverse" or d == 1
            state = tuple(_initial(g, node, 5 + k, d, directions, batch, hidden) for k in range(states))
            made, end = _run(g, layer, step, flat, steps, batch, state, backwards)
            outputs.append(made)
            last.append(end)
        _put(g, node, outputs, last, (steps, directions, batch, hidden))

    return handler


def _time_first(g: Lowering, name: str) -> int:
    return g.get(name)


def _initial(g: Lowering, node: Node, position: int, d: int, directions: int, batch: int, hidden: int) -> int:
    """Return the first state of one direction: zeros, a constant or an input."""
    name = node.input(position)
    if not name:
        return g.writer.constant(np.zeros((batch, hidden), np.float32))
    if g.net.is_constant(name):
        return g.writer.constant(g.net.constants[name][d])
    tensor = g.get(name)
    if directions > 1:
        tensor = g.slice(tensor, (d, 0, 0), (1, batch, hidden))
    return g.writer.reshape(tensor, (batch, hidden))


def _run(
    g: Lowering, layer: _Layer, step: Step, flat: int, steps: int, batch: int, state: State, backwards: bool
) -> tuple[list[int], State]:
    """Return the hidden state after every step, in the order of time, and the last state.

    The product with the input is one for all steps.
    """
    gates = dense(g, flat, layer.input_weights, layer.input_bias)
    width = layer.input_weights.shape[0]
    parts = [gates]
    if steps > 1:
        parts = g.writer.ops(
            "SPLIT", [g.integers([0]), gates], [(batch, width)] * steps, np.float32,
            num_splits=steps,
        )  # fmt: skip
    made: list[int] = [0] * steps
    for t in range(steps - 1, -1, -1) if backwards else range(steps):
        state = step(g, layer, parts[t], state)
        made[t] = state[0]
    return made, state


def _put(
    g: Lowering, node: Node, outputs: Sequence[Sequence[int]], last: Sequence[State], shape: tuple[int, ...]
) -> None:
    net = g.net
    steps, directions, batch, hidden = shape

    def used(position: int) -> str:
        name = node.outputs[position] if position < len(node.outputs) else ""
        return name if name in net.users or name in net.outputs else ""

    if used(0):
        flat = [outputs[d][t] for t in range(steps) for d in range(directions)]
        g.put(node.outputs[0], g.writer.reshape(g.concat(flat, 0), shape))
    for k in range(len(last[0])):
        if used(1 + k):
            joined = g.concat([state[k] for state in last], 0)
            g.put(node.outputs[1 + k], g.writer.reshape(joined, (directions, batch, hidden)))


HANDLERS: dict[str, Handler] = {
    "LSTM": _recurrent(4, ("Sigmoid", "Tanh", "Tanh"), 2),
    "GRU": _recurrent(3, ("Sigmoid", "Tanh"), 1),
    "RNN": _recurrent(1, ("Tanh",), 1),
}
