"""``qedge doctor``: what is installed, what is missing for which target, and the command that installs it."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from qedge._version import __version__
from qedge.cli._console import Ui
from qedge.errors import QedgeError
from qedge.frontends import registry
from qedge.installing import install_command
from qedge.target import Requirement, names, resolve

TargetOpt = Annotated[str | None, typer.Option("--target", "-t", help="Look at one target only.")]
# (import name, distribution, what for, extra)
HOST_PACKAGES = (
    ("numpy", "numpy", "everything", None),
    ("PIL", "pillow", "images", "host"),
    ("ai_edge_litert", "ai-edge-litert", "calibrating and running .tflite models", "host"),
)


def command(ui: Ui, target: TargetOpt = None) -> None:
    """Tell what is installed, what is missing for which target, and the command that installs it."""
    sections: dict[str, list[Requirement]] = {} if target else {"host": _host(), "front ends": _front_ends()}
    for name in [target] if target else names():
        try:
            sections[name] = resolve(name).doctor()
        except QedgeError as error:
            if target and error.exit_code == 2:
                raise
            sections[name] = [Requirement("import", False, error.message, error.hint)]
    for name, requirements in sections.items():
        rows = [(_mark(r.ok), r.name, r.detail) for r in requirements]
        ui.table(name, ("", "what", "found"), rows)
        for r in requirements:
            if r.ok is not True and r.install:
                ui.line(f"  hint: {r.name}: {r.install}")
        ui.line()
    ui.json(
        "doctor", {"qedge": __version__, "python": platform.python_version(), "sections": _document(sections)}
    )


def _mark(ok: bool | None) -> str:
    return {True: "ok", False: "MISSING", None: "optional"}[ok]


def _host() -> list[Requirement]:
    python = platform.python_version()
    supported = sys.version_info[:2] >= (3, 10)
    found = [Requirement("python", supported, f"{python} on {platform.machine()}, expected 3.10 or newer")]
    for module, distribution, purpose, extra in HOST_PACKAGES:
        install = install_command(extra) if extra else f"pip install {distribution}"
        present = registry.is_installed(module)
        detail = f"{_version(distribution)}, for {purpose}" if present else f"for {purpose}"
        found.append(Requirement(distribution, present, detail, None if present else install))
    return found


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "without package metadata"


def _front_ends() -> list[Requirement]:
    """Return one row a front end: what it reads, and with which packages; none is needed by all."""
    found = []
    for name in registry.names():
        try:
            front_end = registry.resolve(name)
        except QedgeError as error:
            found.append(Requirement(name, False, error.message, error.hint))
            continue
        info, missing = front_end.info, registry.missing(front_end)
        used = [
            f"{n.distribution} {_version(n.distribution)}"
            for n in info.needs
            if registry.is_installed(n.module)
        ]
        detail = f"{info.takes}; {', '.join(used) or 'nothing more needed'}"
        if missing:
            detail = f"{info.takes}; needs {', '.join(n.distribution for n in missing)}"
        found.append(Requirement(name, None if missing else True, detail, info.install if missing else None))
    return found


def _document(sections: dict[str, list[Requirement]]) -> dict[str, Any]:
    return {
        name: [{"name": r.name, "ok": r.ok, "detail": r.detail, "install": r.install} for r in requirements]
        for name, requirements in sections.items()
    }
