"""Why the child process cannot convert a model, in words that help."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any


class Refusal(Exception):
    """The model cannot be converted; becomes a ``ModelError`` (or ``ToolError``) in the parent."""

    def __init__(self, message: str, hint: str = "", kind: str = "model") -> None:
        super().__init__(message)
        self.message, self.hint, self.kind = message, hint, kind


EXPORT_HINT = (
    "in the program that trained it, write a SavedModel (Keras 3: model.export(folder)) and give that folder"
)


def require(module: str, title: str) -> Any:
    """Return an imported module, or refuse because it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise Refusal(title, kind="missing") from error


_KNOWN: Sequence[tuple[str, Callable[[re.Match[str]], tuple[str, str]]]] = (
    (
        r"(?:Unknown layer|Unknown (?:class|object|metric|loss|activation function|initializer)):? '?(\w+)'?",
        lambda m: (f"it uses the custom object {m[1]!r}, whose code is not in the file", EXPORT_HINT),
    ),
    (
        r"Could not locate (?:class|function) '(\w+)'",
        lambda m: (f"it uses the custom object {m[1]!r}, whose code is not in the file", EXPORT_HINT),
    ),
    (
        r"Lambda[\s\S]*(?:unsafe|safe_mode|arbitrary)|(?:unsafe|safe_mode|arbitrary)[\s\S]*[lL]ambda",
        lambda m: (
            "it has a Lambda layer, which holds Python code that is not run for safety",
            f"replace the Lambda by a layer, or {EXPORT_HINT}",
        ),
    ),
    (
        r"(?:No model config found|No model found in config file)",
        lambda m: ("it holds weights only, no model", "save the whole model: model.save('model.keras')"),
    ),
    (
        r"(Unable to (?:synchronously )?open file[^\n]*)|(truncated file[^\n]*)",
        lambda m: ("the file is damaged or truncated", "save or copy it again"),
    ),
    (
        r"(?:are|is) neither a custom op nor a flex op|needs? (?:to be )?Flex|Some ops are not supported by"
        r" the native TFLite runtime",
        lambda m: ("it uses TensorFlow operators that TFLite does not have", ""),
    ),
)


def explain(error: BaseException) -> dict[str, str]:
    """Return message and hint for an exception of TensorFlow or Keras; else its own words."""
    text = re.sub(r"\x1b\[\d*m", "", f"{type(error).__name__}: {error}")
    for pattern, make in _KNOWN:
        match = re.search(pattern, text)
        if match:
            message, hint = make(match)
            flex = sorted(set(re.findall(r"tf\.([A-Z]\w+)\(", text)))
            if "TensorFlow operators" in message and flex:
                message += f": {', '.join(flex)}"
                hint = "replace these operators in the model by others, or move them out of it"
            return {"message": message, "hint": hint}
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return {"message": f"TensorFlow cannot convert it: {' '.join(lines[:3])[:500]}", "hint": EXPORT_HINT}
