"""What all commands share: common flags, and the flags that targets declare."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from qedge.cli._console import Ui
from qedge.errors import QedgeError, UsageError
from qedge.target import Option, names, resolve
from qedge.target.protocol import as_int_bytes

Parameter = inspect.Parameter


def assemble(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` as typer wants it.

    Its parameter ``ui`` becomes the flags ``--json -v -q --debug --no-color``; its parameter ``target_options``
    becomes one flag for every option that an installed target declares for this command.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    own = inspect.signature(function).parameters
    parameters = [p.replace(annotation=hints[p.name]) for p in own.values() if p.name not in _INJECTED]
    declared = _declared(name) if "target_options" in own else {}
    parameters += [_flag(o) for o in declared.values()]
    if "ui" in own:
        parameters += _common()

    def wrapper(**given: Any) -> Any:
        if "ui" in own:
            common = {p.name: given.pop(p.name) for p in _common()}
            common.pop("debug")
            given["ui"] = Ui(**common)
        if "target_options" in own:
            given["target_options"] = {n: v for n in declared if (v := given.pop(n)) not in (None, False)}
        return function(**given)

    wrapper.__name__ = name
    wrapper.__doc__ = function.__doc__
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return wrapper


_INJECTED = ("ui", "target_options")


def _common() -> list[Parameter]:
    def flag(name: str, *decls: str, help: str) -> Parameter:
        annotation = Annotated[bool, typer.Option(*decls, help=help)]
        return Parameter(name, Parameter.KEYWORD_ONLY, default=False, annotation=annotation)

    return [
        flag("as_json", "--json", help="Print one JSON object on stdout and nothing else there."),
        flag("verbose", "--verbose", "-v", help="Say more."),
        flag("quiet", "--quiet", "-q", help="Say only what was asked for."),
        flag("no_color", "--no-color", help="No colour (also: NO_COLOR)."),
        flag("debug", "--debug", help="Show the traceback of an error."),
    ]


def _declared(command: str) -> dict[str, Option]:
    found: dict[str, Option] = {}
    for target in names():
        try:
            options = resolve(target).info.options
        except QedgeError:
            continue  # a target whose own extra is missing takes no flags; resolving it by name says why
        for option in options:
            if command in option.commands:
                found.setdefault(option.name, option)
    return found


def _flag(option: Option) -> Parameter:
    decl = "--" + option.name.replace("_", "-")
    text = option.help + (f" [{'|'.join(option.choices)}]" if option.choices else "")
    annotation: Any
    if option.kind == "flag":
        annotation = Annotated[bool, typer.Option(decl, help=text)]
        return Parameter(option.name, Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
    annotation = Annotated[str | None, typer.Option(decl, help=text, metavar=option.kind.upper())]
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def typed_options(target: str, given: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of one target: flags over ``[target.<name>]`` over defaults, as their declared kinds.

    Raises:
        UsageError: a key of the table that the target does not have, or a value of the wrong kind.
    """
    declared = {o.name: o for o in resolve(target).info.options}
    for key in table:
        if key not in declared:
            known = ", ".join(sorted(declared)) or "none"
            raise UsageError(
                f"$.target.{target}.{key} is not an option of {target!r}", hint=f"known: {known}"
            )
    values: dict[str, Any] = {}
    for name, option in declared.items():
        raw = given.get(name, table.get(name, option.default))
        values[name] = raw if raw is None else convert(option, raw)
    return values


def convert(option: Option, raw: Any) -> Any:
    """Return ``raw`` as the kind that the option declares.

    Raises:
        UsageError: it is not of that kind, or none of the choices.
    """
    flag = "--" + option.name.replace("_", "-")
    if option.choices and raw not in option.choices:
        raise UsageError(f"{flag}: found {raw!r}", hint=f"expected one of: {', '.join(option.choices)}")
    try:
        if option.kind == "int":
            return int(raw)
        if option.kind == "float":
            return float(raw)
        if option.kind == "percent":
            return percent(raw, flag)
    except (TypeError, ValueError):
        raise UsageError(f"{flag}: found {raw!r}", hint=f"expected a number ({option.kind})") from None
    if option.kind == "bytes":
        return as_int_bytes(raw, what=flag)
    if option.kind == "path":
        return Path(raw)
    if option.kind == "flag":
        return bool(raw)
    return str(raw)


def percent(raw: Any, flag: str) -> float:
    """Return a number of percent from ``95``, ``"95"`` or ``"95%"``, in [0, 100].

    Raises:
        UsageError: anything else.
    """
    try:
        value = float(str(raw).strip().removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 100.0:
        raise UsageError(f"{flag}: found {raw!r}, expected a percentage", hint="write it as 1 or 1%")
    return value


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
