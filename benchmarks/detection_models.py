"""Detectors trained for minutes as ONNX files: runs in an environment of its own, which has Ultralytics' package.

That package is under the AGPL, so nothing of qedge imports it: ``detection.py`` starts this file with another Python.

    python -m venv /tmp/ultralytics && /tmp/ultralytics/bin/pip install ultralytics onnx onnxruntime
    /tmp/ultralytics/bin/python benchmarks/detection_models.py export FOLDER [--models yolov8n] [--sizes 320 640]
    /tmp/ultralytics/bin/python benchmarks/detection_models.py detect MODEL.onnx DATA.npy OUT.npz --threshold 0.25

``export`` builds each graph from the package's yaml with seeded weights and trains it, by the package's own loss and
the same recipe for each, on the scenes of ``detection_scenes.py``; then it settles every BatchNormalization. A net with
random weights will not do: what int8 rounds grows from layer to layer until little is left (``detection.py --seeded``
shows it). What is trained here is a weak detector of drawn shapes, but it answers as detectors do: a few distinct
boxes.
``detect`` runs a file in onnxruntime and the outputs through the package's own post-processing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from detection_scenes import scene

MODELS = ("yolov5n", "yolov8n", "yolov10n", "yolo11n", "yolo26n")
END_TO_END = ("yolov10n", "yolo26n")
SIDE, BATCH, POOL = 128, 8, 1500
STEPS, RATE, EPOCHS = 1000, 2e-3, 20
"""Steps of training; largest rate; in how many parts the package's loss for end-to-end nets shifts its weight."""


def export(folder: Path, sizes: list[int], names: list[str], steps: int) -> None:
    """Write ``<name>_<size>.onnx`` for every model and size, and what was trained as ``<name>.pt``."""
    import torch
    from ultralytics import YOLO

    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    torch.set_num_threads(1)  # on a busy computer threads wait for each other longer than they work
    for name in names:
        torch.manual_seed(7)
        model = YOLO(f"{name}.yaml")
        if name in END_TO_END:
            model.model.end2end = True  # the branch that is exported
        weights = Path(f"{name}.pt")
        if not weights.exists():
            if steps:
                train(model.model, steps)
            else:
                settle(model.model, _scenes(256, np.random.default_rng(7))[0])
            torch.save(model.model.state_dict(), weights)
        model.model.load_state_dict(torch.load(weights))
        for size in sizes:
            own = (
                {"nms": False} if name in END_TO_END else {}
            )  # False: with the model's own choice of the best
            made = Path(model.export(format="onnx", imgsz=size, simplify=False, verbose=False, **own))
            shutil.move(made, folder / f"{name}_{size}.onnx")
            print(f"{name}_{size}.onnx", flush=True)


def train(net: Any, steps: int) -> None:
    """Train a net of the package on drawn scenes; the mean of its weights stays, BatchNormalization settled by it."""
    import torch
    from ultralytics.cfg import get_cfg

    rng = np.random.default_rng(7)
    photos, shapes = _scenes(POOL, rng)
    given, net.args = net.args, get_cfg(overrides={"epochs": EPOCHS})
    net.train()
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=1e-4, fused=True)
    mean = {name: value.detach().clone() for name, value in net.named_parameters()}
    began, losses = time.process_time(), []
    for step in range(steps):
        rate = min(1.0, (step + 1) / 50) * 0.5 * (1 + np.cos(np.pi * step / steps))
        optimizer.param_groups[0]["lr"] = RATE * rate
        chosen = rng.integers(0, POOL, BATCH)
        images = photos[chosen].float() / 255
        loss, parts = net.loss({"img": images, **_truths([shapes[k] for k in chosen])})
        optimizer.zero_grad()
        loss.sum().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        if hasattr(net.criterion, "update") and (step + 1) % max(1, steps // EPOCHS) == 0:
            net.criterion.update()
        with torch.no_grad():
            for name, value in net.named_parameters():
                mean[name].lerp_(value, min(0.02, 1 / (step + 1)) if step > 50 else 1.0)
        losses.append([float(v) for v in parts.values()])
        if (step + 1) % 50 == 0:
            told = np.mean(losses[-50:], axis=0).round(3).tolist()
            print(f"step {step + 1}: {told}, {time.process_time() - began:.0f} s", flush=True)
    with torch.no_grad():
        for name, value in net.named_parameters():
            value.copy_(mean[name])
    net.args, net.criterion = given, None
    settle(net, photos[:256])


def _scenes(count: int, rng: np.random.Generator) -> tuple[Any, list[np.ndarray]]:
    """Return drawn scenes, uint8 (count, 3, side, side), and the shapes in each."""
    import torch

    drawn = [scene(rng, SIDE) for _ in range(count)]
    photos = torch.from_numpy(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2)
    return photos, [shapes for _, shapes in drawn]


def _truths(listed: list[np.ndarray]) -> dict[str, Any]:
    """Return the shapes of a batch as the package's losses take them: centres and sizes as shares of the image."""
    import torch

    rows = torch.from_numpy(np.concatenate(listed))
    low, high = rows[:, 1:3] / SIDE, rows[:, 3:5] / SIDE
    numbers = np.repeat(np.arange(len(listed)), [len(one) for one in listed])
    return {
        "cls": rows[:, :1],
        "bboxes": torch.cat([(low + high) / 2, high - low], dim=1),
        "batch_idx": torch.from_numpy(numbers).float(),
    }


def settle(net: Any, photos: Any) -> None:
    """Give every BatchNormalization the statistics of the photos."""
    import torch

    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    net.train()
    with torch.no_grad():
        for start in range(0, len(photos), 32):
            net(photos[start : start + 32].float() / 255)
    net.eval()


def detect(model: Path, images: np.ndarray, threshold: float, iou: float) -> list[np.ndarray]:
    """Return (x1, y1, x2, y2, score, class) of every image, in pixels of the model's input."""
    import onnxruntime
    import torch
    from ultralytics.utils.nms import non_max_suppression
    from ultralytics.utils.ops import clip_boxes

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    found = []
    for image in images:
        photo = np.ascontiguousarray(image.transpose(2, 0, 1)[None].astype(np.float32) / 255)
        out = torch.from_numpy(session.run(None, {name: photo})[0])
        boxes = non_max_suppression(out, threshold, iou, max_det=300, end2end=out.shape[-1] == 6)[0]
        clip_boxes(boxes[:, :4], image.shape)  # as the package does before it shows them
        found.append(boxes.numpy()[:, :6])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("export")
    one.add_argument("folder", type=Path)
    one.add_argument("--sizes", type=int, nargs="+", default=[320, 640])
    one.add_argument("--models", nargs="+", default=list(MODELS))
    one.add_argument("--steps", type=int, default=STEPS, help="of training; 0: random weights")
    two = commands.add_parser("detect")
    two.add_argument("model", type=Path)
    two.add_argument("images", type=Path)
    two.add_argument("out", type=Path)
    two.add_argument("--threshold", type=float, default=0.25)
    two.add_argument("--iou", type=float, default=0.7)
    options = parser.parse_args()
    if options.command == "export":
        export(options.folder.resolve(), options.sizes, options.models, options.steps)
    else:
        found = detect(options.model, np.load(options.images), options.threshold, options.iou)
        np.savez(options.out, **{str(k): boxes for k, boxes in enumerate(found)})


if __name__ == "__main__":
    main()
