"""What a model does to its input first, moved in front of the quantisation, where it is done in float.

One scale for all the features of a row leaves those that are small beside the largest one less than a step. A
Normalization layer inside the model comes too late for them, so it leaves the model; features of unlike size without
one get a step of their own, which the first layer's weights take back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset
from qedge.graph import Graph
from qedge.graph.edit import Editor
from qedge.processing.affine import InputStep
from qedge.quantize.model import FloatModel, with_input_steps
from qedge.quantize.rewrites.readers import readers_of, step_of, take_up

Float = npt.NDArray[np.float64]
UNLIKE = 64.0
"""The range of all features may be this many times that of a single one, which then still has 4 of the 256 steps."""
MOST_FEATURES = 4096


def take_steps(model: FloatModel, dataset: Dataset, indices: Sequence[int], noted: bool = True) -> FloatModel:
    """Return the model without what it does to its inputs first, and with features of unlike size brought to one.

    Where one scale fits all channels of the author's units, the layer behind takes the step up and nothing need be
    done in front; else the model notes the step (:func:`qedge.quantize.model.steps_of`), and whoever feeds it does it.

    Args:
        indices: the samples whose features are looked at.
        noted: whether a step may be left to whoever feeds the model.
    """
    steps: dict[int, InputStep] = {}
    for k in range(len(model.graph.inputs)):
        found = _leading(model.graph, model.graph.inputs[k])
        if found is None:
            continue
        last, factor, offset = found
        readers = readers_of(model.graph, last)
        editor = model.editor()
        if (factor == 1).all() and not offset.any():
            pass
        elif (
            readers is not None
            and not (readers.padded and offset.any())
            and _fits_one_scale(*_extremes(dataset, indices, k))
        ):
            for layer in readers.layers:
                take_up(model.graph, editor, layer, factor, offset)
        elif noted:
            steps[k] = InputStep.of(-offset / factor, factor)
        else:
            continue
        model = _without(model, editor, k, last, keep=k not in steps)
    return _scale_features(model, dataset, indices, steps) if noted else model


def _extremes(dataset: Dataset, indices: Sequence[int], k: int) -> tuple[Float, Float]:
    """Return the smallest and the largest value of each feature of an input."""
    low, high = np.inf, -np.inf
    for i in indices:
        values = np.asarray(dataset[i][k], np.float64)
        rows = values.reshape(-1, values.shape[-1])
        low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
    return np.atleast_1d(low), np.atleast_1d(high)


def _fits_one_scale(low: Float, high: Float) -> bool:
    """Whether every feature that varies covers a quarter of the range of all, which zero is part of."""
    whole = max(float(high.max()), 0.0) - min(float(low.min()), 0.0)
    span = high - low
    return bool((4 * span[span > 0] >= whole).all())


def _leading(graph: Graph, tensor: int) -> tuple[int, Float, Float] | None:
    """Return the last tensor of the steps that alone read an input, and what they do together."""
    shape = graph.tensors[tensor].shape
    if graph.tensors[tensor].dtype not in ("float32", "uint8") or not shape:
        return None
    last, factor, offset = tensor, np.ones(shape[-1]), np.zeros(shape[-1])
    while last not in graph.outputs and len(graph.consumers[last]) == 1:
        (op,) = graph.consumers[last]
        step = step_of(graph, op)
        if step is not None and (step.factor != 0).all():
            last, offset, factor = step.result, offset * step.factor + step.offset, factor * step.factor
        elif op.op == "CAST" and graph.tensors[op.outputs[0]].dtype == "float32" and last == tensor:
            last = op.outputs[0]
        else:
            break
    return None if last == tensor else (last, factor, offset)


def _without(model: FloatModel, editor: Editor, k: int, last: int, *, keep: bool) -> FloatModel:
    """Return the model that starts at ``last`` in place of its input ``k``."""
    graph = model.graph
    first = graph.inputs[k]
    gone, t = [], first
    while t != last:
        (op,) = graph.consumers[t]
        gone.append(editor.node(op.index))
        t = op.outputs[0]
    editor.remove(gone)
    if keep:
        # The author's units go on: the tensor takes the input's name.
        editor.rename({last: graph.tensors[first].name})
    editor.inputs = [last if t == first else t for t in editor.inputs]
    inputs = [(name, last if t == first else t) for name, t in zip(graph.input_names, graph.inputs)]
    editor.sign(inputs, list(zip(graph.output_names, graph.outputs)))
    editor.sweep()
    return FloatModel.from_bytes(editor.pack())


def _scale_features(
    model: FloatModel, dataset: Dataset, indices: Sequence[int], taken: Mapping[int, InputStep]
) -> FloatModel:
    """Return the model that notes the steps ``taken``, and those of features of unlike size that layers alone read."""
    steps = dict(taken)
    for k, t in enumerate(model.graph.inputs):
        tensor = model.graph.tensors[t]
        if k in steps or tensor.dtype != "float32" or not 2 <= (tensor.shape or (0,))[-1] <= MOST_FEATURES:
            continue
        readers = readers_of(model.graph, t)
        found = None if readers is None else _spread(*_extremes(dataset, indices, k), padded=readers.padded)
        if readers is None or found is None:
            continue
        offset, factor = found
        editor = model.editor()
        for layer in readers.layers:
            take_up(model.graph, editor, layer, 1 / factor, offset)
        steps[k] = InputStep.of(offset, factor)
        model = FloatModel.from_bytes(editor.pack())
    return with_input_steps(model, steps) if steps else model


def _spread(low: Float, high: Float, *, padded: bool) -> tuple[Float, Float] | None:
    """Return the middle of each feature and the factor that brings its spread to 1; None where they are alike."""
    span = (high - low) / 2
    middle = np.zeros_like(low) if padded else (low + high) / 2
    size = np.maximum(np.abs(low), np.abs(high)) if padded else span
    live = span > 0
    whole = max(float(high.max()), 0.0) - min(float(low.min()), 0.0)
    if not live.any() or whole < UNLIKE * 2 * size[live].min():
        return None
    # Powers of two change no digit of a feature.
    factor = np.exp2(-np.rint(np.log2(np.where(live, size, 1.0))))
    return middle.astype(np.float32).astype(np.float64), factor
