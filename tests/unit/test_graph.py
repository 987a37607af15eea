"""The graph view on models made here with TensorFlow Lite's own schema."""

from __future__ import annotations

import pytest

from qedge.errors import ModelError
from qedge.graph import Graph


@pytest.mark.parametrize("data", [b"", b"TFL3", b"PK\x03\x04" * 8, b"\x00" * 64])
def test_bytes_that_are_no_model_are_refused_with_what_was_found(data: bytes) -> None:
    with pytest.raises(ModelError, match="not a TFLite model") as caught:
        Graph.from_bytes(data, "x.tflite")
    assert caught.value.exit_code == 3
    assert caught.value.hint


def test_a_missing_file_is_a_model_error(tmp_path) -> None:
    with pytest.raises(ModelError, match="cannot read"):
        Graph.from_file(tmp_path / "none.tflite")
