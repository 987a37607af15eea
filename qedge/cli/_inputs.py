"""From flags and ``qedge.toml`` to a build request: the one place where a user's words become objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qedge.cli._flags import EXPORTS
from qedge.cli._model import input_shapes, input_values
from qedge.cli._options import numbers, options_of
from qedge.config import Config
from qedge.errors import DataError, UsageError
from qedge.frontends import registry
from qedge.pipeline import BuildRequest
from qedge.processing.spec import Postprocess, postprocess_from_json
from qedge.quantize import QuantizeOptions
from qedge.quantize.options import IO_TYPES
from qedge.target import default_name, resolve_all
from qedge.target.options import percent


def request_from(
    config: Config,
    *,
    model: Path | None,
    data: Path | None = None,
    target: Sequence[str] | None = None,
    out: Path | None = None,
    name: str | None = None,
    labels: Path | None = None,
    samples: int | None = None,
    seed: int | None = None,
    io: str | None = None,
    method: str | None = None,
    effort: str | None = None,
    lift: str | None = None,
    recipe: Path | None = None,
    max_drop: str | None = None,
    min_sqnr: float | None = None,
    preprocess: Mapping[str, Any] | None = None,
    post: str | None = None,
    input_shape: Sequence[str] | None = None,
    input_value: Sequence[str] | None = None,
    trust_model: bool = False,
    target_options: Mapping[str, Any] | None = None,
    eval_data: Path | None = None,
    strict: bool = False,
    all_or_nothing: bool = False,
    weights: str | None = None,
    pareto: int = 0,
    tune: str | None = None,
    tune_minutes: float | None = None,
    cut_head: bool | None = None,
    export: str | None = None,
) -> BuildRequest:
    """Return what to build: each value from its flag, else the environment, else the file, else a default.

    Raises:
        UsageError: nothing names a model, or a value is not what it must be.
    """
    chosen = model or config.path_of("model", "path")
    if chosen is None:
        raise UsageError(
            "no model was named, and there is no qedge.toml here",
            hint="qedge build MODEL --data PATH --target TARGET, or write a qedge.toml with: qedge init",
        )
    registry.check_named(chosen)
    data = data or config.path_of("data", "path")
    wanted = list(target or config.get("build", "targets") or [default_name()])
    io = io or str(config.get("build", "io", "auto"))
    if io not in IO_TYPES:
        raise UsageError(f"--io: found {io!r}", hint=f"expected one of: {', '.join(IO_TYPES)}")
    drop = max_drop or config.get("quantize", "max_drop")
    options = QuantizeOptions(
        method=method or str(config.get("quantize", "method", "auto")),
        effort=effort or str(config.get("quantize", "effort", "normal")),
        lift=lift or str(config.get("quantize", "lift", "auto")),
        io=io,
        samples=samples if samples is not None else config.get("data", "samples"),
        seed=seed if seed is not None else config.get("data", "seed", 0),
        max_drop=None if drop is None else percent(drop, "--max-drop") / 100,
        min_sqnr=min_sqnr if min_sqnr is not None else config.get("quantize", "min_sqnr"),
        recipe=recipe or config.path_of("quantize", "recipe"),
        per_channel=config.get("quantize", "per_channel"),
        weights=weights or str(config.get("quantize", "weights", "auto")),
        pareto=pareto,
        tune=tune or str(config.get("quantize", "tune", "off")),
        tuning=_tuning(config, tune_minutes),
    )
    return BuildRequest(
        model=chosen,
        data=data,
        targets=[
            (t, options_of(t.info, {**meant, **(target_options or {})}, config))
            for t, meant in resolve_all(wanted)
        ],
        out=out or config.folder / str(config.get("build", "out", "build")),
        name=name or config.get("model", "name"),
        labels=read_labels(labels) if labels else _labels_of(config),
        preprocess={**config.section("preprocess"), **(preprocess or {})},
        postprocess=_postprocess(config, post),
        options=options,
        eval_data=eval_data or config.path_of("data", "eval"),
        strict=strict or bool(config.get("build", "strict", False)),
        input_shapes=input_shapes(input_shape, config.get("model", "input_shape")),
        input_values=input_values(input_value, config.get("model", "input_value")),
        trust_model=trust_model,
        all_or_nothing=all_or_nothing,
        cut_head=config.get("model", "cut_head") if cut_head is None else cut_head,
        export=_export(export),
        card=config.section("card"),
    )


def _tuning(config: Config, minutes: float | None) -> dict[str, float]:
    """Return how to tune: ``[tune]`` of the configuration, minutes from the flag first."""
    stated = {key: float(value) for key, value in config.section("tune").items()}
    if minutes is not None:
        stated["minutes"] = minutes
    return stated


def _export(named: str | None) -> str | None:
    if named not in (None, *EXPORTS):
        raise UsageError(f"--export: found {named!r}", hint=f"expected one of: {', '.join(EXPORTS)}")
    return named


def image_fields(
    resize: str | None,
    fit: str | None,
    color: str | None,
    range_: str | None,
    mean: str | None,
    std: str | None,
    pre: Sequence[str] | None,
) -> dict[str, Any]:
    """Return the pre-processing fields that flags state; ``--pre KEY=VALUE`` reaches every field."""
    fields: dict[str, Any] = {"resize": resize, "fit": fit, "color": color}
    fields["range"] = numbers(range_, "--range", (2,))
    fields["mean"] = numbers(mean, "--mean", (1, 3))
    fields["std"] = numbers(std, "--std", (1, 3))
    fields = {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items() if v is not None}
    for entry in pre or ():
        key, equals, value = entry.partition("=")
        if not equals or not key:
            raise UsageError(f"--pre: found {entry!r}, expected KEY=VALUE", hint="--pre sample_rate=16000")
        fields[key.strip()] = _literal(value.strip())
    return fields


def _literal(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError:
        pass
    if "," in text:
        return [_literal(part.strip()) for part in text.split(",")]
    return text


def _postprocess(config: Config, post: str | None) -> Postprocess | None:
    stated = config.section("postprocess")
    if post:
        stated["kind"] = post
    return postprocess_from_json(stated, "$.postprocess", UsageError) if stated else None


def _labels_of(config: Config) -> tuple[str, ...] | None:
    value = config.get("model", "labels")
    if isinstance(value, list):
        return tuple(value)
    path = config.path_of("model", "labels")
    return read_labels(path) if path else None


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the labels of a file, one a line; a leading index (``3 cat``) is dropped when every line has one.

    Raises:
        DataError: the file cannot be read, or is empty. A label may stand twice, as two of ImageNet do.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read the labels in {path}: {error}", hint="one label a line, UTF-8"
        ) from error
    parts = [line.split(None, 1) for line in lines]
    if lines and all(len(p) == 2 and p[0].rstrip(":").isdigit() for p in parts):
        lines = [p[1] for p in parts]
    if not lines:
        raise DataError(f"no label in {path}", hint="one label a line, in the model's output order")
    return tuple(lines)
