"""Runs both models side by side and pairs up their activations by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.graph import Graph
from qedge.graph.edit import Editor
from qedge.graph.outputs import with_outputs
from qedge.quantize.interpreter import Runner, decode
from qedge.quantize.model import FloatModel, factor_of, read_steps

Array = npt.NDArray[Any]


class Trace:
    """A float model and its quantised form, with the same activations of both in sight.

    Args:
        model: the float model.
        quantised: the ``.tflite`` that was made from it; activations keep their names.
        tensors: indices of the float model's activations to look at; all that both models have by default.
    """

    def __init__(
        self, model: FloatModel, quantised: bytes, tensors: Iterable[int] | None = None, *, threads: int = 2
    ) -> None:
        graph = Graph.from_bytes(quantised)
        # By tensor of the quantised model.
        self.factors = {t: factor_of(s).astype(np.float32) for t, s in read_steps(graph).items()}
        of_name = {t.name: t.index for t in graph.tensors if t.index in graph.producer and t.name}
        wanted = [t for t in model.activations if t not in model.graph.inputs] if tensors is None else tensors
        self.tensors = [t for t in wanted if model.graph.tensors[t].name in of_name]
        self._real = Runner(with_outputs(model.data, self.tensors), threads=threads)
        self._places = [of_name[model.graph.tensors[t].name] for t in self.tensors]
        self._quantised = Runner(with_outputs(quantised, self._places), threads=threads)

    def entry(self, sample: Sequence[Array]) -> list[Array]:
        """Return what the quantised model's inputs take for a sample, in real numbers."""
        return self._quantised.stepped(sample)

    def run(self, sample: Sequence[Array]) -> Iterator[tuple[int, Array, Array]]:
        """Run one sample and give (tensor, float values, quantised values in real numbers), in order."""
        self._real.run(sample)
        self._quantised.run(sample)
        outputs = zip(self.tensors, self._places, self._real.outputs, self._quantised.outputs)
        for t, place, real, detail in outputs:
            codes = self._quantised.read(int(detail["index"]))
            found = decode(codes, detail)
            factor = self.factors.get(place)
            yield t, self._real.read(int(real["index"])), found if factor is None else found * factor


def single_operator(editor: Editor, index: int, inputs: Sequence[int]) -> bytes:
    """Return a model of the operator that had this index, with these tensors as its inputs."""
    node = editor.node(index)
    return editor.part([node], inputs, [int(t) for t in node.outputs]).pack()
