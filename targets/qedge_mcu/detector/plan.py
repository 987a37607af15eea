"""What the C of a detector's post-processing computes with: codes, tables and whole numbers, from the stated form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qedge import quantmath
from qedge.graph import Graph, Tensor
from qedge.processing.affine import OUTPUTS_KEY, finishes_in
from qedge.processing.classify import sigmoid
from qedge.processing.detect import Detect
from qedge.processing.detection.grids import least_logit
from qedge.processing.spec import Postprocess

PIXEL = 16
"""Parts of a pixel in which boxes are told."""
MOST_SIDE = 1024
"""Largest side of the model's input: a box that passes it by as much again fits int16."""
CANDIDATES = 64
MOST_CELLS = 1024
"""Cells of a grid of classes whose patches are told apart on the stack."""
CODES = np.arange(-128, 128)
IOU_BITS = 16
DISTANCE_BITS = 16


@dataclass(frozen=True)
class Scores:
    """An output of class scores.

    Args:
        output: position among the model's outputs.
        classes: channels of a place.
        least: code from which a score reaches the threshold; 128: none does.
        table: score of each code from ``least`` on, 0 to 65535 for 0 to 1, uint16.
    """

    output: int
    classes: int
    least: int
    table: npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Distances:
    """An output of distances from a place to the four sides, in strides.

    Args:
        output: position among the model's outputs.
        bins: of each distance's distribution; 1: the distances themselves.
        zero_point: of plain distances.
        multiplier: of plain distances: ``PIXEL``ths of a pixel a step, in units of 2^-16.
        table: of distributions: the weight of a bin by how many codes it lies below the highest one, uint16.
    """

    output: int
    bins: int
    zero_point: int
    multiplier: int
    table: npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Level:
    """One grid of places of an anchor-free head."""

    height: int
    width: int
    stride: int
    scores: Scores
    distances: Distances


@dataclass(frozen=True)
class Grid:
    """A grid of classes; ``first`` is the first channel that is a class of objects."""

    height: int
    width: int
    first: int
    scores: Scores


@dataclass(frozen=True)
class Plan:
    """Everything that the C has as constants; either ``levels`` or ``grid``.

    Args:
        height, width: of the model's input, in pixels.
        limit: most objects.
        candidates: most places that suppression looks at.
        iou: overlap from which a box hides another one, in units of 2^-16; None: nothing is suppressed.
        per_class: whether only boxes of the same class hide each other.
    """

    height: int
    width: int
    limit: int
    candidates: int
    iou: int | None = None
    per_class: bool = True
    levels: tuple[Level, ...] = ()
    grid: Grid | None = None


def plan(graph: Graph, postprocess: Postprocess | None) -> Plan | None:
    """Return the plan of a detector in integers; None where there is none.

    There is one for ``yolov8`` with its outputs a level, and for ``fomo`` without softmax, all outputs int8 and the
    input at most 1024 pixels wide and high.
    """
    if not isinstance(postprocess, Detect) or max(postprocess.input_size) > MOST_SIDE:
        return None
    if postprocess.score_shift or postprocess.turned:
        return None
    makers = {"yolov8": _anchor_free, "fomo": _grid}
    maker = makers.get(postprocess.form)
    return None if maker is None else maker(graph, postprocess)


def _anchor_free(graph: Graph, spec: Detect) -> Plan | None:
    if not spec.box_outputs or spec.channel_axis != -1 or len(spec.box_outputs) != len(spec.strides):
        return None
    if spec.cell_middle != 0.5 or spec.each != 1 or spec.clipped or spec.object_outputs:
        return None
    levels = []
    for box, score, stride in zip(spec.box_outputs, spec.score_outputs, spec.strides):
        scores, distances = _scores(graph, score, spec), _distances(graph, box, spec.bins, stride)
        if scores is None or distances is None or stride != int(stride):
            return None
        height, width = (-(-int(side) // int(stride)) for side in spec.input_size)
        if graph.tensors[graph.outputs[score]].elements != height * width * scores.classes:
            return None
        levels.append(Level(height, width, int(stride), scores, distances))
    iou = round(spec.iou * (1 << IOU_BITS)) if spec.suppress else None
    most = min(CANDIDATES, spec.candidates)
    return Plan(
        int(spec.input_size[0]), int(spec.input_size[1]), min(spec.limit, most), most, iou, spec.per_class,
        levels=tuple(levels),
    )  # fmt: skip


def _grid(graph: Graph, spec: Detect) -> Plan | None:
    scores = _scores(graph, spec.scores_output, spec)
    if scores is None:
        return None
    shape = graph.tensors[graph.outputs[scores.output]].shape
    if len(shape) != 4 or shape[1] * shape[2] > MOST_CELLS:
        return None
    grid = Grid(shape[1], shape[2], int(spec.background), scores)
    height, width = (int(side) for side in spec.input_size)
    return Plan(height, width, min(spec.limit, CANDIDATES), CANDIDATES, grid=grid)


def _int8(graph: Graph, output: int) -> Tensor | None:
    """Return an output with codes of one scale; None for any other, and where a softmax is left to the reader."""
    if output >= len(graph.outputs) or output in finishes_in(graph.metadata.get(OUTPUTS_KEY, b"")):
        return None
    tensor = graph.tensors[graph.outputs[output]]
    plain = tensor.quantization is not None and not tensor.quantization.per_channel
    return tensor if tensor.dtype == "int8" and plain else None


def _scores(graph: Graph, output: int, spec: Detect) -> Scores | None:
    tensor = _int8(graph, output)
    if tensor is None or tensor.quantization is None or spec.score_form == "softmax":
        return None
    real = quantmath.dequantize(CODES, *tensor.quantization.scalar)
    logits = spec.score_form == "sigmoid"
    scores = sigmoid(real) if logits else real
    reached = CODES[real >= (least_logit(spec.threshold) if logits else spec.threshold)]
    least = int(reached[0]) if reached.size else 128
    table = np.clip(np.rint(scores[least <= CODES].astype(np.float64) * 65536), 0, 65535)
    return Scores(output, tensor.shape[-1], least, table.astype(np.uint16))


def _distances(graph: Graph, output: int, bins: int, stride: float) -> Distances | None:
    tensor = _int8(graph, output)
    if tensor is None or tensor.quantization is None or tensor.shape[-1] != 4 * bins:
        return None
    scale, zero_point = tensor.quantization.scalar
    # So that the weighted sum of all bins in parts of a pixel fits uint32.
    highest = min(65535, ((1 << 32) - 1) // (bins * (bins - 1) // 2 * int(stride) * PIXEL + bins))
    weights = np.rint(highest * np.exp(-np.float64(scale) * np.arange(256)))
    multiplier = round(float(scale) * stride * PIXEL * (1 << DISTANCE_BITS))
    if bins == 1 and multiplier >= 1 << 31:
        return None
    return Distances(output, bins, int(zero_point), multiplier, weights.astype(np.uint16))
