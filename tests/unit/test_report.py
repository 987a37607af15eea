"""The report's page: what it says first, of single answers, and of what was tried; contrast and size."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from quantize_models import f32
from test_measure import MINMAX, ROWS, classes, dense

from qedge.findings import Finding
from qedge.graph import Graph
from qedge.pipeline import BuildRequest, build
from qedge.report import BuildReport, network, render_html, verdict
from qedge.target import Placement, resolve_all
from qedge.testing.opmodels import ModelBuilder

NAMES = ("ant", "bee", "cat", "dog")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> BuildReport:
    """Of a classifier of four, some of whose labels are wrong on purpose."""
    folder = tmp_path_factory.mktemp("report")
    x, y = classes(400)
    y[::10] = (y[::10] + 1) % 4
    (folder / "m.tflite").write_bytes(dense(ROWS))
    np.savez(folder / "d.npz", x=x, y=y)
    request = BuildRequest(
        folder / "m.tflite", resolve_all(["mcu"]), folder / "out", folder / "d.npz",
        labels=NAMES, options=MINMAX, card={"data_date": "2026-11-01"},
    )  # fmt: skip
    return build(request, lambda stage, share: None).report


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.S)))


def test_the_page_begins_with_the_verdict_and_says_what_it_is_of(report: BuildReport) -> None:
    page = render_html(report, "mcu")
    said = text_of(page)
    assert said.index("Ready") < said.index("made by") < said.index("Findings") < said.index("Samples")
    assert "2026-11-01" in said
    for digest in (report.model_sha256, report.graph.sha256, report.data["root"]):
        assert digest[:16] in said
    assert render_html(report, "mcu") == page


def test_the_verdict_counts_points_and_warnings_once(report: BuildReport) -> None:
    plain = replace(report, findings=())
    assert verdict(plain).level == "ready"
    warning = Finding("warning", "labels", "the labels are in another order")
    found = verdict(replace(plain, findings=(warning, warning)))
    assert (found.level, found.head) == ("warnings", "Ready, with 1 warning")
    output = {**report.outputs[0], "float_metric": 0.921, "quantized_metric": 0.908, "drop": 0.013}
    assert "int8 loses 1.3 points of accuracy (92.1 % to 90.8 %)" in str(
        verdict(replace(plain, outputs=(output,)))
    )
    part = report.targets["mcu"]
    nowhere = replace(part, operators=(Placement(0, "ERF", "unsupported", "no kernel"), *part.operators[1:]))
    assert verdict(plain, nowhere).head == "Not ready, 1 operator runs nowhere"


def test_wrong_samples_come_first_with_their_true_label(report: BuildReport) -> None:
    wrong = [e["truth"]["class"] != e["int8"]["class"] for e in report.examples]
    assert wrong[0]
    assert wrong == sorted(wrong, reverse=True)
    tile = r'<div class="tile( wrong)?">.*?true: <b>(\w+)</b>.*?int8: <span[^>]*>(\w+)'
    tiles = re.findall(tile, render_html(report, "mcu"), re.S)
    assert len(tiles) == len(report.examples)
    assert [bool(mark) for mark, _, _ in tiles] == wrong == [truth != said for _, truth, said in tiles]


def test_the_matrix_and_the_classes_add_up(report: BuildReport) -> None:
    assert report.classes is not None
    assert sum(c["samples"] for c in report.classes["classes"]) == report.samples
    missed = sum(c["samples"] for c in report.classes["confusions"])
    assert missed == round(report.samples * (1 - report.int8_accuracy)) > 0
    page = render_html(report, "mcu")
    cells = re.findall(r'<td class="(right|wrong)">(\d+)</td>', page)
    assert sum(int(n) for _, n in cells) == report.samples
    assert sum(int(n) for kind, n in cells if kind == "wrong") == missed
    for c in report.classes["classes"]:
        assert c["label"] == NAMES[c["class"]]
        astray = sum(x["samples"] for x in report.classes["confusions"] if x["truth"] == c["class"])
        assert c["recall"] == pytest.approx(1 - astray / c["samples"], abs=1e-4)


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        (0, "highest SQNR of the 3"),
        (1, "although one has a higher SQNR"),
        (2, "although 2 have a higher SQNR"),
    ],
)
def test_candidates_are_sorted_and_the_chosen_one_has_a_reason(
    report: BuildReport, chosen: int, reason: str
) -> None:
    tried = [
        {"method": f"m{k}", "sqnr_db": 40.0 - k, "agreement": 1.0, "accuracy": None, "bytes": 9, "chosen": k == chosen}
        for k in (2, 0, 1)
    ]  # fmt: skip
    page = render_html(replace(report, quantization={**report.quantization, "candidates": tried}), "mcu")
    assert reason in page
    rows = re.findall(r'<tr( class="chosen")?><td>(m\d)</td>', page)
    assert [name for _, name in rows] == ["m0", "m1", "m2"]
    assert [bool(mark) for mark, _ in rows].index(True) == chosen


def test_the_time_the_stack_and_the_arena_s_values_are_named(report: BuildReport) -> None:
    said = text_of(render_html(report, "mcu"))
    run = report.targets["mcu"].metrics
    assert f"{run['instructions']:,} an inference" in said
    latency = run["latency_ms"]
    assert (
        f"{latency['low']:g} to {latency['high']:g} ms, about {latency['value']:g}; estimate: 1.3 (" in said
    )
    assert "cycles an instruction at 120 MHz" in said
    assert latency["source"] in said
    assert f"{run['energy_mj']['low']:g} to {run['energy_mj']['high']:g} mJ" in said
    assert run["stack_bytes"] > 0
    assert {"features", "scores"} <= {b["tensor"] for b in run["arena_plan"]}
    assert "features" in said


def luminance(colour: str) -> float:
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]  # WCAG 2.2, relative luminance


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_has_a_contrast_of_at_least_four_and_a_half_in_both_schemes(project: Path) -> None:
    style = (project / "qedge/report/page.css").read_text()
    schemes = []
    for block in re.findall(r":root\{(.*?)\}", style, re.S):
        found = dict(re.findall(r"--(\w+):(#\w+)", block))
        schemes.append(
            {k: v if len(v) > 4 else "#" + "".join(2 * c for c in v[1:]) for k, v in found.items()}
        )
    assert len(schemes) == 2
    for colours in schemes:
        on_page = [("ink", "paper"), ("ink", "card"), ("dim", "paper"), ("dim", "card"), ("bad", "card")]
        tags = [("on", tag) for tag in ("one", "cpu", "good", "bad", "warn")]
        boxes = [("ink", box) for box in ("b0", "b1", "b2", "b3")]
        for text, ground in (*on_page, *tags, *boxes):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def test_twelve_photos_and_a_thousand_classes_stay_a_small_page(report: BuildReport) -> None:
    rng = np.random.default_rng(0)
    example = report.examples[0]
    photos = tuple(
        {**example, "input": rng.normal(size=(1, 224, 224, 3)).astype(np.float32)} for _ in range(12)
    )
    rows = [{**report.classes["classes"][0], "class": k, "label": f"class {k}"} for k in range(1000)]
    pairs = [{"truth": k, "said": k + 1, "samples": 1} for k in range(999)]
    large = replace(
        report, examples=photos, classes={"output": "scores", "classes": rows, "confusions": pairs}
    )
    assert len(render_html(large, "mcu").encode()) < 1_500_000


def test_lines_join_the_operators_that_share_a_value() -> None:
    """A value that is read again later keeps a lane of its own past the operators between."""
    builder = ModelBuilder()
    g = builder.subgraph()
    values = [g.input(f32(1, 4)), *(g.tensor(f32(1, 4)) for _ in range(4))]
    for a, b in ((0, 1), (1, 2), (2, 3)):
        g.operator("RELU", [values[a]], [values[b]])
    g.operator("ADD", [values[1], values[3]], [values[4]], {"fused_activation_function": "NONE"})
    g.output(values[4])
    graph = Graph.from_bytes(builder.pack())
    places = tuple(Placement(op.index, op.op, "cpu", "") for op in graph.operators)
    rows, width = network.rows(graph, places)
    assert [r.placement.op for r in rows] == [op.op for op in graph.operators]
    at = [int(m) for r in rows for m in re.findall(r'<circle cx="(\d+)"', r.picture)]
    assert len(at) == len(rows)
    assert len(set(at)) > 1
    assert width >= max(at)
    join = rows[[op.op for op in graph.operators].index("ADD")].picture
    assert join.count("C") >= 3  # two values in, one out


def test_a_compiler_s_own_operators_have_no_lines(report: BuildReport) -> None:
    rows, width = network.rows(report.graph, (Placement(0, "custom", "edgetpu", "mapped"),))
    assert (rows[0].picture, width) == ("", 0)


def test_boxes_of_both_models_lie_on_the_photo_and_curves_below(report: BuildReport) -> None:
    """Where a box is in the input, it is in the picture; without boxes nothing is drawn."""
    photo = np.random.default_rng(0).random((1, 48, 64, 3)).astype(np.float32)
    box = {"label": "cat", "score": 0.75, "box": (0.25, 0.5, 0.75, 1.0)}
    example = {
        "input": photo, "source": "a.png", "truth": None,
        "float": {"class": None, "text": "cat 75 %", "boxes": [box]},
        "int8": {"class": None, "text": "no object", "boxes": []},
    }  # fmt: skip
    precision = {
        "map50_95": 0.5,
        "map50": 0.75,
        "by_size": {"small": None, "large": 0.5},
        "by_class": {"cat": 0.5},
    }
    figures = {
        **report.outputs[0], "name": "objects", "task": "boxes", "sqnr_db": None, "centred_db": None,
        "boxes": {
            "float": {**precision, "curve": [1.0, 0.5]},
            "int8": {**precision, "map50": 0.625, "curve": [0.75, 0.0]},
        },
    }  # fmt: skip
    page = render_html(replace(report, examples=(example,), classes=None, outputs=(figures,)), "mcu")
    assert '<svg viewBox="0 0 64 48"' in page
    assert '<rect x="32.00" y="12.00" width="32.00" height="24.00" class="float">' in page
    assert "cat 75 %</title>" in page
    assert page.count('class="int8"') == 1  # its curve alone
    assert '<polyline points="0.0,50.0 320.0,200.0" class="int8"/>' in page
    assert "Dashed boxes are those of float." in page
    flat = re.sub(r"\s+", "", page)
    assert '<td>mAP50</td><tdclass="n">75.0%</td><tdclass="n">62.5%</td>' in flat
    assert '<td>mAP50-95,smallobjects</td><tdclass="n">–</td>' in flat
    assert '<td>mAP50-95,cat</td><tdclass="n">50.0%</td>' in flat
    assert "<td>exact<" not in flat  # boxes have no SQNR
    plain = render_html(report, "mcu")
    assert "Precision and recall" not in plain
    assert 'class="shot"' not in plain
