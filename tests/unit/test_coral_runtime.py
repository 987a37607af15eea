"""The load path of an Edge TPU, through a stand-in library that speaks the real interface."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import coral_doubles as doubles
import numpy as np
import pytest

import qedge
from qedge.errors import ToolError, UsageError
from qedge.installing import install_command
from qedge_coral import devices, system
from qedge_coral.failures import EdgeTpuError
from qedge_coral.runtime import CpuFallbackWarning
from qedge_coral.several import run_many
from qedge_coral.target import TARGET


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The stand-in library and compiler, a compiled bundle, one that is not, and one in two segments."""
    folder = tmp_path_factory.mktemp("coral")
    compiler = doubles.build_compiler(folder)
    options = {"compiler": str(compiler)}
    return {
        "library": doubles.build_library(folder),
        "compiler": compiler,
        "bundle": doubles.write(folder / "bundle", doubles.small_model(), options, folder / "w1"),
        "plain": doubles.write(folder / "plain", doubles.small_model(), {}, folder / "w2"),
        "segments": doubles.write(
            folder / "segments", doubles.small_model(3), {**options, "segments": 2}, folder / "w3"
        ),
    }


@pytest.fixture
def tpu(built: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Path]:
    """A system on which the stand-in library is installed and a device plugged in."""
    monkeypatch.setenv(system.VARIABLE, str(built["library"]))
    monkeypatch.setenv("EDGETPU_DOUBLE_HELPER", doubles.helper())
    monkeypatch.setenv("EDGETPU_DOUBLE_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return built


INPUTS = doubles.samples()


@pytest.fixture(scope="module")
def wanted() -> list[list[Any]]:
    """What the small model gives for INPUTS."""
    return doubles.expected(doubles.small_model(), INPUTS)


def same(found: list[Any], expected: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def plugged(root: Path, *, usb: int = 0, pci: int = 0, ready: bool = True, node: bool = True) -> Path:
    """Make a sysfs with devices under ``root``; without ``node`` their device files are missing."""
    for i in range(usb):
        entry = root / f"sys/bus/usb/devices/2-{i}"
        entry.mkdir(parents=True)
        vendor, product = devices.USB_READY if ready else devices.USB_BEFORE_FIRMWARE
        facts = {"idVendor": vendor, "idProduct": product, "busnum": 2, "devnum": i + 1, "speed": 5000}
        for name, value in facts.items():
            (entry / name).write_text(f"{value}\n")
        if node:
            file = root / f"dev/bus/usb/002/{i + 1:03d}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    for i in range(pci):
        entry = root / f"sys/bus/pci/devices/0000:0{i}:00.0"
        entry.mkdir(parents=True)
        (entry / "vendor").write_text("0x1ac1\n")
        (entry / "device").write_text("0x089a\n")
        if node:
            apex = root / f"sys/class/apex/apex_{i}"
            apex.mkdir(parents=True)
            (apex / "temp").write_text("48800\n")
            (root / "dev").mkdir(exist_ok=True)
            (root / f"dev/apex_{i}").touch()
    return root


def test_runs_on_the_edge_tpu(tpu: dict[str, Path], tmp_path: Path, wanted: list[list[Any]]) -> None:
    with qedge.load(tpu["bundle"], strict=True, probe=False) as model:
        assert all(same(model.engine.run(x), y) for x, y in zip(INPUTS, wanted))
        facts = model.engine.describe()
    assert facts["device"].startswith("edgetpu")
    assert facts["inferences"] == len(INPUTS)
    assert 0 < facts["duty"] <= 1
    assert facts["latency_ms"]["max"] >= facts["latency_ms"]["mean"]
    assert (tmp_path / "log").read_text().splitlines()[-1].startswith("closed")


def test_library_of_the_library_path(
    tpu: dict[str, Path], monkeypatch: pytest.MonkeyPatch, wanted: list[list[Any]]
) -> None:
    monkeypatch.delenv(system.VARIABLE)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tpu["library"].parent))
    with qedge.load(tpu["bundle"], strict=True, probe=False) as model:
        assert same(model.engine.run(INPUTS[0]), wanted[0])


def test_falls_back_to_the_cpu_twin(
    tpu: dict[str, Path], monkeypatch: pytest.MonkeyPatch, wanted: list[list[Any]]
) -> None:
    monkeypatch.setenv("EDGETPU_DOUBLE_DEVICES", "")
    with pytest.warns(CpuFallbackWarning, match="hint:"):
        model = qedge.load(tpu["bundle"], probe=False)
    with model:
        assert same(model.engine.run(INPUTS[0]), wanted[0])
        assert model.engine.describe()["device"] == "cpu"


