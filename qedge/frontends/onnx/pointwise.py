"""A product of constant weights with the pixels of an image, which exporters flatten for it: a 1x1 convolution."""

from __future__ import annotations

import math

import numpy as np

from qedge.frontends.onnx.net import Net, Node

IMAGE = 4
"""Dimensions of a batch of images, (n, channels, height, width)."""


def pointwise(net: Net) -> bool:
    """Make MatMul(weights, Reshape(image)) a Conv, as in heads that compare pixels with texts (YOLO-World)."""
    changed = False
    for node in list(net.nodes):
        if node.op != "MatMul":
            continue
        weights, flat = net.constants.get(node.inputs[0]), net.makers.get(node.inputs[1])
        if weights is None or flat is None or flat.op not in ("Reshape", "Flatten") or not weights.size:
            continue
        image = flat.inputs[0]
        shape, rows = net.shape(image), net.shape(flat.output)
        if len(shape) != IMAGE or rows != (*shape[:2], shape[2] * shape[3]) or weights.ndim < 2:
            continue
        if math.prod(weights.shape[:-2]) != 1 or weights.ndim > len(rows):
            continue
        kernel = net.add_constant(weights.reshape(*weights.shape[-2:], 1, 1), node.name)
        result = (shape[0], weights.shape[-2], *shape[2:])
        last = net.sole_user(node.output, "Reshape")
        if last is not None and net.shape(last.output) == result:
            net.nodes = [n for n in net.nodes if n is not last]
            net.replace(node, [Node("Conv", node.name, [image, kernel], [last.output], {})])
        else:
            made = net.add_value(result, net.dtypes[node.output], node.output)
            target = net.add_constant(np.array(net.shape(node.output), np.int64), node.name)
            conv = Node("Conv", node.name, [image, kernel], [made], {})
            net.replace(node, [conv, Node("Reshape", node.name, [made, target], [node.output], {})])
        changed = True
    return changed
