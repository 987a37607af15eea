"""Data stay as the model's author has them, from calibration to the device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qedge
from qedge.bundle import read_bundle
from qedge.bundle.manifest import TensorSpec
from qedge.datasets.protocol import InputInfo, as_input
from qedge.errors import DataError, IntegrityError
from qedge.fields import Field
from tests.frontends.test_onnx_front_end import NET, model_of

pytest.importorskip("onnxruntime", reason="the ONNX front end is not installed")

INFO = InputInfo("x", (1, 4, 6, 3), "float32", (0, 2, 3, 1))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> qedge.Build:
    """A small NCHW network, calibrated with NCHW arrays."""
    folder = tmp_path_factory.mktemp("layout")
    (folder / "net.onnx").write_bytes(model_of(NET))
    x = np.random.default_rng(0).standard_normal((24, 3, 8, 6)).astype(np.float32)
    np.savez(folder / "data.npz", x=x)
    return qedge.build(
        folder / "net.onnx", folder / "data.npz", targets=["rpi"], out=folder / "build", method="minmax"
    )


def test_the_manifest_says_which_layout_the_author_has(built: qedge.Build) -> None:
    manifest = read_bundle(built.bundles["rpi"]).manifest
    (given,), (made,) = manifest.inputs, manifest.outputs
    assert (given.shape, given.order, given.author_shape) == ((1, 8, 6, 3), (0, 2, 3, 1), (1, 3, 8, 6))
    assert (made.shape, made.author_shape) == ((1, 4, 3, 5), (1, 5, 4, 3))


def test_a_call_takes_and_gives_the_authors_layout_and_run_the_models(built: qedge.Build) -> None:
    import onnxruntime

    x = np.random.default_rng(1).standard_normal((1, 3, 8, 6)).astype(np.float32)
    expected = onnxruntime.InferenceSession(model_of(NET)).run(None, {"x": x})[0]
    with built.load("rpi") as model:
        outputs = model(x).outputs[0]
        assert outputs.shape == expected.shape == (1, 5, 4, 3)
        assert np.abs(outputs - expected).max() < 0.05 * np.abs(expected).max()
        assert np.array_equal(model(x[0]).outputs[0], outputs)
        turned = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        assert np.array_equal(model(turned).outputs[0], outputs)
        raw = model.run(model.encode(x))[0]
        assert raw.shape == (1, 4, 3, 5)
        with pytest.raises(DataError, match=r"expected \[1, 3, 8, 6\]"):
            model(np.zeros((1, 3, 9, 6), np.float32))


def test_arrays_are_turned_and_those_of_the_models_shape_taken() -> None:
    values = np.arange(72, dtype=np.float32).reshape(1, 3, 4, 6)
    assert np.array_equal(as_input(values, INFO, "here"), values.transpose(0, 2, 3, 1))
    assert np.array_equal(as_input(values[0], INFO, "here"), values.transpose(0, 2, 3, 1))
    plain = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
    assert np.array_equal(as_input(plain, INFO, "here"), plain)
    with pytest.raises(DataError, match=r"expected \[1, 3, 4, 6\]"):
        as_input(np.zeros((3, 4, 7)), INFO, "here")


def test_a_layout_survives_the_manifest_and_a_wrong_one_is_refused() -> None:
    spec = TensorSpec("x", (1, 8, 6, 3), "int8", 0.1, 0, (0, 2, 3, 1))
    assert TensorSpec.from_json(Field(spec.to_json(), "$", IntegrityError)) == spec
    assert "order" not in spec.replace(order=None).to_json()
    for order in ([0, 2, 3], [0, 2, 2, 1], [0, 2, 3, 4]):
        with pytest.raises(IntegrityError, match="order"):
            TensorSpec.from_json(Field({**spec.to_json(), "order": order}, "$", IntegrityError))


def test_folders_of_images_serve_a_channels_first_model(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "net.onnx").write_bytes(model_of(NET))
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for k in range(12):
        Image.fromarray(rng.integers(0, 256, (20, 16, 3), np.uint8)).save(tmp_path / "photos" / f"{k}.png")
    built = qedge.build(
        tmp_path / "net.onnx",
        tmp_path / "photos",
        targets=["rpi"],
        out=tmp_path / "b",
        method="minmax",
        range=(0, 1),
    )
    with built.load("rpi") as model:
        result = model(tmp_path / "photos" / "0.png")
        assert result.outputs[0].shape == (1, 5, 4, 3)


def test_the_users_samples_are_compared_too(built: qedge.Build) -> None:
    told = [finding.message for finding in built.report.findings if finding.rule == "compared"]
    assert len(told) == 2
    assert "on 4 of your samples" in told[1]


def test_samples_on_which_the_conversion_differs_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qedge.frontends.onnx import compare, ops
    from qedge.frontends.onnx.lower import Lowering
    from qedge.frontends.onnx.net import Node
    from qedge.frontends.protocol import Refusal
    from tests.frontends.onnx_cases import one

    def wrong_beyond_six(g: Lowering, node: Node) -> None:
        g.unary(node, "RELU6")

    path = tmp_path / "net.onnx"
    path.write_bytes(model_of(one("Relu", (1, 4))))
    monkeypatch.setitem(ops.table(), "Relu", wrong_beyond_six)
    assert compare(path, [[np.ones((1, 4), np.float32)]], {}, {})[0].rule == "compared"
    with pytest.raises(Refusal, match="differs from onnxruntime on your samples"):
        compare(path, [[np.full((1, 4), 9, np.float32)]], {}, {})
