"""A self-contained page of a build: readable on a phone, printable, without network or script.

``page.html.j2`` is the page, ``page.css`` its style; here is what stands in it. The same report gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from qedge._version import __version__
from qedge.report import network, objects, svg
from qedge.report.front import front_picture, front_rows
from qedge.report.model import BuildReport, TargetReport
from qedge.report.verdict import distinct, verdict

WORST = 4
LOW_DB, BEST_DB = 20.0, 60.0
MATRIX_CLASSES = 20
"""Classes up to which what is taken for what is a matrix; of more, the most frequent confusions."""
CONFUSIONS, CLASS_ROWS, ARENA_NAMES = 20, 40, 16
OUTPUT_HEADS = (
    "output", "task", "SQNR", "about the mean", "same answer", "metric", "float", "int8", "95 % interval",
)  # fmt: skip


def render_html(report: BuildReport, target: str) -> str:
    """Return the page for one target's bundle."""
    from jinja2 import Environment, StrictUndefined

    place = files("qedge.report")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(share=_share, db=_db, kilobytes=kilobytes, kind=_kind)
    page = environment.from_string(place.joinpath("page.html.j2").read_text("utf-8"))
    part = report.targets[target]
    classes = report.classes
    return page.render(
        report=report,
        part=part,
        target=target,
        version=__version__,
        style=_safe(place.joinpath("page.css").read_text("utf-8")),
        verdict=verdict(report, part),
        cards=_cards(report, part),
        data_said=_data_said(report),
        kind_of_samples=_kind_of_samples(report),
        findings=distinct((*report.findings, *part.findings)),
        examples=[_example(e) for e in report.examples],
        examples_said=_examples_said(report),
        curves=_safe(objects.curves(report)),
        precisions=objects.precision_rows(report),
        classes=classes["classes"] if classes else (),
        matrix=_matrix(classes) if classes and len(classes["classes"]) <= MATRIX_CLASSES else None,
        confusions=_confusions(classes) if classes else (),
        ranked_classes=sorted(classes["classes"], key=_worst_class_first)[:CLASS_ROWS] if classes else (),
        outputs=_outputs(report),
        output_heads=OUTPUT_HEADS,
        candidates=_candidates(report),
        front=front_rows(report.quantization.get("front", ())),
        front_picture=front_picture(
            report.quantization.get("front", ()), report.quantization.get("limits", {})
        ),
        reason=_reason(report),
        rows=_rows(report, part),
        placed_said=_placed_said(part),
        reasons=_reasons(part),
        arena=_arena(part),
        arena_names=_arena_names(part),
        bars=[_bar(layer) for layer in report.layers],
        worst=_worst(report.layers),
        figures=_figures(part.metrics),
    )


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def kilobytes(count: float | None) -> str:
    """Return bytes for a person, 1 kB = 1000 bytes."""
    if count is None:
        return "–"
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _cards(report: BuildReport, part: TargetReport) -> list[tuple[str, str, str]]:
    sqnr = report.quantization.get("sqnr_db")
    cards = [("size", f"{kilobytes(report.int8_bytes)}", f"float: {kilobytes(report.float_bytes)}")]
    if report.float_bytes is not None:
        shown = "exact" if sqnr is None else f"{sqnr:.1f} dB"
        which = f"worst output: {report.quantization['worst_output']}, " if len(report.outputs) > 1 else ""
        cards.append(("SQNR", shown, f"{which}{report.samples} {_kind_of_samples(report)}"))
    if report.int8_accuracy is not None:
        before = "–" if report.float_accuracy is None else f"{100 * report.float_accuracy:.1f} %"
        title = "mAP50-95" if objects.measured(report) else "accuracy"
        cards.append((title, f"{100 * report.int8_accuracy:.1f} %", f"float: {before}"))
    away = sum(1 for p in part.operators if p.placement in ("cpu", "unsupported"))
    elsewhere = any(p.placement != "cpu" for p in part.operators)
    placed = len(part.operators) - away if elsewhere else len(part.operators)
    where = next((p.placement for p in part.operators if p.placement not in ("cpu", "unsupported")), "cpu")
    said = "predicted" if part.predicted else "as built"
    cards.append((f"operators on {where}", f"{placed} of {len(part.operators)}", said))
    for column in part.columns:
        value = column.value(part.metrics)
        if value is not None:
            shown = kilobytes(value) if column.metric.endswith("_bytes") else f"{value:,}"
            cards.append((column.title, shown, column.detail))
    for title, key, unit in (("latency", "latency_ms", "ms"), ("energy", "energy_mj", "mJ")):
        found = part.metrics.get(key)
        if isinstance(found, Mapping) and "value" in found:
            cards.append((title, _estimate(found, unit), f"estimate: {found['model']}"))
    return cards


def _estimate(found: Mapping[str, Any], unit: str) -> str:
    """Return an estimate with its range, where it has one."""
    if "low" not in found:
        return f"{found['value']:.3g} {unit}"
    return f"{found['low']:.3g} to {found['high']:.3g} {unit}"


