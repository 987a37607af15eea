"""Labels against the outputs that they are of: mapped, refused with the row, or named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qedge.datasets import InputInfo, open_dataset
from qedge.datasets.labels import fit_labels, truths_of
from qedge.datasets.outputs import OutputInfo
from qedge.datasets.protocol import Subset
from qedge.datasets.split import hold_out
from qedge.errors import DataError

INPUT = [InputInfo("features", (1, 3), "float32")]
FOUR = OutputInfo("scores", (1, 4), "softmax")
LOGITS = OutputInfo("logits", (1, 4), "linear")
ONE = OutputInfo("p", (1, 1), "sigmoid")
NUMBER = OutputInfo("age", (1, 1), "linear")
TAGS = OutputInfo("tags", (1, 4), "sigmoid")
NAMES = ("up", "down", "left", "right")


def _fit(folder: Path, outputs: list[OutputInfo], names: tuple[str, ...] | None = None, **arrays: Any) -> Any:
    count = max(len(v) for v in arrays.values())
    held = {"x": np.ones((count, 3), np.float32)} | arrays
    np.savez(folder / "d.npz", **held)
    opened = open_dataset(folder / "d.npz", INPUT, outputs=[o.name for o in outputs])
    dataset, findings = fit_labels(opened, names, outputs)
    return truths_of(dataset, outputs), [f.message for f in findings if f.severity == "warning"], dataset


def test_labels_from_one_are_mapped_where_that_is_certain(tmp_path: Path) -> None:
    (truth,), said, dataset = _fit(tmp_path, [FOUR], y=np.array([1, 4, 2, 3]))
    assert truth.tolist() == [0, 3, 1, 2]
    assert dataset.labels.tolist() == [0, 3, 1, 2]
    assert not said
    (truth,), _, _ = _fit(
        tmp_path, [FOUR], y=np.array([1, 3, 2, 3])
    )  # no 4: nothing says that they count from one
    assert truth.tolist() == [1, 3, 2, 3]


@pytest.mark.parametrize("y", [[0, 1, 4, 2], [1, 2, 5, 4], [0, 1, -1, 2]])
def test_a_class_that_the_model_has_not_is_refused_with_its_row(tmp_path: Path, y: list[int]) -> None:
    with pytest.raises(DataError, match=f"row 2: the label is {y[2]}.*4 classes"):
        _fit(tmp_path, [FOUR], y=np.array(y))


def test_names_are_looked_up_and_an_unknown_one_is_refused_with_its_row(tmp_path: Path) -> None:
    y = np.array(["left", "up", "right", "up", "up"])
    assert _fit(tmp_path, [FOUR], NAMES, y=y)[0][0].tolist() == [2, 0, 3, 0, 0]
    assert _fit(tmp_path, [FOUR], y=y, class_names=np.array(NAMES))[0][0].tolist() == [2, 0, 3, 0, 0]
    with pytest.raises(DataError, match="row 1: the label 'upp'") as caught:
        _fit(tmp_path, [FOUR], NAMES, y=np.array(["left", "upp"]))
    assert "'up'" in str(caught.value.hint)


def test_names_without_an_order_are_not_guessed(tmp_path: Path) -> None:
    (truth,), said, _ = _fit(tmp_path, [FOUR], y=np.array(["left", "up", "right"]))
    assert truth is None
    assert "row 0" in said[0]
    assert "order" in said[0]


def test_indices_follow_the_names_of_the_user(tmp_path: Path) -> None:
    own = np.array(["down", "up", "left", "right"])
    (truth,), _, _ = _fit(tmp_path, [FOUR], NAMES, y=np.array([0, 1, 2, 3]), class_names=own)
    assert truth.tolist() == [1, 0, 2, 3]


@pytest.mark.parametrize(
    ("outputs", "y", "expected"),
    [
        ([ONE], [0, 1, 1], [0, 1, 1]),
        ([ONE], [-1, 1, 1], [0, 1, 1]),
        ([ONE], [1, 2, 2], [0, 1, 1]),
        ([NUMBER], [0, 1, 1], [0, 1, 1]),
        ([NUMBER], [18, 90, 33], [[18.0], [90.0], [33.0]]),
        ([NUMBER], [0.5, 1.5, 1.0], [[0.5], [1.5], [1.0]]),
        ([FOUR], [[0, 0, 1, 0], [1, 0, 0, 0]], [2, 0]),
        ([LOGITS], [[0, 0, 1, 0], [1, 0, 0, 0]], [2, 0]),
        ([LOGITS], [[0.5, 0, 1, 0], [1, 0, 0, 0]], [[0.5, 0, 1, 0], [1, 0, 0, 0]]),
        ([TAGS], [[0, 1, 1, 0], [0, 0, 0, 0]], [[False, True, True, False], [False] * 4]),
        ([TAGS], [2, 3], [2, 3]),
    ],
)
def test_labels_become_what_the_output_should_say(
    tmp_path: Path, outputs: list[OutputInfo], y: list[Any], expected: list[Any]
) -> None:
    (truth,), said, _ = _fit(tmp_path, outputs, y=np.array(y))
    assert truth.tolist() == expected
    assert truth.dtype.kind == np.array(expected).dtype.kind
    assert not said


def test_a_probability_takes_no_other_whole_number(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 1: the label is 7"):
        _fit(tmp_path, [ONE], y=np.array([0, 7, 1]))


@pytest.mark.parametrize(
    ("output", "y"),
    [
        (OutputInfo("vector", (1, 4), "linear"), [0, 1, 900]),  # who it is, beside an embedding
        (OutputInfo("rebuilt", (1, 3), "linear", reconstruction=True), [0, 1, 1]),
        (FOUR, [0.5, 0.25, 1.0]),
        (FOUR, [[1, 2], [3, 4], [5, 6]]),
        (OutputInfo("map", (1, 8, 8, 4), "linear"), [0, 1, 1]),
    ],
)
def test_labels_that_say_nothing_of_the_output_are_named(
    tmp_path: Path, output: OutputInfo, y: list[Any]
) -> None:
    (truth,), said, _ = _fit(tmp_path, [output], y=np.array(y))
    assert truth is None
    assert len(said) == 1
    assert "not used" in said[0]


@pytest.mark.parametrize("key", ["labels", "targets", "label", "y_train", "train_labels", "Y"])
def test_labels_are_found_under_their_usual_names(tmp_path: Path, key: str) -> None:
    assert _fit(tmp_path, [FOUR], **{key: np.array([3, 2, 0])})[0][0].tolist() == [3, 2, 0]


def test_samples_and_labels_of_one_part_go_together(tmp_path: Path) -> None:
    parts = {
        "x_train": np.zeros((5, 3)),
        "y_train": np.arange(5) % 4,
        "x_test": np.ones((5, 3)),
        "y_test": np.zeros(5),
    }
    np.savez(tmp_path / "d.npz", **parts)
    opened = open_dataset(tmp_path / "d.npz", INPUT)
    assert opened[0][0].max() == 0
    assert opened.labels is not None
    assert opened.labels.tolist() == [0, 1, 2, 3, 0]


def test_each_output_has_labels_of_its_own_name(tmp_path: Path) -> None:
    found, said, _ = _fit(tmp_path, [FOUR, NUMBER], y_scores=np.array([3, 1]), y_age=np.array([20.5, 30]))
    assert found[0].tolist() == [3, 1]
    assert found[1].tolist() == [[20.5], [30.0]]
    assert not said
    found, said, _ = _fit(tmp_path, [FOUR, TAGS], y=np.array([3, 1]))
    assert found == (None, None)
    assert "'scores', 'tags'" in said[0]


def test_labels_of_another_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one label for each of 4 samples"):
        _fit(tmp_path, [FOUR], x=np.ones((4, 3)), y=np.arange(3))


def test_samples_held_out_are_of_every_class_and_never_calibrate(tmp_path: Path) -> None:
    x = np.arange(400 * 3, dtype=np.float32).reshape(400, 3)
    np.savez(tmp_path / "d.npz", x=x, y=np.repeat([0, 1], [360, 40]))
    data = open_dataset(tmp_path / "d.npz", INPUT)
    calibration, held = hold_out(data, seed=3)
    assert held is not None
    assert (len(calibration), len(held)) == (300, 100)
    seen = {float(calibration[i][0][0, 0]) for i in range(300)}
    kept = {float(held[i][0][0, 0]) for i in range(100)}
    assert not seen & kept
    assert held.labels is not None
    assert np.bincount(held.labels).tolist() == [90, 10]
    assert len(hold_out(data, samples=50)[1] or ()) == 350
    few = data.subset(range(79))
    assert hold_out(few) == (few, None)


class Folders:
    """Samples in class folders, whose names sort otherwise than the model's classes."""

    labels = np.array([0, 1, 2, 3, 3])  # down, left, right, up
    class_names = tuple(sorted(NAMES))

    def __len__(self) -> int:
        return 5

    def __getitem__(self, i: int) -> list[Any]:
        return [np.full((1, 3), i, np.float32)]

    def subset(self, indices: Any) -> Any:
        return Subset(self, indices)

    def source(self, i: int) -> str:
        return f"file {i}"


