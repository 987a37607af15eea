"""A round of what follows a registry: whatever its memory holds, it ends in a word and in figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qedge.ship.agent.common import FOLLOW, FOLLOWED, Refused, root_of
from qedge.ship.follow import follow

NOWHERE = "oci+http://127.0.0.1:9/model:1"


@pytest.mark.parametrize(
    "memory",
    [
        {"failures": "x"},
        {"failures": None},
        {"failures": -3},
        {"not_before": "soon", "failed": 7},
        {"latency_ms": "fast"},
        {"latency_ms": [1], "digest": {}, "version": 1.5},
        {"channel": {}},
        {"channel": {"number": "ten"}},
        {"channel": [1]},
        {"time": "noon", "result": 3},
        [1, 2],
        "text",
    ],
)
def test_a_memory_with_wrong_values_fails_no_round(tmp_path: Path, memory: object) -> None:
    (tmp_path / FOLLOW).write_text(json.dumps({"reference": NOWHERE}))
    (tmp_path / FOLLOWED).write_text(json.dumps(memory))
    state = follow(str(tmp_path))
    assert (state["result"], state["failures"]) == ("failed", 1)
    assert "qedge_update_failures" in (tmp_path / "metrics.prom").read_text()
    assert follow(str(tmp_path))["failures"] == 2


@pytest.mark.parametrize("entry", [{}, {"number": "ten"}, [1], {"repository": "r", "name": "n", "number": 1}])
def test_a_wrong_entry_of_a_channel_is_not_forgotten(tmp_path: Path, entry: object) -> None:
    root = tmp_path / "model"
    root.mkdir()
    (tmp_path / "trusted_keys").write_text("")
    (root / FOLLOW).write_text(json.dumps({"reference": NOWHERE, "channel": True}))
    (root / FOLLOWED).write_text(json.dumps({"channel": entry}))
    state = follow(str(root))
    assert state["result"] == "failed"
    assert "followed.json: $.channel" in state["message"]
    assert json.loads((root / FOLLOWED).read_text())["channel"] == entry


@pytest.mark.parametrize("name", ["x/kws", "../kws", "/tmp/kws", "..", ".", "", "trusted_keys"])
def test_a_model_lies_beside_the_keys_that_the_device_trusts(tmp_path: Path, name: str) -> None:
    assert root_of({"root": str(tmp_path), "name": "kws"}) == str(tmp_path / "kws")
    with pytest.raises(Refused, match="no name of a model"):
        root_of({"root": str(tmp_path), "name": name})
