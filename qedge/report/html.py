"""A self-contained page of a build: readable on a phone, printable, without network or script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qedge.findings import Finding
from qedge.report import svg
from qedge.report.model import BuildReport, TargetReport
from qedge.report.svg import esc

WORST = 4
LOW_DB = 20.0

STYLE = """
:root{--ink:#1b1f24;--dim:#667;--line:#dde1e6;--paper:#fff;--card:#f6f8fa;--good:#1a7f5a;--warn:#b35900;--bad:#c0282d;--one:#3266ad}
@media (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--dim:#9aa3ad;--line:#333a42;--paper:#14171a;--card:#1d2126;
--good:#3fbf8f;--warn:#e09a4a;--bad:#f06a6e;--one:#6ea0e6}}
@media print{:root{--ink:#000;--dim:#444;--paper:#fff;--card:#fff}section{break-inside:avoid}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:860px;margin:0 auto;padding:20px 16px 60px}h1{font-size:1.6em;margin:.4em 0 .1em}h2{font-size:1.15em;
margin:2em 0 .5em}p{margin:.4em 0}.dim,small{color:var(--dim)}.cards{display:grid;gap:10px;margin:18px 0;
grid-template-columns:repeat(auto-fit,minmax(150px,1fr))}.card{background:var(--card);border:1px solid var(--line);
border-radius:10px;padding:10px 14px}.card b{display:block;font-size:1.35em;line-height:1.3}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92em}th,td{text-align:left;padding:4px 10px 4px 0;
border-bottom:1px solid var(--line);vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.tag{border-radius:5px;padding:1px 7px;color:#fff;background:var(--one);font-size:.88em;white-space:nowrap}
.tag.cpu{background:#7a828c}.tag.acc{background:var(--good)}.tag.unsupported,.tag.error{background:var(--bad)}
.tag.warning{background:var(--warn)}.strip{display:flex;height:26px;border-radius:6px;overflow:hidden;margin:8px 0}
.strip i{flex:1;background:var(--one);border-right:1px solid var(--paper)}.strip i.cpu{background:#7a828c}
.strip i.acc{background:var(--good)}.strip i.unsupported{background:var(--bad)}svg{width:100%;height:auto;display:block}
svg .t{font:12px system-ui,sans-serif;fill:var(--ink)}rect.ok,rect.bar{fill:var(--one)}rect.low{fill:var(--warn)}
rect.range{fill:var(--good);opacity:.22}.b0{fill:#3266ad}.b1{fill:#1a7f5a}.b2{fill:#b35900}.b3{fill:#7b5ea7}
polyline{fill:none;stroke:var(--one);stroke-width:1.5}.tiles{display:grid;gap:14px;
grid-template-columns:repeat(auto-fit,minmax(220px,1fr))}.tile{background:var(--card);border:1px solid var(--line);
border-radius:10px;padding:12px}.tile img{width:100%;max-height:180px;object-fit:contain;image-rendering:pixelated}
.bad{color:var(--bad)}code{background:var(--card);padding:1px 5px;border-radius:4px}
"""


def render_html(report: BuildReport, target: str) -> str:
    """Return the page for one target's bundle."""
    part = report.targets[target]
    body = "".join(
        (
            _head(report, target, part),
            _findings((*report.findings, *part.findings)),
            _outputs(report),
            _examples(report.examples),
            _placement(part),
            _arena(part),
            _layers(report.layers),
            _candidates(report.quantization.get("candidates", ())),
            _figures(part.metrics),
        )
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{esc(report.name)} for {esc(target)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def kilobytes(count: float | None) -> str:
    """Return bytes for a person, 1 kB = 1000 bytes."""
    if count is None:
        return "–"
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _head(report: BuildReport, target: str, part: TargetReport) -> str:
    sqnr = report.quantization.get("sqnr_db")
    cards = [("size", f"{kilobytes(report.int8_bytes)}", f"float: {kilobytes(report.float_bytes)}")]
    if report.float_bytes is not None:
        shown = "exact" if sqnr is None else f"{sqnr:.1f} dB"
        which = f"worst output: {report.quantization['worst_output']}, " if len(report.outputs) > 1 else ""
        on = f"{which}{report.samples} {_kind_of_samples(report)}"
        cards.append(("SQNR", shown, on))
    if report.int8_accuracy is not None:
        before = "–" if report.float_accuracy is None else f"{100 * report.float_accuracy:.1f} %"
        cards.append(("accuracy", f"{100 * report.int8_accuracy:.1f} %", f"float: {before}"))
    away = sum(1 for p in part.operators if p.placement in ("cpu", "unsupported"))
    placed = (
        len(part.operators) - away
        if any(p.placement != "cpu" for p in part.operators)
        else len(part.operators)
    )
    where = next((p.placement for p in part.operators if p.placement not in ("cpu", "unsupported")), "cpu")
    said = "predicted" if part.predicted else "as built"
    cards.append((f"operators on {where}", f"{placed} of {len(part.operators)}", said))
    for column in part.columns:
        value = column.value(part.metrics)
        if value is not None:
            shown = kilobytes(value) if column.metric.endswith("_bytes") else f"{value:,}"
            cards.append((column.title, shown, column.detail))
    tiles = "".join(
        f'<div class="card"><small>{esc(k)}</small><b>{esc(v)}</b><small>{esc(w)}</small></div>'
        for k, v, w in cards
    )
    return (
        f"<h1>{esc(report.name)} for {esc(target)}</h1>"
        f'<p class="dim">quantised by <code>{esc(report.quantization["method"])}</code>,'
        f" {esc(report.quantization['io'])} in and out, {report.calibration_samples} calibration samples</p>"
        f'<div class="cards">{tiles}</div>'
    )


def _kind_of_samples(report: BuildReport) -> str:
    words = {
        "held-out": "held-out samples",
        "calibration": "calibration samples",
        "eval-data": "samples of your own",
    }
    return words.get(report.measured_on or "", "samples")


def _outputs(report: BuildReport) -> str:
    """Return the table of figures of each output, columns of unlike size apart."""
    if not report.outputs:
        return ""
    rows = []
    for output in report.outputs:
        shares = output["metric"] != "mae"
        cells = [
            output["name"],
            output["task"].replace("_", " "),
            _db(output["sqnr_db"]),
            _db(output["centred_db"], "–"),
            _share(output["agreement"]),
            output["metric"] or "–",
            *(
                _share(output[k]) if shares else _cell(output[k])
                for k in ("float_metric", "quantized_metric")
            ),
            _range(output["quantized_interval"], shares),
        ]
        rows.append(cells)
        for part in output["parts"]:
            rows.append(
                [
                    f"columns {part['columns']}",
                    "",
                    _db(part["sqnr_db"]),
                    _db(part["centred_db"], "–"),
                    *[""] * 5,
                ]
            )
    heads = (
        "output",
        "task",
        "SQNR",
        "about the mean",
        "same answer",
        "metric",
        "float",
        "int8",
        "95 % interval",
    )
    head = "".join(f"<th>{esc(h)}</th>" for h in heads)
    body = "".join(f"<tr>{''.join(f'<td>{esc(c)}</td>' for c in row)}</tr>" for row in rows)
    return (
        f'<section><h2>Outputs</h2><p class="dim">{report.samples} {esc(_kind_of_samples(report))}</p>'
        f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div></section>'
    )


def _db(value: float | None, none: str = "exact") -> str:
    return none if value is None else f"{value:.1f} dB"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _range(interval: Sequence[float | None] | None, shares: bool) -> str:
    if interval is None or interval[0] is None or interval[1] is None:
        return "–"
    low, high = (v * (100 if shares else 1) for v in interval if v is not None)
    return f"{low:.1f} to {high:.1f}" if shares else f"{low:.4g} to {high:.4g}"


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return '<section><h2>Findings</h2><p class="dim">None.</p></section>'
    items = "".join(
        f'<tr><td><span class="tag {esc(f.severity)}">{esc(f.severity)}</span></td>'
        f"<td>{esc(f.op or '')} {esc(f.message)}{f'<br><small>{esc(f.hint)}</small>' if f.hint else ''}</td></tr>"
        for f in findings
    )
    return f'<section><h2>Findings</h2><div class="scroll"><table>{items}</table></div></section>'


def _examples(examples: Iterable[Mapping[str, Any]]) -> str:
    tiles = []
    for example in examples:
        before, after = example["float"], example["int8"]
        verdict = ""
        if before["class"] is not None:
            same = before["class"] == after["class"]
            what = "labels" if isinstance(before["class"], list) else "class"
            verdict = f"<br>the same {what}" if same else f'<br><b class="bad">another {what}</b>'
        tiles.append(
            f'<div class="tile">{svg.picture(example["input"])}<p>float: {esc(before["text"])}<br>'
            f"int8: {esc(after['text'])}{verdict}<br><small>{esc(example['source'])}</small></p></div>"
        )
    if not tiles:
        return ""
    return f'<section><h2>Samples</h2><div class="tiles">{"".join(tiles)}</div></section>'


def _kind(placement: str) -> str:
    return placement if placement in ("cpu", "unsupported") else "acc"


def _placement(part: TargetReport) -> str:
    strip = "".join(
        f'<i class="{_kind(p.placement)}" title="{esc(f"#{p.index} {p.op}: {p.placement}")}"></i>'
        for p in part.operators
    )
    rows = "".join(
        f'<tr><td class="n">{p.index}</td><td>{esc(p.op)}</td>'
        f'<td><span class="tag {_kind(p.placement)}">{esc(p.placement)}</span></td><td>{esc(p.reason)}'
        f"{f'<br><small>{esc(p.hint)}</small>' if p.hint else ''}</td></tr>"
        for p in part.operators
    )
    title = "Where it runs: predicted, not a compiler's word" if part.predicted else "Where it runs"
    return (
        f'<section><h2>{esc(title)}</h2><div class="strip">{strip}</div><div class="scroll"><table><tr>'
        f'<th class="n">#</th><th>operator</th><th>runs on</th><th>why</th></tr>{rows}</table></div></section>'
    )


def _arena(part: TargetReport) -> str:
    plan = part.metrics.get("arena_plan")
    if not plan:
        return ""
    total = max(int(b["offset"]) + int(b["bytes"]) for b in plan)
    steps = max(int(b["last_op"]) for b in plan) + 1
    return f"<section><h2>The arena over time</h2>{svg.arena(plan, total, steps)}</section>"


def _layers(layers: Sequence[Mapping[str, Any]]) -> str:
    if not layers:
        return ""
    rows = [
        (_layer_name(x), x["sqnr_db"], "low" if x["sqnr_db"] is not None and x["sqnr_db"] < LOW_DB else "ok")
        for x in layers
    ]
    ranked = [x for x in layers if x["sqnr_db"] is not None and x["low"] is not None]
    tiles = "".join(_histogram(x) for x in sorted(ranked, key=lambda x: float(x["sqnr_db"]))[:WORST])
    return (
        '<section><h2>SQNR by layer</h2><p class="dim">each with everything before it</p>'
        f"{svg.bars(rows, unit='dB', best=60.0)}</section>"
        f'<section><h2>Worst layers</h2><p class="dim">values of the float model, the range of int8 shaded</p>'
        f'<div class="tiles">{tiles}</div></section>'
    )


def _layer_name(layer: Mapping[str, Any]) -> str:
    return f"#{layer['index']} {layer['op']}"


def _histogram(layer: Mapping[str, Any]) -> str:
    alone = layer["isolated_db"]
    said = f"{layer['sqnr_db']:.1f} dB" + ("" if alone is None else f", alone {alone:.1f} dB")
    notes = [f"{100 * layer['saturated']:.2f} % saturated"] if layer["saturated"] else []
    notes += [f"{layer['dead']} of {layer['channels']} channels dead"] if layer["dead"] else []
    represented = (layer["represented_low"], layer["represented_high"])
    shaded = None if None in represented else represented
    picture = svg.histogram(layer["histogram"], (layer["low"], layer["high"]), shaded)
    return (
        f'<div class="tile"><b>{esc(_layer_name(layer))}</b><br><small>{esc(layer["tensor"].split(";")[0])}</small>'
        f'<p class="dim">{esc(said)}{esc("; " + ", ".join(notes)) if notes else ""}</p>{picture}</div>'
    )


def _candidates(candidates: Sequence[Mapping[str, Any]]) -> str:
    if not candidates:
        return ""
    columns = [k for k in candidates[0] if k != "seconds" and not isinstance(candidates[0][k], (list, dict))]
    head = "".join(f"<th>{esc(c.replace('_', ' '))}</th>" for c in columns)
    rows = "".join(f"<tr>{''.join(f'<td>{_cell(x.get(c))}</td>' for c in columns)}</tr>" for x in candidates)
    return f'<section><h2>What was tried</h2><div class="scroll"><table><tr>{head}</tr>{rows}</table></div></section>'


def _figures(metrics: Mapping[str, Any]) -> str:
    rows = []
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            rows += [
                (f"{key}: {k}", v) for k, v in value.items() if not isinstance(v, (list, tuple, Mapping))
            ]
        elif not isinstance(value, (list, tuple)):
            rows.append((key, value))
    if not rows:
        return ""
    cells = "".join(
        f'<tr><td>{esc(k.replace("_", " "))}</td><td class="n">{_cell(v)}</td></tr>' for k, v in rows
    )
    return f'<section><h2>Figures</h2><div class="scroll"><table>{cells}</table></div></section>'


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else esc(value)
