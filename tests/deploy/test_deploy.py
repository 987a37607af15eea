"""Deploying over a real sshd on loopback: install, update, rollback, a connection cut at every stage."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "unit"))

from tiny_bundles import make_bundle, tiny_images, tiny_model

import qedge
from qedge.bundle import read_bundle
from qedge.deploy import deploy, plan, rollback
from qedge.deploy.platforms import LEAST_PYTHON, LITERT, PLATFORMS, TFLITE_RUNTIME, packages_for
from qedge.errors import ToolError, UsageError, VerificationError
from qedge.trust import sign_bundle
from tests import json_page

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_sshd = pytest.mark.skipif(SSHD is None, reason="needs sshd: apt install openssh-server")


class Device:
    """A loopback sshd and a folder that stands for the device's disk."""

    def __init__(self, ssh: list[str], host: str, disk: Path) -> None:
        self.ssh, self.host, self.disk = ssh, host, disk

    def deploy(self, bundle: Path, ssh: list[str] | None = None, **options):
        options = {"python": sys.executable, "runs": 0, "root": str(self.disk), **options}
        return deploy(bundle, self.host, ssh=ssh or self.ssh, **options)

    def rollback(self, name: str = "tiny"):
        return rollback(name, self.host, ssh=self.ssh, root=str(self.disk))

    @property
    def root(self) -> Path:
        return self.disk / "tiny"

    def active(self) -> str:
        return os.readlink(self.root / "current").rpartition("/")[2]

    def runs(self) -> np.ndarray:
        """Return what the active version says about one image, run with its own code."""
        code = "import sys, numpy, qedge; m = qedge.load(sys.argv[1]); print(qedge.__file__); "
        code += "print(m.run(numpy.full((1, 8, 8, 3), 7, numpy.int8)).tolist())"
        current = self.root / "current"
        done = subprocess.run(
            [current / "python", "-c", code, current / "bundle"],
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
        home, values = done.stdout.splitlines()
        assert home.startswith(str(self.root))
        return np.array(json.loads(values))


@pytest.fixture(scope="session")
def sshd(tmp_path_factory):
    home = tmp_path_factory.mktemp("sshd")
    for key in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / key)]
        subprocess.run(command, check=True)
    (home / "authorized").write_text((home / "user.pub").read_text())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # The device's python3 is the one that runs the tests.
    tools = home / "bin"
    tools.mkdir()
    (tools / "python3").symlink_to(sys.executable)
    (tools / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {home}/systemctl.log\n')
    (tools / "systemctl").chmod(0o755)
    (home / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nPidFile {home}/pid\n"
        f"AuthorizedKeysFile {home}/authorized\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        f'PermitRootLogin yes\nSetEnv PATH="{tools}:/usr/bin:/bin" HOME="{home}"\n'
    )
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    server = subprocess.Popen(
        [str(SSHD), "-D", "-e", "-f", str(home / "config")], stderr=subprocess.PIPE, text=True
    )
    ssh = [
        "ssh", "-F", "/dev/null", "-p", str(port), "-i", str(home / "user"), "-o", "BatchMode=yes",
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
    ]  # fmt: skip
    host = f"{getpass.getuser()}@127.0.0.1"
    for _ in range(50):
        if subprocess.run([*ssh, host, "true"], capture_output=True).returncode == 0:
            break
        if server.poll() is not None:
            pytest.fail(f"sshd: {server.stderr.read()}")
        time.sleep(0.1)
    yield ssh, host, home
    server.terminate()
    server.wait()
    server.stderr.close()


@pytest.fixture
def device(sshd, tmp_path):
    ssh, host, _ = sshd
    return Device(ssh, host, tmp_path / "disk")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> tuple[Path, Path]:
    """Two versions of one model."""
    folder = tmp_path_factory.mktemp("versions")
    golden = [(image ^ 0x80).view(np.int8)[None] for image in tiny_images()]
    newer = make_bundle(folder / "two", tiny_model(seed=4), golden=golden)
    return make_bundle(folder / "one"), newer


def as_input(value: int) -> np.ndarray:
    return np.full((1, 8, 8, 3), value, np.int8)


def expected(bundle: Path) -> np.ndarray:
    with qedge.load(bundle) as model:
        return model.run(as_input(7))


@needs_sshd
def test_install_update_rollback(device, bundles) -> None:
    one, two = bundles
    first = device.deploy(one, runs=3)
    assert first["previous"] is None
    assert first["verify"]["passed"]
    assert first["verify"]["samples"] == 6
    assert first["bench"]["latency_ms"]["median"] > 0
    assert first["device"]["python"][:2] == list(sys.version_info[:2])
    assert np.array_equal(device.runs(), expected(one))
    assert read_bundle(device.root / "current" / "bundle").manifest == read_bundle(one).manifest

    again = device.deploy(one)
    assert (again["version"], again["uploaded"]["files"]) == (first["version"], 0)

    second = device.deploy(two)
    # The model, its two sets of golden outputs and the manifest: nothing of the code.
    assert second["uploaded"]["files"] == 4
    assert second["previous"] == first["version"]
    assert np.array_equal(device.runs(), expected(two))
    assert not np.array_equal(expected(one), expected(two))

    assert device.rollback()["version"] == first["version"]
    assert np.array_equal(device.runs(), expected(one))
    assert device.rollback()["version"] == second["version"]
    assert np.array_equal(device.runs(), expected(two))
    before = len(list((device.root / "store").iterdir()))
    third = device.deploy(make_bundle(device.disk / "three", tiny_model(seed=9), golden=[as_input(0)]))
    kept = {p.name for p in (device.root / "versions").iterdir()}
    assert kept == {second["version"], third["version"]}
    # One golden input is new; of the first version nothing is left but what the others share.
    assert len(list((device.root / "store").iterdir())) == before + 1


@needs_sshd
def test_rollback_without_an_earlier_version_says_so(device) -> None:
    with pytest.raises(ToolError, match="no earlier version"):
        device.rollback()


@needs_sshd
def test_a_device_with_keys_takes_only_what_they_signed(device, bundles, sshd, tmp_path) -> None:
    home = sshd[2]
    one, two = (Path(shutil.copytree(b, tmp_path / b.name)) for b in bundles)
    device.disk.mkdir()
    (device.disk / "trusted_keys").write_text((home / "user.pub").read_text())
    with pytest.raises(ToolError, match="not signed"):
        device.deploy(one)
    sign_bundle(one, home / "host", serial=5)
    with pytest.raises(ToolError, match="signed by no key"):
        device.deploy(one)
    sign_bundle(one, home / "user", serial=5)
    first = device.deploy(one)
    assert device.active() == first["version"]
    sign_bundle(two, home / "user", serial=4)
    with pytest.raises(ToolError, match="serial 4 is older"):
        device.deploy(two)
    shutil.copy(one / "signature.json", two / "signature.json")
    with pytest.raises(ToolError, match="another bundle"):
        device.deploy(two)
    sign_bundle(two, home / "user", serial=6)
    document = json.loads((two / "signature.json").read_text())
    (two / "signature.json").write_text(json.dumps({**document, "serial": 7}))
    with pytest.raises(ToolError, match="does not fit"):
        device.deploy(two)
    assert device.active() == first["version"]
    assert np.array_equal(device.runs(), expected(one))
    sign_bundle(two, home / "user", serial=6)
    assert device.deploy(two)["previous"] == first["version"]


CUTS = {
    # The connection never comes up.
    "refused": 'exit 255',
    # It breaks when half of what is sent is through.
    "half": 'head -c "$(( $(wc -c < "$0.in") / 2 ))" "$0.in" | "$@" >/dev/null; exit 255',
    # The device does its work, but the answer never arrives.
    "answer": '"$@" < "$0.in" >/dev/null; exit 255',
    # The client is killed at some moment while the device works.
    "killed": '"$@" < "$0.in" >/dev/null & sleep 0.4; kill -9 $!; wait $! 2>/dev/null; exit 255',
}  # fmt: skip


def cutting_ssh(folder: Path, ssh: list[str], operation: str, cut: str) -> list[str]:
    """Return an ssh that breaks the connection at one of the agent's operations."""
    script = folder / "cut"
    script.write_text(
        "#!/bin/bash\n"
        'case " $* " in *" -T "*) ;; *) exec "$@";; esac\n'
        'cat > "$0.in"\n'
        f'if ! grep -qa \'"operation": "{operation}"\' "$0.in"; then exec "$@" < "$0.in"; fi\n'
        f"{CUTS[cut]}\n"
    )
    script.chmod(0o755)
    return [str(script), *ssh]


@needs_sshd
@pytest.mark.parametrize("cut", sorted(CUTS))
def test_a_connection_cut_at_any_stage_leaves_a_working_version(device, bundles, tmp_path, cut) -> None:
    one, two = bundles
    first = device.deploy(one)["version"]
    for operation in ("probe", "put", "prepare", "check", "activate"):
        with pytest.raises(ToolError, match=operation) as caught:
            device.deploy(two, ssh=cutting_ssh(tmp_path, device.ssh, operation, cut))
        assert caught.value.exit_code == 8
        # Only a cut in the last step, once the device has the whole request, can come after the switch.
        if operation != "activate" or cut in ("refused", "half"):
            assert device.active() == first
        manifest = read_bundle(device.root / "current" / "bundle").manifest
        assert manifest in (read_bundle(one).manifest, read_bundle(two).manifest)
    # An agent whose connection broke may still be at work for a moment; the next deployment waits for it.
    second = device.deploy(two)["version"]
    assert device.active() == second != first
    assert np.array_equal(device.runs(), expected(two))
    assert device.rollback()["version"] == first
    assert np.array_equal(device.runs(), expected(one))


@needs_sshd
def test_a_version_that_fails_there_never_becomes_active(device, bundles, tmp_path) -> None:
    one, _ = bundles
    first = device.deploy(one)["version"]
    wrong = make_bundle(tmp_path / "wrong", tiny_model(seed=5))
    with read_bundle(wrong) as opened:
        from qedge.bundle import npy_bytes, write_bundle

        files = {name: opened.read(name) for name in opened.manifest.files}
        golden = np.load(wrong / "golden/output_0.npy")
        files["golden/output_0.npy"] = npy_bytes(np.invert(golden))
        write_bundle(wrong, opened.manifest, files)
    with pytest.raises(VerificationError, match="other results"):
        device.deploy(wrong)
    assert device.active() == first


@needs_sshd
def test_a_damaged_copy_on_the_device_is_found_and_mended(device, bundles) -> None:
    one, two = bundles
    device.deploy(one)
    victim = next(p for p in (device.root / "store").iterdir() if b"class Model" in p.read_bytes())
    victim.write_bytes(b"broken")
    with pytest.raises(ToolError, match="damaged"):
        device.deploy(two)
    device.deploy(two)
    assert np.array_equal(device.runs(), expected(two))


@needs_sshd
def test_a_service_is_written_and_restarted(device, bundles, sshd, tmp_path) -> None:
    home = sshd[2]
    app = tmp_path / "app.py"
    app.write_text("import sys, qedge\nprint(qedge.load(sys.argv[1]).describe(), sys.argv[2:])\n")
    device.deploy(bundles[0], app=app, app_arguments="--camera 'front door'")
    unit = (home / ".config/systemd/user/qedge-tiny.service").read_text()
    start = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert start == (
        f'ExecStart="{device.root}/current/python" "{device.root}/current/app/app.py" '
        f'"{device.root}/current/bundle" --camera "front door"'
    )
    log = (home / "systemctl.log").read_text()
    assert "--user enable qedge-tiny.service" in log
    assert log.endswith("--user restart qedge-tiny.service\n")
    done = subprocess.run(
        start.partition("=")[2].replace('"front door"', "x"), shell=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "'target': 'rpi'" in done.stdout


@needs_sshd
def test_the_voice_app_hears_with_the_deployed_bundle(device, sshd, project) -> None:
    app = project / "sample_apps" / "voice"
    device.deploy(app / "bundle", app=app)
    assert not (device.disk / "digits" / "current" / "app" / "voice" / "bundle").exists()
    unit = (sshd[2] / ".config/systemd/user/qedge-digits.service").read_text()
    (start,) = [line.partition("=")[2] for line in unit.splitlines() if line.startswith("ExecStart=")]
    clip = min((project / "examples" / "digits" / "clips" / "six").glob("*.wav"))
    done = subprocess.run([*shlex.split(start), clip, "--json"], cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["label"] for line in done.stdout.splitlines()] == ["six"]


@needs_sshd
@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze: apt install systemd"
)
def test_systemd_takes_the_unit(device, bundles, sshd, tmp_path) -> None:
    """Checked, not run: systemd --user starts nothing where the system was not booted by systemd."""
    app = tmp_path / "app.py"
    app.write_text("print('here')\n")
    place = sshd[2] / ".config/systemd/user/qedge-tiny.service"
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}

    def complaints(unit: Path) -> str:
        done = subprocess.run(
            ["systemd-analyze", "--user", "verify", unit], env=environment, capture_output=True, text=True
        )
        return "" if done.returncode == 0 and not done.stderr else done.stdout + done.stderr or "refused"

    device.disk = tmp_path / "a disk"
    for arguments in ("", "--camera 'front door' --name '50% of \"$HOME\"' --path 'C:\\x' ''"):
        device.deploy(bundles[0], app=app, app_arguments=arguments)
        assert complaints(place) == ""
    wrong = tmp_path / "wrong.service"
    wrong.write_text(place.read_text().replace("/current/python", "/current/none").replace("[Unit]", "[Unt]"))
    assert "none is not executable" in complaints(wrong)


