"""The journey from Python: the same as the commands, with arrays and objects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from quantize_models import cnn, images

import qedge
from qedge.bundle import read_bundle
from qedge.errors import CapacityError, DataError, QedgeError, ToolError, UsageError
from qedge.installing import install_command


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.tflite"
    path.write_bytes(cnn())
    return path


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    return np.concatenate([images()[i][0] for i in range(40)])


@pytest.fixture(scope="module")
def built(model: Path, data: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> qedge.Build:
    stages: list[str] = []
    found = qedge.build(
        model,
        data,
        targets=["rpi", "mcu"],
        out=tmp_path_factory.mktemp("out"),
        method="minmax",
        labels=["a", "b", "c", "d"],
        postprocess="classify",
        core="cortex-m4",
        ram="64K",
        progress=lambda stage, share: stages.append(stage),
    )
    assert "write bundles" in stages
    return found


def test_build_gives_what_the_command_writes(built: qedge.Build) -> None:
    assert list(built.bundles) == ["rpi", "mcu"]
    assert read_bundle(built.bundles["rpi"]).read("model.tflite") == built.int8
    assert read_bundle(built.bundles["mcu"]).manifest.labels == ("a", "b", "c", "d")
    assert built.float is not None
    assert built.float[4:8] == b"TFL3"
    assert built.report.targets["mcu"].metrics["core"] == "cortex-m4"


def test_a_build_shows_itself(built: qedge.Build) -> None:
    assert "'tiny'" in repr(built)
    assert "SQNR" in repr(built)
    assert "<table>" in built._repr_html_()


def test_a_build_loads_its_bundles(built: qedge.Build, data: np.ndarray) -> None:
    with built.load("rpi") as model:
        result = model(data[0])
        assert result.label in "abcd"
        assert result.label in repr(result)
        assert f"{result.score:.3f}" in repr(result)
    with pytest.raises(UsageError, match="unknown target 'None'"):
        built.load()
    with pytest.raises(UsageError, match="unknown target 'rpy'") as caught:
        built.load("rpy")
    assert "rpi" in str(caught.value.hint)


def test_verify_and_evaluate_take_arrays(built: qedge.Build, data: np.ndarray) -> None:
    report = qedge.verify(built.bundles["rpi"])
    assert report.passed
    assert qedge.verify(built.bundles["rpi"], data[:3], samples=3).samples == 3
    found = qedge.evaluate(built.bundles["rpi"], {"x": data[:10], "y": np.arange(10) % 4})
    assert found.samples == 10
    assert found.sqnr_db > 15


def test_check_says_where_operators_run(built: qedge.Build, tmp_path: Path) -> None:
    path = tmp_path / "int8.tflite"
    path.write_bytes(built.int8)
    reports = qedge.check(path, targets=["coral", "mcu"], core="cortex-m0")
    assert set(reports) == {"coral", "mcu"}
    assert all(p.placement for r in reports.values() for p in r.operators)


def test_wrong_words_are_named(model: Path, data: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        qedge.build(model, data, out=tmp_path, metod="minmax")
    assert "method" in str(caught.value.hint)
    with pytest.raises(UsageError) as caught:
        qedge.build(model, data, targets="cora", out=tmp_path)
    assert "coral" in str(caught.value.hint)
    with pytest.raises(UsageError, match="type int"):
        qedge.build(7, data, out=tmp_path)
    with pytest.raises(UsageError, match="no model at"):
        qedge.build(tmp_path / "none.keras", data, out=tmp_path)
    with pytest.raises(UsageError, match="no data at"):
        qedge.build(model, tmp_path / "none", out=tmp_path)
    with pytest.raises(DataError, match="expected one array of samples"):
        qedge.build(model, [np.zeros(3), np.zeros(4)], out=tmp_path)
    with pytest.raises(UsageError, match="representative"):
        qedge.build(model, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_budget_in_percent_means_points(model: Path, data: np.ndarray, tmp_path: Path) -> None:
    for drop in ("100%", 1.5):
        with pytest.raises(QedgeError, match="largest drop"):
            qedge.build(model, data, out=tmp_path, max_drop=drop)
    with pytest.raises(UsageError, match="percentage"):
        qedge.build(model, data, out=tmp_path, max_drop="lots")


def test_completion_shows_the_journey() -> None:
    assert {"build", "check", "evaluate", "verify", "load", "Build"} <= set(dir(qedge))
    with pytest.raises(AttributeError):
        qedge.bild  # noqa: B018


def test_without_the_host_half_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['flatbuffers'] = None\n"
        "import qedge\ntry:\n    qedge.build\nexcept qedge.QedgeError as e:\n    print(e.exit_code, e.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if done.stdout:
        assert done.stdout == f"8 {install_command('host')}\n"
    assert issubclass(ToolError, QedgeError)


KERAS = """
import sys, numpy as np, keras, qedge
keras.utils.set_random_seed(0)
x = np.random.default_rng(0).normal(size=(80, 6)).astype("float32")
y = (x[:, 0] > 0).astype("int64")
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, activation="relu"),
                          keras.layers.Dense(2, activation="softmax")], name="two_classes")
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, y, epochs=3, verbose=0)
built = qedge.build(model, (x, y), out=sys.argv[1])
with built.load() as m:
    same = np.mean([m(v).scores.argmax() == p for v, p in zip(x, model.predict(x, verbose=0).argmax(1))])
print(built.name, round(float(same), 2), sorted(built.bundles))
"""


@pytest.mark.long
def test_a_keras_model_builds_as_it_is(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KERAS, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    name, same, targets = done.stdout.splitlines()[-1].split(maxsplit=2)
    assert (name, targets) == ("two_classes", "['rpi']")
    assert float(same) >= 0.95


def test_a_target_that_fails_is_not_passed_over(model: Path, data: np.ndarray, tmp_path: Path) -> None:
    words = {"method": "minmax", "core": "cortex-m4", "ram": "300", "out": tmp_path}
    built = qedge.build(model, data, targets=["rpi", "mcu"], **words)
    assert list(built.bundles) == ["rpi"]
    assert list(built.failures) == ["mcu"]
    assert "no bundle for mcu" in repr(built)
    assert "no bundle for mcu" in built._repr_html_()
    for target in (None, "mcu"):
        with pytest.raises(QedgeError):
            built.load(target)
    with built.load("rpi"):
        pass
    with pytest.raises(CapacityError):
        qedge.build(model, data, targets=["rpi", "mcu"], all_or_nothing=True, **words)
