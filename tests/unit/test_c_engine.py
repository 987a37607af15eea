"""The C engine: libraries that are built, loaded through ctypes, and give TFLite Micro's bytes."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from mcu_models import residual_network
from tiny_bundles import make_bundle

import qedge
from qedge.bundle import pack_bundle, read_bundle, write_bundle
from qedge.emulate import compile_shared
from qedge.emulate.compilers import cache_folder
from qedge.errors import IntegrityError, ToolError, UnsupportedError, UsageError
from qedge.fields import Field
from qedge.oracle import tflm
from qedge.runtime import machines
from qedge.runtime.bench import bench_bundle
from qedge.runtime.c_library import KEY, Layout, read_layout
from qedge.runtime.golden import run_golden
from qedge.testing.opmodels import ModelBuilder, Spec
from qedge.testing.requests import request
from qedge_rpi.target import TARGET

HERE = machines.loadable()
pytestmark = pytest.mark.skipif(not HERE, reason="no C library can be loaded on this system")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """A bundle as ``qedge build net.tflite -t rpi --engine c --arch ...`` writes it."""
    folder = tmp_path_factory.mktemp("engine_c")
    (folder / "net.tflite").write_bytes(residual_network())
    built = qedge.build(folder / "net.tflite", out=folder, targets="rpi", engine="c", arch=HERE[0])
    return Path(built.bundles["rpi"])


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A bundle without a C library."""
    return make_bundle(tmp_path_factory.mktemp("plain") / "rpi")


@pytest.fixture
def no_binding(monkeypatch) -> None:
    def find(name: str | None = None) -> None:
        raise ToolError("no TFLite binding works here", hint="install one")

    for module in ("litert", "bench"):
        monkeypatch.setattr(f"qedge.runtime.{module}.find_binding", find)


def rewritten(bundle: Path, place: Path, files: dict[str, bytes] | None = None, **data: object) -> Path:
    """Return a copy of a bundle with other files, and other words about its libraries."""
    with read_bundle(bundle) as opened:
        layout = {**opened.manifest.target_data[KEY], **data}
        kept = {name: opened.read(name) for name in opened.manifest.files}
        write_bundle(place, opened.manifest.replace(target_data={KEY: layout}), {**kept, **(files or {})})
    return place


def test_it_takes_the_place_of_a_binding_that_is_not_there(bundle, no_binding) -> None:
    with qedge.load(bundle) as model:
        described = model.engine.describe()
        report = run_golden(model)
    assert described["binding"] == f"C library ({HERE[0]})"
    assert (report.bit_exact, report.kernels) == (True, "micro")
    assert report.samples > 1


@pytest.mark.skipif(not tflm.available(), reason="tflite-micro has no wheel here")
def test_its_bytes_are_tflite_micro_s_and_not_those_of_the_binding(bundle) -> None:
    samples = [[np.random.default_rng(7).integers(-128, 128, (1, 9, 7, 3), np.int8)] for _ in range(20)]
    with qedge.load(bundle, engine="c") as model, read_bundle(bundle) as opened:
        found = [model.engine.run(sample)[0] for sample in samples]
        expected = [run.outputs[0] for run in tflm.run(opened.read("model.tflite"), samples)]
    assert [f.tobytes() for f in found] == [e.tobytes() for e in expected]


def test_calls_of_several_threads_do_not_meet(bundle) -> None:
    rng = np.random.default_rng(3)
    samples = [rng.integers(-128, 128, (1, 9, 7, 3), np.int8) for _ in range(64)]
    with qedge.load(bundle, engine="c") as one, qedge.load(bundle, engine="c", streams=3) as three:
        expected = [one.run(sample).tobytes() for sample in samples]
        with ThreadPoolExecutor(8) as pool:
            assert [y.tobytes() for y in pool.map(three.run, samples)] == expected
            assert [y.tobytes() for y in pool.map(one.run, samples)] == expected


def test_a_zip_runs_too(bundle, tmp_path) -> None:
    with read_bundle(bundle) as opened:
        pack_bundle(opened, tmp_path / "net.zip")
    with qedge.load(tmp_path / "net.zip", engine="c") as model:
        assert run_golden(model).bit_exact


