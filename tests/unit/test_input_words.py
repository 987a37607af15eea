"""What a user says about a model's inputs: flags, configuration, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qedge.cli._model import input_shapes, input_values
from qedge.config import load_config
from qedge.errors import UsageError


@pytest.mark.parametrize(
    ("flags", "stated", "shapes"),
    [
        (None, None, {}),
        (["1,96,96,3"], None, {"": (1, 96, 96, 3)}),
        (["a=1,3", "b/c:0=1, 4"], None, {"a": (1, 3), "b/c:0": (1, 4)}),
        (["x=y=1,2"], None, {"x=y": (1, 2)}),
        (None, [1, 5], {"": (1, 5)}),
        (None, {"a": [1, 5], "b": [1, 2]}, {"a": (1, 5), "b": (1, 2)}),
        (None, "1,5", {"": (1, 5)}),  # from the environment
        (["1,7"], [1, 5], {"": (1, 7)}),
    ],
)
def test_shapes(flags: list[str] | None, stated: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    assert input_shapes(flags, stated) == shapes


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["1,?,3"], "found '1,\\?,3', expected whole numbers"),
        (["a=1,0"], "found 'a=1,0'"),
        (["1,-3"], "found '1,-3'"),
        ([""], "expected whole numbers"),
        (["a=1,2", "a=1,3"], "the input 'a' twice"),
        (["1,2", "1,3"], "two inputs without a name"),
    ],
)
def test_shapes_that_are_none(flags: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        input_shapes(flags, None)
    assert "--input-shape" in str(caught.value.hint)


def test_values() -> None:
    assert input_values(["sr=16000", "w=1,2.5"], None) == {"sr": (16000.0,), "w": (1.0, 2.5)}
    assert input_values(None, {"sr": 8000}) == {"sr": (8000.0,)}
    for wrong in ("16000", "sr=", "sr=loud"):
        with pytest.raises(UsageError, match="expected NAME=NUMBER"):
            input_values([wrong], None)


def test_a_configuration_states_shapes_but_cannot_vouch_for_a_model(tmp_path: Path) -> None:
    (tmp_path / "qedge.toml").write_text("[model]\npath = 'm'\ninput_shape = { a = [1, 2] }\n")
    assert load_config(start=tmp_path).get("model", "input_shape") == {"a": [1, 2]}
    (tmp_path / "qedge.toml").write_text("[model]\ntrust_model = true\n")
    with pytest.raises(UsageError, match=r"\$\.model\.trust_model"):
        load_config(start=tmp_path)
