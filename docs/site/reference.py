"""The pages of the site that are written from the code: commands, ``qedge.toml``, recipe, processing, errors, API."""

from __future__ import annotations

import importlib
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from qedge import errors
from qedge.cli._app import build_app
from qedge.config import SECTIONS, variable_of
from qedge.processing.spec import POSTPROCESS_KINDS, PREPROCESS_KINDS
from qedge.target import names, resolve


def pages() -> dict[str, str]:
    """Return the text of every generated page, by its name below ``reference/``."""
    return {
        "commands.md": commands(),
        "qedge_toml.md": qedge_toml(),
        "recipe.md": recipe(),
        "processing.md": processing(),
        "exit_codes.md": exit_codes(),
        "api.md": api(),
    }


def commands() -> str:
    """Return every command with its arguments and options; a target's own options stand under its name."""
    root = get_command(build_app())
    declared = {o.name: (n, o) for n in names() for o in resolve(n).info.options}
    parts = ["# Commands", ""]
    for name, command in walk(root, "qedge"):
        parts += [f"## `{name}`", "", inspect.cleandoc(command.help or ""), ""]
        groups: dict[str, list[Any]] = {}
        for param in command.params:
            owner = declared[param.name][0] if param.name in declared and _is_target_s(param) else ""
            groups.setdefault(owner, []).append(param)
        for owner, params in groups.items():
            head = f"option for {resolve(owner).info.title}" if owner else "argument or option"
            parts += [f"| {head} | what it is |", "|---|---|"]
            parts += [f"| {_spelled(p)} | {_cell(getattr(p, 'help', None) or '')} |" for p in params]
            parts.append("")
    return "\n".join(parts)


def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield (words, command) for every command that does something."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, child in inner.items():
        yield from walk(child, f"{path} {name}")


def _is_target_s(param: Any) -> bool:
    return getattr(param, "param_type_name", "") == "option" and param.name not in ("config", "out", "name")


def _spelled(param: Any) -> str:
    if getattr(param, "param_type_name", "") == "argument":
        return f"`{param.name.upper()}`"
    return ", ".join(f"`{o}`" for o in param.opts)


def qedge_toml() -> str:
    """Return every section and key, those of the targets too."""
    parts = [
        "# `qedge.toml`",
        "",
        "What is stated once about a model: `qedge init` writes it. A flag wins over the variable in the environment,"
        " that over the file, and the file over the default. The same tables may stand under `[tool.qedge]` in"
        " `pyproject.toml`.",
        "",
    ]
    for section, keys in SECTIONS.items():
        if not keys:
            continue
        parts += [f"## `[{section}]`", "", "| key | variable | type | what it is |", "|---|---|---|---|"]
        for key, (kind, text) in keys.items():
            variable = variable_of(section, key)
            parts.append(
                f"| `{key}` | {f'`{variable}`' if variable else ''} | {kind.words} | {_cell(text)} |"
            )
        parts.append("")
    parts += ["## `[preprocess]` and `[postprocess]`", "", "See [processing](processing.md).", ""]
    for name in names():
        info = resolve(name).info
        parts += [f"## `[target.{name}]`", "", f"{info.title}: {info.summary}.", ""]
        if info.options:
            parts += ["| key | kind | default | what it is |", "|---|---|---|---|"]
        for o in info.options:
            choices = f" ({', '.join(o.choices)})" if o.choices else ""
            default = "" if o.default is None else f"`{o.default}`"
            parts.append(f"| `{o.name}` | {o.kind} | {default} | {_cell(o.help + choices)} |")
        parts.append("")
    return "\n".join(parts)


def recipe() -> str:
    """Return what a recipe file may say, from the module that reads it."""
    pins, ranges = (
        importlib.import_module("qedge.quantize.pins"),
        importlib.import_module("qedge.quantize.methods.ranges"),
    )
    text = inspect.cleandoc(pins.__doc__ or "")
    head, _, rest = text.partition("::\n")
    example, _, tail = rest.strip("\n").partition("\n\nA later")
    methods, types = (", ".join(f"`{n}`" for n in each) for each in (ranges.RANGES, pins.MODES))
    parts = [
        "# Recipe files",
        "",
        head.strip(),
        "",
        "```toml",
        textwrap.dedent(example),
        "```",
        "",
        f"A later{tail}",
        "",
    ]
    return "\n".join([*parts, f"Range methods: {methods}. Types: {types}.", ""])


def processing() -> str:
    """Return every pre- and post-processing with its fields, from their classes."""
    parts = [
        "# Pre- and post-processing",
        "",
        "Stated by flags (`--pre KEY=VALUE`) or in `qedge.toml`; it travels in the bundle.",
        "",
    ]
    for title, kinds in (("Pre-processing", PREPROCESS_KINDS), ("Post-processing", POSTPROCESS_KINDS)):
        parts += [f"## {title}", ""]
        for kind, home in kinds.items():
            module, _, name = home.replace(":", ".").rpartition(".")
            cls = getattr(importlib.import_module(module), name)
            said = arguments_of(cls)
            first = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].replace("\n", " ")
            parts += [f"### `{kind}`", "", first, "", "| field | default | what it is |", "|---|---|---|"]
            for field in cls._fields:
                default = f"`{getattr(cls, field)!r}`" if hasattr(cls, field) else "needed"
                parts.append(f"| `{field}` | {_cell(default)} | {_cell(said.get(field, ''))} |")
            parts.append("")
    return "\n".join(parts)


def arguments_of(cls: type) -> dict[str, str]:
    """Return what a docstring's ``Args`` says of each name; names that share a line share the text."""
    found: dict[str, str] = {}
    _, _, after = inspect.cleandoc(cls.__doc__ or "").partition("Args:\n")
    entry: list[str] = []
    for line in [*textwrap.dedent(after).splitlines(), "end:"]:
        if line and not line.startswith(" "):
            if entry:
                head, _, text = " ".join(entry).partition(":")
                found |= {name.strip(): text.strip() for name in head.split(",")}
            entry = [line.strip()]
        elif entry:
            entry.append(line.strip())
    return found


def exit_codes() -> str:
    """Return the tree of errors, as the module that has it draws it."""
    text = inspect.cleandoc(errors.__doc__ or "")
    head, _, rest = text.partition("::\n")
    tree, _, tail = rest.strip("\n").partition("\n\nA message")
    return "\n".join(
        [
            "# Exit codes and errors",
            "",
            head.strip(),
            "",
            "```text",
            textwrap.dedent(tree),
            "```",
            "",
            f"A message{tail}",
            "",
        ]
    )


def api() -> str:
    """Return the page that has the API's docstrings put in."""
    parts = [
        "# Python API",
        "",
        "```{eval-rst}",
        ".. automodule:: qedge.api",
        "   :no-members:",
        "   :noindex:",
        "",
    ]
    for name in ("build", "check", "evaluate", "verify"):
        parts += [f".. autofunction:: qedge.{name}", ""]
    parts += [".. autofunction:: qedge.load", ""]
    for name in ("Build", "Model", "Result"):
        parts += [f".. autoclass:: qedge.{name}", "   :members:", ""]
    return "\n".join([*parts, "```", ""])


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "\\<")
