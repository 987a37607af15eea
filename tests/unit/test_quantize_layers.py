"""What each layer costs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from quantize_models import ArrayDataset, cnn, images

from qedge.errors import DataError
from qedge.graph import Graph
from qedge.quantize import QuantizeOptions, layer_errors, quantize
from qedge.quantize.model import factor_of, read_steps


def test_layers_are_measured_in_order_isolated_and_together() -> None:
    data = images()
    result = quantize(cnn(), data, QuantizeOptions(method="minmax"))
    layers = layer_errors(cnn(), result.data, data)
    assert [layer.tensor for layer in layers] == [
        "first",
        "second",
        "third",
        "pooled",
        "flat",
        "logits",
        "scores",
    ]
    assert [layer.op for layer in layers[:3]] == ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"]
    assert layers[0].isolated_db == pytest.approx(layers[0].sqnr_db, abs=0.1)
    assert layers[1].isolated_db > layers[1].sqnr_db
    assert all(20 < layer.isolated_db < 70 for layer in layers)
    assert all(layer.saturated == 0 and len(layer.histogram) == 64 for layer in layers[:5])
    for layer in layers[:5]:
        assert layer.represented_low <= layer.low + 1e-6
        assert layer.represented_high >= layer.high - 1e-6
    json.dumps([layer.to_json() for layer in layers])


def test_equalised_layers_are_compared_in_the_float_models_units() -> None:
    data = images()
    result = quantize(cnn(spread=300.0), data, QuantizeOptions(method="equalize1"))
    steps = read_steps(Graph.from_bytes(result.data))
    assert any(factor_of(s).max() > 10 for s in steps.values())
    layers = layer_errors(cnn(spread=300.0), result.data, data)
    assert all(layer.sqnr_db > 20 and layer.isolated_db > 20 for layer in layers)


def test_clipped_ranges_show_as_saturation() -> None:
    data = images()
    result = quantize(cnn(), data, QuantizeOptions(method="minmax"))
    louder = ArrayDataset(data.arrays[0] * 3)
    assert max(layer.saturated for layer in layer_errors(cnn(), result.data, louder)) > 0.01


def test_channels_that_never_change_are_dead() -> None:
    silent = ArrayDataset(np.zeros((8, 8, 8, 3), np.float32))
    result = quantize(cnn(), images(), QuantizeOptions(method="minmax"))
    layers = layer_errors(cnn(), result.data, silent)
    assert layers[0].channels == 8
    pooled = next(layer for layer in layers if layer.tensor == "pooled")
    assert pooled.dead == pooled.channels
    alive = next(layer for layer in layer_errors(cnn(), result.data, images()) if layer.tensor == "pooled")
    assert alive.dead < alive.channels


def test_layers_need_samples() -> None:
    result = quantize(cnn(), images(), QuantizeOptions(method="minmax"))
    with pytest.raises(DataError):
        layer_errors(cnn(), result.data, ArrayDataset(np.zeros((0, 8, 8, 3))))