def test_options_that_do_not_fit(bundle, plain, no_binding) -> None:
    with pytest.raises(ToolError, match="has no C library") as caught:
        qedge.load(plain, engine="c")
    assert "--engine c" in caught.value.hint
    with pytest.raises(UsageError, match="unknown engine 'cpp'"):
        qedge.load(bundle, engine="cpp")
    with pytest.raises(UsageError, match="binding"):
        qedge.load(bundle, engine="c", binding="ai-edge-litert")
    with pytest.raises(ToolError, match="no TFLite binding"):
        qedge.load(bundle, engine="litert")
    for wrong in ({"streams": 0}, {"streams": True}, {"threads": True}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            qedge.load(bundle, **wrong)


def test_an_altered_file_is_refused_by_whoever_uses_it(bundle, tmp_path) -> None:
    def damaged(name: str) -> Path:
        place = tmp_path / name.replace("/", "-")
        rewritten(bundle, place, {"lib/other.so": b"of another architecture"})
        data = bytearray((place / name).read_bytes())
        data[-1] ^= 1
        (place / name).write_bytes(data)
        with pytest.raises(IntegrityError, match=rf"{name}: was altered"), read_bundle(place):
            pass  # looks at all of them
        return place

    for name in (f"lib/{HERE[0]}.so", "report.json", "golden/input_0.npy"):
        with pytest.raises(IntegrityError, match=rf"{name}: was altered"):
            qedge.load(damaged(name), engine="c")
    for name in ("lib/other.so", "model.tflite"):
        with qedge.load(damaged(name), engine="c") as model:
            assert run_golden(model).bit_exact


def test_a_library_for_other_machines_says_which(bundle, tmp_path) -> None:
    other = "riscv64" if HERE[0] != "riscv64" else "aarch64"
    elsewhere = rewritten(bundle, tmp_path / "b", libraries={other: f"lib/{HERE[0]}.so"})
    with pytest.raises(ToolError, match=f"C libraries for {other}, expected one for {HERE[0]}"):
        qedge.load(elsewhere, engine="c")


def test_a_damaged_library_or_layout_is_refused(bundle, tmp_path) -> None:
    broken = rewritten(bundle, tmp_path / "a", {f"lib/{HERE[0]}.so": b"\x7fELF, but not for long"})
    with pytest.raises(ToolError, match="cannot be loaded"):
        qedge.load(broken, engine="c")
    with read_bundle(bundle) as opened:
        layout = opened.manifest.target_data[KEY]
    last = max(*layout["inputs"], *layout["outputs"])
    outside = rewritten(bundle, tmp_path / "b", context_bytes=last + 1)
    with pytest.raises(IntegrityError, match="does not lie in the context"):
        qedge.load(outside, engine="c")
    fewer = rewritten(bundle, tmp_path / "c", outputs=[])
    with pytest.raises(IntegrityError, match="other inputs and outputs"):
        qedge.load(fewer, engine="c")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"context_bytes": 0}, "context_bytes"),
        ({"context_bytes": 1 << 40}, "context_bytes"),
        ({"inputs": [-1]}, r"inputs\[0\]"),
        ({"inputs": "x"}, "inputs"),
        ({"libraries": {"z80": "lib/z80.so"}}, "z80"),
        ({"libraries": {"armv6": 3}}, "armv6"),
        ({"more": 1}, "more"),
    ],
)
def test_what_a_manifest_says_is_checked(change, said) -> None:
    good = Layout(128, (0,), (64,), {"armv6": "lib/armv6.so"}, "clang").to_json()
    assert read_layout(Field(good, "$.c", IntegrityError)).outputs == (64,)
    with pytest.raises(IntegrityError, match=said):
        read_layout(Field({**good, **change}, "$.c", IntegrityError))


def test_verify_runs_both_engines_and_sees_one_byte(bundle, cli, tmp_path) -> None:
    document = cli.json("verify", bundle)
    assert document["passed"]
    assert "C library" in document["core"]
    assert document["c_library"]["kernels"] == "micro"
    with read_bundle(bundle) as opened:
        golden = bytearray(opened.read("golden/micro_0.npy"))
    golden[-1] ^= 1
    other = rewritten(bundle, tmp_path / "other", {"golden/micro_0.npy": bytes(golden)})
    for options, passed in (({"engine": "litert"}, True), ({"engine": "c"}, False), ({}, False)):
        report = TARGET.verify(other, None, options)
        assert (report.passed, bool(report.mismatches)) == (passed, not passed)
    assert TARGET.verify(bundle, [[np.ones((1, 9, 7, 3), np.int8)]], {"engine": "c"}).bit_exact


