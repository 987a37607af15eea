"""A user's own measurements on a board, as ``qedge calibrate-board`` keeps them: one TOML file a board."""

from __future__ import annotations

from pathlib import Path

from qedge.errors import UsageError
from qedge.fields import Field
from qedge.target.reports import Options
from qedge_mcu.boards import Board, board, read_toml
from qedge_mcu.cost import Measured

HEAD = "# Measured on the board itself; `qedge calibrate-board` adds to it, `--calibration` reads it.\n"


def read(options: Options, chosen: Board | None) -> tuple[Measured, ...]:
    """Return the measurements in the file that the options name; () without one.

    Raises:
        UsageError: no such file, or one of another board.
    """
    path = options.get("calibration")
    if path is None:
        return ()
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"--calibration: {path} cannot be read: {problem}") from None
    name, found = _parse(text, str(path))
    if chosen is None or chosen.name != name:
        raise UsageError(
            f"--calibration: {path} is of the board {name}, and the model is built for"
            f" {'none' if chosen is None else chosen.name}",
            hint=f"--board {name}",
        )
    return found


def with_measurement(
    known: str, chosen: Board, instructions: int, milliseconds: float, millijoules: float | None
) -> str:
    """Return the file with one measurement more.

    Args:
        known: the file so far, or "".
        instructions: of the inference that was measured.

    Raises:
        UsageError: the file is of another board.
    """
    if known and _parse(known, "the file")[0] != chosen.name:
        raise UsageError(f"the file is of another board than {chosen.name}", hint="choose another --out")
    lines = [
        "",
        "[[measured]]",
        f"instructions = {instructions}",
        f"megahertz = {chosen.megahertz}",
        f"milliseconds = {milliseconds!r}",
        *([] if millijoules is None else [f"millijoules = {millijoules!r}"]),
    ]
    return (known or f'{HEAD}board = "{chosen.name}"\n') + "\n".join(lines) + "\n"


def _parse(text: str, where: str) -> tuple[str, tuple[Measured, ...]]:
    """Return the board's name and the measurements."""
    try:
        parsed = read_toml(text)
    except ValueError as problem:
        raise UsageError(f"{where} is no TOML: {problem}") from None
    root = Field(parsed, f"{where}: $", UsageError).object(("board", "measured"), optional=())
    name = board(root["board"].string()).name
    return name, tuple(_measured(entry, name) for entry in root["measured"].items())


def _measured(entry: Field, name: str) -> Measured:
    keys = ("instructions", "megahertz", "milliseconds")
    found = entry.object(keys, optional=("millijoules",))
    instructions, clock, time = (_positive(found[key]) for key in keys)
    energy = [_positive(found["millijoules"])] if found["millijoules"].value is not None else []
    return Measured(
        name,
        f"your own measurement: {time:g} ms for {instructions:,.0f} instructions at {clock:g} MHz",
        (time * clock * 1000 / instructions,),
        tuple(1000 * e / time / clock for e in energy),
    )


def _positive(field: Field) -> float:
    value = field.number()
    if value <= 0:
        raise field.fail("more than 0")
    return value
