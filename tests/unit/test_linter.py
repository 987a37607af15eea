"""The linter names each way in which a set can be broken, and says nothing about a good one."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from qedge.datasets import Dataset, InputInfo, lint, open_dataset
from qedge.frontends import load_model
from qedge.graph import Graph
from qedge.processing.image import ImagePreprocess
from qedge.testing.opmodels import ModelBuilder, Spec, constant

IMAGE = [InputInfo("image", (1, 16, 16, 3), "float32")]
VECTOR = [InputInfo("x", (1, 12), "float32")]


def stripe_detector(levels: float) -> bytes:
    """Return a classifier of red stripes, level or upright, for images of 0 to ``levels``.

    Four edge filters on red minus blue with a threshold, their mean over the image, and a softmax.
    """
    builder = ModelBuilder()
    g = builder.subgraph()
    image = g.input(Spec((1, 16, 16, 3), "float32", name="image"))
    level = np.array([[-1, -1, -1], [0, 0, 0], [1, 1, 1]]) / 3
    edges = np.stack([level, -level, level.T, -level.T])
    filters = edges[..., None] * np.array([1, 0, -0.5]) / levels
    same = {"stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1, "padding": "VALID"}
    found = g.tensor(Spec((1, 14, 14, 4), "float32"))
    weights = g.tensor(constant(filters, "float32"))
    threshold = g.tensor(constant(np.full(4, -0.15), "float32"))
    relu = {**same, "fused_activation_function": "RELU"}
    g.operator("CONV_2D", [image, weights, threshold], [found], relu)
    mean = g.tensor(Spec((1, 1, 1, 4), "float32"))
    pool = {"padding": "VALID", "stride_h": 14, "stride_w": 14, "filter_height": 14, "filter_width": 14}
    g.operator("AVERAGE_POOL_2D", [found], [mean], pool)
    flat = g.tensor(Spec((1, 4), "float32"))
    g.operator("RESHAPE", [mean, g.tensor(constant([1, 4]))], [flat])
    logits = g.tensor(Spec((1, 2), "float32"))
    votes = np.array([[1, 1, -1, -1], [-1, -1, 1, 1]]) * 6.0
    nothing = g.tensor(constant(np.zeros(2), "float32"))
    g.operator("FULLY_CONNECTED", [flat, g.tensor(constant(votes, "float32")), nothing], [logits])
    scores = g.tensor(Spec((1, 2), "float32", name="scores"))
    g.operator("SOFTMAX", [logits], [scores], {"beta": 1.0})
    g.output(scores)
    return builder.pack()


def stripes(count: int = 60, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return images (count, 16, 16, 3), 0 to 255, of red stripes over noise, and their direction."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    x = rng.uniform(20, 90, (count, 16, 16, 3))
    for i, upright in enumerate(labels):
        bars = ((np.arange(16) + rng.integers(8)) // 4) % 2 * rng.uniform(100, 160)
        x[i, :, :, 0] += bars[None, :] if upright else bars[:, None]
    return np.floor(x).astype(np.float32), labels


def saved(
    folder: Path, x: npt.ArrayLike, y: npt.ArrayLike | None = None, inputs: list[InputInfo] = IMAGE
) -> Dataset:
    np.savez(folder / "set.npz", x=np.asarray(x), **({} if y is None else {"y": np.asarray(y)}))
    return open_dataset(folder / "set.npz", inputs)


def rules(data: Dataset, inputs: list[InputInfo] = IMAGE, float_model: bytes | None = None) -> list[str]:
    findings = lint(data, inputs, float_model=float_model)
    assert all(f.message and f.hint for f in findings)
    return [f.rule for f in findings]


def noise(count: int, seed: int = 0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(count, 12))


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("levels", [255.0, 1.0])
@pytest.mark.parametrize("count", [12, 60])
def test_a_good_set_gives_no_finding(tmp_path: Path, labelled: bool, levels: float, count: int) -> None:
    x, y = stripes(count)
    data = saved(tmp_path, x * (levels / 255), y if labelled else None)
    assert rules(data, float_model=stripe_detector(levels)) == []


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("levels", [255.0, 1.0])
def test_a_forgotten_normalisation_is_named(tmp_path: Path, labelled: bool, levels: float) -> None:
    x, y = stripes()
    data = saved(tmp_path, x / levels, y if labelled else None)
    assert rules(data, float_model=stripe_detector(levels)) == ["normalization"]


def test_without_the_model_units_are_not_judged(tmp_path: Path) -> None:
    assert rules(saved(tmp_path, *stripes())) == []


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("levels", [255.0, 1.0])
def test_swapped_colours_are_named(tmp_path: Path, labelled: bool, levels: float) -> None:
    x, y = stripes()
    data = saved(tmp_path, x[..., ::-1] * (levels / 255), y if labelled else None)
    assert rules(data, float_model=stripe_detector(levels)) == ["channel-order"]


def test_a_model_that_overflows_on_other_units_is_no_witness(tmp_path: Path) -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    image = g.input(Spec((1, 16, 16, 3), "float32", name="image"))
    mean, sizes = (g.tensor(Spec((1, 1, 1, 3), "float32")) for _ in range(2))
    pool = {"padding": "VALID", "stride_h": 16, "stride_w": 16, "filter_height": 16, "filter_width": 16}
    g.operator("AVERAGE_POOL_2D", [image], [mean], pool)
    g.operator("EXP", [mean], [sizes])  # as YOLOX makes sides of boxes
    g.output(sizes)
    x = np.random.default_rng(0).uniform(0.3, 1, (12, 16, 16, 3)).astype(np.float32)
    assert rules(saved(tmp_path, x), float_model=builder.pack()) == []


def test_three_samples_are_few(tmp_path: Path) -> None:
    (finding,) = lint(saved(tmp_path, noise(3), inputs=VECTOR), VECTOR)
    assert (finding.rule, finding.severity) == ("few-samples", "warning")
    assert "3 samples" in finding.message


def test_copies_are_named_with_their_number(tmp_path: Path) -> None:
    (finding,) = lint(saved(tmp_path, noise(40)[[7] * 40], [1] * 40, inputs=VECTOR), VECTOR)
    assert finding.rule == "duplicate-samples"
    assert "39 of 40 samples" in finding.message
    half = np.concatenate([noise(20), noise(20)])
    assert rules(saved(tmp_path, half, inputs=VECTOR), VECTOR) == ["duplicate-samples"]
    one = np.concatenate([noise(40), noise(1)])
    assert rules(saved(tmp_path, one, inputs=VECTOR), VECTOR) == []


def test_one_class_only_is_named(tmp_path: Path) -> None:
    data = saved(tmp_path, noise(20), np.full(20, 3), inputs=VECTOR)
    assert rules(data, VECTOR) == ["one-class"]


def test_constant_inputs_are_named(tmp_path: Path) -> None:
    x = noise(20)
    x[::3] = np.arange(7)[:, None]
    assert rules(saved(tmp_path, x, inputs=VECTOR), VECTOR) == ["constant-input"]
    x[3:] = noise(17, seed=1)
    assert rules(saved(tmp_path, x, inputs=VECTOR), VECTOR) == []


def test_an_input_that_nobody_filled_is_named_among_several(tmp_path: Path) -> None:
    inputs = [InputInfo("a", (1, 12), "float32"), InputInfo("b", (1, 4), "float32")]
    np.savez(tmp_path / "set.npz", a=noise(20), b=np.zeros((20, 4)))
    (finding,) = lint(open_dataset(tmp_path / "set.npz", inputs), inputs)
    assert (finding.rule, finding.tensor) == ("constant-input", "b")


def test_nan_is_an_error_and_names_the_row(tmp_path: Path) -> None:
    x = noise(20)
    x[4, 2] = np.nan
    (finding,) = lint(saved(tmp_path, x, inputs=VECTOR), VECTOR)
    assert (finding.rule, finding.severity) == ("bad-sample", "error")
    assert "1 of 20 samples" in finding.message
    assert "row 4" in finding.message


def test_a_set_of_which_nothing_can_be_read_is_an_error(tmp_path: Path) -> None:
    data = saved(tmp_path, np.full((12, 12), np.inf), inputs=VECTOR)
    assert rules(data, VECTOR) == ["bad-sample"]


def test_values_of_a_quantised_model_are_named(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(-128, 128, (20, 12))
    assert rules(saved(tmp_path, x, inputs=VECTOR), VECTOR) == ["quantized-values"]


def test_planes_in_the_shape_of_pixels_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (20, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    assert rules(saved(tmp_path, x)) == []
    planes = x.transpose(0, 3, 1, 2).reshape(x.shape)
    assert rules(saved(tmp_path, planes)) == ["planar-layout"]


def test_a_sample_outside_the_range_of_all_others_is_named(tmp_path: Path) -> None:
    x = noise(40)
    x[11] *= 10
    (finding,) = lint(saved(tmp_path, x, inputs=VECTOR), VECTOR)
    assert finding.rule == "uncovered-range"
    assert "row 11" in finding.message


def test_the_same_set_gives_the_same_findings(tmp_path: Path) -> None:
    x, y = stripes()
    data = saved(tmp_path, x[..., ::-1], y)
    first, second = (lint(data, IMAGE, float_model=stripe_detector(255)) for _ in range(2))
    assert [dataclasses.asdict(f) for f in first] == [dataclasses.asdict(f) for f in second]


@pytest.mark.shared
@pytest.mark.parametrize("limit", [30, 100])
def test_a_trained_image_classifier_tells_broken_sets_from_good_ones(
    shared: Path, tmp_path: Path, limit: int
) -> None:
    model = load_model(shared / "models/mlperf_tiny/ic01_resnet8_float.tflite", workdir=tmp_path).data
    graph = Graph.from_bytes(model)
    inputs = [InputInfo("image", graph.tensors[graph.inputs[0]].shape, "float32")]

    def found(**settings: object) -> list[str]:
        preprocess = ImagePreprocess.for_input(inputs[0].shape, **settings)
        images = shared / "data/cifar10/calibration"
        return rules(open_dataset(images, inputs, preprocess, limit=limit), inputs, model)

    assert found() == []
    assert found(color="bgr") == ["channel-order"]
    assert found(range=(0.0, 1.0)) == ["normalization"]
    assert found(range=(-1.0, 1.0)) == ["normalization"]


def test_every_rule_is_documented_and_every_documented_rule_exists(project: Path) -> None:
    source = "".join(p.read_text() for p in sorted((project / "qedge/datasets").glob("*.py")))
    raised = set(re.findall(r'Finding\(\s*"(?:error|warning|info)",\s*"([a-z-]+)"', source))
    page = (project / "docs/models_and_data.md").read_text().partition("What the linter names")[2]
    assert raised == set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE))
