"""Models built from the schema read back as they were described."""

from __future__ import annotations

import numpy as np
import pytest

from qedge.graph import Graph
from qedge.graph.options import table_of
from qedge.testing.cases import RUNS, Case, merge, samples
from qedge.testing.opmodels import ModelBuilder, Spec, constant, single_op


def test_a_convolution_reads_back() -> None:
    weights = np.arange(-18, 18).reshape(2, 3, 3, 2)
    graph = Graph.from_bytes(
        single_op(
            "CONV_2D",
            [
                Spec((1, 5, 7, 2), scale=0.5, zero_point=-128),
                constant(weights, "int8", [0.25, 0.125]),
                constant([7, -7], "int32", [0.125, 0.0625]),
            ],
            [Spec((1, 3, 3, 2), scale=0.75, zero_point=127)],
            {"padding": "VALID", "stride_w": 3, "stride_h": 2, "fused_activation_function": "RELU6"},
        )
    )
    (op,) = graph.operators
    x, w, b = graph.input_tensors(op)
    assert op.op == "CONV_2D"
    assert op.options["padding"] == "VALID"
    assert (op.options["stride_w"], op.options["stride_h"]) == (3, 2)
    assert op.options["fused_activation_function"] == "RELU6"
    assert x is not None
    assert x.quantization is not None
    assert x.quantization.scalar == (0.5, -128)
    assert w is not None
    assert np.array_equal(w.data, weights)
    assert w.quantization is not None
    assert w.quantization.scale.tolist() == [0.25, 0.125]
    assert b is not None
    assert b.data is not None
    assert b.data.tolist() == [7, -7]


def test_int4_packs_two_values_a_byte() -> None:
    values = np.array([[-8, 7, 0], [1, -1, 3]])
    graph = Graph.from_bytes(
        single_op(
            "FULLY_CONNECTED",
            [Spec((1, 3), scale=1.0), constant(values, "int4", 0.5), None],
            [Spec((1, 2), scale=1.0)],
        )
    )
    weights = graph.tensors[graph.operators[0].inputs[1]]
    assert weights.nbytes == 3
    assert np.array_equal(weights.data, values)
    assert graph.operators[0].inputs[2] == -1


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="int4"):
        single_op("RELU", [constant([8], "int4", 1.0)], [Spec((1,))])
    with pytest.raises(ValueError, match="do not fit int8"):
        single_op("RELU", [constant([128], "int8", 1.0)], [Spec((1,))])
    with pytest.raises(ValueError, match="no strides"):
        single_op("CONV_2D", [], [], {"strides": 3})


def test_several_subgraphs_and_resources() -> None:
    builder = ModelBuilder()
    main, init = builder.subgraph(), builder.subgraph("init")
    main.operator("CALL_ONCE", [], [], {"init_subgraph_index": 1})
    handle = init.tensor(Spec((), "resource"))
    init.operator("VAR_HANDLE", [], [handle], {"shared_name": b"state", "container": b""})
    graph = Graph.from_bytes(builder.pack())
    assert graph.operators[0].options["init_subgraph_index"] == 1
    assert graph.subgraphs[1].operators[0].options["shared_name"] == "state"
    assert graph.subgraphs[1].tensors[0].dtype == "resource"


@pytest.mark.parametrize(
    ("op", "name"),
    [
        ("MAX_POOL_2D", "Pool2DOptions"),
        ("REDUCE_MAX", "ReducerOptions"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "UnidirectionalSequenceLSTMOptions"),
        ("LOGISTIC", None),
    ],
)
def test_options_of_an_operator(op: str, name: str | None) -> None:
    assert table_of(op) == name


def test_a_table_merges_into_one_model() -> None:
    table = [
        Case("a", "RELU", [Spec((1, 3), scale=1.0)], [Spec((1, 3), scale=1.0)]),
        Case("b", "RELU", [Spec((1, 2), scale=1.0)], [Spec((1, 2), scale=2.0)]),
    ]
    merged = merge(table)
    graph = Graph.from_bytes(merged.data)
    assert merged.case_of == ("a", "b")
    assert [graph.tensors[t].shape for t in graph.inputs] == [(1, 3), (1, 2)]
    first, again = samples(graph), samples(graph)
    assert len(first) == RUNS
    assert all(np.array_equal(x, y) for a, b in zip(first, again) for x, y in zip(a, b))
    assert {int(v) for v in first[2][0].reshape(-1)} <= {-128, 127}
    with pytest.raises(ValueError, match="two cases"):
        merge([table[0], table[0]])
