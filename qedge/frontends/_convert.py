"""The child process: one Keras file or SavedModel to a float ``.tflite``, with TensorFlow.

Run as ``python -m qedge.frontends._convert REQUEST.json ...``. A request names the model, its kind and a
folder; the folder then holds ``result.json`` (names, or an error) and ``model.tflite``.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qedge.frontends import _keras, _savedmodel
from qedge.frontends._refuse import Refusal, explain, require


def main(request_file: str) -> None:
    """Convert what a request names; always leave a ``result.json`` unless the process dies."""
    request = json.loads(Path(request_file).read_text())
    folder = Path(request["folder"])
    try:
        result = _convert(request, folder)
    except Refusal as refusal:
        result = {"error": {"kind": refusal.kind, "message": refusal.message, "hint": refusal.hint}}
    except MemoryError:
        result = {"error": {"kind": "model", "message": "the conversion ran out of memory", "hint": ""}}
    except Exception as error:
        traceback.print_exc()
        result = {"error": {"kind": "model", **explain(error)}}
    (folder / "result.json").write_text(json.dumps(result))


def _convert(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    path, kind, shapes = Path(request["path"]), request["kind"], request["input_shapes"]
    layers: list[str] = []
    if kind == "savedmodel" and not _keras.is_recurrent_folder(path):
        function, owner, inputs, outputs = _savedmodel.traced(path, folder, shapes)
    else:
        function, owner, inputs, outputs = _keras.traced(path, kind, shapes)
        layers = [str(layer.name) for layer in owner._flatten_layers()]
    data = to_tflite(function, owner)
    (folder / "model.tflite").write_bytes(data)
    return {"inputs": inputs, "outputs": outputs, "layers": layers}


def to_tflite(function: Any, owner: Any) -> bytes:
    """Return TensorFlow's float ``.tflite`` of a concrete function."""
    tf = require("tensorflow", "TensorFlow")
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], owner)
    converter.experimental_lower_to_saved_model = False  # the other route leaves Keras 3's weights variables
    data: bytes = converter.convert()
    return data


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        main(argument)
