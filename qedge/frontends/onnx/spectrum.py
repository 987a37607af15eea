"""Writes Fourier transforms as what they are: products with constant sines and cosines."""

from __future__ import annotations

import math

import numpy as np

from qedge.frontends.onnx.net import Array, Net, Node, Unsupported

LONGEST = 4096
"""Most values of one transform: its matrix has twice the square of that."""


def pieces(net: Net, node: Node) -> list[Node] | None:
    """Return the nodes of a DFT or an STFT, None where it cannot be written so."""
    try:
        return _stft(net, node) if node.op == "STFT" else _dft(net, node)
    except Unsupported:
        return None


def matrix(count: int, length: int, bins: int, inverse: bool = False) -> Array:
    """Return the transform of ``count`` complex values, zero-padded or cut to ``length``: [count, 2, bins, 2].

    The axes of 2 are the real and the imaginary part, of a value and of a bin.
    """
    angle = 2 * np.pi / length * (np.outer(np.arange(count), np.arange(bins)) % length)
    angle = angle if inverse else -angle
    made = np.empty((count, 2, bins, 2))
    made[:, 0, :, 0] = made[:, 1, :, 1] = np.cos(angle)
    made[:, 0, :, 1] = np.sin(angle)
    made[:, 1, :, 0] = -np.sin(angle)
    made[length:] = 0
    return (made / length if inverse else made).astype(np.float32)


class _Chain:
    """Nodes one after the other, each on what the one before gave."""

    def __init__(self, net: Net, node: Node) -> None:
        self.net, self.node, self.last = net, node, node.inputs[0]
        self.made: list[Node] = []

    def then(self, op: str, shape: list[int], *constants: Array, **attributes: object) -> None:
        inputs = [self.last, *(self.net.add_constant(c) for c in constants)]
        self.last = self.net.add_value(shape, self.net.dtypes[self.node.output], self.node.output)
        self.made.append(Node(op, self.node.name, inputs, [self.last], attributes))

    def reshape(self, shape: list[int]) -> None:
        self.then("Reshape", shape, np.array(shape, np.int64))

    def finish(self) -> list[Node]:
        self.made.append(Node("Identity", self.node.name, [self.last], [self.node.output]))
        return self.made


def _dft(net: Net, node: Node) -> list[Node] | None:
    shape, result = net.shape(node.inputs[0]), net.shape(node.output)
    rank = len(shape)
    stated = net.scalar(node, 2, "axis")
    axis = int(stated if stated is not None else -2 if net.opset >= 20 else 1) % rank
    given = net.scalar(node, 1, "dft_length")
    length, parts = int(given or shape[axis]), shape[-1]
    inverse = bool(node.get("inverse", 0))
    if axis == rank - 1 or parts not in (1, 2) or result[-1] != 2 or max(length, shape[axis]) > LONGEST:
        return None
    others = [d for d in range(rank - 1) if d != axis]
    turn, outer = [*others, axis, rank - 1], [shape[d] for d in others]
    bins = result[axis]
    chain = _Chain(net, node)
    if turn != list(range(rank)):
        chain.then("Transpose", [shape[d] for d in turn], perm=turn)
    chain.reshape([math.prod(outer), shape[axis] * parts])
    factors = matrix(shape[axis], length, bins, inverse)[:, :parts].reshape(-1, 2 * bins)
    chain.then("MatMul", [math.prod(outer), 2 * bins], factors)
    chain.reshape([*outer, bins, 2])
    if turn != list(range(rank)):
        chain.then("Transpose", list(result), perm=[turn.index(d) for d in range(rank)])
    return chain.finish()


def _stft(net: Net, node: Node) -> list[Node] | None:
    shape, result = net.shape(node.inputs[0]), net.shape(node.output)
    step = net.scalar(node, 1, "frame_step")
    window = net.optional(node, 2, "window")
    given = net.scalar(node, 3, "frame_length")
    if step is None or (len(shape) == 3 and shape[2] != 1) or len(shape) not in (2, 3):
        return None
    length = int(given if given is not None else len(window) if window is not None else 0)
    if not 0 < length <= LONGEST:
        return None
    batch, frames, bins, _ = result
    factors = matrix(length, length, bins)[:, 0].reshape(length, 2 * bins)
    if window is not None:
        centred = np.zeros(length, np.float32)
        before = (length - len(window)) // 2
        centred[before : before + len(window)] = window
        factors = factors * centred[:, None]
    chain = _Chain(net, node)
    chain.reshape([batch, 1, shape[1]])
    chain.then("Conv", [batch, 2 * bins, frames], factors.T[:, None].astype(np.float32), strides=[int(step)])
    chain.then("Transpose", [batch, frames, 2 * bins], perm=[0, 2, 1])
    chain.reshape(list(result))
    return chain.finish()
