"""Shapes beyond every field's range: refused by ``check`` with the field's name, or right in the C that is written."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qedge.graph import Graph
from qedge.testing.opmodels import Spec, constant, single_op
from qedge_mcu.cores import CORES, core
from qedge_mcu.emit import emit
from qedge_mcu.program import build, check
from qedge_mcu.structs import structs
from qedge_mcu.structs.fields import C_RANGES

SIZES = (1, 2, 3, 8, 127, 128, 255, 256, 257, 400, 32767, 32768, 65535, 65536, 70000)
MOST = 1 << 22
Q = (0.1, 3)


def spec(*shape: int) -> Spec:
    return Spec(shape, "int8", *Q)


@st.composite
def models(draw: st.DrawFn) -> bytes:
    """One operator with a window, on a long row; every size may be beyond what a field holds."""
    size = st.sampled_from(SIZES)
    op = draw(
        st.sampled_from(
            ["CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "FULLY_CONNECTED", "RESHAPED_ADD"]
        )
    )
    channels = draw(st.sampled_from((1, 2, 4, 8)))
    width = draw(size)
    if op == "FULLY_CONNECTED":
        inputs, outputs = draw(size), draw(size)
        if inputs * outputs > MOST:
            outputs = 1
        weights = constant(np.ones((outputs, inputs), np.int8), "int8", 0.01)
        return single_op(op, [spec(1, inputs), weights, None], [spec(1, outputs)], {})
    if op == "RESHAPED_ADD":
        return single_op("ADD", [spec(1, width, channels)] * 2, [spec(1, width, channels)], {})
    filter_width, stride, dilation = draw(size), draw(size), draw(size)
    along = draw(st.booleans())
    shape = (1, width, 1, channels) if along else (1, 1, width, channels)
    out = -(-width // stride)
    outer = (1, out, 1, channels) if along else (1, 1, out, channels)
    window = (filter_width, 1) if along else (1, filter_width)
    step = {"stride_h": stride if along else 1, "stride_w": 1 if along else stride, "padding": "SAME"}
    if op == "AVERAGE_POOL_2D":
        filters = {"filter_height": window[0], "filter_width": window[1]}
        return single_op(op, [spec(*shape)], [spec(*outer)], {**step, **filters})
    spread = {
        "dilation_h_factor": dilation if along else 1,
        "dilation_w_factor": 1 if along else dilation,
    }
    of = (channels, *window, channels) if op == "CONV_2D" else (1, *window, channels)
    weights = constant(np.ones(of, np.int8), "int8", 0.01)
    if op == "DEPTHWISE_CONV_2D":
        step["depth_multiplier"] = 1
    return single_op(op, [spec(*shape), weights, None], [spec(*outer)], {**step, **spread})


def members_in_c(files: dict[str, bytes]) -> list[tuple[str, str, int]]:
    """Return (member, C type, value) of every integer member, as a compiler would read the sources."""
    headers = "\n".join(v.decode() for k, v in files.items() if k.startswith("src/qe_"))
    types = {}
    for body, name in re.findall(r"typedef struct \{(.*?)\} (\w+);", headers, re.DOTALL):
        plain = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
        for declaration in (" ".join(d.split()) for d in plain.split(";")):
            kind, _, names = declaration.removeprefix("const ").partition(" ")
            types |= {(name, n.strip()): kind for n in names.split(",")}
    found = []
    source = files["src/model.c"].decode()
    for name, body in re.findall(r"static const (qe_\w+) op\d+ = \{\n(.*?)\n\};", source, re.DOTALL):
        for member, value in re.findall(r"/\* (\w+) \*/ (-?\d+),", body):
            found.append((member, types[name, member], int(value)))
    return found


@settings(max_examples=60, deadline=None)
@given(models(), st.sampled_from(["host", "cortex-m4", "cortex-m55"]))
def test_every_value_fits_its_field_or_is_refused_by_name(data: bytes, name: str) -> None:
    graph = Graph.from_bytes(data)
    _, findings = check(graph, core(name))
    if findings:
        fields = {f.name for s in structs().values() for f in s.fields}
        assert all(f.rule == "unsupported-op" for f in findings)
        assert all(f.message.split()[0] in fields for f in findings), [f.message for f in findings]
        return
    members = members_in_c(emit(build(graph, core(name), "model", tries=0)).files)
    assert members
    for member, kind, value in members:
        low, high = C_RANGES[kind]
        assert low <= value <= high, (member, kind, value)


def test_every_core_has_a_family_with_a_general_kernel() -> None:
    wide = single_op(
        "CONV_2D",
        [spec(1, 1, 16000, 1), constant(np.ones((8, 1, 400, 1), np.int8), "int8", 0.01), None],
        [spec(1, 1, 98, 8)],
        {"padding": "VALID", "stride_h": 1, "stride_w": 160},
    )
    for name in CORES:
        graph = Graph.from_bytes(wide)
        assert check(graph, core(name))[1] == []
        members = {m: v for m, _, v in members_in_c(emit(build(graph, core(name), "model", tries=0)).files)}
        assert members["filter_width"] == 400
