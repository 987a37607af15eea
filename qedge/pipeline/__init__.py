"""The whole journey of a model, from the user's file to one bundle a target; ``journey.py`` shows it on one screen."""

from qedge.pipeline.answers import examples
from qedge.pipeline.gate import raise_for
from qedge.pipeline.journey import build, check
from qedge.pipeline.package import tensor_spec
from qedge.pipeline.preflight import preflight
from qedge.pipeline.prepare import (
    complete_preprocess,
    default_postprocess,
    guess_kind,
    input_infos,
    prepare,
    safe_name,
    spread,
    usable_labels,
)
from qedge.pipeline.request import BuildRequest, BuildResult, Prepared, steps
from qedge.pipeline.summary import finite, layer_json, measure_layers

__all__ = [
    "BuildRequest",
    "BuildResult",
    "Prepared",
    "build",
    "check",
    "complete_preprocess",
    "default_postprocess",
    "examples",
    "finite",
    "guess_kind",
    "input_infos",
    "layer_json",
    "measure_layers",
    "preflight",
    "prepare",
    "raise_for",
    "safe_name",
    "spread",
    "steps",
    "tensor_spec",
    "usable_labels",
]