def test_class_folders_follow_the_order_of_the_label_file() -> None:
    dataset, findings = fit_labels(Folders(), NAMES, [FOUR])
    assert dataset.labels is not None
    assert [NAMES[k] for k in dataset.labels] == ["down", "left", "right", "up", "up"]
    (truth,) = truths_of(dataset, [FOUR])
    assert truth is not None
    assert truth.tolist() == [1, 2, 3, 0, 0]
    assert dataset.class_names == NAMES
    assert not findings
    (part,) = truths_of(dataset.subset([4, 1]), [FOUR])
    assert part is not None
    assert part.tolist() == [0, 2]


def test_class_folders_without_a_label_file_are_taken_in_their_order() -> None:
    dataset, findings = fit_labels(Folders(), None, [FOUR])
    (truth,) = truths_of(dataset, [FOUR])
    assert truth is not None
    assert (truth.tolist(), findings) == ([0, 1, 2, 3, 3], [])


@pytest.mark.parametrize("names", [("up", "down"), ("a", "b", "c", "d", "e")])
def test_class_folders_that_do_not_fit_are_named_and_not_used(names: tuple[str, ...]) -> None:
    outputs = [OutputInfo("scores", (1, 5), "softmax")]
    for stated in (names, None):
        dataset, (finding,) = fit_labels(Folders(), stated, outputs)
        assert dataset.labels is None
        assert finding.rule == "labels"
        assert truths_of(dataset, outputs) == (None,)
