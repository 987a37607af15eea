"""What Frigate needs beside a Coral bundle's model: label map, configuration, and what its decoder takes for granted.

Frigate's ``yolo-generic`` on the Edge TPU (0.17) reads two outputs, (1, places, 64) and (1, places, classes), of
strides 8, 16 and 32, and feeds uint8 levels as int8 with a step of 1/255.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from qedge.errors import UnsupportedError
from qedge.graph import Graph
from qedge.processing.detect import Detect
from qedge.processing.spec import Postprocess

FOLDER = "frigate"
FRIGATE_RUNS_ON = "edgetpu"
"""The accelerator for which a bundle gets these files: no other of Frigate's detectors reads such a model."""
COMPILED = "model_edgetpu.tflite"
STRIDES, BINS, MIDDLE = (8, 16, 32), 16, 0.5
STEP, ZERO_POINT = 1 / 255, -128
TOLERANCE = 0.02
"""Share by which the input's step may differ: a level is then at most five off."""


def frigate_files(
    model: str, graph: Graph, postprocess: Postprocess | None, labels: Sequence[str]
) -> dict[str, bytes]:
    """Return the files that go into the bundle for Frigate.

    Args:
        model: path of the compiled model within the bundle.
        graph: of the int8 model.
        postprocess: what its outputs mean.
        labels: names of the classes.

    Raises:
        UnsupportedError: Frigate would not decode this model, and why.
    """
    why = _refused(graph, postprocess)
    if why is not None:
        raise UnsupportedError(
            f"Frigate's yolo-generic cannot decode this model: {why}",
            hint="it takes YOLOv8, v9, 11 and 12 (anchor-free, 16 bins, NMS) with images from 0 to 1: --range 0,1",
        )
    assert isinstance(postprocess, Detect)
    height, width = postprocess.input_size
    count = graph.tensors[graph.outputs[1]].shape[-1]
    names = [labels[k] if k < len(labels) else f"class_{k}" for k in range(count)]
    return {
        f"{FOLDER}/labelmap.txt": "".join(f"{k} {name}\n" for k, name in enumerate(names)).encode(),
        f"{FOLDER}/config.yml": _config(model, height, width, names).encode(),
    }


def _config(model: str, height: int, width: int, names: Sequence[str]) -> str:
    """Return the part of Frigate's configuration that names detector and model."""
    tracked = "\n".join(f"    - {_quoted(name.strip())}" for name in names[:3])
    first = (
        ""
        if model.endswith(COMPILED)
        else f"# {model} is not compiled yet: follow COMPILE.md first, whose {COMPILED} goes here.\n"
    )
    model = model if not first else COMPILED
    return f"""\
{first}# For Frigate 0.17 and newer. Copy {model} and labelmap.txt to /config/model_cache/, and this into config.yml.
detectors:
  edgetpu:
    type: edgetpu
    device: usb  # or pci

model:
  model_type: yolo-generic
  width: {width}
  height: {height}
  input_tensor: nhwc
  input_pixel_format: rgb
  input_dtype: int
  path: /config/model_cache/{model}
  labelmap_path: /config/model_cache/labelmap.txt

objects:
  track:  # the first of {len(names)}
{tracked}
"""


def _quoted(name: str) -> str:
    """Return a name as YAML text, whatever it is: 0, no and #1 are none without quotes."""
    return json.dumps(name, ensure_ascii=False)


def _refused(graph: Graph, post: Postprocess | None) -> str | None:
    if not isinstance(post, Detect) or post.form != "yolov8" or not post.box_outputs:
        return "its decoding is none of YOLOv8's family, or still in the model"
    if not post.suppress:
        return "its head gives every object once (YOLOv10, 26), and Frigate would still suppress"
    if post.cell_middle != MIDDLE:
        return "its distances count from the corners of cells"
    if post.bins != BINS or tuple(post.strides) != STRIDES:
        return f"{post.bins} bins and strides {list(post.strides)}, expected {BINS} and {list(STRIDES)}"
    shapes = [graph.tensors[t].shape for t in graph.outputs]
    if len(shapes) != 2 or any(len(s) != 3 for s in shapes):
        return f"outputs {[list(s) for s in shapes]}, expected two of rank 3"
    height, width = post.input_size
    places = sum((int(height) // s) * (int(width) // s) for s in STRIDES)
    if shapes[0][1] != places:
        return (
            f"{shapes[0][1]} places, expected {places}: its images are no multiples of {STRIDES[-1]} pixels"
        )
    if shapes[1][2] in (1, 4 * BINS):
        return f"{shapes[1][2]} classes: it tells boxes and scores apart by their width"
    entry = graph.tensors[graph.inputs[0]]
    scale, zero_point = entry.quantization.scalar if entry.quantization else (0.0, 0)
    if entry.dtype != "int8" or zero_point != ZERO_POINT or abs(scale / STEP - 1) > TOLERANCE:
        return f"the input's step is {scale:.5g} from {zero_point}, expected {STEP:.5g} from {ZERO_POINT}"
    return None
