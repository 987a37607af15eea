"""``qedge.toml`` (or ``[tool.qedge]`` in ``pyproject.toml``): what a user states once about a model.

Precedence of a value: flag, then environment (``QEDGE_OUT``, ``QEDGE_TARGETS=rpi,mcu`` ...), then the file, then the
default.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qedge.errors import UsageError, nearest
from qedge.trust.card import FIELDS

FILE_NAME = "qedge.toml"

# Table -> key -> (accepted Python types, help); one table of the truth for reading, `init` and the docs.
SECTIONS: Mapping[str, Mapping[str, tuple[tuple[type, ...], str]]] = {
    "model": {
        "path": ((str,), "the trained model: a file or folder that a front end reads"),
        "name": ((str,), "name of the build; the file's name by default"),
        "labels": ((str, list), "label file (one a line) or list, in the model's output order"),
        "cut_head": ((bool,), "whether a detector's decoding leaves the model; by default where it is known"),
        "input_shape": ((list, dict), "static shape with batch 1, or a table of shapes by input name"),
        "input_value": ((dict,), "numbers by input name, for inputs that become constants"),
    },
    "data": {
        "path": ((str,), "representative dataset: folder of images or wavs, .npz or .npy"),
        "eval": ((str,), "samples to measure on; by default some of the dataset are held out"),
        "samples": ((int,), "use at most this many samples for calibration"),
        "seed": ((int,), "seed of the choice of samples"),
    },
    "preprocess": {},
    "postprocess": {},
    "build": {
        "targets": ((list,), "targets that `qedge build` builds without --target"),
        "out": ((str,), "folder of the builds"),
        "strict": ((bool,), "a warning about the model, the data or the figures fails the build"),
        "io": ((str,), "type of inputs and outputs: auto, int8, uint8, int16 or float32"),
    },
    "quantize": {
        "method": ((str,), "auto, or the method to pin"),
        "effort": ((str,), "how much is tried: fast, normal or thorough"),
        "recipe": ((str,), "recipe file that pins every part"),
        "max_drop": ((str, float, int), "accuracy that int8 may lose, in points: 1 or '1%'"),
        "min_sqnr": ((float, int), "SQNR in dB that int8 must reach"),
        "per_channel": ((bool,), "one weight scale a channel (true), a tensor (false)"),
        "tune": (
            (str,),
            "learn from the float model's answers: on, auto (where the budget is missed) or off",
        ),
    },
    "tune": {
        "minutes": ((int, float), "longest time to tune for"),
        "steps": ((int,), "steps of gradient descent at most"),
        "batch": ((int,), "samples a step"),
        "rate": ((int, float), "learning rate of weights, of their root mean square a step"),
        "scale_rate": ((int, float), "learning rate of the weights' scales, as a share of them"),
        "range_rate": (
            (int, float),
            "learning rate of the ranges of activations, as a share of the larger end",
        ),
        "layers": ((int, float), "weight of the layers' own outputs beside the model's"),
        "labels": ((int, float), "weight of the labels, where there are any"),
    },
    "card": {key: ((str,), help) for key, help in FIELDS.items()},
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
            UsageError: the variable holds no value of the key's type.
        """
        name = variable_of(section, key)
        text = os.environ.get(name) if name else None
        if text:
            return _typed(text, SECTIONS[section][key][0], str(name))
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


def _typed(text: str, types: tuple[type, ...], name: str) -> Any:
    """Return a variable's text as the first of a key's types that it can be.

    >>> _typed("rpi, mcu", (list,), "QEDGE_TARGETS"), _typed("no", (bool,), "QEDGE_STRICT")
    (['rpi', 'mcu'], False)
    """
    if str in types or dict in types:  # shapes by input name are text on the command line too
        return text
    if types == (list,):
        return text.replace(",", " ").split()
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if types == (bool,) and text.lower() in words:
        return words[text.lower()]
    for kind in types:
        if kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    expected = " or ".join(t.__name__ for t in types)
    raise UsageError(
        f"{name} is {text!r} in the environment, expected {expected}", hint=f"unset {name}, or mend it"
    )


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
    if project.is_file():
        tables = _parse(project).get("tool", {}).get("qedge")
        if tables is not None:
            return Config(project, here, _checked(tables, f"{project} [tool.qedge]"))
    return Config(None, here)


def _read(path: Path) -> Config:
    if path.name == "pyproject.toml":
        return Config(path, path.parent, _checked(_parse(path).get("tool", {}).get("qedge", {}), str(path)))
    return Config(path, path.parent, _checked(_parse(path), str(path)))


def _parse(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}", hint="mend the line that is named") from error


def _checked(tables: Mapping[str, Any], origin: str) -> dict[str, dict[str, Any]]:
    for name, table in tables.items():
        if name not in SECTIONS:
            raise _unknown(f"{origin}: $.{name}", name, SECTIONS)
        if not isinstance(table, dict):
            raise UsageError(
                f"{origin}: $.{name} is {type(table).__name__}, expected a table", hint=f"[{name}]"
            )
        for key, value in table.items():
            if name in OPEN_SECTIONS:
                continue
            if key not in SECTIONS[name]:
                raise _unknown(f"{origin}: $.{name}.{key}", key, SECTIONS[name])
            types = SECTIONS[name][key][0]
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                expected = " or ".join(t.__name__ for t in types)
                raise UsageError(
                    f"{origin}: $.{name}.{key} is {value!r}, expected {expected}", hint=SECTIONS[name][key][1]
                )
    return {name: dict(table) for name, table in tables.items()}


def _unknown(where: str, word: str, known: Iterable[str]) -> UsageError:
    names = list(known)
    close = nearest(word, names)
    lead = f"did you mean {close!r}? " if close else ""
    return UsageError(f"{where} is not known", hint=f"{lead}known: {', '.join(names)}")


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
