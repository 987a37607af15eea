"""From flags and ``qedge.toml`` to a build request: the one place where a user's words become objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from qedge.cli._help import PROCESSING, QUANTISATION
from qedge.cli._model import ModelArg, ShapeOpt, TrustOpt, ValueOpt, input_shapes, input_values
from qedge.cli._options import numbers, offering, options_of
from qedge.config import Config
from qedge.errors import DataError, UsageError
from qedge.frontends import registry
from qedge.pipeline import BuildRequest
from qedge.processing.image import COLORS, FITS, METHODS
from qedge.processing.spec import POSTPROCESS_KINDS, Postprocess, postprocess_from_json
from qedge.quantize import QuantizeOptions
from qedge.quantize.methods.ranges import RANGES
from qedge.quantize.options import EFFORTS, IO_TYPES, LIFTS
from qedge.target import default_name, resolve_all
from qedge.target import names as target_names
from qedge.target.options import percent

__all__ = ["ModelArg", "ShapeOpt", "TrustOpt", "ValueOpt", "request_from"]

_quantising = partial(typer.Option, rich_help_panel=QUANTISATION)
_processing = partial(typer.Option, rich_help_panel=PROCESSING)

DataOpt = Annotated[
    Path | None,
    typer.Option(
        "--data", "-d", help="Representative dataset: folder of images or wavs, .npz (x, y) or .npy."
    ),
]
TargetOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        "-t",
        help="Target; repeatable, or 'all'. See: qedge targets.",
        autocompletion=offering(lambda: [*target_names(), "all"]),
    ),
]
OutOpt = Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the builds. Default: build.")]
ConfigOpt = Annotated[
    Path | None, typer.Option("--config", help="Configuration file. Default: qedge.toml here.")
]
NameOpt = Annotated[str | None, typer.Option("--name", help="Name of the build. Default: the file's.")]
LabelsOpt = Annotated[
    Path | None, typer.Option("--labels", help="Label file, one a line, in the model's output order.")
]
SamplesOpt = Annotated[int | None, typer.Option("--samples", min=1, help="Use at most this many samples.")]
SeedOpt = Annotated[int | None, typer.Option("--seed", help="Seed of every choice.")]
IoOpt = Annotated[
    str | None,
    _quantising(
        "--io",
        help="Type of inputs and outputs: auto, int8, uint8, int16 ...",
        autocompletion=offering(IO_TYPES),
    ),
]
MethodOpt = Annotated[
    str | None,
    _quantising(
        "--method",
        help="Pin a quantisation method. Default: auto.",
        autocompletion=offering(("auto", *RANGES)),
    ),
]
EffortOpt = Annotated[
    str | None,
    _quantising(
        "--effort",
        help="How much to try: fast, normal or thorough. Default: normal.",
        autocompletion=offering(EFFORTS),
    ),
]
LiftOpt = Annotated[
    str | None,
    _quantising(
        "--lift",
        help="What layers go to where int8 is not exact enough: int16, float (slower or larger), none. Default: auto.",
        autocompletion=offering(LIFTS),
    ),
]
RecipeOpt = Annotated[
    Path | None,
    _quantising(
        "--recipe",
        help="Recipe file (TOML) that pins every part.",
    ),
]
MaxDropOpt = Annotated[
    str | None,
    _quantising(
        "--max-drop",
        help="Accuracy that int8 may lose, in points: 1%.",
    ),
]
MinSqnrOpt = Annotated[
    float | None,
    _quantising(
        "--min-sqnr",
        help="SQNR in dB that int8 must reach.",
    ),
]
WeightsOpt = Annotated[
    str | None,
    _quantising(
        "--weights",
        help="Type of weights: int8, int4, mixed (int4 as far as the accuracy budget allows), or auto: int4 where"
        " --flash asks for it.",
    ),
]
ParetoOpt = Annotated[
    int,
    _quantising(
        "--pareto",
        min=0,
        help="Also write this many bundles of other assignments of int4, int8 and 16-bit layers, to choose from.",
    ),
]
TuneOpt = Annotated[
    str | None,
    _quantising(
        "--tune",
        help="Learn weights and ranges from the float model's answers; 'auto': where the budget is missed.",
        metavar="[on|auto|off]",
    ),
]
TuneMinutesOpt = Annotated[
    float | None,
    _quantising(
        "--tune-minutes",
        min=0.1,
        help="Longest time to tune for. Default: 5.",
    ),
]
EvalOpt = Annotated[
    Path | None,
    _quantising(
        "--eval-data",
        help="Samples to measure on, in place of some held out of --data.",
    ),
]
StrictOpt = Annotated[
    bool,
    _quantising(
        "--strict",
        help="A warning about the model, the data or the figures is exit 6.",
    ),
]
ResizeOpt = Annotated[
    str | None,
    _processing(
        "--resize",
        help="Resampling of images: bilinear, nearest, bicubic, area, opencv.",
        autocompletion=offering(METHODS),
    ),
]
FitOpt = Annotated[
    str | None,
    _processing(
        "--fit",
        help="Image to input: stretch, crop or letterbox.",
        autocompletion=offering(FITS),
    ),
]
ColorOpt = Annotated[
    str | None,
    _processing(
        "--color",
        help="Channel order: rgb, bgr or gray.",
        autocompletion=offering(COLORS),
    ),
]
RangeOpt = Annotated[
    str | None,
    _processing(
        "--range",
        help="What 0..255 becomes, for instance 0,1 or -1,1. Default: 0,255.",
    ),
]
MeanOpt = Annotated[
    str | None,
    _processing(
        "--mean",
        help="Mean to subtract, in that range: one or three.",
    ),
]
StdOpt = Annotated[
    str | None,
    _processing(
        "--std",
        help="Divisor after the mean: one or three numbers.",
    ),
]
PreOpt = Annotated[
    list[str] | None,
    _processing(
        "--pre",
        help="Any pre-processing field as KEY=VALUE, repeatable: --pre sample_rate=16000.",
    ),
]
PostOpt = Annotated[
    str | None,
    _processing(
        "--post",
        help="Post-processing: classify, detect, segment, keypoints, regression, raw ...",
        autocompletion=offering((*POSTPROCESS_KINDS, "raw")),
    ),
]
EXPORTS = ("frigate",)
ExportOpt = Annotated[
    str | None,
    _processing(
        "--export",
        help="Also write what another application needs of a detector: frigate.",
    ),
]
CutOpt = Annotated[
    bool | None,
    _processing(
        "--cut-head/--no-cut-head",
        help="A detector's decoding: in the post-processing, or in the model. Default: where it is known, the first.",
    ),
]


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
