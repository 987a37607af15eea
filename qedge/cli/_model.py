"""What a user says about a model before it is read: shapes and values of its inputs, and whether to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from qedge.cli._help import MODEL
from qedge.errors import UsageError
from qedge.frontends import registry

ModelArg = Annotated[
    Path | None,
    typer.Argument(
        help=f"Model: {', '.join(f.info.takes for f in registry.installed())}. Default: qedge.toml's."
    ),
]
ShapeOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--input-shape",
        help="Static shape of the input, batch 1 included: 1,96,96,3. Several inputs: NAME=1,96,96,3, repeatable.",
        rich_help_panel=MODEL,
    ),
]
ValueOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--input-value",
        help="Fix an input to a number (or numbers): NAME=16000, repeatable; it is no input any more.",
        rich_help_panel=MODEL,
    ),
]
TrustOpt = Annotated[
    bool,
    typer.Option(
        "--trust-model",
        help="Let code in the model file run (Lambda layers, pickles): it is as a program of its author's."
        " No configuration file can say this.",
        rich_help_panel=MODEL,
    ),
]


def input_shapes(flags: Sequence[str] | None, stated: Any) -> dict[str, tuple[int, ...]]:
    """Return shapes by input name from flags, else from the configuration; ``""`` is the only input.

    Args:
        flags: ``1,96,96,3`` or ``name=1,96,96,3``.
        stated: a list of numbers, or a table of them by name; the same in text, from the environment.

    Raises:
        UsageError: no whole positive numbers, or one name twice.

    >>> input_shapes(["a=1,3", "b=1,4"], None)
    {'a': (1, 3), 'b': (1, 4)}
    """
    raw = _by_name(flags, stated, "--input-shape", "--input-shape 1,96,96,3")
    shapes = {}
    for name, values in raw.items():
        try:
            shapes[name] = tuple(int(v) for v in values)
        except (TypeError, ValueError):
            shapes[name] = ()
        if not shapes[name] or min(shapes[name]) < 1:
            raise UsageError(
                f"--input-shape: found {_said(name, values)}, expected whole numbers from 1 on",
                hint="every dimension, the batch of 1 included: --input-shape 1,96,96,3",
            )
    return shapes


def input_values(flags: Sequence[str] | None, stated: Any) -> dict[str, tuple[float, ...]]:
    """Return values by input name, as :func:`input_shapes`; a name is needed.

    Raises:
        UsageError: no numbers, no name, or one name twice.

    >>> input_values(["sr=16000"], None)
    {'sr': (16000.0,)}
    """
    raw = _by_name(flags, stated, "--input-value", "--input-value sr=16000")
    result = {}
    for name, values in raw.items():
        try:
            result[name] = tuple(float(v) for v in values)
        except (TypeError, ValueError):
            result[name] = ()
        if not name or not result[name]:
            raise UsageError(
                f"--input-value: found {_said(name, values)}, expected NAME=NUMBER",
                hint="for instance --input-value sr=16000",
            )
    return result


def _said(name: str, values: Sequence[Any]) -> str:
    text = ",".join(map(str, values))
    return repr(f"{name}={text}" if name else text)


def _by_name(flags: Sequence[str] | None, stated: Any, flag: str, example: str) -> dict[str, Sequence[Any]]:
    if not flags and isinstance(stated, str):
        flags = stated.split()
    if not flags:
        if stated is None:
            return {}
        if isinstance(stated, Mapping):
            return {str(k): v if isinstance(v, list) else [v] for k, v in stated.items()}
        return {"": stated if isinstance(stated, list) else [stated]}
    found: dict[str, Sequence[Any]] = {}
    for entry in flags:
        name, _, numbers = entry.rpartition("=")
        if name in found:
            what = f"the input {name!r} twice" if name else "two inputs without a name"
            raise UsageError(f"{flag}: found {what}", hint=f"write NAME=... for each: {example}")
        found[name] = [v.strip() for v in numbers.split(",")]
    return found
