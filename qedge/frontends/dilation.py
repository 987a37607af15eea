"""Dilated convolutions that a converter wrote as SPACE_TO_BATCH_ND, a plain convolution and BATCH_TO_SPACE_ND.

TensorFlow works out a dilated convolution over ``b`` interleaved images of the batch; TFLiteConverter puts the three
operators together again only where it recognises them, which it does not behind Keras' one-dimensional layers or a
dynamic batch. With blocks b, paddings p and crops c, output n reads ``x[n - (p - c) + k * b]`` for tap k, and zeros
(the zero point) beyond both ends: a convolution of dilation b. The sums are of the same products, so that integers
stay the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qedge.graph import Graph, Operator, Tensor
from qedge.graph.edit import Editor

_CONVOLUTIONS = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 2}
"""With the version that knows dilation."""
_RESHAPES = ("EXPAND_DIMS", "RESHAPE", "SQUEEZE")
_INNER = slice(1, 3)


@dataclass(frozen=True)
class _Split:
    """The operators of one convolution over interleaved images; ``before`` and ``after`` change the rank alone.

    Three dimensions have one block, four have two; ``axes`` are the dimensions of the convolution's input that they
    belong to.
    """

    spread: Operator
    before: Operator | None
    convolution: Operator
    after: Operator | None
    gather: Operator
    axes: tuple[int, ...]


def fold_dilations(editor: Editor) -> int:
    """make each of a static graph one convolution of the same outputs, where there is one; return how many.

    Paddings that are neither VALID nor SAME become a PAD. Left as they are: strides, crops of more than was padded,
    and tensors between the three that something else reads.
    """
    graph = Graph.from_bytes(editor.pack())
    found = [
        split for op in graph if op.op == "BATCH_TO_SPACE_ND" and (split := _split(graph, op)) is not None
    ]
    folded = [split for split in found if _fold(graph, editor, split)]
    _drop_unread(graph, editor, folded)
    return len(folded)


def _split(graph: Graph, gather: Operator) -> _Split | None:
    """Return the triple that ends with this operator."""
    inner = _made_for(graph, gather.inputs[0])
    after = before = None
    if inner is not None and inner.op in _RESHAPES:
        after, inner = inner, _made_for(graph, inner.inputs[0])
    if inner is None or inner.op not in _CONVOLUTIONS:
        return None
    spread = graph.producer.get(inner.inputs[0])
    if spread is not None and spread.op in _RESHAPES:
        before, spread = spread, graph.producer.get(spread.inputs[0])
    if spread is None or spread.op != "SPACE_TO_BATCH_ND" or (after is None) != (before is None):
        return None
    blocks = graph.tensors[gather.inputs[1]].data
    same = graph.tensors[spread.inputs[1]].data
    if blocks is None or same is None or not np.array_equal(blocks, same):
        return None
    axes = _axes(graph, spread, inner, after, gather)
    return None if axes is None else _Split(spread, before, inner, after, gather, axes)


def _made_for(graph: Graph, tensor: int) -> Operator | None:
    """Return the operator that makes a tensor for one reader."""
    if tensor in graph.outputs or len(graph.consumers.get(tensor, ())) != 1:
        return None
    return graph.producer.get(tensor)


def _axes(
    graph: Graph, spread: Operator, convolution: Operator, after: Operator | None, gather: Operator
) -> tuple[int, ...] | None:
    """Return the dimensions of the convolution that are split; None where the ranks do not fit together."""
    apart, data = _shape(graph, spread.outputs[0]), _shape(graph, convolution.inputs[0])
    made, joined = _shape(graph, convolution.outputs[0]), _shape(graph, gather.inputs[0])
    if len(data) != 4 or len(_shape(graph, spread.inputs[0])) != len(apart) or len(apart) != len(joined):
        return None
    if after is None:
        return (1, 2) if apart == data and made == joined else None
    for axis in (2, 1):
        if data == _with_one(apart, 3 - axis) and made == _with_one(joined, 3 - axis) and len(apart) == 3:
            return (axis,)
    return None


def _with_one(shape: tuple[int, ...], place: int) -> tuple[int, ...]:
    return (*shape[:place], 1, *shape[place:])


def _shape(graph: Graph, tensor: int) -> tuple[int, ...]:
    return graph.tensors[tensor].shape


def _fold(graph: Graph, editor: Editor, split: _Split) -> bool:
    """Put one convolution in the place of the triple; False where there is none of the same outputs."""
    source, result = split.spread.inputs[0], split.gather.outputs[0]
    options, taps = split.convolution.options, _shape(graph, split.convolution.inputs[1])[_INNER]
    strides = (int(options.get("stride_h", 1)), int(options.get("stride_w", 1)))
    if strides != (1, 1) or not _same_units(graph, split):
        return False
    dilations = [int(options.get("dilation_h_factor", 1)), int(options.get("dilation_w_factor", 1))]
    same = options.get("padding", "SAME") == "SAME"
    # What the convolution itself pads, in each of the interleaved images.
    lead = [(k - 1) * d // 2 if same else 0 for k, d in zip(taps, dilations)]
    lag = [(k - 1) * d - n if same else 0 for k, d, n in zip(taps, dilations, lead)]
    blocks, padded, cropped = (
        np.asarray(graph.tensors[op.inputs[k]].data).tolist()
        for op, k in ((split.spread, 1), (split.spread, 2), (split.gather, 2))
    )
    for axis, block, pads, crops in zip(split.axes, blocks, padded, cropped):
        k = axis - 1
        dilations[k] *= block
        lead[k] = pads[0] - crops[0] + lead[k] * block
        lag[k] = pads[1] - crops[1] + lag[k] * block
    if min(*lead, *lag) < 0 or len(blocks) != len(split.axes):
        return False
    dilations = [d if k > 1 else 1 for k, d in zip(taps, dilations)]
    _write(graph, editor, split, source, result, (tuple(lead), tuple(lag)), (dilations[0], dilations[1]))
    return True


def _same_units(graph: Graph, split: _Split) -> bool:
    """Whether codes mean the same before and after what only moves them."""
    moved = [split.spread, split.gather, *(op for op in (split.before, split.after) if op is not None)]
    return all(_units(graph.tensors[op.inputs[0]]) == _units(graph.tensors[op.outputs[0]]) for op in moved)


def _units(tensor: Tensor) -> tuple[Any, ...]:
    q = tensor.quantization
    if q is None:
        return (tensor.dtype,)
    return tensor.dtype, np.asarray(q.scale).tolist(), np.asarray(q.zero_point).tolist()


def _write(
    graph: Graph,
    editor: Editor,
    split: _Split,
    source: int,
    result: int,
    pads: tuple[tuple[int, ...], tuple[int, ...]],
    dilations: tuple[int, int],
) -> None:
    op, nodes = split.convolution, []
    data, made = _lifted(graph, split, source), _lifted(graph, split, result)
    given, weights = source, op.inputs[1]
    name = graph.tensors[result].name
    if split.before is not None:
        given = editor.tensor_like(source, f"{name}/image", data)
        nodes.append(
            editor.operator("RESHAPE", [source, editor.constant(np.asarray(data, np.int32))], [given])
        )
    taps = _shape(graph, weights)[_INNER]
    reach = [(k - 1) * d for k, d in zip(taps, dilations)]
    padding = "VALID"
    if any((*pads[0], *pads[1])):
        padding = "SAME"
        if pads != (tuple(r // 2 for r in reach), tuple(r - r // 2 for r in reach)):
            padding = "VALID"
            table = np.asarray([(0, 0), *zip(*pads), (0, 0)], np.int32)
            wide = [n + a + b for n, (a, b) in zip(data, table)]
            padded = editor.tensor_like(given, f"{name}/padded", wide)
            nodes.append(editor.operator("PAD", [given, editor.constant(table)], [padded], version=2))
            given = padded
    out = result if split.after is None else editor.tensor_like(result, f"{name}/convolution", made)
    options = {
        **op.options,
        "padding": padding,
        "dilation_h_factor": dilations[0],
        "dilation_w_factor": dilations[1],
    }
    version = max(op.version, _CONVOLUTIONS[op.op])
    nodes.append(editor.operator(op.op, [given, *op.inputs[1:]], [out], options, version=version))
    if split.after is not None:
        shape = editor.constant(np.asarray(_shape(graph, result), np.int32))
        nodes.append(editor.operator("RESHAPE", [out, shape], [result]))
    old = [split.convolution, *([split.after] if split.after is not None else []), split.gather]
    editor.replace([editor.node(o.index) for o in old], nodes)


def _lifted(graph: Graph, split: _Split, tensor: int) -> tuple[int, ...]:
    """Return a tensor's shape as the convolution sees it."""
    shape = _shape(graph, tensor)
    return shape if split.before is None else _with_one(shape, 3 - split.axes[0])


def _drop_unread(graph: Graph, editor: Editor, folded: list[_Split]) -> None:
    """Remove what made the interleaved images, where nothing reads them any more."""
    for split in folded:
        for op in (split.before, split.spread):
            if op is None or not editor.holds([editor.node(op.index)]):
                continue
            read = {int(t) for node in editor.operators for t in node.inputs}
            if not set(op.outputs) & (read | set(editor.outputs)):
                editor.remove([editor.node(op.index)])
