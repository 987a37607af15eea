"""What a model does to its output last, left to whoever reads it, where one scale would flatten the columns.

A regressor in the units of people gives 1013 hPa beside 0.001 mm: all columns of an output share one scale, so the
small ones are less than a step, and what varies little about a large mean is a few steps. Scale and offset of each
column are left out of the model, whether they are operators of their own or part of its last layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset
from qedge.graph import Graph, Operator
from qedge.graph.edit import Editor
from qedge.graph.outputs import with_outputs
from qedge.processing.affine import OUTPUTS_KEY, OutputStep, finishes_in, finishes_note
from qedge.quantize.columns import MOST_IN_VECTOR, UNLIKE
from qedge.quantize.interpreter import Runner
from qedge.quantize.model import FloatModel
from qedge.quantize.plan import weight_slots
from qedge.quantize.rewrites.readers import step_of

Float = npt.NDArray[np.float64]
LOOKED_AT = 64


@dataclass
class _Ending:
    """What an output is made by: ``x * factor + offset``, one value of each a column.

    Args:
        tensor: x.
        steps: the operators that make the output of it.
        layer: the dense layer that makes x and that nothing else reads, or None.
    """

    tensor: int
    factor: Float
    offset: Float
    steps: list[Operator]
    layer: Operator | None


def leave_output_steps(model: FloatModel, dataset: Dataset, indices: Sequence[int]) -> FloatModel:
    """Return the model without scale and offset of the columns of its outputs where they are of unlike size; it notes
    what is left to be done.

    Args:
        indices: samples, of which some are looked at.
    """
    known = finishes_in(model.graph.metadata.get(OUTPUTS_KEY, b""))
    endings = {k: _ending(model.graph, k) for k in range(len(model.graph.outputs)) if k not in known}
    found = {
        k: e for k, e in endings.items() if e is not None and (e.steps or _may_be_unlike(model.graph, e))
    }
    if not found:
        return model
    some = indices[:: max(1, len(indices) // LOOKED_AT)][:LOOKED_AT]
    columns = _extremes(model, [e.tensor for e in found.values()], dataset, some)
    editor, graph = model.editor(), model.graph
    outputs, left = list(graph.outputs), {}
    for (k, ending), (low, high) in zip(found.items(), columns):
        ends = low * ending.factor + ending.offset, high * ending.factor + ending.offset
        if not _unlike(np.minimum(*ends), np.maximum(*ends)):
            continue
        middle, size = np.zeros_like(low), np.ones_like(low)
        if ending.layer is not None and _unlike(low, high):
            middle, size = _size(low, high)
            _divide(graph, editor, ending.layer, middle, size)
            # Layers of both models are compared by name, and this one is no longer the author's.
            editor.rename({ending.tensor: f"{graph.tensors[ending.tensor].name}/scaled"})
        elif not ending.steps:
            continue
        editor.remove([editor.node(op.index) for op in ending.steps])
        outputs[k] = ending.tensor
        left[k] = OutputStep.of(ending.factor * size, ending.factor * middle + ending.offset)
    return _noted(model, editor, outputs, {**known, **left}) if left else model


def _noted(
    model: FloatModel, editor: Editor, outputs: Sequence[int], finishes: Mapping[int, str | OutputStep]
) -> FloatModel:
    graph = model.graph
    editor.outputs = outputs
    editor.sign(list(zip(graph.input_names, graph.inputs)), list(zip(graph.output_names, outputs)))
    editor.add_metadata(OUTPUTS_KEY, finishes_note(finishes))
    editor.sweep()
    return FloatModel.from_bytes(editor.pack())


def _ending(graph: Graph, k: int) -> _Ending | None:
    """Return what makes an output that is a short vector, or None where that is neither a step nor a dense layer."""
    tensor = graph.outputs[k]
    shape = graph.tensors[tensor].shape
    if graph.tensors[tensor].dtype != "float32" or not shape or shape[-1] != graph.tensors[tensor].elements:
        return None
    if shape[-1] > MOST_IN_VECTOR or graph.consumers[tensor] or graph.outputs.count(tensor) > 1:
        return None
    found = _Ending(tensor, np.ones(shape[-1]), np.zeros(shape[-1]), [], None)
    while (maker := graph.producer.get(found.tensor)) is not None:
        step = step_of(graph, maker)
        if step is None or not (step.factor != 0).all() or not _private(graph, step.source):
            break
        found.offset = found.factor * step.offset + found.offset
        found.factor = found.factor * step.factor
        found.tensor = step.source
        found.steps.append(maker)
    if maker is not None and _dense(graph, maker):
        found.layer = maker
    return found if found.steps or found.layer is not None else None


def _private(graph: Graph, tensor: int) -> bool:
    """Whether an activation is no input or output, and one operator alone reads it."""
    return tensor in graph.producer and tensor not in graph.outputs and len(graph.consumers[tensor]) == 1


def _dense(graph: Graph, op: Operator) -> bool:
    if op.op != "FULLY_CONNECTED" or op.options.get("fused_activation_function", "NONE") != "NONE":
        return False
    constants = [t for t in weight_slots(graph, op) if t >= 0]
    return all(graph.tensors[t].is_constant and len(graph.consumers[t]) == 1 for t in constants)


def _may_be_unlike(graph: Graph, ending: _Ending) -> bool:
    """Whether the numbers of a dense layer leave columns of unlike size possible: no run is spent on others."""
    assert ending.layer is not None
    weight, bias = weight_slots(graph, ending.layer)
    rows = np.linalg.norm(_data(graph, weight), axis=1)
    means = np.abs(_data(graph, bias)) if bias >= 0 else np.zeros_like(rows)
    return bool((rows > 0).any() and max(rows.max(), means.max()) >= UNLIKE / 4 * rows[rows > 0].min())


def _extremes(
    model: FloatModel, tensors: Sequence[int], dataset: Dataset, indices: Sequence[int]
) -> list[tuple[Float, Float]]:
    """Return the smallest and the largest value of each column of some activations."""
    # The graph as it is: steps of outputs have no meaning for activations.
    runner = Runner(with_outputs(model.data, tensors), threads=1)
    seen = []
    for i in indices:
        runner.run(dataset[i])
        seen.append([runner.read(int(d["index"])).reshape(-1).astype(np.float64) for d in runner.outputs])
    return [(np.min(values, axis=0), np.max(values, axis=0)) for values in zip(*seen)]


def _unlike(low: Float, high: Float) -> bool:
    """Whether the range of all columns, zero included, is far more than that of one that varies."""
    span = high - low
    if not np.isfinite(span).all() or not (span > 0).any():
        return False
    whole = max(float(high.max()), 0.0) - min(float(low.min()), 0.0)
    return bool(whole >= UNLIKE * span[span > 0].min())


def _size(low: Float, high: Float) -> tuple[Float, Float]:
    """Return the middle of each column, and the power of two that its half span is nearest to."""
    half = (high - low) / 2
    return (low + high) / 2, np.exp2(np.rint(np.log2(np.where(half > 0, half, 1.0))))


def _divide(graph: Graph, editor: Editor, layer: Operator, middle: Float, size: Float) -> None:
    """Let a dense layer give ``(y - middle) / size`` where it gave ``y``."""
    weight, bias = weight_slots(graph, layer)
    editor.set_constant(weight, (_data(graph, weight) / size[:, None]).astype(np.float32))
    offsets = _data(graph, bias) if bias >= 0 else np.zeros_like(middle)
    values = ((offsets - middle) / size).astype(np.float32)
    if bias >= 0:
        editor.set_constant(bias, values)
    else:
        editor.node(layer.index).inputs = np.array([*layer.inputs[:2], editor.constant(values)], np.int32)


def _data(graph: Graph, tensor: int) -> Float:
    found = graph.tensors[tensor].data
    assert found is not None
    return found.astype(np.float64)
