"""The flags of commands that build or read like a build: type, help and completion of each."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from qedge.cli._help import PROCESSING, QUANTISATION
from qedge.cli._model import ModelArg, ShapeOpt, TrustOpt, ValueOpt
from qedge.cli._options import offering
from qedge.processing.image import COLORS, FITS, METHODS
from qedge.processing.spec import POSTPROCESS_KINDS
from qedge.quantize.methods.ranges import RANGES
from qedge.quantize.options import EFFORTS, IO_TYPES, LIFTS
from qedge.target import names as target_names

__all__ = ["ModelArg", "ShapeOpt", "TrustOpt", "ValueOpt"]

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
