"""``qedge.toml`` (or ``[tool.qedge]`` in ``pyproject.toml``): what a user states once about a model.

Precedence of a value: flag, then environment (``QEDGE_OUT``, ``QEDGE_TARGETS=rpi,mcu`` ...), then the file, then the
default.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from qedge.errors import UsageError
from qedge.fields import Field
from qedge.toml import read_toml
from qedge.trust.card import FIELDS

FILE_NAME = "qedge.toml"


class Kind(NamedTuple):
    """What a value may be.

    Args:
        words: for people.
        read: returns the value of a field, or raises where it is no such value.
        parse: returns what the text of an environment variable stands for; ValueError where it is none.
    """

    words: str
    read: Callable[[Field], Any]
    parse: Callable[[str], Any] = str


class Key(NamedTuple):
    """A key of a section."""

    kind: Kind
    help: str


_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def _flag(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError(text)
    return _WORDS[text.lower()]


def _labels(field: Field) -> Any:
    return list(field.strings()) if isinstance(field.value, list) else field.string()


def _drop(field: Field) -> Any:
    return field.string() if isinstance(field.value, str) else field.number(0, 100)


def _by_input(entry: Callable[[Field], Any], field: Field) -> Any:
    """Return one entry, or a table of them by the names of inputs; text as on the command line."""
    if isinstance(field.value, str):
        return field.value
    return {k: entry(v) for k, v in field.members()} if isinstance(field.value, dict) else entry(field)


def _shape(field: Field) -> list[int]:
    return [size.integer(1, 1 << 31) for size in field.items()]


def _numbers(field: Field) -> list[float]:
    return [v.number() for v in field.items()] if isinstance(field.value, list) else [field.number()]


TEXT = Kind("text", Field.string)
FLAG = Kind("true or false", Field.boolean, _flag)
COUNT = Kind("whole number", partial(Field.integer, low=1), int)
SEED = Kind("whole number", partial(Field.integer, low=0), int)
NUMBER = Kind("number", Field.number, float)
AMOUNT = Kind("number", partial(Field.number, low=0), float)
NAMES = Kind("list", lambda field: list(field.strings()), lambda text: text.replace(",", " ").split())
LABELS = Kind("text or list", _labels)
DROP = Kind("text or number", _drop)
SHAPES = Kind("list or table", partial(_by_input, _shape))
VALUES = Kind("table", partial(_by_input, _numbers))

# Table -> key -> (what it may be, help); one table of the truth for reading, `init` and the docs.
SECTIONS: Mapping[str, Mapping[str, Key]] = {
    "model": {
        "path": Key(TEXT, "the trained model: a file or folder that a front end reads"),
        "name": Key(TEXT, "name of the build; the file's name by default"),
        "labels": Key(LABELS, "label file (one a line) or list, in the model's output order"),
        "cut_head": Key(FLAG, "whether a detector's decoding leaves the model; by default where it is known"),
        "input_shape": Key(SHAPES, "static shape with batch 1, or a table of shapes by input name"),
        "input_value": Key(VALUES, "numbers by input name, for inputs that become constants"),
    },
    "data": {
        "path": Key(TEXT, "representative dataset: folder of images or wavs, .npz or .npy"),
        "eval": Key(TEXT, "samples to measure on; by default some of the dataset are held out"),
        "samples": Key(COUNT, "use at most this many samples for calibration"),
        "seed": Key(SEED, "seed of the choice of samples"),
    },
    "preprocess": {},
    "postprocess": {},
    "build": {
        "targets": Key(NAMES, "targets that `qedge build` builds without --target"),
        "out": Key(TEXT, "folder of the builds"),
        "strict": Key(FLAG, "a warning about the model, the data or the figures fails the build"),
        "io": Key(TEXT, "type of inputs and outputs: auto, int8, uint8, int16 or float32"),
    },
    "quantize": {
        "method": Key(TEXT, "auto, or the method to pin"),
        "effort": Key(TEXT, "how much is tried: fast, normal or thorough"),
        "lift": Key(TEXT, "what layers go to where int8 is not exact enough: auto, int16, float or none"),
        "recipe": Key(TEXT, "recipe file that pins every part"),
        "max_drop": Key(DROP, "accuracy that int8 may lose, in points: 1 or '1%'"),
        "min_sqnr": Key(NUMBER, "SQNR in dB that int8 must reach"),
        "per_channel": Key(FLAG, "one weight scale a channel (true), a tensor (false)"),
        "weights": Key(TEXT, "type of the weights: int8, or int4 where a layer takes it"),
        "tune": Key(
            TEXT, "learn from the float model's answers: on, auto (where the budget is missed) or off"
        ),
    },
    "tune": {
        "minutes": Key(AMOUNT, "longest time to tune for"),
        "steps": Key(COUNT, "steps of gradient descent at most"),
        "batch": Key(COUNT, "samples a step"),
        "rate": Key(AMOUNT, "learning rate of weights, of their root mean square a step"),
        "scale_rate": Key(AMOUNT, "learning rate of the weights' scales, as a share of them"),
        "range_rate": Key(AMOUNT, "learning rate of the ranges of activations, as a share of the larger end"),
        "layers": Key(AMOUNT, "weight of the layers' own outputs beside the model's"),
        "labels": Key(AMOUNT, "weight of the labels, where there are any"),
    },
    "card": {key: Key(TEXT, help) for key, help in FIELDS.items()},
    "target": {},
}
OPEN_SECTIONS = ("preprocess", "postprocess", "target")


@dataclass(frozen=True)
class Config:
    """The effective configuration.

    Args:
        path: the file that it came from, or None.
        tables: section -> key -> value; paths in ``model`` and ``data`` are relative to ``folder``.
        folder: folder of the file, or the current folder.
    """

    path: Path | None
    folder: Path
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def get(self, section: str, key: str, default: Any = None) -> Any:
        """Return a value from the environment (see :func:`variable_of`) or the file, or the default.

        Raises:
            UsageError: the variable holds no value of the key's kind.
        """
        name = variable_of(section, key)
        text = os.environ.get(name) if name else None
        if text:
            return _from_text(text, SECTIONS[section][key].kind, str(name))
        return self.tables.get(section, {}).get(key, default)

    def path_of(self, section: str, key: str) -> Path | None:
        """Return a path: of the file, against the folder that the file is in; of the environment, as it stands."""
        value = self.get(section, key)
        if value is None:
            return None
        return Path(value) if os.environ.get(variable_of(section, key) or "") else self.folder / str(value)

    def section(self, name: str) -> dict[str, Any]:
        """Return a whole section as a new dict."""
        return dict(self.tables.get(name, {}))


VARIABLES = {
    ("model", "path"): "QEDGE_MODEL",
    ("data", "path"): "QEDGE_DATA",
    ("data", "eval"): "QEDGE_EVAL_DATA",
}
"""Keys whose variable is not ``QEDGE_<KEY>``: two sections have a path."""


def variable_of(section: str, key: str) -> str | None:
    """Return the environment variable of a key, or None where it has none.

    >>> variable_of("build", "targets"), variable_of("model", "path"), variable_of("card", "purpose")
    ('QEDGE_TARGETS', 'QEDGE_MODEL', None)
    """
    if section not in ("model", "data", "build", "quantize") or key not in SECTIONS[section]:
        return None
    return VARIABLES.get((section, key), f"QEDGE_{key.upper()}")


def _from_text(text: str, kind: Kind, name: str) -> Any:
    """Return what a variable's text stands for.

    >>> _from_text("rpi, mcu", NAMES, "QEDGE_TARGETS"), _from_text("no", FLAG, "QEDGE_STRICT")
    (['rpi', 'mcu'], False)
    """
    try:
        value = kind.parse(text)
    except ValueError:
        value = text
    with _hinting(f"unset {name}, or mend it"):
        return kind.read(Field(value, f"{name} in the environment", UsageError))


def load_config(path: Path | None = None, start: Path | None = None) -> Config:
    """Return the configuration at ``path``, or of the current folder, or an empty one.

    Raises:
        UsageError: the file is missing, is no TOML, or has a section, key or type that qedge does not know.
    """
    here = start or Path.cwd()
    if path is not None:
        if not path.is_file():
            raise UsageError(
                f"no configuration file {path}", hint=f"write one with: qedge init --config {path}"
            )
        return _read(path)
    if (here / FILE_NAME).is_file():
        return _read(here / FILE_NAME)
    project = here / "pyproject.toml"
    found = _read(project) if project.is_file() else None
    return Config(None, here) if found is None or not found.tables else found


def _read(path: Path) -> Config:
    document = read_toml(path, hint="mend the line that is named")
    if path.name == "pyproject.toml":
        for key in ("tool", "qedge"):
            document = document[key] if document.value.get(key) is not None else Field({}, document.path)
            document.object(optional=None)
    return Config(path, path.parent, _checked(document))


def _checked(document: Field) -> dict[str, dict[str, Any]]:
    document.object(optional=tuple(SECTIONS))
    tables = {}
    for name, table in document.members():
        with _hinting(f"write it under [{name}]"):
            table.object(optional=None if name in OPEN_SECTIONS else tuple(SECTIONS[name]))
        tables[name] = dict(table.value) if name in OPEN_SECTIONS else _values(name, table)
    return tables


def _values(section: str, table: Field) -> dict[str, Any]:
    values = {}
    for name, value in table.members():
        key = SECTIONS[section][name]
        with _hinting(key.help):
            values[name] = key.kind.read(value)
    return values


@contextmanager
def _hinting(hint: str) -> Iterator[None]:
    """Give an error that comes out of the block a hint, where it has none."""
    try:
        yield
    except UsageError as problem:
        raise UsageError(problem.message, hint=problem.hint or hint) from None


def to_toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the tables as TOML text, strings quoted, nested tables as ``[a.b]``."""
    lines: list[str] = []

    def table(path: str, content: Mapping[str, Any]) -> None:
        plain = {k: v for k, v in content.items() if not isinstance(v, Mapping) and v is not None}
        nested = {k: v for k, v in content.items() if isinstance(v, Mapping)}
        if plain:
            lines.append(f"[{path}]")
            lines.extend(f"{key} = {_value(value)}" for key, value in plain.items())
            lines.append("")
        for key, value in nested.items():
            table(f"{path}.{key}", value)

    for name, content in tables.items():
        table(name, content)
    return "\n".join(lines)


def _value(value: Any) -> str:
    import json

    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, (int, float)):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False)
