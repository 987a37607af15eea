"""Drift: false alarms at the rate that was asked for, shifts seen, C equal to Python, dumps that add up."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mcu_models import residual_network
from monitors import CMonitor
from tiny_bundles import make_bundle, tiny_model

import qedge
from qedge.bundle import read_bundle, write_bundle
from qedge.drift import merge
from qedge.drift.judge import LEAST_RATE, MAX_RATE, limits, shares
from qedge.drift.sketch import DRIFT, Histogram, Sketch, make_sketch
from qedge.drift.statistics import levels, statistics, stride_of
from qedge.drift.watch import Monitor
from qedge.errors import DataError, IntegrityError, UsageError
from qedge.runtime.litert import open_engine, tensor_specs
from tests import json_page


def images(count: int, seed: int, offset: float = 0.0, shape=(8, 8, 3)) -> list[np.ndarray]:
    """Return int8 images of unlike brightness, smooth but for a little noise."""
    rng = np.random.default_rng(seed)
    base = rng.normal(offset, 30, (count, 1, 1, 1)) + rng.normal(0, 25, (count, 1, 1, shape[-1]))
    values = base + rng.normal(0, 12, (count, *shape))
    return [np.clip(np.rint(v), -128, 127).astype(np.int8)[None] for v in values]


def answers(model: bytes, inputs: list[np.ndarray]) -> list[list[np.ndarray]]:
    engine = open_engine(model, *tensor_specs(model), threads=1)
    try:
        return [[np.array(a) for a in engine.run([x])] for x in inputs]
    finally:
        engine.close()


def colours(inputs: list[np.ndarray]) -> list[list[np.ndarray]]:
    """Return the answers of a classifier that tells which colour is strongest, or that none is strong."""
    means = [x.reshape(-1, x.shape[-1]).mean(0) for x in inputs]
    return [[np.append(m, 10).clip(-128, 127).astype(np.int8)[None]] for m in means]


def sketch_of(inputs: list[np.ndarray], outputs: list[list[np.ndarray]], *, classes: bool = True) -> Sketch:
    made = make_sketch([[x] for x in inputs], outputs, classes=classes)
    assert made is not None
    return made


@pytest.fixture(scope="module")
def model() -> bytes:
    return tiny_model(seed=11)


@pytest.fixture(scope="module")
def sketch() -> Sketch:
    inputs = images(400, seed=1)
    return sketch_of(inputs, colours(inputs))


@pytest.fixture
def watched(tmp_path, model, sketch):
    """A bundle with its sketch."""
    plain = read_bundle(make_bundle(tmp_path / "plain", model))
    files = {name: plain.read(name) for name in plain.manifest.files}
    write_bundle(tmp_path / "watched", plain.manifest, {**files, DRIFT: sketch.encoded()})
    return tmp_path / "watched"


def test_statistics_are_what_their_names_say() -> None:
    rng = np.random.default_rng(3)
    flat = np.full(300, 7, np.int64)
    assert statistics(flat, 3) == (2100, 0, 0)
    ramp = np.arange(0, 200, dtype=np.int64)
    assert statistics(ramp, 1)[2] == 0
    noisy = np.clip(flat + rng.integers(-5, 6, 300), 0, 255)
    assert statistics(noisy, 3)[2] > 0
    codes = rng.integers(-128, 128, (1, 4, 5, 3), np.int64).astype(np.int8)
    assert np.array_equal(levels(codes), levels(codes.view(np.uint8) ^ 0x80))
    assert np.array_equal(levels(codes), levels(codes.astype(np.int16) * 256))
    assert levels(np.array([np.nan, -1e9, 0.5, 1e9]), 0.0, 1 / 255).tolist() == [0, 0, 128, 255]
    assert (stride_of((1, 8, 8, 3)), stride_of((1, 640))) == (3, 1)


def test_a_sketch_takes_a_few_hundred_bytes_and_survives_a_round_trip(sketch) -> None:
    data = sketch.encoded()
    assert len(data) < 700
    assert Sketch.decoded(data, DRIFT) == sketch
    assert sum(sketch.inputs[0].counts) == sketch.samples == 400


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_false_alarms_come_at_the_rate_that_was_asked_for(sketch, rate) -> None:
    """Windows of unseen samples of the same source; the band is that of chance over 2,000 windows, doubled."""
    inputs = images(2000, seed=77)
    outputs = colours(inputs)
    seen = np.array([sketch.input_bins([x]) for x in inputs])
    said = np.array([sketch.output_bins(o) for o in outputs])
    rng = np.random.default_rng(5)
    bounds = limits(sketch, 50, rate)
    alarms = np.zeros(2)
    for _ in range(2000):
        chosen = rng.integers(0, len(inputs), 50)
        for k, (bins, histograms, limit) in enumerate(
            ((seen, sketch.inputs, bounds.inputs), (said, sketch.outputs, bounds.outputs))
        ):
            counts = [np.bincount(bins[chosen, j], minlength=len(h.counts)) for j, h in enumerate(histograms)]
            alarms[k] += any(
                sum(abs((int(c) << 15) - 50 * s) for c, s in zip(row, shares(h))) > bound
                for row, h, bound in zip(counts, histograms, limit)
            )
    assert (alarms / 2000 < 2 * rate).all()
    assert (alarms > 0).all()


def test_changed_inputs_and_changed_predictions_are_told_apart(sketch) -> None:
    bright = images(50, seed=8, offset=60)
    with_monitor = Monitor(sketch)
    found = [with_monitor.add([x], o) for x, o in zip(bright, colours(bright))][-1]
    assert found is not None
    assert found.inputs_changed
    usual = images(50, seed=9)
    one_class = [np.array([[127, -128, -128, -128]], np.int8)] * 50
    other = [with_monitor.add([x], [o]) for x, o in zip(usual, one_class)][-1]
    assert other is not None
    assert (other.inputs_changed, other.predictions_changed) == (False, True)
    assert (with_monitor.windows, with_monitor.input_alarms) == (2, 1)
    assert with_monitor.predictions_changed


def test_a_monitored_model_gives_the_same_bytes_and_stops_watching(watched, model) -> None:
    inputs = images(25, seed=2)
    verdicts = []
    with qedge.load(watched) as loaded:
        plain = [loaded.run(x) for x in inputs]
        with qedge.monitor(loaded, window=20, on_window=verdicts.append) as watch:
            assert all(np.array_equal(loaded.run(x), y) for x, y in zip(inputs, plain))
            loaded(inputs[0])
            assert len(verdicts) == 1
            assert watch.last == verdicts[0]
            with pytest.raises(DataError):
                loaded.run(np.zeros((1, 2), np.int8))
            assert watch.dump()["samples"] == 26
        loaded.run(inputs[0])
        assert watch.dump()["samples"] == 26


def test_of_frames_of_a_camera_one_a_second_counts(watched, monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr("qedge.drift.watch.time.monotonic", lambda: now[0])
    frames = images(40, 3, offset=60.0)
    with qedge.load(watched) as model:
        with qedge.monitor(model, window=10, every_s=1) as watch:
            for x in frames:
                output = model.run(x)
                now[0] += 0.3
            assert (watch.total.samples, watch.windows) == (10, 1)
            assert "inputs" in watch.changed
        with qedge.monitor(model, window=10, every_s=None) as watch:
            model.run(frames[0])
            assert watch.total.samples == 0
            watch.add([x], [output])
            assert (watch.total.samples, watch.changed) == (1, [])


def test_dumps_of_a_fleet_add_up_in_any_order(watched, sketch) -> None:
    digest = read_bundle(watched).manifest.to_json()["digest"]
    dumps = []
    for seed in range(3):
        inputs = images(60, seed=seed + 40, offset=60 * (seed == 2))
        monitor = Monitor(sketch, digest=digest, window=20)
        for x in inputs:
            monitor.add([x], [np.array([[seed, 0, 0, -1]], np.int8)])
        dumps.append(json.loads(json.dumps(monitor.dump())))
    merged = merge(dumps, sketch, digest=digest)
    assert (merged.dumps, merged.samples, merged.windows) == (3, 180, 9)
    again = merge(reversed(dumps), sketch, digest=digest)
    assert again.counts.inputs == merged.counts.inputs
    assert again.verdict == merged.verdict
    assert merged.verdict is not None
    assert merged.verdict.inputs_changed
    many = {**dumps[2], "samples": 60 << 20}
    for key in ("inputs", "outputs"):
        many[key] = [[c << 20 for c in row] for row in dumps[2][key]]
    assert merge([many], sketch, digest=digest).verdict.inputs_changed
    assert merge([], sketch, digest=digest).verdict is None


@pytest.mark.parametrize(
    "change",
    [
        {"samples": -1},
        {"samples": 59},
        {"digest": "another"},
        {"inputs": [[1]]},
        {"outputs": "none"},
        {"windows": 1.5},
        {"version": 2},
        {"format": []},
    ],
)
def test_a_dump_that_is_damaged_or_of_another_bundle_is_refused(sketch, change) -> None:
    monitor = Monitor(sketch, window=20)
    for x in images(60, seed=4):
        monitor.add([x], [np.zeros((1, 4), np.int8)])
    with pytest.raises(DataError, match=r"\$"):
        merge([{**monitor.dump(), **change}], sketch)


def test_a_window_or_a_rate_out_of_range_is_a_usage_error(sketch) -> None:
    for arguments in (
        {"window": 9},
        {"window": 4097},
        {"false_alarms": LEAST_RATE / 2},
        {"false_alarms": 0.5},
    ):
        with pytest.raises(UsageError, match="expected"):
            Monitor(sketch, **arguments)
    assert Monitor(sketch, window=4096, false_alarms=MAX_RATE).window == 4096


@pytest.mark.parametrize(
    "damage",
    [
        b"{",
        b"[" * 100_000,
        b'{"version": 1}',
        b'{"samples": 1e400}',
        lambda d: d | {"version": 2},
        lambda d: d | {"kind": "boxes"},
        lambda d: d | {"samples": True},
        lambda d: d | {"input": {**d["input"], "stride": 0}},
        lambda d: d | {"inputs": d["inputs"][:2]},
        lambda d: d | {"inputs": [{**d["inputs"][0], "edges": d["inputs"][0]["edges"][::-1]}] * 3},
        lambda d: d | {"outputs": [{"edges": [], "counts": [1] * 99}]},
        lambda d: d | {"outputs": []},
    ],
)
def test_a_damaged_sketch_is_refused(sketch, damage) -> None:
    data = damage if isinstance(damage, bytes) else json.dumps(damage(json.loads(sketch.encoded()))).encode()
    with pytest.raises(IntegrityError):
        Sketch.decoded(data, DRIFT)


def test_a_bundle_without_a_sketch_or_with_another_models_says_so(tmp_path, model, sketch) -> None:
    place = make_bundle(tmp_path / "plain", model)
    with qedge.load(place) as loaded, pytest.raises(UsageError, match="calibration looked like"):
        qedge.monitor(loaded)
    plain = read_bundle(
        make_bundle(tmp_path / "other", tiny_model(side=16), golden=[np.zeros((1, 16, 16, 3), np.int8)])
    )
    files = {name: plain.read(name) for name in plain.manifest.files}
    write_bundle(tmp_path / "mixed", plain.manifest, {**files, DRIFT: sketch.encoded()})
    with qedge.load(tmp_path / "mixed") as loaded, pytest.raises(IntegrityError, match="expected one of"):
        qedge.monitor(loaded)


def test_few_or_equal_samples_make_a_sketch_that_does_not_alarm_at_itself() -> None:
    few = images(5, 1)
    assert make_sketch([[x] for x in few], colours(few), classes=True) is None
    same = [images(1, seed=1)[0]] * 30
    sketch = sketch_of(same, colours(same))
    monitor = Monitor(sketch, window=20)
    verdicts = [monitor.add([x], o) for x, o in zip(same, colours(same))]
    found = [v for v in verdicts if v is not None]
    assert found
    assert not any(v.inputs_changed or v.predictions_changed for v in found)


@pytest.mark.parametrize("kind", ["classes", "values"])
def test_c_equals_python_bit_for_bit_on_an_emulated_cortex_m4(tmp_path, kind) -> None:
    model = residual_network()
    shape = tensor_specs(model)[0][0].shape[1:]
    usual = images(200, seed=1, shape=shape)
    sketch = sketch_of(usual, answers(model, usual), classes=kind == "classes")
    c = CMonitor(model, sketch, 25, tmp_path)
    assert c.code_bytes <= 1024
    python = Monitor(sketch, window=25, false_alarms=0.05)
    c.begin(0)
    bins = sum(len(h.counts) for h in (*sketch.inputs, *sketch.outputs))
    rng = np.random.default_rng(2)
    inputs = [
        *images(50, seed=3, shape=shape),
        *images(25, seed=4, offset=50, shape=shape),
        *[rng.integers(-128, 128, (1, *shape), np.int64).astype(np.int8) for _ in range(23)],
        np.full((1, *shape), -128, np.int8),
        np.full((1, *shape), 127, np.int8),
    ]
    seen = set()
    for x, outputs in zip(inputs, answers(model, inputs)):
        wanted = python.add([x], outputs)
        found = c.add([x], outputs)
        held = [n for row in (*python._now.inputs, *python._now.outputs) for n in row]
        assert c.counts(bins) == held
        expected = None if wanted is None else wanted.inputs_changed + 2 * wanted.predictions_changed
        assert found == expected
        seen.add(found)
    assert len(seen) >= 3


def test_the_c_monitor_is_refused_where_nothing_can_be_watched(tmp_path, sketch) -> None:
    from qedge.graph import Graph
    from qedge_mcu.monitor import monitor_files

    graph = Graph.from_bytes(tiny_model(seed=11))
    with pytest.raises(UsageError, match="no sketch"):
        monitor_files(graph, "m", None, 50)
    with pytest.raises(UsageError, match="expected 10 to 4096"):
        monitor_files(graph, "m", sketch, 5)


def test_shares_of_bins_add_up_to_one() -> None:
    assert sum(shares(Histogram((), (62, 63, 62, 63, 62, 63, 62, 63)))) == pytest.approx(1 << 15, abs=8)


def test_the_command_adds_up_dumps(cli, tmp_path, watched, sketch) -> None:
    digest = read_bundle(watched).manifest.to_json()["digest"]
    monitor = Monitor(sketch, digest=digest)
    for x in images(100, seed=6, offset=70):
        monitor.add([x], colours([x])[0])
    (tmp_path / "one.json").write_text(json.dumps(monitor.dump()))
    document = cli.json("drift", watched, tmp_path / "one.json", tmp_path / "one.json")
    json_page.check("drift", document)
    assert (document["samples"], document["inputs_changed"]) == (200, True)
    (tmp_path / "two.json").write_text("[1e400]")
    done = cli("drift", watched, tmp_path / "two.json")
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)


def test_a_build_stores_the_sketch_and_writes_the_c_monitor(cli, digits_build, tmp_path) -> None:
    bundle = next(digits_build.glob("*/rpi"))
    with qedge.load(bundle) as model, qedge.monitor(model) as watch:
        assert watch.sketch.samples >= 20
        assert watch.sketch.kind == "classes"
