"""Datasets from folders and arrays: what they give, lazily and in which order, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qedge.datasets import InputInfo, choose, open_dataset
from qedge.datasets.rows import open_npz
from qedge.errors import DataError, UsageError
from qedge.processing.image import ImagePreprocess

RGB = InputInfo("image", (1, 4, 4, 3), "float32")
VECTOR = InputInfo("x", (1, 6), "float32")
PREPROCESS = ImagePreprocess(width=4, height=4)


def image(path: Path, level: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (level, 0, 255)).save(path)
    return path


def test_class_folders_give_labels_in_alphabetical_order(tmp_path: Path) -> None:
    for name, suffix in (("dog", "png"), ("cat", "bmp"), ("ant", "webp")):
        image(tmp_path / name / f"1.{suffix}", 10)
    image(tmp_path / "dog" / "inner" / "2.gif", 20)
    (tmp_path / "dog" / "notes.txt").write_text("passed over")
    (tmp_path / ".hidden.png").write_bytes(b"passed over")
    data = open_dataset(tmp_path, [RGB], PREPROCESS)
    assert len(data) == 4
    assert data.class_names == ("ant", "cat", "dog")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 2, 2]
    (x,) = data[1]
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, np.broadcast_to(np.float32([10, 0, 255]), (1, 4, 4, 3)))
    assert data.source(1) == str(tmp_path / "cat" / "1.bmp")


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    image(tmp_path / "b.png", 1)
    image(tmp_path / "a.JPG", 2)
    data = open_dataset(tmp_path, [RGB], PREPROCESS)
    assert (len(data), data.labels, data.class_names) == (2, None, None)
    assert data.source(0).endswith("a.JPG")


def test_nothing_is_decoded_before_it_is_asked_for(tmp_path: Path) -> None:
    image(tmp_path / "a.png", 1)
    broken = tmp_path / "b.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    data = open_dataset(tmp_path, [RGB], PREPROCESS)
    assert data[0][0].shape == (1, 4, 4, 3)
    with pytest.raises(DataError, match=r"b\.png") as caught:
        data[1]
    assert caught.value.exit_code == 3


def test_limit_spreads_over_the_classes_and_repeats_with_the_seed(tmp_path: Path) -> None:
    for i in range(20):
        image(tmp_path / "many" / f"{i:02}.png", i)
    image(tmp_path / "rare" / "0.png", 99)
    chosen = [open_dataset(tmp_path, [RGB], PREPROCESS, limit=5, seed=s) for s in (1, 1, 2)]
    for data in chosen:
        assert data.labels is not None
        assert np.bincount(data.labels).tolist() == [4, 1]
        assert data.class_names == ("many", "rare")
    sources = [[d.source(i) for i in range(5)] for d in chosen]
    assert sources[0] == sources[1] != sources[2]
    assert sources[0] == sorted(sources[0])


def test_choose_without_labels_gives_each_index_once() -> None:
    picked = choose(100, 30, seed=3)
    assert len(set(picked.tolist())) == 30
    assert choose(3, 9).tolist() == [0, 1, 2]


def test_a_subset_of_a_subset_refers_to_the_same_samples(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.arange(60.0).reshape(10, 6), y=np.arange(10))
    data = open_dataset(tmp_path / "d.npz", [VECTOR])
    part = data.subset([9, 3, 5]).subset([2, 0])
    assert part.labels is not None
    assert part.labels.tolist() == [5, 9]
    np.testing.assert_array_equal(part[0][0], data[5][0])
    assert part.source(1) == data.source(9)
    with pytest.raises(IndexError):
        data.subset([10])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_in_any_numeric_type_becomes_float32(tmp_path: Path, save) -> None:
    x = np.asfortranarray(np.random.default_rng(0).integers(-128, 127, (7, 2, 3))).astype(
        np.float16, order="F"
    )
    save(tmp_path / "d.npz", x=x, y=np.eye(7)[::-1], class_names=np.array(list("abcdefg")))
    data = open_dataset(tmp_path / "d.npz", [InputInfo("in", (1, 2, 3, 1), "float32")])
    assert data.labels is not None
    assert data.labels.tolist() == [6, 5, 4, 3, 2, 1, 0]
    assert data.class_names == tuple("abcdefg")
    for i in range(7):
        np.testing.assert_array_equal(data[i][0][0, :, :, 0], x[i].astype(np.float32))


def test_several_inputs_are_found_by_name_in_the_models_order(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", b=np.full((3, 2), 2.0), a=np.full((3, 6), 1.0), y=[0.0, 2.0, 1.0])
    inputs = [InputInfo("a", (1, 6), "float32"), InputInfo("b", (1, 2), "float32")]
    data = open_dataset(tmp_path / "d.npz", inputs)
    assert [v.shape for v in data[0]] == [(1, 6), (1, 2)]
    assert data[0][1].max() == 2
    assert data.labels is not None
    assert data.labels.tolist() == [0, 2, 1]
    with pytest.raises(DataError, match=r"no array for the input 'c'.*a \[3, 6\]"):
        open_dataset(tmp_path / "d.npz", [inputs[0], InputInfo("c", (1, 2), "float32")])


def test_the_only_float_array_that_fits_is_taken_but_integers_must_be_called_x(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", specs=np.ones((4, 6)), labels=np.array([2.0, 0, 1, 1]))
    data = open_dataset(tmp_path / "f.npz", [InputInfo("in", (1, 6), "float32")])
    assert data.labels is not None
    assert data.labels.tolist() == [2, 0, 1, 1]
    np.savez(tmp_path / "i.npz", x_int8=np.ones((4, 6), np.int8))
    with pytest.raises(DataError, match="no array 'x'") as caught:
        open_dataset(tmp_path / "i.npz", [InputInfo("in", (1, 6), "float32")])
    assert "units" in str(caught.value.hint)


def test_targets_that_are_no_classes_give_no_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", x=np.ones((4, 6)), y=np.array([0.5, 1.25, 3, 4]))
    assert open_dataset(tmp_path / "r.npz", [VECTOR]).labels is None
    np.savez(tmp_path / "s.npz", x=np.ones((4, 6)), y=np.ones((4, 6)))
    assert open_dataset(tmp_path / "s.npz", [VECTOR]).labels is None


def test_npy_rows_are_read_one_at_a_time(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.arange(60, dtype=np.int16).reshape(10, 6))
    data = open_dataset(tmp_path / "d.npy", [VECTOR], limit=4)
    assert len(data) == 4
    full = open_dataset(tmp_path / "d.npy", [VECTOR])
    np.testing.assert_array_equal(full[9][0], np.float32([[54, 55, 56, 57, 58, 59]]))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.ones((4, 5))}, r"found the shape \[5\] for the input 'x', expected \[1, 6\]"),
        ({"x": np.ones(6)}, r"one sample|found the shape"),
        ({"x": np.ones((0, 6))}, "holds no sample"),
        ({"x": np.float32(3)}, "holds no sample"),
        ({"x": np.array([["a"] * 6])}, "expected numbers"),
        ({"x": np.ones((4, 6)), "y": np.arange(3)}, "one label for each of 4 samples"),
        ({"x": np.ones((4, 6)), "y": [0, 1, np.nan, 2]}, "NaN"),
        ({"x": np.ones((4, 6)), "y": [0, 1, 7, 2]}, r"row 2: the label is 7, but the model tells 3 classes"),
        ({"z": np.ones((4, 5))}, r"no array 'x'.*z \[4, 5\] float64"),
        ({}, "holds no array"),
    ],
)
def test_arrays_that_do_not_suit_are_refused_with_both_sides(tmp_path: Path, arrays, message: str) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path / "d.npz", [VECTOR], classes=3)[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_name_the_row(tmp_path: Path, bad: float) -> None:
    x = np.ones((4, 6))
    x[2, 3] = bad
    np.savez(tmp_path / "d.npz", x=x)
    data = open_dataset(tmp_path / "d.npz", [VECTOR])
    assert data[1][0].shape == (1, 6)
    with pytest.raises(DataError, match=r"row 2: 1 of 6 values"):
        data[2]


def test_channels_first_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.ones((5, 3, 8, 9)))
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path / "d.npy", [InputInfo("image", (1, 8, 9, 3), "float32")])
    assert "NCHW" in str(caught.value.hint)


def test_python_objects_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="Python objects"):
        open_dataset(tmp_path / "d.npy", [VECTOR])


@pytest.mark.parametrize("keep", [0, 3, 40, 100, 500, -1])
def test_truncated_files_are_data_errors(tmp_path: Path, keep: int) -> None:
    for name, save in (("d.npz", np.savez), ("c.npz", np.savez_compressed), ("d.npy", np.save)):
        path = tmp_path / name
        save(path, np.random.default_rng(0).normal(size=(40, 6)))
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(DataError):
            open_dataset(path, [VECTOR])


def test_folders_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "readme.md").write_text("nothing")
    with pytest.raises(DataError, match=r"no image and no wav file, only \.md"):
        open_dataset(empty, [RGB], PREPROCESS)
    mixed = image(tmp_path / "mixed" / "a.png", 1).parent
    (mixed / "b.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match="1 images and 1 wav files"):
        open_dataset(mixed, [RGB], PREPROCESS)
    both = image(tmp_path / "both" / "a.png", 1).parent
    image(both / "cat" / "b.png", 1)
    with pytest.raises(DataError, match=r"1 files beside its subfolders \(such as a\.png\)"):
        open_dataset(both, [RGB], PREPROCESS)
    with pytest.raises(DataError, match="no pre-processing"):
        open_dataset(image(tmp_path / "flat" / "a.png", 1).parent, [RGB])
    with pytest.raises(DataError, match="has 2 inputs"):
        open_dataset(tmp_path / "flat", [RGB, VECTOR], PREPROCESS)
    with pytest.raises(DataError, match=r"found the shape \[1, 4, 4, 3\]"):
        open_dataset(tmp_path / "flat", [InputInfo("i", (1, 8, 8, 3), "float32")], PREPROCESS)[0]


def test_paths_that_are_no_dataset_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no dataset at"):
        open_dataset(tmp_path / "none", [VECTOR])
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(DataError, match=r"is no dataset: found a \.csv"):
        open_dataset(tmp_path / "x.csv", [VECTOR])
    with pytest.raises(UsageError, match="at least 1"):
        open_dataset(tmp_path, [VECTOR], limit=0)


def test_an_archive_gives_its_arrays_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", first=np.arange(4), second=np.ones((2, 2)))
    arrays = open_npz(tmp_path / "d.npz")
    assert {k: rows.shape for k, rows in arrays.items()} == {"first": (4,), "second": (2, 2)}
    with pytest.raises(IndexError):
        arrays["first"][4]


def test_a_sample_is_made_once_where_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qedge.datasets import folder

    for k in range(3):
        Image.fromarray(np.full((4, 4, 3), k, np.uint8)).save(tmp_path / f"{k}.png")
    made: list[str] = []
    whole = ImagePreprocess.apply

    def apply(self: ImagePreprocess, sample: Any) -> Any:
        made.append(Path(sample).name)
        return whole(self, sample)

    monkeypatch.setattr(ImagePreprocess, "apply", apply)
    monkeypatch.setattr(folder, "KEPT_BYTES", 2 * 4 * 4 * 3 * 4)
    dataset = open_dataset(tmp_path, [RGB], PREPROCESS)
    first, again = [dataset[k][0] for k in range(3)], [dataset[k][0] for k in range(3)]
    assert [a.tobytes() for a in first] == [b.tobytes() for b in again]
    assert made == ["0.png", "1.png", "2.png", "2.png"]
    with pytest.raises(ValueError, match="read-only"):
        again[0][:] = 0
