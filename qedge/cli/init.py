"""``qedge init``: write a ``qedge.toml``, from flags or by asking."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from qedge.cli import _flags as flags
from qedge.cli import _inputs as i
from qedge.cli._console import Ui
from qedge.config import FILE_NAME, load_config, to_toml
from qedge.errors import DataError, UsageError
from qedge.frontends import registry
from qedge.pipeline import guess_kind
from qedge.pipeline.ranges import fitting_ranges
from qedge.target import default_name, names, resolve
from qedge.target.options import percent

ForceOpt = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
YesOpt = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take the flags and the defaults.")]
RANGES = ((0, 255), (0, 1), (-1, 1))
PathOpt = Annotated[Path, typer.Option("--config", help="The file to write.")]


def command(
    ui: Ui,
    model: flags.ModelArg = None,
    data: flags.DataOpt = None,
    target: flags.TargetOpt = None,
    config: PathOpt = Path(FILE_NAME),
    labels: flags.LabelsOpt = None,
    io: flags.IoOpt = None,
    resize: flags.ResizeOpt = None,
    fit: flags.FitOpt = None,
    color: flags.ColorOpt = None,
    range_: flags.RangeOpt = None,
    mean: flags.MeanOpt = None,
    std: flags.StdOpt = None,
    pre: flags.PreOpt = None,
    force: ForceOpt = False,
    yes: YesOpt = False,
) -> None:
    """Write a qedge.toml, so that `qedge build` needs no arguments. Asks for what no flag says."""
    if config.exists() and not force:
        raise UsageError(f"{config} is there already", hint="add --force to replace it")
    asking = not yes and sys.stdin.isatty()
    model = model or _ask(asking, "Model (.keras, .h5, SavedModel folder, .tflite)", _first_model())
    if model is None:
        raise UsageError("no model was named", hint="qedge init MODEL --data PATH --target TARGET")
    registry.check_named(model)
    data = data or _ask(asking, "Representative data (folder, .npz, .npy)", _first_data())
    if data is not None and not data.exists():
        raise DataError(f"there is no dataset at {data}", hint="check the path given to --data")
    kind = guess_kind({}, data)
    if data is not None and data.is_dir() and kind == "image" and range_ is None:
        range_ = _range(ui, model, data) if asking else None
    labels = labels or _ask(
        asking, "Labels, one a line in the model's output order (a file, or nothing)", None
    )
    if labels is not None and not labels.is_file():
        raise DataError(f"no label file {labels}", hint="check the path given to --labels")
    budget = _ask(asking, "Accuracy that int8 may lose, in points (1%, or nothing)", None)
    if budget is not None:
        percent(str(budget), "the accuracy that int8 may lose")
    wanted = list(target or [])
    if not wanted:
        usual = default_name()
        answer = _ask(asking, f"Targets ({', '.join(names())})", Path(usual))
        wanted = str(answer or usual).replace(",", " ").split()
    for name in wanted:
        if name != "all":
            resolve(name)
    preprocess = i.image_fields(resize, fit, color, range_, mean, std, pre)
    if preprocess:
        preprocess.setdefault("kind", guess_kind(preprocess, data))
    tables: dict[str, dict[str, Any]] = {
        "model": {"path": _relative(model, config), "labels": _relative(labels, config)},
        "data": {"path": _relative(data, config)},
        "preprocess": preprocess,
        "build": {"targets": wanted, "out": "build", "io": io},
        "quantize": {"max_drop": None if budget is None else str(budget)},
    }
    text = to_toml(tables)
    config.write_text(text, encoding="utf-8")
    load_config(config)
    ui.line(f"wrote {config}; now run: qedge build")
    ui.json("init", {"config": str(config), "tables": tables})


def _range(ui: Ui, model: Path, data: Path) -> str | None:
    """Return the range of pixels that a user names, told which ones the linter has nothing against; None for 0,255."""
    ui.line("looking at what the model does with the photos ...")
    fitting = [f"{low},{high}" for low, high in fitting_ranges(model, data, RANGES)]
    known = 0 < len(fitting) < len(RANGES)
    word = f" (the model behaves as a trained one on {' and '.join(fitting)})" if known else ""
    question = f"What the model was trained on: pixels from 0,255, from 0,1 or from -1,1{word}"
    answer = str(_ask(True, question, None, fitting[0] if known else "0,255") or "0,255")
    return None if answer == "0,255" else answer


def _relative(path: Path | None, config: Path) -> str | None:
    """Return a path as the file's folder sees it, also where that leads up; the name of a factory as it is."""
    if path is None or not path.exists():
        return None if path is None else str(path)
    try:
        return Path(os.path.relpath(path.resolve(), config.resolve().parent)).as_posix()
    except ValueError:  # another drive
        return str(path.resolve())


def _ask(asking: bool, question: str, default: Path | None, shown: str = "") -> Path | None:
    if not asking:
        return default
    answer = typer.prompt(
        question, default=str(default) if default else shown, err=True, show_default=bool(default or shown)
    )
    return Path(answer) if answer else None


def _first_model() -> Path | None:
    for pattern in ("*.keras", "*.h5", "*.tflite", "*/saved_model.pb"):
        found = sorted(Path.cwd().glob(pattern))
        if found:
            path = found[0].parent if found[0].name == "saved_model.pb" else found[0]
            return path.relative_to(Path.cwd())
    return None


def _first_data() -> Path | None:
    for name in ("samples", "clips", "data", "calibration", "images"):
        if Path(name).is_dir():
            return Path(name)
    found = sorted(Path.cwd().glob("*.np[zy]"))
    return found[0].relative_to(Path.cwd()) if found else None
