"""``qedge targets``: what can be built for, with the options of each."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from qedge.cli._console import Ui
from qedge.errors import ToolError
from qedge.target import TargetInfo, names, resolve

NameArg = Annotated[str | None, typer.Argument(help="Show one target with its options.")]


def command(ui: Ui, name: NameArg = None) -> None:
    """List the targets, or show one with its options."""
    infos: list[TargetInfo] = []
    missing: dict[str, str] = {}
    for target in [name] if name else names():
        try:
            infos.append(resolve(target).info)
        except ToolError as error:
            if name:
                raise
            missing[target] = error.message
    if name:
        info = infos[0]
        ui.line(f"{info.name}: {info.title}. {info.summary}")
        ui.table("options", ("flag", "kind", "default", "what"), [_option_row(o) for o in info.options])
    else:
        ui.table("", ("target", "device", "what"), [(f.name, f.title, f.summary) for f in infos])
        for target, message in missing.items():
            ui.line(f"{target}: {message}")
    ui.json("targets", {"targets": [_document(f) for f in infos], "unavailable": missing})


def _option_row(option: Any) -> tuple[str, str, str, str]:
    choices = f" ({', '.join(option.choices)})" if option.choices else ""
    default = "" if option.default is None else str(option.default)
    return "--" + option.name.replace("_", "-"), option.kind, default, option.help + choices


def _document(info: TargetInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "title": info.title,
        "summary": info.summary,
        "io_types": list(info.io_types),
        "accelerator": info.accelerator,
        "has_runtime": info.has_runtime,
        "options": [
            {"name": o.name, "kind": o.kind, "default": o.default, "choices": list(o.choices), "help": o.help}
            for o in info.options
        ],
    }
