"""A device that follows a tag: it updates, refuses, backs off, and is whole whenever it is killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "unit"))

from devices import OPTIONS, SSHD, devices
from tiny_bundles import make_bundle, tiny_images, tiny_model

from qedge.bundle import read_bundle
from qedge.deploy import deploy
from qedge.deploy import follow as remote_follow
from qedge.errors import DataError, ToolError, UsageError
from qedge.ship import push
from qedge.ship.channel import set_channel
from qedge.ship.follow import FIRST_WAIT_S, follow
from qedge.trust import sign_bundle
from tests.ship.registries import Liar

pytestmark = pytest.mark.skipif(SSHD is None, reason="needs sshd: apt install openssh-server")
GOLDEN = [(image ^ 0x80).view(np.int8)[None] for image in tiny_images(2)]


class Following:
    """A device that has version one, and a registry whose tag it follows."""

    def __init__(self, device, ssh, host: str, folder: Path, liar: Liar, registry: str) -> None:
        self.device, self.ssh, self.host, self.registry = device, ssh, host, liar
        self.root = device.root / "tiny"
        self.reference = f"oci://{registry}/tiny:stable"
        self.bundles = [make_bundle(folder / str(k), tiny_model(seed=k + 3), golden=GOLDEN) for k in range(3)]

    def push(self, k: int) -> None:
        push(self.bundles[k], self.reference)

    def once(self) -> dict:
        """Do a round as the timer does, with the version's own code."""
        done = self.start().communicate(timeout=120)
        return json.loads(done[0].splitlines()[-1])

    def start(self) -> subprocess.Popen[str]:
        command = [str(self.root / "current" / "python"), "-m", "qedge.ship.follow", str(self.root)]
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=env, cwd="/", text=True, start_new_session=True, **pipes)

    def active(self) -> int:
        """Return which bundle is active; it must be whole."""
        with read_bundle(self.root / "current" / "bundle") as bundle:
            digest = bundle.manifest.to_json()["digest"]
        digests = [read_bundle(b).manifest.to_json()["digest"] for b in self.bundles]
        assert (self.root / "current" / "python").is_file()
        return digests.index(digest)


@pytest.fixture
def following(tmp_path):
    liar = Liar()
    with devices(tmp_path, {}, 1) as ((device,), _), liar.serve() as registry:
        ssh = ["ssh", "-F", "/dev/null", "-p", str(device.port), "-i", str(tmp_path / "user")]
        ssh += [word for option in OPTIONS for word in ("-o", option)]
        host = "root@127.0.0.1" if os.geteuid() == 0 else "127.0.0.1"
        found = Following(device, ssh, host, tmp_path, liar, registry)
        with pytest.raises(ToolError, match="no version to start from"):
            remote_follow.install("tiny", host, found.reference, ssh=ssh, root=str(device.root))
        deploy(found.bundles[0], host, ssh=ssh, root=str(device.root), python=sys.executable, runs=0)
        remote_follow.install("tiny", host, found.reference, ssh=ssh, root=str(device.root), runs=3)
        yield found


def test_a_tag_that_moves_moves_the_device_and_a_bad_version_does_not(following, tmp_path) -> None:
    unit = (following.device.home / ".config/systemd/user/qedge-tiny-follow.service").read_text()
    assert f'ExecStart="{following.root}/current/python" -m qedge.ship.follow "{following.root}"' in unit
    assert "enable --now qedge-tiny-follow.timer" in (following.device.home / "systemctl.log").read_text()
    assert following.once()["result"] == "failed"  # nothing is in the registry
    assert following.active() == 0

    following.push(1)
    first = following.once()
    assert (first["result"], first["failures"]) == ("updated", 0)
    assert following.active() == 1
    assert first["latency_ms"] > 0
    assert following.once()["result"] == "current"
    metrics = (following.root / "metrics.prom").read_text()
    assert f'qedge_version_info{{model="tiny",version="{first["version"]}"}} 1' in metrics
    assert 'qedge_update_result{model="tiny",result="current"} 1' in metrics

    wrong = Path(shutil.copytree(following.bundles[2], tmp_path / "wrong"))
    outputs = [[o + 50 for o in out] for _, out in read_bundle(wrong).golden()]
    from qedge.bundle import golden_files, write_bundle

    plain = read_bundle(wrong)
    files = {n: plain.read(n) for n in plain.manifest.files}
    inputs = [list(i) for i, _ in plain.golden()]
    write_bundle(wrong, plain.manifest, {**files, **golden_files(inputs, outputs)})
    push(wrong, following.reference)
    bad = following.once()
    assert (bad["result"], bad["failures"]) == ("failed", 1)
    assert "golden vectors" in bad["message"]
    assert bad["not_before"] - time.time() > FIRST_WAIT_S - 30
    assert following.active() == 1
    assert following.once()["result"] == "waiting"
    following.push(2)  # another version is tried at once
    assert following.once()["result"] == "updated"
    assert following.active() == 2
    status = remote_follow.status("tiny", following.host, ssh=following.ssh, root=str(following.device.root))
    assert status["last"]["result"] == "updated"
    assert status["following"] == following.reference
    gone = remote_follow.remove("tiny", following.host, ssh=following.ssh, root=str(following.device.root))
    assert gone["following"] is None
    with pytest.raises(DataError, match=r"follow\.json"):
        follow(str(following.root))


