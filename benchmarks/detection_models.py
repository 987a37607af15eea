"""Detectors trained for minutes as ONNX files: runs in an environment of its own, which has Ultralytics' package.

That package is under the AGPL, so nothing of qedge imports it: ``detection.py`` starts this file with another Python.

    python -m venv /tmp/ultralytics && /tmp/ultralytics/bin/pip install ultralytics onnx onnxruntime
    /tmp/ultralytics/bin/python benchmarks/detection_models.py export FOLDER [--models yolov8n] [--sizes 320 640]
    /tmp/ultralytics/bin/python benchmarks/detection_models.py detect MODEL.onnx DATA.npy OUT.npz --threshold 0.25

``export`` builds each graph from the package's yaml with seeded weights and trains it, by the package's own loss and
the same recipe for each, on the scenes of ``detection_scenes.py``; then it settles every BatchNormalization. What is
trained here is a weak detector of drawn shapes, but it answers as detectors do: a few distinct boxes.

``--weights even`` trains nothing: the weights stay as the package seeds them, and the scales, shifts and statistics of
BatchNormalization and the last layers are set by the scenes (``even`` below). ``--weights plain`` settles the
statistics alone. Such a net passes on what int8 rounds larger than it came, layer by layer: it makes every channel as
strong as the others, those that hold little but noise too, and SiLU bends at what is usual, so that what is rare
stands further and further out of a scale that holds both.
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
WEIGHTS = ("trained", "even", "plain")
GAIN, SHIFT = 0.5, 1.0
"""Of BatchNormalization in an even net: where SiLU is nearly straight."""
BINS, FALL, DISTANCES = 0.5, 0.5, (2.0, 0.3)
"""Deviation of the logits of a distance's bins, and how much less the bias of each next one is: distances of 1.5
strides on average that deviate by a fifth of that, as the trained nets' do. Without bins: their mean and deviation."""
LOGITS, UNEVEN = 1.0, 0.6
"""Deviation of a class' logit, and of the classes' biases: some are found more often than others, as in any data."""
SURE, FOUND = 0.25, 0.01
"""A score, and the share of all places that reaches it."""


def export(folder: Path, sizes: list[int], names: list[str], steps: int, kind: str) -> None:
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
            if kind == "trained":
                train(model.model, steps)
            else:
                photos = _scenes(256, np.random.default_rng(7))[0]
                (even if kind == "even" else settle)(model.model, photos)
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


def even(net: Any, photos: Any) -> None:
    """Give a net with seeded weights norms that keep what the photos make of it, and last layers that find some places.

    Each channel gets the share of its norm's scale that it has of what the convolution gives, so that a weak one stays
    weak: scaled up to the others, its noise would be too.
    """
    import torch

    def share(norm: Any, given: tuple[Any]) -> None:
        deviations = given[0].std((0, 2, 3))
        norm.weight.data = GAIN * deviations / deviations.square().mean().sqrt()
        norm.bias.data.fill_(SHIFT)

    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(share) for norm in norms]
    net.train()
    with torch.no_grad():
        net(photos[:64].float() / 255)
    for hook in hooks:
        hook.remove()
    settle(net, photos)
    _end(net, photos[:64].float() / 255)


def _end(net: Any, images: Any) -> None:
    """Set what the last layers give: distances around a mean, and scores that few places reach."""
    import torch

    head = net.model[-1]
    branch = head.one2one if head.end2end else head.one2many
    boxes, classes = ([part[-1] for part in branch[key]] for key in ("box_head", "cls_head"))
    given: dict[Any, Any] = {}
    hooks = [m.register_forward_hook(lambda m, _, y: given.__setitem__(m, y)) for m in boxes + classes]
    bins = head.reg_max
    mean, deviation = (0.0, BINS) if bins > 1 else DISTANCES
    falling = mean - FALL * torch.arange(bins).repeat(4)
    uneven = UNEVEN * torch.randn(head.nc, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        net(images)
        for layers, spread, bias in ((boxes, deviation, falling), (classes, LOGITS, uneven)):
            for layer in layers:
                values = given[layer] - layer.bias.view(1, -1, 1, 1)
                factors = spread / values.std((0, 2, 3))
                layer.weight *= factors.view(-1, 1, 1, 1)
                layer.bias.copy_(bias - values.mean((0, 2, 3)) * factors)
        net(images)
        best = torch.cat([given[layer].amax(1).flatten() for layer in classes])
        for layer in classes:
            layer.bias += float(np.log(SURE / (1 - SURE))) - best.quantile(1 - FOUND)
    for hook in hooks:
        hook.remove()


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
    one.add_argument("--steps", type=int, default=STEPS, help="of training")
    one.add_argument("--weights", choices=WEIGHTS, default=WEIGHTS[0])
    two = commands.add_parser("detect")
    two.add_argument("model", type=Path)
    two.add_argument("images", type=Path)
    two.add_argument("out", type=Path)
    two.add_argument("--threshold", type=float, default=0.25)
    two.add_argument("--iou", type=float, default=0.7)
    options = parser.parse_args()
    if options.command == "export":
        export(options.folder.resolve(), options.sizes, options.models, options.steps, options.weights)
    else:
        found = detect(options.model, np.load(options.images), options.threshold, options.iou)
        np.savez(options.out, **{str(k): boxes for k, boxes in enumerate(found)})


if __name__ == "__main__":
    main()
