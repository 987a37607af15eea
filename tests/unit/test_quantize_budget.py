"""Accuracy budgets, mixed precision and the recipe file."""

from __future__ import annotations

from pathlib import Path

import pytest
from quantize_models import cnn, images

from qedge.errors import AccuracyError, UsageError
from qedge.graph import Graph
from qedge.graph.edit import Editor
from qedge.quantize import QuantizeOptions, compare, prove_full_integer, quantize
from qedge.quantize.pins import read_recipe


def _types(data: bytes) -> dict[str, str]:
    graph = Graph.from_bytes(data)
    return {t.name: t.dtype for t in graph.tensors if t.index in graph.producer}


def test_a_budget_that_int8_meets_changes_nothing() -> None:
    plain = quantize(cnn(), images(), QuantizeOptions(method="minmax"))
    budget = QuantizeOptions(method="minmax", min_sqnr=15.0, max_drop=0.2)
    assert quantize(cnn(), images(), budget).data == plain.data


def test_a_missed_budget_moves_the_fewest_layers_to_sixteen_bits() -> None:
    model, data = cnn(), images()
    plain = quantize(model, data, QuantizeOptions(method="minmax"))
    wanted = plain.sqnr_db + 1.5
    result = quantize(model, data, QuantizeOptions(method="minmax", min_sqnr=wanted))
    assert result.sqnr_db >= wanted
    types = _types(result.data)
    wide = sum(t == "int16" for n, t in types.items() if "/" not in n)
    assert 0 < wide < 6
    assert prove_full_integer(Graph.from_bytes(result.data)) == []
    assert compare(model, result.data, data).sqnr_db > compare(model, plain.data, data).sqnr_db + 1
    assert [f.rule for f in result.findings] == ["mixed-precision"]
    assert result.candidates[-1].chosen
    assert "int16" in result.method


def _with_hard_swish(model: bytes) -> bytes:
    """Put a HARD_SWISH, which has no 16-bit kernel, behind the second layer."""
    editor = Editor.from_bytes(model)
    second = next(t for t in range(len(editor.tensors)) if editor.name(t) == "second")
    maker = next(node for node in editor.operators if second in node.outputs)
    swished = editor.tensor_like(second, "swished")
    editor.redirect({second: swished})
    editor.replace([maker], [maker, editor.operator("HARD_SWISH", [second], [swished])])
    return editor.pack()


@pytest.mark.parametrize("more_db", [1.5, 2.0])
def test_what_has_no_sixteen_bit_kernel_stays_on_eight(more_db: float) -> None:
    model, data = _with_hard_swish(cnn()), images()
    plain = quantize(model, data, QuantizeOptions(method="minmax"))
    wanted = plain.sqnr_db + more_db
    result = quantize(model, data, QuantizeOptions(method="minmax", min_sqnr=wanted))
    assert result.sqnr_db >= wanted
    assert "int16" in _types(result.data).values()
    assert prove_full_integer(Graph.from_bytes(result.data)) == []


def test_a_budget_that_cannot_be_met_names_the_layers_to_blame() -> None:
    with pytest.raises(AccuracyError, match="CONV_2D") as caught:
        quantize(cnn(), images(), QuantizeOptions(method="minmax", min_sqnr=60.0, mixed=False))
    assert caught.value.exit_code == 6
    noise = [float(f.message.split(" at ")[1].split(" dB")[0]) for f in caught.value.findings]
    assert len(noise) >= 5
    assert noise == sorted(noise)


def _recipe(folder: Path, text: str) -> QuantizeOptions:
    path = folder / "recipe.toml"
    path.write_text(text)
    return QuantizeOptions(recipe=path)


def test_a_recipe_pins_operators_by_name_type_and_position(tmp_path: Path) -> None:
    text = """
        method = "mse"
        [[layer]]
        match = "sec*"
        range = [0.0, 5.1]
        [[layer]]
        match = "FULLY_CONNECTED"
        per_channel = true
        [[layer]]
        match = "#2"
        type = "int16"
    """
    result = quantize(cnn(), images(), _recipe(tmp_path, text))
    graph = Graph.from_bytes(result.data)
    by_name = {t.name: t for t in graph.tensors}
    assert by_name["second"].quantization.scalar[0] == pytest.approx(0.02)  # type: ignore[union-attr]
    assert by_name["third"].dtype == "int16"
    dense = next(op for op in graph.operators if op.op == "FULLY_CONNECTED")
    assert graph.tensors[dense.inputs[1]].quantization.per_channel  # type: ignore[union-attr]
    assert result.method == "mse"
    assert compare(cnn(), result.data, images()).sqnr_db > 15


def test_the_option_wins_over_the_recipes_method(tmp_path: Path) -> None:
    options = _recipe(tmp_path, 'method = "mse"')
    assert quantize(cnn(), images(), QuantizeOptions("minmax", recipe=options.recipe)).method == "minmax"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("method = 3", r"\$\.method"),
        ('method = "msee"', "msee"),
        ("layers = 3", "layers"),
        ("layer = 3", r"\$\.layer"),
        ("[[layer]]\nmatch = 3", r"\$\.layer\[0\]\.match"),
        ('[[layer]]\nmatch = "a"\nrnge = 3', "rnge"),
        ('[[layer]]\nmatch = "a"\nrange = [3]', r"\$\.layer\[0\]\.range"),
        ('[[layer]]\nmatch = "a"\nrange = [3, 1]', "smaller"),
        ('[[layer]]\nmatch = "a"\ntype = "int4"', "int4"),
        ('[[layer]]\nmatch = "a"\nranges = "max"', "max"),
        ('[[layer]]\nmatch = "a"\nper_channel = 1', "per_channel"),
        ("method = ", "TOML"),
        ('[[layer]]\nmatch = "nowhere"', "nowhere"),
    ],
)
def test_mistakes_in_a_recipe_are_named(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(UsageError, match=where):
        quantize(cnn(), images(), _recipe(tmp_path, text))


def test_a_recipe_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_recipe(tmp_path / "none.toml")
