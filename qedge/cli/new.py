"""``qedge new app``: a sample app with its model, copied into a folder that a person makes their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

import qedge
from qedge._version import __version__
from qedge.bundle import Bundle, read_bundle
from qedge.bundle.manifest import MANIFEST, Manifest
from qedge.cli._console import Ui, size
from qedge.config import FILE_NAME, to_toml
from qedge.deploy import wheel
from qedge.errors import ModelError, ToolError, UsageError, unknown
from qedge.installing import ON_INDEX, install_command
from qedge.runtime.loader import GROUP as RUNTIMES
from qedge.runtime.plugins import OURS, origin_of
from qedge.target import default_name, resolve

CODE = (".py", ".html", ".css", ".js")
ABOUT = "project/about.json"
WHEELS = "wheels"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")

AppArg = Annotated[str, typer.Argument(help="Which sample app: camera or voice.", metavar="APP")]
NameArg = Annotated[str, typer.Argument(help="Of the project; also of its folder and its service.")]
OutOpt = Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write. Default: ./NAME.")]
OwnOpt = Annotated[Path | None, typer.Option("--bundle", help="A bundle of yours instead of the app's own.")]
DryOpt = Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")]


def app(
    ui: Ui, app: AppArg, name: NameArg, out: OutOpt = None, bundle: OwnOpt = None, dry_run: DryOpt = False
) -> None:
    """Copy a sample app into a folder of your own: code, model, requirements, service, instructions.

    Never writes into a folder that holds something.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"NAME: found {name!r}, expected a letter, then letters, digits, - or _ (64 at most)",
            hint=f"qedge new app {app} front-door; --out names a folder elsewhere",
        )
    home = apps_home()
    known = app_names(home)
    if app not in known:
        raise unknown("app", app, known)
    place = out or Path(name)
    refuse_to_replace(place)
    with read_bundle(bundle or home / app / "bundle") as chosen:
        if bundle is not None:
            refuse_unfit(app, bundle, chosen.manifest, home)
        files = project(home / app, name, chosen)
        manifest = chosen.manifest
    if not dry_run:
        write_folder(place, files)
    total = sum(map(len, files.values()))
    ui.line(f"{'would write' if dry_run else 'wrote'} {place}: {len(files)} files, {size(total)}")
    ui.table("", ("file", "bytes"), [(path, f"{len(files[path]):,}") for path in files])
    ui.line(f"now run: pip install -r {place}/requirements.txt; python {place}")
    ui.json(
        "new app",
        {
            "app": app,
            "name": name,
            "path": str(place),
            "dry_run": dry_run,
            "bundle": {
                "name": manifest.name,
                "target": manifest.target,
                "model_sha256": manifest.model_sha256,
            },
            "files": [{"path": path, "bytes": len(data)} for path, data in files.items()],
        },
    )


HELP = "Start a project of your own from a sample app."
COMMANDS = {"app": app}


def apps_home() -> Path:
    """Return the folder of the sample apps: in the installed package, or in the checkout that it is imported from.

    Raises:
        ToolError: this installation has none.
    """
    package = Path(qedge.__file__).resolve().parent
    for home in (package / "sample_apps", package.parent / "sample_apps"):
        if home.is_dir():
            return home
    raise ToolError(f"no sample apps beside {package}", hint=f"{install_command('host')} --force-reinstall")


def app_names(home: Path) -> list[str]:
    """Return the names of the apps in ``home``: the folders that say what they are and have a bundle."""
    return sorted(
        path.parent.parent.name for path in home.glob(f"*/{ABOUT}") if (path.parents[1] / "bundle").is_dir()
    )


def refuse_to_replace(place: Path) -> None:
    """Refuse a place where something is already.

    Raises:
        UsageError: it is a file, a link or a folder that is not empty.
    """
    if place.is_symlink() or (place.exists() and not (place.is_dir() and not any(place.iterdir()))):
        raise UsageError(
            f"{place}: found something there, expected nothing or an empty folder",
            hint="choose another name, or --out FOLDER",
        )


