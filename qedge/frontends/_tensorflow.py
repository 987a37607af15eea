"""TensorFlow in the child process: its converter, and its errors in words that help."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from qedge.frontends.protocol import Refusal, require

ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
    "KERAS_HOME": "{folder}",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}
NOISE = (
    r"cuda|computation_placer|oneDNN|cpu_feature_guard|TF-TRT|absl::InitializeLog|rebuild TensorFlow"
    r"|^[IW]\d{4} |^[IW]0000|^\s*$|WARNING:|warnings\.warn|Warning:"
)
EXPORT_HINT = (
    "in the program that trained it, write a SavedModel (Keras 3: model.export(folder)) and give that folder"
)


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


def to_tflite(function: Any, owner: Any) -> bytes:
    """Return TensorFlow's float ``.tflite`` of a concrete function."""
    tf = require("tensorflow", "TensorFlow")
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], owner)
    converter.experimental_lower_to_saved_model = False  # the other route leaves Keras 3's weights variables
    data: bytes = converter.convert()
    return data


def explain(error: BaseException) -> Refusal:
    """Return the refusal for an exception of TensorFlow or Keras; else its own words."""
    text = re.sub(r"\x1b\[\d*m", "", f"{type(error).__name__}: {error}")
    for pattern, make in _KNOWN:
        match = re.search(pattern, text)
        if match:
            message, hint = make(match)
            flex = sorted(set(re.findall(r"tf\.([A-Z]\w+)\(", text)))
            if "TensorFlow operators" in message and flex:
                message += f": {', '.join(flex)}"
                hint = "replace these operators in the model by others, or move them out of it"
            return Refusal(message, hint)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return Refusal(f"TensorFlow cannot convert it: {' '.join(lines[:3])[:500]}", EXPORT_HINT)
