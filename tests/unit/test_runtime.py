"""Loading and running bundles with the real binding."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_bundles import LABELS, make_bundle, tiny_images, tiny_model

import qedge
from qedge import quantmath
from qedge.bundle import Manifest, TensorSpec, npy_bytes, pack_bundle, read_bundle, write_bundle
from qedge.errors import DataError, IntegrityError, ModelError, ToolError, UsageError
from qedge.graph import Graph
from qedge.graph.view import Operator
from qedge.processing.image import ImagePreprocess
from qedge.runtime import cores, litert
from qedge.runtime.loader import runtimes
from qedge.runtime.pool import PooledEngine
from qedge.testing.opmodels import ModelBuilder, Spec
from qedge.testing.requests import request
from qedge_rpi.target import TARGET


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "rpi")


@pytest.fixture(scope="module")
def bare():
    """The plain binding on the same model."""
    interpreter = litert.find_binding().module.Interpreter(model_content=tiny_model(), num_threads=1)
    interpreter.allocate_tensors()
    x, y = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(array: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(x, array)
        interpreter.invoke()
        return interpreter.get_tensor(y)

    return run


def as_int8(image: np.ndarray) -> np.ndarray:
    return (image.astype(np.int16) - 128).astype(np.int8)[None]


def test_run_gives_the_bytes_of_the_plain_binding(place, bare) -> None:
    with qedge.load(place) as model:
        for image in tiny_images(20, seed=1):
            expected = bare(as_int8(image))
            assert np.array_equal(model.run(as_int8(image)), expected)
            assert np.array_equal(model.run([as_int8(image)])[0], expected)
            assert np.array_equal(model(image).raw[0], expected)


def test_a_result_works_out_what_is_asked_for(place, bare, tmp_path) -> None:
    image = tiny_images(1)[0]
    expected = quantmath.dequantize(bare(as_int8(image)), 1 / 256, -128)[0]
    with qedge.load(place) as model:
        result = model(image)
        assert np.array_equal(result.outputs[0][0], expected)
        assert result.outputs[0].dtype == np.float32
        best = int(expected.argmax())
        assert result.top(1) == [(LABELS[best], float(expected[best]))]
        assert (result.label, result.score) == result.top(1)[0]
        assert result.value == result.top(4)
        assert [s for _, s in result.top(4)] == sorted(expected.tolist(), reverse=True)
        Image.fromarray(image).save(tmp_path / "x.png")
        for same in (tmp_path / "x.png", str(tmp_path / "x.png"), Image.fromarray(image), image[None]):
            assert np.array_equal(model(same).raw[0], result.raw[0])
        assert model.labels == LABELS
        assert (model.inputs[0].shape, model.outputs[0].dtype) == ((1, 8, 8, 3), "int8")


def test_a_zip_runs_like_the_folder(place, tmp_path) -> None:
    pack_bundle(read_bundle(place), tmp_path / "tiny.zip")
    image = tiny_images(1)[0]
    with qedge.load(place) as one, qedge.load(tmp_path / "tiny.zip") as other:
        assert np.array_equal(one(image).raw[0], other(image).raw[0])


@pytest.mark.parametrize(
    "sample",
    [
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((1, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.int8),
        np.zeros((1, 8, 8, 4), np.int8),
        [],
        [np.zeros((1, 8, 8, 3), np.int8)] * 2,
        [[0]],
        "x",
        None,
    ],
)
def test_run_refuses_what_is_not_the_models_own_type_and_goes_on(place, sample, bare) -> None:
    good = as_int8(tiny_images(1)[0])
    with qedge.load(place) as model:
        with pytest.raises(DataError, match="expected"):
            model.run(sample)
        assert np.array_equal(model.run(good), bare(good))


@pytest.mark.parametrize(
    "sample", [np.zeros((8, 8), np.int64), "none.png", None, np.full((8, 8, 3), np.nan), object(), b"x"]
)
def test_a_call_refuses_what_is_no_image_and_goes_on(place, sample, bare) -> None:
    image = tiny_images(1)[0]
    with qedge.load(place) as model:
        with pytest.raises(DataError, match=r"expected|no such file"):
            model(sample)
        assert np.array_equal(model(image).raw[0], bare(as_int8(image)))


def test_without_preprocessing_a_call_takes_the_models_own_units(tmp_path) -> None:
    place = make_bundle(tmp_path / "b", tiny_model(0.1, 5))
    real = np.random.default_rng(0).normal(0, 8, (1, 8, 8, 3)).astype(np.float32)
    kept = real.copy()
    with qedge.load(place) as model:
        expected = model.run(quantmath.quantize(real, 0.1, 5))
        np.save(tmp_path / "x.npy", real)
        samples = (real, real[0], [real], {"image": real}, real.tolist(), real.astype(np.float64))
        for sample in (*samples, quantmath.quantize(real, 0.1, 5), tmp_path / "x.npy"):
            assert np.array_equal(model(sample).raw[0], expected)
        assert np.array_equal(real, kept)
        assert model(real).top(1)[0][0] in "0123"
        for wrong in (real[:, :4], {"imag": real}, [real, real], np.full_like(real, np.nan), ["a"], __file__):
            with pytest.raises(DataError):
                model(wrong)


@pytest.mark.parametrize("streams", [1, 3])
def test_stream_gives_every_result_in_order(place, streams) -> None:
    images = tiny_images(60, seed=9)
    with qedge.load(place, streams=streams) as model:
        expected = [model(image).raw[0] for image in images]
        found = [result.raw[0] for result in model.stream(iter(images))]
        assert np.array_equal(found, expected)


def test_a_stream_works_on_as_many_items_at_a_time_as_the_model_has_streams(place) -> None:
    together = threading.Barrier(3, timeout=20)

    def meet(image: np.ndarray) -> np.ndarray:
        together.wait()  # breaks unless three items are in work at the same time
        return image

    with qedge.load(place, streams=3) as model:
        results = list(model.stream(tiny_images(9), sample=meet, depth=1))
    assert len(results) == 9


@pytest.mark.parametrize("streams", [1, 2])
def test_stream_raises_at_the_place_of_the_bad_sample_and_the_model_goes_on(place, streams) -> None:
    images = list(tiny_images(4))
    with qedge.load(place, streams=streams) as model:
        stream = model.stream([*images[:2], "none.png", *images[2:]])
        assert [next(stream).raw[0].shape for _ in range(2)] == [(1, 4)] * 2
        with pytest.raises(DataError):
            next(stream)
        assert model(images[0]).raw[0].shape == (1, 4)


@pytest.mark.parametrize("streams", [1, 2])
def test_a_stream_that_is_left_early_stops_its_threads(place, streams) -> None:
    def endless():
        while True:
            yield tiny_images(1)[0]

    with qedge.load(place, streams=streams) as model:
        stream = model.stream(endless())
        next(stream)
        stream.close()
    assert not [t for t in threading.enumerate() if t.name == "qedge-stream"]


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_an_image_input_without_quantisation_takes_levels(tmp_path, dtype) -> None:
    builder = ModelBuilder()
    graph = builder.subgraph()
    real = image = graph.input(Spec((1, 4, 4, 3), dtype, name="image"))
    if dtype != "float32":
        real = graph.tensor(Spec((1, 4, 4, 3), "float32"))
        graph.operator("CAST", [image], [real])
    mean = graph.tensor(Spec((1, 3), "float32", name="mean"))
    axes = graph.tensor(Spec((2,), "int32", data=[1, 2]))
    graph.operator("MEAN", [real, axes], [mean], {"keep_dims": False})
    graph.output(mean)
    place = make_bundle(tmp_path / "mean", builder.pack(), golden=[], preprocess=ImagePreprocess(4, 4))
    picture = tiny_images(1, side=4)[0]
    with qedge.load(place) as model:
        np.testing.assert_allclose(model(picture).raw[0][0], picture.mean(axis=(0, 1)), rtol=1e-5)


def test_a_stream_hands_out_the_item_of_each_result_and_where_its_time_went(place) -> None:
    items = [(f"frame {k}", image) for k, image in enumerate(tiny_images(5))]
    with qedge.load(place) as model:
        results = list(model.stream(items, sample=lambda item: item[1]))
        assert [result.item[0] for result in results] == [name for name, _ in items]
        for result, (_, image) in zip(results, items):
            assert np.array_equal(result.raw[0], model(image).raw[0])
            assert set(result.ms) == {"pre", "invoke"}
            assert all(0 < ms < 10_000 for ms in result.ms.values())
        assert model(items[0][1]).item is None
        with pytest.raises(UsageError, match="depth: found 0"):
            model.stream(items, depth=0)


@pytest.mark.parametrize("depth", [1, 3])
def test_a_stream_takes_no_more_items_ahead_than_it_is_told(place, depth) -> None:
    taken: list[int] = []

    def source():
        for image in tiny_images(20):
            taken.append(len(taken))
            yield image

    with qedge.load(place) as model, contextlib.closing(model.stream(source(), depth=depth)) as stream:
        for done in range(1, 8):
            next(stream)
            deadline = time.monotonic() + 300
            while len(taken) < done + depth and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(0.02)
            assert len(taken) == done + depth


@pytest.mark.parametrize("streams", [1, 3])
def test_threads_sharing_a_model_never_mix_up_results(place, streams) -> None:
    images = tiny_images(16, seed=4)
    with qedge.load(place, streams=streams) as model:
        inputs = [as_int8(image) for image in images]
        expected = [model.run(array) for array in inputs]
        assert len({e.tobytes() for e in expected}) > 4
        wrong: list[object] = []

        def work(start: int) -> None:
            for i in range(400):
                k = (start + i * 7) % len(images)
                if i % 50 == 10:
                    with pytest.raises(DataError):
                        model.run(inputs[k][:, :4])
                if not np.array_equal(model.run(inputs[k]), expected[k]):
                    wrong.append((start, i))

        threads = [threading.Thread(target=work, args=(t,)) for t in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert wrong == []


def test_many_inferences_do_not_grow(place) -> None:
    resource = pytest.importorskip("resource", reason="needs a POSIX system")

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    with qedge.load(place) as model:
        array = as_int8(tiny_images(1)[0])
        for _ in range(2_000):
            model.run(array)
        gc.collect()
        before = resident()
        for _ in range(30_000):
            model.run(array)
        gc.collect()
        # A leak of one output (4 values, about 100 bytes as an object) would be 3 MB.
        assert resident() - before < 1 << 20


@pytest.mark.parametrize("streams", [1, 2])
def test_a_call_that_waits_for_a_model_is_told_when_it_is_closed(streams) -> None:
    entered, go_on = threading.Semaphore(0), threading.Event()

    class Slow:
        def get_input_details(self) -> list[dict[str, int]]:
            return [{"index": 0}]

        get_output_details = get_input_details

        def set_tensor(self, index: int, array: np.ndarray) -> None:
            entered.release()
            assert go_on.wait(30)

        def invoke(self) -> None:
            pass

        def get_tensor(self, index: int) -> np.ndarray:
            return np.zeros(1, np.int8)

    specs = (TensorSpec("x", (1,), "int8"),)
    engine = PooledEngine([Slow() for _ in range(streams)], specs, specs, {})
    with ThreadPoolExecutor(2 * streams) as pool:
        calls = [pool.submit(engine.run, [np.zeros(1, np.int8)]) for _ in range(2 * streams)]
        for _ in range(streams):
            assert entered.acquire(timeout=30)
        engine.close()
        engine.close()
        go_on.set()
        ended = [call.exception(timeout=30) for call in calls]
    assert sum(e is None for e in ended) == streams  # those that ran when it was closed
    assert all("closed" in str(e) for e in ended if e is not None)


def test_a_closed_model_says_so(place) -> None:
    model = qedge.load(place)
    model.close()
    with pytest.raises(UsageError, match="closed"):
        model.run(as_int8(tiny_images(1)[0]))
    model.close()


def test_a_damaged_bundle_never_reaches_the_binding(tmp_path, monkeypatch) -> None:
    place = make_bundle(tmp_path / "b")
    data = bytearray((place / "model.tflite").read_bytes())
    data[200] ^= 1
    (place / "model.tflite").write_bytes(data)
    reached = []
    monkeypatch.setattr(litert, "_interpreter", lambda *a: reached.append(a))
    with pytest.raises(IntegrityError, match="altered"):
        qedge.load(place)
    (place / "model.tflite").write_bytes(data[:300])
    with pytest.raises(IntegrityError, match="truncated"):
        qedge.load(place)
    assert reached == []


def write(place: Path, model: bytes, **fields) -> Path:
    spec = TensorSpec("x", (1, 8, 8, 3), "int8", 1.0, -128)
    out = TensorSpec("y", (1, 4), "int8", 1 / 256, -128)
    whole = {"name": "t", "model_sha256": "0" * 64, "target": "rpi", "inputs": (spec,), "outputs": (out,)}
    write_bundle(place, Manifest(**{**whole, **fields}), {"model.tflite": model})
    return place


def test_a_model_that_the_binding_refuses_is_a_model_error(tmp_path) -> None:
    with pytest.raises(ModelError, match="cannot run this model"):
        qedge.load(write(tmp_path / "b", b"TFL3 is not here"))


def test_a_model_that_is_not_what_the_manifest_says_is_a_model_error(tmp_path) -> None:
    spec = TensorSpec("x", (1, 8, 8, 3), "int8", 0.5, -128)
    with pytest.raises(ModelError, match="the manifest says"):
        qedge.load(write(tmp_path / "b", tiny_model(), inputs=(spec,)))


def test_a_target_without_a_runtime_is_a_usage_error_with_a_hint(tmp_path) -> None:
    with pytest.raises(
        UsageError, match=r"'mcu', which qedge.load cannot run; runtimes here: .*rpi"
    ) as caught:
        qedge.load(write(tmp_path / "b", tiny_model(), target="mcu"))
    assert caught.value.hint


def test_the_manifest_cannot_name_a_module(tmp_path, monkeypatch) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for target in ("evil", "evil:open_runtime", "../evil", "qedge_rpi.runtime:open_runtime"):
        with pytest.raises(UsageError):
            qedge.load(write(tmp_path / "b", tiny_model(), target=target))
    assert "evil" not in sys.modules


def test_runtimes_are_those_of_the_entry_points() -> None:
    from importlib.metadata import entry_points

    assert runtimes() == {e.name: e.value for e in entry_points(group="qedge.runtimes")}
    assert "rpi" in runtimes()


def test_a_runtime_of_another_distribution_is_found(tmp_path, monkeypatch) -> None:
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(
        "[console_scripts]\nx = y:z\n[qedge.runtimes]\nnew = mine:go\n[z]\na=b\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert runtimes()["new"] == "mine:go"
    with pytest.raises(ToolError, match="mine:go"):
        qedge.load(write(tmp_path / "b", tiny_model(), target="new"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "usb:0"}, "device"),
        ({"thread": 2}, "unknown option 'thread'"),
        ({"threads": 0}, "threads: found 0"),
        ({"streams": 0}, "streams: found 0"),
        ({"binding": "tflite"}, "unknown binding"),
    ],
)
def test_wrong_options_are_usage_errors(place, options, message) -> None:
    with pytest.raises(UsageError, match=message):
        qedge.load(place, **options)


def test_threads_never_outnumber_the_cores(monkeypatch) -> None:
    monkeypatch.setattr(cores, "available", lambda: 4)
    big = 4 << 20
    assert [cores.share(None, s, big) for s in (1, 2, 3, 4, 9)] == [4, 2, 1, 1, 1]
    assert cores.share(16, 1, big) == 4
    assert cores.share(3, 1, 1000) == 3
    assert cores.share(None, 1, 50_000) == 1
    assert [cores.share(-1, s, big) for s in (1, 2, 3)] == [3, 1, 1]
    assert cores.share(-9, 1, big) == cores.share(-1, 1, 50_000) == 1


def test_available_cores_are_those_of_the_affinity() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from qedge.runtime.cores import available; print(available())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def fake_package(folder: Path, name: str, version: str, body: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(f"__version__ = {version!r}\n")
    (folder / name / "interpreter.py").write_text(body)


def test_tflite_runtime_with_numpy_2_is_named_and_never_imported(tmp_path, monkeypatch) -> None:
    if int(np.__version__.split(".")[0]) < 2:
        pytest.skip("needs numpy 2")
    fake_package(tmp_path, "tflite_runtime", "2.14.0", "raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(litert, "_found", {})
    with pytest.raises(ToolError, match=r'built for numpy 1 and numpy 2.*: pip install "numpy<2"'):
        litert.find_binding("tflite-runtime")
    sys.modules.pop("tflite_runtime", None)


def test_a_binding_that_does_not_import_is_passed_over(tmp_path, monkeypatch) -> None:
    fake_package(tmp_path, "ai_edge_litert", "9.9", "raise ImportError('libfoo.so: cannot open')")
    fake_package(tmp_path, "tflite_runtime", "2.99.0", "class Interpreter: pass")
    for name in [m for m in sys.modules if m.startswith("ai_edge_litert")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(litert, "_found", {})
    assert litert.find_binding().name == "tflite-runtime"
    with pytest.raises(ToolError, match="ai-edge-litert: libfoo"):
        litert.find_binding("ai-edge-litert")
    for name in [m for m in sys.modules if m.startswith(("ai_edge_litert", "tflite_runtime"))]:
        sys.modules.pop(name)


def test_profile_has_the_three_stages(place) -> None:
    with qedge.load(place) as model:
        model.warm_up()
        found = model.profile(runs=5)
    assert set(found["stages_ms"]) == {"pre", "invoke", "post"}
    assert all(ms > 0 for ms in found["stages_ms"].values())
    assert json.loads(json.dumps(found)) == found


def test_verify_passes_on_golden_vectors_and_names_what_differs(place, tmp_path) -> None:
    report = TARGET.verify(place, None, {})
    assert (report.passed, report.bit_exact, report.samples) == (True, True, 6)
    report = TARGET.verify(place, [[as_int8(image)] for image in tiny_images(3, seed=8)], {})
    assert (report.passed, report.samples) == (True, 3)

    with read_bundle(place) as bundle:
        files = {name: bundle.read(name) for name in bundle.manifest.files}
        for step, passed in ((1, True), (3, False)):
            golden = np.load(place / "golden/output_0.npy")
            row = golden[0, 0]
            row[row.argmin()] += step
            changed = {**files, "golden/output_0.npy": npy_bytes(golden)}
            write_bundle(tmp_path / "b", bundle.manifest, changed)
            report = TARGET.verify(tmp_path / "b", None, {})
            assert (report.passed, report.bit_exact) == (passed, False)
            assert report.metrics["max_difference"] == step
            assert bool(report.mismatches) == (not passed)


def test_check_places_every_operator_and_names_custom_ones(place) -> None:
    graph = Graph.from_file(place / "model.tflite")
    report = TARGET.check(request(graph))
    assert [p.placement for p in report.operators] == ["cpu"] * len(graph.operators)
    assert report.findings == ()
    strange = [
        Operator(0, "CUSTOM", name, 1, (), (), {})
        for name in ("FlexErf", "edgetpu-custom-op", "TFLite_Detection_PostProcess")
    ]
    report = TARGET.check(request(dataclasses.replace(graph, operators=tuple(strange))))
    assert [p.placement for p in report.operators] == ["unsupported", "unsupported", "cpu"]
    assert [f.rule for f in report.findings] == ["unsupported-op"] * 2


def test_doctor_names_the_binding() -> None:
    found = {r.name: r for r in TARGET.doctor()}
    assert found["TFLite binding"].ok
    assert found["TFLite binding"].detail == str(litert.find_binding())


@pytest.mark.shared
def test_mlperf_models_run_and_match_the_binding(shared, tmp_path) -> None:
    for name in ("kws01_dscnn_int8", "ic01_resnet8_int8", "ad01_int8"):
        data = (shared / "models/mlperf_tiny" / f"{name}.tflite").read_bytes()
        inputs, _ = litert.tensor_specs(data)
        rng = np.random.default_rng(0)
        golden = [rng.integers(-128, 128, inputs[0].shape, np.int8) for _ in range(3)]
        place = make_bundle(tmp_path / name, data, golden=golden)
        assert TARGET.verify(place, None, {}).bit_exact


def test_image_preprocess_of_the_bundle_is_used(tmp_path) -> None:
    place = make_bundle(tmp_path / "b", tiny_model(), preprocess=ImagePreprocess(8, 8, "bgr"))
    image = tiny_images(1, side=20)[0]
    with qedge.load(place) as model:
        encoded = model.encode(image)[0]
        expected = ImagePreprocess(8, 8).apply(image)[0, :, :, ::-1]
        assert np.array_equal(encoded[0].astype(np.float32) + 128, expected)


def test_an_array_in_other_units_is_refused(tmp_path) -> None:
    with qedge.load(make_bundle(tmp_path / "b")) as model:
        spec = model.inputs[0]
        low, high = ((v - spec.zero_point) * spec.scale for v in (-128, 127))
        good = np.linspace(low, high, int(np.prod(spec.shape)), dtype=np.float32).reshape(spec.shape)
        wide = good.copy()
        wide.reshape(-1)[: wide.size // 3] = (
            100 * high
        )  # what lies far outside saturates, where most does not
        from qedge.runtime.model import as_input

        assert as_input(good, spec).dtype == np.dtype(spec.dtype)
        assert as_input(wide, spec).max() == 127
        with pytest.raises(DataError, match="found values from") as caught:
            as_input(good * 100 + 50 * (high - low), spec)
        assert "units" in str(caught.value.hint)


def test_whole_numbers_are_in_the_model_s_own_units(tmp_path) -> None:
    with qedge.load(make_bundle(tmp_path / "b")) as model:
        from qedge.runtime.model import as_input

        spec = model.inputs[0].replace(scale=1.0, zero_point=-128)
        levels = np.arange(np.prod(spec.shape)).reshape(spec.shape) % 256
        expected = (levels - 128).astype(np.int8)
        for kind in (np.uint8, np.int16, np.int32, np.int64, np.float32):
            assert np.array_equal(as_input(levels.astype(kind), spec), expected)
        with pytest.raises(DataError, match="found int8"):
            as_input(levels.astype(np.int8), spec.replace(dtype="uint8", zero_point=0))
