"""What int8 costs masks and key points: the bundle's beside those of the float model, and of what was drawn.

    python benchmarks/detection_parts.py --python /tmp/ultralytics/bin/python --onnx FOLDER

YOLOv8n-seg and YOLOv8n-pose learn for a few minutes to find drawn shapes with their masks and three key points
(``detection_parts_models.py``; FOLDER keeps what was trained). Each is converted from ONNX, its decoding taken off, and
quantised (``--method``, min-max by default). Objects of the float model above the score threshold are paired with int8
ones that overlap them by half; of each pair: intersection over union of the masks, and the distance of the key points
that are seen, in pixels and as a share of the box' side (the root of its area), with the differences of their scores.
``drawn`` compares both models with the shapes themselves.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detection_parts_scenes import Drawn, scene

from qedge.datasets import InputInfo, open_dataset
from qedge.frontends import load_model
from qedge.graph import Graph
from qedge.processing.detect import Detection
from qedge.quantize import QuantizeOptions, quantize
from qedge.quantize.boxes import matches
from qedge.quantize.heads import cut_head
from qedge.quantize.interpreter import Runner

HERE = Path(__file__).parent
SEEN = 0.5
FINE = 4
"""Cells a cell of the masks' maps, where masks are laid over each other."""


def raster(mask: Sequence[Sequence[float]], cells: int) -> np.ndarray:
    """Return a mask's rectangles on a grid over the image: bool (cells, cells)."""
    found = np.zeros((cells, cells), bool)
    for run in mask:
        top, left, bottom, right = np.round(np.array(run) * cells).astype(int)
        found[top:bottom, left:right] = True
    return found


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return intersection over union; 1 where both are empty."""
    union = int(np.count_nonzero(a | b))
    return np.count_nonzero(a & b) / union if union else 1.0


def truths(drawn: Drawn, size: int) -> list[Detection]:
    """Return what was drawn as objects are."""
    found = []
    for (label, left, top, right, bottom), points in zip(drawn.boxes.tolist(), drawn.points):
        box = (top / size, left / size, bottom / size, right / size)
        marks = tuple((y / size, x / size, seen) for x, y, seen in points.tolist())
        found.append(Detection(str(int(label)), 1.0, box, marks))
    return found


def marks(pairs: list[tuple[Detection, Detection]], size: int) -> dict[str, Any]:
    """Return how far key points that the first of each pair sees are apart, and the differences of their scores."""
    pixels, shares, scores, agree = [], [], [], []
    for a, b in pairs:
        side = float(np.sqrt((a.box[2] - a.box[0]) * (a.box[3] - a.box[1])))
        one, two = np.array(a.points), np.array(b.points)
        seen = one[:, 2] >= SEEN
        away = np.linalg.norm(one[:, :2] - two[:, :2], axis=1)[seen]
        pixels += (away * size).tolist()
        shares += (away / side).tolist()
        scores += np.abs(one[:, 2] - two[:, 2]).tolist()
        agree += ((one[:, 2] >= SEEN) == (two[:, 2] >= SEEN)).tolist()
    if not pixels:
        return {}
    return {
        "points": len(pixels), "pixels": _mean(pixels), "of_side": _mean(shares, 4),
        "of_side_95": round(float(np.quantile(shares, 0.95)), 4), "score_apart": _mean(scores, 3),
        "same_seen": _mean(agree, 4),
    }  # fmt: skip


def _mean(values: Sequence[float], digits: int = 3) -> float:
    return round(float(np.mean(values)), digits)


def figures(model: Path, images: np.ndarray, drawn: list[Drawn], held: int, method: str) -> dict[str, Any]:
    """Return the figures of one model; the last ``held`` images are compared, the others calibrate."""
    with tempfile.TemporaryDirectory(prefix="detection-") as scratch:
        source = load_model(model, workdir=Path(scratch))
        ended = cut_head(source.data)
        assert ended is not None, "the decoding is not known"
        np.savez(Path(scratch, "data.npz"), x=images[:-held].astype(np.float32) / 255)
        graph = Graph.from_bytes(ended.data)
        taken = InputInfo(graph.input_names[0], graph.tensors[graph.inputs[0]].shape, "float32", None)
        data = open_dataset(Path(scratch, "data.npz"), [taken])
        int8 = quantize(ended.data, data, QuantizeOptions(method=method, mixed=False, threads=1)).data
    real, quantised, spec = Runner(ended.data, threads=1), Runner(int8, threads=1), ended.postprocess
    size = images.shape[1]
    cells = FINE * size // 4
    pairs: list[tuple[Detection, Detection]] = []
    against: dict[str, list[Any]] = {"float": [], "int8": []}
    masks, drawn_masks, found = [], {"float": [], "int8": []}, 0
    for image, one in zip(images[-held:], drawn[-held:]):
        sample = [image[None].astype(np.float32) / 255]
        both = {
            "float": spec.apply(real.predict(sample), ()),
            "int8": spec.apply(quantised.predict(sample), ()),
        }
        found += len(both["float"])
        here = matches(both["float"], both["int8"])
        pairs += here
        if spec.masks:
            masks += [overlap(raster(a.mask, cells), raster(b.mask, cells)) for a, b in here]
        shapes, whole = truths(one, size), one.masks(size, cells)
        for name, objects in both.items():
            told = matches(shapes, objects)
            against[name] += told
            numbers = {id(shape): k + 1 for k, shape in enumerate(shapes)}
            if spec.masks:
                drawn_masks[name] += [
                    overlap(whole == numbers[id(a)], raster(b.mask, cells)) for a, b in told
                ]
    row: dict[str, Any] = {
        "model": model.stem, "method": method, "images": held, "objects": found,
        "paired": round(100 * len(pairs) / max(1, found), 1),
        "drawn": {name: len(told) for name, told in against.items()},
    }  # fmt: skip
    if spec.masks:
        row["mask_iou"] = {"mean": _mean(masks, 4), "low_5": round(float(np.quantile(masks, 0.05)), 4)}
        row["mask_iou_of_drawn"] = {name: _mean(values, 4) for name, values in drawn_masks.items()}
    if spec.points:
        row["apart"] = marks(pairs, size)
        row["apart_from_drawn"] = {name: marks(told, size) for name, told in against.items()}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--python", type=Path, help="of the environment with ultralytics, onnx and onnxruntime"
    )
    parser.add_argument(
        "--onnx", type=Path, required=True, help="folder that keeps trained and exported models"
    )
    parser.add_argument("--models", nargs="+", default=["yolov8n-seg", "yolov8n-pose"])
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--calibrate", type=int, default=16, help="images that calibrate")
    parser.add_argument("--measure", type=int, default=24, help="images that are compared")
    parser.add_argument("--method", default="minmax")
    options = parser.parse_args()
    folder = options.onnx.resolve()
    rng = np.random.default_rng(5)
    scenes = [scene(rng, options.size) for _ in range(options.calibrate + options.measure)]
    images, drawn = np.stack([image for image, _ in scenes]), [shapes for _, shapes in scenes]
    for name in options.models:
        path = folder / f"{name}_{options.size}.onnx"
        if not path.exists():
            if options.python is None:
                parser.error("--python: expected the Python of an environment with ultralytics, see --help")
            command = [str(options.python), str(HERE / "detection_parts_models.py"), str(folder)]
            command += ["--models", name, "--size", str(options.size)]
            subprocess.run(command, check=True, stdout=sys.stderr)
        print(json.dumps(figures(path, images, drawn, options.measure, options.method)), flush=True)


if __name__ == "__main__":
    main()
