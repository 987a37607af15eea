"""A softmax at the end over so many classes that its int8 step flattens them: left to whoever reads the output.

The kernel writes probabilities in steps of 1/256. Over thousands of classes the best one may have a few steps, or none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qedge.datasets.protocol import Dataset
from qedge.processing.affine import OUTPUTS_KEY, finishes_note
from qedge.quantize.interpreter import Runner
from qedge.quantize.model import FloatModel

FEWEST_CLASSES = 100
FEW_STEPS = 32 / 256  # a best class below it has under 32 steps
SHARE = 0.1  # of the samples whose best class is that low
LOOKED_AT = 64


def leave_softmax(model: FloatModel, dataset: Dataset, indices: Sequence[int]) -> FloatModel:
    """Return the model without its last softmax where int8 would flatten it; the model notes that it is to be done.

    Args:
        indices: samples, of which some are looked at.
    """
    graph = model.graph
    last = graph.producer.get(graph.outputs[0])
    if len(graph.outputs) != 1 or last is None or last.op != "SOFTMAX" or last.options.get("beta") != 1.0:
        return model
    shape = graph.tensors[graph.outputs[0]].shape
    if len(shape) != 2 or shape[-1] < FEWEST_CLASSES or graph.consumers[graph.outputs[0]]:
        return model
    runner = Runner(model.data, threads=1)
    best = [float(runner.predict(dataset[i])[0].max()) for i in indices[:LOOKED_AT]]
    if np.mean(np.asarray(best) < FEW_STEPS) < SHARE:
        return model
    editor = model.editor()
    editor.remove([editor.node(last.index)])
    editor.outputs = [last.inputs[0]]
    editor.sign(list(zip(graph.input_names, graph.inputs)), [(graph.output_names[0], last.inputs[0])])
    editor.add_metadata(OUTPUTS_KEY, finishes_note({0: "softmax"}))
    editor.sweep()
    return FloatModel.from_bytes(editor.pack())
