"""What a build knows of a model and what only people know, as others read it: a model card and a bill of materials.

``card.md`` is a model card in Hugging Face's form (YAML metadata, then Markdown), with the questions of the NIST AI RMF
(Map, Measure, Manage) and of the EU's AI Act and Cyber Resilience Act answered as far as a build can. ``bom.json`` is a
CycloneDX 1.6 ML-BOM. Neither has a time or a path in it: the same build gives the same bytes.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

FIELDS: Mapping[str, str] = {
    "purpose": "what the model is for, in a sentence",
    "users": "who is meant to use it",
    "limits": "where it is not to be relied on",
    "licence": "licence of the model: an SPDX name",
    "source": "where the model comes from",
    "data_licence": "licence of the training data",
    "data_date": "when the data were taken",
    "data_source": "where the training data come from",
    "contact": "where to report a fault or a vulnerability",
    "support_until": "until when there will be updates: a date",
    "oversight": "who looks at what it decides, and can overrule it",
    "risk_class": "risk class under the AI Act, as you assessed it",
}
"""What only people know: keys of ``[card]`` in ``qedge.toml``, each with what it asks."""
UNKNOWN = "*not stated*"
_NAMESPACE = uuid.UUID("6f1d5c52-7d0b-5c53-9d8f-2a4e0b1c7e11")


class Facts(NamedTuple):
    """What a build knows.

    Args:
        manifest: ``Manifest.to_json()``; its ``files`` are those that the documents list.
        report: ``BuildReport.to_json()``.
        data: ``{"root", "files", "bytes"}`` of the calibration data, or None.
        recipe: what was asked of the quantiser.
        tools: name and version of what decided the bytes.
        card: what people stated, by the keys of :data:`FIELDS`.
    """

    manifest: Mapping[str, Any]
    report: Mapping[str, Any]
    data: Mapping[str, Any] | None
    recipe: Mapping[str, Any]
    tools: Mapping[str, str]
    card: Mapping[str, str]


def bill_of_materials(facts: Facts) -> bytes:
    """Return ``bom.json``: CycloneDX 1.6, valid under its strict schema."""
    manifest, card = facts.manifest, facts.card
    model = manifest["model"]
    files = manifest["files"]
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": model["name"],
        "version": files["model.tflite"]["sha256"][:12],
        "hashes": [{"alg": "SHA-256", "content": files["model.tflite"]["sha256"]}],
        "modelCard": _model_card(facts),
        "properties": _properties(
            {"target": manifest["target"], "source:sha256": model["sha256"], **_flat("recipe", facts.recipe)}
        ),
    }
    if card.get("purpose"):
        component["description"] = card["purpose"]
    if card.get("licence"):
        component["licenses"] = [{"license": {"name": card["licence"]}}]
    source = card.get("source", "")
    if re.fullmatch(r"https?://[\w.~:/?#@!$&'()*+,;=%-]+", source):
        component["externalReferences"] = [{"type": "distribution", "url": source}]
    elif source:
        component["properties"] += _properties({"source": source})
    parts = [
        {
            "type": "file",
            "bom-ref": f"file:{name}",
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": entry["sha256"]}],
        }
        for name, entry in sorted(files.items())
    ]
    tools = [
        {"type": "application", "bom-ref": f"tool:{name}", "name": name, "version": version}
        for name, version in sorted(facts.tools.items())
    ]
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"tools": {"components": tools}, "component": component},
        "components": [*_data_component(facts), *parts],
        "dependencies": [{"ref": "model", "dependsOn": [part["bom-ref"] for part in parts]}],
    }
    identity = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, identity)}"
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _model_card(facts: Facts) -> dict[str, Any]:
    manifest, card = facts.manifest, facts.card
    considerations: dict[str, Any] = {}
    for key, name in (("users", "users"), ("purpose", "useCases"), ("limits", "technicalLimitations")):
        if card.get(key):
            considerations[name] = [card[key]]
    parameters: dict[str, Any] = {
        "task": _task(facts),
        "inputs": [{"format": f"{t['dtype']} {t['shape']}"} for t in manifest["inputs"]],
        "outputs": [{"format": f"{t['dtype']} {t['shape']}"} for t in manifest["outputs"]],
    }
    if facts.data is not None:
        parameters["datasets"] = [{"ref": "calibration"}]
    found: dict[str, Any] = {"bom-ref": "card", "modelParameters": parameters}
    metrics = [
        {"type": name, "value": value, "slice": where} for name, value, where in _metrics(facts.report)
    ]
    if metrics:
        found["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    return {**found, "considerations": considerations} if considerations else found


def _data_component(facts: Facts) -> list[dict[str, Any]]:
    if facts.data is None:
        return []
    entry: dict[str, Any] = {
        "type": "data",
        "bom-ref": "calibration",
        "name": "calibration data",
        "hashes": [{"alg": "SHA-256", "content": facts.data["root"]}],
        "properties": _properties({"files": facts.data["files"], "bytes": facts.data["bytes"]}),
    }
    if facts.card.get("data_licence"):
        entry["licenses"] = [{"license": {"name": facts.card["data_licence"]}}]
    return [entry]


def _metrics(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (name, value, samples) of what was measured, float and quantised, for every output."""
    where = f"{report['data']['samples']} samples, {report['data'].get('measured_on') or 'none'}"
    found = []
    for output in report.get("outputs", ()):
        for key in ("sqnr_db", "agreement"):
            if output.get(key) is not None:
                found.append((f"{output['name']}: {key}", str(output[key]), where))
        if output.get("metric"):
            for kind in ("float", "quantized"):
                value = output.get(f"{kind}_metric")
                if value is not None:
                    found.append((f"{output['name']}: {output['metric']}, {kind}", str(value), where))
    return found


