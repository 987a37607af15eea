"""The float model that everything here starts from: static, one subgraph, with a signature."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qedge.errors import ModelError
from qedge.graph import Graph
from qedge.graph.broken import check_constants
from qedge.graph.edit import Editor
from qedge.processing.affine import INPUTS_KEY, InputStep, note_of

STEPS_PER_OCTAVE = 8
STEPS_KEY = "qedge.equalization"


@dataclass(frozen=True)
class FloatModel:
    """A float ``.tflite`` that is ready to be calibrated.

    Args:
        data: its bytes.
        graph: the read-only view of them.
        steps: by name of an activation, how much smaller equalisation made each channel; see :func:`factor_of`.
    """

    data: bytes
    graph: Graph
    steps: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def from_bytes(cls, data: bytes) -> FloatModel:
        """Return the model; its batch becomes static.

        Raises:
            ModelError: no model, one that is quantised already, one with control flow, or with weights that are NaN.
        """
        graph = Graph.from_bytes(data, "the float model")
        loops = [op.label for op in graph.operators if op.op in ("WHILE", "IF", "CALL_ONCE")]
        if loops:
            raise ModelError(
                f"the float model has control flow: {', '.join(loops)}; expected plain operators",
                hint="unroll the recurrent layer (Keras: unroll=True) and convert again",
            )
        for t in graph.inputs:
            tensor = graph.tensors[t]
            pixels = tensor.dtype == "uint8" and {op.op for op in graph.consumers[t]} == {"CAST"}
            if tensor.dtype in ("int8", "uint8", "int16") and not pixels:
                known = (
                    "quantised already" if tensor.quantization else "integers without a scale and zero point"
                )
                raise ModelError(
                    f"input {tensor.name!r} is {tensor.dtype}: {known}; expected float32",
                    hint="pass the float model that it was made from",
                )
        for tensor in graph.tensors:
            if tensor.is_constant and tensor.quantization is not None and tensor.dtype == "int8":
                raise ModelError(
                    f"tensor {tensor.name!r} holds int8 weights: the model is dynamic-range quantised",
                    hint="pass the float model, converted without optimizations",
                )
        check_constants(graph)
        return cls(data, graph)

    @cached_property
    def activations(self) -> tuple[int, ...]:
        """Float tensors that take a value when the model runs, graph inputs first, in execution order."""
        made = [t for op in self.graph.operators for t in op.outputs]
        everything = dict.fromkeys([*self.graph.inputs, *made])
        return tuple(t for t in everything if self.graph.tensors[t].dtype == "float32")

    def editor(self) -> Editor:
        """Return a fresh editor of the model, every shape static as it stands."""
        editor = Editor.from_bytes(self.data)
        editor.forget_dynamic()
        return editor


def factor_of(steps: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the factors that equalisation takes: an eighth of an octave a step, so that a byte holds one.

    >>> factor_of([0, 8, -16]).tolist()
    [1.0, 2.0, 0.25]
    """
    return np.exp2(np.asarray(steps, np.float64) / STEPS_PER_OCTAVE)


def encode_steps(steps: Mapping[int, Sequence[int]]) -> bytes:
    """Return the steps by tensor as a model's metadata holds them: counts in JSON, a newline, signed bytes."""
    counts = json.dumps({t: len(values) for t, values in steps.items()}, separators=(",", ":"))
    return counts.encode() + b"\n" + np.array([v for s in steps.values() for v in s], np.int8).tobytes()


def read_steps(graph: Graph) -> dict[int, npt.NDArray[np.int8]]:
    """Return what :func:`encode_steps` stored in a quantised model; nothing for one made elsewhere."""
    counts, _, raw = graph.metadata.get(STEPS_KEY, b"").partition(b"\n")
    found: dict[int, npt.NDArray[np.int8]] = {}
    values = np.frombuffer(raw, np.int8)
    for tensor, count in json.loads(counts or b"{}").items():
        found[int(tensor)], values = values[:count], values[count:]
    return found


def with_input_steps(model: FloatModel, steps: Mapping[int, InputStep]) -> FloatModel:
    """Return the model that notes what is done to its inputs in front of it, by their position."""
    editor = model.editor()
    editor.add_metadata(INPUTS_KEY, note_of(steps))
    return FloatModel.from_bytes(editor.pack())