@needs_sshd
def test_an_unreachable_or_strange_device_is_a_tool_error(device, bundles) -> None:
    with pytest.raises(ToolError, match="no answer") as caught:
        device.deploy(bundles[0], ssh=["ssh", "-p", "1", *device.ssh[1:]])
    assert caught.value.hint
    with pytest.raises(ToolError, match="does not run on the device"):
        device.deploy(bundles[0], python="/bin/false")


@pytest.mark.parametrize("answer", ["[]", "7", "{", "[" * 100_000])
def test_an_answer_that_is_none_of_the_agents_is_a_tool_error(bundles, tmp_path, answer) -> None:
    (tmp_path / "answer").write_text(f"QEDGE:{answer}\n")
    (tmp_path / "ssh").write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    (tmp_path / "ssh").chmod(0o755)
    with pytest.raises(ToolError, match="answer"):
        deploy(bundles[0], "device", ssh=[str(tmp_path / "ssh")])


def test_hosts_that_are_options_are_refused(bundles) -> None:
    for host in ("-oProxyCommand=evil", "", "a b"):
        with pytest.raises(UsageError, match="expected user@host"):
            deploy(bundles[0], host)


def test_the_plan_is_the_device_ring_and_nothing_of_the_host(bundles) -> None:
    with read_bundle(bundles[0]) as bundle:
        found = plan(bundle)
        assert plan(bundle).version == found.version
    library = {path.partition("/")[2] for path in found.files if path.startswith("lib/")}
    assert "qedge/runtime/litert.py" in library
    assert "qedge_rpi/runtime.py" in library
    hosts = ("graph", "cli", "quantize", "frontends", "target", "datasets", "deploy", "pipeline")
    assert not [p for p in library if p.startswith(tuple(f"qedge/{h}" for h in hosts))]
    assert sum(map(len, found.files.values())) < 520_000  # 70,000 of it decode detectors


