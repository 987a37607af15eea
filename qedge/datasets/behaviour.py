"""Checks that ask the float model: does it behave on these samples as a trained model does?

A trained classifier reacts to its inputs and is mostly sure of itself. Samples in the wrong units leave a network
almost indifferent to them (far too small) or saturate it (far too large), and a change of the units cures that.
Swapped colours make a model that knows colours less sure than the same samples swapped back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qedge.datasets.examine import Examined
from qedge.findings import Finding
from qedge.graph import Graph
from qedge.runtime import litert

Array = npt.NDArray[np.float32]
Change = Callable[[Array], npt.NDArray[np.floating]]

WORK = 3_000_000_000  # multiplications for one way to see the samples: below a second
_ALIVE = 0.2  # nats: a network that reacts at all varies its log probabilities by more (measured: 0.44 up)
_DEAD = 0.15  # and one that gets inputs 255 times too small by less (measured: 0.06 at most)


@dataclass(frozen=True)
class _Scale:
    """Units in which images or clips come, and other units that they could have been meant in.

    The first of ``others`` is the one that an unlabelled set is judged by.
    """

    name: str
    others: Mapping[str, Change]
    large: bool


def check(seen: Examined, float_model: bytes) -> Iterator[Finding]:
    """Return what the model's reaction says about units and colours; nothing for models without classes."""
    if len(seen.inputs) != 1 or not (_is_color(seen) or _scale(seen)):
        return
    model = _Model(float_model)
    given = model.run(seen, lambda x: x)
    if given is None:
        return
    units = list(_units(seen, model, given))
    yield from units
    if not units:
        yield from _colors(seen, model, given)