Change = Callable[[pytest.MonkeyPatch, Path, dict[str, Any]], None]


def _env(**values: str) -> Change:
    def change(patch: pytest.MonkeyPatch, root: Path, options: dict[str, Any]) -> None:
        for name, value in values.items():
            patch.setenv(name, value)

    return change


def _library(make: Callable[[Path], None]) -> Change:
    def change(patch: pytest.MonkeyPatch, root: Path, options: dict[str, Any]) -> None:
        path = root / "libedgetpu.so.1"
        make(path)
        patch.setenv(system.VARIABLE, str(path))

    return change


def _c(source: str, *flags: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        line = [
            *doubles.c_compiler(),
            "-shared",
            "-fPIC",
            "-x",
            "c",
            "-",
            "-o",
            str(path),
            "-x",
            "none",
            *flags,
        ]
        subprocess.run(line, input=source.encode(), check=True)

    return make


def _foreign(path: Path) -> None:
    path.write_bytes(
        b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00" + (243).to_bytes(2, "little") + bytes(44)
    )


def _needs(name: str) -> Change:
    """A library that needs another one, which is then removed."""

    def make(path: Path) -> None:
        other = path.parent / name
        _c("int other(void) { return 1; }")(other)
        _c("int other(void); int use(void) { return other(); }", str(other))(path)
        other.unlink()

    return _library(make)


def _sysfs(**kinds: Any) -> Change:
    def change(patch: pytest.MonkeyPatch, root: Path, options: dict[str, Any]) -> None:
        plugged(root, **kinds)
        patch.setenv("EDGETPU_DOUBLE_DEVICES", "")

    return change


def _closed_files(patch: pytest.MonkeyPatch, root: Path, options: dict[str, Any]) -> None:
    plugged(root, usb=1)
    patch.setenv("EDGETPU_DOUBLE_DEVICES", "")
    patch.setattr(devices, "_usable", lambda node: False)


def _closed_files_with_rule(patch: pytest.MonkeyPatch, root: Path, options: dict[str, Any]) -> None:
    _closed_files(patch, root, options)
    rule = root / "etc/udev/rules.d/60-libedgetpu1-std.rules"
    rule.parent.mkdir(parents=True)
    rule.write_text('SUBSYSTEM=="usb",ATTRS{idVendor}=="1a6e",GROUP="plugdev"\nATTRS{idVendor}=="18d1"\n')


def _large_pages(patch: pytest.MonkeyPatch, root: Path, options: dict[str, Any]) -> None:
    plugged(root, pci=1)
    patch.setenv("EDGETPU_DOUBLE_DEVICES", "")
    patch.setattr(system, "page_bytes", lambda: 16384)


def _busy(patch: pytest.MonkeyPatch, root: Path, options: dict[str, Any]) -> None:
    plugged(root, usb=1)
    patch.setenv("EDGETPU_DOUBLE_DEVICES", "")
    process = root / "proc/4711"
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text("frigate\n")
    (process / "fd/5").symlink_to(root / "dev/bus/usb/002/001")


def _old_package(patch: pytest.MonkeyPatch, root: Path, options: dict[str, Any]) -> None:
    status = root / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text("Package: libedgetpu1-std\nStatus: install ok installed\nVersion: 16.0\n")


def _no_library(patch: pytest.MonkeyPatch, root: Path, options: dict[str, Any]) -> None:
    patch.delenv(system.VARIABLE)


def _second_device(patch: pytest.MonkeyPatch, root: Path, options: dict[str, Any]) -> None:
    plugged(root, usb=1)
    options["device"] = "usb:1"


def _no_pci(patch: pytest.MonkeyPatch, root: Path, options: dict[str, Any]) -> None:
    plugged(root, usb=1)
    options["device"] = "pci"


SCENARIOS: dict[str, tuple[Change, str, str]] = {
    # name: (how the system is, rule, words of the hint)
    "library not installed": (_no_library, "no-library", "apt install"),
    "library path wrong": (
        _env(**{system.VARIABLE: "/nowhere/libedgetpu.so.1"}),
        "no-library",
        "apt install",
    ),
    "library is a text file": (
        _library(lambda p: p.write_text("<html>" * 9)),
        "not-a-library",
        "apt install",
    ),
    "library of another machine": (_library(_foreign), "wrong-architecture", "install the package for"),
    "libusb missing": (_needs("libusb-1.0.so.0"), "no-libusb", "libusb-1.0-0"),
    "library without entry points": (_library(_c("int nothing;")), "not-libedgetpu", system.VARIABLE),
    "library older than the model": (_env(EDGETPU_DOUBLE_RUNTIME="12"), "old-runtime", "apt install"),
    "library of another TensorFlow": (_old_package, "versions", "known good"),
    "nothing plugged in": (_sysfs(), "no-device", "plug one in"),
    "index out of range": (_second_device, "no-such-device", "usb:0"),
    "no device of that kind": (_no_pci, "no-such-device", "usb:0"),
    "no access and no udev rule": (_closed_files, "no-udev-rule", "udevadm"),
    "not in the group": (_closed_files_with_rule, "no-permission", "usermod -aG plugdev"),
    "driver not loaded": (_sysfs(pci=1, node=False), "no-driver", "gasket-dkms"),
    "pages of 16 KiB": (_large_pages, "page-size", "kernel8.img"),
    "used by another program": (_busy, "busy", "one process at a time"),
    "firmware does not load": (_sysfs(usb=1, ready=False), "no-firmware", "powered hub"),
    "does not open": (_sysfs(usb=1), "not-opened", "reboot"),
    "library refuses with words": (_env(EDGETPU_DOUBLE_REFUSE="out of power"), "refused", "powered hub"),
    "model refused": (_env(EDGETPU_DOUBLE_PREPARE_FAILS="1"), "not-prepared", "known good"),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_failure(name: str, tpu: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    change, rule, hint = SCENARIOS[name]
    options: dict[str, Any] = {"root": str(tmp_path / "root")}
    (tmp_path / "root").mkdir()
    change(monkeypatch, tmp_path / "root", options)
    with pytest.raises(EdgeTpuError) as caught:
        qedge.load(tpu["bundle"], strict=True, probe=False, **options)
    assert caught.value.rule == rule
    assert caught.value.exit_code == 8
    assert hint in str(caught.value.hint)


def test_bundle_that_is_not_compiled(tpu: dict[str, Path]) -> None:
    with pytest.raises(EdgeTpuError) as caught:
        qedge.load(tpu["plain"], strict=True)
    assert caught.value.rule == "not-compiled"
    assert "COMPILE.md" in str(caught.value.hint)


def test_no_binding(tpu: dict[str, Path]) -> None:
    script = (
        "import sys, qedge\n"
        "for name in ('ai_edge_litert', 'tflite_runtime', 'tensorflow'): sys.modules[name] = None\n"
        "from qedge.errors import ToolError\n"
        "try: qedge.load(sys.argv[1], strict=True)\n"
        "except ToolError as e: print(e.findings[0].rule, e.hint)\n"
    )
    line = [sys.executable, "-c", script, str(tpu["bundle"])]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=_with_path())
    assert done.stdout.startswith(f"no-binding {install_command('coral')}")


def _with_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


@pytest.mark.parametrize("name", ["gpu", "usb:x", "usb:-1", "usb:0:1"])
def test_device_name(name: str, tpu: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="expected usb, pci"):
        qedge.load(tpu["bundle"], strict=True, device=name)


def test_combination_that_crashes_is_found_in_a_child(
    tpu: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGETPU_DOUBLE_PREPARE_KILLS", "1")
    with pytest.raises(EdgeTpuError) as caught:
        qedge.load(tpu["bundle"], strict=True)
    assert caught.value.rule == "versions"
    assert "signal 11" in caught.value.message


def test_unplugged_without_strict_goes_on_with_the_twin(
    tpu: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wanted: list[list[Any]]
) -> None:
    (tmp_path / "fail").write_text("1")
    monkeypatch.setenv("EDGETPU_DOUBLE_FAIL_AT", str(tmp_path / "fail"))
    with qedge.load(tpu["bundle"], probe=False) as model:
        assert same(model.engine.run(INPUTS[0]), wanted[0])
        with pytest.warns(CpuFallbackWarning, match="in the middle of an inference"):
            assert same(model.engine.run(INPUTS[1]), wanted[1])
        assert same(model.engine.run(INPUTS[2]), wanted[2])
        assert model.engine.describe()["fallback"] is True


def test_unplugged_with_strict(tpu: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = plugged(tmp_path / "root", usb=1)
    (tmp_path / "fail").write_text("0")
    monkeypatch.setenv("EDGETPU_DOUBLE_FAIL_AT", str(tmp_path / "fail"))
    with qedge.load(tpu["bundle"], strict=True, probe=False, root=str(root)) as model:
        shutil.rmtree(root / "sys")
        with pytest.raises(EdgeTpuError, match="usb:0 is gone") as caught:
            model.engine.run(INPUTS[0])
    assert caught.value.rule == "unplugged"
    assert "powered hub" in str(caught.value.hint)


@pytest.mark.parametrize("how", ["abort", "error", "hang"])
def test_device_that_fails_in_the_middle_costs_one_restart(
    how: str, tpu: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wanted: list[list[Any]]
) -> None:
    (tmp_path / "fail").write_text("1")
    monkeypatch.setenv("EDGETPU_DOUBLE_FAIL_AT", str(tmp_path / "fail"))
    monkeypatch.setenv("EDGETPU_DOUBLE_FAIL_HOW", how)
    if how == "hang":
        _give_up_once_it_hangs(monkeypatch, tmp_path / "fail")
    with qedge.load(tpu["bundle"], strict=True, isolate=True, timeout_s=600) as model:
        assert all(same(model.engine.run(x), y) for x, y in zip(INPUTS, wanted))
        assert model.engine.describe()["restarts"] == 1


def _give_up_once_it_hangs(monkeypatch: pytest.MonkeyPatch, mark: Path) -> None:
    """Let the wait for an answer time out when the stand-in has begun to hang: by that event, not by the clock."""
    given_up: list[float] = []

    def wait(reading: list[Any], writing: list[Any], failing: list[Any], timeout_s: float) -> Any:
        while True:
            ready = select.select(reading, writing, failing, 0.02)
            if ready[0]:
                return ready
            if not mark.exists() and not given_up:
                given_up.append(timeout_s)
                return ready

    monkeypatch.setattr("qedge_coral.isolate.select", SimpleNamespace(select=wait))


def test_device_that_never_comes_back(
    tpu: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with qedge.load(tpu["bundle"], strict=True, isolate=True) as model:
        monkeypatch.setenv("EDGETPU_DOUBLE_DEVICES", "")
        model.engine._child._process.kill()
        with pytest.raises(EdgeTpuError) as caught:
            model.engine.run(INPUTS[0])
    assert caught.value.rule == "no-device"


def test_segments_on_two_devices_in_a_pipeline(tpu: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETPU_DOUBLE_DEVICES", "usb,usb")
    expected = doubles.expected(doubles.small_model(3), INPUTS)
    with qedge.load(tpu["segments"], strict=True, probe=False) as model:
        found = list(run_many(model.engine, INPUTS, 2))
        assert [len(model.engine.describe()["segments"])] == [2]
    assert all(same(a, b) for a, b in zip(found, expected, strict=True))


def test_copies_take_turns(
    tpu: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wanted: list[list[Any]]
) -> None:
    monkeypatch.setenv("EDGETPU_DOUBLE_DEVICES", "usb,usb")
    root = plugged(tmp_path / "root", usb=2)
    with qedge.load(tpu["bundle"], strict=True, probe=False, device="all", root=str(root)) as model:
        found = [model.engine.run(x) for x in INPUTS]
        counts = [d["inferences"] for d in model.engine.describe()["devices"]]
    assert sorted(counts) == [1, 2]
    assert all(same(a, b) for a, b in zip(found, wanted, strict=True))


def test_verify_runs_the_twin_and_the_device(tpu: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    report = TARGET.verify(tpu["bundle"], None, {})
    assert report.passed
    assert report.bit_exact
    assert report.samples == len(INPUTS)
    assert report.metrics["edgetpu"]
    assert "edgetpu" in report.core
    monkeypatch.setenv("EDGETPU_DOUBLE_DEVICES", "")
    report = TARGET.verify(tpu["bundle"], None, {})
    assert report.passed
    assert not report.metrics["edgetpu"]
    assert [f.rule for f in report.findings] == ["not-on-edgetpu"]
    with pytest.raises(ToolError):
        TARGET.verify(tpu["bundle"], None, {"device": "usb"})


def test_sysfs_is_read(tmp_path: Path) -> None:
    root = plugged(tmp_path, usb=2, pci=1)
    found = devices.scan(root)
    assert [d.name for d in found] == ["usb:0", "usb:1", "pci:0"]
    assert [d.usb_mbit for d in found] == [5000, 5000, None]
    assert found[2].temperature_c == pytest.approx(48.8)
    assert all(d.ready and d.accessible for d in found)


def test_runtime_half_is_device_safe() -> None:
    script = (
        "import sys, qedge_coral.runtime, qedge_coral.isolate, qedge_coral.several\n"
        "host = ('qedge.graph', 'qedge.target', 'qedge.cli', 'qedge.quantize')\n"
        "other = ('ai_edge_litert', 'tensorflow', 'flatbuffers', 'PIL')\n"
        "print([m for m in sys.modules if m.startswith(host + other)])"
    )
    line = [sys.executable, "-c", script]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=_with_path())
    assert done.stdout.strip() == "[]"
