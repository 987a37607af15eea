"""TensorFlow in the child process: its converter, and its errors in words that help."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from qedge.findings import Finding
from qedge.frontends.protocol import Refusal, require
from qedge.graph.custom_names import LOG_MEL

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
)


def to_tflite(function: Any, owner: Any) -> bytes:
    """Return TensorFlow's float ``.tflite`` of a concrete function.

    Raises:
        Refusal: operators that TFLite does not have, each with the layers that use it.
    """
    tf = require("tensorflow", "TensorFlow")
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], owner)
    converter.experimental_lower_to_saved_model = False  # the other route leaves Keras 3's weights variables
    try:
        data: bytes = converter.convert()
    except Exception as error:
        missing = _not_in_tflite(str(error))
        if not missing:
            raise
        if missing == ["Erf"]:
            from qedge.frontends._erf import without_erf

            return to_tflite(without_erf(function), owner)
        raise _unsupported(missing, function) from error
    return data


def _not_in_tflite(text: str) -> list[str]:
    """Return the operators that the converter's error names as missing, sorted."""
    found = re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", text)
    for listed in re.findall(r"(?:TF Select|Custom) ops: ([\w, ]+)", text):
        found += listed.split(", ")
    return sorted({name.strip() for name in found if name.strip()})


def _unsupported(missing: Sequence[str], function: Any) -> Refusal:
    places = {op: layers_of(function, op) for op in missing}
    findings = [
        Finding(
            "error",
            "unsupported-op",
            f"{op} has no form in TFLite" + (f", in {_layers(places[op])}" if places[op] else ""),
            _WAYS_OUT.get(op),
            op=op,
        )
        for op in missing
    ]
    listed = ", ".join(f"{op} (in {_layers(places[op])})" if places[op] else op for op in missing)
    hint = next((_WAYS_OUT[op] for op in missing if op in _WAYS_OUT), _REPLACE)
    return Refusal(
        f"it uses TensorFlow operators that TFLite does not have: {listed}", hint, "unsupported", findings[1:]
    )


_REPLACE = "replace these operators in the model by others, or move them out of it"
_WAYS_OUT = dict.fromkeys(
    ("FFT", "RFFT", "IRFFT", "IFFT", "RFFT2D", "DecodeWav", "AudioSpectrogram"), LOG_MEL
)


def _layers(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"the layer{'s' if len(names) > 1 else ''} {', '.join(map(repr, names[:3]))}{more}"


def layers_of(function: Any, op: str) -> list[str]:
    """Return the layers whose operators of this kind a concrete function holds, by their paths, in order.

    The first component of all paths is the model's own name and goes.
    """
    definition = function.graph.as_graph_def()
    nodes = [*definition.node, *(node for f in definition.library.function for node in f.node_def)]
    return layer_names([node.name for node in nodes if node.op == op], [node.name for node in nodes])


def layer_names(paths: Sequence[str], everything: Sequence[str]) -> list[str]:
    """Return the layers of some operators' paths, once each.

    >>> layer_names(["model/dense/inv/MatrixInverse"], ["model/dense/inv/MatrixInverse", "model/x/Add"])
    ['dense']
    """
    heads = [path.partition("/")[0] for path in everything if "/" in path]
    own = max(sorted(set(heads)), key=heads.count, default="")
    shared = heads.count(own) > 0.8 * len(heads)
    found = []
    for path in paths:
        layer, inside, _ = (path.removeprefix(f"{own}/") if shared else path).partition("/")
        if inside:  # else an operation that is in no layer
            found.append(layer)
    return list(dict.fromkeys(found))


def explain(error: BaseException) -> Refusal:
    """Return the refusal for an exception of TensorFlow or Keras; else its own words."""
    text = re.sub(r"\x1b\[\d*m", "", f"{type(error).__name__}: {error}")
    for pattern, make in _KNOWN:
        match = re.search(pattern, text)
        if match:
            return Refusal(*make(match))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return Refusal(f"TensorFlow cannot convert it: {' '.join(lines[:3])[:500]}", EXPORT_HINT)
