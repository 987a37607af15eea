"""A model's decoding by itself, fed with numbers of one's own: what it does to each tells what it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.errors import DataError
from qedge.graph import Graph
from qedge.graph.edit import Editor
from qedge.processing.detect import Detect
from qedge.processing.detection.grids import Candidates
from qedge.quantize.heads.tail import Tail
from qedge.quantize.heads.views import View
from qedge.quantize.interpreter import Runner

Array = npt.NDArray[Any]


class Probe:
    """What follows the last layers, as a model whose inputs are those layers' results."""

    def __init__(self, model: bytes, graph: Graph, tail: Tail) -> None:
        editor = Editor.from_bytes(model)
        operators = [graph.operators[k] for k in tail.operators]
        made = {t for op in operators for t in op.outputs}
        known = made | set(tail.tensors) | {t for t, of in enumerate(graph.tensors) if of.is_constant}
        self._shapes = {t: tuple(graph.tensors[t].shape) for t in tail.tensors}
        self._outputs = [
            t if t in made else np.zeros(graph.tensors[t].shape, np.float32) for t in graph.outputs
        ]
        self._runner = None
        if all(t in known for op in operators for t in op.inputs if t >= 0):
            ends = [t for t in graph.outputs if t in made]
            self._runner = Runner(
                editor.part([editor.node(k) for k in tail.operators], tail.tensors, ends).pack()
            )

    def boxes(self, whole: Detect, view: View | None, values: Mapping[int, Array]) -> Array | None:
        """Return the boxes that the model makes of such numbers, as (x, y, w, h) in shares of the input: (n, 4).

        None where they are none that ``whole`` reads, or no numbers, or where the tail reads the image too.

        Args:
            whole: what the outputs mean, as ``view`` puts them together.
            values: by tensor, zeros for all others.
        """
        if self._runner is None:
            return None
        given = [
            np.broadcast_to(values.get(t, np.zeros(1)), shape).astype(np.float32)
            for t, shape in self._shapes.items()
        ]
        results = iter(self._runner.predict(given))
        outputs = [next(results) if isinstance(of, int) else of for of in self._outputs]
        try:
            found = every_place(whole, outputs if view is None else view.together(outputs))
        except DataError:
            return None
        top, left, bottom, right = found.boxes.astype(np.float64).T
        made = np.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], axis=1)
        return made if np.isfinite(made).all() else None


def every_place(spec: Detect, outputs: Sequence[Array]) -> Candidates:
    """Return what each place says, in the order of places, whatever its score."""
    return spec.replace(threshold=0.0, candidates=1 << 30, limit=1 << 30).decode(outputs)


def in_order(found: Candidates, order: npt.NDArray[np.intp] | None) -> Candidates:
    """Return places in another order; as they are where ``order`` is None."""
    if order is None:
        return found
    parts = (None if part is None else part[order] for part in (found.points, found.masks, found.turned))
    return Candidates(found.boxes[order], found.classes[order], found.scores[order], *parts)