def test_a_bundle_without_a_runtime_cannot_be_deployed(tmp_path) -> None:
    place = make_bundle(tmp_path / "b", target="mcu")
    with read_bundle(place) as bundle, pytest.raises(UsageError, match="no runtime"):
        plan(bundle)


def test_an_app_gets_the_packages_that_it_asks_for(bundles, project, tmp_path) -> None:
    (tmp_path / "__main__.py").write_text("")
    (tmp_path / "requirements.txt").write_text(
        "# first\nqedge[rpi]>=0.1\n\nrich>=13  # tables\n--pre\nqedgelike\n"
    )
    with read_bundle(bundles[0]) as bundle:
        assert plan(bundle, tmp_path).packages == ("rich>=13", "qedgelike")
        assert plan(bundle, project / "sample_apps" / "voice").packages == ("sounddevice>=0.4",)
        assert plan(bundle).packages == ()


@needs_sshd
@pytest.mark.long
def test_the_environment_on_the_device_has_the_packages_of_the_app(device, bundles, tmp_path) -> None:
    wheels, app = tmp_path / "wheels", tmp_path / "app"
    wheels.mkdir()
    app.mkdir()
    for name in ("numpy", "ai_edge_litert", "pillow", "extra"):
        tiny_wheel(wheels, name)
    (app / "__main__.py").write_text("")
    (app / "requirements.txt").write_text("qedge[rpi]\nextra>=1\n")
    # The wheels are empty, so that the check on the device fails; what was installed is there.
    with pytest.raises(ToolError):
        device.deploy(bundles[0], app=app, python=None, wheels=wheels)
    (python,) = (device.root / "environments").glob("*/bin/python")
    done = subprocess.run(
        [python, "-c", "import extra; print(extra.__file__)"], capture_output=True, text=True
    )
    assert str(device.root) in done.stdout, done.stderr


