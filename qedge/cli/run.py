"""``qedge run``: one or more inputs through a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from qedge.bundle import Bundle, read_bundle
from qedge.cli._bundles import BundleArg
from qedge.cli._console import Ui
from qedge.cli._options import options_of
from qedge.config import load_config
from qedge.datasets.folder import KINDS as DATA_KINDS
from qedge.errors import DataError, UsageError
from qedge.processing.detect import Detect, Detection
from qedge.processing.image import ImagePreprocess
from qedge.runtime import Model, Result, load
from qedge.target import Target, target_of
from qedge.target.execution import ExecutedEngine

InputsArg = Annotated[list[Path], typer.Argument(help="Images, wavs, .npy files, or folders of them.")]
TopOpt = Annotated[int, typer.Option("--top", min=1, help="How many classes or objects to print.")]
DeviceOpt = Annotated[str | None, typer.Option("--device", help="Device to run on, for instance usb:0.")]
StrictOpt = Annotated[bool, typer.Option("--strict", help="Fail rather than fall back to the CPU.")]
KINDS = (*DATA_KINDS["wav"], *DATA_KINDS["image"], ".npy")


def command(
    ui: Ui,
    target_options: Mapping[str, Any],
    bundle: BundleArg,
    inputs: InputsArg,
    top: TopOpt = 3,
    device: DeviceOpt = None,
    strict: StrictOpt = False,
) -> None:
    """Run inputs through a bundle and print what it says; without a runtime, emulated or by the CPU twin."""
    opened = read_bundle(bundle)
    files = list(_files(inputs))
    target = target_of(opened)
    post = opened.manifest.postprocess
    classifies = post is not None and post.kind == "classify"
    detects = isinstance(post, Detect) and isinstance(opened.manifest.preprocess, ImagePreprocess)
    rows: list[tuple[str, ...]] = []
    results: list[dict[str, Any]] = []
    if target.info.has_runtime:
        typed = options_of(target.info, target_options, load_config(None))
        given = {o.name: typed[o.name] for o in target.info.options if "run" in o.commands}
        chosen = {name: value for name, value in given.items() if value is not None}
        with load(bundle, device=device, strict=strict, **chosen) as model:
            found = [(path, model(_sample(path))) for path in files]
    else:
        options = options_of(target.info, target_options, load_config(None))
        found = _executed(opened, target, files, options)
        if not target.info.emulated:
            ui.note(f"ran on the CPU twin: what a {target.info.title} is to give")
    for path, result in found:
        entry: dict[str, Any] = {"input": str(path)}
        if classifies:
            best = result.top(top)
            entry["top"] = [{"label": label, "score": score} for label, score in best]
            rows.append((str(path), *(f"{label} {100 * score:.1f} %" for label, score in best)))
        else:
            entry["value"] = result.value if post is not None and post.kind != "raw" else None
            entry["outputs"] = [np.asarray(o).tolist() for o in result.outputs]
            shapes = ", ".join(f"{o.dtype} {list(o.shape)}" for o in result.outputs)
            rows.append((str(path), shapes, *[""] * (top - 1)))
        if detects:
            objects = result.objects
            entry["objects"] = [_object(one) for one in objects]
            rows[-1] = (str(path), *([_in_words(one) for one in objects[:top]] or ["nothing"]))
        results.append(entry)
    width = max(len(r) for r in rows)
    columns = ("input", *(f"#{k}" for k in range(1, width)))
    ui.table("", columns, [r + ("",) * (width - len(r)) for r in rows])
    ui.json("run", {"bundle": str(bundle), "target": opened.manifest.target, "results": results})


def _object(one: Detection) -> dict[str, Any]:
    """Return an object as JSON: (left, top, right, bottom) and points as (x, y, score), pixels of the image."""
    top, left, bottom, right = (round(side, 2) for side in one.box)
    return {
        "label": one.label,
        "score": one.score,
        "box": [left, top, right, bottom],
        "points": [[round(x, 2), round(y, 2), score] for y, x, score in one.points],
        "mask": [[round(side, 2) for side in (x, y, u, v)] for y, x, v, u in one.mask],
    }


def _in_words(one: Detection) -> str:
    top, left, bottom, right = (round(side) for side in one.box)
    return f"{one.label} {100 * one.score:.1f} % ({left}, {top}, {right}, {bottom})"


def _files(inputs: list[Path]) -> Iterator[Path]:
    for path in inputs:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in KINDS)
            if not inside:
                raise DataError(f"nothing to run in {path}", hint=f"expected files ending {', '.join(KINDS)}")
            yield from inside
        elif path.is_file():
            yield path
        else:
            raise UsageError(f"no file {path}", hint="check the path of the input")


def _sample(path: Path) -> Any:
    if path.suffix != ".npy":
        return path
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f"cannot read {path}: {error}", hint="expected an array saved by numpy.save"
        ) from error


def _executed(
    opened: Bundle, target: Target, files: list[Path], options: Mapping[str, Any]
) -> list[tuple[Path, Result]]:
    """Return the results of a target that has no runtime here, from its emulator or the CPU twin."""
    engine = ExecutedEngine(opened, target, options)
    model = Model(opened, engine)
    samples = [_sample(path) for path in files]
    outputs = engine.run_all([model.encode(sample) for sample in samples])
    return [(path, model._result(raw, sample)) for path, raw, sample in zip(files, outputs, samples)]