def refuse_unfit(app: str, path: Path, manifest: Manifest, home: Path) -> None:
    """Refuse a bundle that ``app`` cannot use.

    Raises:
        ModelError: it takes or gives something else, or does not run in Python.
    """
    if not resolve(manifest.target).info.has_runtime:
        raise ModelError(
            f"{path}: a bundle for {manifest.target}, which does not run in Python",
            hint=f"build it with: --target {default_name()}",
        )
    about = _about(home, app)
    takes = manifest.preprocess.kind if manifest.preprocess else "raw arrays"
    if takes != about["preprocess"]:
        fitting = [a for a in app_names(home) if _about(home, a)["preprocess"] == takes]
        raise ModelError(
            f"{path}: its model takes {takes}, the {app} app gives {about['preprocess']}",
            hint=f"qedge new app {fitting[0]}" if fitting else "state the pre-processing when you build it",
        )
    plain = "classify" if manifest.labels else "raw arrays"
    gives = manifest.postprocess.kind if manifest.postprocess else plain
    if gives not in about["postprocess"]:
        raise ModelError(
            f"{path}: its model gives {gives}, the {app} app shows {' or '.join(about['postprocess'])}",
            hint="state it when you build: --post " + about["postprocess"][0],
        )


def _about(home: Path, app: str) -> dict[str, Any]:
    return dict(json.loads((home / app / ABOUT).read_text(encoding="utf-8")))


def project(app: Path, name: str, bundle: Bundle) -> dict[str, bytes]:
    """Return path to contents of the project ``name``: the code of ``app`` as it is, the rest made for ``name``."""
    manifest = bundle.manifest
    labels = manifest.labels
    words = {
        "NAME": name,
        "TARGET": manifest.target,
        "LABELS": ", ".join(labels[:12]) + (f" and {len(labels) - 12} more" if len(labels) > 12 else ""),
    }
    texts = {
        "README.md": _filled(app / "project" / "README.md", words),
        f"{name}.service": _filled(app / "project" / "app.service", words),
        "requirements.txt": _requirements(app / "requirements.txt", manifest.target),
        FILE_NAME: _configuration(manifest),
    }
    if labels:
        texts["labels.txt"] = "".join(f"{label}\n" for label in labels)
    files = {path.name: path.read_bytes() for path in sorted(app.iterdir()) if path.suffix in CODE}
    files.update({path: text.encode() for path, text in sorted(texts.items())})
    if not ON_INDEX:
        files[f"{WHEELS}/{wheel.NAME}"] = wheel.device_wheel(manifest.target)
    files[f"bundle/{MANIFEST}"] = manifest.encoded()
    files.update({f"bundle/{path}": bundle.read(path) for path in sorted(manifest.files)})
    return files


def _filled(template: Path, words: Mapping[str, str]) -> str:
    return re.sub("@([A-Z]+)@", lambda found: words[found[1]], template.read_text(encoding="utf-8"))


def _requirements(path: Path, target: str) -> str:
    """Return the app's requirements: this qedge or a later one with the extra of the bundle's target, and the
    package that brought the target where that is another."""
    origin = origin_of(RUNTIMES, target)
    usual = origin if origin.distribution == OURS else origin_of(RUNTIMES, default_name())
    lines = f"{usual.requirement or OURS}>={__version__}"
    if origin.distribution and origin.distribution != OURS:
        lines += f"\n{origin.requirement}>={origin.version}"
    found = re.sub(r"(?m)^qedge\b.*$", lines, path.read_text(encoding="utf-8"))
    return found if ON_INDEX else f"--find-links {WHEELS}\n{found}"


def _configuration(manifest: Manifest) -> str:
    """Return a ``qedge.toml`` that builds a bundle like this one from ``model.keras`` and ``samples/``.

    The size of images follows from the model.
    """
    labels = {"labels": "labels.txt"} if manifest.labels else {}
    preprocess = manifest.preprocess.to_json() if manifest.preprocess else {}
    preprocess = {key: value for key, value in preprocess.items() if key not in ("width", "height")}
    postprocess = manifest.postprocess.to_json() if manifest.postprocess else {}
    tables = {
        "model": {"path": "model.keras", **labels},
        "data": {"path": "samples"},
        "preprocess": preprocess,
        "postprocess": postprocess,
        "build": {"targets": [manifest.target], "out": "build"},
    }
    return "# `qedge build` in this folder: see README.md.\n" + to_toml(tables)


def write_folder(place: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder whole or not at all: beside its place first, then moved there in one step.

    Raises:
        UsageError: it cannot be written, or something came there meanwhile.
    """
    fresh = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".new", dir=place.parent))
        fresh.chmod(0o755)
        for path, data in files.items():
            (fresh / path).parent.mkdir(parents=True, exist_ok=True)
            (fresh / path).write_bytes(data)
        os.rename(fresh, place)
    except OSError as problem:
        raise UsageError(
            f"cannot write {place}: {problem.strerror or problem}", hint="choose another --out"
        ) from None
    finally:
        if fresh is not None:
            shutil.rmtree(fresh, ignore_errors=True)
