"""Detectors with seeded weights as ONNX files: runs in an environment of its own, which has Ultralytics' package.

That package is under the AGPL, so nothing of qedge imports it: ``detection.py`` starts this file with another Python.

    python -m venv /tmp/ultralytics && /tmp/ultralytics/bin/pip install ultralytics onnx
    /tmp/ultralytics/bin/python benchmarks/detection_models.py export FOLDER --images DATA.npy [--sizes 320 640]
    /tmp/ultralytics/bin/python benchmarks/detection_models.py detect MODEL.onnx DATA.npy OUT.npz --threshold 0.25

``export`` builds each graph from the package's yaml with seeded weights, settles every BatchNormalization on the images
(uint8 (n, size, size, 3)) and sets the two last convolutions of every level so that scores and box sides spread as a
trained head's do. ``detect`` runs a file in onnxruntime and the outputs through the package's own post-processing.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

MODELS = {
    "yolov5n": "yolov5n",
    "yolov8n": "yolov8n",
    "yolov10n": "yolov10n",
    "yolo11n": "yolo11n",
    "yolo26n": "yolo26n",
}
END_TO_END = ("yolov10n", "yolo26n")
SCORE_SPREAD, SURE = (
    2.0,
    0.004,
)  # standard deviation of class logits; share of a middling photo's places above 0.5
BIN_SPREAD = 2.0
CALM, LIFT = 0.3, 1.5
"""Scale of every BatchNormalization. With 1, a net of random weights this deep is chaotic: two float32 runtimes differ
by a hundredth of the largest value, so that no comparison says anything of either. Its shift lifts SiLU out of the
part whose slope grows: with 0, what is loud grows louder layer by layer, and class logits spread by 0.15 on one photo
and by 16 on another, which no trained net does and no one scale holds."""


def export(folder: Path, images: np.ndarray, sizes: list[int], names: list[str]) -> None:
    """Write ``<name>_<size>.onnx`` for every model and size."""
    import torch
    from ultralytics import YOLO

    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    for name in names:
        for size in sizes:
            torch.manual_seed(7)
            model = YOLO(f"{name}.yaml")
            photos = torch.nn.functional.interpolate(
                torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255, (size, size), mode="bilinear"
            )
            if name in END_TO_END:
                model.model.end2end = True  # the branch that is exported
            settle(model.model, photos)
            own = (
                {"nms": False} if name in END_TO_END else {}
            )  # False: with the model's own choice of the best
            made = Path(model.export(format="onnx", imgsz=size, simplify=False, verbose=False, **own))
            shutil.move(made, folder / f"{name}_{size}.onnx")
            print(f"{name}_{size}.onnx", flush=True)


def settle(net: Any, photos: Any) -> None:
    """Give every BatchNormalization the statistics of the photos, and both ends of the head a trained one's spread."""
    import torch

    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        torch.nn.init.constant_(norm.weight, CALM)
        torch.nn.init.constant_(norm.bias, LIFT)
    net.train()
    with torch.no_grad():
        for start in range(0, len(photos), 4):
            net(photos[start : start + 4])
    net.eval()
    head = net.model[-1]
    seen: dict[Any, list[Any]] = {}
    ends = [
        (convolution[-1], kind)
        for prefix in ("", "one2one_")
        for part, kind in (("cv2", "box"), ("cv3", "score"))
        for convolution in (getattr(head, prefix + part, None) or ())
    ]
    hooks = [
        end.register_forward_hook(lambda module, _, out: seen.setdefault(module, []).append(out))
        for end, _ in ends
    ]
    with torch.no_grad():
        for start in range(0, len(photos), 4):
            net(photos[start : start + 4])
        for hook in hooks:
            hook.remove()
        generator = torch.Generator().manual_seed(11)
        for end, kind in ends:
            if end not in seen:
                continue
            out = torch.cat(seen[end]) - end.bias[None, :, None, None]
            if kind == "score":
                factor = SCORE_SPREAD / out.std()
                best = (out * factor - (out * factor).mean()).amax(dim=1).flatten(1)
                end.weight *= factor
                shift = (out * factor).mean() + best.quantile(1 - SURE, dim=1).median()
                end.bias.copy_(-shift * torch.ones_like(end.bias))
            else:
                bins = end.out_channels // 4
                factor = (BIN_SPREAD if bins > 1 else 1.0) / out.std()
                end.weight *= factor
                middle = (out * factor).mean(dim=(0, 2, 3))
                if bins > 1:  # a peak at one of the bins, another one for each side and level
                    peak = torch.randint(1, bins // 2, (4, 1), generator=generator)
                    hill = 3.0 - 0.8 * (torch.arange(bins)[None] - peak).abs()
                    end.bias.copy_(hill.flatten() - middle)
                else:
                    end.bias.copy_(3.0 - middle)


def detect(model: Path, images: np.ndarray, threshold: float, iou: float) -> list[np.ndarray]:
    """Return (x1, y1, x2, y2, score, class) of every image, in pixels of the model's input."""
    import onnxruntime
    import torch
    from ultralytics.utils.nms import non_max_suppression
    from ultralytics.utils.ops import clip_boxes

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
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
    one.add_argument("--images", type=Path, required=True)
    one.add_argument("--sizes", type=int, nargs="+", default=[320, 640])
    one.add_argument("--models", nargs="+", default=list(MODELS))
    two = commands.add_parser("detect")
    two.add_argument("model", type=Path)
    two.add_argument("images", type=Path)
    two.add_argument("out", type=Path)
    two.add_argument("--threshold", type=float, default=0.25)
    two.add_argument("--iou", type=float, default=0.7)
    options = parser.parse_args()
    if options.command == "export":
        export(options.folder.resolve(), np.load(options.images), options.sizes, options.models)
    else:
        found = detect(options.model, np.load(options.images), options.threshold, options.iou)
        np.savez(options.out, **{str(k): boxes for k, boxes in enumerate(found)})


if __name__ == "__main__":
    main()
