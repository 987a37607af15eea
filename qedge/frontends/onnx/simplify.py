"""Rewrites of the ONNX graph before it is lowered: what exporters write out is put together again."""

from __future__ import annotations

import numpy as np

from qedge.frontends.onnx import einsum, spectrum
from qedge.frontends.onnx.functions import recognise
from qedge.frontends.onnx.net import Array, Net, Node, Unsupported
from qedge.frontends.onnx.ops.norm import coefficients
from qedge.frontends.onnx.pointwise import pointwise
from qedge.frontends.onnx.rearrange import focus, shuffle

_PLAIN = {"Add", "Sub", "Mul", "Div", "Pow", "Where", "Max", "Min", "Sum", "Equal", "Greater", "Less", "And", "Or",
          "GreaterOrEqual", "LessOrEqual", "Mod", "Mean", "Xor"}  # fmt: skip


def simplify(net: Net) -> None:
    """Rewrite a graph in place; what it computes stays the same but for rounding."""
    for rewrite in (
        _write_out, pointwise, _fold_pad, _fold_affine, _group_norm, _softmax, _roots, focus, shuffle, _drop_expand,
    ):  # fmt: skip
        if rewrite(net):
            net.sweep()
    if recognise(net):
        net.sweep()


def _channels(net: Net, name: str, like: str, axis: int = 1) -> Array | None:
    """Return a constant operand as a vector along the channels of ``like``, None where it is no such thing."""
    values = net.constants.get(name)
    shape = net.shape(like)
    if values is None or len(shape) <= axis or values.dtype.kind != "f" or values.ndim > len(shape):
        return None
    if values.size == 1:
        return np.broadcast_to(values.reshape(()), (shape[axis],))
    padded = (1,) * (len(shape) - values.ndim) + values.shape
    if values.size != shape[axis] or padded[axis] != shape[axis]:
        return None
    return values.reshape(-1)


def _affine_of(net: Net, node: Node, source: str) -> tuple[Array, Array] | None:
    """Return factor and summand a channel if a node does only that to ``source``."""
    count = net.shape(source)[1] if net.rank(source) > 1 else 0
    one, zero = np.ones(count, np.float32), np.zeros(count, np.float32)
    if node.op == "BatchNormalization" and node.inputs[0] == source:
        parameters = [net.constants.get(n) for n in node.inputs[1:5]]
        if len([o for o in node.outputs if o]) == 1 and all(p is not None for p in parameters):
            scale, shift, mean, variance = (p for p in parameters if p is not None)
            return coefficients(scale, shift, mean, variance, node)
        return None
    if node.op not in ("Add", "Mul", "Sub", "Div") or net.shape(node.output) != net.shape(source):
        return None
    first = node.inputs[0] == source
    values = _channels(net, node.inputs[1 if first else 0], source)
    if values is None or (not first and node.op == "Div"):
        return None
    if node.op == "Add":
        return one, values
    if node.op == "Mul":
        return values, zero
    if node.op == "Sub":
        return (one, -values) if first else (-one, values)
    return (1 / values, zero) if np.all(values != 0) else None


def _fold_affine(net: Net) -> bool:
    """Fold what follows a convolution or a dense layer channel by channel into its weights and bias."""
    changed = False
    for node in list(net.nodes):
        if node.op not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or net.rank(node.output) < 2:
            continue
        if node.op == "MatMul" and net.rank(node.output) != 2:
            continue
        weights = net.constants.get(node.input(1))
        bias = net.constants.get(node.input(2)) if node.input(2) else None
        if weights is None or (node.input(2) and bias is None) or net.is_constant(node.inputs[0]):
            continue
        if node.op == "MatMul" and weights.ndim != 2:
            continue
        total = None
        last = node
        user = net.sole_user(node.output)
        while user is not None and (step := _affine_of(net, user, last.output)) is not None:
            factor, shift = total or (np.float64(1), np.float64(0))
            total = (factor * step[0], shift * step[0] + step[1])
            last = user
            user = net.sole_user(last.output)
        if total is None:
            continue
        factor, shift = total
        if node.op == "MatMul" and np.all(factor == 1):
            continue  # the handler takes a bias by itself
        _scale_weights(net, node, weights, bias, np.asarray(factor), np.asarray(shift))
        dead = node.output
        node.outputs = [last.output]
        gone, at = [], dead
        while at != last.output:
            one = net.users[at][0]
            gone.append(one)
            at = one.output
        net.nodes = [n for n in net.nodes if not any(n is g for g in gone)]
        net.index()
        changed = True
    return changed


