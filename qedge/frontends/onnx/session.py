"""Running a model in onnxruntime, and inputs to run it on where nobody gave any."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.frontends.protocol import Refusal, require

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


def short(error: BaseException) -> str:
    """Return what ONNX or onnxruntime says of a fault, on one line of at most 400 characters."""
    text = re.sub(r"\s+", " ", str(error)).strip()
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    return text[:400] or type(error).__name__


class Session:
    """A model in onnxruntime, on one thread, as its author wrote it: nothing is fused."""

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        ort = require("onnxruntime", "onnxruntime")
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_cpu_mem_arena = False
        self.names = list(names)
        try:
            self._session = ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise Refusal(f"onnxruntime cannot load it: {short(error)}", _RUNS) from None

    def run(self, inputs: Mapping[str, Array]) -> list[Any]:
        """Return the values of its outputs.

        Raises:
            Refusal: onnxruntime fails.
        """
        try:
            result: list[Any] = self._session.run(self.names, dict(inputs))
        except Exception as error:
            raise Refusal(f"onnxruntime cannot run it: {short(error)}", _RUNS) from None
        return result


_RUNS = "make sure that onnxruntime runs the file: python -m pip install -U onnxruntime"


def run(model: Any, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Any]:
    """Return outputs of one run of a model."""
    return Session(model, outputs).run(inputs)


def random_inputs(
    graph: Any, shapes: Mapping[str, Shape], dtypes: Mapping[str, np.dtype[Any]], seed: int
) -> dict[str, Array]:
    """Return a random value for every input: standard normal, or integers that an embedding can look up."""
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for value in graph.input:
        shape, dtype = shapes[value.name], dtypes[value.name]
        if dtype.kind == "f":
            found[value.name] = rng.standard_normal(shape).astype(dtype)
        elif dtype.kind == "b":
            found[value.name] = rng.integers(0, 2, shape).astype(bool)
        else:
            high = _rows(graph, shapes, value.name, dtype)
            found[value.name] = rng.integers(0, high, shape).astype(dtype)
    return found


def _rows(graph: Any, shapes: Mapping[str, Shape], name: str, dtype: np.dtype[Any]) -> int:
    """Return how many rows the table has that an integer input looks up; a few where there is none."""
    names: set[str] = {name}
    least = 256 if dtype.itemsize == 1 else 0
    for node in graph.node:
        if node.op_type == "Gather" and node.input[1] in names and node.input[0] in shapes:
            rows = shapes[node.input[0]][_axis(node)]
            least = min(least, rows) if least else rows
        elif names & set(node.input) and node.op_type in _KEEPS_INDEX:
            names.update(node.output)
    return max(least, 2)


_KEEPS_INDEX: Collection[str] = {
    "Cast",
    "Reshape",
    "Unsqueeze",
    "Squeeze",
    "Flatten",
    "Transpose",
    "Identity",
    "Slice",
}


def _axis(node: Any) -> int:
    return next((int(a.i) for a in node.attribute if a.name == "axis"), 0)
