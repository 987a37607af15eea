"""What can be said before a model is read: paths, words, a dataset's files by their headers, the place to write to.

Reading a model takes seconds and measuring it minutes; a misspelt word should not wait for that.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qedge.bundle.write import refuse_to_replace
from qedge.datasets.headers import refuse_unreadable
from qedge.datasets.objects import LABEL_FILES
from qedge.datasets.objects.find import holds_labels
from qedge.errors import DataError, UsageError
from qedge.pipeline.frigate import FRIGATE_RUNS_ON
from qedge.pipeline.prepare import guess_kind, needs_data, safe_name
from qedge.pipeline.request import BuildRequest
from qedge.processing.spec import preprocess_from_json
from qedge.quantize.pins import read_recipe
from qedge.quantize.recipe import Recipe
from qedge.target import TargetInfo
from qedge.tune import require_tensorflow, tuner_of

FLOAT_SUFFIXES = (".keras", ".h5", ".hdf5", ".onnx", ".pt2")
"""Models that are float whatever is in them: calibrating needs data."""


def preflight(request: BuildRequest, *, writes: bool = True) -> None:
    """Raise for everything that is wrong with a request and can be told without its model.

    Args:
        writes: whether bundles are to be written, so that the place for them is looked at too.

    Raises:
        UsageError: a wrong word, or an output folder that cannot be written.
        DataError: data that is not there, or files in it that cannot be used, all of them named.
    """
    if request.options.method != "auto":
        Recipe.parse(request.options.method)
    if request.options.recipe is not None:
        read_recipe(request.options.recipe)
    if tuner_of(request.options) is not None:
        require_tensorflow()
    _check_preprocess(request.preprocess, request.data)
    for target, options in request.targets:
        target.preflight(options)
        _check_paths(target.info, options)
    if request.export == "frigate" and all(t.info.accelerator != FRIGATE_RUNS_ON for t, _ in request.targets):
        raise UsageError(
            "--export frigate: no target has an Edge TPU", hint="add one (-t): `qedge targets` lists them"
        )
    if request.data is None and (request.model.is_dir() or request.model.suffix.lower() in FLOAT_SUFFIXES):
        raise needs_data(request.model)
    if writes:
        _check_out(request)
    for data in (request.data, request.eval_data):
        if data is not None:
            _check_data(data)


def _check_paths(info: TargetInfo, options: Mapping[str, Any]) -> None:
    """Raise unless the files that a target's options name are there; a program's name may be on the search path."""
    for option in info.options:
        path = options.get(option.name) if option.kind == "path" else None
        if path is not None and not Path(path).exists() and shutil.which(str(path)) is None:
            flag = "--" + option.name.replace("_", "-")
            raise UsageError(f"{flag}: there is nothing at {path}", hint=f"{flag} is {option.help}")


def _check_preprocess(stated: Mapping[str, Any], data: Path | None) -> None:
    """Check the fields that were stated; sizes that the model will give stand in as 1."""
    if not stated:
        return
    fields = dict(stated)
    if fields.setdefault("kind", guess_kind(fields, data)) == "image":
        fields = {"width": 1, "height": 1} | fields
    preprocess_from_json(fields, "$.preprocess", UsageError)


def _check_data(path: Path) -> None:
    if not path.exists():
        raise DataError(f"there is no dataset at {path}", hint="check the path given to --data")
    if path.is_dir() and holds_labels(path):
        return  # what is no sample there is told by who reads them
    if path.is_dir():
        refuse_unreadable(path)
    elif path.suffix.lower() not in (".npz", ".npy", *LABEL_FILES):
        raise DataError(
            f"{path} is no dataset: found a {path.suffix.lower() or 'file without suffix'}",
            hint="expected a folder of images or wav files, an .npz with x (and y), a .npy, or for a detector labelled"
            " boxes: data.yaml or a .json",
        )


def _check_out(request: BuildRequest) -> None:
    """Raise unless the bundles can be written where they will be: by writing there."""
    out = request.out
    name = safe_name(request.name or request.model.stem)
    for place in (out, out / name):
        if place.exists() and not place.is_dir():
            raise UsageError(f"{place}: a file is in the way of the build", hint="choose another --out")
    for target, _ in request.targets:
        refuse_to_replace(out / name / target.info.name)
    existing = out / name
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryDirectory(dir=existing, prefix=".qedge-") as probe:
            os.rmdir(probe)
            os.mkdir(probe)
    except OSError as problem:
        raise UsageError(
            f"{out}: nothing can be written there: {problem.strerror or problem}", hint="choose another --out"
        ) from None
