"""What a candidate takes, asked of the target, and what becomes of a search: bundles, JSON and the page."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mcu_models import compile_model, residual_network
from quantize_models import ArrayDataset

from qedge.cli._app import run
from qedge.errors import PluginError, UsageError
from qedge.graph import Graph
from qedge.pipeline.pricing import pricer_of
from qedge.price import Price
from qedge.quantize.build import Builder
from qedge.quantize.model import FloatModel
from qedge.quantize.plan import narrow_operators
from qedge.quantize.recipe import Recipe
from qedge.report.front import front_picture, front_rows
from qedge.runtime.plugins import Origin
from qedge.target import resolve
from qedge.target.guard import Guarded
from qedge.target.options import milliseconds
from qedge.testing.opmodels import Spec, single_op
from qedge.testing.requests import request
from qedge_mcu.target import TARGET, McuTarget
from tests.unit.quantize_models import cnn, images


def test_a_price_is_what_compiling_says(tmp_path: Path) -> None:
    model, sample = residual_network(), [[np.zeros((1, 9, 7, 3), np.int8)]]
    stated = {"golden_inputs": sample, "flash": 20_000, "latency": 9.0}
    price = TARGET.price(request(model, tmp_path, **stated))
    metrics = compile_model(model, tmp_path, golden_inputs=sample).metrics
    assert price is not None
    assert price.figures == {
        "flash": sum(metrics["flash_bytes"].values()),
        "ram": metrics["context_bytes"],
        "instructions": metrics["instructions"],
        "latency": metrics["latency_ms"]["value"],
    }
    assert price.limits == {"flash": 20_000, "latency": 9.0}


def test_what_is_added_up_is_what_counting_says(tmp_path: Path) -> None:
    model, data = FloatModel.from_bytes(cnn()), images(8)
    builder = Builder(model, data, list(range(8)), threads=1)
    layers = narrow_operators(model.graph)
    memory: dict[object, object] = {}

    def priced(narrow: Sequence[int], known: dict[object, object] | None) -> Price:
        graph = Graph.from_bytes(builder.build(Recipe(narrow=tuple(narrow))))
        sample = [[np.zeros(graph.tensors[t].shape, np.int8) for t in graph.inputs]]
        price = TARGET.price(request(graph, tmp_path, golden_inputs=sample, memory=known))
        assert price is not None
        return price

    assert priced((), memory).exact
    assert priced(layers, memory).exact
    assert priced(layers[:1], memory).exact
    assert priced(layers[:3], memory).exact  # how much a call more is
    added, counted = priced(layers[1:3], memory), priced(layers[1:3], None)
    assert not added.exact
    assert counted.exact
    assert added.figures["ram"] == counted.figures["ram"]
    assert added.figures["flash"] == pytest.approx(counted.figures["flash"], abs=48)
    assert added.figures["instructions"] == pytest.approx(counted.figures["instructions"], rel=2e-3)


def test_what_has_no_kernel_has_no_price(tmp_path: Path) -> None:
    model = single_op("FLOOR", [Spec((1, 4), "float32")], [Spec((1, 4), "float32")])
    assert TARGET.price(request(model, tmp_path, ram=5)) is None


def test_only_stated_limits_start_a_search() -> None:
    target, data = resolve("mcu"), images(4)
    assert pricer_of([(target, {"board": "pico"})], "m", data) is None
    assert pricer_of([(target, {"ram": 5})], "m", data) is not None
    assert pricer_of([(target, {})], "m", data, always=True) is not None
    assert pricer_of([(target, {"ram": 5}), (resolve("rpi"), {})], "m", data) is None


def test_a_model_is_priced_once(tmp_path: Path) -> None:
    asked = []

    class Counting(McuTarget):
        def price(self, request):  # type: ignore[no-untyped-def]
            asked.append(request.graph)
            return Price({"ram": 1.0}, {"ram": 2.0})

    data = ArrayDataset(np.zeros((3, 9, 7, 3), np.float32))
    pricer = pricer_of([(Counting(), {"ram": 2})], "m", data)
    assert pricer is not None
    model = residual_network()
    assert pricer(model) == pricer(model)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (Price({"ram": float("nan")}), "figure 'ram'"),
        (Price({"ram": 1.0}, {"flash": 2.0}), "limit of 'flash'"),
        ("cheap", "price returned"),
    ],
)
def test_a_target_s_wrong_price_names_the_target(price: object, said: str) -> None:
    class Odd(McuTarget):
        def price(self, request):  # type: ignore[no-untyped-def]
            return price

    guarded = Guarded(Odd(), Origin("odd", "1"))
    with pytest.raises(PluginError, match=said):
        guarded.price(request(Graph.from_bytes(residual_network())))


@pytest.mark.parametrize("text", ["0", "-3ms", "soon", "5 min", "nan"])
def test_a_latency_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected a time"):
        milliseconds(text, "--latency")


def offer(flash: float, db: float, **more: object) -> dict[str, object]:
    return {
        "method": f"mse+{flash:g}", "sqnr_db": db, "agreement": 1.0, "accuracy": None, "bytes": 9, "chosen": False,
        "holds": True, "fits": True, "figures": {"flash": flash, "latency": 2.5}, **more,
    }  # fmt: skip


def test_the_front_is_drawn_with_its_limit() -> None:
    front = [offer(900, 40, fits=False), offer(700, 33, chosen=True), offer(600, 20, holds=False)]
    names, rows = front_rows(front)
    assert names == ["flash", "latency"]
    assert [r["said"] for r in rows] == ["does not fit", "chosen", "misses the accuracy"]
    assert rows[0]["shown"] == ["900", "2.5 ms"]
    picture = front_picture(front, {"flash": 800.0})
    assert picture.count("<circle") == 3
    assert picture.count("<line") == 1
    across = [float(x) for x in re.findall(r'cx="([\d.]+)"', picture)]
    line = float(re.findall(r'x1="([\d.]+)"', picture)[0])
    assert across[0] > line > across[1] > across[2]
    assert front_picture(front[:1], {}) == ""
    assert front_rows([]) == ([], [])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("budget")
    (folder / "m.tflite").write_bytes(cnn())
    data = images(80)
    np.savez(folder / "d.npz", x=data.arrays[0])
    return folder


def built(project: Path, capsys: pytest.CaptureFixture[str], code: int, *flags: str) -> dict[str, object]:
    arguments = ["build", str(project / "m.tflite"), "--data", str(project / "d.npz"), "-t", "mcu", "--json"]
    arguments += ["--method", "minmax", "-o", str(project / "out"), *flags]
    assert run(arguments) == code
    answer: dict[str, object] = json.loads(capsys.readouterr().out)
    return answer


@pytest.mark.long
def test_a_build_meets_its_budget_and_writes_what_else_there_is(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = built(project, capsys, 0)
    assert plain["quantization"]["front"] == []  # type: ignore[index]
    flash = sum(plain["targets"]["mcu"]["metrics"]["flash_bytes"].values())  # type: ignore[index]
    small = built(project, capsys, 0, "--flash", str(flash - 100), "--latency", "1s")
    metrics = small["targets"]["mcu"]["metrics"]  # type: ignore[index]
    assert sum(metrics["flash_bytes"].values()) <= flash - 100
    assert {f["rule"] for f in small["findings"]} >= {"budget-search"}  # type: ignore[attr-defined]
    front = small["quantization"]["front"]  # type: ignore[index]
    assert [o["method"] for o in front if o["chosen"]] == [small["quantization"]["method"]]  # type: ignore[index]
    assert small["quantization"]["limits"] == {"flash": flash - 100, "latency": 1000.0}  # type: ignore[index]
    assert "What the budget allows" in (project / "out/m/mcu/report.html").read_text()
    roomy = built(project, capsys, 0, "--flash", str(flash + 4000), "--latency", "1s", "--pareto", "2")
    assert roomy["pareto"]
    for path in roomy["pareto"]:  # type: ignore[attr-defined]
        assert run(["verify", str(path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["bit_exact"] is True
    refused = built(project, capsys, 5, "--flash", "1K")
    assert "no assignment of int4, int8 and 16x8" in refused["error"]["message"]  # type: ignore[index]
    assert "over in flash by" in refused["error"]["message"]  # type: ignore[index]


def test_a_price_within_its_limits_fits() -> None:
    price = Price({"flash": 5.0}, {"flash": 5.0})
    assert not price.over
    assert replace(price, limits={"flash": 4.0}).over == {"flash": 1.0}