def tiny_wheel(folder: Path, name: str) -> None:
    """Write a wheel of version 99 with one empty module."""
    info = f"{name}-99.dist-info"
    contents = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 99\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{name}-99-py3-none-any.whl", "w") as archive:
        for path, text in contents.items():
            archive.writestr(path, text)


def test_a_service_folder_is_named_by_where_it_is(bundles, tmp_path, monkeypatch) -> None:
    (tmp_path / "door" / "bundle").mkdir(parents=True)
    (tmp_path / "door" / "__main__.py").write_text("")
    (tmp_path / "door" / "bundle" / "kept.txt").write_text("no bundle of qedge's")
    monkeypatch.chdir(tmp_path / "door")
    with read_bundle(bundles[0]) as bundle:
        found = plan(bundle, Path("."))
    assert {"app/door/__main__.py", "app/door/bundle/kept.txt"} <= set(found.files)
    assert found.unit is not None
    assert 'current/app/door" ' in found.unit


def test_what_is_no_app_is_refused(bundles, tmp_path) -> None:
    with read_bundle(bundles[0]) as bundle:
        for app in (tmp_path, tmp_path / "none.py", tmp_path / "x.sh"):
            with pytest.raises(UsageError, match="expected a Python file"):
                plan(bundle, app)


@pytest.mark.parametrize(
    ("python", "arch", "bits", "packages"),
    [
        ([3, 13, 5], "aarch64", 64, LITERT),
        ([3, 11, 2], "aarch64", 64, LITERT),
        ([3, 11, 2], "aarch64", 32, TFLITE_RUNTIME),
        ([3, 11, 2], "armv7l", 32, TFLITE_RUNTIME),
        ([3, 13, 5], "armv7l", 32, None),
        ([3, 11, 2], "armv6l", 32, None),
        ([3, 9, 2], "aarch64", 64, None),
        ([3, 12, 3], "x86_64", 64, LITERT),
    ],
)
def test_packages_fit_the_device(python, arch, bits, packages) -> None:
    probe = {"python": python, "arch": arch, "bits": bits}
    if packages:
        assert packages_for(probe) == packages
        return
    with pytest.raises(ToolError, match="the device has Python") as caught:
        packages_for(probe)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("arch", "libraries", "engine", "packages"),
    [
        ("armv6l", ("armv6",), None, ("numpy",)),
        ("armv7l", ("armhf",), None, ("numpy",)),
        ("riscv64", ("riscv64",), None, ("numpy",)),
        ("aarch64", ("aarch64",), None, LITERT),
        ("aarch64", ("aarch64",), "c", ("numpy",)),
        ("armv6l", ("armhf", "aarch64"), None, None),
        ("aarch64", ("x86_64",), "c", None),
    ],
)
def test_a_c_library_for_the_device_needs_numpy_alone(arch, libraries, engine, packages) -> None:
    probe = {"python": [3, 13, 5], "arch": arch, "bits": 32 if arch.startswith("arm") else 64}
    if packages is not None:
        assert packages_for(probe, libraries, engine) == packages
        return
    with pytest.raises(ToolError) as caught:
        packages_for(probe, libraries, engine)
    assert "--engine c" in caught.value.hint


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda p: p.system)
def test_the_table_says_what_the_code_does(platform) -> None:
    probe = {
        "python": platform.python,
        "arch": platform.arch,
        "bits": 32 if platform.arch.startswith("arm") else 64,
    }
    try:
        assert packages_for(probe) == platform.packages
    except ToolError:
        assert platform.packages == ()


