"""A detector's post-processing in C: its Python twin's objects to the last bit, and near those of the float one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcu_models import compile_model

from qedge import quantmath
from qedge.emulate import compile_c, compile_host, open_machine, run_host
from qedge.graph import Graph
from qedge.processing.detect import Detect
from qedge.quantize.boxes import matches
from qedge.testing.opmodels import ModelBuilder, Spec
from qedge_mcu.detector.plan import PIXEL, Plan, plan
from qedge_mcu.detector.twin import detect

LABELS = ("cat", "dog", "bird")
OBJECT = np.dtype([("box", np.int16, 4), ("score", np.uint16), ("label", np.uint16)])
PLAIN = Detect(
    "yolov8", bins=1, strides=(8, 16), input_size=(64, 48), box_outputs=(0, 2), score_outputs=(1, 3),
    threshold=0.3, iou=0.5,
)  # fmt: skip
BINS = PLAIN.replace(bins=16, threshold=0.25)
CHOSEN = PLAIN.replace(suppress=False, limit=15)
FOMO = Detect("fomo", scores_output=0, score_form="probabilities", background=True, threshold=0.4)
FOMO = FOMO.replace(input_size=(96, 80))


def model(spec: Detect) -> bytes:
    """Return a model whose outputs are its inputs, as the heads of ``spec`` have them."""
    builder = ModelBuilder()
    g = builder.subgraph()
    shapes: list[tuple[tuple[int, ...], float, int]] = [((1, 12, 10, 4), 1 / 256, -128)]
    if spec.form == "yolov8":
        shapes = []
        for k, stride in enumerate(spec.strides):
            cells = (1, *(int(side // stride) for side in spec.input_size))
            boxes = (0.11 + 0.02 * k, -5) if spec.bins > 1 else (0.03 + 0.01 * k, -100)
            shapes += [((*cells, 4 * spec.bins), *boxes), ((*cells, len(LABELS)), 0.05 - 0.01 * k, 10 + k)]
    for k, (shape, scale, zero) in enumerate(shapes):
        given = g.input(Spec(shape, "int8", scale, zero, name=f"in_{k}"))
        made = g.tensor(Spec(shape, "int8", scale, zero, name=f"out_{k}"))
        floor = g.tensor(Spec((1,), "int8", scale, zero, name=f"floor_{k}", data=np.array([-128], np.int8)))
        g.operator("MAXIMUM", [given, floor], [made], {})
        g.output(made)
    return builder.pack()


def library(spec: Detect, place: Path, **options: object) -> tuple[Path, Graph, Plan]:
    """Write the library; return its sources, the graph and the plan."""
    data = model(spec)
    graph, stated = Graph.from_bytes(data), {"labels": LABELS, "postprocess": spec} | options
    for path, text in compile_model(data, place, **stated).files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(text)
    planned = plan(graph, spec)
    assert planned is not None
    return place / "c/src", graph, planned


def codes(graph: Graph, spec: Detect, rng: np.random.Generator) -> list[np.ndarray]:
    """Return outputs, with some clear objects and a few places that nearly are ones."""
    found = []
    for t in graph.outputs:
        tensor = graph.tensors[t]
        table = rng.integers(-128, 128, tensor.shape, np.int8)
        if tensor.shape[-1] in (len(LABELS), 4) and (spec.form == "fomo" or tensor.shape[-1] == len(LABELS)):
            sparse = rng.random(table.shape) < rng.choice([0.0, 0.03, 0.3])
            table = np.where(sparse, table, -128).astype(np.int8)
        found.append(table)
    return found


MAIN = """
#include <stdio.h>
#include "tiny_detect.h"
static tiny_context context;
static tiny_object objects[TINY_DETECT_CANDIDATES];
int main(void)
{
    tiny_init(&context);
    while (READ) {
        int32_t count = tiny_run(&context);
        count = count != TINY_OK ? -1 : tiny_detect(&context, objects);
        fwrite(&count, 4, 1, stdout);
        fwrite(objects, sizeof objects[0], (size_t)count, stdout);
    }
    printf("%s", tiny_object_name(1));
    return 0;
}
"""


@pytest.mark.parametrize("capacity", [pytest.param(0, marks=pytest.mark.long), 5])
@pytest.mark.parametrize("spec", [PLAIN, BINS, CHOSEN, FOMO], ids=["plain", "bins", "chosen", "fomo"])
def test_c_finds_the_twin_s_objects(spec: Detect, capacity: int, tmp_path: Path) -> None:
    sources, graph, planned = library(spec, tmp_path, core="host")
    count = len(graph.inputs)
    reads = [
        f"fread(tiny_input{'' if count == 1 else f'_{k}'}(&context), 1,"
        f" TINY_INPUT{'' if count == 1 else f'_{k}'}_BYTES, stdin) != 0"
        for k in range(count)
    ]
    (tmp_path / "main.c").write_text(MAIN.replace("READ", " && ".join(reads)))
    defines = [f"TINY_DETECT_CANDIDATES={capacity}"] if capacity else []
    rng = np.random.default_rng(spec.bins + capacity)
    samples = [codes(graph, spec, rng) for _ in range(40)]
    program = compile_host(
        [tmp_path / "main.c", *sorted(sources.glob("*.c"))],
        tmp_path / "program",
        includes=[sources],
        defines=defines,
    )
    told = run_host(program, b"".join(c.tobytes() for sample in samples for c in sample))
    if capacity:
        planned = Plan(**{**vars(planned), "candidates": capacity, "limit": min(capacity, planned.limit)})
    several = 0
    for sample in samples:
        wanted = detect(planned, sample)
        found = np.frombuffer(told[4:], OBJECT, int.from_bytes(told[:4], "little"))
        assert [(*o["box"].tolist(), int(o["score"]), int(o["label"])) for o in found] == [
            tuple(o) for o in wanted
        ]
        told, several = told[4 + found.nbytes :], several + (len(wanted) > 1)
    assert told == b"dog"
    assert several > 5


@pytest.mark.parametrize("spec", [PLAIN, BINS, FOMO], ids=["plain", "bins", "fomo"])
def test_the_twin_finds_what_the_float_post_processing_finds(spec: Detect) -> None:
    graph = Graph.from_bytes(model(spec))
    planned = plan(graph, spec)
    assert planned is not None
    rng, same, all_of = np.random.default_rng(1), 0, 0
    for _ in range(30):
        sample = codes(graph, spec, rng)
        real = [quantmath.dequantize(c, *quantization_of(graph, k)) for k, c in enumerate(sample)]
        wanted = [d for d in spec.apply(real, LABELS) if min(d.box[2] - d.box[0], d.box[3] - d.box[1]) > 0.05]
        found = [as_detection(o, planned) for o in detect(planned, sample)]
        same += len(matches(wanted, found, 0.9))
        all_of += len(wanted)
    assert all_of > 20
    assert same > 0.95 * all_of


def quantization_of(graph: Graph, k: int) -> Any:
    quantization = graph.tensors[graph.outputs[k]].quantization
    assert quantization is not None
    return quantization.scalar


def as_detection(o: Any, planned: Plan) -> Any:
    from qedge.processing.detect import Detection

    height, width = planned.height * PIXEL, planned.width * PIXEL
    box = (o.top / height, o.left / width, o.bottom / height, o.right / width)
    return Detection(LABELS[o.label], o.score / 65536, box)


@pytest.mark.long
def test_the_emulated_core_finds_the_twin_s_objects(tmp_path: Path) -> None:
    sources, graph, planned = library(BINS, tmp_path, core="cortex-m4")
    symbols = ("tiny_init", "tiny_run", "tiny_detect")
    image = compile_c(sorted(sources.glob("*.c")), "cortex-m4", keep=symbols)
    machine = open_machine(image, "cortex-m4", count=True)
    context, objects = machine.allocate(1 << 16), machine.allocate(64 * OBJECT.itemsize)
    assert machine.call("tiny_init", context).value == 0
    header, rng = (sources / "tiny.h").read_text(), np.random.default_rng(4)
    places = [int(text.split(")")[0]) for text in header.split("(context->arena + ")[1:]]
    for _ in range(5):
        sample = codes(graph, BINS, rng)
        for place, values in zip(places, sample):
            machine.write(context + place, values.tobytes())
        assert machine.call("tiny_run", context).value == 0
        count = machine.call("tiny_detect", context, objects).value
        found = np.frombuffer(machine.read(objects, count * OBJECT.itemsize), OBJECT)
        wanted = detect(planned, sample)
        assert [(*o["box"].tolist(), int(o["score"]), int(o["label"])) for o in found] == [
            tuple(o) for o in wanted
        ]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (PLAIN.replace(input_size=(2048, 48)), "larger than the boxes' int16"),
        (FOMO.replace(score_form="softmax"), "a softmax in float"),
        (PLAIN.replace(strides=(4, 16)), "another number of places"),
        (PLAIN.replace(bins=8), "another number of sides"),
    ],
)
def test_no_c_is_written_where_it_would_not_be_exact(spec: Detect, why: str) -> None:
    fits = FOMO if spec.form == "fomo" else PLAIN
    assert plan(Graph.from_bytes(model(fits)), fits) is not None
    assert plan(Graph.from_bytes(model(fits)), spec) is None, why
