"""Small float models and datasets in memory, for the tests of the quantiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qedge.datasets.protocol import Subset
from qedge.testing.opmodels import ModelBuilder, Spec, constant


class ArrayDataset:
    """Samples in memory, one array an input."""

    class_names: tuple[str, ...] | None = None

    def __init__(self, *arrays: npt.NDArray[Any], labels: npt.NDArray[np.int64] | None = None) -> None:
        self.arrays, self.labels = arrays, labels
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, i: int) -> list[npt.NDArray[np.float32]]:
        self.read.append(i)
        return [np.ascontiguousarray(a[i : i + 1], np.float32) for a in self.arrays]

    def subset(self, indices: Sequence[int]) -> Subset:
        return Subset(self, indices)

    def source(self, i: int) -> str:
        return f"row {i}"


def f32(*shape: int) -> Spec:
    """Return the spec of a float activation."""
    return Spec(shape, "float32")


def cnn(seed: int = 0, spread: float = 1.0) -> bytes:
    """Return a float CNN, (1, 8, 8, 3) to 4 classes: conv, depthwise, conv, average pool, dense, softmax.

    ``spread`` scales the channels of the depthwise layer's input apart; the model computes the same.
    """
    rng = np.random.default_rng(seed)
    factor = np.logspace(0, np.log10(spread), 8) if spread != 1 else np.ones(8)
    factor = rng.permutation(factor)

    def weights(*shape: int) -> npt.NDArray[np.float64]:
        fan = np.prod(shape[1:]) if shape[0] != 1 else 9
        return rng.normal(size=shape) * np.sqrt(2 / fan)

    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 8, 8, 3), "float32", name="image"))

    def const(values: npt.ArrayLike) -> int:
        return g.tensor(constant(np.asarray(values), "float32"))

    conv = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
    relu = {**conv, "fused_activation_function": "RELU"}
    a = g.tensor(Spec((1, 8, 8, 8), "float32", name="first"))
    g.operator(
        "CONV_2D",
        [
            x,
            const(weights(8, 3, 3, 3) * factor[:, None, None, None]),
            const(rng.normal(size=8) * 0.1 * factor),
        ],
        [a],
        relu,
    )
    b = g.tensor(Spec((1, 8, 8, 8), "float32", name="second"))
    depthwise = weights(1, 3, 3, 8) / factor
    g.operator(
        "DEPTHWISE_CONV_2D",
        [a, const(depthwise), const(rng.normal(size=8) * 0.1)],
        [b],
        {**relu, "depth_multiplier": 1},
    )
    c = g.tensor(Spec((1, 8, 8, 16), "float32", name="third"))
    g.operator("CONV_2D", [b, const(weights(16, 1, 1, 8)), const(rng.normal(size=16) * 0.1)], [c], relu)
    d = g.tensor(Spec((1, 1, 1, 16), "float32", name="pooled"))
    pool = {"padding": "VALID", "stride_h": 8, "stride_w": 8, "filter_height": 8, "filter_width": 8}
    g.operator("AVERAGE_POOL_2D", [c], [d], pool)
    e = g.tensor(Spec((1, 16), "float32", name="flat"))
    g.operator("RESHAPE", [d, g.tensor(constant([1, 16]))], [e])
    f = g.tensor(Spec((1, 4), "float32", name="logits"))
    g.operator("FULLY_CONNECTED", [e, const(weights(4, 16) * 3), const(rng.normal(size=4))], [f])
    h = g.tensor(Spec((1, 4), "float32", name="scores"))
    g.operator("SOFTMAX", [f], [h], {"beta": 1.0})
    g.output(h)
    return builder.pack()


def images(count: int = 40, seed: int = 1) -> ArrayDataset:
    """Return samples for :func:`cnn`, smooth enough to tell them apart."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(count, 2, 2, 3)).repeat(4, axis=1).repeat(4, axis=2)
    return ArrayDataset((base + 0.3 * rng.normal(size=(count, 8, 8, 3))).astype(np.float32))