NOTHING_FOR = {True: "too old: qedge needs Python 3.10", False: "no binding has wheels"}


def test_the_documented_table_is_the_code_s(project) -> None:
    lines = (project / "docs" / "devices.md").read_text().splitlines()
    rows = [
        f"| {p.system} | {p.python[0]}.{p.python[1]} | {p.arch} | "
        + (" ".join(f"`{package}`" for package in p.packages) or NOTHING_FOR[p.python < LEAST_PYTHON])
        + " |"
        for p in PLATFORMS
    ]
    start = lines.index("|---|---|---|---|") + 1
    assert lines[start : start + len(rows)] == rows


@needs_sshd
def test_the_command_prints_what_is_documented(device, bundles, cli, tmp_path) -> None:
    """``qedge deploy`` as a person types it; a wrapper of ssh stands for ~/.ssh/config."""
    wrapper = tmp_path / "bin" / "ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join([str(shutil.which("ssh")), *device.ssh[1:]])} "$@"\n')
    wrapper.chmod(0o755)
    env = {"PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    words = ["--root", device.disk, "--python", sys.executable, "--runs", 3]

    def said(bundle: Path, *more: object) -> dict[str, object]:
        return cli.json("deploy", bundle, device.host, *words, *more, env=env)

    planned = said(bundles[0], "--dry-run")
    json_page.check("deploy", planned, "dry run")
    assert not device.disk.exists()
    first = said(bundles[0])
    json_page.check("deploy", first, "deployment")
    assert (first["version"], first["previous"]) == (planned["version"], None)
    second = said(bundles[1])
    back = said(bundles[1], "--rollback")
    json_page.check("deploy", back, "deployment with `--rollback`")
    assert (back["version"], back["previous"]) == (first["version"], second["version"])


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory) -> Path:
    """What ``pip download`` fetches for this machine: the folder that --wheels takes."""
    folder = tmp_path_factory.mktemp("wheels")
    done = pip("download", "--quiet", "--only-binary=:all:", "-d", str(folder), *LITERT, "pillow")
    if done.returncode:
        pytest.skip(f"needs pip and a package index: {done.stderr.strip().splitlines()[-1]}")
    return folder


