"""What went into a bundle, well enough to build it again: ``provenance.json``, and the request that it makes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from qedge.bundle import canonical
from qedge.bundle.read import Bundle
from qedge.datasets.identity import dataset_identity
from qedge.errors import IntegrityError, QedgeError, UsageError
from qedge.fields import Field
from qedge.pipeline.request import BuildRequest
from qedge.processing.spec import postprocess_from_json
from qedge.quantize import QuantizeOptions
from qedge.target import resolve
from qedge.target.options import typed_options

PROVENANCE = "provenance.json"
FORMAT, VERSION = "qedge-provenance", 1
MAX_BYTES = 4 << 20
_KEYS = (
    "format", "version", "model", "data", "eval_data", "tools", "options", "recipe", "preprocess", "postprocess",
    "labels", "input_shapes", "input_values", "trust_model", "judge", "strict", "cut_head", "export", "name", "card",
    "targets",
)  # fmt: skip


class Inputs(NamedTuple):
    """The user's files for building again."""

    model: Path
    data: Path | None
    eval_data: Path | None


def data_facts(path: Path | None) -> dict[str, Any] | None:
    """Return what a dataset is, by its Merkle root over all files; None without any."""
    if path is None:
        return None
    found = dataset_identity(path)
    return {"root": found.root, "files": found.files, "bytes": found.size}


def provenance(
    request: BuildRequest, model_sha256: str, data: Mapping[str, Any] | None, tools: Mapping[str, str]
) -> bytes:
    """Return ``provenance.json``: hashes of what was given, every option, the tools. No paths are in it."""
    options = asdict(replace(request.options, recipe=None))
    document = {
        "format": FORMAT,
        "version": VERSION,
        "model": {"sha256": model_sha256},
        "data": data,
        "eval_data": data_facts(request.eval_data),
        "tools": dict(tools),
        "options": options,
        "recipe": None if request.options.recipe is None else request.options.recipe.read_text("utf-8"),
        "preprocess": dict(request.preprocess),
        "postprocess": None if request.postprocess is None else request.postprocess.to_json(),
        "labels": None if request.labels is None else list(request.labels),
        "input_shapes": {k: list(v) for k, v in request.input_shapes.items()},
        "input_values": {k: list(v) for k, v in request.input_values.items()},
        "trust_model": request.trust_model,
        "judge": request.judge,
        "strict": request.strict,
        "cut_head": request.cut_head,
        "export": request.export,
        "name": request.name or request.model.stem,
        "card": dict(request.card),
        "targets": [[target.info.name, _plain(given)] for target, given in request.targets],
    }
    return (json.dumps(document, indent=1, ensure_ascii=False, default=_refuse) + "\n").encode()


def read_provenance(bundle: Bundle) -> Field:
    """Return the document of a bundle, its keys checked.

    Raises:
        UsageError: the bundle has none.
        IntegrityError: it is damaged.
    """
    where = f"{bundle.root}/{PROVENANCE}"
    if PROVENANCE not in bundle.manifest.files:
        raise UsageError(
            f"{bundle.root}: has no {PROVENANCE}", hint="build it once more with this version of qedge"
        )
    document = canonical.document(bundle.read(PROVENANCE), where, IntegrityError, most=MAX_BYTES)
    root = Field(document, f"{where}: $", IntegrityError).object(_KEYS)
    root["format"].string((FORMAT,))
    root["version"].integer(VERSION, VERSION)
    return root


def request_again(root: Field, inputs: Inputs, out: Path, scratch: Path) -> BuildRequest:
    """Return the request that a provenance describes, on the user's files.

    Args:
        scratch: folder for the recipe.

    Raises:
        IntegrityError: the files are not those of the build, or a field is wrong.
        UsageError: data that the build had are not given, or a target is not installed.
    """
    for key, path in (("data", inputs.data), ("eval_data", inputs.eval_data)):
        _require_same(root[key], path, "--" + key.replace("_", "-"))
    known = {f.name for f in fields(QuantizeOptions)}
    options: dict[str, Any] = dict(root["options"].object((), sorted(known)).value)
    options["recipe"] = None
    if root["recipe"].value is not None:
        options["recipe"] = scratch / "recipe.toml"
        options["recipe"].write_text(root["recipe"].string(), "utf-8")
    targets = []
    for entry in root["targets"].items():
        pair = list(entry.items())
        if len(pair) != 2:
            raise entry.fail("a target's name and its options")
        name, given = pair
        target = resolve(name.string())
        targets.append((target, typed_options(target.info, {}, given.object(optional=None).value)))
    postprocess = root["postprocess"].value
    root["model"].object(("sha256",))
    try:
        quantize = QuantizeOptions(**options)
    except (TypeError, ValueError) as problem:
        raise root["options"].fail(f"options of a build: {problem}") from None
    except QedgeError as problem:
        raise IntegrityError(f"{root['options'].path}: {problem.message}") from None
    return BuildRequest(
        model=inputs.model,
        targets=targets,
        out=out,
        data=inputs.data,
        name=root["name"].string(),
        labels=None if root["labels"].value is None else root["labels"].strings(),
        preprocess=_tuples(root["preprocess"].object(optional=None).value),
        postprocess=postprocess_from_json(postprocess, root["postprocess"].path, IntegrityError),
        options=quantize,
        input_shapes={k: tuple(int(n) for n in v) for k, v in _numbers(root["input_shapes"]).items()},
        input_values=_numbers(root["input_values"]),
        trust_model=root["trust_model"].boolean(),
        eval_data=inputs.eval_data,
        judge=root["judge"].boolean(),
        strict=root["strict"].boolean(),
        all_or_nothing=True,
        cut_head=None if root["cut_head"].value is None else root["cut_head"].boolean(),
        export=None if root["export"].value is None else root["export"].string(),
        card={key: value.string() for key, value in root["card"].members()},
    )


def differing_tools(root: Field, tools: Mapping[str, str]) -> list[str]:
    """Return in words which tools are not those of the build."""
    words = []
    for name, value in root["tools"].members():
        here = tools.get(name, "not installed")
        if here != value.string():
            words.append(f"{name} {value.string()} built it, here is {here}")
    return words


def _require_same(entry: Field, path: Path | None, flag: str) -> None:
    if entry.value is None:
        if path is not None:
            raise UsageError(f"{flag}: the bundle was built without", hint=f"leave out {flag}")
        return
    if path is None:
        raise UsageError(f"the bundle was built with data that {flag} names", hint=f"{flag} PATH")
    found, wanted = data_facts(path), entry.object(("root", "files", "bytes")).value
    if found is not None and found["root"] != wanted["root"]:
        raise IntegrityError(
            f"{path}: {found['files']} files, {found['bytes']:,} bytes, root {found['root'][:12]}; the bundle was built"
            f" with {wanted['files']} files, {wanted['bytes']} bytes, root {str(wanted['root'])[:12]}",
            hint="other data give another bundle",
        )


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a target's options as JSON; a path is a place on one machine, and stays out."""
    return {k: v for k, v in options.items() if v is not None and not isinstance(v, Path)}


def _numbers(entry: Field) -> dict[str, Sequence[Any]]:
    return {key: tuple(number.number() for number in value.items()) for key, value in entry.members()}


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}


def _refuse(value: object) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON")
