"""Rollouts: batches, the failure budget, the way back; what is written for those who watch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "unit"))

from devices import DIES, SSHD, devices, write_inventory
from tiny_bundles import make_bundle, tiny_images, tiny_model

from qedge.bundle import read_bundle
from qedge.errors import UsageError
from qedge.fleet import gate, one
from qedge.fleet.monitoring import files as monitoring_files
from qedge.fleet.results import read_results, textfile
from qedge.fleet.rollout import ROLE, rollout
from qedge.ship.follow import figures as device_figures
from tests import json_page

needs_sshd = pytest.mark.skipif(SSHD is None, reason="needs sshd: apt install openssh-server")


def deployed(version: str = "b", previous: str | None = "a", changed: bool = True) -> dict:
    bench = {"latency_ms": {"median": 1.5}}
    return {"version": version, "previous": previous, "changed": changed, "bench": bench}


def answers(folder: Path, **documents: object) -> None:
    for name, document in documents.items():
        text = document if isinstance(document, str) else json.dumps(document)
        (folder / f"{name}.json").write_text(text)


def test_answers_of_devices_are_read_whatever_is_in_them(tmp_path) -> None:
    error = {
        "error": {"kind": "ToolError", "message": "no space", "hint": None, "exit_code": 8, "findings": []}
    }
    answers(tmp_path, a=deployed(), b=error, c="", d="{", e="[]", f='{"version": 1}')
    found = {r.host: r for r in read_results(tmp_path)}
    assert found["a"].ok
    assert (found["a"].version, found["a"].previous, found["a"].latency_ms) == ("b", "a", 1.5)
    assert [r.ok for r in found.values()] == [True] + [False] * 5
    assert found["b"].error == "no space"
    assert all(r.error for r in found.values() if not r.ok)
    text = textfile("kws", list(found.values()), 12.0)
    assert 'qedge_fleet_ok{model="kws",device="a"} 1' in text
    assert 'qedge_fleet_ok{model="kws",device="c"} 0' in text


def test_a_device_is_found_again_whatever_an_inventory_calls_it(tmp_path, monkeypatch) -> None:
    hosts = ["floor/2", "../up", "%41", 'a"b', "back\\slash", ".."]
    done = subprocess.CompletedProcess([], 0, json.dumps(deployed()).encode(), b"")
    monkeypatch.setattr(one.subprocess, "run", lambda *_, **__: done)
    for host in hosts:
        assert one.main([str(tmp_path / "results"), host, "BUNDLE", host]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["results"]
    found = read_results(tmp_path / "results")
    assert sorted(r.host for r in found) == sorted(hosts)
    parser = pytest.importorskip("prometheus_client.parser", reason="needs prometheus-client")
    families = parser.text_string_to_metric_families(textfile('k"ws', found, 12.0))
    devices = [s.labels["device"] for m in families for s in m.samples if s.name == "qedge_fleet_ok"]
    assert sorted(devices) == sorted(hosts)


def test_the_gate_opens_while_no_more_have_failed_than_may(tmp_path) -> None:
    answers(tmp_path, a=deployed(), b="")
    assert gate.main([str(tmp_path), "1"]) == 0
    answers(tmp_path, c="")
    assert gate.main([str(tmp_path), "1"]) == 1


@pytest.mark.parametrize("word", ["0", "-1", "101%", "1.5", "", "half", "1;2"])
def test_batches_are_devices_or_shares(tmp_path, word) -> None:
    with pytest.raises(UsageError, match="--batches"):
        rollout(tmp_path, tmp_path, batches=(word,))


def test_an_inventory_that_is_not_there_is_a_usage_error(tmp_path) -> None:
    bundle = make_bundle(tmp_path / "b")
    with pytest.raises(UsageError, match="no such inventory"):
        rollout(bundle, tmp_path / "none.ini")
    (tmp_path / "empty.ini").write_text("")
    with pytest.raises(UsageError, match=r"empty\.ini"):
        rollout(bundle, tmp_path / "empty.ini")


def test_rules_and_dashboard_ask_for_figures_that_there_are(cli, tmp_path) -> None:
    document = cli.json("fleet", "monitoring", "-o", tmp_path / "m")
    json_page.check("fleet monitoring", document)
    state = {"time": 1, "result": "current", "latency_ms": 2.0}
    (tmp_path / "kws").mkdir()
    known = device_figures(str(tmp_path / "kws"), state) + textfile("kws", [], 0)
    serving = (Path(__file__).parents[2] / "qedge/serve/metrics.py").read_text()
    names = set(re.findall(r"# TYPE (\w+)", known)) | set(re.findall(r'"(qedge_\w+)"', serving))
    names |= {"qedge_requests_total", "qedge_request_seconds_bucket"}
    for name, data in monitoring_files().items():
        assert (tmp_path / "m" / name).read_bytes() == data
        asked = set(re.findall(r"\b(qedge_\w+)", data.decode()))
        assert asked
        assert asked <= names, name
    board = json.loads(monitoring_files()["dashboard.json"])
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_role_uses_every_variable_that_it_declares() -> None:
    tasks = (ROLE / "tasks" / "main.yml").read_text()
    declared = re.findall(r"^(qedge_\w+):", (ROLE / "defaults" / "main.yml").read_text(), re.MULTILINE)
    assert declared
    assert all(name in tasks for name in declared)


@pytest.mark.long
@needs_sshd
def test_a_rollout_stops_at_its_budget_and_goes_back(tmp_path, cli) -> None:
    golden = [(image ^ 0x80).view(np.int8)[None] for image in tiny_images(2)]
    one = make_bundle(tmp_path / "one", tiny_model(seed=3), golden=golden)
    two = make_bundle(tmp_path / "two", tiny_model(seed=4), golden=golden)
    with devices(tmp_path, {2: DIES}, 3) as (found, inventory):
        words = ["--batches", "all", "--runs", "0", "--forks", "3"]
        first = cli.json("fleet", "rollout", inventory, one, *words)
        json_page.check("fleet rollout", first)
        assert first["done"]
        before = {device.name: device.current() for device in found}
        assert all(before.values())
        found[1].give_wrong_results()
        write_inventory(tmp_path, found)
        (found[2].home / "dies").touch()
        words[1:2] = ["1,all"]
        words += ["--textfile", tmp_path, "--log", tmp_path / "log"]
        stopped = cli("fleet", "rollout", inventory, two, *words, "--json")
        assert stopped.returncode == 7, stopped.stderr
        document = json.loads(stopped.stdout.partition("\n}\n")[0] + "\n}")
        assert {d["host"]: d["ok"] for d in document["devices"]} == {
            "device0": True,
            "device1": False,
            "device2": False,
        }
        assert [d["host"] for d in document["back"]] == ["device0"]
        assert {device.name: device.current() for device in found} == before
        for device in found:
            with read_bundle(device.root / "tiny" / "current" / "bundle") as bundle:
                assert bundle.manifest == read_bundle(one).manifest
        assert "golden vectors" in next(d["error"] for d in document["devices"] if d["host"] == "device1")
        assert (
            'qedge_fleet_ok{model="tiny",device="device0"} 1'
            in (tmp_path / "qedge_fleet_tiny.prom").read_text()
        )