@pytest.mark.long
def test_a_device_with_keys_follows_only_what_they_signed_and_never_back(following, tmp_path) -> None:
    (following.device.root / "trusted_keys").write_text((tmp_path / "user.pub").read_text())
    following.push(1)
    assert "not signed" in following.once()["message"]
    sign_bundle(following.bundles[1], tmp_path / "user", serial=5)
    following.push(1)
    (following.root / "followed.json").unlink()  # the same digest: it would wait
    assert following.once()["result"] == "updated"
    sign_bundle(following.bundles[2], tmp_path / "user", serial=4)
    following.push(2)
    found = following.once()
    assert (found["result"], following.active()) == ("failed", 1)
    assert "serial 4" in found["message"]


@pytest.mark.long
def test_a_device_follows_the_next_word_of_a_channel_and_no_other(following, tmp_path) -> None:
    channel, key = following.reference, tmp_path / "user"
    versions = [channel.replace(":stable", f":{k}") for k in range(3)]
    for k, bundle in enumerate(following.bundles):
        sign_bundle(bundle, key, serial=5)
        push(bundle, versions[k])
    install = {"ssh": following.ssh, "root": str(following.device.root), "runs": 0, "channel": True}
    remote_follow.install("tiny", following.host, channel, **install)
    set_channel(channel, versions[1], key)
    assert "trusted_keys" in following.once()["message"]
    (following.device.root / "trusted_keys").write_text((tmp_path / "user.pub").read_text())
    first = dict(following.registry.manifests)
    assert (following.once()["result"], following.active()) == ("updated", 1)
    set_channel(channel, versions[2], key)
    assert (following.once()["result"], following.active()) == ("updated", 2)
    assert following.once()["result"] == "current"
    assert 'qedge_channel_number{model="tiny"} 2' in (following.root / "metrics.prom").read_text()
    latest = following.registry.manifests
    following.registry.manifests = first
    replayed = following.once()
    assert (replayed["result"], following.active()) == ("failed", 2)
    assert "number 1, expected at least 2" in replayed["message"]
    following.registry.manifests = {**latest, "stable": latest["1"]}
    assert "no channel" in following.once()["message"]
    following.registry.manifests = latest
    set_channel(channel, versions[1], key)
    assert (following.once()["result"], following.active()) == ("updated", 1)
    beta = channel.replace(":stable", ":beta")
    remote_follow.install("tiny", following.host, beta, **install)
    set_channel(beta, versions[2], key)
    moved = following.once()
    assert (moved["result"], following.active(), moved["channel"]["number"]) == ("updated", 2, 1)


def killed(following, moments: int, seed: int) -> None:
    """Kill rounds at random moments; after each the device has an old or the new version, whole."""
    rng = random.Random(seed)
    following.push(1)
    began = time.monotonic()
    assert following.once()["result"] == "updated"
    whole = time.monotonic() - began
    wanted = active = 1
    for k in range(moments):
        if active == wanted:
            wanted = 2 if wanted == 1 else 1
            following.push(wanted)
        process = following.start()
        time.sleep(rng.uniform(0, whole))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        found = following.active()
        assert found in (active, wanted), k
        active = found
    (following.root / "followed.json").unlink(missing_ok=True)
    assert following.once()["result"] == "updated"
    assert following.active() == wanted


@pytest.mark.long
def test_killed_at_fifty_random_moments_it_is_old_or_new_and_whole(following) -> None:
    killed(following, 50, seed=2)


def test_what_is_asked_of_the_timer_is_checked_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match="--every"):
        remote_follow.install("m", "nowhere", "oci://x/y:z", every_s=1)
    with pytest.raises(UsageError):
        remote_follow.install("m", "nowhere", "ftp://x/y:z")
