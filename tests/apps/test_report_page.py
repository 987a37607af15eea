"""The report's page in Chromium: axe finds no serious fault, nothing overflows, and it prints on three pages."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import CHROMIUM

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "unit"))

from quantize_models import cnn, images

from qedge.pipeline import BuildRequest, build
from qedge.quantize import QuantizeOptions
from qedge.report import BuildReport, render_html
from qedge.target import resolve_all

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium"),
]
PHONE, DESK = 390, 1280


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> BuildReport:
    folder = tmp_path_factory.mktemp("report")
    (folder / "m.tflite").write_bytes(cnn())
    x = np.concatenate([images(count=200)[i][0] for i in range(200)])
    np.savez(folder / "d.npz", x=x, y=np.arange(200) % 4)
    request = BuildRequest(
        folder / "m.tflite", resolve_all(["mcu"]), folder / "out", folder / "d.npz",
        labels=("ant", "bee", "cat", "dog"), options=QuantizeOptions(),
    )  # fmt: skip
    return build(request, lambda stage, share: None).report


def crowded(report: BuildReport) -> BuildReport:
    """Return the report as one of a large model: many operators, candidates and classes."""
    part = report.targets["mcu"]
    operators = tuple(replace(part.operators[0], index=k, op=f"CONV_2D_{k}") for k in range(180))
    layers = tuple({**report.layers[0], "index": k} for k in range(180))
    rows = [{**report.classes["classes"][0], "class": k, "label": f"class number {k}"} for k in range(200)]
    pairs = [{"truth": k, "said": k + 1, "samples": 1} for k in range(199)]
    tried = [
        {**report.quantization["candidates"][0], "method": f"method {k}", "chosen": not k} for k in range(40)
    ]
    plan = [{**part.metrics["arena_plan"][0], "tensor": f"value {k}"} for k in range(180)]
    large = replace(part, operators=operators, metrics={**part.metrics, "arena_plan": plan})
    return replace(
        report,
        targets={"mcu": large},
        layers=layers,
        classes={"output": "scores", "classes": rows, "confusions": pairs},
        quantization={**report.quantization, "candidates": tried},
    )


@pytest.fixture(scope="module", params=["plain", "crowded"])
def page(
    report: BuildReport, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> str:
    place = tmp_path_factory.mktemp("page") / "report.html"
    place.write_text(render_html(report if request.param == "plain" else crowded(report), "mcu"))
    return place.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_axe_finds_no_serious_fault_and_nothing_overflows(
    browser: Any, page: str, width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    window = context.new_page()
    asked: list[str] = []
    window.on("request", lambda request: asked.append(request.url))
    window.goto(page)
    found = Axe().run(window).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []
    assert window.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()


def test_it_prints_on_at_most_three_pages_with_its_colours(browser: Any, page: str) -> None:
    window = browser.new_page(color_scheme="dark")
    window.goto(page)
    printed = window.pdf(prefer_css_page_size=True, print_background=False)
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 3
    window.emulate_media(media="print", color_scheme="dark")
    kept = window.evaluate("getComputedStyle(document.documentElement).printColorAdjust")
    assert kept == "exact"
    assert window.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    window.close()
