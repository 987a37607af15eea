"""What all commands share: common flags, and the flags that targets declare."""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any

import typer

from qedge.cli._console import Ui
from qedge.cli._help import OUTPUT, of_targets
from qedge.cli._ssh import Ssh, ssh_flags
from qedge.config import Config
from qedge.errors import QedgeError, UsageError
from qedge.target import Option, TargetInfo, names, resolve
from qedge.target.options import typed_options

Parameter = inspect.Parameter


def assemble(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` as typer wants it.

    Its parameter ``ui`` becomes the flags ``--json -v -q --debug --no-color``; its parameter ``target_options``
    becomes one flag for every option that an installed target declares for this command; ``ssh`` those of a device.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    own = inspect.signature(function).parameters
    parameters = [p.replace(annotation=hints[p.name]) for p in own.values() if p.name not in _INJECTED]
    taken = {*own, *(p.name for p in _common())}
    declared = _declared(name, taken) if "target_options" in own else {}
    parameters += [_flag(option, targets) for option, targets in declared.values()]
    parameters += ssh_flags() if "ssh" in own else []
    if "ui" in own:
        parameters += _common()

    def wrapper(**given: Any) -> Any:
        if "ui" in own:
            common = {p.name: given.pop(p.name) for p in _common()}
            common.pop("debug")
            given["ui"] = Ui(**common)
        if "ssh" in own:
            given["ssh"] = Ssh.taken(given)
        if "target_options" in own:
            values = {name: given.pop(name) for name in declared}
            silent = {name: False if _sets_only(option) else None for name, (option, _) in declared.items()}
            given["target_options"] = {
                n: v for n, v in values.items() if v is not None and v is not silent[n]
            }
        return function(**given)

    wrapper.__name__ = name
    wrapper.__doc__ = function.__doc__
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return wrapper


_INJECTED = ("ui", "target_options", "ssh")


def _common() -> list[Parameter]:
    def flag(name: str, *decls: str, help: str) -> Parameter:
        annotation = Annotated[bool, typer.Option(*decls, help=help, rich_help_panel=OUTPUT)]
        return Parameter(name, Parameter.KEYWORD_ONLY, default=False, annotation=annotation)

    return [
        flag("as_json", "--json", help="Print one JSON object on stdout and nothing else there."),
        flag("verbose", "--verbose", "-v", help="Say more."),
        flag("quiet", "--quiet", "-q", help="Say only what was asked for."),
        flag("no_color", "--no-color", help="No colour (also: NO_COLOR)."),
        flag("debug", "--debug", help="Show the traceback of an error."),
    ]


def reserved(command: str) -> set[str]:
    """Return the names that a command's own flags take, so that no target's option can."""
    module = importlib.import_module(f"qedge.cli.{command}")
    return {*inspect.signature(module.command).parameters, *(p.name for p in _common())}


def _declared(command: str, taken: Collection[str]) -> dict[str, tuple[Option, tuple[str, ...]]]:
    """Return what installed targets declare for a command, and which of them; qedge's own flags stay qedge's."""
    found: dict[str, tuple[Option, tuple[str, ...]]] = {}
    for target in names():
        try:
            options = resolve(target).info.options
        except QedgeError:
            continue  # a target whose own extra is missing takes no flags; resolving it by name says why
        for option in options:
            if command in option.commands and option.name not in taken:
                before, targets = found.get(option.name, (option, ()))
                found[option.name] = _merged(before, option), (*targets, target)
    return dict(sorted(found.items(), key=lambda item: item[1][1]))


def _merged(first: Option, second: Option) -> Option:
    """Return one flag for an option that two targets have, each with choices of its own."""
    if first.help == second.help and first.choices == second.choices:
        return first
    both = tuple(dict.fromkeys((*first.choices, *second.choices))) if first.choices and second.choices else ()
    return replace(first, help=f"{first.help}; {second.help}", choices=both)


def offering(choices: Iterable[str] | Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Return what completes a value from choices, in the shell: those that begin as what is typed so far.

    >>> offering(("int8", "uint8"))("i")
    ['int8']
    """

    def complete(incomplete: str) -> list[str]:
        known = choices() if callable(choices) else choices
        return [choice for choice in known if choice.startswith(incomplete)]

    return complete


def _sets_only(option: Option) -> bool:
    """Return whether a flag stands for true alone; one without a default has a ``--no-`` beside it."""
    return option.kind == "flag" and option.default is not None


def _flag(option: Option, targets: tuple[str, ...]) -> Parameter:
    decl = "--" + option.name.replace("_", "-")
    text = option.help + (f" [{', '.join(option.choices)}]" if option.choices else "")
    panel = of_targets(targets)
    annotation: Any
    if option.kind == "flag" and _sets_only(option):
        annotation = Annotated[bool, typer.Option(decl, help=text, rich_help_panel=panel)]
        return Parameter(option.name, Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
    if option.kind == "flag":
        both = f"{decl}/--no-{decl[2:]}"
        annotation = Annotated[bool | None, typer.Option(both, help=text, rich_help_panel=panel)]
        return Parameter(option.name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
    complete = offering(option.choices) if option.choices else None
    annotation = Annotated[
        str | None,
        typer.Option(
            decl, help=text, metavar=option.kind.upper(), autocompletion=complete, rich_help_panel=panel
        ),
    ]
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def options_of(info: TargetInfo, given: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """Return the options of one target: flags over ``[target.<name>]`` of the configuration over defaults.

    Raises:
        UsageError: a key that the target does not have, or a value of the wrong kind.
    """
    return typed_options(info, given, config.section("target").get(info.name, {}))


def numbers(raw: str | None, flag: str, count: tuple[int, ...]) -> tuple[float, ...] | None:
    """Return comma-separated numbers, as many as one of ``count``.

    Raises:
        UsageError: no numbers, or the wrong number of them.
    """
    if raw is None:
        return None
    try:
        values = tuple(float(v) for v in raw.split(","))
    except ValueError:
        values = ()
    if len(values) not in count:
        expected = " or ".join(str(c) for c in count)
        raise UsageError(
            f"{flag}: found {raw!r}, expected {expected} numbers", hint=f"for instance {flag} 0,1"
        )
    return values