def _task(facts: Facts) -> str:
    post = facts.manifest.get("postprocess")
    return {"classify": "classification", "detect": "object detection", "segment": "segmentation"}.get(
        post["kind"] if post else "", "other"
    )


def _flat(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}:{key}": value for key, value in sorted(values.items()) if value is not None}


def _properties(values: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": f"qedge:{key}", "value": str(value)} for key, value in values.items()]


def model_card(facts: Facts) -> bytes:
    """Return ``card.md``."""
    manifest, report, card = facts.manifest, facts.report, facts.card

    def said(key: str) -> str:
        return card.get(key) or UNKNOWN

    head = ["---", "library_name: qedge", "tags: [tflite, quantized, edge]"]
    if card.get("licence"):
        head.append(f"license: {json.dumps(card['licence'])}")
    head += [f"pipeline_tag: {json.dumps(_task(facts))}", "---", ""]
    labels = manifest["labels"]
    inputs = "; ".join(f"`{t['name']}` {t['dtype']} {t['shape']}" for t in manifest["inputs"])
    outputs = "; ".join(f"`{t['name']}` {t['dtype']} {t['shape']}" for t in manifest["outputs"])
    data = "none" if facts.data is None else f"{facts.data['files']} files, root `{facts.data['root']}`"
    warnings = [f for f in report["findings"] if f["severity"] != "info"]
    lines = [
        *head,
        f"# {manifest['model']['name']}",
        "",
        said("purpose"),
        "",
        "| | |",
        "|---|---|",
        f"| for | {said('users')} |",
        f"| not for | {said('limits')} |",
        f"| licence | {said('licence')} |",
        f"| from | {said('source')}, sha256 `{manifest['model']['sha256']}` |",
        f"| target | {manifest['target']} |",
        f"| inputs | {inputs} |",
        f"| outputs | {outputs} |",
        f"| classes | {', '.join(labels[:50]) + (' ...' if len(labels) > 50 else '') if labels else 'none'} |",
        f"| training data | {said('data_source')}, taken {said('data_date')}, licence {said('data_licence')} |",
        f"| calibrated on | {data} |",
        f"| made by | {', '.join(f'{n} {v}' for n, v in sorted(facts.tools.items()))} |",
        f"| quantisation | {report['quantization']['method']} |",
        "",
        "## What was measured",
        "",
        *_table(("figure", "value", "on"), _metrics(report)),
        "",
        *(["Warnings of the build:", "", *[f"- {f['message']}" for f in warnings], ""] if warnings else []),
        "## NIST AI Risk Management Framework",
        "",
        *_table(
            ("function", "what is known"),
            [
                ("Map: context and purpose", f"{said('purpose')}; users: {said('users')}"),
                ("Map: limits", said("limits")),
                ("Measure: performance", "the figures above, on samples that are named there"),
                ("Measure: what the build warned of", str(len(warnings))),
                ("Manage: oversight", said("oversight")),
                ("Manage: contact", said("contact")),
                ("Manage: updates", f"until {said('support_until')}; versions are told apart by the digest"),
            ],
        ),
        "",
        "## EU AI Act and Cyber Resilience Act",
        "",
        *_table(
            ("duty", "answer"),
            [
                ("risk class, as assessed by the provider", said("risk_class")),
                ("human oversight", said("oversight")),
                ("accuracy, robustness", "the figures above"),
                ("record of what it is made of", "`bom.json` (CycloneDX 1.6)"),
                ("contact for vulnerabilities", said("contact")),
                ("support period", said("support_until")),
                ("integrity", "SHA-256 of every file in `manifest.json`; `qedge sign` vouches for them"),
            ],
        ),
        "",
        f"Where it says {UNKNOWN}, state it in `[card]` of `qedge.toml`: a build cannot know it.",
        "This page answers no duty by itself.",
        "",
    ]
    return "\n".join(lines).encode()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
