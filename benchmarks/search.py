"""The search under a budget: for four models five budgets each, met or rightly refused, in CPU seconds.

Needs the third-party models and data beside the project, and TensorFlow for the network on raw sound, which needs
16-bit activations. ``python benchmarks/search.py [--json] [--into FILE] [name ...]``: each budget is shares of what
int8 takes, and one ``qedge build`` with ``--max-drop 1%``. What is refused is tried by brute force over the largest
layers: nothing there may meet the budget. ``--into FILE`` adds each row to a file of JSON lines, and measures none
again that is there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import int4 as narrow
import numpy as np
import quantize as bench
from commands import cpu_seconds, printed, qedge
from tune import train_waveform

from qedge.frontends import load_model
from qedge.pipeline.pricing import pricer_of
from qedge.quantize import compare
from qedge.quantize.build import Builder
from qedge.quantize.model import FloatModel
from qedge.quantize.plan import narrow_operators, weight_slots
from qedge.quantize.recipe import Recipe
from qedge.quantize.rewrites import rewrite
from qedge.target import resolve

BOARD = "nucleo-l4r5zi"
LARGEST = 4
"""Layers whose every set with int4 weights brute force tries."""
MOST_TESTED = 600
BUDGETS: tuple[dict[str, float], ...] = (
    {"flash": 0.92},
    {"flash": 0.8, "ram": 2.0},
    {"flash": 0.9, "ram": 1.0, "latency": 1.05},
    {"flash": 0.4},
    {"latency": 0.9},
)
"""Limits as shares of what int8 takes."""


def given(name: str, scratch: Path) -> tuple[Path, Path, Path, bench.Samples, bench.Samples]:
    """Return the model, the samples as the command reads them, and the samples."""
    if name == "wave":
        path = scratch / "wave.keras"
        calibration, test = train_waveform(path)
    else:
        path = bench.SHARED / narrow.MODELS[name]
        calibration, test = narrow.READ[name]()
    chosen = np.linspace(0, len(test) - 1, min(len(test), MOST_TESTED)).round().astype(int)
    test = bench.Samples(test.values[chosen], None if test.labels is None else test.labels[chosen])
    return (
        path,
        narrow.write(calibration, scratch / f"{name}.npz"),
        narrow.write(test, scratch / f"{name}_test.npz"),
        calibration,
        test,
    )


def taken(built: dict[str, Any]) -> dict[str, float]:
    """Return what a build takes, by the names of the limits."""
    metrics = built["targets"]["mcu"]["metrics"]
    return {
        "flash": sum(metrics["flash_bytes"].values()),
        "ram": metrics["context_bytes"],
        "latency": metrics["latency_ms"]["value"],
    }


def brute_force(
    model: bytes, calibration: bench.Samples, test: bench.Samples, limits: dict[str, float]
) -> tuple[int, int]:
    """Return how many sets of int4 layers among the largest fit, and how many of those lose at most 1 % too."""
    ready = rewrite(FloatModel.from_bytes(model))
    builder = Builder(ready, calibration, range(len(calibration)))
    builder.statistics.distributions(moments=True)
    target = resolve("mcu")
    pricer = pricer_of([(target, {"board": BOARD, **limits})], "brute", calibration)
    assert pricer is not None
    graph = ready.graph
    sized = sorted(
        narrow_operators(graph),
        key=lambda i: -graph.tensors[weight_slots(graph, graph.operators[i])[0]].elements,
    )
    largest = sized[:LARGEST]
    fit = good = 0
    for count in range(len(largest) + 1):
        for layers in itertools.combinations(largest, count):
            data = builder.build(Recipe(rounding=True, narrow=tuple(sorted(layers))))
            price = pricer(data)
            if price is None or price.over:
                continue
            fit += 1
            found = compare(model, data, test).outputs[0]
            lost = found.drop if found.drop is not None else 1 - (found.agreement or 0.0)
            good += lost <= 0.01
    return fit, good


def measure(name: str, scratch: Path, known: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a row a budget, those that are known as they are."""
    had = {row["budget"]: row for row in known if row["model"] == name}
    if len(had) == len(BUDGETS):
        yield from had.values()
        return
    given_path, data, held, calibration, test = given(name, scratch)
    path = scratch / f"{name}.tflite"
    path.write_bytes(load_model(given_path, workdir=scratch).data)  # one conversion for all budgets
    common = [
        "build", path, "--data", data, "--eval-data", held, "-t", "mcu", "--board", BOARD, "--name", name,
        "-o", scratch / "out",
    ]  # fmt: skip
    base = taken(qedge(*common))
    for k, shares in enumerate(BUDGETS):
        if k in had:
            yield had[k]
            continue
        limits = {f: round(share * base[f], 2 if f == "latency" else 0) for f, share in shares.items()}
        row = {"model": name, "budget": k, "shares": shares, "limits": limits, **searched(common, limits)}
        if row["exit"] == 0:
            row["right"] = all(row["figures"][figure] <= most for figure, most in limits.items())
        else:
            fit, good = brute_force(path.read_bytes(), calibration, test, limits)
            row["brute_force"] = {"fit": fit, "good": good}
            row["right"] = not good and (row["exit"] == 6 or not fit)
        yield row


def searched(common: Sequence[object], limits: dict[str, float]) -> dict[str, Any]:
    """Return what one build under limits said, and its CPU seconds."""
    flags = [part for k, v in limits.items() for part in (f"--{k}", f"{v:g}ms" if k == "latency" else int(v))]
    before = cpu_seconds()
    done = subprocess.run(
        [sys.executable, "-m", "qedge", *map(str, [*common, *flags, "--max-drop", "1%", "--json"])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    row: dict[str, Any] = {"exit": done.returncode, "cpu_s": round(cpu_seconds() - before, 1)}
    answer = json.loads(done.stdout)
    if done.returncode:
        return row | {"said": answer["error"]["message"]}
    return row | {
        "method": answer["quantization"]["method"],
        "figures": taken(answer),
        "float": answer["float"]["accuracy"],
        "int8": answer["int8"]["accuracy"],
        "agreement": answer["quantization"]["agreement"],
    }


def kept(
    rows: Iterable[dict[str, Any]], known: list[dict[str, Any]], into: Path | None
) -> Iterator[dict[str, Any]]:
    """Yield the rows; those that are new are added to the file."""
    for row in rows:
        if into is not None and row not in known:
            with into.open("a") as file:
                file.write(json.dumps(row) + "\n")
        yield row


def main() -> None:
    """Print one row a budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["kws", "ic", "vww", "wave"])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--into", type=Path)
    arguments = parser.parse_args()
    if not (bench.SHARED / "models").is_dir():
        print("skipped: the third-party models and data are not beside the project")
        return
    into = arguments.into
    known = [json.loads(line) for line in into.read_text().splitlines()] if into and into.is_file() else []
    with tempfile.TemporaryDirectory() as scratch:
        found = (row for name in arguments.names for row in measure(name, Path(scratch), known))
        rows = printed(kept(found, known, into), as_json=arguments.json)
    sys.exit(0 if all(row["right"] for row in rows) else 1)


if __name__ == "__main__":
    main()