def _kind_of_samples(report: BuildReport) -> str:
    words = {
        "held-out": "held-out samples",
        "calibration": "calibration samples",
        "eval-data": "samples of your own",
    }
    return words.get(report.measured_on or "", "samples")


def _data_said(report: BuildReport) -> str:
    if report.data is None:
        return "none"
    measured = f", measured on {report.samples} {_kind_of_samples(report)}" if report.samples else ""
    files_of = f"{report.data['files']:,} files, {kilobytes(report.data['bytes'])}"
    return f"{report.calibration_samples} samples calibrated{measured}; {files_of}"


def _example(example: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sample with its picture, and whether int8 is wrong or differs from the float model."""
    before, after, truth = example["float"], example["int8"], example.get("truth")
    differs = before["class"] is not None and before["class"] != after["class"]
    wrong = truth is not None and after["class"] is not None and truth["class"] != after["class"]
    said = ""
    if before["class"] is not None:
        what = "labels" if isinstance(before["class"], list) else "class"
        said = f"another {what} than float" if differs else f"the same {what}"
    if wrong:
        alone = truth is not None and before["class"] == truth["class"]
        said = "int8 alone wrong" if alone else said if differs else "both wrong"
    picture = _safe(objects.picture(example))
    return {
        **example,
        "truth": truth,
        "picture": picture,
        "differs": differs or wrong,
        "wrong": wrong,
        "said": said,
    }


def _examples_said(report: BuildReport) -> str:
    wrong = sum(bool(_is_wrong(e)) for e in report.examples)
    if report.classes is None:
        drawn = " Dashed boxes are those of float." if objects.has_boxes(report) else ""
        return f"Some of the samples.{drawn}"
    total = sum(c["samples"] for c in report.classes["confusions"])
    return f"{total} of {report.samples} samples are wrong" + (f", {wrong} of them first:" if wrong else ".")


def _is_wrong(example: Mapping[str, Any]) -> bool:
    truth = example.get("truth")
    return truth is not None and example["int8"]["class"] not in (None, truth["class"])


def _matrix(classes: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], list[tuple[int, int]]]]:
    """Return a row a class: (class said, samples) for every class."""
    wrong = {(c["truth"], c["said"]): int(c["samples"]) for c in classes["confusions"]}
    rows = []
    for c in classes["classes"]:
        k = c["class"]
        missed = sum(n for (truth, _), n in wrong.items() if truth == k)
        counts = {**{said: n for (truth, said), n in wrong.items() if truth == k}, k: c["samples"] - missed}
        rows.append((c, [(other["class"], counts.get(other["class"], 0)) for other in classes["classes"]]))
    return rows


def _confusions(classes: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    names = {c["class"]: c["label"] for c in classes["classes"]}
    return [(names[c["truth"]], names[c["said"]], c["samples"]) for c in classes["confusions"][:CONFUSIONS]]


def _worst_class_first(c: Mapping[str, Any]) -> tuple[bool, float, int]:
    return c["f1"] is None, 1.0 if c["f1"] is None else float(c["f1"]), int(c["class"])


def _outputs(report: BuildReport) -> list[list[str]]:
    """Return the figures of each output, columns of unlike size apart."""
    rows = []
    for output in report.outputs:
        shares = output["metric"] != "mae"
        rows.append(
            [
                output["name"],
                output["task"].replace("_", " "),
                _db(output["sqnr_db"], "–" if output["task"] == "boxes" else "exact"),
                _db(output["centred_db"], "–"),
                _share(output["agreement"]),
                output["metric"] or "–",
                *(
                    _share(output[k]) if shares else _cell(output[k])
                    for k in ("float_metric", "quantized_metric")
                ),
                _range(output["quantized_interval"], shares),
            ]
        )
        for p in output["parts"]:
            rows.append(
                [f"columns {p['columns']}", "", _db(p["sqnr_db"]), _db(p["centred_db"], "–"), *[""] * 5]
            )
    return rows


def _db(value: float | None, none: str = "exact") -> str:
    return none if value is None else f"{value:.1f} dB"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _range(interval: Sequence[float | None] | None, shares: bool) -> str:
    if interval is None or interval[0] is None or interval[1] is None:
        return "–"
    low, high = (v * (100 if shares else 1) for v in interval if v is not None)
    return f"{low:.1f} to {high:.1f}" if shares else f"{low:.4g} to {high:.4g}"


def _candidates(report: BuildReport) -> list[Mapping[str, Any]]:
    """Return what was tried, best SQNR first."""

    def key(c: Mapping[str, Any]) -> float:
        return -1e9 if c["sqnr_db"] is None else -float(c["sqnr_db"])

    return sorted(report.quantization.get("candidates", ()), key=key)


def _reason(report: BuildReport) -> str:
    """Return why the chosen candidate was."""
    ranked = _candidates(report)
    at = next((k for k, c in enumerate(ranked) if c["chosen"]), None)
    if at is None:
        return ""
    name = ranked[at]["method"]
    ended = next((f.message for f in report.findings if f.rule == "search-ended"), None)
    if ended:
        return ended
    if len(ranked) == 1:
        return f"{name} was the only one tried."
    if at == 0:
        return f"{name} has the highest SQNR of the {len(ranked)} that were tried."
    higher = "one has" if at == 1 else f"{at} have"
    return (
        f"{name} was chosen although {higher} a higher SQNR: on samples that had no part in their ranges, or by their"
        " answers, those did worse, or they missed what was asked for."
    )


def _kind(placement: str) -> str:
    return placement if placement in ("cpu", "unsupported") else "acc"


def _rows(report: BuildReport, part: TargetReport) -> list[dict[str, Any]]:
    """Return a row an operator; what is said of nearly all of them is said once, above."""
    rows, _ = network.rows(report.graph, part.operators)
    common = _common_reason(part)
    return [
        {
            "placement": r.placement,
            "shape": r.shape,
            "picture": r.picture,
            "said": "" if r.placement.reason == common else r.placement.reason,
        }
        for r in rows
    ]


def _common_reason(part: TargetReport) -> str:
    reasons = [p.reason for p in part.operators]
    most = max(dict.fromkeys(reasons), key=reasons.count, default="")
    return most if reasons.count(most) > len(reasons) // 2 else ""


def _placed_said(part: TargetReport) -> str:
    total, places = len(part.operators), [p.placement for p in part.operators]
    counts = ", ".join(f"{places.count(p)} of {total} on {p}" for p in dict.fromkeys(places))
    common = _common_reason(part)
    return f"{counts}; {common}" if common else counts


def _reasons(part: TargetReport) -> list[tuple[str, str, str]]:
    """Return what keeps operators off the accelerator, each reason once: the operators, the reason, the hint."""
    accelerated = any(_kind(p.placement) == "acc" for p in part.operators)
    found: dict[tuple[str, str], list[str]] = {}
    for p in part.operators:
        if p.placement == "unsupported" or (accelerated and p.placement == "cpu"):
            found.setdefault((p.reason, p.hint or ""), []).append(f"#{p.index} {p.op}")
    return [
        (", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else ""), reason, hint)
        for (reason, hint), names in found.items()
    ]


def _arena(part: TargetReport) -> Any:
    plan = part.metrics.get("arena_plan")
    if not plan:
        return ""
    total = max(int(b["offset"]) + int(b["bytes"]) for b in plan)
    steps = max(int(b["last_op"]) for b in plan) + 1
    return _safe(svg.arena(plan, total, steps))


def _arena_names(part: TargetReport) -> list[tuple[int, str, str, str]]:
    """Return number, name, size and life of the arena's buffers, the largest of them by size."""
    plan = list(enumerate(part.metrics.get("arena_plan") or (), 1))
    largest = sorted(plan, key=lambda entry: -int(entry[1]["bytes"]))[:ARENA_NAMES]
    return [
        (k, b["tensor"].split(";")[0], f"{b['bytes']:,} B", f"#{b['first_op']} to #{b['last_op']}")
        for k, b in largest
    ]


def _bar(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer's name, SQNR, how full its bar is (in percent of `BEST_DB`) and whether that is low."""
    db = layer["sqnr_db"]
    full = 100 if db is None else round(100 * max(0.0, min(1.0, db / BEST_DB)))
    return {"name": _layer_name(layer), "db": db, "full": full, "low": db is not None and db < LOW_DB}


def _layer_name(layer: Mapping[str, Any]) -> str:
    return f"#{layer['index']} {layer['op']}"


def _worst(layers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    ranked = [x for x in layers if x["sqnr_db"] is not None and x["low"] is not None]
    return [_histogram(x) for x in sorted(ranked, key=lambda x: float(x["sqnr_db"]))[:WORST]]


def _histogram(layer: Mapping[str, Any]) -> dict[str, Any]:
    alone = layer["isolated_db"]
    said = [f"{layer['sqnr_db']:.1f} dB" + ("" if alone is None else f", alone {alone:.1f} dB")]
    said += [f"{100 * layer['saturated']:.2f} % saturated"] if layer["saturated"] else []
    said += [f"{layer['dead']} of {layer['channels']} channels dead"] if layer["dead"] else []
    represented = (layer["represented_low"], layer["represented_high"])
    shaded = None if None in represented else represented
    picture = svg.histogram(layer["histogram"], (layer["low"], layer["high"]), shaded)
    name, tensor = _layer_name(layer), layer["tensor"].split(";")[0]
    return {"name": name, "tensor": tensor, "said": "; ".join(said), "picture": _safe(picture)}


def _figures(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, Any]] = []
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            plain = (item for item in value.items() if not isinstance(item[1], (list, tuple, Mapping)))
            rows += [(f"{key}: {k}", v) for k, v in plain]
        elif not isinstance(value, (list, tuple)):
            rows.append((key, value))
    return [(name.replace("_", " "), _cell(value)) for name, value in rows]


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
