"""A custom operator without a kernel: the hint leads to what the file was made from, or to what qedge has instead."""

from __future__ import annotations

import pytest

from qedge.errors import UnsupportedError
from qedge.findings import errors
from qedge.frontends.normalize import normalize
from qedge.graph.edit import Editor, affine
from qedge.pipeline.opinion import what_it_says
from qedge.target import resolve_all

WAYS = {
    "ethos-u": "Vela was given",
    "edgetpu-custom-op": "compiler was given",
    "SignalRfft": "--pre kind=log_mel",
}


def custom(name: str, dtype: str) -> bytes:
    """One custom operator, with a scale where its type is int8."""
    editor = Editor.empty("test")
    scale = affine(0.1) if dtype == "int8" else None
    x, y = (editor.tensor(n, (1, 4), dtype, quantization=scale) for n in ("x", "y"))
    editor.append(editor.operator("CUSTOM", [x], [y], custom=name))
    editor.inputs, editor.outputs = [x], [y]
    return editor.pack()


@pytest.mark.parametrize("target", ["mcu", "rpi"])
@pytest.mark.parametrize(("name", "words"), WAYS.items())
def test_a_target_names_the_way_out(name: str, words: str, target: str) -> None:
    ((chosen, options),) = resolve_all([target])
    (finding,) = errors(what_it_says(chosen, options, "model", custom(name, "int8")).findings)
    assert words in str(finding.hint)


def test_the_end_of_a_detector_is_left_to_qedge() -> None:
    ((chosen, options),) = resolve_all(["mcu"])
    model = custom("TFLite_Detection_PostProcess", "int8")
    (finding,) = errors(what_it_says(chosen, options, "model", model).findings)
    assert "finds the objects itself" in str(finding.hint)


def test_one_hint_is_said_once() -> None:
    editor = Editor.from_bytes(custom("SignalRfft", "float32"))
    editor.append(editor.operator("CUSTOM", editor.inputs, editor.outputs, custom="SignalEnergy"))
    with pytest.raises(UnsupportedError) as caught:
        normalize(editor.pack(), "model.tflite")
    assert WAYS["SignalRfft"] in str(caught.value.hint)
    assert [f.hint for f in caught.value.findings] == [None]
