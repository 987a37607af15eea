"""Labels against what the model's outputs can say: mapped where that is certain, refused or named where it is not.

A label that is wrong without doubt (class 7 of 4, a name that no class has) is a :class:`DataError` that names
the row. Labels that may be right but say nothing of an output (an identity beside an embedding) are a warning,
and then nothing is measured by them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from qedge.datasets.outputs import OutputInfo, named
from qedge.datasets.protocol import Dataset, Truths
from qedge.datasets.relabel import Relabelled
from qedge.errors import DataError, nearest
from qedge.findings import Finding

Array = npt.NDArray[Any]

NAME_HINT = (
    "name the classes in the model's output order: --labels FILE, one a line, or class_names in the .npz"
)
ORDER_HINT = "number the classes in the order of the model's outputs, from 0"


@dataclass(frozen=True)
class RawLabels:
    """Labels as a file holds them.

    Args:
        key: the array's name: ``y``.
        values: first axis the sample; numbers or text.
        output: the output that the array's name says it is of, or None.
    """

    key: str
    values: Array
    output: str | None = None


class Unfit(Exception):
    """Labels that say nothing of an output; the message says why."""

    def __init__(self, why: str, hint: str | None = None) -> None:
        super().__init__(why)
        self.why, self.hint = why, hint


def truths_of(dataset: Dataset, infos: Sequence[OutputInfo]) -> Truths:
    """Return what each output should say, one entry a sample: None where no label says so.

    int64 class indices (0 and 1 for yes and no), bool for many labels, float64 for numbers. A dataset of class
    indices alone (``dataset.labels``) has them for the only output that tells classes apart.

    Raises:
        DataError: labels that no output can have.
    """
    given: Truths | None = getattr(dataset, "truths", None)
    if given is not None:
        return given
    nothing: list[Array | None] = [None] * len(infos)
    places = [k for k, info in enumerate(infos) if info.classes is not None or info.ending == "index"]
    if dataset.labels is not None and len(places) == 1:
        with contextlib.suppress(Unfit):
            nothing[places[0]] = fit(dataset.labels, infos, places[0], None, dataset.source)[0]
    return tuple(nothing)


def fit_labels(
    dataset: Dataset, names: Sequence[str] | None, infos: Sequence[OutputInfo]
) -> tuple[Dataset, list[Finding]]:
    """Return the dataset with labels that count in the order of the model's outputs, and what stands in the way.

    Args:
        names: the model's classes in its output order, as the user states them; None takes the dataset's own.

    Raises:
        DataError: a label that is wrong without doubt, with its row.
    """
    raw: tuple[RawLabels, ...] = getattr(dataset, "raw_labels", ())
    if not raw and dataset.labels is None:
        return dataset, []
    if not raw:
        return _folders(dataset, names, infos)
    known = tuple(names) if names is not None else dataset.class_names
    truths: list[Array | None] = [None] * len(infos)
    findings: list[Finding] = []
    for labels in raw:
        values, classes = labels.values, known
        if names is not None and dataset.class_names and values.dtype.kind in "iub" and values.ndim == 1:
            values = _by_name(values, dataset.class_names, names)
        places = [k for k, info in enumerate(infos) if info.name == labels.output] or list(range(len(infos)))
        found = _fitting(values, infos, places, classes, dataset.source, labels.key)
        findings += found[1]
        for k, truth in found[0].items():
            truths[k] = truth if truths[k] is None else truths[k]
    indices = next((t for t in truths if t is not None and t.ndim == 1 and t.dtype.kind == "i"), None)
    return Relabelled(dataset, indices, known, tuple(truths)), findings


def _fitting(
    values: Array,
    infos: Sequence[OutputInfo],
    places: Sequence[int],
    names: Sequence[str] | None,
    source: Callable[[int], str],
    key: str,
) -> tuple[dict[int, Array], list[Finding]]:
    """Return the labels for the output that they fit, by its position, and what a person should know."""
    found: dict[int, tuple[Array, Finding | None]] = {}
    reasons: list[Unfit] = []
    wrong: list[DataError] = []
    for k in places:
        try:
            found[k] = fit(values, infos, k, names, source)
        except Unfit as why:
            reasons.append(why)
        except DataError as error:
            wrong.append(error)
    if len(found) == 1:
        ((k, (truth, finding)),) = found.items()
        return {k: truth}, [] if finding is None else [finding]
    if len(found) > 1:
        could = ", ".join(repr(infos[k].name) for k in found)
        message = f"the labels {key} could be of the outputs {could}: nothing is measured by them"
        hint = (
            "name each array of labels after its output in the .npz, for instance y_" + infos[min(found)].name
        )
        return {}, [Finding("warning", "labels", message, hint)]
    if wrong and not (reasons and len(places) > 1):
        raise wrong[0]
    if not reasons:
        raise wrong[0]
    message = f"the labels {key} are not used: {reasons[0].why}"
    return {}, [Finding("warning", "labels", message, reasons[0].hint)]


def fit(
    values: Array,
    infos: Sequence[OutputInfo],
    k: int,
    names: Sequence[str] | None,
    source: Callable[[int], str],
) -> tuple[Array, Finding | None]:
    """Return labels as what output ``k`` should say, and a finding where they had to be mapped.

    Args:
        values: first axis the sample; numbers or text.
        names: classes in the model's output order, for text.
        source: where a sample comes from, for messages.

    Raises:
        Unfit: they say nothing of this output.
        DataError: a label is wrong without doubt.
    """
    info = infos[k]
    count = len(values)
    values = values.reshape(count) if values.size == count else values
    if values.dtype.kind in "US":
        values = _from_text(values, names, source)
    if values.ndim == 1:
        whole = values.dtype.kind in "iub" or bool((values == np.rint(values)).all())
        if not whole:
            if info.size != 1:
                raise Unfit(f"they are fractions, one a sample, and {named(infos, k)} has {info.size} values")
            return values.astype(np.float64).reshape(count, 1), None
        whole_numbers = values.astype(np.int64)
        if info.ending == "index":
            if info.size != 1:
                raise Unfit(f"they are one a sample, and {named(infos, k)} has {info.size} values")
            return whole_numbers, None
        if info.size == 1:
            return _one_value(whole_numbers, infos, k, source)
        return _classes(whole_numbers, infos, k, names, source)
    return _wide(values, infos, k), None


def _one_value(
    values: npt.NDArray[np.int64], infos: Sequence[OutputInfo], k: int, source: Callable[[int], str]
) -> tuple[Array, Finding | None]:
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high <= 1:
        return values, None
    if set(np.unique(values).tolist()) == {-1, 1}:
        return (values + 1) // 2, None
    if infos[k].ending == "linear":
        return values.astype(np.float64).reshape(-1, 1), None
    if low >= 1 and high == 2:
        return values - 1, _from_one(infos, k, 2)
    row = int(np.argmax((values < 0) | (values > 1)))
    raise DataError(
        f"{source(row)}: the label is {values[row]}, but {named(infos, k)} is one probability: expected 0 or 1",
        hint="label the samples 0 (no) and 1 (yes)",
    )


def _classes(
    values: npt.NDArray[np.int64],
    infos: Sequence[OutputInfo],
    k: int,
    names: Sequence[str] | None,
    source: Callable[[int], str],
) -> tuple[Array, Finding | None]:
    info, classes = infos[k], infos[k].classes
    if classes is None:
        what = "rebuilds its input" if info.reconstruction else f"has the shape {list(info.shape)}"
        raise Unfit(f"they are one class a sample, and {named(infos, k)} {what}")
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high < classes:
        return values, None
    if low >= 1 and high == classes:
        return values - 1, _from_one(infos, k, classes)
    if info.ending == "linear" and (names is None or len(names) != classes):
        raise Unfit(
            f"they go from {low} to {high}, and {named(infos, k)} has {classes} values",
            f"if it scores classes: {ORDER_HINT}",
        )
    row = int(np.argmax((values < 0) | (values >= classes)))
    raise DataError(
        f"{source(row)}: the label is {values[row]}, but {named(infos, k)} tells {classes} classes apart"
        f" (0 to {classes - 1})",
        hint=ORDER_HINT,
    )


def _wide(values: Array, infos: Sequence[OutputInfo], k: int) -> Array:
    """Return labels of several values a sample as what the output should say."""
    info, count = infos[k], len(values)
    binary = bool(np.isin(values, (0, 1)).all())
    size = values.size // max(1, count)
    places = info.size // max(1, info.shape[-1] if info.shape else 1)
    if info.ending == "index" and size == info.size:
        return values.reshape(count, -1).astype(np.int64)
    if size == info.size:
        flat = values.reshape(count, -1)
        rows = values.reshape(count, -1, info.shape[-1])
        single = binary and bool((rows.sum(axis=2) == 1).all())
        if info.ending == "softmax":
            if not single and not (values.min() >= 0 and np.allclose(rows.sum(axis=2), 1, atol=1e-3)):
                raise Unfit(f"their rows do not add up to 1, and {named(infos, k)} is a softmax")
            best: Array = rows.argmax(axis=2).astype(np.int64)
            return best[:, 0] if info.is_vector else best
        if info.ending == "sigmoid":
            return flat.astype(np.bool_) if binary else flat.astype(np.float64)
        if info.is_vector and single and not info.reconstruction:
            return np.asarray(rows.argmax(axis=2)[:, 0], np.int64)
        return flat.astype(np.bool_) if binary and info.is_vector else flat.astype(np.float64)
    if size == places and info.ending == "softmax" and values.dtype.kind in "iub" and not info.is_vector:
        flat = values.reshape(count, -1).astype(np.int64)
        if flat.min() >= 0 and flat.max() < info.shape[-1]:
            return flat
    raise Unfit(
        f"a label has the shape {list(values.shape[1:])}, and {named(infos, k)} has the shape {list(info.shape)}",
        "save one class index a sample, or labels of the output's shape",
    )


def _from_one(infos: Sequence[OutputInfo], k: int, classes: int) -> Finding:
    return Finding(
        "info",
        "labels",
        f"the labels count from 1 to {classes}, the classes of {named(infos, k)} from 0 to {classes - 1}:"
        " 1 is taken from each",
        ORDER_HINT,
    )


def _from_text(
    values: Array, names: Sequence[str] | None, source: Callable[[int], str]
) -> npt.NDArray[np.int64]:
    """Return class indices for labels that are names."""
    if values.ndim != 1:
        raise Unfit(f"they are text of the shape {list(values.shape)}, expected one name a sample")
    words = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values]
    if names is None:
        distinct = sorted(set(words))
        raise Unfit(
            f"they are names ({source(0)}: {words[0]!r}), and nothing says in which order the model tells its"
            f" {len(distinct)} classes apart",
            NAME_HINT,
        )
    index = {name: k for k, name in enumerate(names)}
    for row, word in enumerate(words):
        if word not in index:
            _unknown_name(source(row), word, names)
    return np.array([index[word] for word in words], np.int64)


def _unknown_name(where: str, word: str, names: Sequence[str]) -> NoReturn:
    close = nearest(word, names)
    lead = f"did you mean {close!r}? " if close else ""
    some = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
    raise DataError(
        f"{where}: the label {word!r} is no class of the model", hint=f"{lead}the classes: {some}"
    )


def _by_name(values: Array, own: Sequence[str], names: Sequence[str]) -> Array:
    """Return indices into ``own`` as indices into ``names``; as they are where the two do not hold the same."""
    if not set(own) <= set(names) or values.min() < 0 or values.max() >= len(own):
        return values
    order = np.array([list(names).index(name) for name in own], np.int64)
    ordered: Array = order[values.astype(np.int64)]
    return ordered


def _folders(
    dataset: Dataset, names: Sequence[str] | None, infos: Sequence[OutputInfo]
) -> tuple[Dataset, list[Finding]]:
    """Match class folders with the stated names; sorted folders are the model's order where none are stated."""
    folders, labels = dataset.class_names, dataset.labels
    assert labels is not None
    if folders is None:
        return Relabelled(dataset, labels, None, truths_of(dataset, infos)), []
    scored = [info for info in infos if info.classes is not None]
    if names is None:
        if len(scored) == 1 and scored[0].classes == len(folders):
            return dataset, []
        message = (
            f"{len(folders)} class folders for a model with {infos[0].size} outputs: accuracy is not measured"
        )
        return _without(dataset, message, "name the model's classes in its output order with --labels FILE")
    missing = [f for f in folders if f not in names]
    if missing:
        message = f"class folders that are no label: {', '.join(missing[:5])}; accuracy is not measured"
        return _without(dataset, message, "rename the folders as in the label file")
    order = np.array([list(names).index(f) for f in folders], np.int64)
    relabelled = Relabelled(dataset, order[labels], tuple(names))
    return Relabelled(dataset, order[labels], tuple(names), truths_of(relabelled, infos)), []


def _without(dataset: Dataset, message: str, hint: str) -> tuple[Dataset, list[Finding]]:
    return Relabelled(dataset, None, None), [Finding("warning", "labels", message, hint)]
