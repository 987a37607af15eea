"""Pairs of QuantizeLinear and DequantizeLinear: what training with fake quantisation, or another quantiser, wrote.

A pair on an activation is a FAKE_QUANT; the quantiser takes its range as it is. A DequantizeLinear of stored weights
alone is folded with every other constant, and the weights' grid is found again in their values.
"""

from __future__ import annotations

import numpy as np

from qedge.frontends.onnx.lower import Handler, Lowering
from qedge.frontends.onnx.net import Node, Unsupported


def _quantize(g: Lowering, node: Node) -> None:
    """Leave it to the nodes that turn it back."""
    readers = g.net.users.get(node.output, [])
    if node.output in g.net.outputs or not readers or any(r.op != "DequantizeLinear" for r in readers):
        raise Unsupported("its integers are used, and not only turned back by DequantizeLinear")
    if any(_grid(g, reader) != _grid(g, node) for reader in readers):
        raise Unsupported("it is turned back with another scale or zero point")


def _dequantize(g: Lowering, node: Node) -> None:
    pair = next((n for n in g.net.nodes if n.op == "QuantizeLinear" and node.inputs[0] in n.outputs), None)
    if pair is None:
        raise Unsupported("its integers come from elsewhere than a QuantizeLinear")
    scale, zero, lowest = _grid(g, node)
    order = g.order(pair.inputs[0])
    source = g.get(pair.inputs[0], order)
    low, high = (lowest - zero) * scale, (lowest + 255 - zero) * scale
    made = g.writer.op("FAKE_QUANT", [source], g.writer.shape(source), num_bits=8, min=low, max=high)
    g.put(node.output, made, order)


def _grid(g: Lowering, node: Node) -> tuple[float, int, int]:
    """Return the scale, the zero point and the smallest code of a node of 8 bits with one scale."""
    scale = g.net.constant(node, 1, "scale")
    zero = g.net.optional(node, 2, "zero point")
    codes = np.zeros(1, np.uint8) if zero is None else zero
    if scale.size != 1 or codes.size != 1:
        raise Unsupported("it has a scale for each channel of an activation")
    if codes.dtype not in (np.dtype(np.int8), np.dtype(np.uint8)):
        raise Unsupported(f"its codes are {codes.dtype}, expected int8 or uint8")
    return float(scale.reshape(-1)[0]), int(codes.reshape(-1)[0]), int(np.iinfo(codes.dtype).min)


HANDLERS: dict[str, Handler] = {"QuantizeLinear": _quantize, "DequantizeLinear": _dequantize}
