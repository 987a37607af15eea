"""What each layer of a quantised model costs, on its own and together with all before it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Dataset
from qedge.errors import DataError
from qedge.graph import Graph, Operator
from qedge.graph.edit import Editor
from qedge.quantize.calibrate import Progress
from qedge.quantize.compare import Sqnr
from qedge.quantize.histogram import Histogram
from qedge.quantize.interpreter import Runner
from qedge.quantize.model import FloatModel
from qedge.quantize.trace import Trace, single_operator

Array = npt.NDArray[Any]
SAMPLES = 32
BARS = 64


@dataclass(frozen=True)
class LayerError:
    """One layer of a quantised model, measured against the float model.

    Args:
        index: position of its operator in the quantised model.
        op: TFLite's name.
        tensor: name of its output.
        sqnr_db: SQNR of its output in the running model: everything before it included.
        isolated_db: SQNR of its output when its inputs are the float model's, rounded to their codes.
        low: smallest value in the float model.
        high: largest value.
        represented_low: smallest value that its codes represent.
        represented_high: largest value.
        saturated: share of the float values outside the represented range.
        dead: channels (last axis) whose float value never changes.
        channels: number of channels.
        histogram: counts of the float values over ``BARS`` even bars from ``low`` to ``high``.
    """

    index: int
    op: str
    tensor: str
    sqnr_db: float
    isolated_db: float
    low: float
    high: float
    represented_low: float
    represented_high: float
    saturated: float
    dead: int
    channels: int
    histogram: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return all fields as a JSON object; an infinite SQNR as None."""
        fields = asdict(self)
        for key in ("sqnr_db", "isolated_db"):
            fields[key] = fields[key] if math.isfinite(fields[key]) else None
        return fields


def layer_errors(
    float_model: bytes,
    int8_model: bytes,
    dataset: Dataset,
    progress: Progress | None = None,
    *,
    indices: Iterable[int] | None = None,
    threads: int = 2,
) -> list[LayerError]:
    """Return every layer that both models have, in execution order.

    Layers are matched by the names of their outputs. What equalisation moved between layers is undone first.

    Args:
        indices: samples to measure with; the first 32 by default.

    Raises:
        DataError: there are no samples.
    """
    chosen = list(range(min(SAMPLES, len(dataset))) if indices is None else indices)
    if not chosen:
        raise DataError(
            "there are no samples to measure layers with", hint="pass a folder or file with samples"
        )
    model = FloatModel.from_bytes(float_model)
    graph = Graph.from_bytes(int8_model)
    editor = Editor.from_bytes(int8_model)
    trace = Trace(model, int8_model, threads=threads)
    of_name = {t.name: t.index for t in graph.tensors}
    floats = {model.graph.tensors[t].name: t for t in (*model.graph.inputs, *trace.tensors)}
    measured = {t: _Layer(graph, of_name[model.graph.tensors[t].name], floats, editor) for t in trace.tensors}
    for done, i in enumerate(chosen):
        sample = dataset[i]
        real = dict(zip(model.graph.inputs, sample))
        entry = dict(zip(graph.inputs, trace.entry(sample)))
        for t, values, found in trace.run(sample):
            real[t] = values
            measured[t].add(values, found)
        for layer in measured.values():
            layer.isolate(real, entry, trace.factors)
        if progress is not None:
            progress("layers", done + 1, len(chosen))
    return [layer.result() for layer in measured.values()]


class _Layer:
    """Adds up one :class:`LayerError`."""

    def __init__(self, graph: Graph, tensor: int, floats: dict[str, int], editor: Editor) -> None:
        self.tensor = graph.tensors[tensor]
        self.op: Operator = graph.producer[tensor]
        self.output = self.op.outputs.index(tensor)
        self.running, self.isolated, self.histogram = Sqnr(), Sqnr(), Histogram()
        self.inside, self.values = 0, 0
        self.first: Array | None = None
        self.alive: Array | None = None
        inputs = [t for t in self.op.inputs if t >= 0 and not graph.tensors[t].is_constant]
        # A requantised input ("name/int8") stands for the activation that it was made from.
        names = [graph.tensors[t].name.rsplit("/int", 1)[0] for t in inputs]
        self.sources = [(floats.get(n), of) for n, of in zip(names, inputs)]
        self.shapes = {t: graph.tensors[t].shape for t in inputs}
        self.runner: Runner | None = None
        if all(s is not None or t in graph.inputs for s, t in self.sources) and self.op.op != "DEQUANTIZE":
            self.runner = Runner(
                single_operator(editor, self.op.index, list(dict.fromkeys(inputs))), threads=1
            )
        self.current: Array | None = None

    def add(self, real: Array, found: Array) -> None:
        self.current = real
        self.running.add(real, found)
        self.histogram.add(real)
        rows = real.reshape(-1, real.shape[-1]) if real.ndim else real.reshape(1, 1)
        if self.first is None or self.alive is None:
            self.first, self.alive = rows[0].copy(), np.zeros(rows.shape[-1], bool)
        self.alive |= (rows != self.first).any(axis=0)
        low, high = self._represented()
        self.inside += int(((real >= low) & (real <= high)).sum())
        self.values += real.size

    def isolate(self, real: dict[int, Array], entry: dict[int, Array], factors: dict[int, Array]) -> None:
        """Run the layer alone on the float model's values; ``entry`` has what the quantised model's inputs take."""
        if self.runner is None or self.current is None:
            return
        feed = {}
        for source, tensor in self.sources:
            if tensor in entry:
                values = entry[tensor]
            else:
                assert source is not None
                values = real[source].reshape(self.shapes[tensor])  # a mean that is flat was none
            feed[tensor] = values / factors[tensor] if tensor in factors else values
        found = self.runner.predict(list(feed.values()))[self.output]
        factor = factors.get(self.tensor.index)
        self.isolated.add(self.current, found if factor is None else found * factor)

    def result(self) -> LayerError:
        low, high = self._represented()
        assert self.alive is not None
        return LayerError(
            index=self.op.index,
            op=self.op.op,
            tensor=self.tensor.name,
            sqnr_db=self.running.db,
            isolated_db=self.isolated.db if self.runner is not None else math.nan,
            low=self.histogram.low,
            high=self.histogram.high,
            represented_low=low,
            represented_high=high,
            saturated=1 - self.inside / self.values,
            dead=int((~self.alive).sum()),
            channels=int(self.alive.size),
            histogram=_bars(self.histogram),
        )

    def _represented(self) -> tuple[float, float]:
        """Return the range of the codes, half a step beyond them included."""
        if self.tensor.quantization is None:
            return -math.inf, math.inf
        info = np.iinfo(self.tensor.dtype)
        scale, zero = self.tensor.quantization.scalar
        return (int(info.min) - zero - 0.5) * scale, (int(info.max) - zero + 0.5) * scale


def _bars(histogram: Histogram) -> tuple[int, ...]:
    """Return the counts over even bars from the smallest to the largest value."""
    if histogram.high <= histogram.low:
        return (int(histogram.counts.sum()),) + (0,) * (BARS - 1)
    share = (histogram.centers - histogram.low) / (histogram.high - histogram.low)
    bar = np.clip((share * BARS).astype(np.int64), 0, BARS - 1)
    return tuple(int(c) for c in np.bincount(bar, weights=histogram.counts, minlength=BARS)[:BARS])
