"""Classification: one score a class, and the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from qedge.processing.spec import Postprocess, is_int, require

if TYPE_CHECKING:
    import numpy.typing as npt

FORMS = ("auto", "probabilities", "logits", "sigmoid")


class Classify(Postprocess):
    """Return the scores of all classes.

    Args:
        form: what the output holds: ``probabilities`` (taken as they are), ``logits`` (softmax is applied),
            ``sigmoid`` (independent logits, the logistic function is applied) or ``auto``: logits where a
            value is outside [0, 1] or the values do not add up to 1, probabilities otherwise. One single
            value is the probability of the second of two classes.
        output: which of the model's outputs.
    """

    kind: ClassVar[str] = "classify"

    form: str = "auto"
    output: int = 0

    def __post_init__(self) -> None:
        require(self.form in FORMS, "form", self.form, f"one of {', '.join(FORMS)}")
        require(is_int(self.output) and self.output >= 0, "output", self.output, "an integer of at least 0")

    def apply(
        self, outputs: Sequence[npt.NDArray[np.float32]], labels: Sequence[str]
    ) -> list[tuple[str, float]]:
        """Return (label, score) of every class, the best first."""
        return top(self.scores(outputs), labels)

    def scores(self, outputs: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """Return one score a class: float32 (classes,)."""
        values = np.asarray(outputs[self.output], np.float32).reshape(-1)
        form = self.form
        if form == "auto":
            form = "probabilities" if _are_probabilities(values) else "logits"
        if values.size == 1:
            yes = values if form == "probabilities" else sigmoid(values)
            return np.concatenate([1 - yes, yes])
        if form == "logits":
            return softmax(values)
        return sigmoid(values) if form == "sigmoid" else values


def _are_probabilities(values: npt.NDArray[np.float32]) -> bool:
    """Whether the values look like a softmax's; int8 rounds each by up to 1/512."""
    inside = bool(values.min() >= 0 and values.max() <= 1)
    return inside and (values.size == 1 or abs(float(values.sum()) - 1) <= 0.05 + values.size / 512)


def softmax(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return ``exp(v) / sum(exp(v))`` along the last axis.

    >>> softmax(np.float32([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    shifted: npt.NDArray[np.float32] = np.exp(values - values.max(axis=-1, keepdims=True))
    shifted /= shifted.sum(axis=-1, keepdims=True)
    return shifted


def sigmoid(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return ``1 / (1 + exp(-v))``, without overflow.

    >>> sigmoid(np.float32([0.0, -1000.0])).tolist()
    [0.5, 0.0]
    """
    result: npt.NDArray[np.float32] = 0.5 * (1 + np.tanh(0.5 * values))
    return result.astype(np.float32, copy=False)


def top(
    scores: npt.NDArray[np.float32], labels: Sequence[str], k: int | None = None
) -> list[tuple[str, float]]:
    """Return the ``k`` best (label, score), the best first, ties in the order of the classes.

    A class without a label is called by its number.

    >>> top(np.float32([0.25, 0.75]), ["no", "yes"], 1)
    [('yes', 0.75)]
    """
    order = np.argsort(-scores, kind="stable")[:k]
    return [(labels[i] if i < len(labels) else str(i), float(scores[i])) for i in order]
