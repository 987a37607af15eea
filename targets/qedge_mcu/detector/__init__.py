"""A detector's post-processing as C, beside the model: `<model>_detect`, from codes to boxes in integers alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files as package_files
from typing import Any

from qedge.graph import Graph
from qedge.processing.spec import Postprocess
from qedge_mcu.app import names_function
from qedge_mcu.c_text import io_name, values_text
from qedge_mcu.detector.plan import Grid, Level, Plan, plan

__all__ = ["detector_files", "plan"]

_TEMPLATES = {"detect.h.in": "{name}_detect.h", "detect.c.in": "{name}_detect.c"}


def detector_files(
    graph: Graph, name: str, postprocess: Postprocess | None, labels: Sequence[str]
) -> dict[str, bytes]:
    """Return ``<name>_detect.h`` and ``.c``; none where `plan` has no integer form of the post-processing."""
    planned = plan(graph, postprocess)
    if planned is None:
        return {}
    values: dict[str, Any] = {
        "name": name,
        "NAME": name.upper(),
        "limit": planned.limit,
        "candidates": planned.candidates,
        "width": planned.width,
        "height": planned.height,
        "iou": planned.iou,
        "of_its_class": " of its class" if planned.per_class else "",
        "same": "all->objects[k].label == all->objects[i].label && " if planned.per_class else "",
        "names": names_function(f"{name}_object_name", "The name of a label.", labels) if labels else "",
    }

    def output(position: int) -> str:
        return f"{name}_{io_name('output', position, len(graph.outputs))}(context)"

    parts = {"iou"} if planned.iou is not None else set()
    if planned.grid is not None:
        parts.add("grid")
        values |= _grid_values(planned.grid, output(planned.grid.scores.output))
    else:
        parts |= {"levels", "every" if planned.iou is None else "one"}
        parts |= {"bins"} if any(level.distances.bins > 1 for level in planned.levels) else set()
        outputs = [(output(level.distances.output), output(level.scores.output)) for level in planned.levels]
        values |= _level_values(planned, outputs)
    return {
        path.format(name=name): _filled(_read(template), parts, values).encode()
        for template, path in _TEMPLATES.items()
    }


def _grid_values(grid: Grid, output: str) -> dict[str, Any]:
    scores = grid.scores
    return {
        "rows": grid.height,
        "columns": grid.width,
        "classes": scores.classes,
        "least": scores.least,
        "tables": _table("scores", scores.table),
        "calls": f"    for (int32_t k = {grid.first}; k < CLASSES; ++k) {{\n"
        f"        look({output} + k, scores, k - {grid.first}, &all);\n    }}",
    }


def _level_values(planned: Plan, outputs: Sequence[tuple[str, str]]) -> dict[str, str]:
    tables, rows, calls = [], [], []
    for k, (level, (boxes, scores)) in enumerate(zip(planned.levels, outputs)):
        tables.append(_table(f"score_{k}", level.scores.table))
        if level.distances.bins > 1:
            tables.append(_table(f"weight_{k}", level.distances.table))
        rows.append(_row(level, k))
        calls.append(f"    look(&levels[{k}], {boxes}, {scores}, &all);")
    if planned.iou is not None:
        calls.append("    suppress(&all);")
    table = "\n".join(rows)
    tables.append(f"    static const level levels[{len(rows)}] = {{\n{table}\n    }};")
    return {"tables": "\n".join(tables), "calls": "\n".join(calls)}


def _row(level: Level, k: int) -> str:
    distances, scores = level.distances, level.scores
    weight = f"weight_{k}" if distances.bins > 1 else "NULL"
    plain = (distances.zero_point, distances.multiplier) if distances.bins == 1 else (0, 0)
    numbers = (level.height, level.width, level.stride, scores.classes, scores.least, distances.bins, *plain)
    return f"        {{{', '.join(map(str, numbers))}, {weight}, score_{k}}},"


def _table(name: str, values: Any) -> str:
    """Return a table of uint16; one zero where nothing is in it, since C has no empty arrays."""
    text = values_text(values) if len(values) else "    0,"
    return f"    static const uint16_t {name}[{max(1, len(values))}] = {{\n{text}\n    }};"


def _filled(text: str, parts: set[str], values: Mapping[str, Any]) -> str:
    """Return a template with the parts that are wanted, ``@part<@`` to ``@part>@``, and the values put in."""
    for part in set(re.findall(r"@(\w+)<@", text)):
        text = re.sub(
            rf"@{part}<@\n(.*?)@{part}>@\n", (lambda m: m[1]) if part in parts else "", text, flags=re.DOTALL
        )
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    return text


def _read(path: str) -> str:
    return (package_files(__name__) / path).read_text("utf-8")