class _Model:
    """The float model; a large one sees fewer samples, as many as take about :data:`WORK`."""

    def __init__(self, data: bytes) -> None:
        inputs, outputs = litert.tensor_specs(data)
        self._engine = litert.open_engine(data, inputs, outputs)
        self._input = inputs[0]
        self._count = int(np.clip(WORK // max(1, _multiplications(data)), 16, 200))
        self._form: str | None = None

    def run(self, seen: Examined, change: Change) -> Array | None:
        """Return probabilities, (samples, places, classes), for changed samples; None without classes.

        None too where the model overflows.

        What the output is, probabilities or logits, is told from all samples of the first run together: every
        sample and every further run is read alike.
        """
        raw: list[list[Array | None]] = []
        for sample in seen.samples[: self._count]:
            values = change(sample[0]).astype(self._input.dtype).reshape(self._input.shape)
            raw.append([_places(output, sample[0].size) for output in self._engine.run([values])])
        for output in zip(*raw):
            rows = [places for places in output if places is not None]
            if rows:
                values = np.stack(rows)
                if not np.isfinite(values).all():
                    return None  # a decoding with exponents in it, on values far from its own
                self._form = self._form or _form(values)
                return _probabilities(values, self._form)
        return None


def _multiplications(data: bytes) -> int:
    """Return about how many multiplications one inference takes: those with constant weights."""
    graph, total = Graph.from_bytes(data), 0
    for op in graph:
        weights = next((t for t in graph.input_tensors(op)[1:2] if t is not None and t.is_constant), None)
        if weights is None or weights.dtype != "float32" or len(weights.shape) < 2:
            continue
        output = graph.output_tensors(op)[0]
        channels = weights.shape[3] if op.op == "DEPTHWISE_CONV_2D" else weights.shape[0]
        total += output.elements * (weights.elements // max(1, channels))
    return total


def _places(output: npt.NDArray[np.generic], input_size: int) -> Array | None:
    """Return (places, classes) of an output that can score classes, at most about 64 places of it.

    None for one that cannot: an output as large as the input is a reconstruction, not a classification.
    """
    values = np.asarray(output, np.float32)
    if values.ndim < 2 or values.size == input_size or values.shape[-1] > 4096:
        return None
    values = values.reshape(-1, values.shape[-1])
    return values[:: max(1, len(values) // 64)]


def _form(values: Array) -> str:
    """Return what (samples, places, classes) are: ``probabilities``, ``decisions`` (one each) or ``logits``."""
    if values.min() >= 0 and values.max() <= 1:
        sums = values.shape[2] > 1 and np.allclose(values.sum(axis=2), 1, atol=0.02)
        return "probabilities" if sums else "decisions"
    return "logits"


def _probabilities(values: Array, form: str) -> Array:
    """Return probabilities, (samples, places, classes), for the scores of all samples."""
    if form == "probabilities":
        return values
    if form == "decisions" or values.shape[2] == 1:
        values = values.reshape(len(values), -1, 1)
        p = np.clip(values, 0, 1) if form == "decisions" else 1 / (1 + np.exp(-np.clip(values, -60, 60)))
        return np.concatenate([1 - p, p], axis=2).astype(np.float32)
    raised = np.exp(values - values.max(axis=2, keepdims=True))
    return np.asarray(raised / raised.sum(axis=2, keepdims=True), np.float32)


def _entropy(p: Array) -> npt.NDArray[np.float64]:
    """Return the mean entropy of each sample in nats, (samples,)."""
    q = np.clip(p.astype(np.float64), 1e-9, 1)
    return np.asarray(-(q * np.log(q)).sum(axis=2).mean(axis=1))


def _reaction(p: Array) -> float:
    """Return how much the outputs differ between samples: the mean standard deviation of log p, in nats."""
    return float(np.log(np.clip(p, 1e-12, 1)).std(axis=0).mean())


def _scale(seen: Examined) -> _Scale | None:
    """Return the units that the samples seem to be in, None when they are nothing known."""
    low, high = float(seen.low[:, 0].min()), float(seen.high[:, 0].max())
    shape, whole = seen.inputs[0].shape, bool(seen.integer[:, 0].all())
    image = len(shape) == 4 and shape[3] in (1, 3) and min(shape[1:3]) >= 8
    clip = max(shape) >= 1000 and max(shape) == int(np.prod(shape))
    if image and low >= 0 and 20 < high <= 255:
        small: dict[str, Change] = {
            "0 to 1": lambda x: x / 255,
            "-1 to 1": lambda x: x / 127.5 - 1,
            "mean 0 and deviation 1": lambda x: (x - 118) / 58,
        }
        return _Scale("0 to 255", small, True)
    if clip and whole and low < -1000 and high > 1000:
        return _Scale("16-bit integers", {"-1 to 1": lambda x: x / 32768}, True)
    if image and low >= 0 and 0 < high <= 1:
        others: dict[str, Change] = {"0 to 255": lambda x: x * 255, "-1 to 1": lambda x: x * 2 - 1}
        return _Scale("0 to 1", others, False)
    if image and -1 <= low < -0.5 and high <= 1:
        others = {"0 to 255": lambda x: (x + 1) * 127.5, "0 to 1": lambda x: (x + 1) / 2}
        return _Scale("-1 to 1", others, False)
    if image and shape[3] == 3 and -3 < low < -1 and high < 3:
        return _Scale("mean 0 and deviation 1", {"0 to 255": lambda x: x * 58 + 118}, False)
    if clip and -1 <= low < 0 < high <= 1 and not whole:
        return _Scale("-1 to 1", {"16-bit integers": lambda x: x * 32768}, False)
    return None


def _is_color(seen: Examined) -> bool:
    shape = seen.inputs[0].shape
    return len(shape) == 4 and shape[3] == 3 and min(shape[1:3]) >= 8


def _units(seen: Examined, model: _Model, given: Array) -> Iterator[Finding]:
    """Compare the model's reaction to the samples with that to the same samples in other units."""
    scale = _scale(seen)
    if scale is None or len(given) < 3:
        return
    likely: dict[str, float] = {}
    for place, (name, change) in enumerate(scale.others.items()):
        other = model.run(seen, change)
        if other is None:
            continue
        gained = _gained(seen, given, other)
        # A network whose answers do not depend on the scale has no units to be wrong in.
        moved = float(np.abs(given - other).sum(axis=2).mean()) > 0.1
        if gained > 3:
            likely[name] = gained
        elif place == 0 and moved and _other_units(given, other, scale.large):
            likely[name] = 0.0
    if not likely:
        return
    low, high = float(seen.low[:, 0].min()), float(seen.high[:, 0].max())
    by_labels = any(likely.values())
    if by_labels:
        name = max(likely, key=lambda n: likely[n])
        why = f"the labels fit much better when they are read as {name}"
    else:
        name = "0 to 1 or -1 to 1" if scale.name == "0 to 255" else next(iter(likely))
        how = "they saturate the model" if scale.large else "the model hardly reacts to them"
        why = f"{how}, which behaves as a trained one on values in {name}"
    yield Finding(
        "warning",
        "normalization",
        f"the samples span {low:.4g} to {high:.4g} ({scale.name}): {why}",
        f"state the normalisation that the model was trained with: values in {name}, not in {scale.name}",
        tensor=seen.inputs[0].name,
    )


def _other_units(given: Array, other: Array, large: bool) -> bool:
    """Return whether the reactions speak for units 255 times smaller (``large``) or larger."""
    before, after = _reaction(given), _reaction(other)
    if large:
        saturated = before > 2 * after or _entropy(given).mean() < 0.25 * _entropy(other).mean()
        return after > _ALIVE and bool(saturated)
    return before < _DEAD and after > 20 * before and after > 0.5


def _colors(seen: Examined, model: _Model, given: Array) -> Iterator[Finding]:
    """Compare how sure the model is of the samples and of the same with the first and last channel swapped."""
    if not _is_color(seen) or len(given) < 10:
        return
    swapped = model.run(seen, lambda x: np.ascontiguousarray(x[..., ::-1]))
    if swapped is None:
        return
    before, after = _entropy(given), _entropy(swapped)
    most = float(np.log(given.shape[2]))
    # A model that knows the samples in neither order says nothing about the order.
    if not (after.mean() < 0.6 * most and before.mean() - after.mean() > max(0.02, 0.15 * before.mean())):
        return
    surer = _t(before - after)
    evidence = surer + _label_evidence(seen, given, swapped)
    images = [sample[0][0] for sample in seen.samples[: len(given)]]
    # Red outweighs blue in most photographs: a weak witness, never enough by itself.
    bluish = _t(np.array([float((i[..., 2] - i[..., 0]).mean()) for i in images]))
    evidence += 0.5 * float(np.clip(bluish, -4, 4))
    if surer > 1 and evidence > 3.5:
        message = (
            f"the model is surer of the images with red and blue swapped (entropy {after.mean():.2f} in place of"
            f" {before.mean():.2f} nats on {len(given)} samples): they seem to be in the other channel order"
        )
        hint = "state the order that the model was trained with: --color rgb or --color bgr"
        yield Finding("warning", "channel-order", message, hint, tensor=seen.inputs[0].name)


def _t(differences: npt.NDArray[np.floating]) -> float:
    """Return the t statistic of paired differences; 0 when all are 0."""
    spread = float(differences.std(ddof=1))
    return float(differences.mean()) / (spread / len(differences) ** 0.5) if spread > 0 else 0.0


def _labels(seen: Examined, given: Array) -> npt.NDArray[np.int64] | None:
    """Return the labels of the samples that were run, None when they are not classes of the output."""
    labels = seen.kept_labels
    if labels is None or given.shape[1] != 1 or labels.max() >= given.shape[2]:
        return None
    labels = labels[: len(given)]
    return labels if len(np.unique(labels)) > 1 else None


def _gained(seen: Examined, given: Array, other: Array) -> float:
    """Return how clearly more samples are classified right after the change, in standard deviations.

    McNemar's test, and 0 unless the accuracy rises by 10 points.
    """
    labels = _labels(seen, given)
    if labels is None:
        return 0.0
    before, after = (p[:, 0].argmax(axis=1) == labels for p in (given, other))
    better, worse = int((after & ~before).sum()), int((before & ~after).sum())
    return (better - worse) / (better + worse) ** 0.5 if better - worse > 0.1 * len(labels) else 0.0


def _label_evidence(seen: Examined, given: Array, other: Array) -> float:
    """Return how much the labels speak for the changed samples, as t statistic of the log probabilities.

    It is 0 when labels are unknown, or fit no better than by chance: in another order than the outputs.
    """
    labels = _labels(seen, given)
    if labels is None:
        return 0.0
    right = float((other[:, 0].argmax(axis=1) == labels).mean())
    usual = float(np.bincount(labels).max()) / len(labels)
    if right < min(2 * usual, usual + 0.5 * (1 - usual)):
        return 0.0
    rows = np.arange(len(given))
    before, after = (np.log(np.clip(p[rows, 0, labels], 1e-6, 1)) for p in (given, other))
    return _t(after - before)
