"""Channels that say nothing are left out: the model says the same, and is smaller by what it did not need."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qedge.graph import Graph
from qedge.quantize.interpreter import Runner
from qedge.quantize.rewrites import dead_channels
from qedge.quantize.rewrites.dead_channels import Removed, without_dead_channels
from qedge.testing.opmodels import ModelBuilder, Spec, constant

Array = npt.NDArray[Any]
X = np.random.default_rng(7).normal(size=(6, 1, 6, 6, 3)).astype(np.float32)


def window(padding: str = "SAME", activation: str = "RELU") -> dict[str, object]:
    return {
        "padding": padding, "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1,
        "fused_activation_function": activation,
    }  # fmt: skip


class Net:
    """A float model that grows layer by layer, its constants random from one seed."""

    def __init__(self, seed: int = 0) -> None:
        self.rng, self.builder = np.random.default_rng(seed), ModelBuilder()
        self.g = self.builder.subgraph()
        self.at, self.shape = self.g.input(Spec((1, 6, 6, 3), "float32", name="x")), (1, 6, 6, 3)
        self.count = 0

    def const(self, values: Array) -> int:
        return self.g.tensor(constant(np.asarray(values, np.float32), "float32"))

    def step(self, op: str, shape: tuple[int, ...], more: list[int], options: dict[str, object]) -> Net:
        self.count += 1
        result = self.g.tensor(Spec(shape, "float32", name=f"t{self.count}"))
        self.g.operator(op, [self.at, *more], [result], options)
        self.at, self.shape = result, shape
        return self

    def conv(
        self, out: int, kernel: int = 3, zero: Array | None = None, unread: Array | None = None,
        bias: Array | None = None, padding: str = "SAME", activation: str = "RELU",
    ) -> Net:  # fmt: skip
        weights = self.rng.normal(size=(out, kernel, kernel, self.shape[-1]))
        if zero is not None:
            weights[zero] = 0
        if unread is not None:
            weights[..., unread] = 0
        side = self.shape[1] - (kernel - 1 if padding == "VALID" else 0)
        values = self.rng.normal(size=out) if bias is None else bias
        consts = [self.const(weights), self.const(values)]
        return self.step("CONV_2D", (1, side, side, out), consts, window(padding, activation))

    def depthwise(self, zero: Array | None = None, bias: float | None = None, padding: str = "SAME") -> Net:
        channels = self.shape[-1]
        weights = self.rng.normal(size=(1, 3, 3, channels))
        if zero is not None:
            weights[..., zero] = 0
        values = self.rng.normal(size=channels) if bias is None else np.full(channels, bias)
        options = {**window(padding), "depth_multiplier": 1}
        side = self.shape[1] - (2 if padding == "VALID" else 0)
        return self.step(
            "DEPTHWISE_CONV_2D", (1, side, side, channels), [self.const(weights), self.const(values)], options
        )

    def mean(self) -> Net:
        axes = self.g.tensor(constant(np.array([1, 2], np.int32), "int32"))
        return self.step("MEAN", (1, self.shape[-1]), [axes], {"keep_dims": False})

    def dense(self, out: int) -> Net:
        consts = [
            self.const(self.rng.normal(size=(out, self.shape[-1]))),
            self.const(self.rng.normal(size=out)),
        ]
        return self.step("FULLY_CONNECTED", (1, out), consts, {"fused_activation_function": "NONE"})

    def done(self) -> bytes:
        self.g.output(self.at)
        return self.builder.pack()


def said(model: bytes) -> Array:
    runner = Runner(model, threads=1)
    return np.stack([runner.predict([x])[0] for x in X])


def pruned(model: bytes) -> tuple[Graph, Removed]:
    """Return the smaller model, once it is sure that it says the same."""
    data, removed = without_dead_channels(model)
    before, after = said(model), said(data)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4 * np.abs(before).max())
    return Graph.from_bytes(data), removed


def channels(graph: Graph) -> list[int]:
    return [graph.tensors[op.outputs[0]].shape[-1] for op in graph]


def test_a_model_without_any_stays_as_it_is_to_the_byte() -> None:
    model = Net().conv(6).depthwise().conv(5, 1).mean().dense(4).done()
    data, removed = without_dead_channels(model)
    assert data == model
    assert removed.findings == []


def test_channels_of_zeros_go_through_a_depthwise_layer_too() -> None:
    silent, off = np.array([1, 4]), np.array([0.3, -1, 0.2, 0.1, -0.5, 0.4])
    model = Net().conv(6, zero=silent, bias=off).depthwise(bias=-1.0).conv(5, 1).mean().dense(4).done()
    graph, removed = pruned(model)
    assert channels(graph) == [4, 4, 5, 5, 4]
    assert removed.channels == {"t1": 2}
    assert removed.weights == 2 * (27 + 1) + 2 * (9 + 1) + 2 * 5
    assert removed.products == 36 * (2 * 27 + 2 * 9 + 2 * 5)
    (finding,) = removed.findings
    assert "2 channels" in finding.message


def test_what_a_channel_always_says_goes_into_the_biases() -> None:
    model = Net().conv(6, zero=np.array([2]), bias=np.full(6, 0.7)).conv(5, 1).mean().dense(4).done()
    graph, _ = pruned(model)
    assert channels(graph) == [5, 5, 5, 4]


def test_at_a_border_of_zeros_a_constant_channel_stays() -> None:
    given = {"zero": np.array([2]), "bias": np.full(6, 0.7)}
    for net, kept in (
        (Net().conv(6, **given).conv(5, 3), 6),
        (Net().conv(6, **given).conv(5, 3, padding="VALID"), 5),
        (Net().conv(6, **given).depthwise().conv(5, 1), 6),
        (Net().conv(6, **given).depthwise(padding="VALID").conv(5, 1), 5),
    ):
        graph, _ = pruned(net.mean().dense(4).done())
        assert channels(graph)[0] == kept


def test_what_nobody_reads_goes() -> None:
    model = Net().conv(6).depthwise().conv(5, 1, unread=np.array([0, 3, 5])).mean().dense(4).done()
    graph, _ = pruned(model)
    assert channels(graph) == [3, 3, 5, 5, 4]


def test_a_depthwise_layer_that_is_off_needs_no_input() -> None:
    model = Net().conv(6).depthwise(zero=np.array([1, 2])).conv(5, 1).mean().dense(4).done()
    graph, _ = pruned(model)
    assert channels(graph) == [4, 4, 5, 5, 4]


def test_one_channel_stays_where_all_are_off() -> None:
    model = Net().conv(6, zero=np.arange(6)).conv(5, 1).mean().dense(4).done()
    graph, _ = pruned(model)
    assert channels(graph)[:2] == [1, 5]


@pytest.mark.parametrize("activation", ["NONE", "RELU6", "RELU"])
def test_every_activation_is_applied_to_what_is_constant(activation: str) -> None:
    bias = np.linspace(-3, 9, 6)
    net = Net().conv(6, zero=np.array([0, 3, 5]), bias=bias, activation=activation)
    graph, _ = pruned(net.conv(5, 1).mean().dense(4).done())
    assert channels(graph)[0] == 3


def test_a_channel_that_is_added_or_an_output_stays() -> None:
    net = Net().conv(3, zero=np.array([1]), bias=np.zeros(3))
    net.g.output(net.at)
    model = net.conv(4, 1).done()
    assert without_dead_channels(model)[0] == model
    net = Net()
    first = net.at
    net.conv(3, zero=np.array([1]), bias=np.zeros(3)).step("ADD", (1, 6, 6, 3), [first], {})
    model = net.mean().dense(4).done()
    assert without_dead_channels(model)[0] == model


def test_weights_that_two_layers_share_stay() -> None:
    net = Net()
    weights = net.rng.normal(size=(3, 3, 3, 3))
    weights[1] = 0
    shared = [net.const(weights), net.const(np.zeros(3))]
    for _ in range(2):
        net.step("CONV_2D", (1, 6, 6, 3), shared, window())
    model = net.mean().dense(4).done()
    assert without_dead_channels(model)[0] == model


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 99), st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)), st.booleans(),
    st.sampled_from(["SAME", "VALID"]), st.booleans(),
)  # fmt: skip
def test_any_mixture_says_the_same(
    seed: int, zero: set[int], unread: set[int], depthwise: bool, padding: str, off: bool
) -> None:
    net = Net(seed).conv(6, zero=np.array(sorted(zero), int), bias=np.zeros(6) if off else None)
    if depthwise:
        net.depthwise(zero=np.array(sorted(unread), int), padding=padding)
    net.conv(5, 3, unread=np.array(sorted(unread), int), padding=padding, zero=np.array([0]))
    graph, removed = pruned(net.conv(4, 1).mean().dense(3).done())
    assert sum(removed.channels.values()) == 15 - sum(channels(graph)[k] for k in _convs(graph))


def _convs(graph: Graph) -> list[int]:
    return [op.index for op in graph if op.op == "CONV_2D"]


def test_many_layers_take_no_more_rounds_than_two(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = np.array([0, 3])
    net = Net()
    for _ in range(16):
        net.conv(6, 1, zero=silent, bias=np.array([0.5, 1, -1, 0.2, 0.1, 0.3]))
    model = net.mean().dense(4).done()
    rounds = []
    real = dead_channels.Editor.from_bytes
    monkeypatch.setattr(dead_channels.Editor, "from_bytes", lambda data: rounds.append(data) or real(data))
    graph, removed = pruned(model)
    assert channels(graph) == [*[4] * 17, 4]
    assert sum(removed.channels.values()) == 32
    assert len(rounds) == 2