def test_run_and_bench_take_the_engine(bundle, cli, tmp_path, no_binding) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 9, 7, 3), np.int8))
    assert cli.json("run", bundle, tmp_path / "x.npy", "--engine", "c")["results"]
    document = bench_bundle(bundle, runs=3, cold_starts=0)
    assert document["runtime"]["kernels"] == "micro"
    assert "bare" not in document


def test_an_operator_without_c_is_refused_by_check_and_build(tmp_path) -> None:
    builder = ModelBuilder()
    g = builder.subgraph()
    x = g.input(Spec((1, 4), "int8", 0.1, 0, name="x"))
    lengths = g.tensor(Spec((1,), "int32", data=[2]))
    y = g.tensor(Spec((1, 4), "int8", 0.1, 0, name="y"))
    g.operator("REVERSE_SEQUENCE", [x, lengths], [y], {"seq_dim": 1, "batch_dim": 0})
    g.output(y)
    (tmp_path / "m.tflite").write_bytes(builder.pack())
    report = TARGET.check(request(builder.pack(), tmp_path, engine="c"))
    assert [f.rule for f in report.findings] == ["unsupported-op"]
    assert not TARGET.check(request(builder.pack(), tmp_path)).findings
    with pytest.raises(UnsupportedError, match="REVERSE_SEQUENCE"):
        qedge.build(tmp_path / "m.tflite", targets="rpi", out=tmp_path, engine="c")
    assert not (tmp_path / "m").exists()
    with pytest.raises(UsageError, match="--arch names C libraries"):
        qedge.build(tmp_path / "m.tflite", targets="rpi", out=tmp_path, arch="armv6")
    with pytest.raises(UsageError, match="unknown architecture 'armv5'"):
        qedge.build(tmp_path / "m.tflite", targets="rpi", out=tmp_path, engine="c", arch="armv5")


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs binutils")
@pytest.mark.parametrize(
    "name", [m if m in HERE else pytest.param(m, marks=pytest.mark.long) for m in machines.ARCHITECTURES]
)
def test_every_architecture_s_library_stands_alone(name, tmp_path, monkeypatch) -> None:
    source = tmp_path / "net.c"
    source.write_text(
        "#include <string.h>\nint net_run(void *context);\n"
        "int net_run(void *context)\n{\n    int *x = (int *)context;\n    memset(x + 2, 0, 400);\n"
        "    return x[0] / x[1];\n}\n"
    )
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(cache_folder() / "zig"))
    data = []
    for cache in ("one", "two"):
        monkeypatch.setenv("QEDGE_CACHE", str(tmp_path / cache))
        data.append(compile_shared([source], name, exports={"qedge_run": "net_run"}))
    assert data[0] == data[1]
    library = tmp_path / f"{name}.so"
    library.write_bytes(data[0])
    said = subprocess.run(["nm", "-D", library], capture_output=True, text=True, check=True).stdout
    symbols = {tuple(line.split()[-2:]) for line in said.splitlines()} - {("U", "memset")}
    assert symbols == {("T", "qedge_run")}
    assert b"libc.so" not in data[0]
    assert str(tmp_path).encode() not in data[0]


def test_the_machine_is_the_interpreter_s() -> None:
    assert machines.architectures_of("armv7l", 32, neon=True) == ("armhf", "armv6")
    assert machines.architectures_of("armv6l", 32) == ("armv6",)
    assert machines.architectures_of("armv8l", 32, neon=True) == ("armhf", "armv6")
    assert machines.architectures_of("aarch64", 32, neon=True) == ("armhf", "armv6")
    assert machines.architectures_of("x86_64", 32) == ()
    assert machines.architectures_of("armv7b", 32, neon=True) == ()
    assert machines.architectures_of("ppc64le", 64) == ()
    assert [a for m in ("x86_64", "aarch64", "riscv64") for a in machines.architectures_of(m, 64)] == [
        "x86_64", "aarch64", "riscv64",
    ]  # fmt: skip
