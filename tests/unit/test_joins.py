"""Parts of unlike size that are joined: one scale for all of them, but not at the cost of who else reads one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from quantize_models import ArrayDataset, f32

from qedge.graph import Graph
from qedge.quantize import QuantizeOptions, compare, prove_full_integer, quantize
from qedge.testing.opmodels import ModelBuilder, constant

DATA = ArrayDataset(np.random.default_rng(0).normal(size=(40, 6, 6, 4)).astype(np.float32))


def _across(size: float, *, read_twice: bool = True, pack: bool = False) -> bytes:
    """Return a layer whose output goes on through another one and, beside a part of ``size``, into a join."""
    rng = np.random.default_rng(1)
    builder = ModelBuilder()
    g = builder.subgraph()
    window = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}

    def conv(source: int, name: str, size: float = 1.0) -> int:
        made = g.tensor(replace(f32(1, 6, 6, 4), name=name))
        parts = (rng.normal(size=(4, 1, 1, 4)) * size / 2, rng.normal(size=4) * size / 4)
        read = [source, *(g.tensor(constant(p, "float32")) for p in parts)]
        g.operator("CONV_2D", read, [made], {**window, "fused_activation_function": "RELU"})
        return made

    x = g.input(replace(f32(1, 6, 6, 4), name="x"))
    first, large = conv(x, "first"), conv(x, "large", size)
    joined = g.tensor(replace(f32(*((1, 2, 6, 6, 4) if pack else (1, 6, 6, 8))), name="joined"))
    if pack:
        g.operator("PACK", [first, large], [joined], {"values_count": 2, "axis": 1})
    else:
        g.operator(
            "CONCATENATION", [first, large], [joined], {"axis": 3, "fused_activation_function": "NONE"}
        )
    g.output(joined)
    if read_twice:
        g.output(conv(first, "on"))
    return builder.pack()


def _scales(data: bytes) -> tuple[Graph, dict[str, float]]:
    graph = Graph.from_bytes(data)
    return graph, {
        t.name: t.quantization.scalar[0] for t in graph.tensors if not t.is_constant and t.quantization
    }


def test_a_part_that_others_read_keeps_its_own_scale() -> None:
    model = _across(40)
    result = quantize(model, DATA, QuantizeOptions("minmax"))
    graph, scales = _scales(result.data)
    assert prove_full_integer(graph) == []
    assert [op.op for op in graph].count("QUANTIZE") == 1
    assert scales["large"] == scales["joined"] > 8 * scales["first"]
    assert compare(model, result.data, DATA).outputs[1].sqnr_db > 30


def test_parts_of_like_size_or_with_one_reader_and_steps_share_a_scale() -> None:
    for model in (_across(2), _across(40, read_twice=False), _across(40, pack=True)):
        graph, scales = _scales(quantize(model, DATA, QuantizeOptions("minmax")).data)
        assert "QUANTIZE" not in [op.op for op in graph]
        assert scales["first"] == scales["large"] == scales["joined"]
