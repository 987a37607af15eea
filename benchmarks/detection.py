"""Ultralytics' detectors, exported, converted and quantised without their decoding, against that package itself.

    python -m venv /tmp/ultralytics && /tmp/ultralytics/bin/pip install ultralytics onnx onnxruntime
    python benchmarks/detection.py --python /tmp/ultralytics/bin/python --onnx FOLDER
    python benchmarks/detection.py speed      # decoding and suppression alone
    python benchmarks/detection.py map        # mAP of 5,000 images: our way to pycocotools, and its own
    python benchmarks/detection.py ours       # the example's detector in C on an emulated Cortex-M4

Graphs of YOLOv5n (as that package has it), v8n, v10n, 11n and 26n at 320 and 640 pixels. Nobody's weights: each net
learns for a few minutes to find the drawn shapes of ``detection_scenes.py`` (``detection_models.py`` says how; FOLDER
keeps what was trained and exported, so that it is done once). For each: the ONNX file in onnxruntime and through the
package's own post-processing, on scenes that neither taught nor calibrated anything; and the rpi bundle's boxes. A
float box above the score threshold is matched where the bundle finds one of its class that overlaps it by 0.9. Scores
next to the threshold fall on either side of it, whatever the quality: so the bundle is asked at 0.8 of the threshold;
``strict`` is at the threshold itself, ``before`` what the bundle has before suppression, ``nudged`` what the float
model itself keeps of its own boxes with noise of 0.03 on its class logits, and ``found`` the share of the drawn shapes
that the float model finds. An export of your own goes in as ``FOLDER/NAME_SIZE.onnx`` (its sides fixed) with
``--models NAME --sizes SIZE``. Also what the Edge TPU is predicted to run: the products of attention stay on the CPU,
cut a net in two, and both parts are compiled. With ``--images FOLDER`` every second scene is drawn on a photo.
``--quick`` quantises alone, without a build's report and bundles: the same int8 model and boxes in a fraction of the
time.

``--seeded`` takes nets that learned nothing, in a FOLDER of their own: the package's seeded weights, with norms that
keep what they are given and last layers that find about one place in a hundred (``even`` in ``detection_models.py``).
``--seeded plain`` settles the norms' statistics alone, quantises alone, and takes as threshold the score that the
surest 50 places an image reach. Whether the float boxes say anything: ``classes`` is how many they have, ``again`` the
share of an image's boxes that the next image has too, ``alike`` of those that would match with another one's sides.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from detection_boxes import matched, rows, surest, variety
from detection_scenes import scene

import qedge
from qedge.graph import Graph
from qedge.processing.detect import Detect
from qedge.quantize.interpreter import Runner

HERE = Path(__file__).parent
THRESHOLD, NEAR, NUDGE = 0.25, 0.8, 0.03


def pictures(folder: Path | None, count: int, size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return scenes, uint8 (count, size, size, 3), and the shapes drawn in each; every second on a photo."""
    from PIL import Image

    rng = np.random.default_rng(5)
    files = (
        [] if folder is None else sorted(p for p in folder.iterdir() if p.suffix in (".bmp", ".jpg", ".png"))
    )
    photos = [Image.open(p).convert("RGB") for p in files]
    drawn = [
        scene(rng, size, photos[k // 2 % len(photos)] if photos and k % 2 else None) for k in range(count)
    ]
    return np.stack([image for image, _ in drawn]), [shapes for _, shapes in drawn]


def measure(
    name: str, size: int, folder: Path, images: np.ndarray, truths: list[np.ndarray], held: int, python: Path
) -> dict[str, Any]:
    """Return the figures of one model at one size; the last ``held`` images are compared, the others calibrate."""
    model = folder / f"{name}_{size}.onnx"
    with tempfile.TemporaryDirectory(prefix="detection-") as scratch:
        wanted = package_boxes(model, images[-held:], python, Path(scratch), THRESHOLD)
        started = time.process_time()
        data = images[:-held].astype(np.float32) / 255
        built = qedge.build(
            model,
            data,
            targets=["rpi", "coral"],
            out=Path(scratch, "build"),
            method=METHOD,
            threads=1,
        )
        seconds = time.process_time() - started
        return figures(name, size, built, images[-held:], wanted, truths[-held:], seconds)


def figures(
    name: str,
    size: int,
    built: qedge.Build,
    held: np.ndarray,
    wanted: list[np.ndarray],
    truths: list[np.ndarray],
    seconds: float,
) -> dict[str, Any]:
    """Return what the bundles find, against the boxes of the float model and the shapes that were drawn."""
    counts = dict.fromkeys(("same", "strict", "before", "nudged", "wanted", "found", "drawn"), 0)
    real = Runner(built.bundles["rpi"].parent.joinpath("float.tflite").read_bytes())
    rng = np.random.default_rng(0)
    with qedge.load(built.bundles["rpi"]) as loaded:
        assert isinstance(loaded.postprocess, Detect)
        spec = loaded.postprocess.replace(threshold=THRESHOLD)
        near = spec.replace(threshold=NEAR * THRESHOLD)
        for image, boxes, shapes in zip(held, wanted, truths):
            real_shapes = np.concatenate([shapes[:, 1:], np.ones_like(shapes[:, :1]), shapes[:, :1]], axis=1)
            counts["drawn"] += len(shapes)
            counts["found"] += matched(real_shapes, boxes, 0.5)
            result = loaded(image)._real
            nudged = real.predict([image[None].astype(np.float32) / 255])
            for k in spec.score_outputs:
                nudged[k] = nudged[k] + rng.normal(0, NUDGE, nudged[k].shape).astype(np.float32)
            counts["wanted"] += len(boxes)
            counts["strict"] += matched(boxes, rows(result, spec, size))
            counts["same"] += matched(boxes, rows(result, near, size))
            counts["before"] += matched(
                boxes, rows(result, near.replace(suppress=False, limit=1 << 30), size)
            )
            counts["nudged"] += matched(boxes, rows(nudged, near, size))
    placed = built.report.targets["coral"].operators
    mapped = sum(p.placement == "edgetpu" for p in placed)
    parts = built.report.targets["coral"].metrics["edgetpu_subgraphs"]
    told = {f.rule: f.message for f in built.report.findings}
    shares = {
        key: round(100 * counts[key] / max(1, counts["wanted"]), 1)
        for key in ("same", "strict", "before", "nudged")
    }
    return {
        "model": name, "size": size, "boxes": counts["wanted"], "images": len(held), **variety(wanted),
        "found": round(100 * counts["found"] / max(1, counts["drawn"]), 1), "matched": shares.pop("same"), **shares,
        "edgetpu": f"{mapped} of {len(placed)} in {parts}", "mapped": round(100 * mapped / len(placed), 1),
        "cpu_seconds": round(seconds, 1), "cut": told.get("head-cut", ""), "gain": told.get("head-gain", ""),
    }  # fmt: skip


def quick(
    name: str, size: int, folder: Path, images: np.ndarray, held: int, python: Path, plain: bool
) -> dict[str, Any]:
    """Return the boxes that the quantised model alone finds, and where the Edge TPU would run its operators.

    A net with plain random weights has no score that its threshold was made for: there it is that of the surest places.
    """
    from qedge.datasets import InputInfo, open_dataset
    from qedge.frontends import load_model
    from qedge.quantize import QuantizeOptions, quantize
    from qedge.quantize.heads import cut_head
    from qedge_coral import rewrite
    from qedge_coral.parts import choose

    model = folder / f"{name}_{size}.onnx"
    with tempfile.TemporaryDirectory(prefix="detection-") as scratch:
        ended = cut_head(load_model(model, workdir=Path(scratch)).data)
        assert ended is not None
        threshold = surest(ended, images[-held:]) if plain else THRESHOLD
        wanted = package_boxes(model, images[-held:], python, Path(scratch), threshold)
        np.savez(Path(scratch, "data.npz"), x=images[:-held].astype(np.float32) / 255)
        graph = Graph.from_bytes(ended.data)
        taken = InputInfo(graph.input_names[0], graph.tensors[graph.inputs[0]].shape, "float32", None)
        data = open_dataset(Path(scratch, "data.npz"), [taken])
        options = QuantizeOptions(method=METHOD, mixed=False, threads=1)
        int8 = quantize(ended.data, data, options).data
    runner, spec = Runner(int8, threads=1), ended.postprocess.replace(threshold=threshold)
    whole = {"suppress": False, "limit": 1 << 30}
    real, rng = Runner(ended.data, threads=1), np.random.default_rng(0)
    counts = {"matched": 0, "strict": 0, "before": 0, "nudged": 0}
    for image, boxes in zip(images[-held:], wanted):
        outputs = runner.predict([image[None].astype(np.float32) / 255])
        near = spec.replace(threshold=NEAR * threshold)
        for key, how in (("matched", near), ("strict", spec), ("before", near.replace(**whole))):
            counts[key] += matched(boxes, rows(outputs, how, size))
        nudged = real.predict([image[None].astype(np.float32) / 255])
        for k in spec.score_outputs:
            nudged[k] = nudged[k] + rng.normal(0, NUDGE, nudged[k].shape).astype(np.float32)
        counts["nudged"] += matched(boxes, rows(nudged, near, size))
    placed = choose(rewrite.rewrite(Graph.from_bytes(int8)).drafted, {}).prediction
    total = sum(map(len, wanted))
    return {
        "model": name, "size": size, "threshold": threshold, "boxes": total, "images": held, **variety(wanted),
        **{key: round(100 * count / max(1, total), 1) for key, count in counts.items()},
        "edgetpu": f"{len(placed.mapped)} of {len(placed.placements)} in {len(placed.subgraphs)}",
        "mapped": round(placed.mapped_percent, 1), "cut": ended.error,
    }  # fmt: skip


def package_boxes(
    model: Path, held: np.ndarray, python: Path, scratch: Path, threshold: float
) -> list[np.ndarray]:
    """Return what the package finds in each image by the ONNX file: rows of six."""
    photos, boxes = scratch / "held.npy", scratch / "boxes.npz"
    np.save(photos, held)
    command = [str(python), str(HERE / "detection_models.py"), "detect", str(model), str(photos), str(boxes)]
    subprocess.run([*command, "--threshold", repr(threshold)], check=True)
    with np.load(boxes) as stored:
        return [stored[str(k)] for k in range(len(held))]


METHOD = "minmax"


def speed() -> None:
    """Print the time of decoding and suppression: 8,400 places of 80 classes, some hundred above the threshold."""
    rng = np.random.default_rng(0)
    sides = [640 // s for s in (8, 16, 32)]
    boxes = [rng.normal(0, 2, (1, n, n, 64)).astype(np.float32) for n in sides]
    scores = [rng.normal(-7, 1.9, (1, n, n, 80)).astype(np.float32) for n in sides]
    spec = Detect(
        "yolov8", box_outputs=(0, 1, 2), score_outputs=(3, 4, 5), strides=(8, 16, 32), input_size=(640, 640),
        threshold=THRESHOLD, iou=0.7, limit=300,
    )  # fmt: skip
    whole = np.concatenate([rng.uniform(10, 600, (8400, 4)), rng.beta(0.15, 8, (8400, 80))], axis=1)
    done = spec.replace(box_outputs=(), score_outputs=(), score_form="probabilities")
    for name, how, outputs in (
        ("distances and logits, three levels", spec, [*boxes, *scores]),
        ("decoded in the graph", done, [whole[None].astype(np.float32)]),
    ):
        took = []
        for _ in range(50):
            started = time.perf_counter()
            found = how.apply(outputs, ())
            took.append(time.perf_counter() - started)
        above = len(how.decode(outputs).scores)
        told = f"{above} above the threshold, {len(found)} objects"
        print(f"{name}: {1000 * min(took):.2f} ms best, {1000 * np.median(took):.2f} ms median; {told}")


def precision(count: int) -> None:
    """Print mAP and processor time of ``count`` images of 80 classes, by our way and by pycocotools' own from files."""
    import contextlib
    import io

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from qedge.datasets.objects.truth import Truth
    from qedge.quantize.precision import Found, average_precision

    rng = np.random.default_rng(0)
    truths, found = [], []
    for _ in range(count):
        n = int(rng.integers(0, 14))
        low = rng.uniform(0, 500, (n, 2))
        boxes = np.concatenate([low, low + rng.uniform(8, 140, (n, 2))], axis=1)
        labels = rng.integers(0, 80, n)
        truths.append(Truth.of(Path("x"), (640, 640), boxes, labels, rng.random(n) < 0.02))
        again = np.repeat(boxes, 3, axis=0) + rng.normal(0, 8, (3 * n, 4))
        found.append(Found(again, np.repeat(labels, 3), rng.random(3 * n)))
    names = [str(k) for k in range(80)]
    started = time.process_time()
    ours = average_precision(truths, found, names)
    mine = time.process_time() - started
    images = [{"id": k, "height": 640, "width": 640} for k in range(count)]
    notes: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for k, (truth, one) in enumerate(zip(truths, found)):
        for box, label, crowd, area in zip(truth.boxes, truth.classes, truth.crowd, truth.areas):
            sides = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
            note = {"id": len(notes) + 1, "image_id": k, "category_id": int(label), "bbox": sides}
            notes.append({**note, "iscrowd": int(crowd), "area": float(area)})
        for box, label, score in zip(one.boxes, one.classes, one.scores):
            sides = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
            lines.append({"image_id": k, "category_id": int(label), "bbox": sides, "score": float(score)})
    categories = [{"id": k, "name": name} for k, name in enumerate(names)]
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        labels_file, found_file = Path(scratch, "labels.json"), Path(scratch, "found.json")
        text = {"info": {}, "images": images, "annotations": notes, "categories": categories}
        labels_file.write_text(json.dumps(text))
        found_file.write_text(json.dumps(lines))
        started = time.process_time()
        wanted = COCO(str(labels_file))
        judge = COCOeval(wanted, wanted.loadRes(str(found_file)), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
        theirs = time.process_time() - started
    print(f"{count} images: mAP50-95 {ours.map50_95:.6f} and {judge.stats[0]:.6f}")
    print(f"{mine:.1f} s and {theirs:.1f} s: {mine / theirs:.2f} times pycocotools' own")


def ours(count: int) -> None:
    """Print what the example's detector takes on an emulated Cortex-M4, and whether its C finds the twin's objects."""
    from qedge.bundle import read_bundle
    from qedge.emulate import compile_c, open_machine
    from qedge_mcu.detector import plan
    from qedge_mcu.detector.twin import detect
    from qedge_mcu.library import Description
    from qedge_mcu.target import TARGET

    folder, core = HERE.parent / "examples" / "detector", "cortex-m4"
    with tempfile.TemporaryDirectory(prefix="detection-") as scratch:
        for name, number, seed in (("data", 40, 1), ("held", count, 99)):
            command = [sys.executable, str(folder / "scenes.py"), f"{scratch}/{name}"]
            subprocess.run([*command, "--count", str(number), "--seed", str(seed)], check=True)
        command = [sys.executable, "-m", "qedge", "build", "--data", f"{scratch}/data", "--target", "mcu"]
        subprocess.run([*command, "--method", METHOD, "--out", scratch], cwd=folder, check=True)
        photos = sorted(Path(scratch, "held", "images").iterdir())
        with read_bundle(Path(scratch, "detector", "mcu")) as bundle:
            library = Description.from_json(bundle.manifest.target_data["library"])
            graph = Graph.from_bytes(bundle.read("model.tflite"))
            planned = plan(graph, bundle.manifest.postprocess)
            assert planned is not None
            prefix = library.prefix
            names = tuple(f"{prefix}_{word}" for word in ("init", "run", "detect"))
            sources = sorted((bundle.folder() / "c" / "src").glob("*.c"))
            image = compile_c(sources, core, keep=names)
            machine = open_machine(image, core, count=True)
            context = machine.allocate(library.context_bytes)
            objects = machine.allocate(12 * planned.candidates)
            machine.call(names[0], context)
            tensor, same, found, spent, deepest = bundle.manifest.inputs[0], 0, 0, np.zeros(2), 0
            for path in photos:
                codes = bundle.manifest.preprocess.encode(path, tensor.scale, tensor.zero_point, tensor.dtype)
                machine.write(context + library.inputs[0].offset, codes.tobytes())
                runs = [machine.call(names[1], context), machine.call(names[2], context, objects)]
                told = np.frombuffer(machine.read(objects, 12 * runs[1].value), np.int16).view(np.uint16)
                wanted = detect(planned, TARGET.golden_outputs(bundle.read("model.tflite"), [[codes]])[0])
                listed = np.array(wanted, np.int64).astype(np.uint16).reshape(-1)
                same += np.array_equal(told, listed)
                found += len(wanted)
                spent = np.maximum(spent, [run.instructions for run in runs])
                deepest = max(deepest, *(run.stack_bytes for run in runs))
            sizes = image.sizes()
    print(f"{same} of {count} scenes have the twin's {found} objects to the last bit")
    print(f"RAM {library.context_bytes + 12 * planned.candidates:,} bytes, stack {deepest:,}")
    print(f"flash {sizes.code + sizes.rodata + sizes.data:,} bytes, of them {sizes.code:,} code")
    print(f"instructions, the most: {spent[0]:,.0f} of a run, {spent[1]:,.0f} of finding the objects")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", nargs="?", choices=("models", "speed", "map", "ours"), default="models")
    parser.add_argument(
        "--python", type=Path, help="of the environment with ultralytics, onnx and onnxruntime"
    )
    parser.add_argument("--onnx", type=Path, help="folder that keeps trained and exported models")
    parser.add_argument("--images", type=Path, help="folder of photos that scenes are drawn on")
    parser.add_argument(
        "--models", nargs="+", default=["yolov5n", "yolov8n", "yolov10n", "yolo11n", "yolo26n"]
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=[320, 640])
    parser.add_argument("--count", type=int, default=5000, help="images of map, of ours a fiftieth")
    parser.add_argument("--quick", action="store_true", help="quantise alone, without a build")
    parser.add_argument(
        "--seeded",
        nargs="?",
        choices=("even", "plain"),
        const="even",
        help="untrained nets, FOLDER of its own",
    )
    parser.add_argument("--calibrate", type=int, default=12, help="images that calibrate")
    parser.add_argument("--measure", type=int, default=8, help="images that are compared")
    options = parser.parse_args()
    if options.what == "speed":
        speed()
        return
    if options.what == "map":
        precision(options.count)
        return
    if options.what == "ours":
        ours(options.count // 50)
        return
    if options.python is None:
        parser.error("--python: expected the Python of an environment with ultralytics, see --help")
    with tempfile.TemporaryDirectory(prefix="detection-") as scratch:
        folder = Path(scratch) if options.onnx is None else options.onnx.resolve()
        for name in options.models:
            missing = [s for s in options.sizes if not (folder / f"{name}_{s}.onnx").exists()]
            if missing:
                command = [str(options.python), str(HERE / "detection_models.py"), "export", str(folder)]
                command += ["--models", name, "--sizes", *map(str, missing)]
                command += ["--weights", options.seeded] if options.seeded else []
                subprocess.run(command, check=True)
            for size in options.sizes:
                images, truths = pictures(options.images, options.calibrate + options.measure, size)
                plain = options.seeded == "plain"
                if options.quick or plain:
                    row = quick(name, size, folder, images, options.measure, options.python, plain)
                else:
                    row = measure(name, size, folder, images, truths, options.measure, options.python)
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
