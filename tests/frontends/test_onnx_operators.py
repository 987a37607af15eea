"""Every operator of the ONNX front end, in the forms that exporters write, against onnxruntime."""

from __future__ import annotations

import collections

import pytest

from qedge.graph import Graph
from tests.frontends.onnx_cases import Case, cases, model_of

pytest.importorskip("onnx", reason="the ONNX front end is not installed")
pytest.importorskip("onnxruntime", reason="the ONNX front end is not installed")

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_operator_agrees_with_onnxruntime(case: Case) -> None:
    import onnx

    from qedge.frontends.onnx import convert_proto

    converted = convert_proto(onnx.load_model_from_string(model_of(case)), {}, {})
    assert converted.error < 2e-5
    assert list(converted.outputs) == case.outputs
    found = collections.Counter(op.op for op in Graph.from_bytes(converted.data, case.name))
    for op, count in (case.expect or {}).items():
        assert found[op] == count, dict(found)


def test_every_handler_has_a_case() -> None:
    from qedge.frontends.onnx.ops import table

    tried = {(f"{c.domain}." if c.domain else "") + op for c in CASES for op, _, _, _ in c.nodes}
    internal = {"Relu6", "Rsqrt"}  # written by the rewrites themselves
    newer = {"RMSNormalization", "Swish", "CastLike", "Scatter", "SimplifiedLayerNormalization"}
    missing = {
        op for op in set(table()) - tried - internal - newer if not op.endswith("implifiedLayerNormalization")
    }
    assert not missing
