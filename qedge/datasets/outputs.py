"""What each output of a model is: what its labels can be, and how two models are compared on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qedge.graph import Graph
from qedge.processing.affine import OUTPUTS_KEY, finishes_in

Ending = Literal["softmax", "sigmoid", "linear", "index"]

# Operators behind which an output is still what it was ahead of them.
_CARRIERS = ("RESHAPE", "QUANTIZE", "DEQUANTIZE", "SQUEEZE", "EXPAND_DIMS")


@dataclass(frozen=True)
class OutputInfo:
    """One output of a model.

    Args:
        name: as a caller names it.
        shape: static, with the batch of 1 in front.
        ending: what makes its values: ``softmax`` (probabilities that add up to 1), ``sigmoid`` (one
            probability a value), ``index`` (whole numbers), ``linear`` (everything else).
        reconstruction: whether it is as large as an input, and so no score of classes unless its ending says so.
    """

    name: str
    shape: tuple[int, ...]
    ending: Ending
    reconstruction: bool = False

    @property
    def size(self) -> int:
        """Number of values of one sample.

        >>> OutputInfo("scores", (1, 4), "softmax").size
        4
        """
        total = 1
        for dimension in self.shape:
            total *= dimension
        return total

    @property
    def is_vector(self) -> bool:
        """Whether all values lie along one axis.

        >>> OutputInfo("map", (1, 8, 8, 4), "linear").is_vector
        False
        """
        return self.size == max(self.shape, default=1)

    @property
    def classes(self) -> int | None:
        """How many classes its scores tell apart when it scores any; None for a map, an index or a reconstruction.

        A single value tells two apart.
        """
        if self.ending == "index" or not self.is_vector or (self.ending == "linear" and self.reconstruction):
            return None
        return self.size if self.size > 1 else 2


def output_infos(graph: Graph) -> tuple[OutputInfo, ...]:
    """Return what each output of a model is, float or quantised, in order."""
    finishes = finishes_in(graph.metadata.get(OUTPUTS_KEY, b""))
    sizes = {graph.tensors[t].elements for t in graph.inputs}
    return tuple(
        OutputInfo(
            name,
            graph.tensors[t].shape,
            "softmax" if finishes.get(k) == "softmax" else _ending(graph, t),
            graph.tensors[t].elements > 1 and graph.tensors[t].elements in sizes,
        )
        for k, (t, name) in enumerate(zip(graph.outputs, graph.output_names))
    )


def _ending(graph: Graph, tensor: int) -> Ending:
    if graph.tensors[tensor].dtype in ("int32", "int64", "bool"):
        return "index"
    maker = graph.producer.get(tensor)
    while maker is not None and maker.op in _CARRIERS:
        maker = graph.producer.get(maker.inputs[0])
    if maker is None:
        return "linear"
    if maker.op in ("SOFTMAX", "LOG_SOFTMAX"):
        # Reshaped so that the classes no longer lie along the last axis, it is a row of numbers.
        return (
            "softmax"
            if graph.tensors[maker.outputs[0]].shape[-1:] == graph.tensors[tensor].shape[-1:]
            else "linear"
        )
    if maker.op == "LOGISTIC":
        return "sigmoid"
    if maker.op == "CONCATENATION":
        parts: set[Ending] = {_ending(graph, t) for t in maker.inputs}
        return "sigmoid" if parts == {"sigmoid"} else "linear"
    return "linear"


def named(outputs: Sequence[OutputInfo], k: int) -> str:
    """Return how messages call output ``k``: by its name, where there are several.

    >>> named([OutputInfo("scores", (1, 4), "softmax")], 0)
    'the output'
    """
    return "the output" if len(outputs) == 1 else f"the output {outputs[k].name!r}"
