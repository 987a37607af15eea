"""Segmentation and pose models trained for minutes as ONNX files, in the environment of ``detection_models.py``.

    /tmp/ultralytics/bin/python benchmarks/detection_parts_models.py FOLDER [--models yolov8n-seg yolov8n-pose]

Graphs of the package's yaml with seeded weights, trained by the package's own loss on drawn scenes, as its detectors
are there; nothing of qedge imports that package, which is under the AGPL.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from detection_models import BATCH, EPOCHS, POOL, RATE, SIDE, settle
from detection_parts_scenes import POINTS, Drawn, scene
from detection_scenes import COLOURS

MODELS = ("yolov8n-seg", "yolov8n-pose")
STEPS = 900
MASKS = SIDE // 4
"""Cells of a side of the maps that masks are made of."""


def export(folder: Path, names: list[str], size: int, steps: int) -> None:
    """Write ``<name>_<size>.onnx`` for every model, and what was trained as ``<name>.pt``."""
    import torch
    from ultralytics import YOLO
    from ultralytics.nn.tasks import PoseModel

    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    torch.set_num_threads(1)
    for name in names:
        torch.manual_seed(7)
        model = YOLO(f"{name}.yaml")
        if "pose" in name:
            posed = PoseModel(f"{name}.yaml", nc=len(COLOURS), data_kpt_shape=(POINTS, 3), verbose=False)
            posed.args, posed.task = model.model.args, "pose"
            model.model = posed
        weights = Path(f"{name}.pt")
        if not weights.exists():
            train(model.model, steps)
            torch.save(model.model.state_dict(), weights)
        model.model.load_state_dict(torch.load(weights))
        made = Path(model.export(format="onnx", imgsz=size, simplify=False, verbose=False))
        shutil.move(made, folder / f"{name}_{size}.onnx")
        print(f"{name}_{size}.onnx", flush=True)


def train(net: Any, steps: int) -> None:
    """Train a net on drawn scenes, and settle its BatchNormalization."""
    import torch
    from ultralytics.cfg import get_cfg

    rng = np.random.default_rng(7)
    drawn = [scene(rng, SIDE) for _ in range(POOL)]
    drawn = [one for one in drawn if len(one[1].boxes)]
    photos = torch.from_numpy(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2)
    given, net.args = net.args, get_cfg(overrides={"epochs": EPOCHS})
    net.train()
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=1e-4, fused=True)
    began, losses = time.process_time(), []
    for step in range(steps):
        warm = min(1.0, (step + 1) / 50)
        optimizer.param_groups[0]["lr"] = RATE * warm * 0.5 * (1 + np.cos(np.pi * step / steps))
        chosen = rng.integers(0, len(drawn), BATCH)
        loss, parts = net.loss({"img": photos[chosen].float() / 255, **truths([drawn[k][1] for k in chosen])})
        optimizer.zero_grad()
        loss.sum().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        losses.append([float(v) for v in parts.values()])
        if (step + 1) % 50 == 0:
            told = dict(zip(parts, np.mean(losses[-50:], axis=0).round(3).tolist()))
            print(f"step {step + 1}: {told}, {time.process_time() - began:.0f} s", flush=True)
    net.args, net.criterion = given, None
    settle(net, photos[:256])


def truths(listed: list[Drawn]) -> dict[str, Any]:
    """Return the shapes of a batch as the package's losses take them: shares of the image, masks by number."""
    import torch

    boxes = torch.from_numpy(np.concatenate([one.boxes for one in listed]))
    low, high = boxes[:, 1:3] / SIDE, boxes[:, 3:5] / SIDE
    points = torch.from_numpy(np.concatenate([one.points for one in listed]))
    numbers = np.repeat(np.arange(len(listed)), [len(one.boxes) for one in listed])
    return {
        "cls": boxes[:, :1],
        "bboxes": torch.cat([(low + high) / 2, high - low], dim=1),
        "batch_idx": torch.from_numpy(numbers).float(),
        "keypoints": torch.cat([points[..., :2] / SIDE, points[..., 2:]], dim=2),
        "masks": torch.from_numpy(np.stack([one.masks(SIDE, MASKS) for one in listed])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    export(options.folder.resolve(), options.models, options.size, options.steps)


if __name__ == "__main__":
    main()