def _scale_weights(
    net: Net, node: Node, weights: Array, bias: Array | None, factor: Array, shift: Array
) -> None:
    count = net.shape(node.output)[1]
    factor = np.broadcast_to(factor, (count,)).astype(np.float64)
    old = np.zeros(count) if bias is None else np.broadcast_to(bias, (count,)) * 1.0
    if node.op == "Conv":
        new = weights * factor.reshape(-1, *(1,) * (weights.ndim - 1))
    elif node.op == "ConvTranspose":
        groups = int(node.get("group", 1))
        per = factor.reshape(groups, 1, -1, *(1,) * (weights.ndim - 2))
        new = (weights.reshape(groups, -1, *weights.shape[1:]) * per).reshape(weights.shape)
    elif node.op == "Gemm":
        alpha, beta = float(node.get("alpha", 1.0)), float(node.get("beta", 1.0))
        plain = weights if node.get("transB", 0) else weights.T
        new = (plain * alpha) * factor[:, None]
        old = old * beta
        node.attrs = {"transA": node.get("transA", 0), "transB": 1}
    else:
        new = (weights * factor).T
        node.op, node.attrs = "Gemm", {"transB": 1}
    first = net.add_constant(new.astype(np.float32), node.inputs[1])
    second = net.add_constant((old * factor + shift).astype(np.float32), node.inputs[1])
    node.inputs = [node.inputs[0], first, second]


def _fold_pad(net: Net) -> bool:
    """Fold a Pad with zeros around an image into the convolution behind it."""
    changed = False
    for node in list(net.nodes):
        pad = net.makers.get(node.inputs[0]) if node.op == "Conv" else None
        if pad is None or pad.op != "Pad" or net.sole_user(pad.output) is not node:
            continue
        rank = net.rank(node.inputs[0])
        try:
            stated = net.integers(pad, 1, "pads")
            value = net.scalar(pad, 2, "value") or 0.0
        except Unsupported:
            continue
        plain = pad.get("mode", "constant") == "constant" and value == 0 and not pad.input(3)
        if not plain or stated is None or len(stated) != 2 * rank or min(stated) < 0:
            continue
        if any(stated[d] or stated[rank + d] for d in (0, 1)) or node.get("auto_pad", "NOTSET") not in (
            "NOTSET", "VALID",
        ):  # fmt: skip
            continue
        own = node.get("pads", [0] * (2 * (rank - 2)))
        if node.get("auto_pad", "NOTSET") == "VALID":
            own = [0] * (2 * (rank - 2))
        more = [*stated[2:rank], *stated[rank + 2 :]]
        node.attrs = {**node.attrs, "pads": [int(a + b) for a, b in zip(own, more)], "auto_pad": "NOTSET"}
        node.inputs = [pad.inputs[0], *node.inputs[1:]]
        net.index()
        changed = True
    return changed


def _roots(net: Net) -> bool:
    """Divide by a root by multiplying with RSQRT: every target has it, and few have SQRT and DIV."""
    changed = False
    for node in list(net.nodes):
        if node.op not in ("Div", "Reciprocal"):
            continue
        below = net.makers.get(node.inputs[-1])
        if below is None or below.op != "Sqrt" or net.is_constant(node.inputs[-1]):
            continue
        top = node.inputs[0]
        if node.op == "Reciprocal":
            node.op, node.inputs = "Rsqrt", [below.inputs[0]]
        else:
            root = net.add_value(net.shape(below.output), net.dtypes[below.output], below.output)
            made = Node("Rsqrt", below.name, [below.inputs[0]], [root])
            net.replace(node, [made, Node("Mul", node.name, [top, root], [node.output])])
        net.index()
        changed = True
    return changed


