"""From a PyTorch module to a microcontroller: which of three shapes is drawn in a 32x32 picture.

``pip install "qedge[torch,mcu]"`` (a CPU build of PyTorch is enough), then ``python examples/pytorch/shapes.py``.
Trains for a few seconds, builds for a Raspberry Pi and a Cortex-M4, verifies the C code bit by bit and runs a sample.
Everything stays as PyTorch has it: samples are (N, 1, 32, 32).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

import qedge

LABELS = ("circle", "square", "cross")


def pictures(count: int, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return noisy pictures (count, 1, 32, 32) in 0 to 1 and their classes."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 0.3, (count, 1, 32, 32)).astype(np.float32)
    y = rng.integers(0, 3, count)
    rows, columns = np.mgrid[:32, :32]
    for picture, kind in zip(x[:, 0], y):
        size = int(rng.integers(4, 9))
        dy, dx = (np.abs(axis - rng.integers(size + 1, 31 - size)) for axis in (rows, columns))
        inside = (
            np.hypot(dy, dx) <= size,
            np.maximum(dy, dx) <= size,
            (np.minimum(dy, dx) <= 1) & (dy + dx <= size),
        )
        picture[inside[kind]] += 0.6
    return x, y


def main() -> None:
    """Train, build, verify and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build"))
    parser.add_argument("--steps", type=int, default=300)
    given = parser.parse_args()
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 3), nn.Softmax(1),
    )  # fmt: skip
    x, y = pictures(2048, 0)
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for step in range(given.steps):
        at = torch.randint(len(x), (64,))
        scores = net(torch.from_numpy(x[at]))
        loss = nn.functional.nll_loss(torch.log(scores + 1e-7), torch.from_numpy(y[at]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.3f}")

    held = pictures(400, 1)
    built = qedge.build(
        net, held, example_inputs=torch.zeros(1, 1, 32, 32), targets=["rpi", "mcu"], out=given.out, name="shapes",
        labels=LABELS,
    )  # fmt: skip
    print(built)
    print("mcu:", qedge.verify(built.bundles["mcu"]).findings or "bit-exact")
    with built.load("rpi") as model:
        sample, kind = pictures(1, 2)
        print(f"drawn: {LABELS[kind[0]]}, seen: {model(sample).top(1)}")


if __name__ == "__main__":
    main()