def installed(python: Path) -> set[str]:
    """Return the distributions that an interpreter's own environment has."""
    done = subprocess.run([python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    return {entry["name"].replace("_", "-") for entry in json.loads(done.stdout)}


@pytest.mark.long
@needs_sshd
def test_a_fresh_device_without_internet_installs_from_wheels(device, bundles, wheels, sshd) -> None:
    """The agent makes the environment and fills it; nothing of this interpreter's packages is seen there."""
    (sshd[2] / ".config/pip").mkdir(parents=True, exist_ok=True)
    config = sshd[2] / ".config/pip/pip.conf"
    config.write_text("[global]\nindex-url = http://127.0.0.1:9/simple\nretries = 0\ntimeout = 1\n")
    try:
        with pytest.raises(ToolError, match="give a folder of wheels with --wheels"):
            device.deploy(bundles[0], python=None)
        assert not (device.root / "current").exists()
        first = device.deploy(bundles[0], python=None, wheels=wheels, runs=3)
        assert first["packages"] == [*LITERT, "pillow"]
        assert first["verify"]["passed"]
        assert first["bench"]["latency_ms"]["median"] > 0
        (environment,) = (device.root / "environments").iterdir()
        assert {"numpy", "ai-edge-litert", "pillow"} <= installed(environment / "bin" / "python")
        # What the binding's wheel depends on, and what only GPUs load, is left out.
        assert not {"protobuf", "tqdm", "ml-dtypes"} & installed(environment / "bin" / "python")
        assert list(environment.rglob("_pywrap_litert_interpreter_wrapper.so"))
        assert not list(environment.rglob("libLiteRtWebGpuAccelerator.so"))
        # The wheels are of no more use there.
        assert not list(device.disk.rglob("*.whl"))
        assert sum(p.stat().st_size for p in (device.root / "store").iterdir()) < 1_000_000
        assert np.array_equal(device.runs(), expected(bundles[0]))

        # An update that needs less, or the same, needs neither the wheels nor the index again.
        second = device.deploy(bundles[1], python=None)
        assert second["packages"] == [*LITERT]
        assert [p.name for p in (device.root / "environments").iterdir()] == [environment.name]
        assert np.array_equal(device.runs(), expected(bundles[1]))
        assert device.rollback()["version"] == first["version"]
        assert np.array_equal(device.runs(), expected(bundles[0]))
    finally:
        config.unlink()