def _group_norm(net: Net) -> bool:
    """Put GroupNormalization together: Reshape to groups, InstanceNormalization, Reshape back."""
    changed = False
    for node in list(net.nodes):
        if node.op != "InstanceNormalization":
            continue
        before, after = net.makers.get(node.inputs[0]), net.sole_user(node.output, "Reshape")
        if before is None or before.op != "Reshape" or after is None or net.rank(node.output) != 3:
            continue
        x = before.inputs[0]
        scale, shift = net.constants.get(node.inputs[1]), net.constants.get(node.inputs[2])
        groups = net.shape(node.output)[1]
        if net.shape(after.output) != net.shape(x) or net.rank(x) < 3 or net.shape(x)[1] % groups:
            continue
        if scale is None or shift is None or net.shape(node.inputs[0])[0] != net.shape(x)[0]:
            continue
        if not (np.all(scale == scale[0]) and np.all(shift == shift[0])):
            continue
        count = net.shape(x)[1]
        names = [net.add_constant(np.full(count, v[0], np.float32), node.name) for v in (scale, shift)]
        attributes = {"num_groups": groups, "epsilon": node.get("epsilon", 1e-5)}
        new = Node("GroupNormalization", node.name, [x, *names], [after.output], attributes)
        net.nodes = [n for n in net.nodes if n is not node]
        net.replace(after, [new])
        changed = True
    return changed


def _drop_expand(net: Net) -> bool:
    """Read what an Expand reads, where the reader broadcasts by itself."""
    changed = False
    for node in list(net.nodes):
        if node.op not in _PLAIN:
            continue
        for k, name in enumerate(node.inputs):
            maker = net.makers.get(name)
            if maker is None or maker.op != "Expand" or net.is_constant(maker.inputs[0]):
                continue
            shapes = [net.shape(maker.inputs[0] if j == k else n) for j, n in enumerate(node.inputs)]
            try:
                same = np.broadcast_shapes(*shapes) == net.shape(node.output)
            except ValueError:
                continue
            if same:
                node.inputs[k] = maker.inputs[0]
                changed = True
    return changed


def _write_out(net: Net) -> bool:
    """Write Einsum and Fourier transforms as products."""
    changed = False
    for node in list(net.nodes):
        writer = _WRITTEN_OUT.get(node.op)
        made = None if writer is None else writer(net, node)
        if made is not None:
            net.replace(node, made)
            changed = True
    return changed


_WRITTEN_OUT = {"Einsum": einsum.pieces, "DFT": spectrum.pieces, "STFT": spectrum.pieces}


def _softmax(net: Net) -> bool:
    """Put a softmax together: exponentials over their sum, with or without the largest value taken off before."""
    changed = False
    for node in list(net.nodes):
        if node.op != "Div":
            continue
        top, bottom = (net.makers.get(n) for n in node.inputs)
        if top is None or bottom is None or top.op != "Exp" or bottom.op != "ReduceSum":
            continue
        axis = _kept_axis(net, bottom)
        if axis is None or bottom.inputs[0] != top.output:
            continue
        if net.opset < 13 and axis != net.rank(node.output) - 1:
            continue
        x = top.inputs[0]
        moved = net.makers.get(x)
        if moved is not None and moved.op == "Sub":
            most = net.makers.get(moved.inputs[1])
            same = most is not None and most.op == "ReduceMax" and most.inputs[0] == moved.inputs[0]
            if most is not None and same and _kept_axis(net, most) == axis:
                x = moved.inputs[0]
        node.op, node.inputs, node.attrs = "Softmax", [x], {"axis": axis}
        net.index()
        changed = True
    return changed


def _kept_axis(net: Net, node: Node) -> int | None:
    """Return the only axis of a reduction that keeps its dimension, None where it is another one."""
    try:
        axes = net.integers(node, 1, "axes")
    except Unsupported:
        return None
    if axes is None or len(axes) != 1 or not node.get("keepdims", 1):
        return None
    return axes[0] % net.rank(node.inputs[0])
