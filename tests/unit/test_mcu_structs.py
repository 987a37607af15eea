"""Every kernel's parameter struct: declared in Python as in its header, and what does not fit is said."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qedge.emulate import CORES as EMULATED
from qedge.errors import ModelError
from qedge.graph import Graph
from qedge.testing.opmodels import ModelBuilder, Spec, constant, single_op
from qedge_mcu.cores import CORES, core
from qedge_mcu.ops.base import ConstArray, Emitted, Params, Ref
from qedge_mcu.program import check
from qedge_mcu.structs import Field, Struct, misfits, structs


def declared_in_headers(folder: Path) -> dict[str, list[tuple[str, str, bool, int]]]:
    """Return (name, type, pointer, entries) of every member of every parameter struct in the headers."""
    found = {}
    for header in sorted(folder.glob("*.h")):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
        for body, name in re.findall(r"typedef struct \{(.*?)\} (qe_\w+_params);", text, re.DOTALL):
            members = []
            for declaration in filter(None, (" ".join(d.split()) for d in body.split(";"))):
                match = re.fullmatch(r"(?:const )?(\w+) (.+)", declaration)
                assert match is not None, declaration
                for part in map(str.strip, match[2].split(",")):
                    name_of, _, count = part.lstrip("*").rstrip("]").partition("[")
                    members.append((name_of, match[1], part.startswith("*"), int(count or 0)))
            found[name] = members
    return found


def test_declarations_are_those_of_the_headers(project: Path) -> None:
    headers = declared_in_headers(project / "targets/qedge_mcu/kernels/include")
    ours = {n: [(f.name, f.type, f.pointer, f.count) for f in s.fields] for n, s in structs().items()}
    assert ours == headers


def test_sizes_follow_the_layout_of_a_32_bit_target() -> None:
    members = (
        Field("a", "uint8_t"),
        Field("b", "int16_t"),
        Field("p", "int8_t", pointer=True),
        Field("c", "uint8_t"),
    )
    assert Struct("s", members).nbytes == 12


SAMPLE = Emitted(
    function="qe_lookup_s8",
    params=Params("qe_lookup_params", (("table", Ref("table")), ("count", 5))),
    arrays=(ConstArray("table", np.zeros(256, np.int8)),),
)


def test_what_fits_is_silent() -> None:
    assert misfits(SAMPLE) == []
    assert misfits(Emitted(function="qe_copy")) == []


@pytest.mark.parametrize(
    ("count", "table", "said"),
    [
        (1 << 31, np.zeros(256, np.int8), "count is 2147483648, expected 0 to 2147483647"),
        (-1, np.zeros(256, np.int8), "count is -1, expected 0"),
        (0.5, np.zeros(256, np.int8), "count is 0.5, expected a whole number"),
        (5, np.zeros(256, np.int16), "table points to int16_t, expected int8_t"),
    ],
)
def test_what_does_not_fit_is_named(count: float, table: np.ndarray, said: str) -> None:  # type: ignore[type-arg]
    wrong = replace(
        SAMPLE,
        params=Params("qe_lookup_params", (("table", Ref("table")), ("count", count))),
        arrays=(ConstArray("table", table),),
    )
    (found,) = misfits(wrong)
    assert found.startswith(said)


def test_elements_of_an_array_have_a_range_too() -> None:
    field = Field("shift", "int8_t", -31, 30, pointer=True)
    assert field.misfit(None, np.array([-31, 30], np.int8)) is None
    assert (
        field.misfit(None, np.array([-32, 3], np.int8))
        == "shift has values from -32 to 3, expected -31 to 30"
    )
    assert "finite" in (Field("scale", "float").misfit(float("nan")) or "")


def test_a_struct_that_nobody_declared_is_a_fault() -> None:
    with pytest.raises(ValueError, match="not declared"):
        misfits(Emitted(params=Params("qe_nothing_params", ())))
    with pytest.raises(ValueError, match="members"):
        misfits(replace(SAMPLE, params=Params("qe_lookup_params", (("count", 5),))))


def test_numbers_that_are_none_are_named() -> None:
    weights = constant(np.ones((2, 4), np.int8), "int8", float("nan"))
    data = single_op(
        "FULLY_CONNECTED", [Spec((1, 4), "int8", 0.1), weights, None], [Spec((1, 2), "int8", 0.1)]
    )
    with pytest.raises(ModelError, match=r"#0 FULLY_CONNECTED: 't1' has the scale nan") as caught:
        check(Graph.from_bytes(data), core("cortex-m4"))
    assert caught.value.exit_code == 3
    assert [f.tensor for f in caught.value.findings] == ["t1"]


@pytest.mark.parametrize(("value", "refused"), [(0, False), (1, True)])
def test_zeros_may_have_the_scale_zero(value: int, refused: bool) -> None:
    """TFLiteConverter gives it to what has no range, an LSTM's first state for instance."""
    state = constant(np.full((1, 4), value), "int16", 0.0)
    data = single_op("MUL", [Spec((1, 4), "int16", 0.1), state], [Spec((1, 4), "int16", 3.6e-43)])
    if refused:
        with pytest.raises(ModelError, match="has the scale 0"):
            check(Graph.from_bytes(data), core("cortex-m4"))
    else:
        assert check(Graph.from_bytes(data), core("cortex-m4"))[1] == []


def test_what_a_converter_left_in_float_is_told_once_with_the_way_out() -> None:
    builder = ModelBuilder()
    graph = builder.subgraph()
    x = graph.input(Spec((1, 4), "int8", 0.1))
    real, sums = (graph.tensor(Spec((1, 4), "float32")) for _ in range(2))
    graph.operator("DEQUANTIZE", [x], [real])
    graph.operator("CUMSUM", [real, graph.tensor(constant([1]))], [sums])
    graph.output(sums)
    _, (finding,) = check(Graph.from_bytes(builder.pack()), core("cortex-m4"))
    assert finding.message == "it is left in float in an integer model: float32, expected int8"
    assert "build from the float model" in str(finding.hint)


def test_every_reason_has_a_way_out() -> None:
    row = Spec((1, 4), "int8", 0.1)
    given = constant(np.ones((1, 4)), "int8", 0.1)
    odd = single_op("ADD", [row, given], [row], {"fused_activation_function": "TANH"})
    _, (finding,) = check(Graph.from_bytes(odd), core("cortex-m4"))
    assert finding.message.startswith("fused activation TANH, expected one of NONE")
    assert "docs/mcu_operators.md" in str(finding.hint)


def test_what_can_be_built_can_be_verified() -> None:
    assert {c.runs_on for c in CORES.values()} <= set(EMULATED)
    for one in CORES.values():
        # a stand-in knows the instructions of the family, and reads no unaligned word that the core cannot read
        assert {"dsp": EMULATED[one.runs_on].dsp, "mve": EMULATED[one.runs_on].mve}.get(one.family, True)
        assert one.name == one.runs_on or one.unaligned or not CORES[one.runs_on].unaligned
